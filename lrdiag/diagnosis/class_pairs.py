"""Pairs of classes: labels that are mixed up, and classes that can't be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import sqrt
from typing import NamedTuple

import numpy as np

from lrdiag.diagnosis.label_mixture import one_sided
from lrdiag.intervals import Z
from lrdiag.record.data_facts import LabelNoise, MixedClasses, SameClasses

FEWEST_CLASSES = 4
"""With fewer classes there are no other pairs to compare with."""
FEWEST_CONTRADICTIONS = 3
"""Fewest images of each of two classes that look like the other one."""
FEWEST_IMAGES = 10
"""Fewest images of a class that are compared with those of another."""
CERTAIN = 0.0001
"""Probability that correct labels of two classes look mixed up. No model is calibrated in each pair of classes."""
_BOTH_WAYS = 1.0
"""Least ratio in each direction. How strong it is depends on the offset of the logits, which is uncertain."""
_UPPER = 0.9
_USUAL_RATIO = 1.642
"""This quantile of a ratio of likelihoods, if nothing is mixed up: half of the ratios are 0."""
_HARD = 0.05
"""The share of pairs that are hard to tell apart."""


class Scored(NamedTuple):
    """Images with their labels.

    Attributes:
        logits: Of shape `(n, classes)`, by a classifier that did not learn these labels, or that may have learned them.
        labels: `int64` of shape `(n,)`.
    """

    logits: np.ndarray
    labels: np.ndarray

    def between(self, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
        """The margins of a class over another, and whether the label is the first, of images that look like either."""
        labelled = np.flatnonzero((self.labels == first) | (self.labels == second))
        logits, is_first = self.logits[labelled], self.labels[labelled] == first
        scores = logits[:, [first, second]]
        among = np.logaddexp(*scores.T) > np.delete(logits, (first, second), axis=1).max(axis=1)
        return scores[among, 0] - scores[among, 1], is_first[among]


def mixed_classes(noise: LabelNoise, images: Scored, reference: Scored | None = None) -> list[MixedClasses]:
    """Measures how often the labels of two classes are exchanged.

    Of the images that look like one of two classes and have one of the two labels, a share has the other label by
    mistake. The share is fitted to the calibrated logits. It is compared with that of wrong labels that are spread over
    all classes. Ratios of likelihoods are divided by what they are in other pairs, because no model is calibrated in
    each pair.

    Args:
        noise: The share of wrong labels in the set.
        images: The set.
        reference: Other images, whose labels calibrate the logits of each pair. If `None`, they are calibrated already.

    Returns:
        The pairs of classes with contradictions in both directions, most significant first.
    """
    classes = images.logits.shape[1]
    if classes < FEWEST_CLASSES:
        return []
    spread = noise.share / (classes - 1)
    usual = spread / (1 - noise.share + spread)
    pairs, ratios = [], []
    for first, second in _contradicting(images):
        margins, is_first = images.between(first, second)
        if reference is not None:
            slope, offset = _calibration(*reference.between(first, second))
            margins = slope * margins + offset
        margins = np.where(is_first, margins, -margins)
        share, ratio = _exchanged(margins, usual)
        sides = [_exchanged(margins[is_first == each], usual)[1] for each in (True, False)]
        pairs.append((first, second, len(margins), share, ratio if min(sides) > _BOTH_WAYS else 0.0))
        ratios.append(ratio)
    number = classes * (classes - 1) // 2
    every = np.array([*ratios, *[0.0] * (number - len(pairs))])
    mixed = []
    for place, (first, second, count, share, ratio) in enumerate(pairs):
        excess = max(1.0, float(np.quantile(np.delete(every, place), _UPPER)) / _USUAL_RATIO)
        p_value = min(1.0, number * one_sided(ratio / excess))
        mixed.append(MixedClasses(noise.part, first, second, count, share, p_value))
    return sorted(mixed, key=lambda each: each.p_value)


def certain(mixed: Sequence[MixedClasses]) -> list[MixedClasses]:
    """The pairs that are mixed up beyond chance. If most labels are exchanged, the classes have another order."""
    return [each for each in mixed if each.p_value < CERTAIN and each.share < 0.5]


def _contradicting(images: Scored) -> list[tuple[int, int]]:
    """The pairs of classes with contradictions in both directions."""
    classes = images.logits.shape[1]
    contradictions = np.zeros((classes, classes), int)
    np.add.at(contradictions, (images.labels, images.logits.argmax(axis=1)), 1)
    both = np.triu(np.minimum(contradictions, contradictions.T) >= FEWEST_CONTRADICTIONS, k=1)
    return [(int(first), int(second)) for first, second in np.argwhere(both)]


def _calibration(margins: np.ndarray, is_first: np.ndarray) -> tuple[float, float]:
    """The slope and offset of a logistic regression, close to 1 and 0 if there are few images."""
    from scipy.optimize import minimize

    signs = np.where(is_first, 1.0, -1.0)

    def cost(parameters: np.ndarray) -> float:
        slope, offset = parameters
        return float(np.logaddexp(0, -signs * (slope * margins + offset)).sum() + (slope - 1) ** 2 + offset**2)

    slope, offset = minimize(cost, (1.0, 0.0), bounds=[(0.0, 10.0), (-10.0, 10.0)], method="L-BFGS-B").x
    return float(slope), float(offset)


def _exchanged(margins: np.ndarray, usual: float) -> tuple[float, float]:
    """The most likely share of exchanged labels, and twice the logarithm of its ratio to the usual share, if above it.

    Args:
        margins: Logits of the given class minus those of the other one.
        usual: The share of exchanged labels in other pairs.
    """
    from scipy.optimize import minimize_scalar

    right = 1 / (1 + np.exp(-np.clip(margins, -50, 50)))

    def cost(share: float) -> float:
        return -float(np.log((1 - share) * right + share * (1 - right)).sum())

    found = minimize_scalar(cost, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-3})
    share = float(found.x)
    return share, max(0.0, 2 * (cost(usual) - float(found.fun))) if share > usual else 0.0


def same_classes(
    scores: np.ndarray, labels: np.ndarray, opinions: np.ndarray, opinion_labels: np.ndarray
) -> list[SameClasses]:
    """Finds pairs of classes that neither the model nor a simple classifier of the pictures tells apart.

    The AUC of such a pair is not above 0.5 beyond chance, and it is below the middle between 0.5 and that of other
    pairs that are hard to tell apart.

    Args:
        scores: Scores of the model for the test images, of shape `(n, classes)`.
        labels: `int64` of shape `(n,)`.
        opinions: Scores of a classifier of pictures, of shape `(m, classes)`, for the training or the test images. It
            did not learn these labels.
        opinion_labels: `int64` of shape `(m,)`.
    """
    enough = [each for each in range(scores.shape[1]) if (labels == each).sum() >= FEWEST_IMAGES]
    if len(enough) < FEWEST_CLASSES:
        return []
    by_model = _aucs(scores, labels, enough)
    usual = _hard(by_model)
    candidates = [pair for pair, auc in by_model.items() if _is_chance(*auc, usual)]
    if not candidates:
        return []
    by_pictures = _aucs(opinions, opinion_labels, enough)
    usual_of_pictures = _hard(by_pictures)
    return [
        _same(pair, labels, by_model[pair], by_pictures[pair], usual)
        for pair in candidates
        if _is_chance(*by_pictures[pair], usual_of_pictures)
    ]


def _same(pair: tuple[int, int], labels: np.ndarray, by_model: Auc, by_pictures: Auc, usual: float) -> SameClasses:
    auc, reach = by_model.value, Z * by_model.deviation
    images = int(np.isin(labels, pair).sum())
    return SameClasses(*pair, images, auc, auc - reach, auc + reach, by_pictures.value, usual)


class Auc(NamedTuple):
    """The probability that an image of a class has the higher score for it than one of another class.

    Attributes:
        value: The AUC.
        deviation: Its standard deviation for classes that can't be told apart.
    """

    value: float
    deviation: float


def _aucs(scores: np.ndarray, labels: np.ndarray, classes: Sequence[int]) -> dict[tuple[int, int], Auc]:
    of_class = {each: scores[labels == each] for each in classes}
    return {
        (first, second): _auc(*(of_class[each][:, first] - of_class[each][:, second] for each in (first, second)))
        for first, second in combinations(classes, 2)
    }


def _auc(mine: np.ndarray, its: np.ndarray) -> Auc:
    """Compares the margins of the images of two classes.

    Source: Mann and Whitney, "On a test of whether one of two random variables is stochastically larger than the
    other" (1947).
    """
    from scipy.stats import rankdata

    count, others = len(mine), len(its)
    if not count or not others:
        return Auc(1.0, 0.0)
    ranks = float(rankdata(np.concatenate([mine, its]))[:count].sum())
    deviation = sqrt((count + others + 1) / (12 * count * others))
    return Auc((ranks - count * (count + 1) / 2) / (count * others), deviation)


def _hard(aucs: dict[tuple[int, int], Auc]) -> float:
    """The AUC of pairs that are hard to tell apart, of which two may be the same classes."""
    return sorted(each.value for each in aucs.values())[max(2, round(_HARD * len(aucs)))]


def _is_chance(auc: float, deviation: float, usual: float) -> bool:
    return auc - Z * deviation <= 0.5 and auc + Z * deviation < (0.5 + usual) / 2
