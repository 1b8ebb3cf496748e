"""The rates of a range test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lrdiag.errors import require_count
from lrdiag.rate.curves.base import Curve
from lrdiag.rate.curves.checks import require_ascending, require_positive


@dataclass(frozen=True)
class _Sweep(Curve):
    """The common part of both ladders, which reach both ends."""

    start_lr: float
    end_lr: float
    iterations: int

    def __post_init__(self) -> None:
        require_positive(start_lr=self.start_lr, end_lr=self.end_lr)
        require_ascending(start_lr=self.start_lr, end_lr=self.end_lr)
        require_count("iterations", self.iterations, at_least=2)

    def length(self) -> int:
        """Returns `iterations`."""
        return self.iterations


@dataclass(frozen=True)
class ExponentialSweep(_Sweep):
    """Exponential rates: `start_lr * (end_lr / start_lr) ** (step / (iterations - 1))`.

    Source: fastai's `lr_find` (`SchedExp`).

    Example:
        >>> curve = ExponentialSweep(start_lr=1e-4, end_lr=1.0, iterations=5)
        >>> [round(float(curve(step)), 4) for step in range(5)]
        [0.0001, 0.001, 0.01, 0.1, 1.0]

    Args:
        start_lr: The first rate.
        end_lr: The last rate.
        iterations: Number of rates, >= 2.

    Raises:
        SettingsError: If an argument is outside its range.
    """

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """Returns the rate at `step`."""
        return self.start_lr * ops.power(np.float64(self.end_lr / self.start_lr), step / (self.iterations - 1))


@dataclass(frozen=True)
class LinearSweep(_Sweep):
    """Linear rates: `start_lr + (end_lr - start_lr) * step / (iterations - 1)`.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3.

    Example:
        >>> curve = LinearSweep(start_lr=0.1, end_lr=0.5, iterations=5)
        >>> [round(float(curve(step)), 1) for step in range(5)]
        [0.1, 0.2, 0.3, 0.4, 0.5]

    Args:
        start_lr: The first rate.
        end_lr: The last rate.
        iterations: Number of rates, >= 2.

    Raises:
        SettingsError: If an argument is outside its range.
    """

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """Returns the rate at `step`."""
        return self.start_lr + (self.end_lr - self.start_lr) * (step / (self.iterations - 1))


LADDERS: dict[str, type[ExponentialSweep] | type[LinearSweep]] = {
    "exponential": ExponentialSweep,
    "linear": LinearSweep,
}
