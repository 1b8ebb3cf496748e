"""How single images came to be seen as they are."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lrdiag.errors import DataError
from lrdiag.evaluation.evaluator import Evaluated
from lrdiag.evaluation.evolution import SHOWN, WATCHED, Memory
from lrdiag.explain.engine import Explained
from lrdiag.record.arrays import Predictions
from lrdiag.record.facts import HeatmapFacts

COUNT, SIDE = 30, 8
LABELS = np.zeros(COUNT, np.int64)
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype="uint8")


def evaluated(wrong: dict[int, float], fingerprint: str = "same") -> Evaluated:
    """Every image is of class 0; those in `wrong` are taken for class 1 with that probability."""
    probabilities = np.tile([0.9, 0.1], (COUNT, 1))
    for index, probability in wrong.items():
        probabilities[index] = 1 - probability, probability
    predictions = Predictions(np.log(probabilities), LABELS)
    mistakes = IMAGES[predictions.misclassified]
    facts = HeatmapFacts("Grad-CAM", "conv", len(mistakes))
    return Evaluated(predictions, None, facts, mistakes, (SIDE, SIDE, 3), (0, 255), fingerprint, True, None)


def test_one_checkpoint_is_no_evolution() -> None:
    memory = Memory()
    memory.evaluate(1, returning(evaluated({3: 0.8})))
    assert memory.evolution() == (None, {})


def returning(result: Evaluated, maps: np.ndarray | None = None) -> Callable[[Callable[[Explained], None]], Evaluated]:
    """Tells of the maps in two batches."""

    def evaluate(on_batch: Callable[[Explained], None]) -> Evaluated:
        for half in (slice(0, 20), slice(20, COUNT)):
            scores = result.predictions.log_probabilities[half]
            nothing = np.empty((0, 2, 2))
            on_batch(Explained(scores, np.empty(0), nothing, nothing, None if maps is None else maps[half]))
        return result

    return evaluate


def followed(*states: dict[int, float]) -> Memory:
    memory = Memory()
    for epoch, wrong in enumerate(states, 1):
        memory.evaluate(epoch, returning(evaluated(wrong)))
    return memory


def test_mistakes_of_the_end_and_those_that_were_fixed_are_followed() -> None:
    evolution, pictures = followed({3: 0.8, 5: 0.6}, {}, {7: 0.7, 3: 0.9}).evolution()
    assert evolution is not None
    assert evolution.epochs == [1, 2, 3]
    assert evolution.accuracies == pytest.approx([28 / 30, 1, 28 / 30])
    assert [image.index for image in evolution.images] == [3, 7, 5]  # the highest loss first, then what was fixed
    first = [
        (each.predicted, round(each.confidence, 3), round(each.true_probability, 3))
        for each in evolution.images[0].moments
    ]
    assert first == [(1, 0.8, 0.2), (0, 0.9, 0.9), (1, 0.9, 0.1)]
    assert {image.true for image in evolution.images} == {0}
    assert evolution.heatmaps is None
    assert evolution.photographs is not None
    assert list(pictures) == [evolution.photographs.file]
    assert evolution.photographs.count == 3


def test_each_picture_is_that_of_its_image() -> None:
    evolution, pictures = followed({3: 0.8, 5: 0.6}, {7: 0.7, 3: 0.9}).evolution()
    assert evolution is not None
    sheet = evolution.photographs
    assert sheet is not None
    drawn = np.asarray(Image.open(BytesIO(pictures[sheet.file])).convert("RGB")).astype(float)
    for place, image in enumerate(evolution.images):
        row, column = divmod(place, sheet.columns)
        top, left = (row * (sheet.height + 2 * sheet.padding), column * (sheet.width + 2 * sheet.padding))
        cell = drawn[top + sheet.padding :, left + sheet.padding :][: sheet.height, : sheet.width]
        distances = [np.abs(cell - each).mean() for each in IMAGES]
        assert int(np.argmin(distances)) == image.index


@pytest.mark.parametrize(
    ("still", "fixed", "expected"),
    [(20, 20, (6, 6)), (2, 20, (2, 10)), (20, 3, (9, 3)), (0, 4, (0, 4)), (4, 0, (4, 0))],
)
def test_half_are_still_mistakes_and_half_fixed_where_there_are_as_many(
    still: int, fixed: int, expected: tuple[int, int]
) -> None:
    last = dict.fromkeys(range(min(still, 15)), 0.8)
    first = dict.fromkeys(range(15, 15 + min(fixed, 15)), 0.8)
    evolution, _ = followed(first, last).evolution()
    assert evolution is not None
    indices = [image.index for image in evolution.images]
    assert (sum(index < 15 for index in indices), sum(index >= 15 for index in indices)) == expected
    assert len(indices) <= WATCHED


def test_where_nothing_was_ever_wrong_there_is_nothing_to_show() -> None:
    assert followed({}, {}).evolution() == (None, {})


def test_pictures_of_the_times_between_are_let_go() -> None:
    memory, pictures = Memory(), []
    for epoch in (1, 2, 3, 4):
        result = evaluated({3: 0.8})
        pictures.append(weakref.ref(result.mistakes))
        memory.evaluate(epoch, returning(result))
        del result
    gc.collect()
    assert [each() is None for each in pictures] == [False, True, True, False]
    assert memory.evolution()[0] is not None


def test_of_many_epochs_some_are_shown_the_first_and_the_last_among_them() -> None:
    evolution, _ = followed(*[{3: 0.8}] * 25).evolution()
    assert evolution is not None
    assert len(evolution.epochs) == SHOWN
    assert (evolution.epochs[0], evolution.epochs[-1]) == (1, 25)
    assert all(len(image.moments) == SHOWN for image in evolution.images)


def test_a_later_checkpoint_of_the_same_epoch_takes_its_place() -> None:
    memory = followed({3: 0.8}, {5: 0.8})
    memory.evaluate(2, returning(evaluated({7: 0.8})))
    evolution, _ = memory.evolution()
    assert evolution is not None
    assert evolution.epochs == [1, 2]
    assert [image.index for image in evolution.images] == [7, 3]


def test_maps_stand_by_image_and_then_by_epoch() -> None:
    memory = Memory()
    for epoch in (1, 2):
        maps = np.full((COUNT, 2, 2), -1.0, np.float32)
        maps[3, epoch - 1, 0] = epoch
        maps[7, 0, epoch - 1] = 5.0
        memory.evaluate(epoch, returning(evaluated({3: 0.8, 7: 0.7}), maps))
    evolution, pictures = memory.evolution()
    assert evolution is not None
    sheet = evolution.heatmaps
    assert sheet is not None
    assert (sheet.count, sheet.width, sheet.height) == (4, 2, 2)
    drawn = np.asarray(Image.open(BytesIO(pictures[sheet.file])).convert("RGBA"))[..., 3]
    peaks = []
    for place in range(4):
        row, column = divmod(place, sheet.columns)
        top, left = row * (2 + 2 * sheet.padding) + sheet.padding, column * (2 + 2 * sheet.padding) + sheet.padding
        cell = drawn[top : top + 2, left : left + 2]
        peaks.append(tuple(int(axis) for axis in np.unravel_index(cell.argmax(), cell.shape)))
        assert np.count_nonzero(cell) == 1  # what is below zero is not drawn
    assert peaks == [(0, 0), (1, 0), (0, 0), (0, 1)]


def test_other_images_or_another_order_are_refused() -> None:
    memory = followed({3: 0.8})
    with pytest.raises(DataError, match=r"same images in the same order.*shuffle=False.*than after epoch 1"):
        memory.evaluate(2, returning(evaluated({3: 0.8}, fingerprint="other")))
