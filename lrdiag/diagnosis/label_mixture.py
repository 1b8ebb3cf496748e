"""Which share of the labels is wrong, and which labels, given what classifiers say about the images."""

from __future__ import annotations

from math import erfc, sqrt
from typing import NamedTuple

import numpy as np

from lrdiag.intervals import Z

ROUNDS = 20
PRIOR = 200.0
"""Number of images of a class beside which its own mix-ups count as much as errors that are spread evenly."""


class Mixture(NamedTuple):
    """Labels are drawn from `softmax(weights @ opinions)`, and a share of them evenly from all classes.

    Attributes:
        weights: `float64` of shape `(opinions,)`, ≥ 0: how much each opinion counts.
        share: The share of labels that is drawn evenly from all classes.
        likelihood: Logarithm of the likelihood.
    """

    weights: np.ndarray
    share: float
    likelihood: float


def fit_mixture(opinions: list[np.ndarray], labels: np.ndarray, *, clean: bool = False) -> Mixture:
    """Fits the mixture by maximum likelihood.

    Wrong labels neither raise the weights nor lower them, because the even share explains them.

    Args:
        opinions: Logits of several classifiers that did not learn these labels, each of shape `(n, classes)`.
        labels: `int64` of shape `(n,)`.
        clean: Whether no label may be wrong.
    """
    from scipy.optimize import minimize

    count, classes = opinions[0].shape
    rows = np.arange(count)

    def cost(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, share = parameters[:-1], 0.0 if clean else parameters[-1]
        probabilities = pooled(opinions, weights)
        right = probabilities[rows, labels]
        mixed = np.maximum((1 - share) * right + share / classes, 1e-300)
        slopes = [each[rows, labels] - np.einsum("nc,nc->n", probabilities, each) for each in opinions]
        responsible = (1 - share) * right / mixed
        gradient = [*(-(responsible * each).mean() for each in slopes), -((1 / classes - right) / mixed).mean()]
        return -float(np.log(mixed).mean()), np.array(gradient) * ([1] * len(opinions) + [0 if clean else 1])

    bounds = [(0.0, 20.0)] * len(opinions) + [(0.0, 0.99)]
    start = np.array([1 / len(opinions)] * len(opinions) + [0.0 if clean else 0.05])
    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return Mixture(found.x[:-1], 0.0 if clean else float(found.x[-1]), -float(found.fun) * count)


def pooled(opinions: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """The probabilities `softmax(weights @ opinions)`, of shape `(n, classes)`."""
    logits = weighted(opinions, weights)
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def weighted(opinions: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """The logits `weights @ opinions`, of shape `(n, classes)`."""
    return np.asarray(sum(weight * each for weight, each in zip(weights, opinions, strict=True)))


class Share(NamedTuple):
    """A share of labels that is drawn evenly from all classes.

    Attributes:
        value: The most likely share.
        low: Lower end of a 95 % interval.
        high: Upper end.
        p_value: Probability of so many contradictions, or more, if no label were wrong.
    """

    value: float
    low: float
    high: float
    p_value: float


def most_likely_share(right: np.ndarray, classes: int) -> Share:
    """Estimates the share by maximum likelihood, with an interval and a test from ratios of likelihoods.

    Args:
        right: `float64` of shape `(n,)`: the probability of each label, if it is right.
        classes: Number of classes.
    """
    from scipy.optimize import brentq, minimize_scalar

    def cost(share: float) -> float:
        return -float(np.log(np.maximum((1 - share) * right + share / classes, 1e-300)).sum())

    found = minimize_scalar(cost, bounds=(0.0, 0.999), method="bounded", options={"xatol": 1e-5})
    best = float(found.x) if found.fun < cost(0.0) else 0.0
    limit = cost(best) + Z**2 / 2
    low = brentq(lambda share: cost(share) - limit, 0.0, best) if cost(0.0) > limit else 0.0
    high = brentq(lambda share: cost(share) - limit, best, 0.999) if cost(0.999) > limit else 1.0
    return Share(best, float(low), float(high), one_sided(2 * (cost(0.0) - cost(best))))


def one_sided(ratio: float) -> float:
    """The p-value of twice the logarithm of a ratio of likelihoods, of a share that can't be below 0.

    Source: Chernoff, "On the distribution of the likelihood ratio" (1954).
    """
    return erfc(sqrt(max(ratio, 0.0) / 2)) / 2


def transitions(probabilities: np.ndarray, labels: np.ndarray, share: float) -> np.ndarray:
    """Estimates how often each class is labelled as each other one, by expectation–maximization.

    Source: Dawid and Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm" (1979).

    Args:
        probabilities: `float64` of shape `(n, classes)`: of the true classes, without knowledge of the label.
        labels: `int64` of shape `(n,)`.
        share: Share of wrong labels to begin with.

    Returns:
        `float64` of shape `(classes, classes)`: the probability of each label (column) given the true class (row).
    """
    count, classes = probabilities.shape
    apart = 1 - np.eye(classes)
    mixed = _with_diagonal(np.full((classes, classes), share / (classes - 1)))
    given = np.eye(classes)[labels]
    for _ in range(ROUNDS):
        together = true_class(probabilities, labels, mixed).T @ given
        wrong = together * apart
        spread = PRIOR * wrong.sum() / count / (classes - 1) * apart
        mixed = _with_diagonal((wrong + spread) / (together.sum(axis=1) + PRIOR)[:, None])
    return mixed


def with_share(mixed: np.ndarray, labels: np.ndarray, share: float) -> np.ndarray:
    """Raises the errors so that they are at least `share` of the labels: a model that learned them by heart hides some.

    Args:
        mixed: What `transitions` returned.
        labels: `int64` of shape `(n,)`.
        share: Share of wrong labels.
    """
    frequent = np.bincount(labels, minlength=len(mixed)) / len(labels)
    known = float(frequent @ (1 - np.diagonal(mixed)))
    return _with_diagonal(mixed * max(1.0, share / known)) if known else mixed


def with_exchange(mixed: np.ndarray, first: int, second: int, share: float) -> np.ndarray:
    """Raises the exchanges of two classes so that they are at least `share` of their labels."""
    raised = mixed.copy()
    for pair in ((first, second), (second, first)):
        raised[pair] = max(raised[pair], share)
    return _with_diagonal(raised)


def _with_diagonal(mixed: np.ndarray) -> np.ndarray:
    np.fill_diagonal(mixed, 0)
    np.fill_diagonal(mixed, np.maximum(1 - mixed.sum(axis=1), 0))
    return mixed


def true_class(probabilities: np.ndarray, labels: np.ndarray, mixed: np.ndarray) -> np.ndarray:
    """The probability of each true class, given the label too: `float64` of shape `(n, classes)`."""
    joint = probabilities * mixed[:, labels].T
    return np.asarray(joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300))
