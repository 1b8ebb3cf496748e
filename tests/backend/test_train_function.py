"""The function that `fit` calls for each step. The tests fail if Keras calls or makes it in another way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.backend.train_function import MeasuredSteps, compile_again, compiled_step, set_compiled_step

Line = tuple[np.ndarray, np.ndarray]


class Recorder(keras.callbacks.Callback):
    """Records the loss of each batch alone."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.batch_loss = MeasuredSteps(self.model)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.batch_loss.begin()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.losses.append(self.batch_loss.end().loss)


class Failing(keras.callbacks.Callback):
    """Raises at the beginning of the second batch."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            raise KeyboardInterrupt


def test_after_a_batch_that_began_but_never_ran_the_next_one_is_measured(
    make_line: Callable[..., keras.Model], line: Line
) -> None:
    model, recorder = make_line(), Recorder()
    fit = {"batch_size": 5, "shuffle": False, "verbose": 0}
    with pytest.raises(KeyboardInterrupt):
        model.fit(*line, **fit, callbacks=[recorder, Failing()])
    twin = make_line()
    twin.set_weights(model.get_weights())
    expected = twin.fit(*line, **fit, epochs=1).history["loss"]
    recorder.losses.clear()
    history = model.fit(*line, **fit, callbacks=[recorder]).history["loss"]
    assert np.mean(recorder.losses) == pytest.approx(history[0])
    assert history == pytest.approx(expected)


@pytest.mark.parametrize(
    ("steps", "options", "expected"),
    [(15, {}, True), (14, {}, False), (15, {"run_eagerly": True}, False), (15, {"steps_per_execution": 2}, False)],
)
def test_a_long_run_compiles_its_step_together_with_the_measuring(
    make_line: Callable[..., keras.Model], line: Line, steps: int, options: dict[str, Any], expected: bool
) -> None:
    """Keras's functions still have the names that it is made of. A long run has 15 steps for the only variable."""
    model = make_line(**options)
    model.make_train_function()
    step = compiled_step(model)
    measured = MeasuredSteps(model, planned=steps)
    measured.begin()
    assert hasattr(step, "lrdiag_measured") == expected


def test_batches_of_a_loop_of_its_own_are_measured_too(make_line: Callable[..., keras.Model], line: Line) -> None:
    """`train_on_batch` passes another iterator than `fit`, which the compiled step can't take."""
    model, twin = make_line(), make_line()
    model.make_train_function()
    measured, losses = MeasuredSteps(model, planned=100), []
    for _ in range(2):
        measured.begin()
        model.train_on_batch(*line)
        losses.append(measured.end().loss)
    expected = []
    for _ in range(2):
        twin.reset_metrics()
        expected.append(float(twin.train_on_batch(*line)))
    assert losses == pytest.approx(expected, rel=1e-6)


def test_the_loss_is_exact_late_in_a_long_epoch(make_line: Callable[..., keras.Model], line: Line) -> None:
    """After losses that add up to 1e9, the difference of two float32 sums has an error of 64."""

    class LateInTheEpoch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            tracker = next(metric for metric in self.model.metrics if metric.name == "loss")
            tracker.total.assign(1e9)
            tracker.count.assign(1e6)

    model, recorder = make_line(keras.optimizers.SGD(1e-12)), Recorder()
    expected = model.evaluate(*line, verbose=0)
    history = model.fit(*line, batch_size=10, verbose=0, callbacks=[LateInTheEpoch(), recorder])
    assert recorder.losses == pytest.approx([expected], rel=1e-6)
    assert history.history["loss"] == pytest.approx([1e3], rel=1e-4)


def test_keras_traces_the_step_again_when_it_is_compiled_again_or_removed(
    make_line: Callable[..., keras.Model], line: Line
) -> None:
    traced = []
    model = make_line()
    compute_loss = model.compute_loss
    model.compute_loss = lambda *data, **options: traced.append(1) or compute_loss(*data, **options)
    counts = []
    for change in (
        lambda: None,
        lambda: set_compiled_step(model, compiled_step(model)),
        lambda: compile_again(model),
        lambda: set_compiled_step(model, None),
    ):
        change()
        model.fit(*line, batch_size=5, verbose=0)
        counts.append(len(traced))
    assert counts[0] == counts[1] < counts[2] < counts[3]
