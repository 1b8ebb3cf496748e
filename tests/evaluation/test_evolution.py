"""How the predictions for single images change during training."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from lrdiag.evaluation.evaluated import Evaluated
from lrdiag.evaluation.evolution import OTHER_ORDER, SHOWN, WATCHED, Memory, Watched
from lrdiag.record.arrays import Predictions
from lrdiag.record.facts import HeatmapFacts

COUNT, SIDE = 30, 8
LABELS = np.zeros(COUNT, np.int64)
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype="uint8")


def evaluated(wrong: dict[int, float], fingerprint: str = "same", maps: np.ndarray | None = None) -> Evaluated:
    """Every image is of class 0; those in `wrong` are predicted as class 1 with that probability."""
    probabilities = np.tile([0.9, 0.1], (COUNT, 1))
    for index, probability in wrong.items():
        probabilities[index] = 1 - probability, probability
    predictions = Predictions(np.log(probabilities), LABELS)
    mistakes = IMAGES[predictions.misclassified]
    facts = HeatmapFacts("Grad-CAM", "conv", len(mistakes))
    return Evaluated(
        predictions,
        None,
        facts,
        mistakes,
        (SIDE, SIDE, 3),
        (0, 255),
        fingerprint,
        True,
        None,
        maps,
        mistake_indices=predictions.misclassified,
    )


def test_one_checkpoint_gives_no_evolution() -> None:
    assert followed({3: 0.8}).watched() is None


def followed(*states: dict[int, float]) -> Memory:
    memory = Memory()
    for epoch, wrong in enumerate(states, 1):
        memory.add(epoch, evaluated(wrong))
    return memory


def watched(memory: Memory) -> Watched:
    result = memory.watched()
    assert result is not None
    return result


def test_the_last_mistakes_and_corrected_ones_are_followed() -> None:
    evolution = watched(followed({3: 0.8, 5: 0.6}, {}, {7: 0.7, 3: 0.9})).facts
    assert evolution.epochs == [1, 2, 3]
    assert evolution.accuracies == pytest.approx([28 / 30, 1, 28 / 30])
    assert [image.index for image in evolution.images] == [3, 7, 5]  # the highest loss first, then what was fixed
    first = [(each.predicted, round(each.confidence, 3)) for each in evolution.images[0].moments]
    assert first == [(1, 0.8), (0, 0.9), (1, 0.9)]
    assert {image.true for image in evolution.images} == {0}


def test_each_image_is_at_its_place_and_without_maps_there_are_none() -> None:
    result = watched(followed({3: 0.8, 5: 0.6}, {7: 0.7, 3: 0.9}))
    np.testing.assert_array_equal(result.images, IMAGES[[image.index for image in result.facts.images]])
    assert result.maps is None


@pytest.mark.parametrize(
    ("still", "fixed", "expected"),
    [(20, 20, (6, 6)), (2, 20, (2, 10)), (20, 3, (9, 3)), (0, 4, (0, 4)), (4, 0, (4, 0))],
)
def test_half_of_the_images_were_corrected_if_there_are_as_many(
    still: int, fixed: int, expected: tuple[int, int]
) -> None:
    last = dict.fromkeys(range(min(still, 15)), 0.8)
    first = dict.fromkeys(range(15, 15 + min(fixed, 15)), 0.8)
    indices = [image.index for image in watched(followed(first, last)).facts.images]
    assert (sum(index < 15 for index in indices), sum(index >= 15 for index in indices)) == expected
    assert len(indices) <= WATCHED


def test_without_mistakes_there_is_no_evolution() -> None:
    assert followed({}, {}).watched() is None


def test_images_of_checkpoints_in_between_are_freed() -> None:
    memory, images = Memory(), []
    for epoch in (1, 2, 3, 4):
        result = evaluated({3: 0.8})
        images.append(weakref.ref(result.mistakes))
        memory.add(epoch, result)
        del result
    gc.collect()
    assert [each() is None for each in images] == [False, True, True, False]
    assert memory.watched() is not None


def test_of_many_epochs_the_first_the_last_and_some_in_between_are_shown() -> None:
    evolution = watched(followed(*[{3: 0.8}] * 25)).facts
    assert len(evolution.epochs) == SHOWN
    assert (evolution.epochs[0], evolution.epochs[-1]) == (1, 25)
    assert all(len(image.moments) == SHOWN for image in evolution.images)


def test_a_later_checkpoint_of_the_same_epoch_replaces_the_first() -> None:
    memory = followed({3: 0.8}, {5: 0.8})
    memory.add(2, evaluated({7: 0.8}))
    evolution = watched(memory).facts
    assert evolution.epochs == [1, 2]
    assert [image.index for image in evolution.images] == [7, 3]


def test_maps_are_ordered_by_image_and_then_by_epoch() -> None:
    memory = Memory()
    for epoch in (1, 2):
        maps = np.zeros((COUNT, 2, 2), np.float16)
        maps[3, epoch - 1, 0] = epoch
        maps[7, 0, epoch - 1] = 5.0
        memory.add(epoch, evaluated({3: 0.8, 7: 0.7}, maps=maps))
    maps = watched(memory).maps
    assert maps is not None
    assert (maps.shape, maps.dtype) == ((4, 2, 2), np.float32)
    assert [tuple(np.argwhere(each)[0].tolist()) for each in maps] == [(0, 0), (1, 0), (0, 0), (0, 1)]
    assert maps.max(axis=(1, 2)).tolist() == [1, 2, 5, 5]


def test_with_other_images_or_another_order_nothing_is_shown() -> None:
    """Training goes on: an error would end it."""
    memory = followed({3: 0.8}, {5: 0.8})
    assert memory.notes == ()
    memory.add(3, evaluated({3: 0.8}, fingerprint="other"))
    memory.add(4, evaluated({3: 0.8}, fingerprint="other"))
    memory.add(5, evaluated({3: 0.8}, fingerprint="other"))
    assert memory.watched() is None
    assert memory.notes == (OTHER_ORDER,)
