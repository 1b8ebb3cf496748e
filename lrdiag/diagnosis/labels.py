"""Examines the labels: which are probably wrong, how many, and which classes are mixed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from lrdiag.diagnosis.class_pairs import Scored, certain, mixed_classes, same_classes
from lrdiag.diagnosis.findings.predictions import chance
from lrdiag.diagnosis.foreign import foreign_images
from lrdiag.diagnosis.label_mixture import (
    Share,
    fit_mixture,
    most_likely_share,
    one_sided,
    pooled,
    transitions,
    true_class,
    weighted,
    with_exchange,
    with_share,
)
from lrdiag.diagnosis.second_opinion import Opinion, second_opinion
from lrdiag.formats import percent, short
from lrdiag.images.choosing import sample
from lrdiag.images.gradients import describe
from lrdiag.intervals import SIGNIFICANCE, Z
from lrdiag.record.arrays import Predictions
from lrdiag.record.data_facts import Foreign, ImageRef, LabelNoise, LabelSignal, MixedClasses, SameClasses, Suspect
from lrdiag.record.image_table import ImageTable, Part

MOST_SUSPECTS = 1_000
FEWEST = 20
"""Fewest test images whose labels are examined."""
LIKELY = 0.5
"""A label is suspect if it is more likely wrong than right."""
CERTAIN = 3.0
"""Standard deviations by which agreement is above chance."""
_PLAIN = 8.0
"""Pictures whose values differ less show nothing, so their labels can't be examined."""
_LEAST = -50.0
"""Least logarithm of a probability."""
_MOST_VALUES = 1_000_000
"""Most scores that a model of the labels is fitted to."""


@dataclass(frozen=True)
class LabelFacts:
    """What was found out about the labels. `DataFacts` describes the fields."""

    suspects: list[Suspect]
    noise: list[LabelNoise]
    signals: list[LabelSignal]
    mixed_classes: list[MixedClasses]
    same_classes: list[SameClasses]
    foreign: list[Foreign]


class Readable(NamedTuple):
    """The images of a set whose labels can be examined.

    Attributes:
        table: All images of the set.
        rows: The rows of these images.
        labels: Their labels.
        model: `float64` of shape `(n, classes)`: logits of the model.
        values: Descriptions of their pictures.
    """

    table: ImageTable
    rows: np.ndarray
    labels: np.ndarray
    model: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, table: ImageTable) -> Readable:
        """Leaves out plain pictures, and images whose scores are not finite."""
        logits = _logits(table.predictions)
        shows = table.statistics.high - table.statistics.low >= _PLAIN
        rows = np.flatnonzero(shows & np.isfinite(logits).all(axis=1))
        return cls(table, rows, table.labels[rows], logits[rows], describe(table.pictures[rows]))

    def reference(self, place: int) -> ImageRef:
        """Names one of the images."""
        row = int(self.rows[place])
        return ImageRef(self.table.part, int(self.table.indices[row]), self.table.file(row))


def _logits(predictions: Predictions) -> np.ndarray:
    if predictions.log_probabilities is not None:
        return np.asarray(np.maximum(predictions.log_probabilities, _LEAST))
    scores = predictions.ranking
    return np.asarray(scores / max(float(np.nanstd(scores)), 1e-12))


class Examined(NamedTuple):
    """Images with two opinions on each: that of a classifier of pictures, and that of the model."""

    images: Readable
    opinions: list[np.ndarray]

    @property
    def labels(self) -> np.ndarray:
        """`int64` of shape `(n,)`."""
        return self.images.labels

    def scored(self, weights: np.ndarray) -> Scored:
        """The weighted opinions as logits, with the labels."""
        return Scored(weighted(self.opinions, weights), self.labels)

    def right(self, weights: np.ndarray) -> np.ndarray:
        """The probability of each label, if it is right: `float64` of shape `(n,)`."""
        return np.asarray(pooled(self.opinions, weights)[np.arange(len(self.labels)), self.labels])


def examine_labels(test: ImageTable, training: ImageTable | None, classes: Sequence[str]) -> LabelFacts | None:
    """Examines the labels of the test images and of the training images.

    Two opinions on each image, that of the model and that of a simple classifier of pictures, are weighted so that they
    explain the test labels best. A label that both contradict is suspect. The training images are examined with the
    same weights. The model may have learned their labels by heart. Then only the simple classifier, which never sees
    the label of the image that it classifies, contradicts a wrong one.

    Args:
        test: The test images.
        training: The training images, or `None`.
        classes: The names of the classes.

    Returns:
        The facts, or `None` if the images are too few.
    """
    tested, trained = Readable.of(test), None if training is None else Readable.of(training)
    if len(tested.rows) < FEWEST:
        return None
    opinion = None if trained is None else second_opinion(trained.values, trained.labels, len(classes), tested.values)
    if trained is not None and opinion is not None:
        return _with_training(tested, trained, opinion, classes)
    opinion = second_opinion(tested.values, tested.labels, len(classes), tested.values[:0])
    return None if opinion is None else _without_training(tested, opinion, classes)


def _without_training(tested: Readable, opinion: Opinion, classes: Sequence[str]) -> LabelFacts:
    examined = Examined(tested, [opinion.learned, tested.model])
    weights, noise = _explain(examined, len(classes))
    mixed = mixed_classes(noise, examined.scored(weights))
    return LabelFacts(
        _suspects(examined, weights, noise, mixed, classes),
        [noise],
        [_signal("test", "test", opinion.learned, tested.labels)],
        mixed,
        same_classes(tested.model, tested.labels, opinion.learned, tested.labels),
        [],
    )


def _with_training(tested: Readable, trained: Readable, opinion: Opinion, classes: Sequence[str]) -> LabelFacts:
    test = Examined(tested, [opinion.others, tested.model])
    training = Examined(trained, [opinion.learned, trained.model])
    weights, noise = _explain(test, len(classes))
    training_noise = _training_noise(training, weights, _disagreement(tested, trained, opinion, noise, len(classes)))
    mixed = mixed_classes(noise, test.scored(weights))
    mixed_in_training = mixed_classes(training_noise, training.scored(weights), reference=test.scored(weights))
    return LabelFacts(
        _suspects(test, weights, noise, mixed, classes)
        + _suspects(training, weights, training_noise, mixed_in_training, classes),
        [noise, training_noise],
        _signals(tested, trained, opinion, len(classes)),
        mixed + mixed_in_training,
        same_classes(tested.model, tested.labels, opinion.learned, trained.labels),
        _foreign(tested, foreign_images(trained.values, tested.values)),
    )


def _explain(examined: Examined, classes: int) -> tuple[np.ndarray, LabelNoise]:
    """The weights of the opinions that explain the test labels best, and the share of labels that they contradict."""
    rows = sample(0, len(examined.labels), _MOST_VALUES // classes)
    opinions, labels = [each[rows] for each in examined.opinions], examined.labels[rows]
    mixture, clean = fit_mixture(opinions, labels), fit_mixture(opinions, labels, clean=True)
    share = most_likely_share(examined.right(mixture.weights), classes)
    p_value = one_sided(2 * (mixture.likelihood - clean.likelihood))
    return mixture.weights, _wrong("test", share._replace(p_value=p_value), classes)


def _wrong(part: Part, share: Share, classes: int) -> LabelNoise:
    """Of labels that are drawn evenly from all classes, one of `classes` is right."""
    value, low, high = (each * (1 - 1 / classes) for each in share[:3])
    return LabelNoise(part, value, low, high, share.p_value)


def _training_noise(trained: Examined, weights: np.ndarray, disagreement: LabelNoise | None) -> LabelNoise:
    """The share of wrong training labels, by the larger of two estimates.

    Labels that both opinions contradict are wrong; of labels that the model has learned by heart, there are none. And
    the classifier of pictures agrees with fewer training labels than test labels, although it has seen neither.
    """
    classes = trained.opinions[0].shape[1]
    found = [_wrong("train", most_likely_share(trained.right(weights), classes), classes)]
    found += [] if disagreement is None else [disagreement]
    likely = [each for each in found if len(found) * each.p_value < SIGNIFICANCE] or found[:1]
    return LabelNoise(
        "train",
        max(each.share for each in likely),
        max(each.low for each in likely),
        max(each.high for each in found),
        min(1.0, len(found) * min(each.p_value for each in found)),
    )


def _disagreement(
    tested: Readable, trained: Readable, opinion: Opinion, noise: LabelNoise, classes: int
) -> LabelNoise | None:
    """Compares how often the classifiers of pictures agree with training labels and with test labels, above chance."""
    shares = np.bincount(tested.labels, minlength=classes) / len(tested.labels)
    sizes = np.maximum(np.bincount(trained.labels, minlength=classes), 1)
    is_right = opinion.learned.argmax(axis=1) == trained.labels
    recalls = np.bincount(trained.labels[is_right], minlength=classes) / sizes
    expected = float(shares @ np.bincount(opinion.named.ravel(), minlength=classes)) / opinion.named.size
    agreed, on_training = float((opinion.named == tested.labels).mean()), float(shares @ recalls)
    variance = agreed * (1 - agreed) / len(tested.labels)
    if agreed - expected < CERTAIN * sqrt(variance):
        return None
    right = (on_training - expected) / (agreed - expected)
    spread = float((shares**2 * recalls * (1 - recalls) / sizes).sum()) + right**2 * variance
    deviation = sqrt(spread) / (agreed - expected)
    right, deviation = right * (1 - noise.share), deviation * (1 - noise.share)  # some test labels are wrong too
    deviation *= 1 - expected
    share, reach = (1 - right) * (1 - expected), Z * deviation  # a wrong label is never the right one by chance
    p_value = 1 - NormalDist().cdf(share / max(deviation, 1e-12))
    value, low, high = (min(max(each, 0.0), 1.0) for each in (share, share - reach, share + reach))
    return LabelNoise("train", value, low, high, p_value)


def _suspects(
    examined: Examined,
    weights: np.ndarray,
    noise: LabelNoise,
    mixed: Sequence[MixedClasses],
    classes: Sequence[str],
) -> list[Suspect]:
    """The images whose labels are more likely wrong than right, most likely first; none if chance may explain it."""
    exchanged = certain(mixed)
    if noise.p_value >= SIGNIFICANCE and not exchanged:
        return []
    probabilities, labels = pooled(examined.opinions, weights), examined.labels
    errors = np.eye(len(classes))
    if noise.p_value < SIGNIFICANCE:
        rows = sample(0, len(labels), _MOST_VALUES // len(classes))
        errors = with_share(transitions(probabilities[rows], labels[rows], noise.share), labels, noise.share)
    for each in exchanged:
        errors = with_exchange(errors, each.first, each.second, each.share)
    true = true_class(probabilities, labels, errors)
    every = np.arange(len(labels))
    wrong = 1 - true[every, labels]
    true[every, labels] = -1
    suggested = true.argmax(axis=1)
    order = np.argsort(-wrong, kind="stable")[:MOST_SUSPECTS]
    return [
        Suspect(
            examined.images.reference(each),
            int(labels[each]),
            int(suggested[each]),
            float(wrong[each]),
            f"{short(classes[labels[each]])} has a probability of {percent(probabilities[each, labels[each]])}, "
            f"{short(classes[suggested[each]])} of {percent(probabilities[each, suggested[each]])}",
        )
        for each in order[wrong[order] > LIKELY].tolist()
    ]


def _foreign(images: Readable, distances: np.ndarray) -> list[Foreign]:
    far = np.argsort(-distances, kind="stable")
    far = far[distances[far] > 1][:MOST_SUSPECTS]
    return [Foreign(images.reference(each), float(distances[each])) for each in far.tolist()]


def _signals(tested: Readable, trained: Readable, opinion: Opinion, classes: int) -> list[LabelSignal]:
    """What pictures say about labels. If nothing that holds for training images holds for test images, these alone."""
    signals = [
        _signal("train", "train", opinion.learned, trained.labels),
        _signal("test", "train", opinion.others, tested.labels),
    ]
    if signals[1].accuracy > signals[1].chance + CERTAIN * signals[1].deviation:
        return signals
    alone = second_opinion(tested.values, tested.labels, classes, tested.values[:0])
    return signals if alone is None else [*signals, _signal("test", "test", alone.learned, tested.labels)]


def _signal(part: Part, learned_from: Part, logits: np.ndarray, labels: np.ndarray) -> LabelSignal:
    confusion = np.zeros((logits.shape[1],) * 2, int)
    np.add.at(confusion, (labels, logits.argmax(axis=1)), 1)
    accuracy = float(confusion.trace() / max(len(labels), 1))
    return LabelSignal(part, learned_from, len(labels), accuracy, *chance(confusion))
