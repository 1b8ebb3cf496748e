"""`ReportCallback`: records a training run and writes its report when it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import keras

from lrdiag.backend.callback_list import append, move_behind, move_in_front, running_list
from lrdiag.backend.engine import engine
from lrdiag.backend.fit_arguments import FitArguments, fit_arguments
from lrdiag.backend.inference import prepares
from lrdiag.backend.interrupt import Interrupt
from lrdiag.backend.optimizers import batches_per_update
from lrdiag.backend.weights import fingerprint
from lrdiag.data.class_names import ClassNames, names_in_order
from lrdiag.data.inputs import unpacked
from lrdiag.diagnosing import Reporter, Stopwatch, require_steps
from lrdiag.diagnosis.check_settings import CheckSettings
from lrdiag.diagnosis.metadata import read_given
from lrdiag.errors import ComparisonError, DataError, RunFolderError, SettingsError, require_choice, require_count
from lrdiag.evaluation.evolution import Memory
from lrdiag.evaluation.lookout import Display
from lrdiag.inspection.images import GivenImages
from lrdiag.record import folder as run_folder
from lrdiag.record import unfinished
from lrdiag.report.report import Report, run_of
from lrdiag.stopping import stopped
from lrdiag.studying import not_studied
from lrdiag.training.kept_record import KeptRecord
from lrdiag.training.run_recorder import RunRecorder
from lrdiag.watch import Watch

if TYPE_CHECKING:
    from lrdiag.diagnosis.study import Studied
    from lrdiag.evaluation.evaluated import Evaluated
    from lrdiag.rate.range_test import RangeTest
    from lrdiag.record.facts import RangeTestFacts, Severity
    from lrdiag.vocabulary import AssetsName, Preprocessing


FROM_FIT: Literal["fit"] = "fit"
"""The training data that `fit` received."""


class _EvaluatedWeights(NamedTuple):
    """The last evaluation, and the fingerprint of the weights that were evaluated."""

    weights: bytes
    evaluated: Evaluated


class ReportingCallback(RunRecorder):
    """Records a training run, and writes its report when it ends, also after Ctrl-C and SIGTERM.

    The last report is that of the weights that `fit` leaves. `EarlyStopping` restores its best weights when it is
    called at the end of training, so this callback moves behind it. If another callback that is called later changes
    the weights, the report is written again.

    Attributes:
        report: The last report, or `None` before there is one.

    Args:
        folder: The run folder to write.
        reporter: Evaluates the model and builds the report.
        every: Write the report after every `every` epochs too. `None` writes it at the end only.
        log_dir: A folder for TensorBoard, or `None`.
        clock: Measures the stages of the run. Defaults to one that starts with training.
        assets: See `Report.save`.
        templates: See `Report.save`.
        images: See `Report.save`.
        file_names: See `Report.save`.
        train_data: See `ReportCallback`.
        stop_on: See `ReportCallback`.
    """

    def __init__(
        self,
        folder: Path,
        reporter: Reporter,
        *,
        every: int | None = None,
        log_dir: str | Path | None = None,
        clock: Stopwatch | None = None,
        assets: AssetsName = "inline",
        templates: Path | None = None,
        images: bool = True,
        file_names: bool = True,
        train_data: Any = FROM_FIT,
        stop_on: Severity | None = None,
    ) -> None:
        self._repeats = True  # until training begins
        super().__init__(reporter.output)
        self.report: Report | None = None
        self._folder, self._reporter = folder, reporter
        self._every, self._log_dir, self._clock = every, log_dir, clock
        self._assets, self._templates = assets, templates
        self._images, self._file_names = images, file_names
        self._own: tuple[str, ...] = ()
        self._train_data, self._stop_on = train_data, stop_on

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._folder)!r}, report={self.report})"

    def _begin_record(self, first_epoch: int) -> None:
        super()._begin_record(first_epoch)
        self._memory = Memory()
        if not self._repeats:
            self._memory.give_up()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Evaluates the first batch and checks model and data. Handles Ctrl-C and SIGTERM from then on.

        Only the first of several processes evaluates, checks and writes; the others record the same steps.
        """
        self._evaluated: _EvaluatedWeights | None = None
        self._by_first_process(self._prepare)
        self._stopwatch = self._clock or Stopwatch()
        super().on_train_begin(logs)
        self._repeats = not self._every or self._reporter.repeats()
        self._take_place()
        self._by_first_process(self._begin_watch)
        self._interrupt = Interrupt(self)

    def _by_first_process(self, work: Callable[[], None]) -> None:
        engine().by_first_process(self.model, work)

    def _prepare(self) -> None:
        self._rehearse()
        self._tensorboard = self._open_tensorboard()

    def _rehearse(self) -> None:
        """Evaluates the first batch, so that errors appear now."""
        if self._recorded is not self.model:  # otherwise its compiled pass is used again
            self._evaluator = self._reporter.evaluator(self._evaluated_model())
        self._reporter.rehearse(self._evaluator)

    def _evaluated_model(self) -> keras.Model:
        """The model to evaluate. It has the weights of the model that is trained."""
        return self.model

    def _begin_watch(self) -> None:
        """Checks model and data before the first step."""
        self._watch = Watch(
            self.model,
            self._announce,
            output=self._reporter.output,
            settings=self._reporter.check_settings,
            made_by=self._reporter.made_by,
            command=self._reporter.command,
            stop_on=self._stop_on,
        )
        self._given = self._training_images(fit_arguments(self.model))
        batches, epochs = self.params.get("steps"), self.params.get("epochs")
        self._watch.begin(
            self._given,
            self._validation_images(),
            updates=batches * epochs // batches_per_update(self.model.optimizer) if batches and epochs else None,
            callbacks=self._beside,
            is_first=self.updates() == 0,
        )

    def _training_images(self, fit: FitArguments | None) -> GivenImages | None:
        """The training data to look at, or `None`."""
        if self._train_data is None or fit is None:
            return None
        if isinstance(self._train_data, str) and self._train_data == FROM_FIT:
            kind = "arrays" if fit.y is not None else f"{type(fit.x).__name__.lstrip('_')}"
            source, is_prepared = f"the {kind} that fit received", prepares(self.model)
            given = fit.x, fit.y, fit.batch_size, fit.shuffle, fit.weighted
            return GivenImages(source, *given, is_prepared, fit.splits)
        x, y, weights = unpacked(self._train_data)
        source = "the data of `train_data`"
        weighted = fit.weighted or weights is not None
        return GivenImages(source, x, y, fit.batch_size, fit.shuffle, weighted, split=fit.splits)

    def _validation_images(self) -> GivenImages:
        x, y, _ = unpacked(self._reporter.data)
        return GivenImages("the data of `validation_data`", x, y)

    def _announce(self, line: str) -> None:
        self._reporter.progress.warn(line)

    def _stop_if_asked(self) -> None:
        if self._watch.stop_reason is not None:
            self.model.stop_training = True

    def _take_place(self) -> None:
        running = running_list(self)
        if running is not None:
            move_behind(running, self, lambda each: getattr(each, "restore_best_weights", False))
            again = partial(self._by_first_process, self._write_again_if_changed)
            append(running, keras.callbacks.LambdaCallback(on_train_end=lambda logs: again()))

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Records the step, checks it if its loss is alarming, and stops after a signal."""
        super().on_train_batch_end(batch, logs)
        if engine().processes() > 1:
            return
        if self._watch.is_alarming(self.losses[-1]):
            self._watch.check("during training", self.training())
        self._stop_if_asked()
        self._stop_if_interrupted()

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Stops after a signal."""
        if hasattr(self, "_interrupt"):  # `model.evaluate` calls this outside of `fit` too
            self._stop_if_interrupted()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Records the epoch, and writes the report if it is due."""
        super().on_epoch_end(epoch, logs)
        self._by_first_process(self._after_epoch)
        self._stop_if_interrupted()

    def _after_epoch(self) -> None:
        begun = time.perf_counter()
        self._watch.inspector.look_at_epoch(self.last_epoch, self._steps_of_last_epoch())
        self._watch.check("during training", self.training())
        self._stop_if_asked()
        self._keep()
        self.paused += time.perf_counter() - begun
        if self._tensorboard:
            self._tensorboard.log_steps(self.learning_rates, self.losses)
        if self._every and self.last_epoch % self._every == 0:
            self.write(is_last=False)

    def _keep(self) -> None:
        """Called at the end of each epoch, to keep what another process needs to continue. Keeps nothing here."""

    def _notes(self) -> Sequence[str]:
        """Sentences on the record of the training run that a reader of the report needs."""
        return ()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Writes the report."""
        self._interrupt.stop_listening()
        self._by_first_process(self.write)

    def _write_again_if_changed(self) -> None:
        if self._evaluated is None or self._evaluated.weights != fingerprint(self.model):
            self.write()

    def _stop_if_interrupted(self) -> None:
        number = self._interrupt.number
        if number is None:
            return
        try:
            self.write(f"interrupted after {len(self.losses):,} steps, in epoch {self.epoch}", interrupted=True)
        finally:
            self._interrupt.stop_listening()
        raise self._ended_by(number)

    def _ended_by(self, number: int) -> BaseException:
        """What to raise after a signal, when the report is written."""
        return stopped(number)

    def write(self, stop_reason: str | None = None, *, interrupted: bool = False, is_last: bool = True) -> None:
        """Evaluates the model as it is now and writes its report. Images and labels are studied for the last one."""
        stop_reason = stop_reason or self._watch.stop_reason
        training = self.training(stop_reason=stop_reason, interrupted=interrupted)
        self._stopwatch.note("training", training.seconds or 0.0)
        pause = Stopwatch()
        evaluated = self._evaluate()
        if interrupted or training.weights_epoch == self.last_epoch:  # otherwise another epoch, or none
            self._memory.add(max(1, self.last_epoch), evaluated)
        studied = self._study(evaluated, interrupted=interrupted, is_last=is_last)
        with self._stopwatch.lap("report"), self._reporter.progress.stage("Writing the page"):
            report = self._reporter.report(
                self._evaluated_model(),
                evaluated,
                training=training,
                studied=studied,
                seconds=self._stopwatch.seconds(),
                watched=self._memory.watched(),
                notes=(*self._memory.notes, *self._notes()),
                inspection=self._watch.inspection,
                known=self._watch.known,
            )
            try:
                self.report = self._reporter.compared(report)
            except ComparisonError:  # a report without the comparison is better than none
                self._saved(report)
                raise
            self.report = self._saved(self.report)
        if self._tensorboard:
            self._tensorboard.log_steps(self.learning_rates, self.losses)
            self._tensorboard.log_report(self.report, self.last_epoch)
        self.paused += pause.seconds().total

    def _evaluate(self) -> Evaluated:
        """Evaluates the model, unless it has the weights that were evaluated last."""
        weights = fingerprint(self.model)
        if self._evaluated is None or self._evaluated.weights != weights:
            with self._stopwatch.lap("predict_and_explain"):
                keep_every_map = self._every is not None and not self._memory.notes
                evaluated = self._reporter.evaluate(self._evaluator, keep_every_map=keep_every_map)
            self._evaluated = _EvaluatedWeights(weights, evaluated)
        return self._evaluated.evaluated

    def _study(self, evaluated: Evaluated, *, interrupted: bool, is_last: bool) -> Studied:
        """Studies images and labels, once training has come to its end. Before, only a few training images count."""
        reporter, inspector, given = self._reporter, self._watch.inspector, self._given
        if interrupted or not is_last:
            few = inspector.training
            given = None if given is None or few is None else replace(given, x=few.inputs, y=few.labels)
        with self._stopwatch.lap("predict_and_explain"):
            training = reporter.training_images(self._evaluator, evaluated, given, inspector.seen.training_data)
        if interrupted or not is_last:
            return not_studied("training was interrupted" if interrupted else "training goes on", training)
        try:
            return reporter.studied(self._evaluator, evaluated, training)
        except DataError as error:  # metadata that does not belong to the images must not end a training run
            self._announce(str(error))
            return not_studied(str(error), training)

    def _saved(self, report: Report) -> Report:
        return report.saved(
            self._folder,
            assets=self._assets,
            templates=self._templates,
            own=self._own,
            images=self._images,
            file_names=self._file_names,
            seconds=self._stopwatch.seconds_until_now,
        )

    def _open_tensorboard(self) -> Any:
        if self._log_dir is None:
            return None
        from lrdiag.tensorboard import Log

        return Log(self._log_dir)


class ReportCallback(ReportingCallback):
    """Records learning rate and loss of each step, and writes a report when training ends, also after Ctrl-C.

    The first Ctrl-C stops training after the current step, writes the report of the model at that point, and raises
    `KeyboardInterrupt`. A second Ctrl-C stops at once. SIGTERM, which a cluster sends to a job that it stops, does the
    same if the program has no handler for it, and raises `SystemExit(143)`. If `steps_per_execution` is above 1, a step
    is one execution: its loss is the mean over its batches.

    Make it the last callback in the list, so that it sees the learning rate that another callback sets. At any position
    it evaluates the weights that `fit` leaves, also if `EarlyStopping` restores those of an earlier epoch. The first
    batch of `validation_data` is evaluated before training begins, so that errors appear early.

    A `fit` with `initial_epoch` continues the record if the callback has recorded the epochs before it: use the same
    callback for all of them, or `checkpoint=True` in another process. Every other `fit` begins a new record.

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
        learning_rates: Learning rate of each update.
        momentums: Momentum of each update. Empty if the optimizer has none.
        losses: Loss of each update's batch alone.

    Args:
        folder: The run folder to write.
        validation_data: The images to evaluate: `(images, labels)`, `(images, labels, sample_weight)`, or a
            `tf.data.Dataset`, `keras.utils.PyDataset` or list of batches. Weights are ignored.
        validation_steps: Number of batches to evaluate, as in `model.fit`. Required if `validation_data` has no end.
        every: Write the report after every `every` epochs too. The page then shows how misclassified images and their
            heatmaps changed, if `validation_data` gives the same images in the same order in each pass. `None` writes
            it at the end only.
        log_dir: A folder for TensorBoard, or `None`. It receives learning rate and loss of each step and, with each
            report, the confusion matrix and the heatmaps of the misclassified images with the highest loss.
        class_names: See `lrdiag.diagnose`.
        range_test: The return value of `find_lr`, to show it on the page.
        display: See `lrdiag.diagnose`.
        preprocess: See `lrdiag.diagnose`.
        output: Name or index of the output to evaluate, if the model has several.
        baseline: An earlier report on the same images to compare with, or its run folder or report.json.
        checks: See `lrdiag.diagnose`.
        accept: See `lrdiag.diagnose`.
        name: Name of the data in the report.
        metadata: What else is known of each image. See `lrdiag.diagnose`.
        groups: See `lrdiag.diagnose`.
        batch_size: See `lrdiag.diagnose`.
        train_data: The training data to look at: `"fit"` takes that of `fit`, as long as it can be read more than once.
            Or data as `validation_data`, for example without augmentation, or for a model of KerasHub, whose `fit`
            receives images that its preprocessor has changed. `None` looks at none. A dataset is read for
            half a second; with a seed, its next pass then has another order.
        stop_on: Stops training at the first finding of this severity: `"error"` or `"warning"`, which stops at both.
        checkpoint: Keep the record of the training run in `unfinished/` of the run folder after each epoch, so that a
            `fit` in a new process continues it if it resumes with the weights of a recorded epoch, for example with
            `keras.callbacks.BackupAndRestore`. The page then shows the steps of both processes. If `save_freq` of
            `BackupAndRestore` is a number of batches, the steps between the last epoch and the saved batch are
            missing, and the page says how many. With `every`, it shows how predictions changed in the last process
            alone. The folder is removed when `fit` ends.
        images: See `Report.save`. TensorBoard receives no images either.
        file_names: See `Report.save`.

    Raises:
        SettingsError: If `every` is below 1, `stop_on` is something else, or `checks` or `accept` has an unknown code
            or value.
        RunFolderError: If the folder can't be written or the baseline can't be read.
        LrdiagError: When training begins or the report is written, as in `lrdiag.diagnose`.
    """

    def __init__(
        self,
        folder: str | Path,
        validation_data: Any,
        *,
        validation_steps: int | None = None,
        every: int | None = None,
        log_dir: str | Path | None = None,
        class_names: ClassNames | None = None,
        range_test: RangeTest | RangeTestFacts | None = None,
        display: Display | None = None,
        preprocess: Preprocessing | None = None,
        output: str | int | None = None,
        baseline: str | Path | Report | None = None,
        checks: Mapping[str, object] | None = None,
        accept: Mapping[str, str] | None = None,
        name: str = "",
        metadata: Any = None,
        groups: str | tuple[Any, Any] | None = None,
        batch_size: int | None = None,
        train_data: Any = FROM_FIT,
        stop_on: Literal["error", "warning"] | None = None,
        checkpoint: bool = False,
        images: bool = True,
        file_names: bool = True,
    ) -> None:
        if stop_on is not None:
            require_choice("stop_on", stop_on, ("error", "warning"))
        if every is not None:
            require_count("every", every)
        if validation_data is None:
            raise DataError("`validation_data` is required: the model is evaluated on it. Received: None")
        require_steps("validation_steps", validation_steps)
        check_settings = CheckSettings.of(checks, accept)
        table, given_groups = read_given(metadata, groups)
        if isinstance(validation_data, Iterator) and not isinstance(validation_data, keras.utils.PyDataset):
            raise DataError(
                "`validation_data` must give the same images in each pass. Give arrays, a tf.data.Dataset, a "
                f"keras.utils.PyDataset, or a list of batches. Received: {type(validation_data).__name__}"
            )
        if engine().processes() > 1 and (stop_on is not None or checkpoint):
            raise SettingsError(
                "With several processes, `ReportCallback` can neither stop training nor continue a record, because "
                "only the first process knows of it. Remove `stop_on` and `checkpoint`. "
                f"Received: {engine().processes()} processes"
            )
        self._created = run_folder.missing(Path(folder))
        if engine().is_first_process():
            run_folder.create(Path(folder))  # raises before training if the folder can't be written
        reporter = Reporter(
            data=unpacked(validation_data),
            steps=validation_steps,
            display=display,
            preprocess=preprocess,
            output=output,
            batch_size=batch_size,
            class_names=names_in_order(class_names),
            data_name=name,
            metadata=table,
            groups=given_groups,
            settings={"validation_steps": validation_steps, "preprocess": preprocess, "output": output},
            range_test=range_test,
            baseline=None if baseline is None else run_of(baseline),
            check_settings=check_settings,
            made_by="callback",
        )
        super().__init__(
            Path(folder),
            reporter,
            every=every,
            log_dir=log_dir,
            images=images,
            file_names=file_names,
            train_data=train_data,
            stop_on=stop_on,
        )
        self._kept = KeptRecord(Path(folder) / unfinished.CALLBACK_RECORD) if checkpoint else None

    def _announce(self, line: str) -> None:
        with suppress(OSError, ValueError, AttributeError):  # stderr is full or closed
            sys.stderr.write(f"{line}\n")

    def _rehearse(self) -> None:
        try:
            super()._rehearse()
        except BaseException:
            run_folder.remove_empty(self._created)
            raise

    def _take_place(self) -> None:
        super()._take_place()
        running = running_list(self)
        if running is not None and self._kept is not None:  # so that the record never has fewer epochs than the backup
            move_in_front(running, self, lambda each: isinstance(each, keras.callbacks.BackupAndRestore))

    def _place_fit(self, initial_epoch: int) -> None:
        if initial_epoch:
            self._take_up(initial_epoch)
        super()._place_fit(initial_epoch)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Writes the report."""
        if self._epochs_before_fit is None:
            self._take_up(None)
        super().on_train_end(logs)
        if self._kept is not None:
            unfinished.discard(self._folder)

    def _take_up(self, completed: int | None) -> None:
        """Continues the record of another process, if this callback has none and there is one that fits."""
        if self._kept is None or self._recorded is not None:
            return
        try:
            watched = self._kept.continue_in(self, completed)
        except RunFolderError as error:
            self._announce(f"lrdiag: The record of an earlier process is not continued, and a new one begins. {error}")
            return
        if watched is not None:
            self._watch.continue_from(watched)
            for each in self._kept.gaps:
                self._announce(f"lrdiag: {each}")

    def _keep(self) -> None:
        if self._kept is None:
            return
        try:
            self._kept.write(self, self._watch.record())
        except RunFolderError as error:
            self._announce(f"lrdiag: The record could not be kept after epoch {self.last_epoch}. {error}")

    def _notes(self) -> Sequence[str]:
        return () if self._kept is None else self._kept.gaps
