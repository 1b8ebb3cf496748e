"""Learning rates and range tests on the engine in KERAS_BACKEND. A process of `test_rates.py` runs it.

It prints the losses of range tests as JSON, to be compared with those of the other engines.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

import lrdiag
from lrdiag.backend.optimizers import batch_counter, inner_optimizers
from lrdiag.policies.schedules import CurveSchedule
from lrdiag.rate.curves import CosineRestarts, Curve, CycledMomentum, Cyclic, InverseTimeDecay, OneCycle, Warmup
from lrdiag.training.recorder import StepRecorder
from lrdiag.training.run_recorder import RunRecorder

RESTARTS = CosineRestarts(0.4, 41, t_mul=1.0)
CURVES: list[Curve] = [
    Cyclic(0.01, 0.4, 41),
    Cyclic(0.01, 0.4, 7, "triangular2", step_size_down=17),
    Cyclic(0.01, 0.4, 2.5, "exp_range", gamma=0.9999),
    Cyclic(0.01, 0.4, 37, "exp_range_boundaries", gamma=0.99999, step_size_down=11.3),
    OneCycle(0.4, 290),
    OneCycle(0.4, 290, anneal="linear"),
    OneCycle(0.4, 290, convention="pytorch"),
    OneCycle(0.4, 290, convention="pytorch", three_phase=True),
    RESTARTS,
    CosineRestarts(0.4, 41),
    CosineRestarts(0.4, 29.5, t_mul=1.0, m_mul=0.9),
    CosineRestarts(0.4, 7, t_mul=1.3, m_mul=0.9, alpha=0.1),
    InverseTimeDecay(0.4, 41),
    Warmup(RESTARTS, 17),
    Warmup(Cyclic(0.1, 0.4, 7, "triangular2"), 10, start_lr=0.05),
    Warmup(OneCycle(0.4, 200), 7, start_lr=0.001),
    Warmup(InverseTimeDecay(0.4, 41), 10),
    CycledMomentum(OneCycle(0.4, 290), 0.85, 0.95),
    CycledMomentum(Warmup(Cyclic(0.1, 0.4, 41), 10), 0.85, 0.95),
]
STARTS = (0, 2**24 - 20)


class Slopes(keras.layers.Layer):
    """Adds up its weights, so that the gradient of each is 1."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.slopes = [self.add_weight(shape=(), initializer="zeros", name=f"slope{place}") for place in range(count)]

    def call(self, inputs: Any) -> Any:
        return sum(self.slopes) + 0 * inputs


class Used(keras.callbacks.Callback):
    """Records the rates that the updates were made with: the changes of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[list[float]] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        for weight in self.model.trainable_variables:
            weight.assign(0.0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.rates.append([-float(ops.convert_to_numpy(weight)) for weight in self.model.trainable_variables])


def used_rates(optimizer: keras.Optimizer, steps: int, *callbacks: Any, count: int = 1, start: int = 0) -> np.ndarray:
    """The rates of a training run, of shape `(steps, count)`."""
    model = keras.Sequential([keras.Input((1,)), Slopes(count)])
    model.compile(optimizer, loss=lambda targets, outputs: outputs)
    optimizer.build(model.trainable_variables)
    for each in inner_optimizers(optimizer):
        batch_counter(each).assign(start)
    used = Used()
    model.fit(np.ones((steps, 1)), np.ones(steps), batch_size=1, verbose=0, callbacks=[*callbacks, used])
    return np.float32(used.rates)


def exact(curve: Curve, steps: np.ndarray) -> np.ndarray:
    return np.float32(np.broadcast_to(curve(steps.astype("float64")), steps.shape))


def every_schedule_is_exact() -> None:
    count = keras.Variable(0, dtype="int32", trainable=False)
    steps = np.concatenate([start + np.arange(0, 300, 7) for start in (*STARTS, 2**31 - 400)]).astype("int32")
    for curve in CURVES:
        schedule = CurveSchedule(curve)
        tensor = schedule(count)
        assert (keras.backend.standardize_dtype(tensor.dtype), tuple(tensor.shape)) == ("float32", ())
        np.testing.assert_array_equal(ops.convert_to_numpy(schedule(steps)), exact(curve, steps), str(curve))
        np.testing.assert_array_equal([schedule.at(int(step)) for step in steps], exact(curve, steps), str(curve))


def every_schedule_is_exact_in_fit() -> None:
    """One optimizer for each weight."""
    for start in STARTS:
        others = {f".*slope{place}": keras.optimizers.SGD(CurveSchedule(curve)) for place, curve in enumerate(CURVES)}
        optimizers = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.1), others)
        rates = used_rates(keras.optimizers.MultiOptimizer(optimizers), 300, count=len(CURVES), start=start)
        for curve, used in zip(CURVES, rates.T, strict=True):
            np.testing.assert_array_equal(used, exact(curve, start + np.arange(300)), str(curve))


def other_forms_are_exact_in_fit() -> None:
    steps, recorder = np.arange(170), StepRecorder()
    curve = Warmup(RESTARTS, 2)
    for rates in (
        used_rates(lrdiag.SGD(CurveSchedule(curve), momentum=0.0), 170, recorder),
        used_rates(keras.optimizers.SGD(0.1), 170, lrdiag.CurveLR(curve)),
        used_rates(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(CurveSchedule(curve))), 170),
    ):
        np.testing.assert_array_equal(rates[:, 0], exact(curve, steps))
    np.testing.assert_array_equal(np.float32(recorder.learning_rates), exact(curve, steps))
    accumulating = keras.optimizers.SGD(CurveSchedule(curve, 3), gradient_accumulation_steps=3)
    np.testing.assert_array_equal(used_rates(accumulating, 510)[2::3, 0], exact(curve, steps))
    for callback in (lrdiag.CyclicLR(0.1, 0.4), lrdiag.OneCycleLR(0.4)):
        rates = used_rates(keras.optimizers.SGD(0.1), 170, callback)
        np.testing.assert_array_equal(rates[:, 0], exact(callback.curve, steps))


class Momenta(keras.callbacks.Callback):
    """Begins each step with a velocity of 1, so that a rate of 0 leaves the momentum as the change of the weight."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.momentums[0].assign(1.0)


def momentum_is_exact_in_fit() -> None:
    cycle = OneCycle(0.4, 50)
    momentum = CycledMomentum(cycle, 0.85, 0.95)
    scheduled = used_rates(lrdiag.SGD(0.0, momentum=CurveSchedule(momentum)), 50, Momenta())
    np.testing.assert_array_equal(-scheduled[:, 0], exact(momentum, np.arange(50)))
    called = used_rates(lrdiag.SGD(0.1), 50, lrdiag.CurveLR(cycle, momentum=(0.85, 0.95)), Momenta())
    by_hand = exact(momentum, np.arange(50)) - exact(cycle, np.arange(50))
    np.testing.assert_allclose(-called[:, 0], by_hand, rtol=1e-6)


X = np.random.default_rng(0).normal(size=(48, 4)).astype("float32")
Y = np.random.default_rng(1).integers(0, 3, 48)
BATCHES = [(X[place : place + 8], Y[place : place + 8]) for place in range(0, 48, 8)]
DECAY = keras.optimizers.schedules.CosineDecay(0.1, 100)
Make = Callable[[], keras.Optimizer]


def network(optimizer: keras.Optimizer, dropout: float = 0.5) -> keras.Model:
    """A network of the same weights on every engine."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(8), keras.layers.BatchNormalization(), keras.layers.Dropout(dropout)]
    model = keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(3)])
    generator = np.random.default_rng(2)
    for layer in (model.layers[0], model.layers[-1]):
        layer.set_weights([generator.normal(0, 0.3, weights.shape) for weights in layer.get_weights()])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss=loss, metrics=["accuracy"])
    optimizer.build(model.trainable_variables)
    return model


def several(rate: Any) -> keras.Optimizer:
    kernels = {".*kernel": keras.optimizers.SGD(rate, momentum=0.9)}
    return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(keras.optimizers.SGD(rate), kernels))


OPTIMIZERS: dict[str, Callable[[Any], keras.Optimizer]] = {
    "sgd": lambda rate: lrdiag.SGD(rate, momentum=0.9),
    "adam": keras.optimizers.Adam,
    "loss-scale": lambda rate: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(rate)),
    "accumulation": lambda rate: keras.optimizers.Adam(rate, gradient_accumulation_steps=2),
    "several": several,
}


def a_schedule_is_swept_as_a_number_is() -> dict[str, list[float]]:
    """Returns the losses, and checks that the optimizer has the variables that it had before."""
    losses = {}
    for name, make in OPTIMIZERS.items():
        swept = []
        for rate in (0.1, CurveSchedule(RESTARTS)):
            model = network(make(rate), dropout=0.0)
            before = model.optimizer.variables
            test = lrdiag.find_lr(model, BATCHES, iterations=30, start_lr=1e-4, end_lr=0.3)
            assert all(a is b for a, b in zip(model.optimizer.variables, before, strict=True))
            swept.append(test.sweeps[0].losses)
        np.testing.assert_allclose(*swept, rtol=1e-6, err_msg=name)
        losses[name] = list(map(float, swept[0]))
    return losses


def trained(optimizer: keras.Optimizer, before: Callable[[keras.Model], Any], *callbacks: Any) -> list[Any]:
    """The history, and all variables after training that begins with `before`."""
    model = network(optimizer)
    before(model)
    keras.utils.set_random_seed(1)
    fit = {"batch_size": 8, "epochs": 2, "verbose": 0, "validation_data": (X[:9], Y[:9])}
    history = model.fit(X[:24], Y[:24], **fit, callbacks=[each(model) for each in callbacks]).history
    figures = [history[name] for name in sorted(history)]
    return [figures, *map(ops.convert_to_numpy, (*model.variables, *model.optimizer.variables))]


def raising(error: BaseException) -> Callable[[float], None]:
    losses: list[float] = []

    def on_step(loss: float) -> None:
        losses.append(loss)
        if len(losses) == 3:
            raise error

    return on_step


def swept(**arguments: Any) -> Callable[[keras.Model], None]:
    def sweep(model: keras.Model) -> None:
        try:
            lrdiag.find_lr(model, X, Y, **{"iterations": 8, **arguments})
        except (ZeroDivisionError, KeyboardInterrupt):
            assert "on_step" in arguments

    return sweep


class Nested(keras.callbacks.Callback):
    """Sweeps the model during training, without asking Keras for it, which would write JAX's state back."""

    def __init__(self, captured: keras.Model) -> None:
        super().__init__()
        self.captured = captured

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            swept()(self.captured)


def training_after_a_sweep_is_the_same() -> None:
    def make() -> keras.Optimizer:
        return keras.optimizers.Adam(DECAY)

    expected = trained(make(), lambda model: None)
    for begin, callbacks in (
        (swept(end_lr=1e30, iterations=60), ()),  # diverges
        (swept(validation_data=(X[:9], Y[:9])), ()),
        (swept(on_step=raising(ZeroDivisionError())), ()),
        (swept(on_step=raising(KeyboardInterrupt())), ()),
        (lambda model: None, (Nested,)),
    ):
        for found, wanted in zip(trained(make(), begin, *callbacks), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def a_step_that_is_interrupted_is_undone() -> None:
    """Before `fit` receives the state that the step returned."""
    model = network(keras.optimizers.Adam(DECAY))
    before = list(map(ops.convert_to_numpy, (*model.variables, *model.optimizer.variables)))
    before = [each.copy() for each in before]
    make = model.make_train_function

    def make_train_function(force: bool = False) -> None:
        make(force)
        step = model.train_function

        def interrupted(*arguments: Any) -> None:
            step(*arguments)
            raise KeyboardInterrupt

        model.train_function = interrupted

    model.make_train_function = make_train_function
    try:
        lrdiag.find_lr(model, X, Y, iterations=8)
    except KeyboardInterrupt:
        after = (*model.variables, *model.optimizer.variables)
        for variable, value in zip(after, before, strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(variable), value)
    else:
        raise AssertionError


def each_loss_is_that_of_its_batch() -> None:
    def fit(*callbacks: Any) -> dict[str, list[float]]:
        model = network(keras.optimizers.SGD(0.1), dropout=0.0)
        return model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=callbacks).history

    recorder = StepRecorder()
    alone, beside = fit(), fit(recorder)
    for name, values in alone.items():
        np.testing.assert_allclose(beside[name], values, rtol=1e-6)
    twin = network(keras.optimizers.SGD(0.1), dropout=0.0)
    expected = [float(twin.train_on_batch(*batch, return_dict=True)["loss"]) for batch in BATCHES * 2]
    np.testing.assert_allclose(recorder.losses, expected, rtol=1e-6)
    assert recorder.learning_rates == [float(np.float32(0.1))] * 12


def the_waiting_for_slow_data_is_measured() -> None:
    class SlowData(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 12

        def __getitem__(self, index: int) -> Any:
            time.sleep(0.05)
            return X[:8], Y[:8]

    recorder = RunRecorder()
    network(keras.optimizers.SGD(0.1), dropout=0.0).fit(SlowData(), epochs=2, verbose=0, callbacks=[recorder])
    spent = recorder.training().time
    assert 24 * 0.05 * 0.5 < spent.waiting < spent.total - spent.compiling
    assert spent.waiting + spent.computing + spent.compiling > 24 * 0.05 * 0.9
    assert spent.compilations == (None if keras.backend.backend() == "torch" else 1)


def main() -> None:
    warnings.simplefilter("ignore", UserWarning)  # of runs that do not end with a cycle
    every_schedule_is_exact()
    every_schedule_is_exact_in_fit()
    other_forms_are_exact_in_fit()
    momentum_is_exact_in_fit()
    each_loss_is_that_of_its_batch()
    the_waiting_for_slow_data_is_measured()
    training_after_a_sweep_is_the_same()
    a_step_that_is_interrupted_is_undone()
    print(json.dumps(a_schedule_is_swept_as_a_number_is()))


if __name__ == "__main__":
    main()
