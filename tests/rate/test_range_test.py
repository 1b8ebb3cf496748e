"""The range test: what it measures, when it stops, and that it leaves no trace."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.random.seed_generator import global_seed_generator

from lrdiag.errors import SettingsError
from lrdiag.rate.curves import ExponentialSweep
from lrdiag.rate.range_test import LRFinder, find_lr
from lrdiag.rate.schedules import CyclicSchedule
from lrdiag.records import RangeTest

OPTIMIZERS = {"sgd": lambda: keras.optimizers.SGD(0.05, momentum=0.9), "adam": lambda: keras.optimizers.Adam(0.01)}
SWEEP = {"iterations": 12, "batch_size": 8}


class Interrupted(Exception):
    """What `on_step` raises here."""


def raising(error: type[BaseException]) -> Callable[[float], None]:
    steps = iter(range(100))

    def on_step(loss: float) -> None:
        if next(steps) == 5:
            raise error

    return on_step


class Laboratory:
    """A net with everything that training changes, and a way back to its beginning that owes nothing to lrdiag."""

    def __init__(self, optimizer: keras.Optimizer) -> None:
        keras.utils.set_random_seed(0)
        generator = np.random.default_rng(0)
        self.inputs = generator.normal(size=(48, 4)).astype("float32")
        self.labels = generator.integers(0, 3, size=48)
        self.model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(8),
                keras.layers.BatchNormalization(),
                keras.layers.Dropout(0.5),
                keras.layers.Dense(3),
            ]
        )
        self.model.compile(optimizer, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        optimizer.build(self.model.trainable_variables)
        self._start = [(variable, variable.numpy()) for variable in (*self.model.variables, *optimizer.variables)]
        self.undisturbed = functools.cache(self._undisturbed)

    def reset(self) -> None:
        """Back to the beginning."""
        keras.utils.set_random_seed(0)
        for variable, value in self._start:
            variable.assign(value)

    def sweep(self, **arguments: Any) -> RangeTest:
        return find_lr(self.model, self.inputs, self.labels, **{**SWEEP, **arguments})

    def fit(self, shuffle: bool = False, **arguments: Any) -> dict[str, list[float]]:
        return self.model.fit(
            self.inputs, self.labels, batch_size=8, epochs=2, shuffle=shuffle, verbose=0, **arguments
        ).history

    def _undisturbed(self, shuffle: bool) -> tuple[dict[str, list[float]], list[np.ndarray]]:
        """The losses and all variables of a training from the beginning."""
        self.reset()
        losses, variables = self.fit(shuffle), self.everything()
        self.reset()
        return losses, variables

    def everything(self) -> list[np.ndarray]:
        """Each variable of the model and of its optimizer."""
        return [variable.numpy() for variable, _ in self._start]


@pytest.fixture(scope="module", params=OPTIMIZERS)
def built(request: pytest.FixtureRequest) -> Laboratory:
    return Laboratory(OPTIMIZERS[request.param]())


@pytest.fixture
def laboratory(built: Laboratory) -> Laboratory:
    built.reset()
    return built


@pytest.fixture(scope="module")
def one() -> Laboratory:
    return Laboratory(OPTIMIZERS["sgd"]())


@pytest.fixture
def lab(one: Laboratory) -> Laboratory:
    """As `laboratory`, where one optimizer is enough."""
    one.reset()
    return one


@pytest.fixture
def half_precision() -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(before)


def diverge(lab: Laboratory) -> None:
    assert lab.sweep(end_lr=1e6, diverge_factor=1.5, smoothing=0.0).stop_reason == "the loss diverged"


def stumble(error: type[BaseException]) -> Callable[[Laboratory], None]:
    def run(lab: Laboratory) -> None:
        with pytest.raises(error):
            lab.sweep(on_step=raising(error))

    return run


def assert_identical(values: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for value, kept in zip(values, expected, strict=True):
        np.testing.assert_array_equal(value, kept)


SWEEPS = {
    "complete": lambda lab: lab.sweep(),
    "diverged": diverge,
    "not-finite": lambda lab: lab.sweep(start_lr=1e20, end_lr=1e30, diverge_factor=math.inf),
    "on-step-raises": stumble(Interrupted),
    "interrupted": stumble(KeyboardInterrupt),
    "as-callback": lambda lab: lab.fit(callbacks=[LRFinder(iterations=9)]),
}


@pytest.mark.parametrize(
    ("sweep", "shuffle"),
    [pytest.param(sweep, False, id=name) for name, sweep in SWEEPS.items()]
    + [pytest.param(SWEEPS["complete"], True, id="complete-shuffled")],
)
def test_training_after_a_sweep_is_training_without_one(
    laboratory: Laboratory, sweep: Callable[[Laboratory], Any], shuffle: bool
) -> None:
    """Bit for bit: losses, weights, batch-norm statistics, dropout seeds, slots, step count and rate."""
    expected_losses, expected = laboratory.undisturbed(shuffle)
    before = laboratory.everything()
    sweep(laboratory)
    assert_identical(laboratory.everything(), before)
    assert laboratory.fit(shuffle) == expected_losses
    assert_identical(laboratory.everything(), expected)


def test_a_sweep_really_trains(lab: Laboratory) -> None:
    """Else all that is above would say nothing."""
    during: list[np.ndarray] = []
    lab.sweep(on_step=lambda loss: during.append(lab.model.get_weights()[0]))
    assert len(during) == 12
    assert (during[-1] != lab.model.get_weights()[0]).any()


def draw(loss: float = 0.0) -> tuple[float, ...]:
    """Draws from Python, numpy and Keras."""
    return random.random(), float(np.random.random()), float(keras.random.uniform(()))  # noqa: NPY002


def test_the_random_states_are_put_back(lab: Laboratory) -> None:
    draw()
    seed = global_seed_generator().state
    start = random.getstate(), np.random.get_state(), seed.numpy()  # noqa: NPY002
    expected = draw()
    random.setstate(start[0])
    np.random.set_state(start[1])  # noqa: NPY002
    seed.assign(start[2])
    lab.sweep(on_step=draw)
    assert draw() == expected


def test_the_random_states_are_put_back_where_keras_has_not_drawn_yet(lab: Laboratory) -> None:
    """As it is after `keras.utils.set_random_seed`."""
    expected = draw()
    lab.reset()
    lab.sweep(on_step=draw)
    assert draw() == expected


@pytest.mark.parametrize("stop_training", [False, True])
def test_the_last_history_and_the_wish_to_stop_stay(lab: Laboratory, stop_training: bool) -> None:
    lab.fit()
    history = lab.model.history
    lab.model.stop_training = stop_training
    lab.sweep()
    assert lab.model.history is history
    assert lab.model.stop_training is stop_training


def test_the_learning_rate_stays(laboratory: Laboratory) -> None:
    before = float(laboratory.model.optimizer.learning_rate)
    laboratory.sweep(end_lr=1e3)
    assert float(laboratory.model.optimizer.learning_rate) == before


def test_metrics_are_empty_after_a_sweep(lab: Laboratory) -> None:
    lab.sweep()
    assert all(float(metric.result()) == 0 for metric in lab.model.metrics if metric.name == "loss")


def test_exponentially_averaged_weights_come_back() -> None:
    """Keras overwrites the weights at the end of each fit where `use_ema` is set."""
    lab = Laboratory(keras.optimizers.SGD(0.05, use_ema=True))
    before = lab.everything()
    lab.sweep()
    assert_identical(lab.everything(), before)


def test_the_rates_are_the_ladder_and_the_optimizer_climbs_it(lab: Laboratory) -> None:
    climbed: list[float] = []
    test = lab.sweep(on_step=lambda loss: climbed.append(float(lab.model.optimizer.learning_rate)))
    np.testing.assert_allclose(test.learning_rates, ExponentialSweep(1e-5, 10.0, 12)(np.arange(12)), rtol=1e-12)
    np.testing.assert_allclose(climbed, test.learning_rates, rtol=1e-6)


def test_each_loss_is_that_of_its_batch_alone(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    """At rates too small to change anything, with a short last batch, around and around."""
    model = make_line(penalty=0.05)
    batches = tf.data.Dataset.from_tensor_slices(line).batch(4)
    expected = [model.evaluate(*batch, verbose=0) for batch in batches]
    test = find_lr(model, batches, start_lr=1e-12, end_lr=1e-11, iterations=6)
    np.testing.assert_allclose(test.losses, expected * 2, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.98])
def test_the_smoothed_losses_follow_their_formula(lab: Laboratory, smoothing: float) -> None:
    """`sum_j (1 - s) s**(i - j) loss_j / (1 - s**i)`, without recursion."""
    test = lab.sweep(smoothing=smoothing, end_lr=0.1)
    for count in range(1, 13):
        weights = (1 - smoothing) * smoothing ** np.arange(count)[::-1].astype(float)
        expected = weights @ np.array(test.losses[:count]) / (1 - smoothing**count)
        assert test.smoothed_losses[count - 1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("changes", "stop_reason"),
    [
        ({}, "the range was swept to its end"),
        ({"end_lr": 1e6, "diverge_factor": 1.5}, "the loss diverged"),
        ({"start_lr": 1e20, "end_lr": 1e30, "diverge_factor": math.inf}, "the loss was not finite"),
    ],
)
def test_the_sweep_says_why_it_stopped(lab: Laboratory, changes: dict[str, float], stop_reason: str) -> None:
    test = lab.sweep(**changes)
    assert test.stop_reason == stop_reason
    assert (len(test.losses) == 12) == (stop_reason == "the range was swept to its end")
    assert all(map(math.isfinite, test.losses))
    assert len(test.learning_rates) == len(test.losses) == len(test.smoothed_losses)


def test_the_sweep_stops_at_the_first_smoothed_loss_above_the_limit(lab: Laboratory) -> None:
    smoothed = lab.sweep(end_lr=1e6, diverge_factor=2.0, smoothing=0.5).smoothed_losses
    above = [value > 2 * min(smoothed[: place + 1]) for place, value in enumerate(smoothed)]
    assert above.index(True) == len(smoothed) - 1


CHANGES: list[tuple[str, Any]] = [
    ("start_lr", 1e-2), ("end_lr", 1.0), ("iterations", 9), ("smoothing", 0.5), ("diverge_factor", 1.01),
    ("batch_size", 16),
]  # fmt: skip


@pytest.fixture(scope="module")
def usual(one: Laboratory) -> RangeTest:
    one.reset()
    return one.sweep(end_lr=1e3)


@pytest.mark.parametrize(("argument", "value"), CHANGES)
def test_every_argument_changes_the_answer(lab: Laboratory, usual: RangeTest, argument: str, value: Any) -> None:
    assert lab.sweep(**{"end_lr": 1e3, argument: value}) != usual


def test_the_same_sweep_twice_measures_the_same(lab: Laboratory) -> None:
    assert lab.sweep() == lab.sweep()


def test_on_step_is_told_every_loss(lab: Laboratory) -> None:
    told: list[float] = []
    assert lab.sweep(on_step=told.append).losses == told


@pytest.mark.parametrize("as_dataset", [False, True])
def test_data_shorter_than_the_sweep_goes_around(lab: Laboratory, as_dataset: bool) -> None:
    few = (lab.inputs[:10], lab.labels[:10])
    data = (tf.data.Dataset.from_tensor_slices(few).batch(8),) if as_dataset else few
    test = find_lr(lab.model, *data, batch_size=8, end_lr=0.1, iterations=12)
    assert (len(test.losses), test.stop_reason) == (12, "the range was swept to its end")


@pytest.mark.parametrize(
    ("argument", "value"),
    [("smoothing", 1.0), ("smoothing", -0.1), ("smoothing", math.nan), ("diverge_factor", 1.0),
     ("diverge_factor", math.nan), ("start_lr", 0.0), ("end_lr", 1e-9), ("iterations", 1)],
)  # fmt: skip
def test_arguments_outside_their_range_are_refused(argument: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"`{argument}`|less than `end_lr`"):
        LRFinder(**{argument: value})


def test_a_rate_that_is_a_schedule_is_refused(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    model = make_line(keras.optimizers.SGD(CyclicSchedule(base_lr=0.01, max_lr=0.1, step_size=3)))
    with pytest.raises(SettingsError, match=r"LRFinder.*plain number.*Received: CyclicSchedule"):
        find_lr(model, *line)


def test_a_schedule_inside_a_loss_scaling_optimizer_is_refused(
    half_precision: None, make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    model = make_line(keras.optimizers.SGD(CyclicSchedule(base_lr=0.01, max_lr=0.1, step_size=3)))
    with pytest.raises(SettingsError, match=r"LRFinder.*plain number.*Received: CyclicSchedule"):
        find_lr(model, *line)


def test_several_steps_in_one_execution_are_refused_before_anything_happens(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    model = make_line(steps_per_execution=2)
    with pytest.raises(SettingsError, match=r"LRFinder.*Received: steps_per_execution=2"):
        find_lr(model, *line)
    np.testing.assert_array_equal(model.get_weights()[0], [[1.0], [-2.0]])


def test_updates_that_loss_scaling_skips_are_no_rungs(half_precision: None) -> None:
    lab = Laboratory(OPTIMIZERS["sgd"]())
    before = lab.everything()
    test = lab.sweep(iterations=10, end_lr=0.1)
    assert (len(test.losses), test.stop_reason) == (10, "the range was swept to its end")
    assert_identical(lab.everything(), before)


def test_a_loss_that_overflows_half_precision_for_good_is_called_not_finite(half_precision: None) -> None:
    lab = Laboratory(OPTIMIZERS["sgd"]())
    test = lab.sweep(start_lr=1e3, end_lr=1e9, diverge_factor=math.inf)
    assert len(test.losses) < 12
    assert test.stop_reason == "the loss was not finite"


def test_a_finder_can_sweep_again(lab: Laboratory) -> None:
    finder = LRFinder(iterations=9)
    results = []
    for _ in range(2):
        lab.fit(callbacks=[finder])
        results.append(finder.result())
    assert results[0] == results[1]
