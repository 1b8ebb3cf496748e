"""A synthetic run, the same on every machine, and its variants."""

from __future__ import annotations

import dataclasses
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.browser import browser, ordinary, own_tab, serve, without_script  # noqa: F401 – fixtures
from fixtures.exhibits import noisy_patches, with_findings
from fixtures.variants import changed, with_sheet, without_sheets

from lrdiag.intervals import wilson
from lrdiag.record.arrays import SkippedFile
from lrdiag.record.data_facts import DataFacts, ImageRef, Slice, Suspect, packed
from lrdiag.record.facts import (
    Averages,
    Calibration,
    CalibrationBin,
    Check,
    ClassFacts,
    ConfusedPair,
    DatasetFacts,
    Diagnosis,
    Epoch,
    Evolution,
    Finding,
    HeatmapFacts,
    HeatmapTrust,
    Misclassified,
    Mistake,
    Moment,
    RangeTestFacts,
    Run,
    Score,
    Seconds,
    TimeSpent,
    TrainingRun,
    WatchedImage,
)
from lrdiag.record.pictures import FILES, Pictures
from lrdiag.report.baseline import set_beside
from lrdiag.report.page import render_page
from lrdiag.report.pictures.sheets import difference_sheet, heatmap_sheet, image_sheet

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CONFUSED = {(3, 5): 14, (5, 3): 9, (1, 9): 6, (0, 8): 4, (4, 7): 3, (2, 6): 2, (9, 1): 1, (8, 0): 1}
TEST_IMAGES_PER_CLASS = 20
CROWD = 2500
GOLD = Path(__file__).parent / "gold"

HOSTILE = [
    """</script><script>alert("1")</script>""",
    """" onmouseover="alert(1)' x='{{ 7 * 7 }}""",
    "\u202egnp.tac\u202c \u05d0\u05d1\u05d2 \u0645\u0631\u062d\u0628\u0627",
    "W" * 10_000,
    "👩🏽‍🚀 | pipe `tick` *star* @octocat #1 https://example.org",
    "line\nbreak\ttab \x00\x1b\ud800\ufffe",
    "]]> --> <!-- </style></title></svg>",
    "",
]


def make_run(confused: dict[tuple[int, int], int], classes: list[str], each: int = TEST_IMAGES_PER_CLASS) -> Run:
    """A run with these numbers of mistakes of each pair of classes. Images are noise."""
    rng = np.random.default_rng(0)
    pairs = [pair for pair, number in confused.items() for _ in range(number)]
    images = rng.integers(0, 256, (len(pairs), 32, 32, 3)).astype(np.uint8)
    maps = rng.random((len(pairs), 4, 4)).astype(np.float32)
    return assemble(confused, classes, each, images, maps)


def assemble(
    confused: dict[tuple[int, int], int], classes: list[str], each: int, images: np.ndarray, maps: np.ndarray
) -> Run:
    """The run with these images and heatmaps of its mistakes."""
    matrix = np.diag([each] * len(classes))
    for (true, predicted), number in confused.items():
        matrix[true, predicted] += number
        matrix[true, true] -= number
    pairs = [pair for pair, number in confused.items() for _ in range(number)]
    items = [make_mistake(place, true, predicted, len(classes)) for place, (true, predicted) in enumerate(pairs)]
    samples = np.random.default_rng(1).integers(0, 256, (2 * len(classes), 32, 32, 3)).astype(np.uint8)
    pictures = Pictures()
    pictures.add("samples", image_sheet(samples, FILES["samples"]))
    if items:
        peaks = maps.max(axis=(1, 2))
        pictures.add("mistakes", image_sheet(images, FILES["mistakes"]))
        pictures.add("mistakes-predicted", heatmap_sheet(maps, peaks, FILES["mistakes-predicted"]))
        pictures.add("mistakes-true", heatmap_sheet(maps[::-1], peaks, FILES["mistakes-true"]))
        difference = difference_sheet(maps - maps[::-1], peaks, FILES["mistakes-difference"])
        pictures.add("mistakes-difference", difference)
        means = np.random.default_rng(2).random((2 * len(classes) + 2, 4, 4)).astype(np.float32)
        pictures.add("class-means", heatmap_sheet(means, np.ones(len(means)), FILES["class-means"]))
    return Run(make_diagnosis(classes, matrix, items), pictures)


def make_mistake(place: int, true: int, predicted: int, classes: int) -> Mistake:
    """The mistake at this place of the ranking. The true class is the second most probable."""
    others = [index for index in range(classes) if index not in (true, predicted)]
    confidence = 0.5 + 0.4 / (place + 1)
    return Mistake(
        index=7 * place,
        true=true,
        predicted=predicted,
        confidence=confidence,
        loss=5.0 / (place + 1),
        top_classes=[predicted, true, *others][:5],
        top_probabilities=[confidence, 0.0625, 0.03125, 0.015625, 0.0001][: min(5, classes)],
    )


def make_class(name: str, right: int, support: int) -> ClassFacts:
    recall = right / support if support else None
    return ClassFacts(name, 0.8, recall, 0.81, support, *(wilson(right, support) if support else (None, None)))


def make_diagnosis(classes: list[str], matrix: np.ndarray, items: list[Mistake]) -> Diagnosis:
    size, each = int(matrix.sum()), matrix.sum(axis=1).tolist()
    shares = matrix / matrix.sum(axis=1, keepdims=True)
    wrong = sorted(zip(*np.nonzero(matrix - np.diag(np.diag(matrix))), strict=True), key=lambda ij: -matrix[ij])
    return Diagnosis(
        dataset=DatasetFacts(
            "cifar10", "a folder", None, classes, [32, 32, 3], 4500, 500, size, [450] * len(classes), each, "0f" * 32
        ),
        model="fast",
        parameters=1_218_346,
        range_test=make_range_test(),
        range_test_note=None,
        training=make_training(),
        test=make_score(size, float(np.trace(matrix) / size), 0.741, 0.848, 0.6234),
        calibration=make_calibration(size),
        per_class=[make_class(name, int(matrix[index, index]), each[index]) for index, name in enumerate(classes)],
        confusion=matrix.tolist(),
        confused_pairs=[ConfusedPair(int(i), int(j), int(matrix[i, j]), float(shares[i, j])) for i, j in wrong],
        misclassified=Misclassified(len(items), items),
        heatmaps=HeatmapFacts(
            "Grad-CAM", "conv2d_7", len(items), trust=HeatmapTrust(100, 0.02, 0.31, 0.42, 0.08, 0.14)
        ),
        findings=[
            Finding(
                "overfitting",
                "warning",
                "The model overfits.",
                "90.1 % against 78.9 %.",
                "Augment more.",
                0.112,
                0.05,
                [],
                "training",
            ),
            Finding(
                "confused-pair",
                "note",
                "“cat” is often predicted as “dog”.",
                "14 of 20 images.",
                "Look at them.",
                0.7,
                0.1,
                [0, 7],
                "confusion",
            ),
        ],
        checks=[
            Check("overfitting", "found", 0.112, 0.05),
            Check("at-chance", "passed", 0.8, 0.1416),
            Check("no-heatmaps", "passed"),
            Check("regression", "not checked", reason="the run was not compared with a baseline"),
            Check("confused-pair", "found", 0.7, 0.1),
        ],
        device="CPU",
        command="lrdiag train-and-report --data cifar10",
        git_commit="3f2a91c",
        settings={"data": "cifar10", "epochs": 3, "mixed_precision": False, "limit_train": None},
        versions={"python": "3.11.7", "keras": "3.15.1"},
        value_range=(0.0, 255.0),
        seconds=Seconds(6.1, 58.4, 4.2, 0.9, 78.3),
    )


def make_score(size: int, accuracy: float, low: float, high: float, loss: float | None, **others: Any) -> Score:
    means = {"macro": Averages(0.8125, 0.75, 0.78), "weighted": Averages(0.84, accuracy, 0.82)}
    return Score(
        size, accuracy, low, high, loss, **{"balanced_accuracy": 0.75, "top5_accuracy": 0.9375, **means, **others}
    )


def make_calibration(size: int) -> Calibration:
    """Fifteen bins; the lowest are empty, the highest are a little overconfident."""
    counts = [0] * 3 + [size // 16] * 11 + [size - 11 * (size // 16)]
    return Calibration(0.0625, [make_bin(place, count, count * place // 15) for place, count in enumerate(counts)])


def make_bin(place: int, count: int, right: int, confidence: float | None = None) -> CalibrationBin:
    """One of fifteen bins, with its interval; its mean confidence is its middle by default."""
    low, high = place / 15, (place + 1) / 15
    if not count:
        return CalibrationBin(low, high, 0, 0, None)
    return CalibrationBin(low, high, count, right, confidence or (low + high) / 2, *wilson(right, count))


def make_range_test() -> RangeTestFacts:
    """A descent between 1e-2 and 3e-1, then divergence; exact in binary, so that every machine draws the same."""
    rates = np.geomspace(1e-4, 10, 60)
    trend = 2.5 - np.clip(np.arange(60) - 24, 0, 16) / 16
    losses = trend + (np.arange(60) % 4 - 1.5) / 16
    losses[52:] += 2.0 ** np.arange(8)
    return RangeTestFacts(
        rates.tolist(), losses.tolist(), losses.tolist(), "the loss diverged", trend.tolist(), 0.05, 0.01, 0.25
    )


def make_training() -> TrainingRun:
    """Three epochs of eight steps each."""
    epochs = [
        Epoch(2.0, 0.25, 1.75, 0.375, 4.0),
        Epoch(1.25, 0.5, 1.0, 0.6875, 4.0),
        Epoch(0.75, 0.75, 1.0, 0.625, 4.0),
    ]
    rates = [0.25 * (1 + min(step, 23 - step)) / 12 for step in range(24)]
    losses: list[float | None] = [2.5 - step / 16 for step in range(24)]
    time = TimeSpent(1.5, 6.0, 0.5, 2.0, 0.25, 1.25, compilations=1)
    recipe = ("SGD, momentum 0.9", "one triangular cycle")
    return TrainingRun(epochs, rates, losses, 8, 3, *recipe, None, 12.0, time=time)


def _fallback() -> Run:
    run = make_run(CONFUSED, CLASSES)
    reason = "CIFAR-10 could not be downloaded."
    title = "CIFAR-10 was not available. The digits data was used instead."
    finding = Finding("stand-in-data", "error", title, reason, "…")
    return changed(run, dataset=dataclasses.replace(run.diagnosis.dataset, fallback=reason), findings=[finding])


def _diverged() -> Run:
    run = make_run(CONFUSED, CLASSES)
    reason = "the loss was not finite at step 5 of epoch 1"
    training = dataclasses.replace(
        run.diagnosis.training, epochs=[], learning_rate_per_step=[0.1] * 5, loss_per_step=[2.0, 3.0, 9.0, 99.0, None],
        stop_reason=reason,
    )  # fmt: skip
    finding = Finding("training-stopped", "error", f"Training stopped early: {reason}.", "5 of 24 steps.", "Lower it.")
    return changed(run, training=training, findings=[finding], test=make_score(200, 0.1, 0.066, 0.149, None))


def _no_heatmaps() -> Run:
    run = make_run(CONFUSED, CLASSES)
    run = without_sheets(run, "mistakes-predicted", "mistakes-true", "mistakes-difference", "class-means")
    return changed(run, heatmaps=HeatmapFacts("Grad-CAM", None, 0, "The network has no convolution."))


def _no_range_test() -> Run:
    note = "The learning rate was given, so none was looked for."
    return changed(make_run(CONFUSED, CLASSES), range_test=None, range_test_note=note, findings=[])


def _unread_range_test() -> Run:
    run = make_run(CONFUSED, CLASSES)
    test = dataclasses.replace(run.diagnosis.range_test, trend=[], suggestion=None, base_lr=None, max_lr=None)
    return changed(run, range_test=test, range_test_note="The loss never descends clearly.")


def _hostile() -> Run:
    confused = {(true, (true + 1) % len(HOSTILE)): 3 for true in range(len(HOSTILE))}
    run = make_run(confused, HOSTILE)
    nasty = " ".join(HOSTILE)
    misclassified = Misclassified(
        run.diagnosis.misclassified.count,
        [dataclasses.replace(item, file=nasty) for item in run.diagnosis.misclassified.items],
    )
    run = changed(
        run, misclassified=misclassified, model=nasty, command=nasty, device=nasty, git_commit=nasty,
        settings={nasty: nasty}, versions={nasty: nasty}, range_test_note=nasty,
        dataset=dataclasses.replace(run.diagnosis.dataset, name=nasty, source=nasty, fallback=nasty),
    )  # fmt: skip
    run = with_findings(run, (nasty, "an effect"), noise(4), each=9, text=nasty)
    finding, effect = run.diagnosis.findings
    return changed(run, findings=[dataclasses.replace(finding, severity="error", effects=[effect])])


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def _many_classes() -> Run:
    return make_run({(0, 41): 3, (7, 8): 2}, [f"class {index}" for index in range(42)])


def _many_pairs() -> Run:
    """More confused pairs than one list shows."""
    pairs = [(i, j) for i in range(12) for j in range(12) if i != j]
    return make_run(dict.fromkeys(pairs, 1), [f"class {index}" for index in range(12)])


def _left_out() -> Run:
    """Only some of the mistakes have a picture."""
    run = make_run(CONFUSED, CLASSES)
    shown = make_run({(3, 5): 2, (9, 1): 1}, CLASSES)
    for name in ("mistakes", "mistakes-predicted", "mistakes-true", "mistakes-difference"):
        shown = with_sheet(shown, name, items=[0, 2, 38])
    return dataclasses.replace(run, pictures=shown.pictures)


def _from_files() -> Run:
    run = make_run(CONFUSED, CLASSES)
    items = [dataclasses.replace(item, file=f"test/{item.true}/IMG_{item.index}.png") for item in mistakes(run)]
    return changed(run, misclassified=Misclassified(len(items), items))


def mistakes(run: Run) -> list[Mistake]:
    return run.diagnosis.misclassified.items


def _not_numbers() -> Run:
    """The model returned NaN, as after a divergence."""
    run = make_run(CONFUSED, CLASSES)
    items = [
        dataclasses.replace(item, confidence=None, loss=None, top_probabilities=[None] * 5) for item in mistakes(run)
    ]
    trust = dataclasses.replace(run.diagnosis.heatmaps, trust=None)
    unknown = Calibration(None, [make_bin(place, 0, 0) for place in range(15)])
    return changed(run, misclassified=Misclassified(len(items), items), heatmaps=trust, calibration=unknown)


def compared(head: Run) -> Run:
    """The run compared with an earlier one that classified its last four mistakes correctly, and made five others."""
    diagnosis = head.diagnosis
    kept, classes = diagnosis.misclassified.count - 4, len(diagnosis.dataset.classes)
    base = make_run({(0, 1): kept, (1, 0): 5}, diagnosis.dataset.classes, each=kept)
    items = diagnosis.misclassified.items[:kept] + [
        dataclasses.replace(item, index=item.index + 1, true=classes - 1, predicted=0)
        for item in base.diagnosis.misclassified.items[kept:]
    ]
    per_class = [dataclasses.replace(each, recall=0.75) for each in diagnosis.per_class]
    base = changed(
        base, dataset=diagnosis.dataset, misclassified=Misclassified(len(items), items), model=f"{diagnosis.model} 0",
        per_class=per_class, settings=diagnosis.settings | {"epochs": 2, diagnosis.model: diagnosis.model},
        test=make_score(diagnosis.test.size, diagnosis.test.accuracy - 1 / diagnosis.test.size, 0.736, 0.843, 0.6543),
    )  # fmt: skip
    return set_beside(base, head)


def _without_training() -> Run:
    """The user's own model, evaluated alone: neither its training run nor its training images are known."""
    run = make_run(CONFUSED, CLASSES)
    dataset = dataclasses.replace(
        run.diagnosis.dataset, name="", source="", train_size=0, validation_size=0, train_counts=[0] * len(CLASSES)
    )
    return changed(
        without_sheets(run, "samples"), dataset=dataset, range_test=None, range_test_note=None, training=None,
        command="", git_commit=None, settings={}, seconds=Seconds(predict_and_explain=4.2),
    )  # fmt: skip


def _epochs_only() -> Run:
    """The content of a history: no steps, no times."""
    run = make_run(CONFUSED, CLASSES)
    assert run.diagnosis.training
    epochs = [dataclasses.replace(epoch, seconds=None) for epoch in run.diagnosis.training.epochs]
    training = TrainingRun(epochs, [], [], 1, 3, "Adam", "", None, None)
    return changed(run, training=training, range_test=None, range_test_note=None)


def _losses_only() -> Run:
    """The history of a model without accuracies, whose learning rate was logged in each epoch."""
    epochs = [Epoch(2.0, None, 1.75, None, None), Epoch(None, None, None, None, None), Epoch(0.75, None, 1.0, None, 4)]
    training = TrainingRun(epochs, [0.1, 0.05, 0.025], [], 1, 3, "", "", None, None)
    return changed(make_run(CONFUSED, CLASSES), training=training)


def _skipped() -> Run:
    run = make_run(CONFUSED, CLASSES)
    skipped = [SkippedFile(name, f"cannot be read: {name}") for name in HOSTILE]
    return changed(run, dataset=dataclasses.replace(run.diagnosis.dataset, skipped=skipped))


FOLLOWED = 5


def followed(run: Run) -> Run:
    """The run with five images of the first classes, followed from the first epoch to the last. Pictures are noise."""
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (FOLLOWED, 32, 32, 3)).astype(np.uint8)
    maps = rng.random((2 * FOLLOWED, 4, 4)).astype(np.float32)
    pictures = Pictures()
    pictures.add("evolution", image_sheet(noise, FILES["evolution"]))
    pictures.add("evolution-maps", heatmap_sheet(maps, maps.max(axis=(1, 2)), FILES["evolution-maps"]))
    images = [WatchedImage(7 * true, true, [Moment(true + 1, 0.5), Moment(true, 0.75)]) for true in range(FOLLOWED)]
    evolution = Evolution([1, 3], [0.625, 0.8], images)
    return Run(dataclasses.replace(run.diagnosis, evolution=evolution), run.pictures | pictures)


VARIANTS: dict[str, Callable[[], Run]] = {
    "ordinary": lambda: make_run(CONFUSED, CLASSES),
    "fallback": _fallback,
    "diverged": _diverged,
    "no heatmaps": _no_heatmaps,
    "no mistakes": lambda: make_run({}, CLASSES),
    "no range test": _no_range_test,
    "unread range test": _unread_range_test,
    "two classes": lambda: make_run({(0, 1): 2, (1, 0): 1}, ["cat", "dog"]),
    "many classes": _many_classes,
    "many pairs": _many_pairs,
    "left out": _left_out,
    "from files": _from_files,
    "not numbers": _not_numbers,
    "hostile names": _hostile,
    "compared": lambda: compared(make_run(CONFUSED, CLASSES)),
    "hostile and compared": lambda: compared(_hostile()),
    "from python": lambda: changed(make_run(CONFUSED, CLASSES), command="", git_commit=None),
    "without training": _without_training,
    "epochs only": _epochs_only,
    "losses only": _losses_only,
    "skipped": _skipped,
    "followed": lambda: followed(make_run(CONFUSED, CLASSES)),
    "hostile and followed": lambda: followed(_hostile()),
}


@pytest.fixture(scope="session")
def runs() -> dict[str, Run]:
    return {name: make() for name, make in VARIANTS.items()}


@pytest.fixture(scope="session")
def pages(runs: dict[str, Run]) -> dict[str, str]:
    return {name: render_page(run) for name, run in runs.items()}


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def page(pages: dict[str, str], variant: str) -> str:
    return pages[variant]


@pytest.fixture(scope="session")
def grouped(runs: dict[str, Run]) -> Run:
    """A run with two slices and a label suspect among its mistakes, and others that are no mistakes."""
    members = {"dark images": [0, 3, 14], "a cluster": [14, 21], "without mistakes": [5]}
    slices = [
        Slice(name, "brightness", len(places), 2, 0.3, 0.9, 180, 38, 0.2, 0.001, members=packed(np.array(places), 200))
        for name, places in members.items()
    ]
    images = [ImageRef("test", 14), ImageRef("train", 21), ImageRef("test", 5)]
    suspects = [Suspect(image, 3, 5, 0.9, "neighbours") for image in images]
    return changed(runs["ordinary"], data=DataFacts(suspects=suspects, slices=slices))


@pytest.fixture(scope="session")
def grouped_page(grouped: Run) -> str:
    return render_page(grouped)


@pytest.fixture(scope="session")
def crowded() -> Run:
    """The mistakes of a model with 75 % accuracy on CIFAR-10, with real images if `LRDIAG_DATA_DIR` has them."""
    numbers = np.full(90, CROWD // 90) + (np.arange(90) < CROWD % 90)
    pairs = [(i, j) for i in range(10) for j in range(10) if i != j]
    y, x = np.mgrid[0:4, 0:4]
    centres = np.random.default_rng(2).uniform(0, 3, (CROWD, 2, 1, 1))
    maps = np.exp(-((x - centres[:, 0]) ** 2 + (y - centres[:, 1]) ** 2) / 2).astype(np.float32)
    confused = dict(zip(pairs, numbers.tolist(), strict=True))
    return assemble(confused, CLASSES, 1000, _images(CROWD), maps)


def _images(count: int) -> np.ndarray:
    folder = os.environ.get("LRDIAG_DATA_DIR")
    batches = sorted(Path(folder).rglob("test_batch")) if folder else []
    if batches:
        pixels = np.array(pickle.loads(batches[0].read_bytes(), encoding="bytes")[b"data"])
        return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)[:count]
    return noisy_patches(count, 32)


@pytest.fixture(scope="session")
def crowded_page(crowded: Run) -> str:
    return render_page(crowded)


@pytest.fixture
def gold() -> Callable[[str, str], None]:
    """Compares a text with the file of that name; see gold/README.md."""

    def compare(name: str, text: str) -> None:
        path = GOLD / name
        if os.environ.get("LRDIAG_UPDATE_GOLD"):
            path.write_text(text, encoding="utf-8")
        actual = Path(__file__).parents[1] / "actual" / name
        if text != path.read_text(encoding="utf-8"):
            actual.parent.mkdir(parents=True, exist_ok=True)
            actual.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"{path} differs from {actual}"

    return compare
