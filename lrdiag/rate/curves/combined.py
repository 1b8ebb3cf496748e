"""Curves made from another curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lrdiag import formats
from lrdiag.errors import SettingsError
from lrdiag.rate.curves.base import Curve, require_curve
from lrdiag.rate.curves.checks import is_number, require_positive


@dataclass(frozen=True)
class Warmup(Curve):
    """A curve after a linear warm-up: Goyal et al., "Accurate, Large Minibatch SGD" (2017), section 2.2.

    The rate rises linearly from `start_lr` to the curve's first rate in `warmup_steps` steps. Then the curve begins at
    its step 0.

    Example:
        >>> from lrdiag.rate.curves import InverseTimeDecay
        >>> curve = Warmup(InverseTimeDecay(initial_lr=0.4, steps_per_epoch=10), warmup_steps=4, start_lr=0.1)
        >>> [round(float(curve(step)), 3) for step in (0, 2, 4, 13, 14)]
        [0.1, 0.25, 0.4, 0.4, 0.364]

    Args:
        curve: The curve after the warm-up.
        warmup_steps: Number of steps in the warm-up.
        start_lr: The rate of the first step, >= 0 and less than the curve's first rate.

    Raises:
        SettingsError: If an argument is outside its range.
    """

    curve: Curve
    warmup_steps: int
    start_lr: float = 0.0

    def __post_init__(self) -> None:
        require_curve(self.curve)
        require_positive(warmup_steps=self.warmup_steps)
        first = float(self.curve(0))
        if not (is_number(self.start_lr) and 0 <= self.start_lr < first):
            raise SettingsError(
                "Argument `start_lr` must be 0 or more and less than the curve's first rate, "
                f"{formats.rate(first, 6)}. Received: start_lr={self.start_lr!r}"
            )

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """Returns the rate at `step`."""
        rising = self.start_lr + (float(self.curve(0)) - self.start_lr) * (step / self.warmup_steps)
        return ops.where(step < self.warmup_steps, rising, self.curve(self._after(step, ops), ops))

    def momentum(self, step: Any, low: float, high: float, ops: Any = np) -> Any:
        """Returns the momentum of the curve. It is constant during the warm-up."""
        return self.curve.momentum(self._after(step, ops), low, high, ops)

    def length(self) -> int:
        """Returns the number of updates in warm-up and curve."""
        return self.warmup_steps + self.curve.length()

    def cycle_bounds(self, updates: int) -> list[float]:
        """Returns the bounds of the curve, after the warm-up."""
        return [self.warmup_steps + bound for bound in self.curve.cycle_bounds(updates - self.warmup_steps)]

    def fitting(self, updates: int) -> str:
        """Returns what fits the curve to the steps after the warm-up, with a shorter warm-up if they are too few."""
        kept = self.curve.fitting(updates - self.warmup_steps)
        warmup_steps = math.ceil(self.warmup_steps * updates / self.length())
        shortened = self.curve.fitting(updates - warmup_steps)
        return kept or (f"warmup_steps={warmup_steps}, {shortened}" if shortened else "")

    @property
    def jumps(self) -> bool:  # type: ignore[override]
        """As in the curve."""
        return self.curve.jumps

    def _after(self, step: Any, ops: Any) -> Any:
        return ops.maximum(step - self.warmup_steps, 0)


@dataclass(frozen=True)
class CycledMomentum(Curve):
    """Momentum that moves opposite to a curve: Smith (2018), section 4.3.

    Example:
        >>> from lrdiag.rate.curves import OneCycle
        >>> momentum = CycledMomentum(OneCycle(max_lr=1.0, total_steps=100), low=0.85, high=0.95)
        >>> [round(float(momentum(step)), 2) for step in (0, 25, 100)]
        [0.95, 0.85, 0.95]

    Args:
        curve: The policy of the learning rate. It must have cycles.
        low: The momentum at the peak of the rate, >= 0.
        high: The momentum at the lowest rate, less than 1.

    Raises:
        SettingsError: If an argument is outside its range, or the curve has no cycles.
    """

    curve: Curve
    low: float
    high: float

    quantity: ClassVar[str] = "momentum"
    dips: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_curve(self.curve)
        if not (is_number(self.low) and is_number(self.high) and 0 <= self.low < self.high < 1):
            raise SettingsError(
                "The momentum must cycle between two numbers, 0 <= low < high < 1. "
                f"Received: low={self.low!r}, high={self.high!r}"
            )
        self.curve.momentum(0, self.low, self.high)  # raises for a curve without cycles

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """Returns the momentum at `step`."""
        return self.curve.momentum(step, self.low, self.high, ops)

    def length(self) -> int:
        """As in the curve."""
        return self.curve.length()

    def cycle_bounds(self, updates: int) -> list[float]:
        """As in the curve."""
        return self.curve.cycle_bounds(updates)

    def fitting(self, updates: int) -> str:
        """As in the curve."""
        return self.curve.fitting(updates)
