"""The curves as Keras callbacks: equal to curve and schedule at each update, and resumable."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.errors import ModelError, SettingsError
from lrdiag.policies.callbacks import CurveLR, CyclicLR, OneCycleLR
from lrdiag.policies.schedules import CurveSchedule, CyclicSchedule, OneCycleSchedule
from lrdiag.policies.sgd import SGD
from lrdiag.rate.curves import CosineRestarts, Curve, Cyclic, InverseTimeDecay, OneCycle, Warmup

CYCLE = {"base_lr": 0.01, "max_lr": 0.1, "step_size": 4}
Fit = Callable[..., None]
pytestmark = pytest.mark.filterwarnings("ignore:.*Training ends:UserWarning")


class Probe(keras.callbacks.Callback):
    """Records the rate of each update, and its momentum if the optimizer is `lrdiag.SGD`."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []
        self.momenta: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.rates.append(float(self.model.optimizer.learning_rate))
        if isinstance(self.model.optimizer, SGD):
            self.momenta.append(float(self.model.optimizer.momentum))


class OnEvent(keras.callbacks.Callback):
    """Changes the model at one event, once.

    Args:
        event: The name of the callback method.
        at: Its first argument.
        act: The change.
    """

    def __init__(self, event: str, at: int, act: Callable[[keras.Model], None]) -> None:
        super().__init__()
        setattr(self, event, lambda number, logs=None: act(self.model) if number == at else None)


def set_rate(model: keras.Model) -> None:
    model.optimizer.learning_rate = 0.05


@pytest.fixture
def fit(line: tuple[np.ndarray, np.ndarray]) -> Fit:
    """Trains on batches of four, four and two."""

    def run(model: keras.Model, epochs: int, *callbacks: keras.callbacks.Callback, **arguments: Any) -> None:
        given = {"batch_size": 4, "epochs": epochs, "shuffle": False, "verbose": 0, **arguments}
        model.fit(*line, **given, callbacks=list(callbacks))

    return run


FORMS: list[tuple[CurveLR, Curve]] = [
    (CyclicLR(**CYCLE), Cyclic(**CYCLE)),
    (CyclicLR(**CYCLE, mode="exp_range", gamma=0.9, step_size_down=2), Cyclic(**CYCLE, mode="exp_range", gamma=0.9,
                                                                             step_size_down=2)),
    (OneCycleLR(0.4, 15), OneCycle(0.4, 15)),
    (OneCycleLR(0.4, 15, 0.4, 9.0, 8.0), OneCycle(0.4, 15, 0.4, 9.0, 8.0)),
    (OneCycleLR(0.4, 15, 0.4, 9.0, 8.0, "pytorch", "linear", True), OneCycle(0.4, 15, 0.4, 9.0, 8.0, "pytorch",
                                                                            "linear", True)),
    (CurveLR(Warmup(CosineRestarts(0.4, 4), 3)), Warmup(CosineRestarts(0.4, 4), 3)),
]  # fmt: skip


@pytest.mark.parametrize(("callback", "curve"), FORMS)
def test_the_arguments_are_those_of_the_curve(callback: CurveLR, curve: Curve) -> None:
    assert callback.curve == curve


@pytest.mark.parametrize(("callback", "curve"), [FORMS[1], FORMS[5]])
def test_callback_curve_and_schedule_are_equal_at_each_update(
    make_line: Callable[..., keras.Model], fit: Fit, callback: CurveLR, curve: Curve
) -> None:
    by_callback, probe = make_line(), Probe()
    fit(by_callback, 5, callback, probe)
    np.testing.assert_array_equal(probe.rates, curve(np.arange(15)).astype("float32"))
    by_schedule, schedule_probe = make_line(keras.optimizers.SGD(CurveSchedule(curve))), Probe()
    fit(by_schedule, 5, schedule_probe)
    assert schedule_probe.rates == probe.rates
    np.testing.assert_allclose(by_schedule.get_weights()[0], by_callback.get_weights()[0], rtol=1e-5)


def test_each_epoch_logs_the_rate_of_its_last_update(make_line: Callable[..., keras.Model], fit: Fit) -> None:
    model, probe = make_line(run_eagerly=True), Probe()
    fit(model, 3, CyclicLR(**CYCLE), probe)
    assert model.history.history["learning_rate"] == probe.rates[2::3]


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop", "lion"])
def test_the_rate_of_any_optimizer_can_be_set(make_line: Callable[..., keras.Model], fit: Fit, optimizer: str) -> None:
    probe = Probe()
    fit(make_line(keras.optimizers.get(optimizer), run_eagerly=True), 2, CyclicLR(**CYCLE), probe)
    np.testing.assert_allclose(probe.rates, Cyclic(**CYCLE)(np.arange(6)), rtol=1e-6)


def test_with_gradient_accumulation_the_rate_is_constant_within_an_update(
    make_line: Callable[..., keras.Model], fit: Fit
) -> None:
    probe, callback = Probe(), CyclicLR(**CYCLE, momentum=(0.8, 0.9))
    fit(make_line(SGD(0.5, gradient_accumulation_steps=2)), 4, callback, probe)
    updates = np.arange(12) // 2
    np.testing.assert_allclose(probe.rates, Cyclic(**CYCLE)(updates), rtol=1e-6)
    np.testing.assert_allclose(probe.momenta, Cyclic(**CYCLE).momentum(updates, 0.8, 0.9), rtol=1e-6)


def test_updates_that_loss_scaling_skips_do_not_count(make_line: Callable[..., keras.Model], fit: Fit) -> None:
    """A scale near the end of float32 makes the first gradients infinite, until it has been halved often enough."""
    inner = SGD(0.5)
    model, probe = make_line(keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**127)), Probe()
    fit(model, 3, CyclicLR(**CYCLE, momentum=(0.8, 0.9)), probe)
    updates = int(inner.iterations)
    assert 0 < updates < 9
    expected = Cyclic(**CYCLE)(np.arange(updates))
    np.testing.assert_allclose(list(dict.fromkeys(probe.rates))[: updates // 2 + 1], expected[: updates // 2 + 1])
    assert float(inner.momentum) == pytest.approx(Cyclic(**CYCLE).momentum(updates - 1, 0.8, 0.9))


@pytest.mark.parametrize(("callback", "jit_compile"), [(OneCycleLR, True), (CyclicLR, False)])
def test_momentum_is_cycled_against_the_rate(
    make_line: Callable[..., keras.Model], fit: Fit, callback: Any, jit_compile: bool
) -> None:
    """Momentum and weights equal those of the schedule."""
    arguments = {"max_lr": 0.1, "total_steps": 9} if callback is OneCycleLR else CYCLE
    rate = (OneCycleSchedule if callback is OneCycleLR else CyclicSchedule)(**arguments)
    by_callback, probe = make_line(SGD(0.5, nesterov=True), jit_compile=jit_compile), Probe()
    fit(by_callback, 3, callback(**arguments, momentum=(0.5, 0.95)), probe)
    np.testing.assert_allclose(probe.momenta, rate.curve.momentum(np.arange(9), 0.5, 0.95), rtol=1e-6)
    by_schedule = make_line(SGD(rate, rate.momentum(0.5, 0.95), nesterov=True), jit_compile=jit_compile)
    fit(by_schedule, 3)
    np.testing.assert_allclose(by_callback.get_weights()[0], by_schedule.get_weights()[0], rtol=1e-5)
    constant = make_line(SGD(0.5, 0.95, nesterov=True), jit_compile=jit_compile)
    fit(constant, 3, callback(**arguments))
    assert not np.allclose(by_callback.get_weights()[0], constant.get_weights()[0], rtol=1e-3)


GOLDEN = [(0, 0.95), (1, 0.949707), (14, 0.902707), (29, 0.85), (50, 0.870611), (99, 0.95)]


def test_the_momentum_equals_that_of_pytorch_at_each_update(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    probe, callback = Probe(), OneCycleLR(1e-3, 100, convention="pytorch", momentum=(0.85, 0.95))
    make_line(SGD(0.5), run_eagerly=True).fit(*line, batch_size=1, epochs=10, verbose=0, callbacks=[callback, probe])
    assert [probe.momenta[step] for step, _ in GOLDEN] == pytest.approx([momentum for _, momentum in GOLDEN], abs=1e-6)


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        (keras.optimizers.SGD(0.1, momentum=0.9), "compiled step.*Received: keras.*SGD"),
        (keras.optimizers.Adam(), "bias correction.*Received: keras.*Adam"),
        (keras.optimizers.Adagrad(), "has no momentum.*Received: keras.*Adagrad"),
    ],
)
def test_other_optimizers_are_refused_if_the_momentum_is_cycled(
    make_line: Callable[..., keras.Model], fit: Fit, optimizer: Any, reason: str
) -> None:
    with pytest.raises(SettingsError, match=rf"`lrdiag\.SGD`.*{reason}"):
        fit(make_line(optimizer), 1, CyclicLR(**CYCLE, momentum=(0.85, 0.95)))


def test_a_momentum_that_is_a_schedule_is_refused_before_training(
    make_line: Callable[..., keras.Model], fit: Fit
) -> None:
    optimizer = SGD(0.1, CyclicSchedule(**CYCLE).momentum(0.85, 0.95))
    with pytest.raises(SettingsError, match="is already a schedule"):
        fit(make_line(optimizer), 1, CyclicLR(**CYCLE, momentum=(0.85, 0.95)))
    assert int(optimizer.iterations) == 0


@pytest.mark.parametrize("arguments", [{"max_lr": 0.01}, {"step_size": 0}, {"base_lr": -1}, {"momentum": (0.9, 0.8)}])
def test_a_callback_has_the_checks_of_its_curve(arguments: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="Received"):
        CyclicLR(**{**CYCLE, **arguments})


@pytest.mark.parametrize("value", [0.1, CyclicSchedule(**CYCLE), keras.optimizers.schedules.CosineDecay(0.1, 100)])
def test_a_callback_needs_a_curve(value: Any) -> None:
    with pytest.raises(SettingsError, match=rf"`curve` must be a curve.*Received: {type(value).__name__}"):
        CurveLR(value)


def test_a_rate_that_is_text_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"`base_lr` must be a positive, finite number\. Received: base_lr='0\.01'"):
        CyclicLR("0.01", 0.1, 4)


@pytest.mark.parametrize("momentum", [0.9, (0.9,), (), (0.8, 0.9, 0.95), "0.9"])
def test_a_momentum_that_is_not_a_pair_is_refused(momentum: Any) -> None:
    with pytest.raises(SettingsError, match=r"`momentum` must be two numbers.*\(0\.85, 0\.95\).*Received: momentum="):
        CyclicLR(**CYCLE, momentum=momentum)


def test_momentum_needs_a_cycle_to_run_against() -> None:
    with pytest.raises(SettingsError, match=r"use `Cyclic` or `OneCycle`.*Received: InverseTimeDecay"):
        CurveLR(InverseTimeDecay(0.1, 8), momentum=(0.85, 0.95))


def test_the_callback_refuses_an_optimizer_that_has_a_schedule(make_line: Callable[..., keras.Model], fit: Fit) -> None:
    model = make_line(keras.optimizers.SGD(OneCycleSchedule(max_lr=0.1, total_steps=10)))
    with pytest.raises(SettingsError, match=r"CyclicLR.*must be a number.*Received: OneCycleSchedule"):
        fit(model, 1, CyclicLR(**CYCLE))


def test_the_callback_refuses_several_steps_in_one_execution_and_names_the_schedule(
    make_line: Callable[..., keras.Model], fit: Fit
) -> None:
    rule = r"OneCycleLR.*`CurveSchedule\(OneCycle\(max_lr=0\.1.*Received: steps_per_execution=2"
    with pytest.raises(SettingsError, match=rule):
        fit(make_line(steps_per_execution=2), 1, OneCycleLR(0.1, 10))


def test_the_callback_refuses_several_optimizers(make_line: Callable[..., keras.Model], fit: Fit) -> None:
    several = keras.optimizers.MultiOptimizer(lambda variable: keras.optimizers.SGD(0.1))
    with pytest.raises(SettingsError, match=r"one optimizer.*`CurveSchedule\(Cyclic\(.*Received: MultiOptimizer"):
        fit(make_line(several), 1, CyclicLR(**CYCLE))


def test_the_callback_refuses_several_optimizers_within_a_loss_scaling_one(
    make_line: Callable[..., keras.Model], fit: Fit
) -> None:
    several = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.1)))
    with pytest.raises(SettingsError, match=r"one optimizer.*Received: MultiOptimizer"):
        fit(make_line(keras.optimizers.LossScaleOptimizer(several)), 1, CyclicLR(**CYCLE))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda callback: pickle.loads(pickle.dumps(callback))])
def test_a_callback_that_has_trained_can_be_copied_and_pickled(
    make_line: Callable[..., keras.Model], fit: Fit, copied: Callable[[CurveLR], CurveLR]
) -> None:
    callback, probe = CyclicLR(**CYCLE, momentum=(0.5, 0.95)), Probe()
    fit(make_line(SGD(0.5), run_eagerly=True), 1, callback)
    again = copied(callback)
    assert again.curve == callback.curve
    fit(make_line(SGD(0.5), run_eagerly=True), 1, again, probe)
    np.testing.assert_array_equal(probe.rates, Cyclic(**CYCLE)(np.arange(3)).astype("float32"))


# The other callback, and the number of complete epochs before it is noticed.
OTHERS: dict[str, tuple[Callable[[], keras.callbacks.Callback], int]] = {
    "second policy": (lambda: CyclicLR(0.02, 0.2, 4), 0),
    "schedule by epoch": (lambda: keras.callbacks.LearningRateScheduler(lambda epoch: 0.05), 0),
    "plateau": (lambda: keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=1e9), 2),
    "between epochs": (lambda: OnEvent("on_epoch_end", 0, set_rate), 1),
    "between steps": (lambda: OnEvent("on_train_batch_end", 1, set_rate), 0),
}


@pytest.mark.parametrize(
    ("other", "ours_first"), [*((other, True) for other in OTHERS), ("second policy", False), ("plateau", False)]
)
def test_another_callback_that_sets_the_rate_is_refused_at_the_next_step(
    make_line: Callable[..., keras.Model], fit: Fit, other: str, ours_first: bool
) -> None:
    make_other, complete_epochs = OTHERS[other]
    model, ours = make_line(run_eagerly=True), CyclicLR(**CYCLE)
    callbacks = [ours, make_other()] if ours_first else [make_other(), ours]
    with pytest.raises(SettingsError, match=r"No callback other than CyclicLR .*ReduceLROnPlateau.*Received"):
        fit(model, 5, *callbacks)
    assert 3 * complete_epochs <= int(model.optimizer.iterations) < 3 * (complete_epochs + 1)


@pytest.mark.filterwarnings("ignore:.*has already made 3 updates:UserWarning")
def test_the_rate_may_be_set_between_two_runs(make_line: Callable[..., keras.Model], fit: Fit) -> None:
    model, callback, probe = make_line(run_eagerly=True), CyclicLR(**CYCLE), Probe()
    fit(model, 1, callback, probe)
    set_rate(model)
    fit(model, 1, callback, probe)
    np.testing.assert_allclose(probe.rates, Cyclic(**CYCLE)(np.arange(6)), rtol=1e-6)


def test_a_second_run_continues_the_policy_with_a_warning(make_line: Callable[..., keras.Model], fit: Fit) -> None:
    model = make_line(run_eagerly=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, 1, OneCycleLR(0.1, 3))
        fit(model, 3, OneCycleLR(0.1, 9), initial_epoch=1)
    with pytest.warns(UserWarning, match=r"OneCycleLR: The optimizer has already made 9 updates.*compile the model"):
        fit(model, 1, OneCycleLR(0.1, 3))
    model.compile(keras.optimizers.SGD(), "mse", run_eagerly=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, 1, OneCycleLR(0.1, 3))


def test_a_new_optimizer_in_a_resumed_run_gives_a_warning(make_line: Callable[..., keras.Model], fit: Fit) -> None:
    """As after `load_weights`: the cycle would begin again."""
    with pytest.warns(UserWarning, match=r"CyclicLR: Training continues at epoch 3, but the optimizer has made no upd"):
        fit(make_line(run_eagerly=True), 3, CyclicLR(**CYCLE), initial_epoch=2)


ONE_CYCLE, EXP_RANGE = {"max_lr": 0.4}, {"base_lr": 0.01, "max_lr": 0.1, "mode": "exp_range", "gamma": 0.9}


@pytest.mark.parametrize(
    ("callback", "curve"),
    [
        (OneCycleLR(**ONE_CYCLE), OneCycle(**ONE_CYCLE, total_steps=8)),
        (CyclicLR(0.01, 0.1), Cyclic(0.01, 0.1, 3.5)),
        (CyclicLR(**EXP_RANGE), Cyclic(**EXP_RANGE, step_size=7 / 6)),
    ],
)
def test_a_policy_without_a_length_spans_the_epochs_of_each_fit(
    make_line: Callable[..., keras.Model], fit: Fit, callback: CurveLR, curve: Curve
) -> None:
    """Eight of ten examples are in two batches, of four epochs. The second `fit` begins again, the third continues."""
    model, probe = make_line(run_eagerly=True), Probe()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, 4, callback, probe, validation_split=0.2)
        fit(model, 4, callback, probe, validation_split=0.2)
        fit(model, 4, callback, probe, validation_split=0.2, initial_epoch=3)
    rates = curve(np.arange(8)).astype("float32")
    np.testing.assert_array_equal(probe.rates, [*rates, *rates, *rates[6:]])
    assert callback.curve == curve


def test_the_length_counts_updates_and_the_momentum_follows(make_line: Callable[..., keras.Model], fit: Fit) -> None:
    probe, curve = Probe(), OneCycle(0.4, 3)
    model = make_line(SGD(0.5, gradient_accumulation_steps=2), run_eagerly=True)
    fit(model, 2, OneCycleLR(0.4, momentum=(0.8, 0.9)), probe)
    np.testing.assert_allclose(probe.rates, curve(np.arange(6) // 2), rtol=1e-6)
    np.testing.assert_allclose(probe.momenta, curve.momentum(np.arange(6) // 2, 0.8, 0.9), rtol=1e-6)


def test_a_loop_of_fits_has_no_length(make_line: Callable[..., keras.Model], fit: Fit) -> None:
    model, callback = make_line(run_eagerly=True), OneCycleLR(0.4)
    fit(model, 1, callback)
    for _ in range(2):
        with pytest.raises(SettingsError, match=r"OneCycleLR without `total_steps`.*was 3 updates.*continues to 6 upd"):
            fit(model, 2, callback, initial_epoch=1)


def test_data_of_unknown_length_is_refused_by_a_policy_without_a_length(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray]
) -> None:
    batches = tf.data.Dataset.from_tensor_slices(line).batch(4).filter(lambda *batch: True)
    model = make_line(run_eagerly=True)
    with pytest.raises(SettingsError, match=r"CyclicLR without `step_size`.*`steps_per_epoch`.*data of unknown length"):
        model.fit(batches, verbose=0, callbacks=[CyclicLR(0.01, 0.1)])
    assert int(model.optimizer.iterations) == 0


def test_a_policy_without_a_length_has_a_curve_only_for_a_known_run() -> None:
    callback = OneCycleLR(0.4)
    assert callback.summary(10, 3) == OneCycle(0.4, 30).summary(10, 3)
    for ask in (lambda: callback.curve, callback.plot):
        with pytest.raises(SettingsError, match="is known only when training begins"):
            ask()
    assert pickle.loads(pickle.dumps(callback)).summary(10, 3) == callback.summary(10, 3)


@pytest.mark.parametrize(
    ("policy", "arguments"),
    [(CyclicLR, (0.1, 0.01)), (OneCycleLR, (-1,)), (CyclicLR, (0.01, 0.1, None, "triangular", 1.0, 4))],
)
def test_a_policy_without_a_length_checks_its_other_arguments_at_once(policy: Any, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(SettingsError, match="Received"):
        policy(*arguments)


def test_an_optimizer_without_updates_is_refused() -> None:
    """Another one makes the updates, so its rate would never be set."""
    model = Adversarial()
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    with pytest.raises(ModelError, match=r"`model\.optimizer` must make the updates.*Received: 20 steps"):
        model.fit(np.ones((60, 2)), np.ones((60, 1)), batch_size=2, verbose=0, callbacks=[CyclicLR(**CYCLE)])


class Adversarial(keras.Model):
    """Its `train_step` uses another optimizer than `model.optimizer`."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.own = keras.optimizers.SGD(0.1)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def train_step(self, data: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(data[0]) - data[1]) ** 2)
        self.own.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
        return {"loss": loss}


class Interrupted(Exception):
    """Stops training."""


def interrupt(model: keras.Model) -> None:
    raise Interrupted


@pytest.fixture
def uninterrupted(make_line: Callable[..., keras.Model], fit: Fit) -> tuple[list[float], np.ndarray]:
    model, probe = make_line(SGD(0.5)), Probe()
    fit(model, 4, CyclicLR(**CYCLE, momentum=(0.5, 0.95)), probe)
    return probe.rates, model.get_weights()[0]


@pytest.mark.parametrize("ours_first", [True, False], ids=["before", "after"])
def test_a_run_resumed_by_keras_continues_in_mid_cycle(
    make_line: Callable[..., keras.Model], fit: Fit, tmp_path: Path, uninterrupted: Any, ours_first: bool
) -> None:
    """With identical weights, for any position of `BackupAndRestore` in the list."""
    rates, weights = uninterrupted
    probes = [Probe(), Probe()]

    def callbacks(probe: Probe) -> list[keras.callbacks.Callback]:
        both = [CyclicLR(**CYCLE, momentum=(0.5, 0.95)), keras.callbacks.BackupAndRestore(tmp_path / "backup")]
        return [*(both if ours_first else both[::-1]), probe]

    with pytest.raises(Interrupted):
        fit(make_line(SGD(0.5)), 4, *callbacks(probes[0]), OnEvent("on_epoch_begin", 2, interrupt))
    model = make_line(SGD(0.5))
    fit(model, 4, *callbacks(probes[1]))
    assert probes[0].rates + probes[1].rates == rates
    np.testing.assert_array_equal(model.get_weights()[0], weights)


def test_a_saved_model_continues_in_mid_cycle(
    make_line: Callable[..., keras.Model], fit: Fit, tmp_path: Path, uninterrupted: Any
) -> None:
    """With identical weights."""
    rates, weights = uninterrupted
    model, probe = make_line(SGD(0.5)), Probe()
    fit(model, 2, CyclicLR(**CYCLE, momentum=(0.5, 0.95)), probe)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    fit(again, 4, CyclicLR(**CYCLE, momentum=(0.5, 0.95)), probe, initial_epoch=2)
    assert probe.rates == rates
    np.testing.assert_array_equal(again.get_weights()[0], weights)


def warned(run: Callable[[], None]) -> list[str]:
    """The warnings of lrdiag about the end of training."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return [str(each.message) for each in caught if "Training ends" in str(each.message)]


@pytest.mark.parametrize(
    ("step_size", "arguments", "expected"),
    [
        (6, {"epochs": 4}, []),
        (5.5, {"epochs": 4}, []),
        (3, {"epochs": 4}, []),
        (10, {"epochs": 4}, ["8 updates before the end of a cycle. With `step_size=5.5`"]),
        (4, {"epochs": 4}, ["4 updates after the end of a cycle. With `step_size=2.75`"]),
        (6, {"epochs": 2}, ["6 updates before the end of a cycle. With `step_size=2.5`"]),
        (4, {"epochs": 8, "steps_per_epoch": 1}, []),
    ],
)
def test_a_run_that_will_not_end_with_a_cycle_gives_one_warning(
    make_line: Callable[..., keras.Model], fit: Fit, step_size: float, arguments: dict[str, int], expected: list[str]
) -> None:
    callback = CyclicLR(0.01, 0.1, step_size)
    found = warned(lambda: fit(make_line(run_eagerly=True), arguments.pop("epochs"), callback, **arguments))
    assert len(found) == len(expected)
    assert all(f"CyclicLR: Training ends {part}" in text for part, text in zip(expected, found, strict=True))


def test_the_warning_comes_before_the_first_step(make_line: Callable[..., keras.Model], fit: Fit) -> None:
    model = make_line(run_eagerly=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(UserWarning, match="Training ends 8 updates before"):
            fit(model, 4, CyclicLR(0.01, 0.1, 10))
    assert int(model.optimizer.iterations) == 0


def test_the_warning_counts_earlier_and_remaining_updates(make_line: Callable[..., keras.Model], fit: Fit) -> None:
    """Six batches and six more are twelve, and two batches are one update."""
    model = make_line(SGD(0.5, gradient_accumulation_steps=2), run_eagerly=True)
    assert warned(lambda: fit(model, 2, CyclicLR(0.01, 0.1, 3)))
    assert not warned(lambda: fit(model, 4, CyclicLR(0.01, 0.1, 3), initial_epoch=2))


@pytest.mark.parametrize(("step_size", "ends"), [(3, ""), (2, "2 updates after"), (5, "4 updates before")])
def test_a_run_of_unknown_length_gives_the_warning_at_its_end(
    make_line: Callable[..., keras.Model], line: tuple[np.ndarray, np.ndarray], step_size: float, ends: str
) -> None:
    batches = tf.data.Dataset.from_tensor_slices(line).repeat(6).batch(10).filter(lambda *batch: True)
    callback = CyclicLR(0.01, 0.1, step_size)
    # with XLA, because otherwise Keras counts one extra update at the end of data of unknown length
    model = make_line(jit_compile=True)
    found = warned(lambda: model.fit(batches, verbose=0, callbacks=[callback]))
    assert len(found) == bool(ends)
    assert all(ends in text for text in found)
