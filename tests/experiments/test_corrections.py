"""Corrections of test images, tried on a model whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fixtures.inputs import by_colour, coloured, received

from lrdiag.experiments.changes import Change
from lrdiag.experiments.corrections import Trial, try_corrections
from lrdiag.experiments.scoring import BATCH, in_batches
from lrdiag.record.arrays import Predictions
from lrdiag.record.data_facts import LIKE_TRAINING

IMAGES, LABELS = coloured(600)
TRAINING = received(*coloured(900, seed=1), part="train")


def scores(inputs: np.ndarray) -> np.ndarray:
    assert inputs.shape[0] == BATCH  # it is compiled for one size
    assert inputs.dtype == np.float32
    return by_colour(inputs)


@pytest.mark.parametrize("training", [None, TRAINING])
@pytest.mark.parametrize(
    ("inputs", "name", "code"),
    [
        (IMAGES[..., ::-1], "channels reversed", "x = x[..., ::-1]"),
        (255 * IMAGES, "divided by 255", "x = x / 255"),
    ],
)
def test_the_best_correction_is_named(inputs: np.ndarray, name: str, code: str, training: object) -> None:
    tried, changed = try_corrections(scores, received(inputs, LABELS), training)  # type: ignore[arg-type]
    best = tried[0]
    assert (best.part, best.name, best.code, best.images, best.after) == ("test", name, code, 512, 1.0)
    assert best.before < 0.6
    assert 0 < best.low <= best.gain
    assert best.p_value < 1e-9
    order = [(each.images, each.gain) for each in tried]
    assert order == sorted(order, reverse=True)
    assert list(changed) == [name]
    shown = changed[name][0]
    assert shown.before.shape == shown.after.shape == (8, 8, 3)
    label = LABELS[shown.image.index]
    assert (shown.after[..., 0].mean() > shown.after[..., 2].mean()) == (label == 0)


def test_two_corrections_at_once() -> None:
    """Without the order of the channels, strong colours alone are recognized."""

    def hesitating(inputs: np.ndarray) -> np.ndarray:
        difference = (inputs[..., 0] - inputs[..., 2]).mean(axis=(1, 2))
        difference = np.where(np.abs(difference) > 0.2, np.abs(difference), difference)
        brightness = inputs.mean(axis=(1, 2, 3))
        return np.stack([difference, -difference, 1e6 * ((brightness < 0.2) | (brightness > 1))], axis=1)

    images, labels = IMAGES.copy(), np.repeat([0, 0, 1], 200)
    images[..., 0] = images[..., 2] + np.repeat([0.1, 0.3, -0.1], 200)[:, None, None]
    inputs = 255 * images.clip(0, 1)[..., ::-1]
    given = replace(received(inputs, labels), predictions=Predictions.from_scores(hesitating(inputs), labels))
    divided = Change("divided by 255", "x = x / 255", lambda x: x / np.float32(255))
    tried, changed = Trial.of(hesitating, given).best_of([divided])
    best = max(tried, key=lambda each: each.gain)
    assert (best.name, best.before, best.after) == ("divided by 255 and channels reversed", 0.0, 1.0)
    assert best.code == "x = x / 255; x = x[..., ::-1]"
    assert list(changed) == [best.name]


def test_standardized_images_are_stretched() -> None:
    tried, _ = try_corrections(scores, received((IMAGES - 0.3) / 0.1, LABELS), None)
    assert (tried[0].name, tried[0].after) == ("stretched to 0..1", 1.0)


def test_an_unusual_scale_is_that_of_training_images() -> None:
    tried, _ = try_corrections(scores, received(IMAGES * np.float32([7, 4, 9]) + 3, LABELS), TRAINING)
    assert (tried[0].name, tried[0].after) == (LIKE_TRAINING, 1.0)


def test_nothing_is_tried_if_nothing_can_be_gained() -> None:
    def untouched(inputs: np.ndarray) -> np.ndarray:
        raise AssertionError("no image needs to be evaluated")

    assert try_corrections(untouched, received(IMAGES, LABELS), TRAINING) == ([], {})
    assert try_corrections(untouched, received(IMAGES, LABELS), None) == ([], {})


def test_what_differs_is_applied_to_training_images() -> None:
    grey = np.repeat(IMAGES.mean(axis=3, keepdims=True), 3, axis=3)
    tried, changed = try_corrections(scores, received(grey, LABELS), TRAINING)
    cost = next(each for each in tried if each.part == "train")
    assert (cost.name, cost.code, cost.before) == ("without colour", "", 1.0)
    assert cost.after < 0.7
    assert changed == {}


def test_a_model_that_does_not_see_the_classes_is_not_corrected() -> None:
    wrong = received(IMAGES, np.random.default_rng(0).permutation(LABELS))
    tried, changed = try_corrections(scores, wrong, None)
    assert max(each.gain for each in tried) < 0.2
    assert changed == {}


@pytest.mark.parametrize(("side", "size"), [(4, 256), (96, 256), (224, 32)])
def test_large_images_are_scored_in_smaller_batches(side: int, size: int) -> None:
    """A batch is filled up with some of its images, whose scores are left out."""
    images = np.zeros((40, side, side, 3), np.float32)
    images[:, 0, 0, 0] = np.arange(40)
    sizes = []

    def score(few: np.ndarray) -> np.ndarray:
        sizes.append(len(few))
        return few[:, 0, 0, :1]

    assert in_batches(score, images).ravel().tolist() == list(range(40))
    assert sizes == [size] * (40 // size + 1)
