"""What an inspection observes of a model, its training data and its training run: numbers for the rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lrdiag.formats import plural

LossKind = Literal["sparse", "categorical", "binary", "distance", "hinge", "other"]
"""Cross-entropy of class numbers, of one row for each image, or of one sigmoid for each unit; a distance such as the
mean squared error; a hinge; or any other loss."""

GIVEN = -1
"""In `Layer.sources`: the inputs of the model."""
UNKNOWN = -2
"""In `Layer.sources`: a tensor that no observed layer returned, such as the result of an operation in `call`."""
MOST_NOT_FINITE = 100
"""In `ImageSet.not_finite`: most indices."""


@dataclass(frozen=True)
class Values:
    """The values of a batch.

    Attributes:
        low: The minimum of the finite values.
        high: Their maximum.
        mean: Their mean.
        deviation: Their standard deviation.
        between: Standard deviation over the images at one place, averaged over the places. 0 if all images are alike.
        channels: Mean and standard deviation of each channel, on the last axis; empty if there are more than 4.
        blank: Share of the images that have the same value everywhere.
    """

    low: float
    high: float
    mean: float
    deviation: float
    between: float
    channels: tuple[tuple[float, float], ...] = ()
    blank: float = 0.0

    @property
    def rms(self) -> float:
        """Root mean square."""
        return float((self.mean**2 + self.deviation**2) ** 0.5)


@dataclass(frozen=True)
class Activity:
    """What a layer returned for a batch in training mode.

    Attributes:
        rms: Root mean square of the values.
        between: Standard deviation over the images at one place, averaged over the places.
        silent: Share of the units, or channels, that are 0 for every image and place.
        saturated: Share of the values at an end of the range of a sigmoid or tanh (closer than 0.01); 0 otherwise.
        finite: Whether all values are finite.
    """

    rms: float
    between: float
    silent: float
    saturated: float
    finite: bool


@dataclass(frozen=True)
class Kernel:
    """The weights that a layer multiplies its input with.

    Attributes:
        shape: Its shape.
        fan_in: Number of inputs of one unit.
        units: Number of units, or channels, on the last axis.
        window: Height and width of the window of a convolution; empty otherwise.
        grouped: Whether each unit receives only some of the channels, as in a depthwise convolution.
        rms: Root mean square of the weights.
        deviation: Their standard deviation. 0 if all weights are the same.
        identical_units: Whether all units have the same weights (and there are several).
        trainable: Whether training changes it.
        gradient: Root mean square of the gradient of the loss; `None` if the loss does not depend on it, or it is not
            trained.
        identical_gradients: Whether the gradient is the same for all units.
        penalty_gradient: Root mean square of the gradient of its regularization loss; 0 without one.
        data_gradient: Root mean square of the gradient of the loss without its regularization; `None` as `gradient`.
    """

    shape: tuple[int, ...]
    fan_in: int
    units: int
    window: tuple[int, ...]
    grouped: bool
    rms: float
    deviation: float
    identical_units: bool
    trainable: bool
    gradient: float | None = None
    identical_gradients: bool = False
    penalty_gradient: float = 0.0
    data_gradient: float | None = None


@dataclass(frozen=True)
class Layer:
    """One call of a layer that has no layers inside, or of an operation of `keras.ops` in a Functional model.

    Attributes:
        name: Path in the model: `"backbone/conv2d_3"`.
        kind: Name of its class.
        parent: Name of the class of the layer or model that it is in.
        activation: Name of the function that it ends in, such as `"relu"`, `"softmax"` or `"linear"`; `None` if it has
            none.
        sources: The calls whose outputs it received, as places in the list of layers; `GIVEN` for an input of the
            model, `UNKNOWN` for any other tensor.
        input_shape: Shape of its first input, without the batch.
        shape: Shape of its output, without the batch.
        kernel: Its weights, if it multiplies its input with any.
        activity: What it returned in training mode.
        rate: Rate of a dropout; `None` for other layers.
        momentum: Momentum of a batch normalization; `None` for other layers.
        trainable: Whether any of its weights is trained. True without weights.
        fresh: Whether its weights are as its initializers draw them, so that it was never trained; `None` without
            weights, or if that can't be told.
        received: Root mean square of its first input, if it has a kernel and no observed layer returned that input;
            `None` otherwise.
    """

    name: str
    kind: str
    parent: str
    activation: str | None
    sources: tuple[int, ...]
    input_shape: tuple[int, ...]
    shape: tuple[int, ...]
    kernel: Kernel | None
    activity: Activity
    rate: float | None = None
    momentum: float | None = None
    trainable: bool = True
    fresh: bool | None = None
    received: float | None = None


@dataclass(frozen=True)
class Optimizer:
    """The optimizer as it is compiled.

    Attributes:
        name: Name of its class.
        is_schedule: Whether its learning rate is a schedule.
        clipnorm: See `keras.optimizers.Optimizer`.
        clipvalue: See `keras.optimizers.Optimizer`.
        global_clipnorm: See `keras.optimizers.Optimizer`.
        weight_decay: Weight decay per step, as a share of the rate; 0 without one.
        momentum: Momentum; `None` if the optimizer has none.
        averages: Whether the weights become their moving averages (`use_ema`).
    """

    name: str
    is_schedule: bool
    clipnorm: float | None = None
    clipvalue: float | None = None
    global_clipnorm: float | None = None
    weight_decay: float = 0.0
    momentum: float | None = None
    averages: bool = False


@dataclass(frozen=True)
class Compiled:
    """How a model is compiled.

    Attributes:
        loss: Name of the loss, in words: `"mean squared error"`.
        kind: What kind of loss it is.
        takes_logits: Whether a cross-entropy takes logits; `None` for other losses.
        label_smoothing: Label smoothing of the loss.
        metrics: Names of the classes of the metrics, or the names that were given: `"accuracy"`, `"BinaryAccuracy"`.
        optimizer: The optimizer.
        ignore_class: The class number whose images a sparse cross-entropy leaves out, or `None`.
    """

    loss: str
    kind: LossKind
    takes_logits: bool | None
    label_smoothing: float
    metrics: tuple[str, ...]
    optimizer: Optimizer
    ignore_class: int | None = None


@dataclass(frozen=True)
class Labels:
    """The form of labels.

    Attributes:
        width: Values for each image: 1 for class numbers.
        low: The minimum.
        high: The maximum.
        whole: Whether all are whole numbers.
        sums_to_one: Whether each row has no negative value and sums to 1; `None` if `width` is 1.
        counts: Number of images of each class, by class number; by the largest value of each row if `width` > 1. Empty
            if they aren't class numbers.
    """

    width: int
    low: float
    high: float
    whole: bool
    sums_to_one: bool | None
    counts: tuple[int, ...] = ()

    @property
    def classes(self) -> int:
        """Number of classes that occur."""
        return sum(count > 0 for count in self.counts)


@dataclass(frozen=True)
class ImageSet:
    """What is known of training or validation data.

    Attributes:
        source: The data in words: `"the arrays that fit received"`.
        size: Number of images; `None` if it is not known.
        looked_at: Number of images whose labels were read. All if it equals `size`.
        values: The values of a bounded random sample of the images.
        sampled: Number of images of this sample.
        not_finite: Indices of images with NaN or infinite values, at most `MOST_NOT_FINITE`, in the order of the
            data.
        checked: Number of images that were checked for such values.
        labels: The form of the labels.
        batch_size: Number of images in a batch; `None` if it is not known.
        classes_in_batches: Number of classes in each of the first batches, in the order in which training sees them.
            Empty if training draws its batches at random.
        weighted: Whether training weights classes or images.
        draw_seconds: Seconds to draw each of the first batches; empty for arrays.
        split: Whether `fit` validates on images that were split off these, and not on those that are evaluated.
    """

    source: str
    size: int | None
    looked_at: int
    values: Values
    sampled: int
    not_finite: tuple[int, ...]
    checked: int
    labels: Labels
    batch_size: int | None = None
    classes_in_batches: tuple[int, ...] = ()
    weighted: bool = False
    draw_seconds: tuple[float, ...] = ()
    split: bool = False

    def __str__(self) -> str:
        return f"{self.source}, {'' if self.is_complete else 'the first '}{plural(self.looked_at, 'image')}"

    @property
    def is_complete(self) -> bool:
        """Whether all labels were read, so that a class that did not occur is missing."""
        return self.size is not None and self.looked_at >= self.size


@dataclass(frozen=True)
class Scores:
    """What the model returns for a few images in inference mode.

    Attributes:
        images: Number of images.
        units: Number of scores for each image.
        low: The lowest score.
        high: The highest.
        largest_sum_error: How far the scores of an image are from a sum of 1, at most.
        spread: Standard deviation of a score over the images, averaged over the units.
    """

    images: int
    units: int
    low: float
    high: float
    largest_sum_error: float
    spread: float


@dataclass(frozen=True)
class Start:
    """One forward and backward pass over a few training images before the first update.

    Attributes:
        images: Number of images.
        loss: The loss without regularization. The sum over the outputs if the model has several.
        penalty: The regularization losses.
        activity_penalty: The part of them that is not of weights.
        weights: Number of trained weights.
        unreached: Names of trained weights that the loss does not depend on.
        without_gradient: Names of trained weights whose gradient is 0 everywhere.
        augmentation: Correlation of the images with themselves without augmentation, averaged. Flips and turns by
            right angles are undone first, as they keep all that an image shows. `None` if no layer of the model
            augments them.
        recovers: Whether Keras computes the right loss although `from_logits` contradicts what the model returns;
            `None` if there is no contradiction, or the images do not tell.
        outputs: Number of outputs of the model.
        loss_if_right: The loss if the model gave the true class of each image a probability of 0.9.
        loss_if_wrong: The loss if it gave it to another class. Both are `None` where this can't be computed.
    """

    images: int
    loss: float
    penalty: float
    activity_penalty: float = 0.0
    weights: int = 0
    unreached: tuple[str, ...] = ()
    without_gradient: tuple[str, ...] = ()
    augmentation: float | None = None
    recovers: bool | None = None
    outputs: int = 1
    loss_if_right: float | None = None
    loss_if_wrong: float | None = None


@dataclass(frozen=True)
class Rates:
    """The learning rates that a run will have, as far as the optimizer tells before training.

    Attributes:
        first: The rate of the first update.
        lowest: The lowest rate.
        highest: The highest rate.
        mean: The mean over all updates; the first rate if their number is not known.
        updates: Number of updates that are planned; `None` if it is not known.
        spent: Share of the updates after which the rate stays below a thousandth of the highest.
        may_change: Whether a callback may set other rates.
    """

    first: float
    lowest: float
    highest: float
    mean: float
    updates: int | None
    spent: float = 1.0
    may_change: bool = False


@dataclass(frozen=True)
class Trial:
    """A trial of the optimizer: how far updates with the first gradient move copies of the weights.

    The move of an update is in proportion to the rate for every optimizer of Keras, so one trial tells that of any
    rate. Moves are root mean squares relative to those of the weights, per update and per unit of the learning rate.

    Attributes:
        move: The median over the kernels that move; 0 if none does.
        largest: The largest of a kernel.
        layer: The layer of that kernel.
        unclipped: The median without gradient clipping. It equals `move` if nothing is clipped.
        climbs: Whether the updates go up the loss.
    """

    move: float
    largest: float
    layer: str
    unclipped: float
    climbs: bool


@dataclass(frozen=True)
class EpochState:
    """What an epoch did to the model.

    Attributes:
        epoch: Its number, counted from 1.
        updates: Updates in this epoch.
        moved: How far each trained kernel moved in the epoch, relative to its size before, by name of the layer.
        unchanged: Names of trained weights that did not change at all.
        not_finite: Names of weights and moving statistics that have NaN or infinite values.
        silent: Share of silent units of each layer that ends in a ReLU, by name.
        penalty: The regularization losses.
        accuracy: Share of the sample that is classified correctly in inference mode.
        accuracy_in_training_mode: The same in training mode.
        images: Number of images of the sample.
    """

    epoch: int
    updates: int
    moved: dict[str, float]
    unchanged: tuple[str, ...]
    not_finite: tuple[str, ...]
    silent: dict[str, float]
    penalty: float
    accuracy: float | None
    accuracy_in_training_mode: float | None
    images: int


@dataclass(frozen=True)
class Turned:
    """How the layers of a model turn its training images.

    Attributes:
        images: Number of images that were looked at.
        shares: Share of them that is turned, by the name of the turn: `"mirrored"`, `"turned by 180°"`.
    """

    images: int
    shares: dict[str, float]


@dataclass(frozen=True)
class Inspection:
    """Everything that was observed. What was not observed is `None` or empty, and `reasons` says why.

    Attributes:
        compiled: How the model is compiled.
        layers: The calls of its layers in the order in which they ran.
        scores: What the model returns.
        start: The pass before the first update.
        rates: The planned learning rates.
        trial: The trial of the optimizer.
        training_data: The training data.
        validation_data: The validation data.
        shared: Share of the validation images that are training images too; `None` if it was not checked.
        epochs: What each epoch did.
        turned: How the layers of the model turn training images; `None` if they do not augment them.
        reasons: Why a piece is missing, by its name.
    """

    compiled: Compiled | None = None
    layers: tuple[Layer, ...] | None = None
    scores: Scores | None = None
    start: Start | None = None
    rates: Rates | None = None
    trial: Trial | None = None
    training_data: ImageSet | None = None
    validation_data: ImageSet | None = None
    shared: float | None = None
    epochs: tuple[EpochState, ...] = ()
    turned: Turned | None = None
    reasons: dict[str, str] = field(default_factory=dict)


NOTHING = Inspection()
"""Nothing was observed."""
