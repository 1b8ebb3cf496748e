"""The evaluated outputs are those of `model.predict`, and the figures those of `model.evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import lrdiag
from lrdiag.errors import ModelError
from lrdiag.evaluation.agreement import agree, notes_of
from lrdiag.evaluation.evaluator import Evaluator
from lrdiag.explain.model import OpenedModel
from lrdiag.record.agreement import Agreement
from lrdiag.record.arrays import Predictions

L = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore:Even though the")  # from `tf.data`, which does not run eagerly
generator = np.random.default_rng(0)
LABELS = np.arange(12) % 3
IMAGES = generator.random((12, 6, 6, 3), "float32")
IMAGES[np.arange(12), ..., LABELS] /= 3
IMAGES[:2] = IMAGES[2:4]  # two mistakes


@pytest.fixture(scope="module", autouse=True)
def eager_passes() -> Iterator[None]:
    """Saves the time to trace a graph for each model."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def inner() -> keras.Model:
    """Predicts the channel with the highest mean."""
    head = [L.GlobalAveragePooling2D(), L.Dense(3, activation="softmax", use_bias=False)]
    net = keras.Sequential([keras.Input((6, 6, 3)), L.Conv2D(3, 1, use_bias=False, name="features"), *head])
    net.set_weights([np.eye(3)[None, None], 5 * np.eye(3)])
    return net


class Base(keras.Model):  # type: ignore[misc]
    """The right classes are those of the lowest mean: images must be inverted."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.net, self.dropout, self.normalize = inner(), L.Dropout(0.5), L.BatchNormalization()

    def call(self, images: Any, training: bool = False) -> Any:
        return self.net(images)

    def test_step(self, data: Any) -> Any:
        return super().test_step((1 - data[0], data[1]))


class InStep(Base):
    def predict_step(self, data: Any) -> Any:
        return super().predict_step(1 - keras.utils.unpack_x_y_sample_weight(data)[0])


class TakesTuples(Base):
    def predict_step(self, data: Any) -> Any:
        (images,) = data
        return super().predict_step((1 - images,))


class Pipeline(Base):
    """As the models of KerasHub: every method but `call` prepares its images."""

    def preprocess_samples(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        return keras.utils.pack_x_y_sample_weight(1 - x, y, sample_weight)

    def predict(self, x: Any, **arguments: Any) -> Any:
        return super().predict(self.preprocess_samples(x), **arguments)


class InPredict(Base):
    def predict(self, x: Any, **arguments: Any) -> Any:
        return super().predict(1 - x, **arguments)


class Random(Base):
    def call(self, images: Any, training: bool = False) -> Any:
        return self.net(self.dropout(images, training=True))


class OfTheBatch(Base):
    def call(self, images: Any, training: bool = False) -> Any:
        return self.net(self.normalize(images, training=True))


def compiled(model: keras.Model) -> keras.Model:
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def agreed(
    model: keras.Model, labels: np.ndarray = LABELS, images: np.ndarray = IMAGES, output: str | None = None
) -> tuple[Agreement, Predictions, OpenedModel]:
    """The comparison and the predictions of one pass, without heatmaps."""
    opened = OpenedModel.of(model, images, output)
    scores = np.asarray(opened(images))
    return agree(opened, images, labels, scores), opened.predictions(scores, labels), opened


@pytest.mark.parametrize("kind", [InStep, TakesTuples, Pipeline])
def test_what_predict_does_to_images_is_part_of_the_model(kind: type[Base]) -> None:
    model = compiled(kind())
    loss, accuracy = model.evaluate(IMAGES, LABELS, verbose=0)
    agreement, predictions, _ = agreed(model)
    assert accuracy == pytest.approx(10 / 12)
    assert len(predictions.misclassified) == 2
    assert predictions.losses.mean() == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(predictions.confidence, np.asarray(inner()(1 - IMAGES)).max(axis=1), rtol=1e-5)
    assert agreement.difference < 1e-4
    assert agreement.accuracy == (pytest.approx(10 / 12), pytest.approx(10 / 12))
    assert (agreement.no_predict, agreement.no_evaluate, agreement.differs) == (None, None, ())


def test_the_page_shows_images_as_they_are_given_and_the_heatmaps_of_the_prepared_ones() -> None:
    result = Evaluator(compiled(Pipeline())).evaluate(IMAGES, LABELS)
    np.testing.assert_array_equal(result.mistakes, np.rint(IMAGES[:2] * 255))
    assert result.heatmaps is not None
    maps = lrdiag.GradCAM(inner()).maps(1 - IMAGES[:2], LABELS[:2], signed=True)
    np.testing.assert_allclose(result.heatmaps.signed_true, maps, atol=1e-6)
    check = result.heatmap_facts.independent
    assert check is not None
    assert check.images == 0  # tf-keras-vis does not prepare images


def test_a_model_whose_predict_cannot_be_followed_is_refused_before_training() -> None:
    evaluator = Evaluator(compiled(InPredict()))
    for attempt in (evaluator.rehearse, evaluator.evaluate):
        with pytest.raises(ModelError, match=r"own `predict`\. Received: for image .* from lrdiag and .* from model"):
            attempt(IMAGES, LABELS)


def test_a_model_that_predict_and_evaluate_prepare_differently_is_a_finding() -> None:
    report = lrdiag.diagnose(compiled(Base()), IMAGES, LABELS)
    (finding,) = [each for each in report.findings if each.code == "evaluate-mismatch"]
    assert "83.3\u00a0% by model.evaluate" in finding.evidence
    assert f"{100 * report.accuracy:.1f}" in finding.evidence
    assert report.accuracy < 0.5


def test_an_output_that_is_not_always_the_same_is_a_note() -> None:
    many = np.concatenate([IMAGES] * 4)  # more than are compared
    reasons = {Random: "random at inference", OfTheBatch: "depend on the other images of its batch"}
    for kind, reason in reasons.items():
        agreement, *_ = agreed(compiled(kind()), np.tile(LABELS, 4), many)
        assert reason in str(agreement.no_predict)
        assert agreement.no_evaluate == agreement.no_predict
        (note,) = notes_of(agreement)
        assert note.endswith("The figures are those of one pass.")
    assert agreed(OfTheBatch())[0].no_predict is None  # the whole batch is compared


def test_a_model_that_enlarges_rounding_errors_is_a_note() -> None:
    """As a deep network without training does, whose outputs explode."""
    inputs = keras.Input((6, 6, 3))
    chaotic = keras.ops.sin(1e12 * keras.ops.mean(inputs, axis=(1, 2)))
    opened = OpenedModel.of(keras.Model(inputs, L.Dense(3, activation="softmax")(chaotic)), IMAGES)
    scores = np.asarray(opened(IMAGES))
    assert "rounding errors" in str(agree(opened, IMAGES, LABELS, scores[::-1]).no_predict)
    sound = OpenedModel.of(compiled(inner()), IMAGES)
    with pytest.raises(ModelError, match="must compute the outputs"):  # other scores alone are no rounding errors
        agree(sound, IMAGES, LABELS, np.asarray(sound(IMAGES))[::-1])


def test_regularization_and_a_loss_of_activities_are_not_part_of_the_test_loss() -> None:
    keras.utils.set_random_seed(0)
    convolution = L.Conv2D(3, 3, kernel_regularizer="l2", activity_regularizer="l1")
    model = compiled(keras.Sequential([convolution, L.Flatten(), L.Dense(3, activation="softmax")]))
    with_all = model.evaluate(IMAGES, LABELS, verbose=0)[0]
    agreement, predictions, _ = agreed(model)
    assert predictions.losses.mean() < with_all - 0.01
    assert agreement.loss is not None
    assert agreement.differs == ()


def test_what_cannot_be_compared_is_not_checked() -> None:
    assert agreed(inner())[0].no_evaluate == "the model is not compiled"
    inputs = keras.Input((6, 6, 3))
    features = L.GlobalAveragePooling2D()(L.Conv2D(3, 1)(inputs))
    two = keras.Model(inputs, [L.Dense(3, name="a")(features), L.Dense(2, name="b")(features)])
    two.compile("sgd", "mse")
    agreement, *_ = agreed(two, output="a")
    assert agreement.no_evaluate == "the model has several outputs"
    assert agreement.difference < 1e-4


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ([L.Dense(3, activation="softmax")], "ignored-from-logits"),
        ([L.Dense(3), L.Softmax()], "ignored-from-logits"),
        ([L.Dense(3, activation="softmax"), L.Reshape((3,))], "loss-mismatch"),  # Keras does not look through it
        ([L.Dense(3, activation="softmax", dtype="mixed_float16")], "loss-mismatch"),  # nor through a cast
        ([L.Dense(3, activation="log_softmax")], None),  # logarithms of probabilities are logits
        ([L.Dense(3)], None),
    ],
    ids=["dense", "layer", "reshaped", "half-precision", "log-softmax", "logits"],
)
def test_from_logits_is_an_error_only_where_keras_computes_another_loss(head: list[Any], found: str | None) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6, 6, 3)), L.Conv2D(3, 1), L.Flatten(), *head])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    agreement, _, opened = agreed(model)
    assert (opened.contradicts_loss, agreement.loss_recovers) == {
        "ignored-from-logits": (True, True),
        "loss-mismatch": (True, False),
        None: (False, None),
    }[found]
    assert agreement.differs == ()


def test_a_chosen_threshold_of_the_accuracy_is_used_and_the_default_for_logits_is_explained() -> None:
    labels = (LABELS > 0).astype(int)

    def model(activation: str | None, threshold: float) -> keras.Model:
        keras.utils.set_random_seed(0)
        net = keras.Sequential([keras.Input((6, 6, 3)), L.Conv2D(3, 1), L.Flatten(), L.Dense(1, activation=activation)])
        loss = keras.losses.BinaryCrossentropy(from_logits=activation is None)
        net.compile("sgd", loss, metrics=[keras.metrics.BinaryAccuracy(threshold=threshold)])
        return net

    for activation, threshold in (("sigmoid", 0.65), ("sigmoid", 0.4), (None, 0.0), (None, 0.3)):
        net = model(activation, threshold)
        expected = net.evaluate(IMAGES, labels, verbose=0)[1]
        agreement, predictions, opened = agreed(net, labels)
        assert 1 - len(predictions.misclassified) / 12 == pytest.approx(expected)
        assert agreement.differs == opened.notes == ()
    (note,) = agreed(model(None, 0.5), labels)[2].notes
    assert "above 0.5" in note


def test_labels_of_another_form_than_in_training_do_not_build_the_metrics() -> None:
    """Keras chooses the accuracy by the form of the first labels."""
    model = inner()
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    agreed(model)
    assert not model._compile_metrics.built
    one_hot = np.eye(3)[LABELS]
    assert model.evaluate(1 - IMAGES, one_hot, verbose=0)[1] == pytest.approx(10 / 12)
