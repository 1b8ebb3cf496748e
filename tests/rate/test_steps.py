"""The loss of each batch alone, where Keras tells a running mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.errors import SettingsError
from lrdiag.rate.curves import Cyclic
from lrdiag.rate.momentum import SGD
from lrdiag.rate.schedules import CyclicSchedule, OneCycleSchedule
from lrdiag.rate.steps import StepRecorder

BATCH_SIZE = 4
PENALTY = 0.05
RATE = 0.1


def batches(*arrays: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Of four, four and two."""
    starts = range(0, len(arrays[0]), BATCH_SIZE)
    return [tuple(array[start : start + BATCH_SIZE] for array in arrays) for start in starts]


@pytest.fixture(params=[False, True], ids=["plain", "sample-weights"])
def weighted(request: pytest.FixtureRequest, line: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Inputs and targets, with or without a weight for each."""
    weights = np.linspace(0.1, 3.0, len(line[0]), dtype="float32")
    return (*line, weights) if request.param else line


def record(model: keras.Model, arrays: tuple[np.ndarray, ...], epochs: int = 1, **arguments: Any) -> StepRecorder:
    inputs, targets, *weights = arrays
    recorder = StepRecorder()
    model.fit(
        inputs,
        targets,
        sample_weight=weights[0] if weights else None,
        **{"batch_size": BATCH_SIZE, "epochs": epochs, "shuffle": False, "verbose": 0, **arguments},
        callbacks=[recorder],
    )
    return recorder


def test_each_loss_is_that_of_its_batch_computed_by_hand(
    make_line: Callable[..., keras.Model], weighted: tuple[np.ndarray, ...]
) -> None:
    """Stochastic gradient descent in numpy; the last batch is short, and the penalty counts."""
    kernel = np.array([[1.0], [-2.0]])
    expected = []
    for inputs, targets, *given in batches(*weighted) * 2:
        weights = given[0][:, None] if given else np.ones_like(targets)
        error = inputs @ kernel - targets
        expected.append(float(np.mean(weights * error**2) + PENALTY * np.sum(kernel**2)))
        gradient = 2 * inputs.T @ (weights * error) / len(inputs) + 2 * PENALTY * kernel
        kernel = kernel - RATE * gradient
    model = make_line(keras.optimizers.SGD(RATE), penalty=PENALTY)
    np.testing.assert_allclose(record(model, weighted, epochs=2).losses, expected, rtol=2e-5)
    np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=2e-5)


def test_each_loss_is_that_of_train_on_batch(
    make_line: Callable[..., keras.Model], weighted: tuple[np.ndarray, ...]
) -> None:
    twin = make_line(penalty=PENALTY)
    expected = []
    for inputs, targets, *weights in batches(*weighted):
        twin.reset_metrics()
        expected.append(float(twin.train_on_batch(inputs, targets, weights[0] if weights else None)))
    recorder = record(make_line(penalty=PENALTY), weighted)
    np.testing.assert_allclose(recorder.losses, expected, rtol=1e-6)


def test_the_history_is_what_it_would_have_been(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    histories = []
    for callbacks in ([], [StepRecorder()]):
        model = make_line(penalty=PENALTY, metrics=["mae"])
        history = model.fit(
            *line, batch_size=BATCH_SIZE, epochs=3, shuffle=False, verbose=0, validation_split=0.2, callbacks=callbacks
        )
        histories.append(history.history)
    alone, recorded = histories
    assert recorded.keys() == alone.keys()
    for name, values in alone.items():
        np.testing.assert_allclose(recorded[name], values, rtol=1e-6, err_msg=name)


def test_a_loss_that_is_not_finite_spoils_no_other_epoch(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    inputs = line[0].copy()
    inputs[4] = math.nan
    recorder = record(make_line(keras.optimizers.SGD(1e-12)), (inputs, line[1]), epochs=1)
    assert [math.isfinite(loss) for loss in recorder.losses] == [True, False, False]


def test_the_recorded_rates_are_those_of_the_schedule(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    cycle = {"base_lr": 0.01, "max_lr": 0.1, "step_size": 3}
    model = make_line(keras.optimizers.SGD(CyclicSchedule(**cycle)))
    rates = record(model, line, epochs=3).learning_rates
    np.testing.assert_allclose(rates, Cyclic(**cycle)(np.arange(9)), rtol=1e-6)


def test_the_recorded_momentum_is_that_of_each_update(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    rate = OneCycleSchedule(max_lr=0.1, total_steps=8)
    recorder = record(make_line(SGD(rate, momentum=rate.momentum(0.85, 0.95))), line, epochs=3)
    np.testing.assert_allclose(recorder.momentums, [float(rate.momentum(0.85, 0.95)(step)) for step in range(9)])
    assert recorder.momentums[0] == pytest.approx(0.95)
    assert min(recorder.momentums) < 0.86


@pytest.mark.parametrize(
    ("optimizer", "momentums"), [(keras.optimizers.SGD(0.1, momentum=0.9), [0.9] * 3), (keras.optimizers.Adam(0.1), [])]
)
def test_a_momentum_that_stays_is_recorded_and_none_is_not(
    make_line: Callable[..., keras.Model],
    line: tuple[np.ndarray, np.ndarray],
    optimizer: keras.Optimizer,
    momentums: list[float],
) -> None:
    assert record(make_line(optimizer), line).momentums == momentums


def test_several_steps_in_one_execution_are_refused(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(SettingsError, match=r"StepRecorder.*Received: steps_per_execution=2"):
        record(make_line(steps_per_execution=2), line)
