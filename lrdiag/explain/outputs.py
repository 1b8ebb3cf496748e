"""What the outputs of a model mean: probabilities of classes, or scores from which no probability follows."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from lrdiag.explain import loss as losses
from lrdiag.record.arrays import CROSS_ENTROPY, Predictions, log_softmax

Activation = Literal["softmax", "sigmoid", "log_softmax", "log_sigmoid", "none"]
"""What the model computes from its logits. `"none"`: it returns them, or numbers of another kind."""
Kind = Literal["distribution", "independent", "scores"]
"""`"distribution"`: the probabilities of an image sum to 1. `"independent"`: each class has its own sigmoid.
`"scores"`: no probability follows from the outputs."""

BINARY_CROSS_ENTROPY = "binary cross-entropy over the classes, nats"
COMPILED = "compiled loss"
_MEASURED = 512  # images from which the meaning of a custom loss is measured
_ENOUGH = 8  # numbers; of as many logits, one is very probably outside of 0–1
_INDEPENDENT = (
    "Each class has its own sigmoid, so the probabilities of an image need not sum to 1. The confidence is the value "
    "that the model gives the predicted class."
)


def activated(logits: np.ndarray, activation: Activation) -> np.ndarray:
    """The outputs of a model, from its logits, `float64` of shape `(n, units)`."""
    match activation:
        case "softmax":
            return np.asarray(np.exp(log_softmax(logits)))
        case "log_softmax":
            return log_softmax(logits)
        case "sigmoid":
            return np.asarray(np.exp(log_sigmoid(logits)))
        case "log_sigmoid":
            return log_sigmoid(logits)
        case "none":
            return logits


def log_sigmoid(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the sigmoid, without overflow."""
    with np.errstate(invalid="ignore"):  # as in `log_softmax`
        return np.asarray(-np.logaddexp(0, -logits))


class Outputs(NamedTuple):
    """The outputs of a model for some images.

    Attributes:
        raw: The outputs before a softmax or sigmoid at the end of the model, `float64` of shape `(n, units)`.
        activation: What the model computes from them.
        threshold: A single unit predicts the second class where its raw output is higher.
        is_closed: Whether they are probabilities already, although no layer computes them. The raw output of a single
            unit is a logit nevertheless.
        loss: The compiled loss, or `None`.
        labels: The true classes, `int64` of shape `(n,)`.
    """

    raw: np.ndarray
    activation: Activation
    threshold: float
    is_closed: bool
    loss: Any
    labels: np.ndarray

    @property
    def units(self) -> int:
        """Number of values for each image."""
        return int(self.raw.shape[1])

    @property
    def returned(self) -> np.ndarray:
        """What `model.predict` returns, `float64` of shape `(n, units)`."""
        return activated(self.raw, "sigmoid" if self.is_closed and self.units == 1 else self.activation)

    def predictions(self) -> Predictions:
        """The predictions, with the loss of each image."""
        kind, ranking = self.kind(), self._ranking()
        log_probabilities = self._log_probabilities(kind)
        notes = {
            "distribution": (),
            "independent": (_INDEPENDENT,),
            "scores": (f"{self._no_probability()} Confidence and calibration are unknown.",),
        }[kind]
        own_losses, loss_name = self._losses(kind)
        if loss_name is None:
            notes += (
                "The test loss is unknown. The misclassified images are ordered by the score of the predicted class "
                "minus that of the true class.",
            )
        return Predictions(log_probabilities, self.labels, ranking, own_losses, loss_name, notes)

    def has_compiled_loss(self, predictions: Predictions) -> bool:
        """Whether the losses of the predictions are those of the compiled loss."""
        return self.loss is not None and (
            self._is_usual(self.kind()) or str(predictions.loss_name).startswith(COMPILED)
        )

    def kind(self) -> Kind:
        """What the outputs mean."""
        if self.activation in ("sigmoid", "log_sigmoid"):
            return "distribution" if self.units == 1 else "independent"
        if self.activation in ("softmax", "log_softmax") or self.is_closed:
            return "distribution"
        if losses.is_binary(self.loss):
            return "distribution" if self.units == 1 else "independent"
        if losses.takes_logits(self.loss) is not None:
            return "distribution"
        if self.loss is None:
            return "scores" if self._are_shares() else "distribution"
        return self._measured_kind()

    def _ranking(self) -> np.ndarray:
        """The class with the highest value is predicted; a row that is not finite is NaN."""
        ranking = np.hstack([self.threshold - self.raw, self.raw - self.threshold]) if self.units == 1 else self.raw
        unusable = np.isnan(ranking).any(axis=1) | np.isposinf(ranking).any(axis=1)
        return np.where(unusable[:, np.newaxis], np.nan, ranking)

    def _log_probabilities(self, kind: Kind) -> np.ndarray | None:
        if kind == "scores":
            return None
        if self.units == 1:
            return np.hstack([log_sigmoid(-self.raw), log_sigmoid(self.raw)])
        if self.is_closed or (kind == "independent" and self._are_probabilities()):
            return np.asarray(np.log(np.maximum(self.raw, np.finfo(np.float32).tiny)))
        return log_sigmoid(self.raw) if kind == "independent" else log_softmax(self.raw)

    def _are_probabilities(self) -> bool:
        """Whether a binary cross-entropy takes the raw outputs as they are."""
        return self.activation == "none" and losses.takes_logits(self.loss) is False and _within_bounds(self.raw)

    def _are_shares(self) -> bool:
        """Whether outputs without a known loss lie between 0 and 1, as logits hardly do."""
        return self.units > 1 and self.raw.size >= _ENOUGH and bool(np.ptp(self.raw) > 0) and _within_bounds(self.raw)

    def _measured_kind(self) -> Kind:
        """Compares a loss that is not a cross-entropy of Keras with the cross-entropies of the outputs."""
        few = self._replace(raw=self.raw[:_MEASURED], labels=self.labels[:_MEASURED])
        for targets in losses.targets_of(self.loss, few.labels, self.units):
            values = losses.values_of(self.loss, targets, few.raw)
            if values is None:
                continue
            kinds: tuple[Kind, ...] = ("distribution",) if self.units == 1 else ("distribution", "independent")
            for kind in kinds:
                expected = few._cross_entropy(kind)
                if np.allclose(values, expected if values.ndim else expected.mean(), rtol=1e-3, atol=1e-4):
                    return kind
            return "scores"
        return "scores"

    def _cross_entropy(self, kind: Kind) -> np.ndarray:
        """The cross-entropy of the true class of each image, or the mean of those of all sigmoids."""
        logarithms = self._log_probabilities(kind)
        if logarithms is None:
            return np.full(len(self.labels), np.nan)
        rows = np.arange(len(self.labels))
        if kind == "distribution":
            return np.asarray(-logarithms[rows, self.labels])
        with np.errstate(divide="ignore"):
            others = np.log1p(-np.exp(logarithms)) if self._are_probabilities() else log_sigmoid(-self.raw)
        others[rows, self.labels] = logarithms[rows, self.labels]
        return np.asarray(-others.mean(axis=1))

    def _losses(self, kind: Kind) -> tuple[np.ndarray | None, str | None]:
        """The loss of each image and its name; `None` for the cross-entropy of the true class."""
        if not self._is_usual(kind):
            for targets in losses.targets_of(self.loss, self.labels, self.units):
                values = losses.values_of(self.loss, targets, self.returned, self._logits())
                if values is not None and values.ndim:
                    return values, f"{COMPILED} ({losses.name_of(self.loss)})"
        if kind == "distribution":
            return None, CROSS_ENTROPY
        return (self._cross_entropy(kind), BINARY_CROSS_ENTROPY) if kind == "independent" else (None, None)

    def _logits(self) -> np.ndarray | None:
        """What the losses of Keras read in place of a softmax or sigmoid."""
        return self.raw if self.activation in ("softmax", "sigmoid") else None

    def _is_usual(self, kind: Kind) -> bool:
        """Whether the compiled loss, if there is one, is the cross-entropy of the probabilities."""
        is_of_sigmoids = self.units == 1 or kind == "independent"
        return self.loss is None or (losses.is_plain(self.loss) and losses.is_binary(self.loss) == is_of_sigmoids)

    def _no_probability(self) -> str:
        if self.loss is None:
            return (
                "The model returns numbers between 0 and 1 that are neither probabilities that sum to 1 nor logits, "
                "and it was compiled without a loss."
            )
        return (
            f"The model returns scores that it learned with the loss “{losses.name_of(self.loss)}”, not probabilities."
        )


def _within_bounds(values: np.ndarray) -> bool:
    return bool((values >= 0).all() and (values <= 1).all())
