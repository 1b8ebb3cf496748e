"""The evaluator: one pass, again and again, and a rehearsal before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.errors import DataError, ModelError, SettingsError
from lrdiag.evaluation.evaluator import Evaluator
from lrdiag.explain.engine import Explained
from lrdiag.explain.gradcam import GradCAM
from lrdiag.record.arrays import LabelledImages

L = keras.layers
generator = np.random.default_rng(0)
TEST = LabelledImages(generator.integers(0, 256, (21, 8, 8, 3), dtype="uint8"), generator.integers(0, 3, 21))


@pytest.fixture(scope="module")
def net() -> keras.Model:
    keras.utils.set_random_seed(1)
    head = [L.GlobalAveragePooling2D(), L.Dense(3, kernel_initializer="random_normal")]
    return keras.Sequential([keras.Input((8, 8, 3)), L.Rescaling(1 / 255), L.Conv2D(4, 3), *head])


@pytest.fixture(scope="module")
def evaluator(net: keras.Model) -> Evaluator:
    return Evaluator(net, batch_size=8)


def test_it_is_what_grad_cam_says_with_the_pictures_of_the_mistakes(net: keras.Model, evaluator: Evaluator) -> None:
    evaluated = evaluator.evaluate(TEST)
    predictions, heatmaps = GradCAM(net, batch_size=8).predict_and_explain(TEST)
    np.testing.assert_array_equal(evaluated.predictions.log_probabilities, predictions.log_probabilities)
    assert evaluated.heatmaps is not None
    np.testing.assert_array_equal(evaluated.heatmaps.signed_predicted, heatmaps.signed_predicted)
    np.testing.assert_array_equal(evaluated.mistakes, TEST.images[predictions.misclassified])
    assert evaluated.image_shape == (8, 8, 3)
    assert evaluated.value_range == (TEST.images.min(), TEST.images.max())
    assert not evaluated.returns_probabilities
    assert evaluated.facts.count == len(predictions.misclassified)
    assert evaluated.facts.layer == heatmaps.layer


def test_the_fingerprint_is_that_of_images_and_labels_in_order(evaluator: Evaluator) -> None:
    first = evaluator.evaluate(TEST).fingerprint
    assert Evaluator(evaluator._model, batch_size=21).evaluate(TEST).fingerprint == first
    assert evaluator.evaluate(TEST.images, np.roll(TEST.labels, 1)).fingerprint != first
    assert evaluator.evaluate(TEST.images[::-1], TEST.labels).fingerprint != first


def test_a_network_that_has_learnt_since_is_judged_as_it_is_now(net: keras.Model, evaluator: Evaluator) -> None:
    before = evaluator.evaluate(TEST).predictions.log_probabilities
    bias = net.layers[-1].bias
    bias.assign_add([1.0, 0.0, 0.0])
    after = evaluator.evaluate(TEST).predictions.log_probabilities
    bias.assign_sub([1.0, 0.0, 0.0])
    np.testing.assert_allclose((after - before)[:, 0] - (after - before)[:, 1], 1, rtol=1e-4)


def test_each_batch_is_told(evaluator: Evaluator) -> None:
    told: list[Explained] = []
    evaluated = evaluator.evaluate(TEST, on_batch=told.append)
    assert [len(batch.scores) for batch in told] == [8, 8, 5]
    wrong = np.concatenate([8 * place + batch.wrong for place, batch in enumerate(told)])
    np.testing.assert_array_equal(wrong, evaluated.predictions.misclassified)


def test_a_rehearsal_looks_at_one_batch_and_counts_the_classes(net: keras.Model) -> None:
    taken = []

    def stream() -> Iterator[Any]:
        for place in range(3):
            taken.append(place)
            yield TEST.images, TEST.labels

    assert Evaluator(net).rehearse(stream()) == 3
    assert taken == [0]
    sigmoid = keras.Sequential([keras.Input((8, 8, 3)), L.Flatten(), L.Dense(1, activation="sigmoid")])
    assert Evaluator(sigmoid).rehearse(TEST.images, TEST.labels % 2) == 2


@pytest.mark.parametrize(
    ("x", "y", "arguments", "error", "message"),
    [
        (TEST.images, TEST.labels + 3, {}, DataError, "the model scores 3"),
        (TEST.images[..., :2], TEST.labels, {}, ModelError, r"\(n, 8, 8, 2\) for .* takes \(n, 8, 8, 3\)"),
        (TEST.images - 128.0, TEST.labels, {}, DataError, "preprocess="),
        (TEST.images, TEST.labels, {"display": TEST.images[:2]}, DataError, "`display`"),
        (TEST.images, TEST.labels, {"preprocess": "vgg"}, SettingsError, "`preprocess`"),
    ],
)
def test_a_rehearsal_refuses_what_the_test_would(
    evaluator: Evaluator, x: Any, y: Any, arguments: Any, error: type[Exception], message: str
) -> None:
    for attempt in (evaluator.rehearse, Evaluator(evaluator._model).evaluate):
        with pytest.raises(error, match=message):
            attempt(x, y, **arguments)
    assert evaluator.rehearse(TEST) == 3


class Fussy(keras.Model):  # type: ignore[misc]
    """It raises an error of its own."""

    def call(self, images: Any) -> Any:
        raise RuntimeError("the mask is missing")


def test_what_a_model_of_ones_own_raises_is_told() -> None:
    with pytest.raises(
        ModelError, match=r"\(n, 8, 8, 3\) for the model 'fussy', one that does not say.*: the mask is missing$"
    ):
        Evaluator(Fussy()).evaluate(TEST)


def test_the_images_of_a_video_are_shown_as_display_says_without_a_test_of_the_maps() -> None:
    frames = np.stack([TEST.images] * 2, axis=1)
    inputs = keras.Input((2, 8, 8, 3))
    pooled = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(inputs[:, 0]))
    video = keras.Model(inputs, L.Dense(3)(pooled))
    evaluated = Evaluator(video).evaluate(frames, TEST.labels, display=lambda batch: batch[:, 0])
    np.testing.assert_array_equal(evaluated.mistakes, TEST.images[evaluated.predictions.misclassified])
    assert evaluated.heatmaps is not None
    assert evaluated.facts.trust is None
