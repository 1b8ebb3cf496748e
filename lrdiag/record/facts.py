"""Facts of a run: frozen records of plain numbers and strings.

`Diagnosis` is the content of `report.json`, field for field. The page and the Markdown summary are made from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from lrdiag.intervals import Conclusion
from lrdiag.record.arrays import CROSS_ENTROPY, SkippedFile
from lrdiag.record.binary_facts import BinaryFacts
from lrdiag.record.data_facts import NOT_STUDIED, DataFacts, Exhibit
from lrdiag.record.pictures import Pictures
from lrdiag.record.ranges import (
    Code,
    Count,
    Difference,
    Duration,
    Index,
    Number,
    Positive,
    Probability,
    Rate,
    Shape,
    Share,
    Text,
)
from lrdiag.vocabulary import GateRule

if TYPE_CHECKING:
    from lrdiag.record.wrong_images import WrongImages

SCHEMA_VERSION: Literal[6] = 6

Severity = Literal["error", "warning", "note"]
"""`"error"`: do not trust this run. `"warning"`: fix this next. `"note"`: worth knowing."""
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""Most severe first."""
Status = Literal["found", "explained", "passed", "not checked"]
Known = Literal["before training", "during training", "after training"]
"""When a problem was first known."""
MadeBy = Literal["train_and_report", "diagnose", "callback"]
"""The part of lrdiag that made the report."""
LeftOut = Literal["images", "file names"]
"""What the user wanted to be left out of a report."""


@dataclass(frozen=True)
class DatasetFacts:
    """The data that the model was trained and evaluated on. Counts are images; 0 if the training images are not known.

    Attributes:
        test_fingerprint: SHA-256 of the test images and their labels, in order. Two runs with the same fingerprint can
            be compared image by image.
        skipped: Files that could not be read.
        sixteen_bit_max: The maximum of images with 16 bits for each value, as their upper 8 bits, 0–255; `None`
            without such images.
    """

    name: Text
    source: Text
    fallback: Text | None
    classes: list[Text]
    image_shape: Shape
    train_size: Count
    validation_size: Count
    test_size: Count
    train_counts: list[Count]
    test_counts: list[Count]
    test_fingerprint: Text
    skipped: list[SkippedFile] = field(default_factory=list)
    sixteen_bit_max: Count | None = None


@dataclass(frozen=True)
class Rates:
    """The learning rates to train with.

    Attributes:
        base_lr: Lower boundary of a cycle.
        max_lr: Upper boundary of a cycle.
        static_lr: Rate of policies that use a single rate.
    """

    base_lr: Rate
    max_lr: Rate
    static_lr: Rate


@dataclass(frozen=True)
class RangeTestFacts:
    """A learning-rate range test and the rates that were read from it. Lists have one element for each update.

    Attributes:
        learning_rates: Learning rate of each update.
        losses: Loss of the update's batch, before the update; the mean over the repeats.
        smoothed_losses: Bias-corrected exponential moving average of `losses`.
        stop_reason: Why the sweep ended, in words.
        trend: `losses` smoothed without lag, from which the rates below are read; empty if none could be read.
        suggestion: Middle of the steepest part of the descent: a single constant rate.
        base_lr: Lower boundary of a cycle: a tenth of `max_lr`, or the start of the descent if that is higher.
        max_lr: Upper boundary of a cycle: twice the rate of the lowest loss, at most half the rate where it diverges.
        accuracies: Accuracy on each batch; empty if it was not measured.
        val_losses: Validation loss after each update; empty if it was not measured.
        repeats: Number of sweeps.
        suggestion_low: Lowest suggestion of the single sweeps; `None` if there was only one sweep.
        suggestion_high: Highest suggestion of the single sweeps.
    """

    learning_rates: list[Rate]
    losses: list[Number]
    smoothed_losses: list[Number]
    stop_reason: Text
    trend: list[Number] = field(default_factory=list)
    suggestion: Rate | None = None
    base_lr: Rate | None = None
    max_lr: Rate | None = None
    accuracies: list[Share] = field(default_factory=list)
    val_losses: list[Number] = field(default_factory=list)
    repeats: Positive = 1
    suggestion_low: Rate | None = None
    suggestion_high: Rate | None = None


@dataclass(frozen=True)
class Epoch:
    """One epoch: a pass over the training set, then over the validation set if there is one. Losses are in nats.

    A figure that was not measured is `None`.
    """

    loss: Number | None
    accuracy: Number | None
    val_loss: Number | None
    val_accuracy: Number | None
    seconds: Duration | None


@dataclass(frozen=True)
class NotFinite:
    """Where a loss was NaN or infinite for the first time.

    Attributes:
        loss: Which loss: that of training or that of validation.
        value: What it was.
        epoch: The epoch, counted from 1.
        step: The step in this epoch, counted from 1; `None` if only the loss of the epoch is known.
    """

    loss: Literal["loss", "val_loss"]
    value: Literal["NaN", "infinite"]
    epoch: Positive
    step: Positive | None = None


@dataclass(frozen=True)
class TimeSpent:
    """Where the time of a training run went, in seconds. Writing reports during training is left out.

    Attributes:
        compiling: Steps in which the training step was compiled, with their computation.
        computing: All other steps, without waiting.
        waiting: Waiting for training data; `None` if it is not known and part of `computing`.
        validation: Validation after the epochs.
        callbacks: Callbacks, those of lrdiag included.
        idle: Everything else: the time between the last step of an epoch, its validation and the next epoch.
        compilations: How many times the training step was compiled; `None` if that is not counted.
    """

    compiling: Duration = 0.0
    computing: Duration = 0.0
    waiting: Duration | None = 0.0
    validation: Duration = 0.0
    callbacks: Duration = 0.0
    idle: Duration = 0.0
    compilations: Count | None = 0

    @property
    def steps(self) -> float:
        """Seconds of the training steps, with waiting for data."""
        return self.compiling + self.computing + (self.waiting or 0.0)

    @property
    def total(self) -> float:
        """Seconds in all."""
        return self.steps + self.validation + self.callbacks + self.idle

    def __add__(self, other: TimeSpent) -> TimeSpent:
        """Returns the sum. What is not known of one of the two is not known of the sum."""
        return TimeSpent(
            self.compiling + other.compiling,
            self.computing + other.computing,
            None if self.waiting is None or other.waiting is None else self.waiting + other.waiting,
            self.validation + other.validation,
            self.callbacks + other.callbacks,
            self.idle + other.idle,
            None if self.compilations is None or other.compilations is None else self.compilations + other.compilations,
        )


@dataclass(frozen=True)
class ImageStage:
    """A part of a training run whose images have one size.

    Attributes:
        height: Height of the images, in pixels.
        width: Width of the images, in pixels.
        steps: Number of updates.
    """

    height: Positive
    width: Positive
    steps: Count


@dataclass(frozen=True)
class TrainingRun:
    """The record of a training run.

    Attributes:
        epochs: Loss and accuracy of each completed epoch.
        learning_rate_per_step: Learning rate of each update, in order; empty if it was not recorded.
        loss_per_step: Loss of each update's batch; `None` for a loss that was not finite. Empty if it was not recorded,
            or if the figures of the epochs are those of one of several outputs, because a step has only their sum.
        steps_per_epoch: Updates in one epoch.
        epochs_planned: Number of epochs that were requested.
        optimizer: The optimizer, in words.
        schedule: The learning-rate policy, in words; empty if it is not known.
        stop_reason: Why training stopped early; `None` if it ran to its end.
        seconds: Wall time, or `None` if it was not measured.
        momentum_per_step: Momentum of each update, in order; `None` if it did not change.
        interrupted: Whether it was stopped with Ctrl-C.
        first_epoch: Number of the first epoch of the record, counted from 1; above 1 if the run was resumed.
        earlier_updates: Number of updates that the optimizer had made before the record began, or `None`.
        output: The output that loss and accuracy belong to; `None` if the model has only one.
        weights_epoch: Number of the epoch at whose end the model had the weights that were evaluated; `None` if that is
            not known, or if it was at the end of no epoch.
        weights: Which weights were evaluated, in words; empty if that is not known.
        ended_by: Name of the callback that ended training before the last epoch, or empty.
        not_finite: Where a loss was NaN or infinite for the first time, or `None`.
        time: Where the time went, or `None` if it was not recorded.
        stages: The sizes of the training images, in order, if lrdiag changed them in the course of training; empty
            otherwise.
    """

    epochs: list[Epoch]
    learning_rate_per_step: list[Number]
    loss_per_step: list[Number | None]
    steps_per_epoch: Positive
    epochs_planned: Count
    optimizer: Text
    schedule: Text
    stop_reason: Text | None
    seconds: Duration | None
    momentum_per_step: list[Number] | None = None
    interrupted: bool = False
    first_epoch: Positive = 1
    earlier_updates: Count | None = None
    output: Text | None = None
    weights_epoch: Count | None = None
    weights: Text = ""
    ended_by: Text = ""
    not_finite: NotFinite | None = None
    time: TimeSpent | None = None
    stages: list[ImageStage] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingSample:
    """Accuracy and loss on a random sample of the training images, in inference mode and without augmentation.

    Attributes:
        size: Number of images.
        accuracy: Share of the images that are classified correctly.
        accuracy_low: Lower end of its 95 % Wilson interval.
        accuracy_high: Upper end.
        loss: Mean loss, the same as on the test set, or `None` if it is unknown or not finite.
    """

    size: Count
    accuracy: Share
    accuracy_low: Share
    accuracy_high: Share
    loss: Number | None


@dataclass(frozen=True)
class Score:
    """The headline figures, on the test set.

    Attributes:
        size: Number of test images.
        accuracy: Share of the images that are classified correctly.
        accuracy_low: Lower end of its 95 % Wilson interval.
        accuracy_high: Upper end.
        loss: The mean of the loss that `loss_name` names, or `None` if it is unknown or not finite.
        balanced_accuracy: Mean recall of the classes that have test images; every class has the same weight.
        top5_accuracy: Share of images whose true class is among the five most probable; `None` with five classes or
            fewer.
        macro: Means over the classes that have test images; every class has the same weight.
        weighted: Means over the classes, weighted by their number of test images.
        loss_name: The loss in words, or `None` if it is unknown.
        has_confidence: Whether the model gives probabilities. If not, the confidence of every image is unknown.
        not_finite: Number of images whose scores are NaN or infinite.
    """

    size: Positive
    accuracy: Share
    accuracy_low: Share
    accuracy_high: Share
    loss: Number | None
    balanced_accuracy: Share
    top5_accuracy: Share | None
    macro: Averages
    weighted: Averages
    loss_name: Text | None = CROSS_ENTROPY
    has_confidence: bool = True
    not_finite: Count = 0


@dataclass(frozen=True)
class Averages:
    """Precision, recall and F1 over all classes. Here, a class that is never predicted has precision 0."""

    precision: Share
    recall: Share
    f1: Share


@dataclass(frozen=True)
class CalibrationBin:
    """The test images whose confidence, the probability of the predicted class, is `low` to below `high`.

    Attributes:
        low: Lower bound.
        high: Upper bound; the last bin includes it.
        count: Number of images.
        right: Number of them that are classified correctly.
        confidence: Their mean confidence; `None` for an empty bin.
        accuracy_low: Lower end of the 95 % Wilson interval of their accuracy; `None` for an empty bin.
        accuracy_high: Upper end.
    """

    low: Share
    high: Share
    count: Count
    right: Count
    confidence: Probability | None
    accuracy_low: Share | None = None
    accuracy_high: Share | None = None


@dataclass(frozen=True)
class Calibration:
    """Whether confidence agrees with accuracy.

    Attributes:
        error: Expected calibration error: the mean distance between confidence and accuracy, weighted by the number of
            images in each bin; `None` if no image has a confidence.
        bins: Fixed bins of equal width, so that runs can be compared.
    """

    error: Probability | None
    bins: list[CalibrationBin]


@dataclass(frozen=True)
class ClassFacts:
    """One class of the test set.

    Attributes:
        name: Name of the class.
        precision: Share of the images predicted as this class that belong to it; `None` if it is never predicted.
        recall: Share of its images that are classified correctly; `None` if it has no test image.
        f1: Harmonic mean of precision and recall, or `None`.
        support: Number of its test images.
        recall_low: Lower end of the 95 % Wilson interval of the recall, or `None`.
        recall_high: Upper end.
        precision_low: Lower end of the 95 % Wilson interval of the precision, or `None`.
        precision_high: Upper end.
    """

    name: Text
    precision: Share | None
    recall: Share | None
    f1: Share | None
    support: Count
    recall_low: Share | None = None
    recall_high: Share | None = None
    precision_low: Share | None = None
    precision_high: Share | None = None


@dataclass(frozen=True)
class ConfusedPair:
    """Number of images of class `true` that are predicted as class `predicted`; `share` is of all images of `true`."""

    true: Index
    predicted: Index
    count: Count
    share: Share


@dataclass(frozen=True)
class Mistake:
    """One misclassified test image.

    Attributes:
        index: Index in the test set.
        true: True class, as an index into the classes.
        predicted: Predicted class.
        confidence: Probability of the predicted class, or `None` if it is unknown.
        loss: Loss of the image, or `None` if it is unknown.
        top_classes: The five most probable classes, or all if there are fewer; the first is `predicted`.
        top_probabilities: Their probabilities; `None` if they are unknown.
        file: The file that the image was read from, if any.
    """

    index: Index
    true: Index
    predicted: Index
    confidence: Probability | None
    loss: Number | None
    top_classes: list[Index]
    top_probabilities: list[Probability | None]
    file: Text | None = None


@dataclass(frozen=True)
class Misclassified:
    """The misclassified test images.

    Attributes:
        count: Number of all.
        items: Those with the highest loss, highest first: all of them, or `MOST_MISTAKES`.
    """

    count: Count
    items: list[Mistake]


@dataclass(frozen=True)
class HeatmapTrust:
    """How far the heatmaps can be trusted, measured on a sample of the misclassified images.

    Attributes:
        images: Number of images in the sample.
        empty_share: Share of heatmaps without a value above zero.
        deletion_auc: Mean area under the deletion curves of the heatmaps; lower is better.
        random_deletion_auc: The same for random heatmaps of the same resolution.
        advantage_low: Lower end of a 95 % interval of `random_deletion_auc - deletion_auc`, from the differences of the
            single images; `None` if it is unknown.
        advantage_high: Its upper end.
        of: Number of images that would have been measured if that took no more time than allowed; `None` if all were.
    """

    images: Count
    empty_share: Share
    deletion_auc: Number
    random_deletion_auc: Number
    advantage_low: Number | None = None
    advantage_high: Number | None = None
    of: Count | None = None

    @property
    def verdict(self) -> Literal["better", "worse", "cannot be told"] | None:
        """Whether the heatmaps are better than random ones; `None` if an older version did not measure it."""
        if self.advantage_low is None or self.advantage_high is None:
            return "cannot be told" if self.images < 2 else None
        if self.advantage_low > 0:
            return "better"
        return "worse" if self.advantage_high < 0 else "cannot be told"


@dataclass(frozen=True)
class IndependentCheck:
    """How many heatmaps an independent implementation, tf-keras-vis, reproduces.

    Attributes:
        images: Number of misclassified images that were compared; 0 if the comparison was skipped.
        same: Number of images whose maps differ by 0.01 at most, after each is scaled to 0–1.
        largest_difference: The largest difference at any position of any map; `None` if none was compared.
        skipped: Why the maps were not compared, or `None`.
    """

    images: Count
    same: Count
    largest_difference: Number | None
    skipped: Text | None = None


@dataclass(frozen=True)
class HeatmapFacts:
    """How the heatmaps were made. If there are none, `count` is 0 and `unavailable` gives the reason.

    `grid` describes the heatmaps of a model that divides the image into tokens: `"token grid 8×8"`. If it was not
    measured how far they can be trusted, `not_measured` gives the reason.
    """

    method: Text
    layer: Text | None
    count: Count
    unavailable: Text | None = None
    trust: HeatmapTrust | None = None
    independent: IndependentCheck | None = None
    not_measured: Text | None = None
    grid: Text | None = None


@dataclass(frozen=True)
class ClassChange:
    """Recall of one class in the baseline and in this run; `None` if the class has no test image.

    Attributes:
        index: The class.
        base: Its recall in the baseline.
        head: Its recall in this run.
        broken: Number of its images that only the baseline classifies correctly; `None` in runs of older versions,
            whose comparison lists them all.
        fixed: Number of its images that only this run classifies correctly.
    """

    index: Index
    base: Share | None
    head: Share | None
    broken: Count | None = None
    fixed: Count | None = None


@dataclass(frozen=True)
class PairChange:
    """Images of class `true` that are predicted as class `predicted`, in the baseline and in this run.

    Attributes:
        true: True class.
        predicted: Predicted class.
        base: Number of images in the baseline.
        head: Number of images in this run.
        gained: Number of images that are confused so only in this run.
        lost: Number of images that are confused so only in the baseline.
    """

    true: Index
    predicted: Index
    base: Count
    head: Count
    gained: Count
    lost: Count


@dataclass(frozen=True)
class SliceChange:
    """A slice of the baseline, evaluated in both runs.

    Attributes:
        name: Its name in the baseline.
        size: Number of images.
        base: Number of misclassified images in the baseline.
        head: Number of misclassified images in this run.
        broken: Number of images that only the baseline classifies correctly.
        fixed: Number of images that only this run classifies correctly.
        images: Indices of the broken images, at most 100, highest loss first.
    """

    name: Text
    size: Positive
    base: Count
    head: Count
    broken: Count
    fixed: Count
    images: list[Index] = field(default_factory=list)


@dataclass(frozen=True)
class SettingChange:
    """A setting, a version or the commit that differs from the baseline; `None` if it is not set."""

    name: Text
    base: str | int | float | bool | None
    head: str | int | float | bool | None


@dataclass(frozen=True)
class Comparison:
    """Comparison of this run with an earlier one, image by image, on the same test set.

    Attributes:
        base_model: Model of the earlier run.
        base_commit: Commit of its folder, or `None`.
        base: Its headline figures.
        base_calibration_error: Its expected calibration error, or `None`.
        difference: Accuracy of this run minus accuracy of the earlier one.
        difference_low: Lower end of its 95 % interval.
        difference_high: Upper end of its 95 % interval.
        p_value: P-value of McNemar's mid-p test, two-sided.
        conclusion: Whether this run is better or worse. The test decides: a difference is detectable if `p_value` is
            below 0.05.
        broken: Images that only the earlier run classifies correctly, as indices into `Misclassified.items` of this
            run: those that this list contains.
        fixed: Images that only this run classifies correctly: mistakes of the earlier run, highest loss first, as far
            as its own list contains them.
        classes: Recall of each class, before and after.
        changes: Settings, versions and commit that differ.
        pairs: Confused pairs that have more images than in the baseline, most added images first; 100 at most.
        pairs_compared: Number of pairs that are confused in one of the two runs.
        slices: The slices of the baseline.
        new_findings: Codes of errors and warnings of this run whose rule passed in the baseline.
        gone_findings: Codes of errors and warnings of the baseline whose rule passes in this run.
        broken_count: Number of all broken images; `None` in runs of older versions, where `broken` has them all.
        fixed_count: Number of all fixed images, or `None` likewise.
    """

    base_model: Text
    base_commit: Text | None
    base: Score
    base_calibration_error: Probability | None
    difference: Difference
    difference_low: Difference
    difference_high: Difference
    p_value: Share
    conclusion: Conclusion
    broken: list[Index]
    fixed: list[Mistake]
    classes: list[ClassChange]
    changes: list[SettingChange]
    pairs: list[PairChange] = field(default_factory=list)
    pairs_compared: Count = 0
    slices: list[SliceChange] = field(default_factory=list)
    new_findings: list[Code] = field(default_factory=list)
    gone_findings: list[Code] = field(default_factory=list)
    broken_count: Count | None = None
    fixed_count: Count | None = None

    @property
    def all_broken(self) -> int:
        """Number of all broken images."""
        return len(self.broken) if self.broken_count is None else self.broken_count

    @property
    def all_fixed(self) -> int:
        """Number of all fixed images."""
        return len(self.fixed) if self.fixed_count is None else self.fixed_count


@dataclass(frozen=True)
class Moment:
    """The prediction for one watched image after one epoch; `confidence` is `None` if the scores were not finite."""

    predicted: Index
    confidence: Probability | None


@dataclass(frozen=True)
class WatchedImage:
    """One test image that was watched during training; `moments` has one element for each epoch of the evolution."""

    index: Index
    true: Index
    moments: list[Moment]


@dataclass(frozen=True)
class Evolution:
    """How predictions and heatmaps of some test images changed during training.

    Attributes:
        epochs: The epochs after which the model was evaluated, ascending.
        accuracies: Its accuracy on the test set after each.
        images: The images that were watched: the last evaluation's mistakes with the highest loss, then images that
            were fixed since the first evaluation.
    """

    epochs: list[Index]
    accuracies: list[Share]
    images: list[WatchedImage]


@dataclass(frozen=True)
class Finding:
    """A problem that a rule found. docs/findings.md describes each rule.

    Attributes:
        code: Stable name of the rule, for scripts.
        severity: `"error"` (do not trust this run), `"warning"` (fix this next) or `"note"`. A finding is at least as
            severe as its effects.
        title: One sentence.
        evidence: The numbers behind it.
        advice: What to do.
        value: The number that the rule measured, or `None`.
        threshold: The number that it was compared with, or `None`.
        images: Indices of test images that show the problem, at most 100, highest loss first.
        section: The section of the page that shows it, or `None`.
        why: One sentence on why it matters; empty if the run was made by an older version.
        known: When the problem was first known.
        effects: Problems that this one explains. They have no effects of their own, and are not in
            `Diagnosis.findings`.
        accepted: Why the settings accept the problem, or `None` if they do not.
        exhibits: Images that show the problem, with their pictures; most telling first.
    """

    code: Code
    severity: Severity
    title: Text
    evidence: Text
    advice: Text
    value: Number | None = None
    threshold: Number | None = None
    images: list[Index] = field(default_factory=list)
    section: Text | None = None
    why: Text = ""
    known: Known = "after training"
    effects: list[Finding] = field(default_factory=list)
    accepted: Text | None = None
    exhibits: list[Exhibit] = field(default_factory=list)


@dataclass(frozen=True)
class Check:
    """The result of one rule.

    Attributes:
        code: Stable name of the rule.
        status: `"found"` (`Diagnosis.findings` describes the problem), `"explained"` (it is an effect of another
            finding, whose `effects` describe it), `"passed"` or `"not checked"`.
        value: The number that the rule measured, or `None`.
        threshold: The number that it was compared with, or `None`.
        reason: Why the rule was not checked, or which finding explains the problem; `None` otherwise.
    """

    code: Code
    status: Status
    value: Number | None = None
    threshold: Number | None = None
    reason: Text | None = None


@dataclass(frozen=True)
class GateFacts:
    """Whether the run passed one gate.

    Attributes:
        rule: `"fail-under"`: the figure must be `limit` or more. `"fail-if-worse"`: it may be worse by `limit`.
            `"fail-on"`: there may be `limit` findings.
        name: `accuracy`, `balanced-accuracy`, `auc`, or `recall.`, `precision.` or `f1.` with the name of a class. For
            `"fail-on"`, the least severity of the findings that count: `error` or `warning`.
        limit: A share between 0 and 1; 0 for `"fail-on"`.
        actual: The figure, by how much it is worse, or the number of findings that are not accepted; `None` if it is
            not defined.
        passed: Whether the gate passed.
    """

    rule: GateRule
    name: Text
    limit: Share
    actual: Number | None
    passed: bool


@dataclass(frozen=True)
class Seconds:
    """Wall time of each stage; `total` is from the start of the process to the finished page."""

    range_test: Duration = 0.0
    training: Duration = 0.0
    predict_and_explain: Duration = 0.0
    report: Duration = 0.0
    total: Duration = 0.0


@dataclass(frozen=True)
class RunFacts:
    """Model, settings and environment of a run.

    Attributes:
        model: Name of the model.
        parameters: Number of parameters.
        device: The device that computed, in words.
        backend: The Keras backend: `"tensorflow"`, `"jax"` or `"torch"`.
        command: The command line that repeats the run; empty if it was started from Python.
        git_commit: Commit of the folder that it was started in, or `None`.
        settings: Every setting, including defaults.
        versions: Version of each package that the result depends on.
        value_range: Lowest and highest value in the test images, as the model received them.
        created: When the report was made: UTC, as ISO 8601 has it. Empty if an older version made it.
        notes: Sentences about how the model was evaluated that a reader needs to interpret the figures.
    """

    model: Text
    parameters: Count
    device: Text
    backend: Text
    command: Text
    git_commit: Text | None
    settings: dict[str, str | int | float | bool | None]
    versions: dict[Text, Text]
    value_range: tuple[Number, Number]
    created: Text = ""
    notes: list[Text] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Every fact of a run: the content of report.json.

    Attributes:
        findings: Problems that the rules found, most severe first. Those that another one explains are its `effects`.
        checks: The result of every rule; empty if the run was made by lrdiag 0.1, which did not record them.
        gates: Gates that the run was checked against, failed ones first.
        train_sample: Figures of a sample of the training images, or `None`.
        made_by: The part of lrdiag that made the report.
        backend: The Keras backend: `"tensorflow"`, `"jax"` or `"torch"`.
        created: When the report was made: UTC, as ISO 8601 has it. Empty if an older version made it.
        notes: Sentences about how the model was evaluated that a reader needs to interpret the figures.
        checked_data: Which training data the checks looked at, in words. Empty if they looked at none.
        data: What was measured on images and labels.
        binary: How well two classes are told apart; `None` if there are more.
        left_out: What was left out. Without `"images"`, a run has only their heatmaps. Without `"file names"`, it has
            no paths of images either.
        files: SHA-256 of every other file of the run, by its name in the run folder. Empty until the run is saved.
    """

    schema_version: Literal[6] = SCHEMA_VERSION
    dataset: DatasetFacts
    model: Text
    parameters: Count
    range_test: RangeTestFacts | None
    range_test_note: Text | None
    training: TrainingRun | None
    test: Score
    calibration: Calibration
    per_class: list[ClassFacts]
    confusion: list[list[Count]]
    confused_pairs: list[ConfusedPair]
    misclassified: Misclassified
    heatmaps: HeatmapFacts
    findings: list[Finding]
    device: Text
    command: Text
    git_commit: Text | None
    settings: dict[str, str | int | float | bool | None]
    versions: dict[Text, Text]
    value_range: tuple[Number, Number]
    seconds: Seconds = field(default_factory=Seconds)
    comparison: Comparison | None = None
    evolution: Evolution | None = None
    checks: list[Check] = field(default_factory=list)
    gates: list[GateFacts] = field(default_factory=list)
    train_sample: TrainingSample | None = None
    made_by: MadeBy = "diagnose"
    backend: Text = "tensorflow"
    created: Text = field(default="", compare=False)
    notes: list[Text] = field(default_factory=list)
    checked_data: Text = ""
    data: DataFacts = NOT_STUDIED
    binary: BinaryFacts | None = None
    left_out: list[LeftOut] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def outstanding(self) -> list[Finding]:
        """The findings that the settings do not accept, most severe first."""
        return [finding for finding in self.findings if finding.accepted is None]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        diagnosis: Its facts.
        pictures: Its picture sheets.
        wrong: Every misclassified image, if the facts do not list them all; otherwise `None`, or if they are not known.
    """

    diagnosis: Diagnosis
    pictures: Pictures
    wrong: WrongImages | None = field(default=None, compare=False, repr=False)
