"""Rules about augmentation that destroys what the labels mean."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import MOST_EXHIBITS, Answer, Found, NotChecked, Passed, Shown
from lrdiag.formats import count, percent, plural, points, short
from lrdiag.images.turning import TURNS, Exchange, exchanged, has_direction
from lrdiag.intervals import wilson
from lrdiag.record.data_facts import ImageRef
from lrdiag.record.image_table import ImageTable

TURNED = 0.05
"""Share of the training images that is turned in the same way, from which on a turn is no accident."""
DIRECTED, CERTAIN = 0.58, 5.0
"""Share of the images that a linear rule can tell from turned ones if images have a direction; it is 0.5 by chance. And
the standard deviations by which it must be above that."""
FORGOTTEN = 0.1
"""Share that the moving averages of batch normalization still have, after the last epoch, of what they were before."""
_SHOWN = MOST_EXHIBITS // 4  # images of each class


@dataclass(frozen=True)
class _Applied:
    """A turn of the training images, its share, and what it does to the test images."""

    name: str
    share: float
    exchanges: list[Exchange]
    direction: float
    images: int

    @property
    def has_direction(self) -> bool:
        """Whether images can be told from turned ones, beyond chance."""
        return self.direction > max(DIRECTED, 0.5 + CERTAIN * 0.5 / sqrt(self.images))


def destructive_augmentation(evidence: Evidence, threshold: float) -> Answer:
    """The augmenting layers exchange classes, turn images that have a direction, or leave images unlike plain ones."""
    turned = given(evidence.turned)
    unlike = _unlike_plain_images(evidence, threshold)
    if unlike is not None:
        return unlike
    images = evidence.test_images
    if images is None:
        return NotChecked(evidence.reason("test_images"))
    names = [
        name for name, share in turned.shares.items() if wilson(round(share * turned.images), turned.images)[0] > TURNED
    ]
    pictures = images.pictures
    applied = [
        _Applied(
            name,
            turned.shares[name],
            exchanged(pictures, images.labels, TURNS[name]),
            *has_direction(pictures, TURNS[name]),
        )
        for name in names
    ]
    worst = max(applied, key=lambda each: len(each.exchanges), default=None)
    if worst is not None and worst.exchanges:
        return _exchanging(evidence, images, worst)
    directed = [each for each in applied if each.has_direction]
    if directed:
        return _turning(evidence, images, max(directed, key=lambda each: each.share))
    return Passed(threshold=threshold)


def _unlike_plain_images(evidence: Evidence, threshold: float) -> Found | None:
    """The finding that plain training images are recognized less often than augmented ones."""
    training, sample = evidence.training, evidence.train_sample
    accuracies = [each.accuracy for each in training.epochs if each.accuracy is not None] if training else []
    if not accuracies or sample is None or _may_lag(evidence):
        return None
    gap = accuracies[-1] - sample.accuracy
    if gap <= threshold or accuracies[-1] <= sample.accuracy_high:
        return None
    return Found(
        f"Augmentation leaves images that are unlike plain ones: these are recognized {points(gap)[1:]} percentage "
        "points less often.",
        f"In the last epoch, accuracy was {percent(accuracies[-1])} on training images as the layers of the model "
        f"augment them. On {plural(sample.size, 'training image')} without augmentation it is "
        f"{percent(sample.accuracy)}.",
        _LESS,
        gap,
        threshold,
        why="The model learns the augmented images, and is used on plain ones.",
    )


def _may_lag(evidence: Evidence) -> bool:
    """Whether moving averages of batch normalization may be the reason that a model is worse in inference mode."""
    if evidence.layers is None or not evidence.epochs:
        return True
    updates = evidence.epochs[-1].updates
    return any(layer.momentum is not None and layer.momentum**updates > FORGOTTEN for layer in evidence.layers)


_LESS = (
    "Augment less: halve the factors of the augmenting layers, and look at a few augmented images with their labels."
)


def _exchanging(evidence: Evidence, images: ImageTable, applied: _Applied) -> Found:
    names, pairs = evidence.facts.dataset.classes, applied.exchanges
    listed = ", ".join(
        f"{_pair(names, each)} ({percent(each.share)} of {plural(each.images, 'image')})" for each in pairs[:3]
    )
    return Found(
        f"Augmentation exchanges classes: {applied.name}, {_pair(names, pairs[0])} look like each other.",
        f"{_turned_by(evidence, applied)} Most test images of these classes look like the other class once they are "
        f"{applied.name}, by their nearest neighbours: {listed}.{_confused(evidence, pairs[0])}",
        f"Leave out the layer by which images are {applied.name}, or limit it: `keras.layers.RandomRotation(0.05)`, "
        '`keras.layers.RandomFlip("horizontal")`.',
        applied.share,
        TURNED,
        why="Such training images show one class and have the label of another one. The model can't tell these apart.",
        exhibits=_exhibits(images, applied, pairs[0].labels, names),
    )


def _turning(evidence: Evidence, images: ImageTable, applied: _Applied) -> Found:
    return Found(
        f"Training images are {applied.name}, and test images are not.",
        f"{_turned_by(evidence, applied)} Test images have a direction: a linear rule tells "
        f"{percent(applied.direction)} of them from images that are {applied.name}.",
        "Turn and flip training images only as images that the model will be used on may be turned: "
        '`keras.layers.RandomFlip("horizontal")`, `keras.layers.RandomRotation(0.05)`.',
        applied.direction,
        DIRECTED,
        why="The model spends its capacity on images that do not occur, and can't tell classes by their direction.",
        severity="note",
        exhibits=_exhibits(images, applied, (), []),
    )


def _turned_by(evidence: Evidence, applied: _Applied) -> str:
    return (
        f"The layers of the model turn training images: of {plural(given(evidence.turned).images, 'image')}, "
        f"{percent(applied.share)} were {applied.name}."
    )


def _confused(evidence: Evidence, pair: Exchange) -> str:
    """How often the model confuses two classes."""
    one, other = pair.labels
    confusion = evidence.facts.confusion
    wrong, size = confusion[one][other] + confusion[other][one], sum(confusion[one]) + sum(confusion[other])
    return f" The model confuses them in {count(wrong)} of {plural(size, 'image')}."


def _pair(names: list[str], pair: Exchange) -> str:
    return " and ".join(f"“{short(names[each])}”" for each in pair.labels)


def _exhibits(images: ImageTable, applied: _Applied, labels: tuple[int, ...], names: list[str]) -> list[Shown]:
    """Test images as they are and turned."""
    rows = [
        int(row)
        for of_class in ([images.labels == label for label in labels] or [images.labels >= 0])
        for row in of_class.nonzero()[0][:_SHOWN]
    ]
    return [
        Shown(
            ImageRef(images.part, int(images.indices[row]), images.file(row)),
            f"“{short(names[images.labels[row]])}”, {applied.name}" if names else applied.name,
            (images.pictures[row], TURNS[applied.name](images.pictures[row : row + 1])[0]),
        )
        for row in rows
    ]
