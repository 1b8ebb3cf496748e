"""What a run is asked to do: one validated record, the same for the command line and for Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lrdiag.diagnosis.gates import Gate
from lrdiag.errors import SettingsError, require_choice, require_count
from lrdiag.vocabulary import (
    ASSETS,
    AUGMENTATIONS,
    OPTIMIZERS,
    PREPROCESSINGS,
    SCHEDULES,
    SINGLE_RATE_SCHEDULES,
    AssetsName,
    AugmentationName,
    OptimizerName,
    Preprocessing,
    ScheduleName,
)


@dataclass(frozen=True)
class LearningRate:
    """Which learning rate to train with.

    Example:
        >>> LearningRate(rate=0.4, base_lr=0.01), LearningRate()  # the second: a range test chooses
        (LearningRate(rate=0.4, base_lr=0.01), LearningRate(rate=None, base_lr=None))

    Attributes:
        rate: The rate, or the upper boundary of a cycle; `None` lets the range test choose.
        base_lr: The lower boundary of a cycle; `None` takes a tenth of `rate`.
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
    def parse(cls, text: str) -> LearningRate:
        """Reads `auto`, a rate such as `0.1`, or boundaries such as `0.01:0.4`.

        Example:
            >>> LearningRate.parse("0.01:0.4")
            LearningRate(rate=0.4, base_lr=0.01)

        Raises:
            SettingsError: If `text` is none of these, or the rates are not finite, positive and ascending.
        """
        if text == "auto":
            return cls()
        try:
            rates = [float(part) for part in text.split(":")]
            if len(rates) <= 2:
                return cls(rates[-1], rates[0] if len(rates) == 2 else None)
        except ValueError:  # no number, or no rate
            pass
        raise SettingsError(
            "The learning rate must be `auto`, a positive number such as `0.1`, or two ascending ones such as "
            f"`0.01:0.4`. Received: {text!r}"
        )

    def __str__(self) -> str:
        if self.rate is None:
            return "auto"
        return f"{self.rate}" if self.base_lr is None else f"{self.base_lr}:{self.rate}"


@dataclass(frozen=True)
class Settings:
    """Everything that `lrdiag train-and-report` can be told.

    Example:
        >>> settings = Settings(data="digits", schedule="one-cycle", epochs=3)
        >>> settings.model, settings.optimizer
        ('fast', 'sgd')

    Attributes:
        data: `"cifar10"`, `"digits"`, the path of data of one's own, or `None`: CIFAR-10 where it can be had.
        data_dir: The folder that holds CIFAR-10, or `None`: Keras's cache.
        image_size: Height and width that images are scaled to, in pixels; `None` takes 32 × 32, or what the model or
            the file of arrays says.
        model: `"fast"`, `"article"`, a `.keras` file, or `module:function`.
        epochs: Passes over the training set; `None` takes as many as the size of the data asks for.
        batch_size: Images in one update; `None` takes what the size of the data asks for.
        seed: Seed of every random choice.
        limit_train: Use only so many training images, spread evenly over the classes.
        limit_test: The same for the test images.
        out: The run folder that is written.
        augment: Which random changes the training images undergo.
        optimizer: The optimizer.
        schedule: How the learning rate moves during training.
        learning_rate: The rate or boundaries, or automatic.
        mixed_precision: Compute in 16 bits where the layers allow it.
        baseline: An earlier run to compare with, its folder or its report.json, or `None`.
        gates: What the run must reach. They are checked against the classes before training; whoever started the run
            holds it against them with `lrdiag.diagnosis.gates.check`.
        assets: `"inline"`: the page is one file. `"folder"`: its pictures and its style lie in `assets/` beside it.
        templates: A folder whose templates take the place of those of the same name, or `None`.
    """

    data: str | None = None
    data_dir: Path | None = None
    image_size: tuple[int, int] | None = None
    model: str = "fast"
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    limit_train: int | None = None
    limit_test: int | None = None
    out: Path = Path("lrdiag-report")
    augment: tuple[AugmentationName, ...] = ("flip",)
    optimizer: OptimizerName = "sgd"
    schedule: ScheduleName = "cyclic"
    learning_rate: LearningRate = field(default_factory=LearningRate)
    mixed_precision: bool = False
    baseline: Path | None = None
    gates: tuple[Gate, ...] = ()
    assets: AssetsName = "inline"
    templates: Path | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "limit_train", "limit_test"):
            value = getattr(self, name)
            if value is not None:
                require_count(name, value)
        if self.image_size is not None and min(self.image_size) < 1:
            raise SettingsError(f"`image_size` must be 1 pixel or more. Received: {self.image_size}")
        if not 0 <= self.seed < 2**31:
            raise SettingsError(f"`seed` must be between 0 and 2147483647. Received: {self.seed}")
        for name, allowed in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("assets", ASSETS)):
            require_choice(name, getattr(self, name), allowed)
        unknown = [name for name in self.augment if name not in AUGMENTATIONS]
        if unknown:
            raise SettingsError(f"`augment` takes {', '.join(AUGMENTATIONS)} or none. Received: {unknown[0]!r}")
        if self.learning_rate.base_lr is not None and self.schedule in SINGLE_RATE_SCHEDULES:
            raise SettingsError(
                f"The schedule `{self.schedule}` takes one learning rate, not boundaries. Give one number, or choose "
                f"one of {', '.join(each for each in SCHEDULES if each not in SINGLE_RATE_SCHEDULES)}. "
                f"Received: {self.learning_rate}"
            )


@dataclass(frozen=True)
class Judging:
    """Everything that `lrdiag diagnose` can be told.

    Example:
        >>> Judging("flowers.keras", data="photographs/").preprocess
        'raw'

    Attributes:
        model: A `.keras` or `.h5` file, the folder of a SavedModel, or `module:function`.
        data: As `Settings.data`; a folder or file without a test set of its own is one as a whole.
        data_dir: The folder that holds CIFAR-10, or `None`: Keras's cache.
        image_size: Height and width that images are scaled to, in pixels; `None` takes what the model takes.
        preprocess: How pixels are scaled before they reach the model.
        output: Which output, where the model has several: its name or its place.
        trust: Run the code that the model file carries, such as Lambda layers.
        seed: Of the sample of mistakes whose heatmaps are tested.
        out: The run folder that is written.
        baseline: An earlier run to compare with, its folder or its report.json, or `None`.
        gates: What the run must reach, as `Settings.gates`.
        assets: As `Settings.assets`.
        templates: As `Settings.templates`.
    """

    model: str
    data: str | None = None
    data_dir: Path | None = None
    image_size: tuple[int, int] | None = None
    preprocess: Preprocessing = "raw"
    output: str | int | None = None
    trust: bool = False
    seed: int = 0
    out: Path = Path("lrdiag-report")
    baseline: Path | None = None
    gates: tuple[Gate, ...] = ()
    assets: AssetsName = "inline"
    templates: Path | None = None

    def __post_init__(self) -> None:
        require_choice("preprocess", self.preprocess, PREPROCESSINGS)
