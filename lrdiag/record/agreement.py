"""Whether the figures of a report are those of the model's own methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Compared(NamedTuple):
    """One figure on the images of the agreement check: as the report has it, and as `model.evaluate` returns it."""

    own: float
    theirs: float


@dataclass(frozen=True)
class Agreement:
    """How lrdiag's own pass compares with `model.predict` and `model.evaluate` on a few images.

    Attributes:
        images: Number of images.
        difference: The largest difference of an output from that of `model.predict`.
        tolerance: The largest difference that rounding explains.
        no_predict: Why the outputs were not compared, or `None`.
        accuracy: The accuracies, if they were compared.
        loss: The losses, if they were compared.
        no_evaluate: Why neither was compared, or only one of them, or `None`.
        differs: The figures that differ, `"accuracy"` and `"loss"`.
        loss_recovers: Whether Keras computes the right loss although `from_logits` contradicts what the model returns;
            `None` if it does not contradict it, or the images do not tell.
    """

    images: int
    difference: float
    tolerance: float
    no_predict: str | None = None
    accuracy: Compared | None = None
    loss: Compared | None = None
    no_evaluate: str | None = None
    differs: tuple[str, ...] = ()
    loss_recovers: bool | None = None
