"""The trial of the optimizer: exact where the update is known."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from lrdiag.inspection.trial import UPDATES, NoTrial, try_updates
from lrdiag.inspection.wiring import compiled, planned_rates

GENERATOR = np.random.default_rng(0)
WEIGHT = GENERATOR.normal(0, 0.1, (8, 4)).astype("float32")
GRADIENT = GENERATOR.normal(0, 0.02, (8, 4)).astype("float32")
RATIO = float(np.sqrt(np.mean(GRADIENT**2)) / np.sqrt(np.mean(WEIGHT**2)))


def tried(optimizer: keras.Optimizer, gradient: np.ndarray = GRADIENT):
    return try_updates(optimizer, ["dense"], [WEIGHT], [gradient])


def test_plain_descent_moves_by_the_gradient() -> None:
    trial = tried(keras.optimizers.SGD(0.5))
    assert trial.move == pytest.approx(RATIO, rel=1e-4)
    assert (trial.largest, trial.layer, trial.unclipped, trial.climbs) == (trial.move, "dense", trial.move, False)


def test_momentum_adds_up() -> None:
    factor = sum((1 - 0.9**step) / 0.1 for step in range(1, UPDATES + 1)) / UPDATES
    assert tried(keras.optimizers.SGD(0.5, momentum=0.9)).move == pytest.approx(factor * RATIO, rel=1e-4)


def test_adam_moves_by_its_rate_whatever_the_gradient() -> None:
    expected = 1 / float(np.sqrt(np.mean(WEIGHT**2)))
    for scale in (1.0, 10.0):
        assert tried(keras.optimizers.Adam(0.001), scale * GRADIENT).move == pytest.approx(expected, rel=0.02)


def test_clipping_is_told_apart() -> None:
    for clip in ({"clipvalue": 1e-6}, {"clipnorm": 1e-6}, {"global_clipnorm": 1e-6}):
        trial = tried(keras.optimizers.SGD(0.5, **clip))
        assert trial.unclipped == pytest.approx(RATIO, rel=1e-4)
        assert trial.move < 1e-3 * trial.unclipped


def test_an_optimizer_that_climbs() -> None:
    class Climbing(keras.optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(-gradient, variable, learning_rate)

    assert tried(Climbing(0.1)).climbs


def test_the_optimizer_does_not_change() -> None:
    optimizer = keras.optimizers.Adam(0.001)
    weight = keras.Variable(WEIGHT)
    optimizer.build([weight])
    before = [np.array(each) for each in optimizer.variables]
    tried(optimizer)
    assert all(np.array_equal(old, new) for old, new in zip(before, optimizer.variables, strict=True))
    assert np.array_equal(weight, WEIGHT)


def test_what_cannot_be_tried() -> None:
    with pytest.raises(NoTrial, match="Muon"):
        tried(keras.optimizers.Muon(0.001))
    with pytest.raises(NoTrial, match="finite"):
        tried(keras.optimizers.SGD(0.1), GRADIENT * np.nan)


def test_rates_of_a_schedule() -> None:
    schedule = keras.optimizers.schedules.CosineDecay(0.0, 90, warmup_target=0.1, warmup_steps=10)
    rates = planned_rates(keras.optimizers.SGD(schedule), 200)
    assert (rates.first, rates.highest, rates.lowest) == pytest.approx((0.0, 0.1, 0.0), abs=1e-6)
    assert rates.mean == pytest.approx(np.mean([float(schedule(step)) for step in range(200)]), rel=1e-4)
    assert rates.spent == pytest.approx(0.5, abs=0.02)
    assert planned_rates(keras.optimizers.SGD(0.3), None).mean == pytest.approx(0.3)


def test_callbacks_that_may_set_the_rate() -> None:
    optimizer = keras.optimizers.SGD(0.3)
    harmless = [keras.callbacks.EarlyStopping(), keras.callbacks.ReduceLROnPlateau()]
    assert not planned_rates(optimizer, 10, harmless).may_change
    assert planned_rates(optimizer, 10, [keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)]).may_change


@pytest.mark.parametrize(
    ("loss", "kind", "takes_logits"),
    [
        ("mse", "distance", None),
        (keras.losses.MeanSquaredError(), "distance", None),
        ("sparse_categorical_crossentropy", "sparse", False),
        (keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1), "categorical", True),
        (keras.losses.BinaryFocalCrossentropy(), "binary", False),
        ("categorical_hinge", "hinge", None),
        (keras.losses.KLDivergence(), "other", None),
        (lambda truth, output: output, "other", None),
    ],
)
def test_kinds_of_loss(loss: object, kind: str, takes_logits: bool | None) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9, clipnorm=1.0), loss, metrics=["accuracy"])
    found = compiled(model)
    assert found is not None
    assert (found.kind, found.takes_logits, found.metrics) == (kind, takes_logits, ("accuracy",))
    assert (found.optimizer.name, found.optimizer.clipnorm, found.optimizer.clipvalue) == ("SGD", 1.0, None)


def test_a_model_that_is_not_compiled() -> None:
    assert compiled(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])) is None
