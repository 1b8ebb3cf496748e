"""`Inspector` and `Watch`: what they observe of a run, and that they leave it as it is."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as kl

from lrdiag.diagnosis.check_settings import CheckSettings
from lrdiag.inspection.images import GivenImages
from lrdiag.inspection.inspector import Inspector
from lrdiag.watch import Watch, announced

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.random((120, 6, 6, 3), "float32")
LABELS = np.arange(120) % 3
TRAINING = GivenImages("arrays", IMAGES, LABELS, batch_size=30)


def network(rate: float = 0.05) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            kl.RandomFlip(),
            kl.Conv2D(8, 3, use_bias=False, kernel_regularizer="l2"),
            kl.BatchNormalization(),
            kl.ReLU(),
            kl.Flatten(),
            kl.Dropout(0.3),
            kl.Dense(3, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def state(model: keras.Model) -> list[np.ndarray]:
    return [np.array(each) for each in (*model.variables, *model.optimizer.variables)]


def test_the_start_is_that_of_the_model() -> None:
    model = network()
    inspector = Inspector(model)
    inspector.look_at_model()
    inspector.look_at_data(TRAINING, None)
    inspector.look_at_start(updates=40)
    start, scores = inspector.seen.start, inspector.seen.scores
    assert start is not None
    assert scores is not None
    assert start.penalty == pytest.approx(float(keras.ops.convert_to_numpy(sum(model.losses))), rel=1e-5)
    assert start.loss == pytest.approx(np.log(3), abs=1.0)
    assert (scores.units, scores.images) == (3, 64)
    assert scores.largest_sum_error < 1e-5
    assert start.augmentation is not None
    assert start.unreached == start.without_gradient == ()
    assert inspector.seen.rates is not None
    assert inspector.seen.rates.updates == 40


def test_nothing_changes() -> None:
    """Weights, moving statistics, optimizer, and the random numbers that follow."""
    models = network(), network()
    after = []
    for model, is_observed in zip(models, (True, False), strict=True):
        keras.utils.set_random_seed(1)
        model.optimizer.build(model.trainable_variables)
        inspector = Inspector(model)
        if is_observed:
            before = state(model)
            inspector.look_at_model()
            inspector.look_at_data(TRAINING, TRAINING)
            inspector.look_at_start(updates=40)
            assert all(np.array_equal(old, new) for old, new in zip(before, state(model), strict=True))
        for epoch in (1, 2):
            model.fit(IMAGES, LABELS, batch_size=30, verbose=0)
            if is_observed:
                inspector.look_at_epoch(epoch, 4)
        after.append(state(model))
    assert all(np.array_equal(one, other) for one, other in zip(*after, strict=True))


def test_how_far_an_epoch_moves_the_weights() -> None:
    model = network()
    inspector = Inspector(model)
    inspector.look_at_data(TRAINING, None)
    inspector.look_at_start(updates=None)
    kernel = model.layers[1].kernel
    before = np.array(kernel)
    kernel.assign(1.1 * before)
    model.layers[-1].kernel.assign(np.full((128, 3), np.nan))
    inspector.look_at_epoch(1, 4)
    (epoch,) = inspector.seen.epochs
    assert epoch.moved["conv2d" if "conv2d" in epoch.moved else model.layers[1].name] == pytest.approx(0.1, rel=1e-4)
    assert [name.rpartition("/")[2] for name in epoch.not_finite] == ["kernel"]
    assert {name.rpartition("/")[2] for name in epoch.unchanged} == {"gamma", "beta", "bias"}


def test_what_fails_is_a_reason_and_no_error() -> None:
    class Failing(kl.Layer):
        def call(self, inputs, training=False):
            if training:
                raise RuntimeError("no training")
            return inputs

    model = keras.Sequential([keras.Input((6, 6, 3)), kl.Flatten(), kl.Dense(3)])
    model.add(Failing())
    inspector = Inspector(model)
    inspector.look_at_data(TRAINING, GivenImages("v", iter([]), None))
    inspector.look_at_layers()
    assert "RuntimeError" in inspector.seen.reasons["layers"]
    assert "only once" in inspector.seen.reasons["validation_data"]


def watch_of(model: keras.Model, said: list[str], **options: object) -> Watch:
    return Watch(model, said.append, settings=CheckSettings(), made_by="callback", **options)


def test_a_finding_is_reported_once_and_stops_training_if_asked() -> None:
    said: list[str] = []
    watch = watch_of(network(rate=-0.05), said, stop_on="error")
    watch.begin(TRAINING, None, updates=40, callbacks=(), is_first=True)
    assert watch.known["negative-rate"] == "before training"
    watch.check("during training", None)
    assert [line for line in said if "negative-rate" in line] == said[:1]
    assert watch.stop_reason == "stopped by the finding negative-rate"


def test_a_line_on_the_terminal_has_no_control_characters() -> None:
    from lrdiag.record.facts import Finding

    finding = Finding("nan-input", "error", "Bad \x1b[31mname\n.", "one", "two")
    assert announced(finding).isprintable()


def test_losses_that_ask_for_a_check() -> None:
    watch = watch_of(network(), [])
    asked = [watch.is_alarming(loss) for loss in [*[2.0] * 10, 5.9, 6.1, 100.0, float("nan"), float("nan")]]
    assert asked == [False] * 11 + [True, False, True, False]
