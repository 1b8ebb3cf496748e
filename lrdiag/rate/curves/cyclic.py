"""Triangular cycles of the learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from lrdiag.errors import SettingsError, require_choice
from lrdiag.rate.curves.base import Curve
from lrdiag.rate.curves.checks import require_ascending, require_one_or_more, require_positive

EPOCHS_PER_CYCLE = 16
"""Smith recommends cycles of 4 to 20 epochs."""
MIN_DECAYING_CYCLES = 3
"""A single cycle would not decay."""

CyclicMode = Literal["triangular", "triangular2", "exp_range", "exp_range_boundaries"]


@dataclass(frozen=True)
class Cyclic(Curve):
    """Cycles between two boundaries: Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.1.

    The rate rises linearly from `base_lr` to `max_lr` in `step_size` steps, falls back in `step_size_down` steps, and
    starts again. With `up = step_size`, `down = step_size_down`, the position `p = step mod (up + down)` and the share
    `s = 1 - max(1 - p / up, (p - up) / down)` of the way up, the rate is

    * `"triangular"`: `base_lr + (max_lr - base_lr) * s`
    * `"triangular2"`: `base_lr + (max_lr - base_lr) * s / 2**c`, after `c` complete cycles
    * `"exp_range"`: `base_lr + (max_lr - base_lr) * s * gamma**step`: the amplitude decays, as in bckenstler's CLR,
      TensorFlow Addons and PyTorch
    * `"exp_range_boundaries"`: `(base_lr + (max_lr - base_lr) * s) * gamma**step`: both boundaries decay, as in
      Smith's text

    Example:
        >>> curve = Cyclic(base_lr=0.1, max_lr=0.5, step_size=4)
        >>> [round(float(curve(step)), 2) for step in range(9)]
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.4, 0.3, 0.2, 0.1]

    Args:
        base_lr: The lower boundary.
        max_lr: The upper boundary.
        step_size: Number of steps in the rising half of a cycle, >= 1.
        mode: How the cycles change; see above.
        gamma: Decay per step in the modes `"exp_range…"`, in (0, 1].
        step_size_down: Number of steps in the falling half, >= 1. Defaults to `step_size`.

    Raises:
        SettingsError: If an argument is outside its range.
    """

    base_lr: float
    max_lr: float
    step_size: float
    mode: CyclicMode = "triangular"
    gamma: float = 1.0
    step_size_down: float | None = None

    def __post_init__(self) -> None:
        require_positive(base_lr=self.base_lr, max_lr=self.max_lr, gamma=self.gamma)
        require_one_or_more(step_size=self.step_size)  # with fewer steps, no update would reach the top
        require_ascending(base_lr=self.base_lr, max_lr=self.max_lr)
        require_choice("mode", self.mode, get_args(CyclicMode))
        if self.step_size_down is not None:
            require_one_or_more(step_size_down=self.step_size_down)
        if self.gamma > 1 or (self.gamma < 1 and not self.mode.startswith("exp_range")):
            raise SettingsError(
                "Argument `gamma` must be at most 1, and exactly 1 unless `mode` is 'exp_range' or "
                f"'exp_range_boundaries'. Received: gamma={self.gamma}, mode={self.mode!r}"
            )

    @classmethod
    def over(
        cls, base_lr: float, max_lr: float, updates: int, epochs: int, mode: CyclicMode = "triangular", gamma: float = 1
    ) -> Cyclic:
        """Returns cycles that end with a training run: one for every 16 epochs, and at least three if they decay.

        Example:
            >>> Cyclic.over(0.1, 0.5, updates=801, epochs=20).step_size
            400.0

        Args:
            base_lr: The lower boundary.
            max_lr: The upper boundary.
            updates: Number of updates in the training run.
            epochs: Number of epochs in the training run.
            mode: How the cycles change.
            gamma: Decay per step.

        Raises:
            SettingsError: If an argument is outside its range.
        """
        last_step = max(updates - 1, 1)
        wanted = max(1 if mode == "triangular" else MIN_DECAYING_CYCLES, round(epochs / EPOCHS_PER_CYCLE))
        cycles = max(min(wanted, last_step // 2), 1)  # a cycle needs one step up and one down
        return cls(base_lr, max_lr, max(last_step / (2 * cycles), 1), mode, gamma)

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """Returns the rate at `step`."""
        amplitude = (self.max_lr - self.base_lr) * self._share(step, ops)
        if self.mode == "exp_range_boundaries":
            return (self.base_lr + amplitude) * self._decay(step, ops)
        return self.base_lr + amplitude * self._decay(step, ops)

    def momentum(self, step: Any, low: float, high: float, ops: Any = np) -> Any:
        """Returns `high - (high - low) * s`, as PyTorch's `CyclicLR` does. The swing decays too."""
        swing = (high - low) * self._share(step, ops)
        return high - (swing if self.mode == "exp_range_boundaries" else swing * self._decay(step, ops))

    def length(self) -> int:
        """Returns the number of updates in three cycles."""
        return math.ceil(3 * self._cycle)

    def cycle_bounds(self, updates: int) -> list[float]:
        """Returns the multiples of `step_size + step_size_down`."""
        return [self._cycle * number for number in range(max(1, math.ceil(updates / self._cycle)) + 1)]

    def fitting(self, updates: int) -> str:
        """Returns the step size with which the last update is at the lower boundary."""
        cycles = max(1, round(updates / self._cycle))
        factor = (updates - 1) / (cycles * self._cycle)
        halves = {"step_size": self.step_size, "step_size_down": self.step_size_down}
        fitted = {name: steps * factor for name, steps in halves.items() if steps is not None}
        return ", ".join(f"{name}={steps:g}" for name, steps in fitted.items()) if min(fitted.values()) >= 1 else ""

    @property
    def _down(self) -> float:
        return self.step_size if self.step_size_down is None else self.step_size_down

    @property
    def _cycle(self) -> float:
        return self.step_size + self._down

    def _share(self, step: Any, ops: Any) -> Any:
        position = ops.mod(step, np.float64(self._cycle))  # not rounded, however large `step` is
        return 1.0 - ops.maximum(1.0 - position / self.step_size, (position - self.step_size) / self._down)

    def _decay(self, step: Any, ops: Any) -> Any:
        if self.mode == "triangular":
            return 1.0
        if self.mode == "triangular2":
            return ops.power(np.float64(0.5), ops.floor(step / self._cycle))
        return ops.power(np.float64(self.gamma), step)
