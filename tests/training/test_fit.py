"""Training: the policy ends with the run, every step is recorded, and a loss that is not finite stops it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.models import Network
from lrdiag.policies.schedules import OneCycleSchedule
from lrdiag.policies.sgd import SGD
from lrdiag.progress import Silence
from lrdiag.rate.curves import CosineRestarts, Cyclic, InverseTimeDecay, OneCycle
from lrdiag.recipes import Recipe
from lrdiag.record.facts import Rates, TrainingRun
from lrdiag.training.fit import DEFAULT_RATES, Policy, compile_network, plan, train
from lrdiag.training.guard import DivergenceGuard
from lrdiag.training.history import describe_optimizer
from lrdiag.training.progress_bar import TrainingProgress
from lrdiag.training.run_recorder import RunRecorder
from lrdiag.vocabulary import BOUNDED_SCHEDULES, OPTIMIZERS, SCHEDULES

RATES = Rates(base_lr=0.01, max_lr=0.4, static_lr=0.1)


def rates_of(policy: Policy, steps: int) -> list[float]:
    return [float(policy.rate(step)) for step in range(steps)] if callable(policy.rate) else [policy.rate] * steps


@pytest.mark.parametrize(("steps_per_epoch", "epochs"), [(3, 4), (4, 16), (7, 24), (5, 40), (3, 1)])
def test_cycles_end_at_the_base_at_the_last_step(steps_per_epoch: int, epochs: int) -> None:
    policy = plan("cyclic", RATES, steps_per_epoch, epochs)
    rates = rates_of(policy, steps_per_epoch * epochs)
    assert (rates[0], rates[-1]) == pytest.approx((0.01, 0.01), rel=1e-4)
    assert max(rates) <= 0.4 * (1 + 1e-6)
    cycles = max(1, round(epochs / 16))
    step_size = (steps_per_epoch * epochs - 1) / (2 * cycles)
    np.testing.assert_allclose(rates, Cyclic(0.01, 0.4, step_size)(np.arange(len(rates))), rtol=1e-3)
    word = "one triangular cycle" if cycles == 1 else f"{cycles} triangular cycles"
    assert policy.description == f"{word} between 0.01 and 0.4"


@pytest.mark.parametrize(("updates", "words"), [(1, "one"), (2, "one"), (3, "one"), (5, "2"), (9, "3")])
def test_a_short_run_has_as_many_decaying_cycles_as_fit(updates: int, words: str) -> None:
    policy = plan("triangular2", RATES, steps_per_epoch=updates, epochs=1)
    assert policy.description.startswith(f"{words} triangular cycle")
    assert policy.rate.curve.step_size == max((updates - 1) / {"one": 2, "2": 4, "3": 6}[words], 1)


@pytest.mark.parametrize(("steps_per_epoch", "epochs"), [(5, 20), (1, 8)])
def test_one_cycle_ends_far_below_its_beginning_at_the_last_step(steps_per_epoch: int, epochs: int) -> None:
    steps = steps_per_epoch * epochs
    rates = rates_of(plan("one-cycle", RATES, steps_per_epoch, epochs), steps)
    assert rates[0] == pytest.approx(0.01, rel=1e-5)
    assert rates[-1] == pytest.approx(0.4 / 1e5, abs=1e-6)
    expected = OneCycle(0.4, steps - 1, div_factor=40.0, anneal="linear")(np.arange(steps))
    np.testing.assert_allclose(rates, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("steps_per_epoch", "epochs", "cycles"), [(30, 4, 3), (5, 48, 3), (5, 80, 5)])
def test_decaying_cycles_are_three_or_more_and_end_at_the_base(steps_per_epoch: int, epochs: int, cycles: int) -> None:
    steps = steps_per_epoch * epochs
    step_size = (steps - 1) / (2 * cycles)
    for schedule, curve, words in (
        ("triangular2", Cyclic(0.01, 0.4, step_size, "triangular2"), ", each half as high as the previous one"),
        (
            "exp-range",
            Cyclic(0.01, 0.4, step_size, "exp_range", 0.1 ** (1 / (steps - 1))),
            ", decaying to 10% of their height",
        ),
    ):
        policy = plan(schedule, RATES, steps_per_epoch, epochs)
        rates = rates_of(policy, steps)
        np.testing.assert_allclose(rates, curve(np.arange(steps)), rtol=1e-3)
        assert (rates[0], rates[-1]) == pytest.approx((0.01, 0.01), rel=1e-3)
        assert policy.description == f"{cycles} triangular cycles between 0.01 and 0.4{words}"


@pytest.mark.parametrize(
    ("steps_per_epoch", "epochs", "cycles"), [(50, 1, 1), (50, 2, 1), (20, 3, 2), (20, 7, 3), (3, 40, 3)]
)
def test_cosine_cycles_double_and_end_with_the_run(steps_per_epoch: int, epochs: int, cycles: int) -> None:
    """The schedule is that of Keras."""
    steps = steps_per_epoch * epochs
    policy = plan("cosine-restarts", RATES, steps_per_epoch, epochs)
    assert type(policy.rate) is keras.optimizers.schedules.CosineDecayRestarts
    rates = rates_of(policy, steps)
    first = steps / (2**cycles - 1)
    np.testing.assert_allclose(rates, CosineRestarts(0.4, first)(np.arange(steps)), rtol=1e-3, atol=1e-6)
    assert sum(np.diff(rates) > 0) == cycles - 1
    assert (rates[0], rates[-1]) == pytest.approx((0.4, 0.0), abs=0.005)
    number = "one cosine cycle" if cycles == 1 else f"{cycles} cosine cycles, each twice as long as the previous one,"
    assert policy.description == f"{number} from 0.4 down to 0"


def test_decay_goes_by_epochs() -> None:
    rates = rates_of(plan("decay", RATES, 8, 5), 40)
    np.testing.assert_allclose(rates, np.repeat(0.1 / (1 + 0.1 * np.arange(5)), 8), rtol=1e-5)
    np.testing.assert_allclose(rates, InverseTimeDecay(0.1, 8)(np.arange(40)), rtol=1e-5)


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_a_single_rate_is_the_static_rate(schedule: Any) -> None:
    policy = plan(schedule, RATES, 8, 5)
    assert policy.rate == 0.1
    assert [type(each).__name__ for each in policy.callbacks] == ["ReduceLROnPlateau"] * (schedule == "plateau")
    assert "0.1" in policy.description


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_only_a_bounded_schedule_uses_the_lower_boundary(schedule: Any) -> None:
    lower, higher = (rates_of(plan(schedule, Rates(base_lr, 0.4, 0.1), 3, 4), 12) for base_lr in (0.01, 0.02))
    assert (lower != higher) == (schedule in BOUNDED_SCHEDULES)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_training_of_a_single_step_has_a_rate(schedule: Any) -> None:
    (rate,) = rates_of(plan(schedule, RATES, 1, 1), 1)
    assert 0 < rate <= 0.4 * (1 + 1e-6)


@pytest.fixture
def network() -> Network:
    keras.utils.set_random_seed(0)
    pool = keras.layers.GlobalAveragePooling2D()
    layers = [keras.layers.Rescaling(1 / 255), pool, keras.layers.BatchNormalization(), keras.layers.Dense(3)]
    return Network("tiny", keras.Sequential([keras.Input((4, 4, 3)), *layers]), True, Recipe())


def batches(size: int) -> Any:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, size=size)
    images = generator.integers(0, 100, size=(size, 4, 4, 3))
    images[np.arange(size), :, :, labels] += 100
    return tf.data.Dataset.from_tensor_slices((images.astype("uint8"), labels)).batch(8)


def run(
    network: Network,
    policy: Policy,
    *callbacks: keras.callbacks.Callback,
    epochs: int = 3,
    optimizer: Any = "sgd",
) -> TrainingRun:
    """Trains on batches of eight, eight and four images, and returns the record."""
    recorder = RunRecorder()
    train(
        network,
        batches(20),
        batches(6),
        steps_per_epoch=3,
        optimizer=optimizer,
        policy=policy,
        epochs=epochs,
        callbacks=[*callbacks, recorder],
    )
    return recorder.training()


@pytest.mark.parametrize("schedule", ["cyclic", "one-cycle", "decay", "constant"])
def test_the_recorded_rates_are_the_policy_and_the_losses_are_finite(network: Network, schedule: Any) -> None:
    policy = plan(schedule, RATES, 3, 3)
    training = run(network, policy)
    np.testing.assert_allclose(training.learning_rate_per_step, rates_of(policy, 9), rtol=1e-6)
    assert len(training.loss_per_step) == 9
    assert all(map(math.isfinite, training.loss_per_step))
    assert (training.steps_per_epoch, training.epochs_planned, len(training.epochs)) == (3, 3, 3)
    assert training.stop_reason is None
    assert training.schedule == (f"rate by {type(policy.rate).__name__}" if callable(policy.rate) else "")
    assert training.optimizer == "SGD, Nesterov momentum 0.9"
    assert not training.interrupted


def test_momentum_is_recorded_if_it_changed(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    cycle = OneCycleSchedule(max_lr=0.1, total_steps=8)
    moving = SGD(cycle, momentum=cycle.momentum(0.85, 0.95))
    assert run(network, Policy(0.1, (), "constant")).momentum_per_step is None
    monkeypatch.setattr("lrdiag.training.fit._make_optimizer", lambda *_: moving)
    momentums = run(network, Policy(cycle, (), "one cycle")).momentum_per_step
    assert (momentums[0], len(momentums)) == (pytest.approx(0.95), 9)


def test_an_epoch_equals_the_history_of_keras(network: Network) -> None:
    """The mean of the steps' losses, weighted by their batches, and the result of `evaluate`."""
    training = run(network, Policy(0.1, (), "constant"))
    expected = np.average(np.reshape(training.loss_per_step, (3, 3)), axis=1, weights=[8, 8, 4])
    np.testing.assert_allclose([epoch.loss for epoch in training.epochs], expected, rtol=1e-5)
    last = training.epochs[-1]
    assert (last.val_loss, last.val_accuracy) == pytest.approx(network.model.evaluate(batches(6), verbose=0), rel=1e-5)
    assert 0 <= last.accuracy <= 1
    assert last.seconds <= training.seconds


def test_a_plateau_lowers_the_rate(network: Network) -> None:
    """At so small a rate the loss does not improve, so the rate is reduced after two epochs."""
    network.model.layers[2].trainable = False  # its averages would move
    training = run(network, plan("plateau", Rates(1e-9, 1e-7, 1e-8), 3, 5), epochs=5)
    per_epoch = training.learning_rate_per_step[::3]
    assert per_epoch[:3] == pytest.approx([1e-8] * 3)
    assert per_epoch[-1] == pytest.approx(1e-8 * 0.2)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_trains(network: Network, optimizer: Any) -> None:
    before = [weights.copy() for weights in network.model.get_weights()]
    training = run(network, Policy(DEFAULT_RATES[optimizer], (), "constant"), epochs=1, optimizer=optimizer)
    assert type(network.model.optimizer).__name__.lower() in training.optimizer.lower()
    assert any((old != new).any() for old, new in zip(before, network.model.get_weights(), strict=True))
    assert training.stop_reason is None


@pytest.mark.parametrize(("decay", "kept"), [(None, 0.004), (0.25, 0.25)])
def test_adamw_has_the_decay_of_the_network_or_its_default(network: Network, decay: float | None, kept: float) -> None:
    compile_network(Network("tiny", network.model, True, Recipe(decay)), "adamw", 0.001)
    assert network.model.optimizer.weight_decay == kept
    assert describe_optimizer(network.model) == f"AdamW, weight decay {kept}"


def test_training_learns(network: Network) -> None:
    losses = run(network, Policy(0.5, (), "constant"), epochs=10).loss_per_step
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])


def test_weight_decay_and_logits_follow_the_network(network: Network) -> None:
    model = network.model
    compile_network(Network("tiny", model, False, Recipe(0.01)), "sgd", 0.1)
    assert model.optimizer.weight_decay == 0.01
    assert model.optimizer.nesterov
    assert describe_optimizer(model) == "SGD, Nesterov momentum 0.9, weight decay 0.01"
    assert not model.loss.from_logits
    compile_network(network, "sgd", 0.1)
    assert model.optimizer.weight_decay is None
    assert model.loss.from_logits


class Poison(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets a weight to NaN after so many updates: a divergence at a chosen step.

    Args:
        updates: After which update.
    """

    def __init__(self, updates: int) -> None:
        super().__init__()
        self.updates = updates
        self.at_epoch: list[list[np.ndarray]] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.at_epoch.append([weights.copy() for weights in self.model.get_weights()])

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if int(self.model.optimizer.iterations) == self.updates:
            self.model.layers[-1].bias.assign([math.nan] * 3)


@pytest.mark.parametrize(("updates", "step"), [(1, 2), (2, 3), (4, 5)])
def test_a_loss_that_is_not_finite_stops_training_and_restores_the_start_of_the_epoch(
    network: Network, updates: int, step: int
) -> None:
    """Three steps an epoch: the loss shows the divergence one step after the update that caused it."""
    poison, guard = Poison(updates), DivergenceGuard()
    training = run(network, Policy(0.1, (poison,), "constant"), guard)
    epoch = (step - 1) // 3
    assert guard.stop_reason == f"the loss was not finite at step {(step - 1) % 3 + 1} of epoch {epoch + 1}"
    assert guard.completed_epochs == epoch
    assert len(training.loss_per_step) == len(training.learning_rate_per_step) == step
    assert training.steps_per_epoch == 3
    assert training.loss_per_step[-1] is None
    assert all(map(math.isfinite, training.loss_per_step[:-1]))
    for found, expected in zip(network.model.get_weights(), poison.at_epoch[epoch], strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("updates", [3, 9], ids=["first-epoch", "last-epoch"])
def test_a_divergence_at_the_last_update_of_an_epoch_is_undone(network: Network, updates: int) -> None:
    """No loss of that epoch shows it, only the validation loss."""
    guard = DivergenceGuard()
    run(network, Policy(0.1, (Poison(updates),), "constant"), guard)
    assert guard.stop_reason == f"the validation loss was not finite after epoch {updates // 3}"
    assert guard.completed_epochs == updates // 3 - 1
    assert all(np.isfinite(weights).all() for weights in network.model.get_weights())


def test_the_guard_does_not_change_a_sound_run(network: Network) -> None:
    start = [weights.copy() for weights in network.model.get_weights()]
    expected = run(network, Policy(0.1, (), "constant")).loss_per_step
    network.model.set_weights(start)
    guard = DivergenceGuard()
    assert run(network, Policy(0.1, (), "constant"), guard).loss_per_step == expected
    assert (guard.stop_reason, guard.completed_epochs) == (None, 3)


class Counter(Silence):
    """Collects what is reported, and counts open stages."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None, str]] = []
        self.steps: list[int] = []
        self.notes: list[str] = []
        self.open = 0

    @contextmanager
    def stage(self, title: str, total: int | None = None, unit: str = "") -> Iterator[Counter]:
        self.stages.append((title, total, unit))
        self.open += 1
        yield self
        self.open -= 1

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.steps.append(steps)
        self.notes.append(note)


def test_progress_reports_every_step(network: Network) -> None:
    counter = Counter()
    with TrainingProgress(counter, images=20, batch_size=8) as bar:
        run(network, Policy(0.1, (), "constant"), bar, epochs=2)
        assert counter.open == 0  # what comes after training opens its own stages
    assert counter.stages == [("Training", 40, "images")]
    assert [steps for steps in counter.steps if steps] == [8] * 6
    assert counter.notes[0] == "epoch 1/2"
    assert counter.notes[-1].startswith("epoch 2/2 · validation ")


def test_the_same_seed_trains_the_same_network(network: Network) -> None:
    """From the same weights, bit for bit."""
    start = [weights.copy() for weights in network.model.get_weights()]
    losses = []
    for _ in range(2):
        network.model.set_weights(start)
        losses.append(run(network, plan("cyclic", RATES, 3, 2), epochs=2).loss_per_step)
    assert losses[0] == losses[1]
    assert len(set(itertools.chain(*losses))) > 1
