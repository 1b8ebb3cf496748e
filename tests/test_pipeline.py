"""`train_and_report`: its arguments, its order of events, and a report that is consistent."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import jsonschema
import keras
import numpy as np
import pytest
from click.testing import CliRunner
from fixtures.runs import FinishedRun

from lrdiag import LearningRate, Report, Settings, train_and_report
from lrdiag.cli.app import main
from lrdiag.diagnosis.check_settings import CheckSettings
from lrdiag.diagnosis.gates import Gate
from lrdiag.diagnosis.metadata import GivenGroups
from lrdiag.diagnosis.metadata_table import read_metadata
from lrdiag.errors import DataUnavailable, ModelError, SettingsError
from lrdiag.main_job import run_main_job
from lrdiag.progress import Silence
from lrdiag.record import documents, reading

TINY: dict[str, Any] = {
    "data": "digits", "limit_train": 200, "limit_test": 40, "epochs": 1, "batch_size": 16, "learning_rate": 0.1,
}  # fmt: skip


# --- arguments --------------------------------------------------------------------------------------------------------


class Started(Exception):
    pass


@pytest.fixture
def started_with(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Receives the settings that a run is started with. The run itself does not start."""
    settings: list[Settings] = []

    def start(given: Settings, progress: Any) -> None:
        settings.append(given)
        raise Started

    monkeypatch.setattr("lrdiag.pipeline.run_main_job", start)
    return settings


def test_every_setting_is_a_keyword_and_every_keyword_a_setting() -> None:
    keywords = set(inspect.signature(train_and_report).parameters) - {"progress"}
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert keywords == fields - set(JOINED.values()) | JOINED.keys()


def test_the_defaults_are_those_of_the_settings(started_with: list[Settings]) -> None:
    with pytest.raises(Started):
        train_and_report()
    assert started_with == [Settings()]


JOINED = {
    "fail_under": "gates",
    "fail_if_worse": "gates",
    "fail_on": "gates",
    "checks": "check_settings",
    "accept": "check_settings",
}
"""Keywords that several make one setting."""
VALUES: dict[str, tuple[Any, Any]] = {
    "data": (Path("flowers"), "flowers"),
    "data_dir": ("folder", Path("folder")),
    "image_size": (48, (48, 48)),
    "resize": ("pad", "pad"),
    "image_column": ("photo", "photo"),
    "label_column": ("species", "species"),
    "model": ("article", "article"),
    "epochs": (3, 3),
    "batch_size": (32, 32),
    "seed": (5, 5),
    "limit_train": (100, 100),
    "limit_test": (50, 50),
    "out": ("folder", Path("folder")),
    "augment": ("flip, crop", ("flip", "crop")),
    "optimizer": ("adam", "adam"),
    "progressive": (True, True),
    "schedule": ("Cyclic", "cyclic"),
    "learning_rate": ("0.01:0.4", LearningRate(0.4, 0.01)),
    "mixed_precision": (True, True),
    "baseline": ("folder", Path("folder")),
    "fail_under": (
        {"accuracy": 0.78, "recall.cat": 0.6},
        (Gate("fail-under", "accuracy", 0.78), Gate("fail-under", "recall.cat", 0.6)),
    ),
    "fail_if_worse": ({"accuracy": 0.01}, (Gate("fail-if-worse", "accuracy", 0.01),)),
    "fail_on": ("warning", (Gate("fail-on", "warning", 0),)),
    "checks": ({"weak-class": False}, CheckSettings(frozenset({"weak-class"}))),
    "accept": ({"overfitting": "a demo"}, CheckSettings(accepted={"overfitting": "a demo"})),
    "metadata": ({"site": ["north", "south"]}, read_metadata({"site": ["north", "south"]})),
    "groups": ((["a", "b"], ["c"]), GivenGroups(None, ("a", "b"), ("c",))),
    "assets": ("folder", "folder"),
    "images": (False, False),
    "file_names": (False, False),
    "templates": ("folder", Path("folder")),
}


@pytest.mark.parametrize("name", sorted(set(inspect.signature(train_and_report).parameters) - {"progress", "resume"}))
def test_every_keyword_reaches_the_settings(started_with: list[Settings], name: str) -> None:
    plain, value = VALUES[name]
    with pytest.raises(Started):
        train_and_report(**{"baseline": "base", name: plain})
    expected = dataclasses.replace(Settings(), baseline=Path("base"))
    field = JOINED.get(name, name)
    assert value != getattr(expected, field)
    assert started_with == [dataclasses.replace(expected, **{field: value})]


def test_fail_if_worse_needs_a_baseline(started_with: list[Settings]) -> None:
    with pytest.raises(SettingsError, match=r"needs an earlier run.*accuracy=0.01 without a baseline"):
        train_and_report(fail_if_worse={"accuracy": 0.01})
    assert not started_with


def test_the_listener_receives_every_stage(tmp_path: Path) -> None:
    titles: list[str] = []

    class Listener(Silence):
        def stage(self, title: str, total: int | None = None, unit: str = "") -> Any:
            titles.append(title)
            return super().stage(title, total, unit)

    train_and_report(**TINY, out=tmp_path, progress=Listener())
    assert titles[:3] == ["Reading the digits", "Training", "Predicting and explaining"]
    assert titles[-1] == "Writing the page"


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        ({"learning_rate": 0.1}, LearningRate(0.1)),
        ({"learning_rate": np.float32(0.5)}, LearningRate(0.5)),
        ({"learning_rate": (0.01, 0.4)}, LearningRate(0.4, 0.01)),
        ({"learning_rate": LearningRate(0.2)}, LearningRate(0.2)),
        ({"learning_rate": "auto"}, LearningRate()),
        ({"augment": ["flip", "erase"]}, ("flip", "erase")),
        ({"augment": "none"}, ()),
        ({"augment": None}, ()),
        ({"image_size": (48, 64)}, (48, 64)),
        ({"image_size": "48x64"}, (48, 64)),
    ],
    ids=str,
)
def test_plain_values_are_converted(started_with: list[Settings], plain: dict[str, Any], value: Any) -> None:
    with pytest.raises(Started):
        train_and_report(**plain)
    assert getattr(started_with[0], next(iter(plain))) == value


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"learning_rate": True}, "learning rate must be.*Received: True"),
        ({"learning_rate": [1, 2, 3]}, r"learning rate must be.*Received: \[1, 2, 3\]"),
        ({"learning_rate": -0.1}, "positive and finite.*Received: rate=-0.1"),
        ({"augment": ["spin"]}, "`augment` takes flip, crop, erase or none. Received: 'spin'"),
        ({"image_size": 0}, "image size must be.*Received: 0"),
        ({"image_size": (1, 2, 3)}, "image size must be.*Received"),
        ({"fail_under": {"acuracy": 1}}, "Did you mean 'accuracy'"),
        ({"fail_under": 78}, "`fail-under` takes a share between 0 and 1"),
        ({"fail_on": "note"}, "`fail-on` takes error, warning. Received: 'note'"),
        ({"fail_on": 1}, "`fail-on` takes error or warning. Received: 1"),
        ({"checks": {"weak-clas": False}}, "Did you mean 'weak-class'"),
        ({"accept": {"overfitting": ""}}, "`accept` takes the reason"),
        ({"epochs": 0}, "`epochs` must be"),
        ({"optimizer": "lion"}, "`optimizer` must be one of"),
    ],
    ids=str,
)
def test_other_values_are_refused(started_with: list[Settings], plain: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        train_and_report(**plain)
    assert not started_with


def test_settings_as_one_argument_are_deprecated_but_work(tmp_path: Path) -> None:
    settings = Settings(**{**TINY, "learning_rate": LearningRate(0.1)}, out=tmp_path)
    with pytest.warns(DeprecationWarning, match="keyword arguments") as caught:
        report = train_and_report(settings)
    assert caught[0].filename == __file__
    assert isinstance(report, Report)
    assert report.diagnosis == reading.load(tmp_path).diagnosis
    assert report.pictures == report.run.pictures.files
    assert "samples.webp" in report.pictures
    with pytest.raises(SettingsError, match=r"either `Settings` or keyword arguments.*Received: Settings and epochs"):
        train_and_report(settings, epochs=2)


# --- the order of events ----------------------------------------------------------------------------------------------


def test_the_model_is_saved_before_it_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fault(Exception):
        pass

    def fail(*_: Any, **__: Any) -> None:
        raise Fault

    monkeypatch.setattr("lrdiag.evaluation.evaluator.Evaluator.evaluate", fail)
    with pytest.raises(Fault):
        train_and_report(**TINY, out=tmp_path / "run")
    assert set(os.listdir(tmp_path / "run")) == {"model.keras", "unfinished"}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # such as variables that are skipped
        model = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert model.predict(np.zeros((2, 32, 32, 3), np.uint8), verbose=0).shape == (2, 10)


def test_the_saved_model_is_the_one_that_was_evaluated(finished: FinishedRun) -> None:
    from lrdiag.data import list_test_images, subset

    listed = list_test_images("digits", None, None, 3, Silence())
    test = subset(listed.load(Silence()), 60, listed.classes, seed=0)
    scores = keras.models.load_model(finished.folder / "model.keras").predict(test.images, verbose=0)
    diagnosis = reading.load(finished.folder).diagnosis
    assert np.mean(scores.argmax(axis=1) == test.labels) == diagnosis.test.accuracy


def test_the_stages_are_timed(finished: FinishedRun) -> None:
    seconds = reading.load(finished.folder).diagnosis.seconds
    stages = (seconds.range_test, seconds.training, seconds.predict_and_explain, seconds.report)
    assert min(stages) > 0
    assert sum(stages) < seconds.total


# --- the report -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def facts(finished: FinishedRun) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((finished.folder / "report.json").read_text("utf-8"))
    return content


def test_the_report_follows_the_published_schema(facts: dict[str, Any]) -> None:
    jsonschema.validate(facts, documents.schema())


def test_the_report_is_consistent(facts: dict[str, Any]) -> None:
    size, wrong = facts["test"]["size"], facts["misclassified"]["count"]
    assert sum(map(sum, facts["confusion"])) == size == 60
    assert sum(row[i] for i, row in enumerate(facts["confusion"])) == size - wrong
    assert facts["test"]["accuracy"] == (size - wrong) / size
    assert facts["heatmaps"]["count"] == wrong == len(facts["misclassified"]["items"])
    assert [each["support"] for each in facts["per_class"]] == [sum(row) for row in facts["confusion"]]
    assert (facts["dataset"]["train_size"], facts["dataset"]["validation_size"]) == (270, 30)
    losses = [item["loss"] for item in facts["misclassified"]["items"]]
    assert losses == sorted(losses, reverse=True)


def test_training_follows_one_cycle_between_the_boundaries_of_the_range_test(facts: dict[str, Any]) -> None:
    rates, boundaries = facts["training"]["learning_rate_per_step"], facts["range_test"]
    assert len(rates) == 2 * facts["training"]["steps_per_epoch"] == 2 * 17
    assert rates[0] == pytest.approx(boundaries["base_lr"], rel=1e-5)
    assert rates[-1] == pytest.approx(boundaries["max_lr"] / 1e5, rel=1e-2)
    assert boundaries["base_lr"] < max(rates) <= boundaries["max_lr"] * (1 + 1e-5)
    assert facts["training"]["schedule"].startswith("one cycle from")
    assert facts["training"]["epochs_planned"] == len(facts["training"]["epochs"]) == 2


def test_training_begins_on_smaller_images(tmp_path: Path) -> None:
    settings = {**TINY, "data": "digits", "image_size": 20, "epochs": 2}
    diagnosis = train_and_report(**settings, out=tmp_path / "run").diagnosis
    training = diagnosis.training
    assert training is not None
    stages = [(each.width, each.steps) for each in training.stages]
    assert stages == [(16, 14), (20, 10)]
    assert len(training.loss_per_step) == 24
    model = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert model.input_shape == (None, 20, 20, 3)
    assert "16 × 16 until epoch 1.2, then 20 × 20 pixels" in (tmp_path / "run" / "report.html").read_text()
    plain = train_and_report(**settings, progressive=False, out=tmp_path / "plain").diagnosis.training
    assert plain is not None
    assert plain.stages == []
    assert plain.loss_per_step != training.loss_per_step


def test_a_network_for_one_size_can_not_begin_on_smaller_images(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"images of any size.*'article'"):
        train_and_report(**{**TINY, "image_size": 32}, model="article", progressive=True, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_sample_of_the_training_images_is_evaluated_in_inference_mode(finished: FinishedRun) -> None:
    """Here the sample is all of them."""
    from lrdiag.data import load_dataset

    train = load_dataset(Settings(data="digits", limit_train=300, limit_test=60), Silence()).train
    scores = keras.models.load_model(finished.folder / "model.keras").predict(train.images, verbose=0)
    sample = reading.load(finished.folder).diagnosis.train_sample
    assert sample is not None
    assert (sample.size, sample.accuracy) == (270, np.mean(scores.argmax(axis=1) == train.labels))


def test_a_bounded_sample_of_the_training_images_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FEWEST", "FEWEST_LARGE", "PER_TEST_IMAGE"):
        monkeypatch.setattr(f"lrdiag.evaluation.training_images.{name}", 0 if name == "PER_TEST_IMAGE" else 50)
    sample = train_and_report(**TINY, out=tmp_path).diagnosis.train_sample
    assert sample is not None
    assert sample.size == 50


def losses_of(out: Path, **changes: Any) -> list[float | None]:
    """The loss of each step of a training run."""
    small = {"data": "digits", "limit_train": 400, "limit_test": 100, "epochs": 1, "batch_size": 16, "out": out}
    training = train_and_report(**{**small, "learning_rate": (0.01, 0.1), **changes}).diagnosis.training
    assert training is not None
    return training.loss_per_step


@pytest.fixture(scope="module")
def usual_losses(tmp_path_factory: pytest.TempPathFactory) -> list[float | None]:
    return losses_of(tmp_path_factory.mktemp("usual"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"augment": ()},
        {"batch_size": 8},
        {"optimizer": "adam"},
        {"schedule": "cyclic"},
        {"learning_rate": "auto"},
        {"model": "article"},
        {"mixed_precision": True},
        {"limit_train": 300},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_changes_how_training_goes(
    tmp_path: Path, usual_losses: list[float | None], change: dict[str, Any]
) -> None:
    assert losses_of(tmp_path, **change) != usual_losses


# --- the data ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LRDIAG_DATA_DIR", "KERAS_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("lrdiag.data.sources.cifar10.URL", "http://nowhere.invalid/cifar-10-python.tar.gz")


@pytest.mark.usefixtures("no_cifar10")
def test_without_cifar10_the_digits_are_used_with_a_warning(tmp_path: Path) -> None:
    small = ["--limit-train", "200", "--limit-test", "40", "--epochs", "1", "--learning-rate", "0.1", "--no-open"]
    result = CliRunner().invoke(main, ["train-and-report", *small, "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.stderr
    assert "Warning" in result.stderr
    report = reading.load(tmp_path / "run").diagnosis
    assert report.dataset.fallback
    assert report.findings[0].code == "stand-in-data"
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert 0 < page.index("CIFAR-10 was not available") < page.index("<h2")


@pytest.mark.usefixtures("no_cifar10")
def test_cifar10_by_name_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match="--data-dir"):
        train_and_report("cifar10", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_same_images_as_batches_and_as_a_folder(tmp_path: Path, real_images: Path) -> None:
    small: dict[str, Any] = {"limit_train": 400, "limit_test": 100, "epochs": 1, "learning_rate": 0.1}
    batches = train_and_report(data_dir=real_images, out=tmp_path / "batches", **small).diagnosis
    assert batches.dataset.fallback is None
    assert batches.dataset.test_size == 100
    folder = train_and_report(real_images / "images", out=tmp_path / "folder", **small).diagnosis
    assert folder.dataset.classes == batches.dataset.classes
    assert all((item.file or "").startswith("test/") for item in folder.misclassified.items)


# --- time -------------------------------------------------------------------------------------------------------------


def longest_pause(stop: threading.Event, *, idle: float = 0.02, tick: float = 0.1) -> float:
    """Samples the CPU time of this process until `stop`; returns the longest time in seconds in which it used none.

    A tick counts as idle if less than `idle` of it was computed.
    """
    longest = current = 0.0
    wall, cpu = time.perf_counter(), time.process_time()
    while not stop.wait(tick):
        now, used = time.perf_counter(), time.process_time()
        current = current + now - wall if used - cpu < idle * (now - wall) else 0.0
        longest, wall, cpu = max(longest, current), now, used
    return longest


class Watch(Silence):
    """Measures the longest pause of a run."""

    def __enter__(self) -> Watch:
        self._stop, self.longest = threading.Event(), 0.0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self) -> None:
        self.longest = longest_pause(self._stop)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_the_watch_sees_a_pause() -> None:
    with Watch() as watch:
        until = time.perf_counter() + 0.3
        while time.perf_counter() < until:
            sum(range(1000))
        time.sleep(0.7)
    assert 0.4 < watch.longest < 1


@pytest.mark.slow
def test_the_process_is_never_idle_for_two_seconds(tmp_path: Path) -> None:
    """With tf.data's autotuning, the end of an epoch waits for a thread that sleeps as long as the epoch lasted.

    It is a race: with autotuning, one of three such runs paused for 3.2 seconds. Epochs must last for five seconds or
    so, because the pauses are as long as what was before.
    """
    for number, learning_rate in enumerate([LearningRate(), LearningRate(0.1), LearningRate(0.1)]):
        settings = Settings(
            data="digits", image_size=(80, 80), epochs=4, learning_rate=learning_rate, out=tmp_path / str(number)
        )
        with Watch() as watch:
            run_main_job(settings)
        assert watch.longest < 2
