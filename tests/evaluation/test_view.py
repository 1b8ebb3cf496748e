"""The pictures that the page shows, and the heatmaps beside them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.evaluation.evaluated import Evaluated
from lrdiag.evaluation.evaluator import Evaluator

L = keras.layers
SHAPE = (12, 12, 3)
pytestmark = pytest.mark.usefixtures("eager_passes")
LABELS = np.zeros(4, "int64")  # all wrong: the second class always wins


def marked(row: int) -> np.ndarray:
    images = np.full((4, *SHAPE), 0.01, "float32")
    images[:, row - 1 : row + 2, row - 1 : row + 2] = 1
    return images


FIRST, SECOND = marked(2), marked(9)


def pair(shared: bool = True) -> keras.Model:
    """One encoder for two images, or a sum of both before it."""
    ones = L.Conv2D(2, 3, padding="same", activation="relu", kernel_initializer="ones")
    first, second = keras.Input(SHAPE, name="first"), keras.Input(SHAPE, name="second")
    pool = L.GlobalAveragePooling2D()
    encoded = [pool(ones(first)), pool(ones(second))] if shared else [pool(ones(first + second))] * 2
    kernel = np.repeat([[-1.0, 1.0]], 4, axis=0)
    head = L.Dense(2, activation="softmax", kernel_initializer=lambda *_, **__: kernel)
    return keras.Model([first, second], head(L.Concatenate()(encoded)))


@pytest.fixture(scope="module")
def siamese() -> keras.Model:
    return pair()


def row_of_peak(image: np.ndarray) -> int:
    """The first row of the highest value: that of the square, or its middle in a map."""
    return int(image.reshape(len(image), -1).max(axis=1).argmax())


def maps_of(evaluated: Evaluated) -> np.ndarray:
    assert evaluated.heatmaps is not None
    return evaluated.heatmaps.predicted


def test_two_images_are_shown_one_below_the_other_with_their_maps(siamese: keras.Model) -> None:
    evaluated = Evaluator(siamese).evaluate([FIRST, SECOND], LABELS, keep_every_map=True)
    image, heatmap = evaluated.mistakes[0], maps_of(evaluated)[0]
    assert [row_of_peak(image[:12]), row_of_peak(image[12:])] == [1, 8]
    assert [row_of_peak(heatmap[:12]), row_of_peak(heatmap[12:])] == [2, 9]
    assert evaluated.image_shape == SHAPE
    assert evaluated.every_map is not None
    assert evaluated.every_map.shape == (4, 24, 12)
    assert evaluated.notes == (
        "Each example is shown as 2 pictures, one below the other, each with its own heatmap: input 'first' and "
        "input 'second'.",
    )


@pytest.mark.parametrize("place", [0, 1])
def test_an_image_that_display_draws_has_its_own_map(siamese: keras.Model, place: int) -> None:
    evaluated = Evaluator(siamese).evaluate(
        [FIRST, SECOND], LABELS, display=lambda batch: (255 * batch[place]).astype("uint8")
    )
    assert row_of_peak(evaluated.mistakes[0]) + 1 == row_of_peak(maps_of(evaluated)[0]) == (2, 9)[place]
    assert evaluated.notes == (f"The heatmaps belong to input '{('first', 'second')[place]}', which `display` draws.",)


@pytest.mark.parametrize(
    ("display", "reason"),
    [
        (lambda batch: (255 * np.concatenate(batch, axis=2)).astype("uint8"), "`display` must draw one of them"),
        ((255 * SECOND).astype("uint8"), "lrdiag must know which one is shown"),
    ],
    ids=["both", "array"],
)
def test_without_a_picture_of_its_own_there_is_no_map(siamese: keras.Model, display: Any, reason: str) -> None:
    evaluated = Evaluator(siamese).evaluate([FIRST, SECOND], LABELS, display=display)
    assert evaluated.heatmaps is None
    assert reason in str(evaluated.heatmap_facts.unavailable)
    assert len(evaluated.predictions.misclassified) == 4


def test_images_that_the_model_adds_have_one_map() -> None:
    evaluated = Evaluator(pair(shared=False)).evaluate([FIRST, SECOND], LABELS)
    assert evaluated.mistakes.shape == (4, *SHAPE)
    assert maps_of(evaluated).shape == (4, 12, 12)
    assert evaluated.notes == (
        "One heatmap belongs to all 2 pictures together, because the explained layer combines them; input 'first' is "
        "shown.",
    )


def test_an_input_whose_scale_is_unknown_is_stretched(siamese: keras.Model) -> None:
    evaluated = Evaluator(siamese).evaluate([FIRST, 700 * SECOND], LABELS)
    assert evaluated.mistakes.shape == (4, 2 * SHAPE[0], *SHAPE[1:])
    assert any("between the minimum and maximum of the first batch" in note for note in evaluated.notes)


def test_patches_in_the_batch_are_evaluated_without_maps() -> None:
    inputs = keras.Input((4, *SHAPE))
    features = L.Conv2D(2, 3, name="features")(keras.ops.reshape(inputs, (-1, *SHAPE)))
    pooled = keras.ops.mean(keras.ops.reshape(features, (-1, 4 * 100, 2)), axis=1)
    model = keras.Model(inputs, L.Dense(2, activation="softmax")(pooled))
    bags = np.random.default_rng(0).uniform(size=(8, 4, *SHAPE)).astype("float32")
    evaluated = Evaluator(model).evaluate(bags, np.arange(8) % 2, display=lambda b: (255 * b[:, 0]).astype("uint8"))
    np.testing.assert_array_equal(
        evaluated.predictions.predicted, keras.ops.convert_to_numpy(model(bags)).argmax(axis=1)
    )
    assert "returns 4 maps for each image" in str(evaluated.heatmap_facts.unavailable)


def test_a_hidden_softmax_is_noted() -> None:
    class Hidden(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.dense = L.Conv2D(2, 3), L.Dense(2)

        def call(self, inputs: Any) -> Any:
            return keras.ops.softmax(self.dense(keras.ops.mean(self.convolution(inputs), axis=(1, 2))))

    with pytest.warns(UserWarning, match="none of its layers computes them"):
        evaluated = Evaluator(Hidden()).evaluate(FIRST, LABELS)
    assert [note.split(",")[0] for note in evaluated.notes] == ["The heatmaps explain a probability"]
