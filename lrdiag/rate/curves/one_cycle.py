"""A single cycle over a whole training run."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from lrdiag.errors import SettingsError, require_choice
from lrdiag.rate.curves.base import Curve
from lrdiag.rate.curves.checks import require_one_or_more, require_positive

Convention = Literal["fastai", "pytorch"]
Anneal = Literal["cos", "linear"]


@dataclass(frozen=True)
class OneCycle(Curve):
    """One cycle over a training run: Smith, "A disciplined approach to neural network hyper-parameters" (2018).

    Section 4.1 describes the cycle and section 4.3 the momentum. The formulas are those of fastai and PyTorch.
    The rate rises from `first` to `max_lr` and falls to `last`, along a cosine or a straight line. With `three_phase`,
    as in Smith's text, it falls back to `first` as fast as it rose, and then to `last`.

    | | `"fastai"` (version 2) | `"pytorch"` (`OneCycleLR`) |
    |---|---|---|
    | `first` | `max_lr / div_factor` | `max_lr / div_factor` |
    | `last` | `max_lr / final_div_factor` | `max_lr / div_factor / final_div_factor` |
    | the peak is at step | `pct_start * total_steps` | `pct_start * total_steps - 1` |
    | with three phases, `first` again at | `2 * pct_start * total_steps` | `2 * pct_start * total_steps - 2` |
    | `last` is at step | `total_steps` | `total_steps - 1` |
    | `pct_start`, `div_factor`, `final_div_factor` | 0.25, 25, 1e5 | 0.3, 25, 1e4 |

    Example:
        >>> curve = OneCycle(max_lr=1.0, total_steps=100)
        >>> [round(float(curve(step)), 3) for step in (0, 25, 100)]
        [0.04, 1.0, 0.0]

    Args:
        max_lr: The peak.
        total_steps: Number of steps in the training run.
        pct_start: Share of the steps in which the rate rises. Defaults to the convention's.
        div_factor: The peak divided by the first rate, >= 1. Defaults to the convention's.
        final_div_factor: The peak (in PyTorch: the first rate) divided by the last rate, >= 1. Defaults to the
            convention's.
        convention: `"fastai"` or `"pytorch"`: whose formula to use.
        anneal: `"cos"` or `"linear"`: the shape of rise and fall.
        three_phase: Whether to fall back to the first rate before falling to the last.

    Raises:
        SettingsError: If an argument is outside its range, or a phase would have no step.
    """

    max_lr: float
    total_steps: int
    pct_start: float | None = None
    div_factor: float | None = None
    final_div_factor: float | None = None
    convention: Convention = "fastai"
    anneal: Anneal = "cos"
    three_phase: bool = False

    def __post_init__(self) -> None:
        require_choice("convention", self.convention, get_args(Convention))
        require_choice("anneal", self.anneal, get_args(Anneal))
        factors = dict(self._factors)
        require_positive(max_lr=self.max_lr, total_steps=self.total_steps, pct_start=factors.pop("pct_start"))
        require_one_or_more(**factors)  # a smaller factor would exceed the peak
        knots = self._knots
        if any(end <= begin for begin, end in itertools.pairwise(knots)):
            raise SettingsError(
                f"Argument `pct_start` must be less than {0.5 if self.three_phase else 1}, and `total_steps` large "
                f"enough for every phase to have a step. Received: pct_start={self._factors['pct_start']}, "
                f"total_steps={self.total_steps}, convention={self.convention!r}, three_phase={self.three_phase}"
            )

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """Returns the rate at `step`. It is constant after the last step."""
        first = self.max_lr / self._factors["div_factor"]
        last = (self.max_lr if self.convention == "fastai" else first) / self._factors["final_div_factor"]
        return self._through((first, self.max_lr, first, last), step, ops)

    def momentum(self, step: Any, low: float, high: float, ops: Any = np) -> Any:
        """Returns the momentum at `step`: `high`, then `low` at the peak, then `high` to the end."""
        return self._through((high, low, high, high), step, ops)

    def length(self) -> int:
        """Returns `total_steps`."""
        return self.total_steps

    def cycle_bounds(self, updates: int) -> list[float]:
        """Returns 0 and `total_steps`."""
        return [0.0, self.total_steps]

    def fitting(self, updates: int) -> str:
        """Returns `total_steps` for the whole run, if at least one step of it can rise."""
        peak = self._factors["pct_start"] * updates - (self.convention == "pytorch")
        return f"total_steps={updates}" if peak >= 1 else ""

    @functools.cached_property
    def _factors(self) -> dict[str, float]:
        defaults = {
            "pct_start": 0.25 if self.convention == "fastai" else 0.3,
            "div_factor": 25.0,
            "final_div_factor": 1e5 if self.convention == "fastai" else 1e4,
        }
        given = {name: getattr(self, name) for name in defaults}
        return {name: defaults[name] if value is None else value for name, value in given.items()}

    @property
    def _last_step(self) -> int:
        return self.total_steps if self.convention == "fastai" else self.total_steps - 1

    @functools.cached_property
    def _knots(self) -> list[float]:
        """Where the phases begin and end, as shares of the steps."""
        pct_start = self._factors["pct_start"]
        if self.convention == "fastai":
            peak = pct_start
        else:  # PyTorch counts the steps of each phase from 0
            peak = (pct_start * self.total_steps - 1) / max(self._last_step, 1)
        return [0.0, peak, 2 * peak, 1.0] if self.three_phase else [0.0, peak, 1.0]

    def _through(self, levels: tuple[float, float, float, float], step: Any, ops: Any) -> Any:
        """Interpolates between the levels, one per knot. With two phases, the third level is left out."""
        knots = self._knots
        heights = levels if self.three_phase else (levels[0], levels[1], levels[3])
        position = ops.minimum(step / self._last_step, 1.0)
        value = self._phase(heights[0], heights[1], position / knots[1], ops)
        for number in range(1, len(knots) - 1):
            share = (position - knots[number]) / (knots[number + 1] - knots[number])
            later = self._phase(heights[number], heights[number + 1], share, ops)
            value = ops.where(position < knots[number], value, later)
        return value

    def _phase(self, start: float, end: float, share: Any, ops: Any) -> Any:
        share = ops.minimum(ops.maximum(share, 0.0), 1.0)
        way = (1.0 - ops.cos(np.pi * share)) / 2.0 if self.anneal == "cos" else share
        return start * (1.0 - way) + end * way
