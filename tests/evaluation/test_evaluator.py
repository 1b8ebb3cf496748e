"""The evaluator: a rehearsal, one pass that can be repeated, and plain predictions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.data.inputs import GivenData
from lrdiag.errors import DataError, ModelError, SettingsError
from lrdiag.evaluation import gathering
from lrdiag.evaluation.evaluator import Evaluator
from lrdiag.evaluation.training_images import ChosenImages
from lrdiag.explain import independent
from lrdiag.explain.gradcam import GradCAM
from lrdiag.explain.model import OpenedModel
from lrdiag.progress import Silence
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


def test_an_evaluation_has_the_results_of_grad_cam_and_the_mistakes(net: keras.Model, evaluator: Evaluator) -> None:
    evaluated = evaluator.evaluate(TEST)
    predictions, heatmaps = GradCAM(net, batch_size=8).predict_and_explain(TEST)
    np.testing.assert_array_equal(evaluated.predictions.log_probabilities, predictions.log_probabilities)
    assert evaluated.heatmaps is not None
    np.testing.assert_array_equal(evaluated.heatmaps.signed_predicted, heatmaps.signed_predicted)
    np.testing.assert_array_equal(evaluated.mistakes, TEST.images[predictions.misclassified])
    assert evaluated.image_shape == (8, 8, 3)
    assert evaluated.value_range == (TEST.images.min(), TEST.images.max())
    assert not evaluated.returns_probabilities
    assert evaluated.heatmap_facts.count == len(predictions.misclassified)
    assert evaluated.heatmap_facts.layer == heatmaps.layer


def test_the_fingerprint_depends_on_images_labels_and_their_order(evaluator: Evaluator) -> None:
    first = evaluator.evaluate(TEST).fingerprint
    assert Evaluator(evaluator._model, batch_size=21).evaluate(TEST).fingerprint == first
    assert evaluator.evaluate(TEST.images, np.roll(TEST.labels, 1)).fingerprint != first
    assert evaluator.evaluate(TEST.images[::-1], TEST.labels).fingerprint != first


def test_a_later_evaluation_uses_the_current_weights(net: keras.Model, evaluator: Evaluator) -> None:
    before = evaluator.evaluate(TEST).predictions.log_probabilities
    bias = net.layers[-1].bias
    bias.assign_add([1.0, 0.0, 0.0])
    after = evaluator.evaluate(TEST).predictions.log_probabilities
    bias.assign_sub([1.0, 0.0, 0.0])
    np.testing.assert_allclose((after - before)[:, 0] - (after - before)[:, 1], 1, rtol=1e-4)


def test_the_map_of_every_image_is_kept_on_request(net: keras.Model, evaluator: Evaluator) -> None:
    every_map = evaluator.evaluate(TEST, keep_every_map=True).every_map
    assert every_map is not None
    assert every_map.dtype == np.float16
    np.testing.assert_allclose(every_map, GradCAM(net).maps(TEST.images), rtol=1e-3, atol=1e-6)
    assert evaluator.evaluate(TEST).every_map is None


def test_a_known_fingerprint_is_not_computed_again(evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "digests", lambda *_: pytest.fail("hashed again"))
    assert evaluator.evaluate(TEST, fingerprint="known").fingerprint == "known"


def test_each_batch_is_checked_explained_and_kept_before_the_next_is_read(evaluator: Evaluator) -> None:
    events: list[str] = []

    def batches() -> Iterator[Any]:
        for start in range(0, 21, 8):
            events.append("read")
            yield TEST.images[start : start + 8], TEST.labels[start : start + 8]

    class Listener(Silence):
        def advance(self, steps: int = 1, note: str = "") -> None:
            events.append(f"done {steps}")

    evaluator.evaluate(batches(), progress=Listener())
    assert events == ["read", "done 8", "read", "done 8", "read", "done 5"]


def chosen(images: LabelledImages) -> ChosenImages:
    return ChosenImages(GivenData(images), most=len(images))


@pytest.mark.parametrize("head", ["feature-maps", "dense"])
def test_images_are_predicted_in_inference_mode(head: str, net: keras.Model) -> None:
    """As the training images are, to compare their accuracy with that of the test images."""
    flat = keras.Sequential([keras.Input((8, 8, 3)), L.Dropout(0.9), L.Flatten(), L.Dense(3)])
    model = net if head == "feature-maps" else flat
    predictions = Evaluator(model, batch_size=8).tabulate(chosen(TEST)).predictions
    np.testing.assert_array_equal(predictions.predicted, model.predict(TEST.images, verbose=0).argmax(axis=1))
    np.testing.assert_array_equal(predictions.labels, TEST.labels)


def test_predictions_after_an_evaluation_reuse_the_opened_model(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated = evaluator.evaluate(TEST)
    monkeypatch.setattr(OpenedModel, "__init__", lambda *_: pytest.fail("opened again"))
    predictions = evaluator.tabulate(chosen(TEST)).predictions
    np.testing.assert_allclose(predictions.log_probabilities, evaluated.predictions.log_probabilities, atol=1e-6)


def test_tf_keras_vis_draws_the_same_maps(evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(independent, "SECONDS", 60.0)
    evaluated = evaluator.evaluate(TEST)
    check, trust = evaluated.heatmap_facts.independent, evaluated.heatmap_facts.trust
    assert trust is not None
    assert check is not None
    assert check.images == check.same == min(16, trust.images)
    assert check.largest_difference is not None
    assert check.largest_difference < 1e-4


def test_a_rehearsal_reads_one_batch_and_returns_the_number_of_classes(net: keras.Model) -> None:
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
        (TEST.images[..., :2], TEST.labels, {}, ModelError, r"\(n, 8, 8, 2\) for .* which takes \(n, 8, 8, 3\)"),
        (TEST.images, TEST.labels, {"display": TEST.images[:2]}, DataError, "`display`"),
        (TEST.images, TEST.labels, {"preprocess": "vgg"}, SettingsError, "`preprocess`"),
    ],
)
def test_a_rehearsal_refuses_what_an_evaluation_refuses(
    evaluator: Evaluator, x: Any, y: Any, arguments: Any, error: type[Exception], message: str
) -> None:
    for attempt in (evaluator.rehearse, Evaluator(evaluator._model).evaluate):
        with pytest.raises(error, match=message):
            attempt(x, y, **arguments)
    assert evaluator.rehearse(TEST) == 3


class Fussy(keras.Model):  # type: ignore[misc]
    """Raises an error when it is called."""

    def call(self, images: Any) -> Any:
        raise RuntimeError("the mask is missing")


def test_an_error_of_the_model_is_part_of_the_message() -> None:
    with pytest.raises(
        ModelError,
        match=r"\(n, 8, 8, 3\) for the model 'fussy', which does not state .*: the mask is missing$",
    ):
        Evaluator(Fussy()).evaluate(TEST)


def test_a_video_is_shown_by_display_and_its_maps_are_not_measured() -> None:
    frames = np.stack([TEST.images] * 2, axis=1)
    inputs = keras.Input((2, 8, 8, 3))
    pooled = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(inputs[:, 0]))
    video = keras.Model(inputs, L.Dense(3)(pooled))
    evaluated = Evaluator(video).evaluate(frames, TEST.labels, display=lambda batch: batch[:, 0])
    np.testing.assert_array_equal(evaluated.mistakes, TEST.images[evaluated.predictions.misclassified])
    assert evaluated.heatmaps is not None
    assert evaluated.heatmap_facts.trust is None
    check = evaluated.heatmap_facts.independent
    assert check is not None
    assert (check.images, check.skipped) == (0, "the model does not take single images")
