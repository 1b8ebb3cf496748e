"""SGD: equal to Keras's with a constant momentum, and to the policy with a changing one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.backend.optimizers import batch_counter
from lrdiag.errors import SettingsError
from lrdiag.policies.schedules import CurveSchedule, CyclicSchedule, OneCycleSchedule
from lrdiag.policies.sgd import SGD
from lrdiag.rate.curves import OneCycle

Fit = Callable[..., list[np.ndarray]]


class Weights(keras.callbacks.Callback):
    """Records the weights after each update."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[np.ndarray] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.noted.append(self.model.get_weights()[0])


class Assign(keras.callbacks.Callback):
    """Sets the momentum of each update.

    Args:
        momenta: One for each update.
    """

    def __init__(self, momenta: list[float]) -> None:
        super().__init__()
        self.momenta = iter(momenta)

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.model.optimizer.momentum = next(self.momenta)


@pytest.fixture
def fit(make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]) -> Fit:
    """Trains on six batches of five; returns the weights after each update."""

    def run(optimizer: Any, *callbacks: keras.callbacks.Callback, **compile_arguments: Any) -> list[np.ndarray]:
        model, weights = make_line(optimizer, **compile_arguments), Weights()
        model.fit(*line, batch_size=5, epochs=3, shuffle=False, verbose=0, callbacks=[*callbacks, weights])
        return weights.noted

    return run


def by_hand(line: tuple[np.ndarray, np.ndarray], rates: Any, momenta: Any, nesterov: bool) -> list[np.ndarray]:
    """The regression of `make_line` under `v = m * v - rate * g`, in numpy."""
    kernel, velocity, weights = np.array([[1.0], [-2.0]]), np.zeros((2, 1)), []
    for update, (rate, momentum) in enumerate(zip(rates, momenta, strict=True)):
        batch = slice(0, 5) if update % 2 == 0 else slice(5, 10)
        inputs, targets = line[0][batch], line[1][batch]
        gradient = 2 * inputs.T @ (inputs @ kernel - targets) / len(inputs)
        velocity = momentum * velocity - rate * gradient
        kernel = kernel + (momentum * velocity - rate * gradient if nesterov else velocity)
        weights.append(kernel)
    return weights


@pytest.mark.parametrize(
    ("momentum", "nesterov", "jit_compile"),
    [(0.9, True, True), (0.0, False, False)],
)
def test_with_a_constant_momentum_weights_equal_those_of_keras(
    fit: Fit, momentum: float, nesterov: bool, jit_compile: bool
) -> None:
    arguments = {"momentum": momentum, "nesterov": nesterov, "weight_decay": 0.01, "clipnorm": 3.0}
    ours = fit(SGD(0.05, **arguments), jit_compile=jit_compile)
    theirs = fit(keras.optimizers.SGD(0.05, **arguments), jit_compile=jit_compile)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("nesterov", "jit_compile"), [(False, True), (True, False)])
def test_assigning_the_momentum_changes_the_updates(
    fit: Fit, line: tuple[np.ndarray, np.ndarray], nesterov: bool, jit_compile: bool
) -> None:
    momenta = [0.95, 0.9, 0.0, 0.85, 0.5, 0.95]
    trained = fit(SGD(0.05, nesterov=nesterov), Assign(momenta), jit_compile=jit_compile)
    np.testing.assert_allclose(trained, by_hand(line, [0.05] * 6, momenta, nesterov), rtol=1e-4)


def test_assigning_the_momentum_of_keras_sgd_has_no_effect(fit: Fit) -> None:
    """The reason for this class. If this fails, Keras reads the momentum at each update."""
    constant = fit(keras.optimizers.SGD(0.05, momentum=0.95))
    assigned = fit(keras.optimizers.SGD(0.05, momentum=0.95), Assign([0.95, 0.5, 0.5, 0.5, 0.5, 0.5]))
    np.testing.assert_array_equal(assigned, constant)


@pytest.mark.parametrize(
    ("rate", "jit_compile"), [(OneCycleSchedule(0.1, 6), True), (CyclicSchedule(0.01, 0.1, 2), False)]
)
def test_a_schedule_sets_the_momentum_of_each_update(
    fit: Fit, line: tuple[np.ndarray, np.ndarray], rate: CurveSchedule, jit_compile: bool
) -> None:
    trained = fit(SGD(rate, rate.momentum(0.5, 0.95), nesterov=True), jit_compile=jit_compile)
    steps = np.arange(6)
    expected = by_hand(line, rate.curve(steps), rate.curve.momentum(steps, 0.5, 0.95), nesterov=True)
    np.testing.assert_allclose(trained, expected, rtol=1e-4)


def test_several_steps_in_one_execution_each_have_their_momentum(fit: Fit, line: tuple[np.ndarray, np.ndarray]) -> None:
    rate = OneCycleSchedule(0.1, 6)
    trained = fit(SGD(rate, rate.momentum(0.5, 0.95)), steps_per_execution=2)
    steps = np.arange(6)
    expected = by_hand(line, rate.curve(steps), rate.curve.momentum(steps, 0.5, 0.95), nesterov=False)
    np.testing.assert_allclose(trained, expected[1::2], rtol=1e-4)


def test_the_momentum_is_the_conventions_at_every_update() -> None:
    rate = OneCycleSchedule(1.0, 100, convention="pytorch")
    optimizer = SGD(rate, rate.momentum(0.85, 0.95))
    for step, momentum in [(0, 0.95), (1, 0.949707), (14, 0.902707), (29, 0.85), (50, 0.870611), (99, 0.95)]:
        optimizer.iterations.assign(step)
        assert float(optimizer.momentum) == pytest.approx(momentum, abs=1e-6)


def test_a_schedule_of_momentum_counts_updates_not_batches() -> None:
    rate = OneCycleSchedule(1.0, 100, gradient_accumulation_steps=4)
    optimizer = SGD(rate, rate.momentum(0.85, 0.95), gradient_accumulation_steps=4)
    batch_counter(optimizer).assign(4 * 14 + 3)
    assert float(optimizer.momentum) == pytest.approx(OneCycle(1.0, 100).momentum(14, 0.85, 0.95))


def test_a_schedule_that_counts_other_updates_is_refused() -> None:
    rate = OneCycleSchedule(1.0, 100, gradient_accumulation_steps=2)
    with pytest.raises(SettingsError, match="Received: 2 in the schedule, 4 in the optimizer"):
        SGD(rate, gradient_accumulation_steps=4)
    with pytest.raises(SettingsError, match="Received: 2 in the schedule, 1 in the optimizer"):
        SGD(0.1, rate.momentum(0.85, 0.95))


@pytest.mark.parametrize("scheduled", [False, True], ids=["number", "schedule"])
def test_a_saved_model_continues_with_identical_weights(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray], tmp_path: Path, scheduled: bool
) -> None:
    rate = OneCycleSchedule(0.1, 12)
    model = make_line(SGD(rate, rate.momentum(0.5, 0.95) if scheduled else 0.75, nesterov=True))
    model.fit(*line, batch_size=5, epochs=2, shuffle=False, verbose=0)
    if not scheduled:
        model.optimizer.momentum = 0.25
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.optimizer) is SGD
    assert again.optimizer.nesterov
    assert float(again.optimizer.momentum) == float(model.optimizer.momentum)
    for each in (model, again):
        each.fit(*line, batch_size=5, epochs=2, shuffle=False, verbose=0)
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])


def test_a_configuration_holds_every_argument() -> None:
    arguments = {
        "learning_rate": 0.5, "momentum": 0.75, "nesterov": True, "weight_decay": 0.25, "clipnorm": 2.0,
        "clipvalue": None, "global_clipnorm": None, "use_ema": True, "ema_momentum": 0.5,
        "ema_overwrite_frequency": 3, "loss_scale_factor": 8.0, "gradient_accumulation_steps": 4, "name": "mine",
    }  # fmt: skip
    config = SGD(**arguments).get_config()
    assert config == arguments
    assert SGD.from_config(config).get_config() == arguments
    assert {SGD(clipvalue=0.5).get_config()["clipvalue"], SGD(global_clipnorm=0.5).get_config()["global_clipnorm"]} == {
        0.5
    }


@pytest.mark.parametrize("momentum", [-0.1, 1.1, float("nan"), "0.9", True])
def test_a_momentum_outside_its_range_is_refused(momentum: float) -> None:
    with pytest.raises(SettingsError, match=rf"in \[0, 1\].*Received: momentum={momentum!r}"):
        SGD(0.1, momentum)
    optimizer = SGD(0.1)
    with pytest.raises(SettingsError, match="Received"):
        optimizer.momentum = momentum


@pytest.mark.parametrize("argument", ["learning_rate", "momentum"])
def test_a_curve_in_place_of_a_schedule_is_refused(argument: str) -> None:
    rule = rf"`{argument}` must be .*schedule.*`rate = lrdiag\.CurveSchedule\(curve\)`.*Received: {argument}=OneCycle"
    with pytest.raises(SettingsError, match=rule):
        SGD(**{argument: OneCycle(0.1, 10)})


def test_a_momentum_that_is_a_schedule_cannot_be_assigned() -> None:
    rate = OneCycleSchedule(0.1, 12)
    optimizer = SGD(rate, rate.momentum(0.85, 0.95))
    with pytest.raises(SettingsError, match=r"is a schedule.*Received: momentum=0\.5"):
        optimizer.momentum = 0.5
