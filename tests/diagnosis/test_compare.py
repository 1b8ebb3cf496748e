"""Two runs on the same images: counts, intervals compared with published ones, and errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from lrdiag.diagnosis.assemble import assemble, dataset_facts
from lrdiag.diagnosis.compare import compare, conclude, paired_interval
from lrdiag.errors import ComparisonError
from lrdiag.intervals import mcnemar
from lrdiag.record.arrays import Dataset, LabelledImages, Predictions
from lrdiag.record.facts import (
    Calibration,
    ClassChange,
    Comparison,
    Diagnosis,
    HeatmapFacts,
    RunFacts,
    SettingChange,
)

PARTS = ("range_test", "range_test_note", "training", "heatmaps")

# the test images show        0  0  1  1  2  2
BEFORE = [0, 1, 0, 1, 1, 2]  # wrong:  1  2     4
NOW = [0, 0, 1, 0, 1, 1]  # wrong:           3  4  5; fixed: 1, 2; broken: 3, 5

Diagnose = Callable[[list[int]], Diagnosis]


@pytest.fixture
def diagnosed(sound: Diagnosis, dataset: Dataset) -> Diagnose:
    """The diagnosis of a network that says this of the test images; the surer, the later in the test set."""

    def diagnose(predicted: list[int], *, of: Dataset = dataset, **run: object) -> Diagnosis:
        scores = np.eye(3)[predicted] * np.arange(1, 7)[:, None]
        facts = {field.name: getattr(sound, field.name) for field in dataclasses.fields(RunFacts)} | run
        parts = {name: getattr(sound, name) for name in PARTS}
        predictions = Predictions.from_scores(scores, of.test.labels)
        return assemble(dataset_facts(of), predictions, files=of.test.files, **parts, run=RunFacts(**facts))

    return diagnose


@pytest.fixture
def comparison(diagnosed: Diagnose) -> Comparison:
    return compare(diagnosed(BEFORE), diagnosed(NOW))


# broken, fixed, size, low, high
PUBLISHED = [
    # Fagerland, Lydersen and Laake (2014), airway hyper-responsiveness and complete response
    (7, 1, 21, -0.508, -0.013),
    (16, 6, 161, -0.1195, -0.0032),
    # the example of Bonett's statpsych
    (4, 26, 48, 0.2548067, 0.6251933),
]


@pytest.mark.parametrize(("broken", "fixed", "size", "low", "high"), PUBLISHED)
def test_the_interval_is_that_of_bonett_and_price(broken: int, fixed: int, size: int, low: float, high: float) -> None:
    digits = 10.0 ** -len(str(low).split(".")[1])
    assert paired_interval(broken, fixed, size) == pytest.approx((low, high), abs=digits / 2)


def test_the_interval_is_mirrored_if_the_change_is_reversed() -> None:
    low, high = paired_interval(3, 9, 100)
    assert paired_interval(9, 3, 100) == pytest.approx((-high, -low))
    assert paired_interval(5, 5, 100)[0] == -paired_interval(5, 5, 100)[1]


@pytest.mark.parametrize("size", [1, 2, 10, 10_000])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_interval_contains_the_difference_and_stays_between_minus_one_and_one(size: int, share: float) -> None:
    fixed = int(share * size)
    low, high = paired_interval(0, fixed, size)
    assert -1 <= low < fixed / size <= high <= 1 or fixed == 0
    assert low <= fixed / size <= high


def test_more_images_give_a_narrower_interval() -> None:
    widths = [high - low for low, high in (paired_interval(size // 10, size // 5, size) for size in (20, 200, 2000))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(
    ("gained", "p_value", "conclusion"),
    [
        (3, 0.049, "better"),
        (-3, 0.049, "worse"),
        (3, 0.05, "no detectable difference"),
        (-3, 0.9, "no detectable difference"),
        (0, 1.0, "no detectable difference"),
    ],
)
def test_the_conclusion_is_that_of_the_test(gained: int, p_value: float, conclusion: str) -> None:
    assert conclude(gained, p_value) == conclusion


# Broken and fixed images for which the interval alone would contradict the test.
@pytest.mark.parametrize(("broken", "fixed", "size"), [(1, 7, 1000), (4, 12, 200), (10, 21, 50), (13, 25, 50)])
def test_interval_and_test_never_contradict_each_other(broken: int, fixed: int, size: int) -> None:
    raw = paired_interval(broken, fixed, size)
    for number_broken, number_fixed, sign in ((broken, fixed, 1), (fixed, broken, -1)):
        base, head = _two_runs(number_broken, number_fixed, size)
        found = compare(base, head)
        detectable = mcnemar(broken, fixed) < 0.05
        assert (raw[0] > 0) != detectable
        assert found.conclusion == ({1: "better", -1: "worse"}[sign] if detectable else "no detectable difference")
        nearer = found.difference_low if sign == 1 else found.difference_high
        assert nearer == 0


def _two_runs(broken: int, fixed: int, size: int) -> tuple[Diagnosis, Diagnosis]:
    """Two runs. `broken` images are correct only in the first, `fixed` images only in the second."""
    labels = np.zeros(size, int)
    data = LabelledImages(np.zeros((size, 1, 1, 1), "uint8"), labels)
    facts = dataset_facts(Dataset("toys", "", ("cat", "dog"), data, data))
    answers = np.arange(size) < fixed, (np.arange(size) >= fixed) & (np.arange(size) < fixed + broken)
    run = RunFacts("fast", 1, "CPU", "tensorflow", "", None, {}, {}, (0.0, 255.0))
    parts = {"files": (), "range_test": None, "range_test_note": None, "training": None, "run": run}
    heatmaps = HeatmapFacts("Grad-CAM", "relu", 0)
    base, head = (
        assemble(facts, Predictions.from_scores(np.eye(2)[wrong.astype(int)] * 5, labels), **parts, heatmaps=heatmaps)
        for wrong in answers
    )  # fmt: skip
    return base, head


def test_broken_images_are_among_the_mistakes_of_this_run(diagnosed: Diagnose, comparison: Comparison) -> None:
    mistakes = diagnosed(NOW).misclassified.items
    assert [mistakes[place].index for place in comparison.broken] == [5, 3]  # the highest loss first


def test_fixed_images_are_mistakes_of_the_earlier_run(diagnosed: Diagnose, comparison: Comparison) -> None:
    assert [each.index for each in comparison.fixed] == [2, 1]
    assert all(each in diagnosed(BEFORE).misclassified.items for each in comparison.fixed)


def test_the_figures_are_counted_on_fingers(diagnosed: Diagnose, comparison: Comparison) -> None:
    assert comparison.difference == 0
    assert (comparison.difference_low, comparison.difference_high) == paired_interval(2, 2, 6)
    assert comparison.p_value == 1
    assert comparison.base == diagnosed(BEFORE).test
    assert comparison.base_calibration_error == diagnosed(BEFORE).calibration.error
    assert comparison.classes == [
        ClassChange(0, 0.5, 1.0, 0, 1),
        ClassChange(1, 0.5, 0.5, 1, 1),
        ClassChange(2, 0.5, 0.0, 1, 0),
    ]


def test_the_difference_is_this_run_minus_the_earlier_one(diagnosed: Diagnose) -> None:
    better = compare(diagnosed(BEFORE), diagnosed([0, 0, 1, 1, 1, 2]))
    assert (better.difference, len(better.fixed), len(better.broken)) == (pytest.approx(2 / 6), 2, 0)
    worse = compare(diagnosed([0, 0, 1, 1, 1, 2]), diagnosed(BEFORE))
    assert (worse.difference, len(worse.fixed), len(worse.broken)) == (pytest.approx(-2 / 6), 0, 2)


def test_a_run_beside_itself_has_not_changed(diagnosed: Diagnose) -> None:
    same = compare(diagnosed(NOW), diagnosed(NOW))
    assert (same.broken, same.fixed, same.difference, same.p_value, same.changes) == ([], [], 0, 1, [])


def test_a_baseline_without_any_confidence_has_no_calibration_error(diagnosed: Diagnose) -> None:
    base = dataclasses.replace(diagnosed(BEFORE), calibration=Calibration(None, []))
    assert compare(base, diagnosed(NOW)).base_calibration_error is None


def test_an_absent_class_has_no_recall_before_or_after(diagnosed: Diagnose, dataset: Dataset) -> None:
    labels = np.array([0, 0, 1, 1, 1, 1])
    two = dataclasses.replace(dataset, test=dataclasses.replace(dataset.test, labels=labels))
    assert compare(diagnosed(BEFORE, of=two), diagnosed(NOW, of=two)).classes[2] == ClassChange(2, None, None, 0, 0)


def test_what_was_set_otherwise_is_told(diagnosed: Diagnose) -> None:
    base = diagnosed(BEFORE, model="slow", git_commit="a1", settings={"seed": 0, "old": 1}, versions={"keras": "3.14"})
    head = diagnosed(NOW, model="fast", git_commit=None, settings={"seed": 0, "new": True}, versions={"keras": "3.15"})
    changes = compare(base, head).changes
    assert changes == [
        SettingChange("new", None, True),
        SettingChange("keras", "3.14", "3.15"),
        SettingChange("commit", "a1", None),
        SettingChange("old", 1, None),
    ]
    assert (compare(base, head).base_model, compare(base, head).base_commit) == ("slow", "a1")


def test_other_test_images_are_refused(diagnosed: Diagnose, dataset: Dataset) -> None:
    fewer = dataclasses.replace(dataset, test=dataset.test.take(np.array([2, 1, 0, 3, 4, 5])), name="photos")
    with pytest.raises(ComparisonError, match=r"same test images.*Received: 6 of 'toys' .* in the run, 6 of 'photos'"):
        compare(diagnosed(BEFORE, of=fewer), diagnosed(NOW))


def test_training_images_may_differ(diagnosed: Diagnose, dataset: Dataset) -> None:
    fewer = dataclasses.replace(dataset, train=dataset.train.take(np.array([0, 1])))
    assert compare(diagnosed(BEFORE, of=fewer), diagnosed(NOW)).difference == 0


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("cat", "wolf", "frog"), "class 1 is 'dog' of 3 classes in the run, class 1 is 'wolf' of 3 classes"),
        (("dog", "cat", "frog"), "class 0 is 'cat' of 3 classes in the run, class 0 is 'dog' of 3 classes"),
        (("cat", "dog", "frog", "newt"), "Received: 3 classes in the run, 4 classes in the baseline"),
    ],
)
def test_other_classes_are_refused(diagnosed: Diagnose, classes: tuple[str, ...], words: str) -> None:
    base = diagnosed(BEFORE)
    other = dataclasses.replace(base, dataset=dataclasses.replace(base.dataset, classes=list(classes)))
    with pytest.raises(ComparisonError, match="same classes") as error:
        compare(other, diagnosed(NOW))
    assert words in str(error.value)
