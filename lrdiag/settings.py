"""The settings of a run, as validated records. The command line and Python both use them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from numbers import Real
from operator import index
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

from lrdiag.diagnosis.check_settings import AS_IN_THE_TABLE, CheckSettings
from lrdiag.diagnosis.gates import Gate, read_gates
from lrdiag.errors import SettingsError, did_you_mean, require_choice, require_count
from lrdiag.vocabulary import (
    ASSETS,
    AUGMENTATIONS,
    BOUNDED_SCHEDULES,
    DATA_NAMES,
    NETWORKS,
    OPTIMIZERS,
    PREPROCESSINGS,
    RESIZES,
    SCHEDULES,
    AssetsName,
    AugmentationName,
    FailOn,
    GateRule,
    OptimizerName,
    Preprocessing,
    ResizeName,
    ScheduleName,
    canonical,
)

if TYPE_CHECKING:
    from lrdiag.diagnosis.metadata import GivenGroups
    from lrdiag.diagnosis.metadata_table import MetadataTable

MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class LearningRate:
    """The learning rate of a training run: a number, two boundaries, or `auto`, which runs a range test.

    Example:
        >>> LearningRate(rate=0.4, base_lr=0.01), LearningRate()  # the second: a range test chooses
        (LearningRate(rate=0.4, base_lr=0.01), LearningRate(rate=None, base_lr=None))

    Attributes:
        rate: The learning rate, or the upper boundary of a cycle. `None` lets a range test choose.
        base_lr: The lower boundary of a cycle. `None` uses a tenth of `rate`.

    Raises:
        SettingsError: If a rate isn't positive and finite, or `base_lr` isn't less than `rate`.
    """

    rate: float | None = None
    base_lr: float | None = None

    def __post_init__(self) -> None:
        rates = [rate for rate in (self.base_lr, self.rate) if rate is not None]
        positive = all(0 < rate < float("inf") for rate in rates)
        if not positive or rates != sorted(set(rates)) or (self.rate is None and rates):
            raise SettingsError(
                "Learning rates must be positive and finite, and `base_lr` less than `rate`. "
                f"Received: rate={self.rate}, base_lr={self.base_lr}"
            )

    @classmethod
    def of(cls, value: LearningRate | float | str | tuple[float, float]) -> LearningRate:
        """Converts a plain value.

        Example:
            >>> LearningRate.of(0.1), LearningRate.of((0.01, 0.4)), LearningRate.of("auto") == LearningRate()
            (LearningRate(rate=0.1, base_lr=None), LearningRate(rate=0.4, base_lr=0.01), True)

        Args:
            value: A number, a pair `(base_lr, max_lr)`, or text that `parse` reads.

        Raises:
            SettingsError: If `value` is none of these.
        """
        match value:
            case LearningRate():
                return value
            case str():
                return cls.parse(value)
            case Real() if not isinstance(value, bool):
                return cls(float(value))
            case (Real() as base_lr, Real() as max_lr):
                return cls(float(max_lr), float(base_lr))
        raise _not_a_learning_rate(value)

    @classmethod
    def parse(cls, text: str) -> LearningRate:
        """Parses `auto`, a rate such as `0.1`, or boundaries such as `0.01:0.4`.

        Example:
            >>> LearningRate.parse("0.01:0.4")
            LearningRate(rate=0.4, base_lr=0.01)

        Raises:
            SettingsError: If `text` is none of these, or the rates aren't finite, positive and ascending.
        """
        if canonical(text, ["auto"]) == "auto":
            return cls()
        try:
            rates = [float(part) for part in text.split(":")]
            if len(rates) <= 2:
                return cls(rates[-1], rates[0] if len(rates) == 2 else None)
        except ValueError:  # not a number, or not a valid rate
            pass
        raise _not_a_learning_rate(text)

    def __str__(self) -> str:
        if self.rate is None:
            return "auto"
        return f"{self.rate}" if self.base_lr is None else f"{self.base_lr}:{self.rate}"


def _not_a_learning_rate(value: object) -> SettingsError:
    return SettingsError(
        "The learning rate must be `auto`, a positive number such as `0.1`, or two ascending ones such as "
        f"`0.01:0.4`. Received: {value!r}"
    )


def read_augmentations(value: str | Iterable[str] | None) -> tuple[Any, ...]:
    """Converts a plain value to names of augmentations.

    Example:
        >>> read_augmentations("flip, crop"), read_augmentations(["erase"]), read_augmentations("none")
        (('flip', 'crop'), ('erase',), ())

    Args:
        value: Names, separated by commas or in a list. `"none"`, `""` and `None` mean no augmentation.

    Raises:
        SettingsError: If a name is unknown.
    """
    if isinstance(value, str):
        value = () if canonical(value, ["none"]) in ("none", "") else value.split(",")
    return _require_augmentations(tuple(canonical(name, AUGMENTATIONS) for name in value or ()))


def _require_augmentations(names: tuple[Any, ...]) -> tuple[Any, ...]:
    for name in names:
        if name not in AUGMENTATIONS:
            raise SettingsError(
                f"`augment` takes {', '.join(AUGMENTATIONS)} or none. Received: {name!r}"
                f"{did_you_mean(str(name), AUGMENTATIONS)}"
            )
    return names


def read_data(value: str, folder: str = "") -> str:
    """Returns the name of the built-in data that `value` spells, or `value` itself if it is a path.

    Example:
        >>> read_data("CIFAR-10"), read_data("flowers/")
        ('cifar10', 'flowers/')

    Args:
        value: A name or a path.
        folder: The folder from which a relative path starts.
    """
    return value if os.path.exists(os.path.join(folder, value)) else canonical(value, DATA_NAMES)


def read_image_size(value: str | int | tuple[int, int] | None) -> tuple[int, int] | None:
    """Converts a plain value to height and width.

    Example:
        >>> read_image_size(64), read_image_size("48x64"), read_image_size((48, 64))
        ((64, 64), (48, 64), (48, 64))

    Args:
        value: One number of pixels for a square, or height and width. `None` is returned as it is.

    Raises:
        SettingsError: If `value` is none of these.
    """
    if value is None:
        return None
    sides = (
        value.lower().split("x") if isinstance(value, str) else value if isinstance(value, tuple | list) else [value]
    )
    if len(sides) in (1, 2) and all(str(side).isdecimal() and int(side) for side in sides):
        return int(sides[0]), int(sides[-1])
    raise SettingsError(
        f"The image size must be one number of pixels, or height and width: 64, or 48x64. Received: {value!r}"
    )


def require_baseline(gates: Iterable[Gate], *, given: bool) -> None:
    """Raises if a gate compares with a baseline and no baseline is given.

    Raises:
        SettingsError: With the name of the gate.
    """
    for gate in gates:
        if gate.rule == "fail-if-worse" and not given:
            raise SettingsError(
                "`fail-if-worse` needs an earlier run: name it with --baseline, in Python `baseline=`. "
                f"Received: {gate.name}={gate.limit:g} without a baseline"
            )


@dataclass(frozen=True)
class Settings:
    """All settings of `lrdiag train-and-report`, validated.

    In Python, pass the same names as keyword arguments to `lrdiag.train_and_report`, which also takes plain values.

    Example:
        >>> settings = Settings(data="digits", schedule="one-cycle", epochs=3)
        >>> settings.model, settings.optimizer
        ('fast', 'sgd')

    Attributes:
        data: `"cifar10"`, `"digits"`, or the path of your own data. `None` uses CIFAR-10 if it is available, and the
            digits if it isn't.
        data_dir: The folder that contains CIFAR-10. `None` uses Keras's cache, or downloads CIFAR-10 to it.
        image_size: Height and width that images are scaled to, in pixels. `None` uses the size in the file of arrays,
            or 32 × 32 for image files.
        resize: How images of other proportions are brought to this size: `"stretch"`, `"crop"` or `"pad"`.
        image_column: The column of the images in Parquet files, or their suffix in tar files. `None` detects it.
        label_column: The column of the labels in Parquet files, or their field in the JSON of tar files. `None` detects
            it.
        model: `"fast"`, `"article"`, a `.keras` file, or `module:function`.
        epochs: Number of passes over the training set. `None` chooses it by the size of the training set.
        progressive: Whether training begins on smaller images. `None` decides by the network: `fast` does.
        batch_size: Number of images in an update. `None` chooses it by the size of the training set.
        seed: Random seed of the whole run, 0 to 2147483647.
        limit_train: Use only this many training images, spread evenly over the classes.
        limit_test: Use only this many test images, spread evenly over the classes.
        out: The run folder to write.
        augment: Random augmentation of the training images: `"flip"`, `"crop"` and `"erase"`.
        optimizer: Name of the optimizer.
        schedule: Name of the learning-rate schedule.
        learning_rate: The learning rate or its boundaries. By default a range test chooses.
        mixed_precision: Whether to compute in 16 bits where the layers allow it.
        baseline: An earlier run to compare with: its run folder or its report.json.
        metadata: A table of what else is known of each image, or its file. `lrdiag.diagnose` describes it.
        groups: The name of a column of the metadata, or the groups of the images. See `lrdiag.diagnose`.
        gates: Limits that the run must meet. Their classes are checked before training. The page shows the outcome.
        check_settings: Settings of the checks, and the findings that are accepted.
        assets: `"inline"` writes one file. `"folder"` writes pictures and style to `assets/` beside the page.
        templates: A folder of templates that replace the built-in ones of the same name.
        images: Whether images are written. If not, the heatmaps are, on a plain ground.
        file_names: Whether names and paths of image files are written. Names of classes are in any case.
        resume: Whether to continue the unfinished run of `out`. `lrdiag.checkpoint.resumed` returns its settings.

    Raises:
        SettingsError: If a value is outside its range.
    """

    data: str | None = None
    data_dir: Path | None = None
    image_size: tuple[int, int] | None = None
    resize: ResizeName = "stretch"
    image_column: str | None = None
    label_column: str | None = None
    model: str = "fast"
    epochs: int | None = None
    progressive: bool | None = None
    batch_size: int | None = None
    seed: int = 0
    limit_train: int | None = None
    limit_test: int | None = None
    out: Path = Path("lrdiag-report")
    augment: tuple[AugmentationName, ...] = ("flip",)
    optimizer: OptimizerName = "sgd"
    schedule: ScheduleName = "one-cycle"
    learning_rate: LearningRate = LearningRate()
    mixed_precision: bool = False
    baseline: Path | None = None
    metadata: Path | MetadataTable | None = None
    groups: str | GivenGroups | None = None
    gates: tuple[Gate, ...] = ()
    check_settings: CheckSettings = AS_IN_THE_TABLE
    assets: AssetsName = "inline"
    templates: Path | None = None
    images: bool = True
    file_names: bool = True
    resume: bool = False

    def __repr__(self) -> str:
        given = (
            (each.name, getattr(self, each.name)) for each in fields(self) if getattr(self, each.name) != each.default
        )
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in given)})"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "limit_train", "limit_test"):
            value = getattr(self, name)
            if value is not None:
                require_count(name, value)
        _require_image_size(self.image_size)
        _require_seed(self.seed)
        _read_choices(self, resize=RESIZES, optimizer=OPTIMIZERS, schedule=SCHEDULES, assets=ASSETS)
        object.__setattr__(self, "model", canonical(self.model, NETWORKS))
        _read_data_of(self)
        _require_augmentations(tuple(self.augment))
        if self.learning_rate.base_lr is not None and self.schedule not in BOUNDED_SCHEDULES:
            raise SettingsError(
                f"The schedule `{self.schedule}` takes one learning rate, not boundaries. Give one number, or choose "
                f"one of {', '.join(BOUNDED_SCHEDULES)}. Received: {self.learning_rate}"
            )

    @classmethod
    def of(
        cls,
        *,
        data: str | PathLike[str] | None,
        data_dir: str | PathLike[str] | None,
        image_size: str | int | tuple[int, int] | None,
        out: str | PathLike[str],
        augment: str | Iterable[str] | None,
        learning_rate: LearningRate | float | str | tuple[float, float],
        baseline: str | PathLike[str] | None,
        metadata: Any,
        groups: str | tuple[Any, Any] | None,
        fail_under: Mapping[str, float] | float | None,
        fail_if_worse: Mapping[str, float] | float | None,
        fail_on: FailOn | None,
        checks: Mapping[str, object] | None,
        accept: Mapping[str, str] | None,
        templates: str | PathLike[str] | None,
        **others: Any,
    ) -> Settings:
        """Converts plain values, as `lrdiag.train_and_report` takes them.

        Raises:
            SettingsError: If a value can't be converted or is outside its range.
        """
        from lrdiag.diagnosis.metadata import read_given  # imports NumPy

        gates = _gates("fail-under", fail_under) + _gates("fail-if-worse", fail_if_worse) + _gates("fail-on", fail_on)
        require_baseline(gates, given=baseline is not None)
        table, given_groups = read_given(metadata, groups)
        return cls(
            data=None if data is None else str(data),
            data_dir=_path(data_dir),
            image_size=read_image_size(image_size),
            out=Path(out),
            augment=read_augmentations(augment),
            learning_rate=LearningRate.of(learning_rate),
            baseline=_path(baseline),
            metadata=table,
            groups=given_groups,
            gates=gates,
            check_settings=CheckSettings.of(checks, accept),
            templates=_path(templates),
            **others,
        )


def _read_choices(settings: Settings | DiagnoseSettings, **choices: tuple[str, ...]) -> None:
    """Replaces each setting by the choice that it spells, or raises."""
    for name, allowed in choices.items():
        value = canonical(getattr(settings, name), allowed)
        require_choice(name, value, allowed)
        object.__setattr__(settings, name, value)


def _read_data_of(settings: Settings | DiagnoseSettings) -> None:
    if settings.data is not None:
        object.__setattr__(settings, "data", read_data(settings.data))


def _require_image_size(size: tuple[int, int] | None) -> None:
    if size is not None and min(size) < 1:
        raise SettingsError(f"`image_size` must be 1 pixel or more. Received: {size}")


def _require_seed(seed: object) -> None:
    if isinstance(seed, bool) or not isinstance(seed, SupportsIndex) or not 0 <= index(seed) <= MAX_SEED:
        raise SettingsError(f"`seed` must be a whole number between 0 and {MAX_SEED}. Received: {seed!r}")


def _path(value: str | PathLike[str] | None) -> Path | None:
    return None if value is None else Path(value)


def _gates(rule: GateRule, limits: Mapping[str, float] | float | str | None) -> tuple[Gate, ...]:
    return () if limits is None else read_gates(rule, limits)


@dataclass(frozen=True)
class DiagnoseSettings:
    """All settings of `lrdiag diagnose`, validated.

    Example:
        >>> DiagnoseSettings("flowers.keras", data="flowers/").preprocess
        'raw'

    Attributes:
        model: A `.keras` or `.h5` file, the folder of a SavedModel or of a run, or `module:function`.
        data: As `Settings.data`, but `None` means the data of the run if the model is that of a run, and otherwise
            CIFAR-10. Data without a test set is evaluated as a whole.
        data_dir: As `Settings.data_dir`.
        image_size: Height and width that images are scaled to, in pixels. `None` uses what the model takes. If it
            takes any size, the images keep their own, which they must share.
        resize: As in `Settings`.
        image_column: As in `Settings`.
        label_column: As in `Settings`.
        preprocess: How pixels are scaled before they reach the model.
        output: Name or index of the output to evaluate, if the model has several.
        batch_size: Number of images that go through the model at once. `None` chooses it by what the model's layers
            return, so that the evaluation takes about as much memory as `model.predict`.
        trust: Whether to run code in the model file: Lambda layers, or a SavedModel.
        seed: Random seed of the heatmap check.
        out: The run folder to write.
        baseline: As `Settings.baseline`.
        metadata: As `Settings.metadata`.
        groups: As `Settings.groups`.
        gates: As `Settings.gates`.
        check_settings: As `Settings.check_settings`.
        assets: As `Settings.assets`.
        templates: As `Settings.templates`.
        images: As `Settings.images`.
        file_names: As `Settings.file_names`.

    Raises:
        SettingsError: If a value is outside its range.
    """

    model: str
    data: str | None = None
    data_dir: Path | None = None
    image_size: tuple[int, int] | None = None
    resize: ResizeName = "stretch"
    image_column: str | None = None
    label_column: str | None = None
    preprocess: Preprocessing = "raw"
    output: str | int | None = None
    batch_size: int | None = None
    trust: bool = False
    seed: int = 0
    out: Path = Path("lrdiag-diagnosis")
    baseline: Path | None = None
    metadata: Path | MetadataTable | None = None
    groups: str | GivenGroups | None = None
    gates: tuple[Gate, ...] = ()
    check_settings: CheckSettings = AS_IN_THE_TABLE
    assets: AssetsName = "inline"
    templates: Path | None = None
    images: bool = True
    file_names: bool = True

    def __post_init__(self) -> None:
        if self.batch_size is not None:
            require_count("batch_size", self.batch_size)
        _require_image_size(self.image_size)
        _require_seed(self.seed)
        _read_choices(self, resize=RESIZES, preprocess=PREPROCESSINGS, assets=ASSETS)
        _read_data_of(self)
