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
