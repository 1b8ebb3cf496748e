"""The checkpoint of the main job: what a run needs to continue, and with which settings it may."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from lrdiag.diagnosis.check_settings import CheckSettings
from lrdiag.diagnosis.gates import Gate
from lrdiag.diagnosis.metadata import GivenGroups
from lrdiag.diagnosis.metadata_table import MetadataTable
from lrdiag.errors import RunFolderError, SettingsError
from lrdiag.formats import plural
from lrdiag.progress import Progress
from lrdiag.rate.range_test import RangeTest
from lrdiag.record import folder as run_folder
from lrdiag.record import unfinished
from lrdiag.record.facts import Rates, Seconds, Severity
from lrdiag.record.provenance import versions
from lrdiag.record.unfinished import TrainingRecord
from lrdiag.settings import Settings
from lrdiag.vocabulary import ENGINES

_OF_TRAINING = (
    "image_size",
    "resize",
    "image_column",
    "label_column",
    "model",
    "epochs",
    "progressive",
    "batch_size",
    "seed",
    "limit_train",
    "limit_test",
    "augment",
    "optimizer",
    "schedule",
    "learning_rate",
    "mixed_precision",
)
"""Settings that a resumed run can't change. The data may lie elsewhere: its images are compared."""
_OF_THE_COMMAND = ("out", "resume")
_FIXED_VERSIONS = ("lrdiag", "keras")
"""Packages whose versions must be the same. Others change the last digits at most."""


@dataclass(frozen=True)
class Environment:
    """What a run depends on beside its settings and its data.

    Attributes:
        engine: Name of the Keras backend.
        versions: Versions of the installed packages.
    """

    engine: str
    versions: dict[str, str]

    @classmethod
    def of(cls, engine: str) -> Environment:
        """Returns the environment of this process, in which Keras runs on `engine`."""
        return cls(engine, versions(engine))

    def refuse_other_versions(self) -> None:
        """Raises if lrdiag or Keras has another version now.

        Raises:
            RunFolderError: With both versions.
        """
        if differing := self._changed(_FIXED_VERSIONS):
            raise RunFolderError(
                "A run can be resumed only with the versions of lrdiag and Keras that it began with. Install these, or "
                f"train again without `--resume`. Received: {differing}"
            )

    def refuse_other_engine(self, now: str, progress: Progress) -> None:
        """Raises if Keras runs on another engine now. Warns if results may differ because versions have changed.

        Raises:
            RunFolderError: With both engines.
        """
        if now != self.engine:
            raise RunFolderError(
                f"A run can be resumed only on the engine that it began on. Set KERAS_BACKEND={self.engine}, or train "
                f"again without `--resume`. Received: {ENGINES.get(now, now)}; the unfinished run: "
                f"{ENGINES.get(self.engine, self.engine)}"
            )
        if differing := self._changed(sorted(self.versions)):
            progress.warn(
                "The results may differ from those of an uninterrupted run, because other versions are installed: "
                f"{differing}."
            )

    def _changed(self, packages: Iterable[str]) -> str:
        """Returns the packages that have another version now, in words."""
        now = versions(self.engine)
        return ", ".join(
            f"{each} {now.get(each, 'not installed')} (the unfinished run: {self.versions.get(each)})"
            for each in packages
            if now.get(each) != self.versions.get(each)
        )


@dataclass(frozen=True)
class Origin:
    """What a run began with. It is the same in each of its checkpoints.

    Attributes:
        environment: Engine and versions.
        settings: The settings, as `plain` returns them.
        command: The command line that began the run.
        epochs: Number of epochs that are planned.
        data: Identifies all images and labels.
        network: Identifies the structure of the network; `None` if it can't be told.
        range_test: The range test, or `None`.
        range_test_note: Why there is none, or why it gave no rate.
        rates: The rates to train with.
        resumes: How many times the run was resumed.
    """

    environment: Environment
    settings: dict[str, Any]
    command: str
    epochs: int
    data: str
    network: str | None
    range_test: RangeTest | None
    range_test_note: str | None
    rates: Rates
    resumes: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run after an epoch, without the variables of its model.

    Attributes:
        origin: What it began with.
        training: Where training is.
        seconds: The time of the stages so far.
    """

    origin: Origin
    training: TrainingRecord
    seconds: Seconds

    @property
    def completed(self) -> int:
        """Number of completed epochs."""
        return len(self.training.run.epochs)

    @property
    def next_epoch(self) -> int:
        """The epoch to continue with, counted from 0. `origin.epochs` if no other epoch follows."""
        return self.origin.epochs if self.training.is_stopped else self.completed

    def __str__(self) -> str:
        return f"epoch {self.completed} of {self.origin.epochs}"


@dataclass(frozen=True)
class _Begun:
    """The part of a checkpoint that every version of lrdiag can read."""

    environment: Environment


@dataclass(frozen=True)
class _Beginning:
    origin: _Begun


@dataclass(frozen=True)
class _Checks:
    off: list[str]
    severities: dict[str, Severity]
    thresholds: dict[str, float]
    accepted: dict[str, str]


def load(folder: Path) -> Checkpoint:
    """Reads the checkpoint of a run folder, without the variables of the model.

    Raises:
        RunFolderError: If there is none, or one that this version cannot read.
    """
    file = folder / unfinished.CHECKPOINT
    if not file.is_file():
        if (folder / run_folder.REPORT).is_file():
            raise RunFolderError(
                "The run is complete: there is nothing to resume. To train again, leave `--resume` out. "
                f"Received: {folder}"
            )
        raise RunFolderError(
            "The run folder must contain an unfinished run to resume. To begin one, leave `--resume` out, or check "
            f"`--out`. Received: {folder}, without {unfinished.CHECKPOINT}"
        )
    unfinished.read(file, _Beginning).origin.environment.refuse_other_versions()
    return unfinished.read(file, Checkpoint)


def announce(folder: Path, progress: Progress) -> None:
    """Says that a new run replaces an unfinished one, if there is one."""
    try:
        found = load(folder)
    except RunFolderError:  # there is none, or none that could be resumed
        return
    progress.warn(
        f"{folder} contains an unfinished run, which stopped after {found}. This run begins anew and replaces it. With "
        "--resume, it would have continued."
    )


# --- settings ---------------------------------------------------------------------------------------------------------


def plain(settings: Settings) -> dict[str, Any]:
    """Returns settings as plain values, without those that are only about the command."""
    values = {each.name: getattr(settings, each.name) for each in dataclasses.fields(settings)}
    return {
        name: msgspec.to_builtins(value, enc_hook=_plain)
        for name, value in values.items()
        if name not in _OF_THE_COMMAND
    }


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value.item()


def resumed(settings: Settings, given: Collection[str]) -> Settings:
    """Returns the settings of the unfinished run, with those that were given and do not change training.

    Example:
        ```python
        settings = resumed(Settings(out=Path("run"), resume=True), given={"out"})
        ```

    Args:
        settings: The settings of the command, with the folder of the unfinished run.
        given: Names of the settings that were given. The others are defaults.

    Raises:
        SettingsError: If one that was given changes training, or one that runs code was not given.
        RunFolderError: If there is no unfinished run, or one that cannot be read.
    """
    kept = settings_of(load(settings.out).origin.settings, settings.out)
    refuse_other_training(settings, kept, given)
    _require_code_named(kept, given)
    free = {each.name for each in dataclasses.fields(Settings)}.difference(_OF_TRAINING)
    return dataclasses.replace(
        kept, **{name: getattr(settings, name) for name in free.intersection({*given, *_OF_THE_COMMAND})}
    )


def refuse_other_training(settings: Settings, kept: Settings, names: Collection[str] = _OF_TRAINING) -> None:
    """Raises if one of the settings changes the training of the unfinished run.

    Raises:
        SettingsError: With both values.
    """
    for name in _OF_TRAINING:
        now, before = getattr(settings, name), getattr(kept, name)
        if name in names and now != before:
            raise SettingsError(
                f"A resumed run can't change `{name}`, because it changes the training. Leave it out, or train again "
                f"without `--resume`. Received: {_shown(now)}; the unfinished run: {_shown(before)}"
            )


def _shown(value: object) -> str:
    return ",".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def _require_code_named(kept: Settings, given: Collection[str]) -> None:
    """Raises if the unfinished run used code that the command does not name: a run folder may come from elsewhere."""
    named_by = {"model": ":" in kept.model, "templates": kept.templates is not None}
    for name, runs_code in named_by.items():
        if runs_code and name not in given:
            raise SettingsError(
                f"The unfinished run used code, which lrdiag runs only if the command names it. Give the option again: "
                f"`--{name} {getattr(kept, name)}`. Received: no `{name}`"
            )


def settings_of(values: dict[str, Any], folder: Path) -> Settings:
    """Returns settings from what `plain` returned.

    Args:
        values: Plain values of the settings.
        folder: The run folder.

    Raises:
        RunFolderError: If they are invalid.
    """
    hints = get_type_hints(Settings, localns={"MetadataTable": MetadataTable, "GivenGroups": GivenGroups})
    try:
        known = {name: _restored(name, value, hints[name]) for name, value in values.items()}
        return Settings(**known, out=folder)
    except (LookupError, TypeError, ValueError) as error:
        raise RunFolderError(
            "The settings of the unfinished run must be valid. Train again, without `--resume`. "
            f"Received: {folder} ({error})"
        ) from error


def _restored(name: str, value: Any, kind: Any) -> Any:
    match name:
        case "data_dir" | "baseline" | "templates":
            return None if value is None else Path(msgspec.convert(value, str))
        case "metadata":
            return Path(value) if isinstance(value, str) else msgspec.convert(value, MetadataTable | None)
        case "gates":
            return msgspec.convert(value, tuple[Gate, ...])
        case "check_settings":
            found = msgspec.convert(value, _Checks)
            return CheckSettings(frozenset(found.off), found.severities, found.thresholds, found.accepted)
        case _:
            return msgspec.convert(value, kind)


def describe(checkpoint: Checkpoint) -> str:
    """Returns where a resumed run continues, in words."""
    earlier = checkpoint.origin.resumes
    return f"Resuming after {checkpoint}" + (f", resumed {plural(earlier, 'time')} before" if earlier else "")
