"""Learning-rate policies as pure curves: `step -> rate`.

A curve is the one place where a policy's formula stands; the Keras schedule, the callback, the charts and the tests
call it. Pass `ops=keras.ops` to evaluate it on tensors inside a graph; with the default it takes and returns numpy.
Steps count updates from 0, rates are those of the optimizer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lrdiag.errors import SettingsError


class Curve(Protocol):
    """A policy: the rate of every step."""

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """The rate at `step`: a number or an array of them, computed with the numpy-like module `ops`."""


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise SettingsError(f"Argument `{name}` must be a positive, finite number. Received: {name}={value}")


def _require_ascending(base_lr: float, max_lr: float) -> None:
    if base_lr >= max_lr:
        raise SettingsError(
            f"Argument `base_lr` must be less than `max_lr`. Received: base_lr={base_lr}, max_lr={max_lr}"
        )


@dataclass(frozen=True)
class Triangular:
    """The triangular cycle of Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.1.

    The rate rises in a straight line from `base_lr` to `max_lr` in `step_size` steps, falls back as evenly, and
    starts again: `base_lr + (max_lr - base_lr) * (1 - |step / step_size mod 2 - 1|)`.

    Example:
        >>> curve = Triangular(base_lr=0.1, max_lr=0.5, step_size=4)
        >>> [round(float(curve(step)), 2) for step in range(9)]
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.4, 0.3, 0.2, 0.1]

    Args:
        base_lr: The lower boundary.
        max_lr: The upper boundary.
        step_size: Steps in half a cycle.
    """

    base_lr: float
    max_lr: float
    step_size: float

    def __post_init__(self) -> None:
        _require_positive(base_lr=self.base_lr, max_lr=self.max_lr, step_size=self.step_size)
        _require_ascending(self.base_lr, self.max_lr)

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """The rate at `step`."""
        position = ops.mod(step / self.step_size, 2.0)
        return self.base_lr + (self.max_lr - self.base_lr) * (1.0 - ops.absolute(position - 1.0))


@dataclass(frozen=True)
class OneCycle:
    """One cycle over the whole of training: Smith, "A disciplined approach to neural network hyper-parameters" (2018).

    Two cosine phases, as fastai and PyTorch run it: up from `max_lr / div_factor` to `max_lr` in the first `pct_start`
    of the steps, then down to `max_lr / final_div_factor`.

    Example:
        >>> curve = OneCycle(max_lr=1.0, total_steps=100)
        >>> [round(float(curve(step)), 3) for step in (0, 25, 100)]
        [0.04, 1.0, 0.0]

    Args:
        max_lr: The peak.
        total_steps: Steps in the whole of training.
        pct_start: Which share of the steps rises.
        div_factor: The first rate is `max_lr / div_factor`.
        final_div_factor: The last rate is `max_lr / final_div_factor`.
    """

    max_lr: float
    total_steps: int
    pct_start: float = 0.25
    div_factor: float = 25.0
    final_div_factor: float = 1e5

    def __post_init__(self) -> None:
        _require_positive(
            max_lr=self.max_lr,
            total_steps=self.total_steps,
            pct_start=self.pct_start,
            div_factor=self.div_factor,
            final_div_factor=self.final_div_factor,
        )
        if self.pct_start >= 1:
            raise SettingsError(f"Argument `pct_start` must be less than 1. Received: pct_start={self.pct_start}")

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """The rate at `step`; after `total_steps` the last rate stays."""
        position = ops.minimum(step / self.total_steps, 1.0)
        rise = ops.minimum(position / self.pct_start, 1.0)
        fall = ops.maximum((position - self.pct_start) / (1.0 - self.pct_start), 0.0)
        first, last = self.max_lr / self.div_factor, self.max_lr / self.final_div_factor
        risen = first + (self.max_lr - first) * (1.0 - ops.cos(np.pi * rise)) / 2.0
        fallen = last + (self.max_lr - last) * (1.0 + ops.cos(np.pi * fall)) / 2.0
        return ops.where(position < self.pct_start, risen, fallen)


@dataclass(frozen=True)
class InverseTimeDecay:
    """The epoch decay of the learning-rate article: `initial_lr / (1 + decay * epoch)`, epochs counted from 0.

    Example:
        >>> curve = InverseTimeDecay(initial_lr=0.01, steps_per_epoch=10)
        >>> [round(float(curve(step)), 5) for step in (0, 9, 10, 100)]
        [0.01, 0.01, 0.00909, 0.005]

    Args:
        initial_lr: The rate of the first epoch.
        steps_per_epoch: Steps in one epoch; the rate stays the same within it.
        decay: How fast the rate falls.
    """

    initial_lr: float
    steps_per_epoch: int
    decay: float = 0.1

    def __post_init__(self) -> None:
        _require_positive(initial_lr=self.initial_lr, steps_per_epoch=self.steps_per_epoch, decay=self.decay)

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """The rate at `step`."""
        # half a step in: compiled, a division becomes a product, and 41 * (1 / 41) falls short of 1
        return self.initial_lr / (1.0 + self.decay * ops.floor((step + 0.5) / self.steps_per_epoch))


@dataclass(frozen=True)
class ExponentialSweep:
    """The ladder of a range test: `start_lr * (end_lr / start_lr) ** (step / (iterations - 1))`; both ends are reached.

    Example:
        >>> curve = ExponentialSweep(start_lr=1e-4, end_lr=1.0, iterations=5)
        >>> [round(float(curve(step)), 4) for step in range(5)]
        [0.0001, 0.001, 0.01, 0.1, 1.0]

    Args:
        start_lr: The first rate.
        end_lr: The last rate.
        iterations: How many rates there are.
    """

    start_lr: float
    end_lr: float
    iterations: int

    def __post_init__(self) -> None:
        _require_positive(start_lr=self.start_lr, end_lr=self.end_lr)
        if self.start_lr >= self.end_lr:
            raise SettingsError(
                "Argument `start_lr` must be less than `end_lr`. "
                f"Received: start_lr={self.start_lr}, end_lr={self.end_lr}"
            )
        if self.iterations < 2:
            raise SettingsError(f"Argument `iterations` must be 2 or more. Received: iterations={self.iterations}")

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """The rate at `step`."""
        return self.start_lr * ops.power(self.end_lr / self.start_lr, step / (self.iterations - 1))
