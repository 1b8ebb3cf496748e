"""Networks that are built as they should be: no finding about their wiring. And the same ones with a fault."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import layers as kl
from keras import ops

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import Found
from lrdiag.diagnosis.findings.rules import RULES
from lrdiag.inspection.images import GivenImages
from lrdiag.inspection.inspector import Inspector

WIRING = (
    "label-form", "output-units", "softmax-twice", "last-activation", "loss-mismatch", "ignored-from-logits",
    "wrong-loss", "dropout-on-scores", "metric-mismatch", "hidden-activation", "bottleneck", "lost-resolution",
    "frozen-layers", "disconnected-weights", "strong-dropout", "strong-regularization", "small-batches",
    "slow-statistics",
)  # fmt: skip
SPARSE = "sparse_categorical_crossentropy"
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def findings(model: keras.Model, size: int, loss: object = SPARSE) -> list[str]:
    """The codes of the findings about the wiring of a model, before training."""
    images = np.random.default_rng(0).random((16, size, size, 3), np.float32)
    labels = np.arange(16) % 10
    model.compile("adam", loss, metrics=["accuracy"])
    inspector = Inspector(model)
    inspector.look_at_model()
    inspector.look_at_data(GivenImages("fit", images, labels, 8), GivenImages("validation", images, labels))
    inspector.look_at_start(2000)
    assert inspector.seen.layers is not None, inspector.seen.reasons
    evidence = Evidence(inspection=inspector.seen)
    answers = {
        rule.code: rule.check(evidence, *([] if rule.threshold is None else [rule.threshold]))
        for rule in RULES
        if rule.code in WIRING and not any(evidence.lacks(need) for need in rule.needs)
    }
    assert "hidden-activation" in answers
    return [code for code, answer in answers.items() if isinstance(answer, Found)]


def inputs(size: int = 16) -> keras.KerasTensor:
    return keras.Input((size, size, 3))


def residual() -> keras.Model:
    """Residual branches before their activation, the last normalization of each begins at zero."""
    given = inputs()
    flow = kl.Conv2D(8, 3, padding="same")(given)
    active = kl.ReLU()(kl.BatchNormalization()(flow))
    branch = kl.Conv2D(8, 3, padding="same")(active)
    branch = kl.BatchNormalization(gamma_initializer="zeros")(branch)
    flow = kl.ReLU()(kl.Add()([kl.Conv2D(8, 1)(active), branch]))
    return keras.Model(given, kl.Dense(10)(kl.GlobalAveragePooling2D()(flow)))


def mobile() -> keras.Model:
    """Inverted residuals with a squeeze-excite gate of one unit, and linear projections."""
    given = inputs()
    flow = kl.Conv2D(8, 3, padding="same", activation="relu")(given)
    wide = kl.ReLU(6.0)(kl.BatchNormalization()(kl.Conv2D(32, 1)(flow)))
    wide = kl.ReLU(6.0)(kl.BatchNormalization()(kl.DepthwiseConv2D(3, padding="same")(wide)))
    gate = kl.Dense(1, activation="relu")(kl.GlobalAveragePooling2D(keepdims=True)(wide))
    wide = kl.Multiply()([wide, kl.Dense(32, activation="sigmoid")(gate)])
    flow = kl.BatchNormalization()(kl.Conv2D(8, 1)(wide))
    scores = kl.Dense(10, activation="softmax")(kl.Dropout(0.5)(kl.GlobalAveragePooling2D()(flow)))
    return keras.Model(given, scores)


def transformer() -> keras.Model:
    given = inputs()
    tokens = kl.Reshape((16, 24))(kl.Conv2D(24, 4, 4)(given))
    normed = kl.LayerNormalization()(tokens)
    tokens = tokens + kl.MultiHeadAttention(2, 12, dropout=0.1)(normed, normed)
    hidden = kl.Dense(48, activation="gelu")(kl.LayerNormalization()(tokens))
    tokens = tokens + kl.Dense(24)(kl.Dropout(0.1)(hidden))
    return keras.Model(given, kl.Dense(10)(kl.GlobalAveragePooling1D()(kl.LayerNormalization()(tokens))))


def beginner(last: str | None = "softmax", hidden: str | None = "relu", factor: float = 0.001) -> keras.Model:
    penalty = keras.regularizers.L2(factor)
    return keras.Sequential(
        [
            inputs(),
            kl.Conv2D(8, 3, activation=hidden, kernel_regularizer=penalty),
            kl.MaxPooling2D(),
            kl.Flatten(),
            kl.Dense(32, activation=hidden, kernel_regularizer=penalty),
            kl.Dense(10, activation=last),
        ]
    )


class Subclassed(keras.Model):
    """Uses operations that are not observed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.flat, self.hidden = kl.Conv2D(8, 3), kl.Flatten(), kl.Dense(16)
        self.last = kl.Dense(10)
        self(np.zeros((1, 16, 16, 3), "float32"))

    def call(self, images: object) -> object:
        flow = self.flat(ops.relu(self.conv(images)))
        return ops.softmax(self.last(ops.relu(self.hidden(flow))))


@pytest.mark.parametrize(
    ("build", "loss"),
    [(residual, LOGITS), (mobile, SPARSE), (transformer, LOGITS), (beginner, SPARSE), (Subclassed, SPARSE)],
)
def test_a_sound_network_has_no_findings(build: Callable[[], keras.Model], loss: object) -> None:
    assert findings(build(), 16, loss) == []


@pytest.mark.parametrize(
    ("build", "codes"),
    [
        (lambda: beginner(hidden=None), ["hidden-activation"]),
        (lambda: beginner(last=None), ["loss-mismatch"]),
        (lambda: beginner(factor=1.0), ["strong-regularization"]),
    ],
)
def test_a_fault_is_found_before_training(build: Callable[[], keras.Model], codes: list[str]) -> None:
    keras.utils.set_random_seed(0)
    assert findings(build(), 16) == codes


def test_keras_recovers_the_logits_only_directly_after_the_softmax() -> None:
    """On TensorFlow. On JAX and PyTorch it never does."""
    on_tensorflow = keras.config.backend() == "tensorflow"
    assert findings(beginner(), 16, LOGITS) == ["ignored-from-logits" if on_tensorflow else "loss-mismatch"]
    reshaped = keras.Sequential([*beginner().layers, kl.Reshape((10,))])
    assert findings(reshaped, 16, LOGITS) == ["loss-mismatch"]


def test_labels_that_the_loss_refuses_are_named() -> None:
    """The pass over the layers does not need the loss."""
    model = keras.Sequential([inputs(4), kl.Flatten(), kl.Dense(9, activation="softmax")])
    assert findings(model, 4) == ["output-units"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "size"),
    [
        (keras.applications.VGG16, 64),
        (keras.applications.ResNet50V2, 64),
        (keras.applications.EfficientNetB0, 64),
        (keras.applications.DenseNet121, 64),
        (keras.applications.Xception, 71),
        (keras.applications.ConvNeXtTiny, 64),
    ],
)
def test_a_network_of_keras_has_no_findings(build: Callable[..., keras.Model], size: int) -> None:
    assert findings(build(weights=None, classes=10, input_shape=(size, size, 3)), size) == []
