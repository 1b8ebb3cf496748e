"""Facts that contradict each other are refused when they are read, and every rule names what it found."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec
import pytest
from fixtures.diagnoses import facts_of

from lrdiag.errors import RunFolderError
from lrdiag.record.consistency import require_consistent
from lrdiag.record.data_facts import DataFacts, ImageRef, Slice, Suspect, packed
from lrdiag.record.documents import to_json
from lrdiag.record.facts import (
    Check,
    ClassChange,
    Comparison,
    Diagnosis,
    Evolution,
    Exhibit,
    Finding,
    GateFacts,
    Moment,
    PairChange,
    SliceChange,
    WatchedImage,
)
from lrdiag.record.pictures import FILES, Sheet, SheetName
from lrdiag.record.sheet_consistency import require_matching

CONFUSION = [[3, 1, 0], [2, 4, 0], [0, 0, 1]]


@pytest.fixture(scope="module")
def facts() -> Diagnosis:
    """A run of eleven images and three classes, three images misclassified, with everything that has indices."""
    bare = facts_of(CONFUSION)
    fixed = dataclasses.replace(bare.misclassified.items[0], index=0)
    comparison = Comparison(
        "old", None, bare.test, None, 0.0, -0.1, 0.1, 1.0, "no detectable difference", [2], [fixed],
        [ClassChange(index, 0.5, 0.5) for index in range(3)], [], [PairChange(0, 1, 1, 1, 0, 0)], 2,
        [SliceChange("dark", 4, 1, 2, 1, 0, [3])],
    )  # fmt: skip
    exhibits = [Exhibit(ImageRef("test", 4), "an image", [0, 1])]
    slices = [Slice("dark", "brightness", 2, 1, 0.1, 0.9, 9, 2, 0.2, 0.01, members=packed([3, 10], 11))]
    return dataclasses.replace(
        bare,
        comparison=comparison,
        evolution=Evolution([1, 3], [0.5, 0.7], [WatchedImage(10, 1, [Moment(0, 0.5), Moment(1, None)])]),
        findings=[Finding("weak-class", "warning", "t", "e", "a", images=[10], exhibits=exhibits)],
        checks=[Check("weak-class", "found"), Check("overfitting", "passed")],
        gates=[GateFacts("fail-on", "error", 0.0, 0.0, True)],
        data=DataFacts(suspects=[Suspect(ImageRef("test", 10), 0, 2, 0.9, "r")], slices=slices),
    )


def changed(facts: Diagnosis, value: Any, *path: str | int) -> Diagnosis:
    """The facts as they are read, with one other value."""
    document = json.loads(to_json(facts))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return msgspec.json.decode(json.dumps(document), type=Diagnosis)


def test_facts_that_agree_are_accepted(facts: Diagnosis) -> None:
    require_consistent(facts)
    require_consistent(facts_of([[1, 0], [0, 1]]))


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        (["a"], ("dataset", "classes"), "each list of classes.*Received: 1 classes and a list of 3"),
        ([[3, 1], [2, 4, 0], [0, 0, 1]], ("confusion",), "each list of classes.*Received: 3 classes and a list of 2"),
        ("other", ("per_class", 1, "name"), "the same name.*Received: the class '1' with the figures of 'other'"),
        (12, ("dataset", "test_size"), "the images of a set are counted once.*`test_size` 12"),
        (12, ("test", "size"), "the images of a set are counted once.*`test.size` 12"),
        (1, ("dataset", "train_size"), "the images of a set are counted once.*`train_size` 1"),
        (5, ("per_class", 0, "support"), "the images of a class are counted once.*`support` 5"),
        (0.8, ("test", "accuracy"), "the accuracy is that of the confusion matrix.*`accuracy` 0.8"),
        (0.9, ("test", "accuracy_low"), "inside its interval.*the interval 0.9 to"),
        (0.9, ("per_class", 0, "recall"), "recall and precision.*recall of class 0 0.9, the matrix 0.75"),
        (None, ("per_class", 1, "precision"), "recall and precision.*precision None of 5 images of class 1"),
        (3, ("confused_pairs", 0, "true"), "the confused pairs.*class 3 of 3"),
        (9, ("confused_pairs", 0, "count"), "the confused pairs.*9 images of class"),
        ([], ("confused_pairs",), "the confused pairs.*images in confused pairs 0, misclassified images 3"),
        (2, ("misclassified", "count"), "the mistakes.*`count` 2, misclassified images in the matrix 3"),
        (11, ("misclassified", "items", 0, "index"), "the mistakes.*image 11 of 11"),
        (5, ("misclassified", "items", 0, "index"), "the mistakes.*image 5 2 times"),
        (2, ("misclassified", "items", 0, "predicted"), "the mistakes.*mistakes of class"),
        ([9], ("misclassified", "items", 0, "top_classes"), "the mistakes.*1 classes and 3 probabilities"),
        ([0, 1, 9], ("misclassified", "items", 0, "top_classes"), "the mistakes.*class 9 of 3"),
        (12, ("calibration", "bins", 14, "right"), "the bins of the confidence.*12 of 11 images"),
        (None, ("calibration", "error"), "the bins of the confidence.*error None of 11 images"),
        ([], ("range_test", "learning_rates"), "the range test.*1 losses and 0 values of `learning_rates`"),
        ([1.0, 2.0], ("range_test", "trend"), "the range test.*1 losses and 2 values of `trend`"),
        (0.0, ("range_test", "suggestion"), "rates above 0.*a rate of 0"),
        ([0.1, 0.2], ("training", "learning_rate_per_step"), None),
        ([1, 1], ("evolution", "epochs"), r"the evolution.*the epochs \[1, 1\]"),
        ([0.5], ("evolution", "accuracies"), "the evolution.*2 epochs and a list of 1"),
        (3, ("evolution", "images", 0, "moments", 1, "predicted"), "the evolution.*class 3 of 3"),
        ([3], ("comparison", "broken"), "the comparison.*mistake 3 of 3"),
        ([2, 2], ("comparison", "broken"), "the comparison.*mistake 2 2 times"),
        (5, ("comparison", "fixed", 0, "index"), "the comparison.*image 5, which is misclassified"),
        (0.5, ("comparison", "difference"), "the comparison.*`difference` 0.5, fixed minus broken images 0"),
        (1, ("comparison", "classes", 0, "index"), r"the comparison.*the classes \[1, 1, 2\]"),
        (3, ("comparison", "pairs", 0, "true"), "the changes.*class 3 of 3"),
        (5, ("comparison", "slices", 0, "broken"), "the changes.*1, 2, 5 and 0 of 4 images"),
        ([11], ("findings", 0, "images"), "each rule has one result.*image 11 of 11"),
        (11, ("findings", 0, "exhibits", 0, "image", "index"), "each rule has one result.*image 11 of 11"),
        ("overfitting", ("checks", 0, "code"), "each rule has one result.*the check overfitting 2 times"),
        (None, ("gates", 0, "actual"), "a gate on findings.*None findings"),
        ("note", ("gates", 0, "name"), "a gate on findings.*the severity 'note'"),
        (3, ("data", "suspects", 0, "suggested"), "what was measured on labels.*class 3 of 3"),
        (3, ("data", "slices", 0, "wrong"), "a slice has as many images.*3 of 2 and 2 of 9 images"),
        ("QEA=", ("data", "slices", 0, "members"), None),
        ("/////", ("data", "slices", 0, "members"), "a slice has as many images.*the members of 'dark'"),
        ("", ("data", "slices", 0, "members"), None),
        ("//8=", ("data", "slices", 0, "members"), "a slice has as many images.*the members of 'dark'"),
        ({"data": 3}, ("settings",), "a setting has a value of its type.*`data` '3'"),
        ({"output": True}, ("settings",), "a setting has a value of its type.*`output` 'True'"),
        ([2.0, 1.0], ("value_range",), "values are in order.*values from 2.0 to 1.0"),
    ],
)
def test_what_contradicts_the_rest_is_refused_and_named(
    facts: Diagnosis, value: Any, path: tuple[str | int, ...], message: str | None
) -> None:
    read = changed(facts, value, *path)
    if message is None:
        require_consistent(read)
        return
    with pytest.raises(RunFolderError, match=rf"^The facts in report.json must agree.*{message}"):
        require_consistent(read)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (-1, ("parameters",)),
        (2**53, ("parameters",)),
        (1.5, ("test", "accuracy")),
        (0, ("training", "steps_per_epoch")),
        ([8, 8], ("dataset", "image_shape")),
        (1e308, ("test", "loss")),
        ("x" * 200_000, ("model",)),
    ],
)
def test_a_value_beyond_its_limits_is_refused_by_its_type(facts: Diagnosis, value: Any, path: tuple[str, ...]) -> None:
    with pytest.raises(msgspec.ValidationError, match=rf"at `\$\.{path[0]}"):
        changed(facts, value, *path)


SHEETS: dict[SheetName, Sheet] = {
    "mistakes": Sheet(FILES["mistakes"], 2, 2, 4, 4, 0, [0, 2]),
    "mistakes-predicted": Sheet(FILES["mistakes-predicted"], 2, 2, 1, 1, 1, [0, 2]),
    "class-means": Sheet(FILES["class-means"], 8, 3, 1, 1, 1),
    "samples": Sheet(FILES["samples"], 6, 3, 4, 4, 0),
    "fixed": Sheet(FILES["fixed"], 1, 1, 4, 4, 0, [0]),
    "evolution": Sheet(FILES["evolution"], 1, 1, 4, 4, 0),
    "evolution-maps": Sheet(FILES["evolution-maps"], 2, 2, 1, 1, 1),
    "findings": Sheet(FILES["findings"], 2, 2, 4, 4, 0),
}


def test_sheets_that_show_what_there_is_are_accepted(facts: Diagnosis) -> None:
    require_matching(facts, SHEETS)
    require_matching(facts, {})


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("samples", {"file": "conftest.py"}, "the file name of its kind.*'conftest.py' for the sheet 'samples'"),
        ("samples", {"file": FILES["mistakes"]}, "the file name of its kind"),
        ("mistakes", {"items": [0]}, "one entry for each picture.*1 entries and 2 pictures in 'mistakes'"),
        ("mistakes", {"items": [2, 0]}, "entries of 'mistakes' that are not ascending"),
        ("mistakes", {"items": [0, 3]}, "an entry that exists.*in 'mistakes' entry 3 of 3"),
        ("fixed", {"count": 2, "items": None}, "an entry that exists.*in 'fixed' entry 1 of 1"),
        ("mistakes-predicted", {"columns": 1}, "in the same places.*'mistakes-predicted' with other pictures"),
        ("mistakes-predicted", {"items": [0, 1]}, "in the same places"),
        ("class-means", {"count": 9}, "the pictures of its kind.*9 pictures instead of 8 in 'class-means'"),
        ("samples", {"count": 7}, "the pictures of its kind.*7 pictures of 3 classes in 'samples'"),
        ("evolution", {"count": 2}, "2 pictures instead of 1 in 'evolution'"),
        ("evolution-maps", {"count": 1}, "1 pictures instead of 2 in 'evolution-maps'"),
        ("findings", {"count": 1}, "an exhibit has pictures that exist.*picture 1 of 1"),
    ],
)
def test_a_sheet_that_shows_something_else_is_refused(
    facts: Diagnosis, name: SheetName, changes: dict[str, Any], message: str
) -> None:
    sheets = SHEETS | {name: dataclasses.replace(SHEETS[name], **changes)}
    with pytest.raises(RunFolderError, match=rf"^The facts in pictures.json must agree.*{message}"):
        require_matching(facts, sheets)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("mistakes", "'mistakes-predicted' with"),
        ("evolution", "'evolution-maps' without"),
        ("findings", "picture 1 of 0"),
    ],
)
def test_heatmaps_without_their_images_are_refused(facts: Diagnosis, missing: SheetName, message: str) -> None:
    sheets = {name: sheet for name, sheet in SHEETS.items() if name != missing}
    with pytest.raises(RunFolderError, match=message):
        require_matching(facts, sheets)
