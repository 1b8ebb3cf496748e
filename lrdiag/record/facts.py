"""What flows between the rooms: frozen records, numpy and plain Python only.

Two kinds live here. *Arrays* (`LabelledImages`, `Dataset`, `Predictions`, `Heatmaps`) pass between the steps of a
run. *Facts* (`Diagnosis` and what it holds) are plain numbers and strings: they are `report.json`, the input of the
page and of the Markdown summary, field for field.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lrdiag.record.arrays import SkippedFile
from lrdiag.record.pictures import Pictures

SCHEMA_VERSION: Literal[4] = 4


# --- arrays -----------------------------------------------------------------------------------------------------------


# --- facts: report.json ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DatasetFacts:
    """What the network was trained and judged on; counts are images, 0 for training images that are not known.

    Attributes:
        test_fingerprint: The SHA-256 of the test images and their labels, in order: two runs that share it can be
            compared image by image.
        skipped: Files that could not be read.
    """

    name: str
    source: str
    fallback: str | None
    classes: list[str]
    image_shape: list[int]
    train_size: int
    validation_size: int
    test_size: int
    train_counts: list[int]
    test_counts: list[int]
    test_fingerprint: str
    skipped: list[SkippedFile] = field(default_factory=list)


@dataclass(frozen=True)
class Rates:
    """The learning rates to train with.

    Attributes:
        base_lr: The lower boundary of a cycle.
        max_lr: The upper boundary of a cycle.
        static_lr: For policies of one rate.
    """

    base_lr: float
    max_lr: float
    static_lr: float


@dataclass(frozen=True)
class RangeTestFacts:
    """A learning-rate range test and what was read off it; lists hold one element for each update.

    Attributes:
        learning_rates: The rate of each update.
        losses: The loss of that update's batch alone, before the update; the mean over the repeats.
        smoothed_losses: Bias-corrected exponential moving average of `losses`.
        stop_reason: Why the sweep ended, in words.
        trend: `losses` smoothed without lag, from which the rates below are read; empty where none could be.
        suggestion: The middle of the steepest stretch of the descent: one static rate.
        base_lr: The lower boundary of a cycle: a tenth of `max_lr`, or where the descent starts if that is higher.
        max_lr: How high a cycle may go: twice the rate of the lowest loss, at most half of what diverges.
        accuracies: The accuracy on each batch; empty where none was measured.
        val_losses: The validation loss after each update; empty where none was measured.
        repeats: How many sweeps were made.
        suggestion_low: The lowest suggestion of the single sweeps; `None` where there was only one.
        suggestion_high: The highest.
    """

    learning_rates: list[float]
    losses: list[float]
    smoothed_losses: list[float]
    stop_reason: str
    trend: list[float] = field(default_factory=list)
    suggestion: float | None = None
    base_lr: float | None = None
    max_lr: float | None = None
    accuracies: list[float] = field(default_factory=list)
    val_losses: list[float] = field(default_factory=list)
    repeats: int = 1
    suggestion_low: float | None = None
    suggestion_high: float | None = None


@dataclass(frozen=True)
class Epoch:
    """One pass over the training set and over the validation set after it, if there is one. Losses are in nats.

    What was not measured is `None`.
    """

    loss: float | None
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    seconds: float | None


@dataclass(frozen=True)
class TrainingRun:
    """How training went.

    Attributes:
        epochs: Loss and accuracy of each completed epoch.
        learning_rate_per_step: The rate of each update, in order; empty where none was recorded.
        loss_per_step: The loss of each update's batch alone, or empty; `None` where it was not finite.
        steps_per_epoch: Updates in one epoch.
        epochs_planned: Epochs that were asked for.
        optimizer: The optimizer, in words.
        schedule: The learning-rate policy, in words; empty where it is not known.
        stop_reason: `None` where training ran to its end, else why it did not.
        seconds: Wall time, or `None` where it was not measured.
        momentum_per_step: The momentum of each update, in order; `None` where it stayed the same.
        interrupted: Whether a person stopped it.
    """

    epochs: list[Epoch]
    learning_rate_per_step: list[float]
    loss_per_step: list[float | None]
    steps_per_epoch: int
    epochs_planned: int
    optimizer: str
    schedule: str
    stop_reason: str | None
    seconds: float | None
    momentum_per_step: list[float] | None = None
    interrupted: bool = False


@dataclass(frozen=True)
class Score:
    """The headline, on the test set.

    Attributes:
        size: How many images there are.
        accuracy: The share that is recognised.
        accuracy_low: Lower end of its 95 % Wilson interval.
        accuracy_high: Upper end.
        loss: Mean cross-entropy in nats.
        balanced_accuracy: The mean recall of the classes that have test images: each class counts alike.
        top5_accuracy: The share of images whose class is among the five most probable; `None` with five classes or
            fewer.
        macro: Means over the classes that have test images, each counting alike.
        weighted: Means over the classes, each counting as often as it has test images.
    """

    size: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    loss: float | None
    balanced_accuracy: float
    top5_accuracy: float | None
    macro: Averages
    weighted: Averages


@dataclass(frozen=True)
class Averages:
    """Precision, recall and F1 over all classes; a class that was never predicted has precision 0 here."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class CalibrationBin:
    """The test images whose confidence, the probability of the predicted class, is `low` to below `high`.

    Attributes:
        low: Lower bound.
        high: Upper bound; the last bin includes it.
        count: How many images.
        right: How many of them are recognised.
        confidence: Their mean confidence, `None` where there is none.
        accuracy_low: Lower end of the 95 % Wilson interval of their accuracy; `None` for an empty bin.
        accuracy_high: Upper end.
    """

    low: float
    high: float
    count: int
    right: int
    confidence: float | None
    accuracy_low: float | None = None
    accuracy_high: float | None = None


@dataclass(frozen=True)
class Calibration:
    """Whether the network is as sure as it is right.

    Attributes:
        error: Expected calibration error: the mean distance of confidence from accuracy, weighted by the bins' images;
            `None` where no image has a confidence.
        bins: Fixed bins of equal width, so that runs can be compared.
    """

    error: float | None
    bins: list[CalibrationBin]


@dataclass(frozen=True)
class ClassFacts:
    """One class of the test set. Precision is `None` where the class was never predicted, recall where it is absent."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    recall_low: float | None = None
    recall_high: float | None = None
    precision_low: float | None = None
    precision_high: float | None = None


@dataclass(frozen=True)
class ConfusedPair:
    """How often images of class `true` were taken for class `predicted`; `share` is of all images of `true`."""

    true: int
    predicted: int
    count: int
    share: float


@dataclass(frozen=True)
class Mistake:
    """One misclassified test image.

    Attributes:
        index: Its place in the test set.
        true: The class that it shows, as an index into the classes.
        predicted: The class that the network named.
        confidence: The probability that the network gave to `predicted`.
        loss: Cross-entropy of the true class, in nats.
        top_classes: The five most probable classes, fewer where there are fewer; the first is `predicted`.
        top_probabilities: Their probabilities.
        file: The file that the image was read from, if any.
    """

    index: int
    true: int
    predicted: int
    confidence: float | None
    loss: float | None
    top_classes: list[int]
    top_probabilities: list[float | None]
    file: str | None = None


@dataclass(frozen=True)
class Misclassified:
    """Every misclassified test image, the highest loss first."""

    count: int
    items: list[Mistake]


@dataclass(frozen=True)
class HeatmapTrust:
    """How far the maps can be trusted, measured on a sample of the mistakes.

    Attributes:
        images: How many images the sample holds.
        empty_share: The share of maps with nothing above zero.
        deletion_auc: Mean area under the deletion curves of the maps; the lower, the better.
        random_deletion_auc: The same for random maps of the same granularity: what an uninformed map scores.
    """

    images: int
    empty_share: float
    deletion_auc: float
    random_deletion_auc: float


@dataclass(frozen=True)
class HeatmapFacts:
    """How the heatmaps were made; `count` is 0 and `unavailable` says why where there are none."""

    method: str
    layer: str | None
    count: int
    unavailable: str | None = None
    trust: HeatmapTrust | None = None


@dataclass(frozen=True)
class ClassChange:
    """The recall of one class, before and after; `None` where the class is absent."""

    index: int
    base: float | None
    head: float | None


@dataclass(frozen=True)
class SettingChange:
    """A setting, a version or the commit that is not what it was; `None` where it is not set."""

    name: str
    base: str | int | float | bool | None
    head: str | int | float | bool | None


@dataclass(frozen=True)
class Comparison:
    """This run beside an earlier one, image by image: both were judged on the same test set.

    Attributes:
        base_model: The network of the earlier run.
        base_commit: The commit of its folder, or `None`.
        base: Its headline.
        base_calibration_error: Its expected calibration error, or `None`.
        difference: Accuracy of this run minus that of the earlier one.
        difference_low: Lower end of its 95 % interval.
        difference_high: Upper end of its 95 % interval.
        p_value: McNemar's exact test: how probable so lopsided a change is where nothing has changed.
        broken: Images that only the earlier run recognised, as places in `Misclassified.items` of this run.
        fixed: Images that only this run recognises: the earlier run's mistakes, the highest loss first.
        classes: Recall of each class, before and after.
        changes: What was set otherwise in the earlier run.
    """

    base_model: str
    base_commit: str | None
    base: Score
    base_calibration_error: float | None
    difference: float
    difference_low: float
    difference_high: float
    p_value: float
    broken: list[int]
    fixed: list[Mistake]
    classes: list[ClassChange]
    changes: list[SettingChange]


@dataclass(frozen=True)
class Moment:
    """What the network said of one watched image at one time: its class, how sure it was, and of the true one.

    Both are `None` where the scores were not numbers.
    """

    predicted: int
    confidence: float | None
    true_probability: float | None


@dataclass(frozen=True)
class WatchedImage:
    """One test image that was followed through training; one moment for each of the evolution's epochs."""

    index: int
    true: int
    moments: list[Moment]


@dataclass(frozen=True)
class Evolution:
    """How the network came to see some of the test images as it does.

    Attributes:
        epochs: After which epochs the network was asked, ascending.
        accuracies: Its accuracy on the test set at each.
        images: The images that were followed: mistakes of the last time that had the highest loss, then those that
            were fixed since the first.
    """

    epochs: list[int]
    accuracies: list[float]
    images: list[WatchedImage]


@dataclass(frozen=True)
class Finding:
    """Something the reader should know before anything else.

    Attributes:
        code: Stable name of the rule, for scripts.
        severity: `"error"` (do not trust this run), `"warning"` (mend this next) or `"note"`.
        title: One sentence.
        evidence: The numbers behind it.
        advice: What to do.
    """

    code: str
    severity: Literal["error", "warning", "note"]
    title: str
    evidence: str
    advice: str


@dataclass(frozen=True)
class Seconds:
    """Wall time of each stage; `total` runs from the start of the process to the finished page."""

    range_test: float = 0.0
    training: float = 0.0
    predict_and_explain: float = 0.0
    report: float = 0.0
    total: float = 0.0


@dataclass(frozen=True)
class RunFacts:
    """What was run, on what.

    Attributes:
        model: The network, as it was asked for.
        parameters: How many numbers it has learned.
        device: What computed, in words.
        command: The command line that makes the run again; empty where it was not started by one.
        git_commit: The commit of the folder it was started in, or `None`.
        settings: Every setting, defaults filled in.
        versions: The version of each package that the result depends on.
        value_range: The least and the greatest number in what the network was given at the test.
    """

    model: str
    parameters: int
    device: str
    command: str
    git_commit: str | None
    settings: dict[str, str | int | float | bool | None]
    versions: dict[str, str]
    value_range: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Everything the page says: the content of report.json."""

    schema_version: Literal[4] = SCHEMA_VERSION
    dataset: DatasetFacts
    model: str
    parameters: int
    range_test: RangeTestFacts | None
    range_test_note: str | None
    training: TrainingRun | None
    test: Score
    calibration: Calibration
    per_class: list[ClassFacts]
    confusion: list[list[int]]
    confused_pairs: list[ConfusedPair]
    misclassified: Misclassified
    heatmaps: HeatmapFacts
    findings: list[Finding]
    device: str
    command: str
    git_commit: str | None
    settings: dict[str, str | int | float | bool | None]
    versions: dict[str, str]
    value_range: tuple[float, float]
    seconds: Seconds = field(default_factory=Seconds)
    comparison: Comparison | None = None
    evolution: Evolution | None = None


@dataclass(frozen=True)
class Run:
    """A finished run, as a run folder holds it: its facts and its picture sheets."""

    diagnosis: Diagnosis
    pictures: Pictures
