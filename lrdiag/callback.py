"""The report of one's own training: a callback that records it, and writes the page when it ends."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import keras

from lrdiag.backend.optimizers import inner_optimizers
from lrdiag.diagnosing import class_names_of
from lrdiag.errors import ComparisonError, DataError, require_count
from lrdiag.evaluation.evaluator import Evaluator
from lrdiag.evaluation.evolution import Memory
from lrdiag.evaluation.keeper import Display
from lrdiag.record import folder as run_folder
from lrdiag.record.facts import Epoch, Seconds, TrainingRun
from lrdiag.report.report import Report, build_report, facts_of, run_facts, run_of
from lrdiag.training.history import describe_optimizer, epoch_of
from lrdiag.training.recorder import StepRecorder

if TYPE_CHECKING:
    from lrdiag.rate.range_test import RangeTest
    from lrdiag.record.facts import RangeTestFacts
    from lrdiag.vocabulary import Preprocessing


class ReportCallback(StepRecorder):
    """Records rate and loss of every step of a training, and writes its report when it ends, on Ctrl-C too.

    A first Ctrl-C ends the training after the step that is running, writes the page of the network as it is then, and
    goes on as Ctrl-C does; a second one does not wait. Where `steps_per_execution` is above 1, a step is one
    execution: its loss is the mean over its batches.

    Let it be the last of the callbacks: it then sees the rate that another sets, and judges the weights that
    `EarlyStopping` restores. The first batch of `validation_data` is tried before training begins.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import keras, lrdiag
        >>> images, labels = np.zeros((8, 8, 8, 3), "uint8"), np.arange(8) % 2
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> model.compile("sgd", loss=loss, metrics=["accuracy"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     callback = lrdiag.ReportCallback(folder, (images, labels), class_names=["cat", "dog"])
        ...     history = model.fit(images, labels, batch_size=2, epochs=3, verbose=0, callbacks=[callback])
        >>> len(callback.losses), callback.report.accuracy
        (12, 0.5)

    Attributes:
        report: The last report, or `None` before there is one.
        learning_rates: The rate that each update was made with.
        momentums: Its momentum; empty where the optimizer has none of that name.
        losses: The loss of each update's batch alone.

    Args:
        folder: The run folder that is written.
        validation_data: What the network is judged on: `(images, labels)`, or a dataset of batches that gives the same
            images in the same order in every pass.
        every: Write the page after every so many epochs too; it then shows how mistakes and their maps evolved. `None`:
            at the end alone.
        log_dir: A folder for TensorBoard, which receives the rate and loss of each step, and the confusion matrix and
            the heatmaps of the worst mistakes whenever the page is written; or `None`.
        class_names: The name of each class; their numbers by default.
        range_test: What `find_lr` returned, so that the page shows how the rate was chosen.
        display: As `lrdiag.diagnose` takes it.
        preprocess: As `lrdiag.diagnose` takes it.
        output: Which output, where the model has several.
        baseline: An earlier report on the same images, its run folder or its report.json, to compare with.
        name: What the data is called in the report.
        batch_size: Images in one pass, where `validation_data` is arrays.

    Raises:
        SettingsError: If `every` is below 1.
        RunFolderError: If the folder cannot be written.
        LrdiagError: When training begins or the page is written, as `lrdiag.diagnose` does.
    """

    def __init__(
        self,
        folder: str | Path,
        validation_data: Any,
        *,
        every: int | None = None,
        log_dir: str | Path | None = None,
        class_names: Sequence[str] | None = None,
        range_test: RangeTest | RangeTestFacts | None = None,
        display: Display | None = None,
        preprocess: Preprocessing | None = None,
        output: str | int | None = None,
        baseline: str | Path | Report | None = None,
        name: str = "",
        batch_size: int = 256,
    ) -> None:
        super().__init__()
        if every is not None:
            require_count("every", every)
        if validation_data is None:
            raise DataError("`validation_data` must be given: what the page judges the network on. Received: None")
        if isinstance(validation_data, Iterator):
            raise DataError(
                "`validation_data` must give its images anew in every pass. Give arrays, a tf.data.Dataset, a "
                f"keras.utils.PyDataset, or a list of batches. Received: {type(validation_data).__name__}"
            )
        run_folder.create(Path(folder))  # before hours of training depend on it
        self.report: Report | None = None
        self._folder = Path(folder)
        self._data = validation_data if isinstance(validation_data, tuple) else (validation_data,)
        self._every = every
        self._log_dir = log_dir
        self._class_names = class_names
        self._range_test = range_test
        self._display, self._preprocess = display, preprocess
        self._output, self._batch_size = output, batch_size
        self._baseline = None if baseline is None else run_of(baseline)
        self._name = name

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begins a new record, and listens for Ctrl-C."""
        super().on_train_begin(logs)
        self.learning_rates, self.momentums, self.losses = [], [], []
        self._epochs: list[Epoch] = []
        self._epochs_before = self._epochs_begun = self._steps_per_epoch = 0
        self._memory = Memory()
        self._examiner = Evaluator(self.model, output=self._output, batch_size=self._batch_size)
        classes = self._examiner.rehearse(*self._data, display=self._display, preprocess=self._preprocess)
        self._names = class_names_of(self._class_names, classes)
        self._tensorboard = self._open_tensorboard()
        self._started = time.perf_counter()
        self._pausing = 0.0
        self._interrupt = _Interrupt(self)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the time."""
        if not self._epochs_begun:
            self._epochs_before = epoch  # `fit` goes on with `initial_epoch`
        self._epochs_begun += 1
        self._epoch_started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the loss, and stops here where Ctrl-C was pressed."""
        super().on_train_batch_end(batch, logs)
        if self._epochs_begun == 1:
            self._steps_per_epoch += 1
        self._stop_if_interrupted()

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Stops here where Ctrl-C was pressed."""
        if hasattr(self, "_interrupt"):  # `evaluate` calls it too
            self._stop_if_interrupted()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the figures, and writes the page if it is time."""
        self._epochs.append(epoch_of(logs or {}, time.perf_counter() - self._epoch_started))
        if self._tensorboard:
            self._tensorboard.log_steps(self.learning_rates, self.losses)
        if self._every and len(self._epochs) % self._every == 0:
            self._write()
        self._stop_if_interrupted()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Writes the page."""
        self._interrupt.stop_listening()
        self._write()

    def training(self, *, stop_reason: str | None = None) -> TrainingRun:
        """The record so far.

        Args:
            stop_reason: Why it was ended by a person, if it was.
        """
        last_epoch = (self.params or {}).get("epochs")
        return TrainingRun(
            epochs=list(self._epochs),
            learning_rate_per_step=list(self.learning_rates),
            loss_per_step=self.loss_per_step,
            steps_per_epoch=max(1, self._steps_per_epoch),
            epochs_planned=int(last_epoch) - self._epochs_before if last_epoch else len(self._epochs),
            optimizer=describe_optimizer(self.model, self.momentum_per_step),
            schedule=_describe_rate(self.model),
            stop_reason=stop_reason,
            seconds=time.perf_counter() - self._started - self._pausing,
            momentum_per_step=self.momentum_per_step,
            interrupted=stop_reason is not None,
        )

    def _stop_if_interrupted(self) -> None:
        if not self._interrupt.pressed:
            return
        self._interrupt.stop_listening()
        steps = len(self.losses)
        self._write(stop_reason=f"interrupted after {steps:,} steps, in epoch {self._epochs_begun}")
        raise KeyboardInterrupt

    def _write(self, stop_reason: str | None = None) -> None:
        begun = time.perf_counter()
        training = self.training(stop_reason=stop_reason)
        evaluated = self._examiner.evaluate(
            *self._data, display=self._display, preprocess=self._preprocess, keep_every_map=True
        )
        self._memory.add(max(1, len(self._epochs)), evaluated)
        evolution, pictures = self._memory.evolution()
        report = build_report(
            evaluated,
            facts_of(evaluated, self._names, self._name),
            run=run_facts(self.model, evaluated, {"preprocess": self._preprocess, "output": self._output}),
            training=training,
            range_test=self._range_test,
            evolution=evolution,
            pictures=pictures,
            seconds=Seconds(training=training.seconds or 0.0, predict_and_explain=time.perf_counter() - begun),
        )
        try:
            self.report = report if self._baseline is None else report.compared_with(self._baseline)
        except ComparisonError:  # the page without it is better than none
            report.save(self._folder)
            raise
        self.report.save(self._folder)
        if self._tensorboard:
            self._tensorboard.log_steps(self.learning_rates, self.losses)
            self._tensorboard.log_report(self.report, len(self._epochs))
        self._pausing += time.perf_counter() - begun

    def _open_tensorboard(self) -> Any:
        if self._log_dir is None:
            return None
        from lrdiag.tensorboard import Log

        return Log(self._log_dir)


class _Interrupt:
    """Notes Ctrl-C while `fit` runs, where Keras would break off and call no callback.

    Python lets only the main thread listen for it, and only one handler; that one is called as ever where `fit` has
    been left without `on_train_end`, and at a second Ctrl-C.
    """

    def __init__(self, callback: ReportCallback) -> None:
        self.pressed = False
        self._callback = callback
        self._before: Any = None
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and callable(signal.getsignal(signal.SIGINT)):
            self._before = signal.signal(signal.SIGINT, self._note)

    def stop_listening(self) -> None:
        """Gives Ctrl-C back to whoever had it."""
        if self._before is not None and signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, self._before)
        self._before = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.pressed or not self._is_training(frame):
            before = self._before
            self.stop_listening()
            before(number, frame)
        else:
            self.pressed = True

    def _is_training(self, frame: FrameType | None) -> bool:
        while frame is not None:
            called = frame.f_locals.get("callbacks") if frame.f_code.co_name == "fit" else None
            if isinstance(called, keras.callbacks.CallbackList) and self._callback in called.callbacks:
                return True
            frame = frame.f_back
        return False


def _describe_rate(model: keras.Model) -> str:
    """The schedule's name, where the optimizer has one."""
    rate = getattr(inner_optimizers(model.optimizer)[0], "_learning_rate", None)
    is_schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    return f"rate by {type(rate).__name__}" if is_schedule else ""
