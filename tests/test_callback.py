"""`ReportCallback`: the record and the page of a training run, also if it is interrupted."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from lrdiag import CyclicLR, CyclicSchedule, ReportCallback, find_lr
from lrdiag.errors import ComparisonError, DataError, ModelError, RunFolderError, SettingsError
from lrdiag.evaluation.evolution import OTHER_ORDER
from lrdiag.rate.curves import Cyclic
from lrdiag.record import reading
from lrdiag.record.facts import NotFinite, TrainingRun
from lrdiag.report.summary import render_findings

L = keras.layers
COUNT, BATCH, STEPS = 20, 6, 4  # the last batch holds two
generator = np.random.default_rng(0)
IMAGES = generator.integers(0, 256, (COUNT, 8, 8, 3), dtype="uint8")
LABELS = generator.integers(0, 3, COUNT)
DATA = (IMAGES, LABELS)
Handler = Callable[[int, Any], Any]


def network(optimizer: Any = None, *, dropout: float = 0.0, **compiled: Any) -> keras.Sequential:
    keras.utils.set_random_seed(1)
    net = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            L.Rescaling(1 / 255),
            L.Conv2D(4, 3, activation="relu"),
            L.GlobalAveragePooling2D(),
            *([L.Dropout(dropout)] if dropout else []),
            L.Dense(3, activation="softmax"),
        ]
    )
    arguments = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **compiled}
    net.compile(optimizer or keras.optimizers.SGD(0.05, momentum=0.9), **arguments)
    return net


def fit(net: keras.Model, *callbacks: keras.callbacks.Callback, epochs: int = 2, **arguments: Any) -> Any:
    keras.utils.set_random_seed(2)
    settings = {"batch_size": BATCH, "epochs": epochs, "shuffle": False, "verbose": 0, **arguments}
    return net.fit(IMAGES, LABELS, callbacks=list(callbacks), **settings)


class At(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls a function once, at the end of one batch of training or of validation."""

    def __init__(self, act: Callable[[], Any], *, step: int = 0, validating: bool = False) -> None:
        super().__init__()
        self._act, self._left, self._validating = act, step, validating

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._count(validating=False)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._count(validating=True)

    def _count(self, validating: bool) -> None:
        if validating == self._validating:
            self._left -= 1
            if self._left == -1:
                self._act()


def training_of(callback: ReportCallback) -> TrainingRun:
    assert callback.report is not None
    assert callback.report.diagnosis.training is not None
    return callback.report.diagnosis.training


# --- the record -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReportCallback, Any, Path]:
    """An undisturbed training run with validation: callback, history and folder."""
    folder = tmp_path_factory.mktemp("undisturbed")
    callback = ReportCallback(folder, DATA)
    return callback, fit(network(), callback, validation_data=DATA), folder


def test_losses_and_rates_are_those_of_each_step(undisturbed: tuple[ReportCallback, Any, Path]) -> None:
    twin = network()
    keras.utils.set_random_seed(2)
    expected = []
    for start in [*range(0, COUNT, BATCH)] * 2:
        twin.reset_metrics()
        batch = slice(start, start + BATCH)
        expected.append(float(twin.train_on_batch(IMAGES[batch], LABELS[batch])[0]))
    callback, _, _ = undisturbed
    np.testing.assert_allclose(callback.losses, expected, rtol=1e-5)
    assert callback.learning_rates == pytest.approx([0.05] * 8)
    assert training_of(callback).loss_per_step == callback.losses
    assert training_of(callback).learning_rate_per_step == callback.learning_rates


def test_the_epochs_are_those_of_the_history(undisturbed: tuple[ReportCallback, Any, Path]) -> None:
    callback, history, _ = undisturbed
    training = training_of(callback)
    for ours, theirs in (("loss", "loss"), ("accuracy", "accuracy"), ("val_loss", "val_loss")):
        assert [getattr(epoch, ours) for epoch in training.epochs] == history.history[theirs]
    assert [epoch.val_accuracy for epoch in training.epochs] == history.history["val_accuracy"]
    assert training.steps_per_epoch == STEPS
    assert training.epochs_planned == 2
    assert training.optimizer == "SGD, momentum 0.9"
    assert training.momentum_per_step is None
    assert training.stop_reason is None
    assert not training.interrupted
    seconds = [epoch.seconds for epoch in training.epochs]
    assert 0 < sum(filter(None, seconds)) <= (training.seconds or 0)


def test_the_page_shows_the_network_at_the_end(undisturbed: tuple[ReportCallback, Any, Path]) -> None:
    callback, _, folder = undisturbed
    predicted = callback.model.predict(IMAGES, verbose=0).argmax(axis=1)
    assert callback.report is not None
    assert callback.report.accuracy == np.mean(predicted == LABELS)
    assert reading.load(folder).diagnosis == callback.report.diagnosis
    assert (folder / "report.html").exists()
    assert callback.report.diagnosis.evolution is None


@pytest.mark.parametrize("how", ["schedule", "callback"])
def test_the_rates_are_those_of_the_updates(tmp_path: Path, how: str) -> None:
    cycle = {"base_lr": 0.01, "max_lr": 0.1, "step_size": 4}
    callback = ReportCallback(tmp_path, DATA)
    if how == "schedule":
        fit(network(keras.optimizers.SGD(CyclicSchedule(**cycle))), callback)
        assert training_of(callback).schedule == "rate by CyclicSchedule"
    else:
        fit(network(keras.optimizers.SGD(0.01)), CyclicLR(**cycle), callback)
        assert training_of(callback).schedule == ""
    np.testing.assert_allclose(callback.learning_rates, Cyclic(**cycle)(np.arange(8)), rtol=1e-6)


@pytest.mark.parametrize(("every", "validation"), [(None, DATA), (1, None)], ids=["at-the-end", "every-epoch"])
def test_training_is_bit_identical(tmp_path: Path, every: int | None, validation: Any) -> None:
    alone, watched = network(dropout=0.5), network(dropout=0.5)
    expected = fit(alone, validation_data=validation)
    history = fit(watched, ReportCallback(tmp_path, DATA, every=every), validation_data=validation)
    assert history.history == expected.history
    for mine, theirs in zip(watched.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_second_run_begins_a_new_record(tmp_path: Path) -> None:
    """The evolution too: it shows only the two epochs of the second run."""
    net, callback = network(), ReportCallback(tmp_path, DATA, every=1)
    fit(net, callback, epochs=3)
    first = list(callback.losses)
    assert len(first) == 3 * STEPS
    fit(net, callback, epochs=2)
    training = training_of(callback)
    assert callback.losses == training.loss_per_step
    assert len(callback.losses) == len(callback.learning_rates) == 2 * STEPS
    assert not set(first) & set(callback.losses)
    assert (len(training.epochs), training.epochs_planned) == (2, 2)
    assert callback.report is not None
    evolution = callback.report.diagnosis.evolution
    assert evolution is not None
    assert evolution.epochs == [1, 2]


def test_a_resumed_run_plans_the_remaining_epochs(tmp_path: Path) -> None:
    callback = ReportCallback(tmp_path, DATA)
    fit(network(), callback, initial_epoch=3, epochs=5)
    training = training_of(callback)
    assert (len(training.epochs), training.epochs_planned, training.first_epoch) == (2, 2, 4)
    assert training.weights == "those of epoch 5, the last"
    assert "its state and its schedule began again" in words(tmp_path)


def words(folder: Path) -> str:
    """The text of the page."""
    return " ".join(re.sub("<[^>]*>", "", (folder / "report.html").read_text("utf-8")).split())


def test_a_fit_in_a_loop_continues_the_record(tmp_path: Path) -> None:
    """The loop is interrupted in its third epoch, which is then trained again."""
    sizes: list[int] = []

    def show(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        return batch

    net, callback = network(run_eagerly=True), ReportCallback(tmp_path, DATA, every=1, display=show)
    for epoch in range(2):
        fit(net, callback, initial_epoch=epoch, epochs=epoch + 1)
    with pytest.raises(Fault):
        fit(net, At(fail, step=1), callback, initial_epoch=2, epochs=3)
    before = list(callback.losses[: 2 * STEPS])
    fit(net, callback, initial_epoch=2, epochs=3)
    training = training_of(callback)
    assert (len(training.epochs), training.epochs_planned, training.first_epoch) == (3, 3, 1)
    assert training.loss_per_step[: 2 * STEPS] == before
    assert len(training.loss_per_step) == len(training.learning_rate_per_step) == 3 * STEPS
    assert training.earlier_updates == 0
    assert training.weights_epoch == 3
    assert callback.report is not None
    assert callback.report.diagnosis.evolution is not None
    assert callback.report.diagnosis.evolution.epochs == [1, 2, 3]
    assert sizes == [COUNT] * 7  # four rehearsals and, although each epoch is also the last, three evaluations


class Restore(keras.callbacks.Callback):  # type: ignore[misc]
    """Restores the weights of the first epoch at the end of training, in a way that only it knows."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 0:
            self.weights = self.model.get_weights()
        self.model.stop_training = epoch == 1

    def on_train_end(self, logs: Any = None) -> None:
        self.model.set_weights(self.weights)


class Read(keras.callbacks.Callback):  # type: ignore[misc]
    """Reads the report at the end of training, as a callback that uploads it does."""

    def __init__(self, report: ReportCallback) -> None:
        super().__init__()
        self._report = report

    def on_train_end(self, logs: Any = None) -> None:
        self.read = self._report.report


def early_stopping() -> keras.callbacks.EarlyStopping:
    return keras.callbacks.EarlyStopping("loss", mode="max", restore_best_weights=True)  # the first epoch is the best


@pytest.mark.parametrize(("restoring", "name"), [(early_stopping, "EarlyStopping"), (Restore, "a callback")])
def test_the_page_shows_the_weights_that_fit_leaves(
    tmp_path: Path, restoring: Callable[[], keras.callbacks.Callback], name: str
) -> None:
    """Although the callback that restores them is called later."""
    callback = ReportCallback(tmp_path, DATA)
    upload, net = Read(callback), network(run_eagerly=True)
    fit(net, callback, restoring(), upload, epochs=5)
    assert callback.report is not None
    loss, _ = net.evaluate(IMAGES, LABELS, verbose=0)
    assert callback.report.diagnosis.test.loss == pytest.approx(loss, rel=1e-4)
    assert upload.read is callback.report or restoring is Restore
    training = training_of(callback)
    assert (training.weights_epoch, len(training.epochs), training.epochs_planned) == (1, 2, 5)
    assert f"The weights are those of epoch 1, which {name} restored." in words(tmp_path)
    assert f"{name[0].upper()}{name[1:]} ended training after 2 of 5 planned epochs." in words(tmp_path)


def test_a_moving_average_of_the_weights_is_named(tmp_path: Path) -> None:
    callback, net = ReportCallback(tmp_path, DATA), network(keras.optimizers.SGD(0.05, use_ema=True), run_eagerly=True)
    fit(net, callback)
    assert training_of(callback).weights == "the moving average of the optimizer (`use_ema`)"
    assert callback.report is not None
    assert callback.report.accuracy == np.mean(net.predict(IMAGES, verbose=0).argmax(axis=1) == LABELS)


not_on_torch = pytest.mark.skipif(
    keras.config.backend() == "torch", reason="Keras makes single steps on PyTorch, whose compiler needs one of C++"
)


@pytest.mark.parametrize(
    ("compiled", "optimizer", "steps"),
    [
        pytest.param({"steps_per_execution": 2}, {}, 2, marks=not_on_torch),
        pytest.param({"jit_compile": True}, {}, 4, marks=not_on_torch),
        ({}, {"gradient_accumulation_steps": 2}, 4),
    ],
    ids=["steps_per_execution", "jit_compile", "gradient-accumulation"],
)
def test_each_step_is_recorded_in_every_mode(tmp_path: Path, compiled: Any, optimizer: Any, steps: int) -> None:
    callback = ReportCallback(tmp_path, DATA)
    history = fit(network(keras.optimizers.SGD(0.05, **optimizer), **compiled), callback)
    losses = np.reshape(callback.losses, (2, steps))
    sizes = [12, 8] if steps == 2 else [6, 6, 6, 2]
    np.testing.assert_allclose(np.average(losses, axis=1, weights=sizes), history.history["loss"], rtol=1e-5)
    assert training_of(callback).steps_per_epoch == steps


def test_a_loss_that_is_not_finite_is_none_in_the_record(tmp_path: Path) -> None:
    callback = ReportCallback(tmp_path, DATA)
    net = network(keras.optimizers.SGD(np.inf))
    fit(net, callback, epochs=1)
    assert training_of(callback).loss_per_step[-1] is None
    assert training_of(callback).epochs[0].loss is None
    assert training_of(callback).not_finite == NotFinite("loss", "NaN", 1, 2)
    assert "The loss became NaN in epoch 1, step 2 of 4." in words(tmp_path)


# --- every argument ---------------------------------------------------------------------------------------------------


def test_images_and_labels_are_studied_when_training_ends(tmp_path: Path) -> None:
    """The reports before compare only a few training images with the test images."""
    studied = []

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            studied.append(callback.report.diagnosis)

    callback = ReportCallback(tmp_path, DATA, every=1)
    fit(network(), callback, Watch(), epochs=2)
    studied.append(callback.report.diagnosis)
    assert [each.train_sample.size for each in studied] == [COUNT] * 3
    assert [each.data.copies is None for each in studied] == [True, True, False]
    assert [each.data.reasons.get("copies") for each in studied] == ["training goes on"] * 2 + [None]


def test_metadata_that_does_not_fit_ends_no_training_run(tmp_path: Path) -> None:
    batches = tf.data.Dataset.from_tensor_slices(DATA).batch(BATCH)
    callback = ReportCallback(tmp_path, batches, metadata={"site": ["north"] * 3})
    fit(network(), callback)
    reasons = callback.report.diagnosis.data.reasons
    assert "Received: " in reasons["slices"]


def test_the_page_is_written_every_few_epochs_and_shows_the_evolution(tmp_path: Path) -> None:
    written = []

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            written.append((tmp_path / "report.html").exists())

    callback = ReportCallback(tmp_path, DATA, every=2)
    fit(network(), callback, Watch(), epochs=5)
    assert written == [False, True, True, True, True]
    assert callback.report is not None
    evolution = callback.report.diagnosis.evolution
    assert evolution is not None
    assert evolution.epochs == [2, 4, 5]
    assert evolution.accuracies[-1] == callback.report.accuracy
    assert reading.load(tmp_path).diagnosis.evolution == evolution
    assert "evolution" in callback.report.run.pictures.sheets


def test_arguments_of_the_page_are_passed_on(tmp_path: Path) -> None:
    net = network()
    test = find_lr(net, IMAGES, LABELS, iterations=10, batch_size=BATCH)
    callback = ReportCallback(
        tmp_path,
        (IMAGES / 255, LABELS),
        class_names=["ant", "bee", "cow"],
        range_test=test,
        display=255 - IMAGES,
        preprocess="0..1",
        name="creatures",
        batch_size=20,
    )
    fit(net, callback, epochs=1)
    assert callback.report is not None
    diagnosis = callback.report.diagnosis
    assert diagnosis.dataset.classes == ["ant", "bee", "cow"]
    assert diagnosis.range_test == test.facts()
    assert diagnosis.dataset.name == "creatures"
    assert diagnosis.settings == {"preprocess": "0..1"}
    np.testing.assert_array_equal(callback.report.mistakes, 255 - IMAGES[callback.report.predictions.misclassified])


def test_the_batch_size_is_that_of_the_evaluation(tmp_path: Path) -> None:
    sizes: list[int] = []

    def show(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        return batch

    fit(network(), ReportCallback(tmp_path, DATA, batch_size=8, display=show), epochs=1)
    assert sizes == [8, 8, 8, 4]


def test_a_dataset_gives_the_same_report_as_arrays(tmp_path: Path) -> None:
    batches = tf.data.Dataset.from_tensor_slices(DATA).batch(5)
    callback = ReportCallback(tmp_path, batches, every=1)
    net = network()
    fit(net, callback)
    assert callback.report is not None
    assert callback.report.accuracy == np.mean(net.predict(IMAGES, verbose=0).argmax(axis=1) == LABELS)


def two_outputs() -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    pooled = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(inputs))
    net = keras.Model(inputs, [L.Dense(3, name="a")(pooled), L.Dense(2, name="b")(pooled)])
    logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile("sgd", [logits, logits], metrics=[["accuracy"], ["accuracy"]])
    return net


def test_the_named_one_of_two_outputs_is_evaluated(tmp_path: Path) -> None:
    callback = ReportCallback(tmp_path, DATA, output="a")
    targets = [LABELS, LABELS % 2]
    history = two_outputs().fit(IMAGES, targets, validation_data=(IMAGES, targets), verbose=0, callbacks=[callback])
    assert callback.report is not None
    assert callback.report.confusion.shape == (3, 3)
    (epoch,) = training_of(callback).epochs
    names = ("a_loss", "a_accuracy", "val_a_loss", "val_a_accuracy")
    shown = (epoch.loss, epoch.accuracy, epoch.val_loss, epoch.val_accuracy)
    assert [*shown] == [history.history[name][0] for name in names]
    assert training_of(callback).loss_per_step == []  # the loss of a step is that of both outputs
    assert "Loss and accuracy are those of the output a." in words(tmp_path)


def test_a_baseline_is_compared_with(tmp_path: Path, undisturbed: tuple[ReportCallback, Any, Path]) -> None:
    _, _, folder = undisturbed
    callback = ReportCallback(tmp_path, DATA, baseline=folder)
    fit(network(), callback)
    assert callback.report is not None
    assert callback.report.diagnosis.comparison is not None
    assert callback.report.diagnosis.comparison.difference == 0
    assert reading.load(tmp_path).diagnosis.comparison == callback.report.diagnosis.comparison


def test_the_settings_of_the_checks_reach_the_report(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="`accept` takes the reason"):
        ReportCallback(tmp_path / "none", DATA, accept={"overfitting": ""})
    assert not (tmp_path / "none").exists()
    callback = ReportCallback(tmp_path, DATA, checks={"no-heatmaps": False})
    fit(network(), callback, epochs=1)
    assert callback.report is not None
    checks = {check.code: check.reason for check in callback.report.diagnosis.checks}
    assert checks["no-heatmaps"] == "turned off"


def test_a_baseline_may_be_the_folder_that_is_written(tmp_path: Path) -> None:
    fit(network(), ReportCallback(tmp_path, DATA), epochs=1)
    before = reading.load(tmp_path).diagnosis.test.accuracy
    callback = ReportCallback(tmp_path, DATA, baseline=tmp_path, every=1)
    fit(network(), callback, epochs=2)
    assert callback.report is not None
    assert callback.report.diagnosis.comparison is not None
    assert callback.report.diagnosis.comparison.base.accuracy == before


def test_a_baseline_on_other_images_does_not_prevent_the_page(
    tmp_path: Path, undisturbed: tuple[ReportCallback, Any, Path]
) -> None:
    _, _, folder = undisturbed
    callback = ReportCallback(tmp_path, (IMAGES[::-1], LABELS[::-1]), baseline=folder)
    with pytest.raises(ComparisonError):
        fit(network(), callback, epochs=1)
    assert len(reading.load(tmp_path).diagnosis.training.loss_per_step) == STEPS  # type: ignore[union-attr]


# --- TensorBoard ------------------------------------------------------------------------------------------------------


def events(folder: Path) -> dict[str, dict[int, Any]]:
    """The content of a log folder: the values of each name, by step."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    (file,) = folder.glob("events.*")
    found: dict[str, dict[int, Any]] = {}
    for event in EventFileLoader(str(file)).Load():
        for value in event.summary.value:
            found.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
    return found


def test_tensorboard_gets_the_steps_and_each_page(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    callback = ReportCallback(tmp_path / "run", DATA, every=1, log_dir=tmp_path / "log")
    fit(network(), callback)
    logged = events(tmp_path / "log")
    np.testing.assert_allclose(
        [logged["lrdiag/batch_loss"][step] for step in range(2 * STEPS)], callback.losses, rtol=1e-6
    )
    np.testing.assert_allclose([*logged["lrdiag/learning_rate"].values()], callback.learning_rates, rtol=1e-6)
    assert callback.report is not None
    assert [*logged["lrdiag/accuracy"]] == [*logged["lrdiag/confusion"]] == [*logged["lrdiag/mistakes"]] == [1, 2]
    assert logged["lrdiag/findings"][2].item().decode() == render_findings(callback.report.diagnosis)
    assert logged["lrdiag/accuracy"][2] == pytest.approx(callback.report.accuracy)
    *size, first = logged["lrdiag/mistakes"][2][:3]
    assert [int(side) for side in size] == [8, 8]
    assert len(logged["lrdiag/mistakes"][2]) == 2 + min(16, callback.report.diagnosis.misclassified.count)
    assert tf.io.decode_png(first).shape == (8, 8, 3)


def test_without_tensorboard_training_does_not_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrdiag.tensorboard.find_spec", lambda name: None)
    net = network()
    with pytest.raises(SettingsError, match=r"python -m pip install.*Received: log_dir="):
        fit(net, ReportCallback(tmp_path, DATA, log_dir=tmp_path / "log"))
    assert int(net.optimizer.iterations) == 0


# --- errors before training -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "arguments", "error", "message"),
    [
        (DATA, {"every": 0}, SettingsError, r"`every` must be a whole number, 1 or more. Received: 0"),
        (DATA, {"baseline": "nowhere"}, RunFolderError, "nowhere"),
        (DATA, {"groups": "site"}, DataError, "Received: 'site' without metadata"),
        (None, {}, DataError, r"`validation_data` is required.*Received: None"),
        (iter([DATA]), {}, DataError, r"same images in each pass.*Received: list_iterator"),
    ],
)
def test_invalid_arguments_are_refused_at_once(
    tmp_path: Path, data: Any, arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ReportCallback(tmp_path, data, **arguments)


def test_an_unwritable_folder_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written"):
        ReportCallback(tmp_path / "file" / "run", DATA)


@pytest.mark.parametrize(
    ("data", "arguments", "error", "message"),
    [
        (DATA, {"class_names": ["ant"]}, DataError, "`class_names`.*Received: 1 names"),
        (DATA, {"output": "b"}, ModelError, "`output=` must name"),
        (DATA, {"display": IMAGES / 255}, DataError, "`display`.*float64"),
        (DATA, {"preprocess": "vgg"}, SettingsError, "`preprocess`.*'vgg'"),
        (DATA, {"batch_size": 0}, SettingsError, "`batch_size`.*Received: 0"),
        ((IMAGES, LABELS + 1), {}, DataError, "the model scores 3"),
        ((IMAGES[..., :1], LABELS), {}, ModelError, r"\(n, 8, 8, 1\).*\(n, 8, 8, 3\)"),
        ((IMAGES, np.append(LABELS[:-1], 3)), {"batch_size": 5}, DataError, "the model scores 3"),
        ((np.append(IMAGES[:-1], np.full((1, 8, 8, 3), np.nan), 0), LABELS), {"batch_size": 5}, DataError, "finite"),
        (DATA, {"display": IMAGES[:-1], "batch_size": 5}, DataError, "one image for each input"),
        ((IMAGES,), {}, DataError, "needs labels"),
        (DATA, {"metadata": {"site": ["a"]}}, DataError, "Received: 1 row for"),
        (DATA, {"groups": (["a"], ["b"])}, DataError, "Received: 1 group for"),
        ([], {}, DataError, "at least one image"),
    ],
)
def test_mismatched_data_is_refused_before_the_first_step(
    tmp_path: Path, data: Any, arguments: Any, error: type[Exception], message: str
) -> None:
    net = network()
    before = net.get_weights()
    with pytest.raises(error, match=message):
        fit(net, ReportCallback(tmp_path / "new" / "run", data, **arguments))
    assert not (tmp_path / "new").exists()
    for mine, theirs in zip(net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_two_outputs_without_a_name_are_refused_before_the_first_step(tmp_path: Path) -> None:
    net = two_outputs()
    with pytest.raises(ModelError, match=r"one of 0, 1, 'a', 'b'.*Received: output=None"):
        net.fit(IMAGES, [LABELS, LABELS % 2], verbose=0, callbacks=[ReportCallback(tmp_path, DATA)])
    assert int(net.optimizer.iterations) == 0


def without_maps() -> keras.Sequential:
    """A net whose evaluation is fast."""
    net = keras.Sequential([keras.Input((8, 8, 3)), L.Rescaling(1 / 255), L.Flatten(), L.Dense(3)])
    net.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return net


class InAnyOrder(keras.utils.PyDataset):
    """A new order after each pass of `fit`."""

    def __init__(self) -> None:
        super().__init__()
        self._random = np.random.default_rng(0)
        self.on_epoch_end()

    def __len__(self) -> int:
        return 2

    def __getitem__(self, place: int) -> Any:
        chosen = self._order[place * COUNT // 2 : (place + 1) * COUNT // 2]
        return IMAGES[chosen], LABELS[chosen]

    def on_epoch_end(self) -> None:
        self._order = self._random.permutation(COUNT)


@pytest.mark.parametrize(
    "make",
    [
        lambda: tf.data.Dataset.from_tensor_slices(DATA).shuffle(COUNT, seed=1).batch(5),
        InAnyOrder,
    ],
    ids=["noticed-before-training", "noticed-later"],
)
def test_with_another_order_in_each_pass_training_goes_on_without_the_evolution(
    tmp_path: Path, make: Callable[[], Any]
) -> None:
    data = make()
    callback = ReportCallback(tmp_path, data, every=1)
    history = fit(without_maps(), callback, validation_data=data)
    assert len(history.epoch) == 2
    assert callback.report is not None
    assert callback.report.diagnosis.evolution is None
    assert OTHER_ORDER in callback.report.diagnosis.notes


def test_weights_are_accepted_as_by_fit(tmp_path: Path) -> None:
    callback, net = ReportCallback(tmp_path, (*DATA, np.ones(COUNT))), without_maps()
    fit(net, callback)
    assert callback.report is not None
    assert callback.report.accuracy == np.mean(net.predict(IMAGES, verbose=0).argmax(axis=1) == LABELS)
    assert callback.report.diagnosis.notes == ["Sample weights are ignored: every image counts equally."]


def test_a_generator_of_keras_is_a_dataset(tmp_path: Path) -> None:
    """It is an iterator too, but it can be read again."""
    given = ImageDataGenerator().flow(IMAGES, LABELS, batch_size=8, shuffle=False)
    callback, net = ReportCallback(tmp_path, given, every=1), without_maps()
    net.fit(given, epochs=2, verbose=0, callbacks=[callback])
    assert callback.report is not None
    assert callback.report.accuracy == pytest.approx(net.evaluate(given, verbose=0)[1])
    assert callback.report.diagnosis.notes == []


def test_data_without_end_needs_validation_steps(tmp_path: Path) -> None:
    endless = tf.data.Dataset.from_tensor_slices(DATA).batch(5).repeat()
    callback = ReportCallback(tmp_path, endless, validation_steps=2)
    fit(without_maps(), callback, epochs=1)
    assert callback.report is not None
    assert callback.report.diagnosis.test.size == 10
    with pytest.raises(DataError, match="must be finite"):
        fit(without_maps(), ReportCallback(tmp_path, endless))
    with pytest.raises(SettingsError, match="`validation_steps` must be a whole number"):
        ReportCallback(tmp_path, endless, validation_steps=0)


def test_a_baseline_of_other_classes_is_refused_before_the_first_step(
    tmp_path: Path, undisturbed: tuple[ReportCallback, Any, Path]
) -> None:
    net = without_maps()
    with pytest.raises(ComparisonError, match="same classes"):
        fit(net, ReportCallback(tmp_path, DATA, baseline=undisturbed[2], class_names=["ant", "bee", "cow"]))
    assert int(net.optimizer.iterations) == 0


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def usual_handler() -> Iterator[None]:
    """Sets Python's default handler of Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("usual_handler")
@pytest.mark.parametrize(
    ("at", "steps", "epochs", "in_epoch"),
    [
        ({"step": 5}, 6, 1, 2),
        ({"validating": True, "step": 1}, 4, 0, 1),
    ],
    ids=["training", "validation"],
)
def test_ctrl_c_ends_the_training_with_its_page(
    tmp_path: Path, at: Any, steps: int, epochs: int, in_epoch: int
) -> None:
    callback = ReportCallback(tmp_path, DATA)
    with pytest.raises(KeyboardInterrupt):
        fit(network(), At(press, **at), callback, epochs=3, validation_data=DATA, validation_batch_size=BATCH)
    assert len(callback.losses) == steps
    training = reading.load(tmp_path).diagnosis.training
    assert training is not None
    assert training.interrupted
    assert training.stop_reason == f"interrupted after {steps} steps, in epoch {in_epoch}"
    assert (len(training.epochs), training.epochs_planned) == (epochs, 3)
    assert "training-interrupted" in [finding.code for finding in reading.load(tmp_path).diagnosis.findings]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("usual_handler")
def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    callback = ReportCallback(tmp_path, DATA)
    with pytest.raises(KeyboardInterrupt):
        fit(network(), At(lambda: (press(), press())), callback)
    assert len(callback.losses) == 0
    assert not (tmp_path / "report.html").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("ignored", [True, False])
def test_the_previous_handler_of_ctrl_c_is_restored(tmp_path: Path, ignored: bool) -> None:
    heard = []

    def listen(number: int, frame: Any) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else listen)
    try:
        callback = ReportCallback(tmp_path, DATA)
        if ignored:
            fit(network(), At(press), callback)
            assert len(callback.losses) == 2 * STEPS
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        else:
            fit(network(), callback)
            assert signal.getsignal(signal.SIGINT) is listen
            press()
            assert heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


class Fault(Exception):
    pass


def fail() -> None:
    raise Fault


@pytest.mark.usefixtures("usual_handler")
def test_after_an_error_of_another_callback_ctrl_c_is_restored(tmp_path: Path) -> None:
    net, callback = network(), ReportCallback(tmp_path, DATA)
    with pytest.raises(Fault):
        fit(net, At(fail), callback)
    with pytest.raises(KeyboardInterrupt):  # in a `fit` without this callback
        fit(net, At(press))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(Fault):
        fit(net, At(fail), callback)
    with pytest.raises(KeyboardInterrupt):
        press()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(Fault):
        fit(net, At(fail), callback)
    fit(net, callback)
    assert len(training_of(callback).epochs) == 2
    with pytest.raises(KeyboardInterrupt):
        press()


def test_training_in_a_thread_is_recorded(tmp_path: Path) -> None:
    callback = ReportCallback(tmp_path, DATA)
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=fit, args=(network(), callback))
    thread.start()
    thread.join()
    assert len(training_of(callback).epochs) == 2
    assert signal.getsignal(signal.SIGINT) is before


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests run under
import numpy as np
import keras, lrdiag

images, labels = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), dtype="uint8"), np.arange(64) % 3
layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, "softmax")]
model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
model.compile("sgd", "sparse_categorical_crossentropy")
say = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print("epoch", flush=True))
report = lrdiag.ReportCallback(sys.argv[1], (images, labels))
model.fit(images, labels, epochs=10**6, verbose=0, callbacks=[report, say])
"""


def test_ctrl_c_from_a_terminal_leaves_the_page(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "epoch\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == -signal.SIGINT, stderr  # as Python does by default
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    training = reading.load(tmp_path).diagnosis.training
    assert training is not None
    assert training.interrupted
    assert (tmp_path / "report.html").exists()
