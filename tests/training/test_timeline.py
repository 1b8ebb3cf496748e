"""Where the time of `fit` goes. The tests fail if Keras or `tf.data` no longer tell."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.backend import train_function
from lrdiag.backend.callback_list import running_list
from lrdiag.record.facts import TimeSpent
from lrdiag.training.run_recorder import RunRecorder
from lrdiag.training.timeline import Timeline

IMAGES, LABELS = np.zeros((64, 4), "float32"), np.zeros((64, 1), "float32")
PAUSE = 0.02


class SlowData(keras.utils.PyDataset):
    """Sixteen batches, each of which takes some time."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        time.sleep(PAUSE)
        return IMAGES[:4], LABELS[:4]


def make_model(**options: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", **options)
    return model


def time_of(
    model: keras.Model, *data: Any, beside: list[keras.callbacks.Callback] | None = None, **fit: Any
) -> TimeSpent:
    """Trains the model and returns its time."""
    recorder = RunRecorder()
    model.fit(*data, verbose=0, callbacks=[*(beside or []), recorder], **fit)
    spent = recorder.training().time
    assert spent is not None
    return spent


def test_each_second_belongs_to_what_fit_does() -> None:
    """A fit by hand, in which each act takes another power of two."""
    now, model, beside = [0.0], make_model(), keras.callbacks.Callback()

    def spend(seconds: float) -> None:
        now[0] += seconds

    model.make_train_function()
    running = keras.callbacks.CallbackList([beside], model=model)
    timeline = Timeline(model, lambda: now[0])
    timeline.place(running)
    beside.on_train_batch_end = lambda batch, logs: spend(1)
    beside.on_epoch_end = lambda epoch, logs: spend(2)
    spend(1024)  # the beginning of training
    for epoch in range(2):
        running.on_epoch_begin(epoch)
        spend(4)  # tf.data ends the iterator of the last epoch
        for batch in range(3):
            running.on_train_batch_begin(batch)
            spend(16)
            running.on_train_batch_end(batch)
        spend(32)
        running.on_test_begin()
        spend(64)
        running.on_test_end()
        spend(128)
        running.on_epoch_end(epoch)
    spent = TimeSpent(computing=48.0, waiting=None, validation=64.0, callbacks=5.0, idle=164.0, compilations=0)
    assert timeline.epochs == [spent, spent]
    assert spent.total == 281
    assert timeline.current().total == 0


def test_the_step_waits_for_slow_data() -> None:
    spent = time_of(make_model(), SlowData(), epochs=2)
    asleep = 32 * PAUSE
    assert spent.waiting is not None
    assert 0.3 * asleep < spent.waiting < spent.total - spent.compiling
    assert spent.waiting + spent.computing > 0.8 * asleep


def test_several_batches_in_one_execution_wait_as_long() -> None:
    spent = time_of(make_model(steps_per_execution=2), SlowData(), epochs=2)
    assert spent.waiting is not None
    assert spent.waiting > 16 * PAUSE > spent.computing


def test_a_long_computation_does_not_wait() -> None:
    class Slow(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            slept = tf.numpy_function(lambda x: (time.sleep(PAUSE), x)[1], [tf.stop_gradient(inputs)], tf.float32)
            return inputs + 0 * tf.ensure_shape(slept, inputs.shape)

    model = keras.Sequential([keras.Input((4,)), Slow(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    spent = time_of(model, IMAGES, LABELS, batch_size=4, epochs=2)
    assert spent.waiting is not None
    assert spent.waiting < 0.3 * spent.computing


def test_without_the_measurements_of_tf_data_the_waiting_is_not_known(capfd: pytest.CaptureFixture[str]) -> None:
    options = tf.data.Options()
    options.autotune.enabled = False
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(4).with_options(options)
    spent = time_of(make_model(), data)
    assert spent.waiting is None
    assert spent.computing > 0
    assert "analytical model" not in capfd.readouterr().err


@pytest.mark.parametrize("together", [False, True])
def test_each_compilation_is_counted_also_of_a_new_step(monkeypatch: pytest.MonkeyPatch, together: bool) -> None:
    monkeypatch.setattr(train_function, "_STEPS_PER_VARIABLE", 0 if together else 1000)

    class Again(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.make_train_function(force=True)

    model = make_model()
    once = time_of(model, IMAGES, LABELS, epochs=3)
    assert once.compilations == 1
    assert once.compiling > once.computing
    assert time_of(model, IMAGES, LABELS, epochs=3).compilations == 0
    assert time_of(model, IMAGES, LABELS, epochs=3, beside=[Again()]).compilations == 3


def test_the_compilation_of_the_measured_step_is_counted_if_keras_has_compiled_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(train_function, "_STEPS_PER_VARIABLE", 0)
    model = make_model()
    model.fit(IMAGES, LABELS, verbose=0)
    assert time_of(model, IMAGES, LABELS, epochs=3).compilations == 1


@pytest.mark.parametrize("hidden", [{"run_eagerly": True}, {"jit_compile": True}])
def test_compilations_that_nothing_counts_are_not_known(hidden: dict[str, bool]) -> None:
    assert time_of(make_model(**hidden), IMAGES, LABELS).compilations is None


def test_the_time_of_a_resumed_run_is_that_of_its_epochs_and_reports_do_not_count() -> None:
    class Writing(RunRecorder):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_end(epoch, logs)
            began = time.perf_counter()
            time.sleep(5 * PAUSE)
            self.paused += time.perf_counter() - began

    model, recorder = make_model(), Writing()
    model.fit(IMAGES, LABELS, epochs=3, verbose=0, callbacks=[recorder])
    before = recorder.training().time
    model.fit(IMAGES, LABELS, epochs=4, initial_epoch=3, verbose=0, callbacks=[recorder])
    after = recorder.training().time
    assert before is not None
    assert after is not None
    assert after.compiling == before.compiling
    assert after.total > before.total
    assert after.callbacks < 10 * PAUSE
    model.fit(IMAGES, LABELS, verbose=0, callbacks=[recorder])
    assert recorder.training().time.compiling == 0


def test_the_marks_are_around_all_callbacks() -> None:
    class Look(keras.callbacks.Callback):
        def on_train_end(self, logs: Any = None) -> None:
            self.found = running_list(self).callbacks

    first, recorder, last = Look(), RunRecorder(), keras.callbacks.Callback()
    make_model().fit(IMAGES, LABELS, verbose=0, callbacks=[first, recorder, last])
    assert first.found[1:4] == [first, recorder, last]
    assert {type(first.found[0]), type(first.found[-1])} == {keras.callbacks.LambdaCallback}
