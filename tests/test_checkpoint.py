"""`--resume`: a resumed run is the uninterrupted one, and only a run that fits is resumed."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from reliability.killing import differences

from lrdiag import checkpoint, train_and_report
from lrdiag.checkpoint import Environment
from lrdiag.cli.app import main
from lrdiag.errors import RunFolderError, SettingsError
from lrdiag.progress import Silence
from lrdiag.record import unfinished

NETWORKS = Path(__file__).parent / "reliability"
OPTIONS: dict[str, Any] = {
    "data": "digits", "model": "small_net:build", "limit_train": 120, "limit_test": 40, "epochs": 3, "batch_size": 32,
    "learning_rate": 0.1, "schedule": "plateau", "augment": "flip,crop",
}  # fmt: skip


class Crashed(Exception):
    pass


class Listener(Silence):
    """Collects warnings and titles. With `crash`, ends the run in the first step of that epoch."""

    def __init__(self, crash: int | None = None) -> None:
        self.crash = crash
        self.warnings: list[str] = []
        self.titles: list[str] = []

    def stage(self, title: str, total: int | None = None, unit: str = "") -> Any:
        self.titles.append(title)
        return super().stage(title, total, unit)

    def advance(self, steps: int = 1, note: str = "") -> None:
        if self.crash is not None and note.startswith(f"epoch {self.crash}/"):
            raise Crashed

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(scope="module")
def networks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(NETWORKS)
        yield


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, networks: None) -> Path:
    """The folder of a run that ended in its second epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(Crashed):
        train_and_report(**OPTIONS, out=folder, progress=Listener(crash=2))
    return folder


@pytest.fixture
def folder(stopped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def test_a_resumed_run_is_the_uninterrupted_one(folder: Path, tmp_path: Path) -> None:
    """The optimizer, the plateau, the dropout, the batch normalization and the augmentation have a state."""
    train_and_report(**OPTIONS, out=tmp_path / "whole")
    listener = Listener()
    train_and_report(model=OPTIONS["model"], out=folder, resume=True, progress=listener)
    assert differences(tmp_path / "whole", folder) == []
    assert listener.titles[:3] == [
        "Reading the digits",
        "Resuming after epoch 1 of 3",
        "Training",
    ]
    with pytest.raises(RunFolderError, match="The run is complete: there is nothing to resume"):
        train_and_report(out=folder, resume=True)


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="must contain an unfinished run"):
        train_and_report(out=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": 5}, "can't change `seed`.*Received: 5; the unfinished run: 0"),
        ({"augment": "none"}, "can't change `augment`.*Received: none; the unfinished run: flip,crop"),
        ({"learning_rate": (0.01, 0.1)}, "Received: 0.01:0.1; the unfinished run: 0.1"),
    ],
)
def test_settings_of_training_can_not_change(folder: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        checkpoint.resumed(
            checkpoint.Settings.of(
                **{**_plain_defaults(), "model": OPTIONS["model"], "schedule": "one-cycle", **given, "out": folder}
            ),
            given,
        )


def _plain_defaults() -> dict[str, Any]:
    of = ("data", "data_dir", "image_size", "baseline", "metadata", "groups", "fail_under", "fail_if_worse", "fail_on")
    return {
        **dict.fromkeys((*of, "checks", "accept", "templates")), "augment": "flip", "learning_rate": "auto",
    }  # fmt: skip


def test_the_command_line_knows_which_options_are_given(folder: Path) -> None:
    """`--seed 0` is given and the default of the command, `--schedule` is left out. The engine does not start."""
    command = ["train-and-report", "--out", str(folder), "--resume", "--model", OPTIONS["model"]]
    done = CliRunner().invoke(main, [*command, "--epochs", "4", "--fail-under", "0.5"])
    assert (done.exit_code, "can't change `epochs`" in done.stderr) == (2, True)
    done = CliRunner().invoke(main, [*command[:-2]])
    assert (done.exit_code, "`--model small_net:build`" in done.stderr) == (2, True)


def test_settings_come_from_the_checkpoint_unless_they_are_free(folder: Path) -> None:
    settings = checkpoint.Settings(out=folder, resume=True, assets="folder", model=OPTIONS["model"])
    found = checkpoint.resumed(settings, {"assets", "model", "quiet"})
    kept = checkpoint.settings_of(checkpoint.load(folder).origin.settings, folder)
    assert found == dataclasses.replace(kept, resume=True, assets="folder")
    assert (kept.epochs, kept.schedule, kept.augment, str(kept.learning_rate)) == (
        3,
        "plateau",
        ("flip", "crop"),
        "0.1",
    )


def test_every_setting_survives_the_checkpoint(tmp_path: Path) -> None:
    settings = checkpoint.Settings.of(
        data="digits",
        data_dir="folder",
        image_size=(48, 32),
        out=tmp_path,
        augment=["erase"],
        learning_rate=(0.1, 1 / 3),
        baseline="base",
        metadata={"index": [0, 1], "site": ["a", None]},
        groups="site",
        fail_under={"recall.cat": 0.1},
        fail_if_worse=None,
        fail_on="error",
        checks={"overfitting": {"severity": "note", "threshold": 0.3}, "weak-class": False},
        accept={"regression": "a reason"},
        templates="templates",
        seed=np.int64(3),
    )
    assert checkpoint.settings_of(checkpoint.plain(settings), tmp_path) == settings


def test_other_data_is_refused(folder: Path, tmp_path: Path, networks: None) -> None:
    data = tmp_path / "data.npz"
    noise = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype="uint8")
    np.savez(data, x_train=noise, y_train=np.arange(60) % 10, x_test=noise[:40], y_test=np.arange(40) % 10)
    with pytest.raises(RunFolderError, match=r"same images.*data.npz.*the unfinished run, which read digits"):
        train_and_report(data=data, model=OPTIONS["model"], out=folder, resume=True)


def test_another_network_is_refused(folder: Path, networks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import keras
    import small_net

    def build(image_shape: Any, classes: int) -> keras.Model:
        model = original(image_shape, classes)
        model.layers[-1].activation = keras.activations.sigmoid
        return model

    original = small_net.build
    monkeypatch.setattr(small_net, "build", build)
    with pytest.raises(RunFolderError, match=r"only with the same network.*small_net:build"):
        train_and_report(model=OPTIONS["model"], out=folder, resume=True)


def test_another_engine_or_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "versions", lambda engine: {"lrdiag": "2", "keras": "3", "numpy": "2.1"})
    listener = Listener()
    with pytest.raises(RunFolderError, match=r"Received: lrdiag 2 \(the unfinished run: 1\)"):
        Environment("jax", {"lrdiag": "1", "keras": "3"}).refuse_other_versions()
    same = Environment("jax", {"lrdiag": "2", "keras": "3", "numpy": "2.0"})
    with pytest.raises(RunFolderError, match=r"KERAS_BACKEND=jax.*Received: PyTorch; the unfinished run: JAX"):
        same.refuse_other_engine("torch", listener)
    same.refuse_other_versions()
    same.refuse_other_engine("jax", listener)
    assert "numpy 2.1 (the unfinished run: 2.0)" in listener.warnings[0]


def test_a_new_run_says_what_it_replaces(folder: Path) -> None:
    listener = Listener()
    checkpoint.announce(folder, listener)
    assert "stopped after epoch 1 of 3" in listener.warnings[0]
    assert "--resume" in listener.warnings[0]


@pytest.mark.slow
def test_a_checkpoint_that_can_not_be_written_does_not_end_training(
    tmp_path: Path, networks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise RunFolderError("The disk is full.")

    monkeypatch.setattr(unfinished, "write", fails)
    listener = Listener(crash=1)
    with pytest.raises(Crashed):
        train_and_report(**OPTIONS, out=tmp_path, progress=listener)
    assert "This run could not be resumed after epoch 0. The disk is full." in listener.warnings
