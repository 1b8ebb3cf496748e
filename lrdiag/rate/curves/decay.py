"""Policies that decay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lrdiag.errors import SettingsError
from lrdiag.rate.curves.base import Curve
from lrdiag.rate.curves.checks import is_number, require_one_or_more, require_positive

_ROUNDING = 1e-12  # relative error of a quotient that is a whole number


@dataclass(frozen=True)
class CosineRestarts(Curve):
    """Cosine decay with warm restarts: Loshchilov & Hutter, "SGDR" (2017), equation 5; Keras's `CosineDecayRestarts`.

    Cycle `i` has `first_decay_steps * t_mul**i` steps. After the share `s` of it, the rate is
    `initial_lr * (alpha + (1 - alpha) * m_mul**i * (1 + cos(pi * s)) / 2)`.

    Example:
        >>> curve = CosineRestarts(initial_lr=0.4, first_decay_steps=4)
        >>> [round(float(curve(step)), 2) for step in (0, 2, 4, 8, 12)]
        [0.4, 0.2, 0.4, 0.2, 0.4]

    Args:
        initial_lr: The first rate.
        first_decay_steps: Number of steps in the first cycle, >= 1.
        t_mul: Length of each cycle divided by that of the previous one, >= 1.
        m_mul: Height of each cycle divided by that of the previous one.
        alpha: The lowest rate, as a share of `initial_lr`, in [0, 1).

    Raises:
        SettingsError: If an argument is outside its range.
    """

    initial_lr: float
    first_decay_steps: float
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    jumps: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(initial_lr=self.initial_lr, first_decay_steps=self.first_decay_steps, m_mul=self.m_mul)
        require_one_or_more(t_mul=self.t_mul)
        if not (is_number(self.alpha) and 0 <= self.alpha < 1):
            raise SettingsError(f"Argument `alpha` must be in [0, 1). Received: alpha={self.alpha!r}")

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """Returns the rate at `step`."""
        reached = step / self.first_decay_steps * (1.0 + _ROUNDING)
        if self.t_mul == 1.0:
            cycle = ops.floor(reached)
            begin, length = cycle * self.first_decay_steps, self.first_decay_steps
        else:
            cycle = ops.floor(ops.log(1.0 + reached * (self.t_mul - 1.0)) / math.log(self.t_mul))
            stretch = ops.power(np.float64(self.t_mul), cycle)
            begin = self.first_decay_steps * (stretch - 1.0) / (self.t_mul - 1.0)
            length = self.first_decay_steps * stretch
        share = (step - begin) / length  # the difference of whole steps is not rounded, however large they are
        height = ops.power(np.float64(self.m_mul), cycle) * (1.0 + ops.cos(np.pi * ops.maximum(share, 0.0))) / 2.0
        return self.initial_lr * (self.alpha + (1.0 - self.alpha) * height)

    def length(self) -> int:
        """Returns the number of updates in three cycles."""
        return math.ceil(self.first_decay_steps * (1 + self.t_mul + self.t_mul**2))

    def cycle_bounds(self, updates: int) -> list[float]:
        """Returns 0 and the restarts."""
        length = self.first_decay_steps
        bounds = [0.0, length]
        while bounds[-1] < updates:
            length *= self.t_mul
            bounds.append(bounds[-1] + length)
        return bounds

    def fitting(self, updates: int) -> str:
        """Returns the length of the first cycle with which the last one ends after `updates`."""
        if updates < 1:
            return ""
        nearest = min(self.cycle_bounds(updates)[1:], key=lambda end: abs(updates - end))
        return f"first_decay_steps={self.first_decay_steps * updates / nearest:g}"


@dataclass(frozen=True)
class InverseTimeDecay(Curve):
    """Decay by epoch: `initial_lr / (1 + decay * epoch)`, with epochs counted from 0.

    Example:
        >>> curve = InverseTimeDecay(initial_lr=0.01, steps_per_epoch=10)
        >>> [round(float(curve(step)), 5) for step in (0, 9, 10, 100)]
        [0.01, 0.01, 0.00909, 0.005]

    Args:
        initial_lr: The rate of the first epoch.
        steps_per_epoch: Number of steps in an epoch. The rate is constant within an epoch.
        decay: Factor of the epoch in the formula.

    Raises:
        SettingsError: If an argument isn't positive.
    """

    initial_lr: float
    steps_per_epoch: int
    decay: float = 0.1

    def __post_init__(self) -> None:
        require_positive(initial_lr=self.initial_lr, steps_per_epoch=self.steps_per_epoch, decay=self.decay)

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """Returns the rate at `step`."""
        # plus half a step: XLA replaces the division by a product, and 41 * (1 / 41) is less than 1
        return self.initial_lr / (1.0 + self.decay * ops.floor((step + 0.5) / self.steps_per_epoch))

    def length(self) -> int:
        """Returns the number of updates until the rate is halved."""
        return math.ceil(self.steps_per_epoch * (1 + 1 / self.decay))
