"""Learning-rate policies as pure curves: `step -> rate`.

A curve is the one place where a policy's formula stands; the Keras schedule, the callback, the charts and the tests
call it. Pass `ops=keras.ops` to evaluate it on float64 tensors inside a graph, where a constant that is handed to `ops`
must be `np.float64`, else Keras rounds it to float32; with the default it takes and returns numpy.
Steps count updates from 0, rates are those of the optimizer.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from abc import abstractmethod
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from lrdiag.errors import SettingsError, require_choice, require_count
from lrdiag.rate.preview import Previewed

CyclicMode = Literal["triangular", "triangular2", "exp_range", "exp_range_boundaries"]
Convention = Literal["fastai", "pytorch"]
Anneal = Literal["cos", "linear"]

_ROUNDING = 1e-12
"""How much a quotient may fall short of the whole number that it is."""


class Curve(Previewed):
    """A policy: the rate of every step. Subclasses are frozen dataclasses of plain values, or of other curves."""

    quantity: ClassVar[str] = "learning rate"
    """What the curve is of."""
    jumps: ClassVar[bool] = False
    """Whether the step after the end of a cycle is at the top again."""
    dips: ClassVar[bool] = False
    """Whether a cycle turns at its lowest point, and not at its peak."""
    _classes: ClassVar[dict[str, type[Curve]]] = {}

    def __init_subclass__(cls) -> None:
        Curve._classes[cls.__name__] = cls

    @abstractmethod
    def __call__(self, step: Any, ops: Any = np) -> Any:
        """The rate at `step`: a number or an array of them, computed with the numpy-like module `ops`."""

    @abstractmethod
    def length(self) -> int:
        """How many updates show the policy whole."""

    def cycle_bounds(self, updates: int) -> list[float]:
        """After how many updates the first cycle begins and each ends, up to the first end not before `updates`.

        Empty for a policy without cycles.
        """
        return []

    def fitting(self, updates: int) -> str:
        """The arguments with which the cycles end after `updates`, as they are written in a call.

        Empty where there are none, as so short a training holds no cycle.
        """
        return ""

    def momentum(self, step: Any, low: float, high: float, ops: Any = np) -> Any:
        """The momentum that runs against the rate: `high` where the rate is lowest, `low` at its peak.

        Raises:
            SettingsError: If the policy has no cycle to run against.
        """
        raise SettingsError(
            "Momentum is cycled against a cycle of the learning rate: use `Cyclic` or `OneCycle`, with or without "
            f"`Warmup`. Received: {type(self).__name__}"
        )

    def get_config(self) -> dict[str, Any]:
        """Plain values that make this curve again; see `curve_from_config`."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        plain = {name: value.get_config() if isinstance(value, Curve) else value for name, value in values.items()}
        return {"class_name": type(self).__name__, **plain}

    def _previewed(self) -> Curve:
        return self


def curve_from_config(config: dict[str, Any]) -> Curve:
    """Makes a curve of what `Curve.get_config` returned.

    Example:
        >>> curve_from_config({"class_name": "InverseTimeDecay", "initial_lr": 0.1, "steps_per_epoch": 10})
        InverseTimeDecay(initial_lr=0.1, steps_per_epoch=10, decay=0.1)
    """
    values = {name: curve_from_config(value) if isinstance(value, dict) else value for name, value in config.items()}
    del values["class_name"]
    return Curve._classes[config["class_name"]](**values)


def require_curve(value: object) -> None:
    """Refuses what is no curve where one is needed.

    Raises:
        SettingsError: If it is none, as a schedule or a number.
    """
    if not isinstance(value, Curve):
        raise SettingsError(
            "Argument `curve` must be a curve, such as `lrdiag.Cyclic` or `lrdiag.OneCycle`; that of a schedule or "
            f"callback of lrdiag is its attribute `curve`. Received: {type(value).__name__}"
        )


def is_number(value: object) -> bool:
    """Whether it is a real number, of Python or of numpy."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if not (is_number(value) and 0 < value < float("inf")):
            raise SettingsError(f"Argument `{name}` must be a positive, finite number. Received: {name}={value!r}")


def _require_one_or_more(**values: float) -> None:
    for name, value in values.items():
        if not (is_number(value) and 1 <= value < float("inf")):
            raise SettingsError(f"Argument `{name}` must be 1 or more, and finite. Received: {name}={value!r}")


def _require_ascending(**values: float) -> None:
    (low, lesser), (high, greater) = values.items()
    if lesser >= greater:
        raise SettingsError(f"Argument `{low}` must be less than `{high}`. Received: {low}={lesser}, {high}={greater}")


@dataclass(frozen=True)
class Cyclic(Curve):
    """The cycles of Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.1.

    The rate rises in a straight line from `base_lr` to `max_lr` in `step_size` steps, falls back in `step_size_down`,
    and starts again. With `up = step_size`, `down = step_size_down`, the position `p = step / up mod (1 + down / up)`
    and the share `s = 1 - max(1 - p, (p - 1) * up / down)` of the way up, the rate is

    * `"triangular"`: `base_lr + (max_lr - base_lr) * s`
    * `"triangular2"`: `base_lr + (max_lr - base_lr) * s / 2**c`, where `c` cycles are complete
    * `"exp_range"`: `base_lr + (max_lr - base_lr) * s * gamma**step`: the amplitude decays, as in bckenstler's CLR,
      TensorFlow Addons and PyTorch
    * `"exp_range_boundaries"`: `(base_lr + (max_lr - base_lr) * s) * gamma**step`: both boundaries decay, as Smith's
      text has it

    Example:
        >>> curve = Cyclic(base_lr=0.1, max_lr=0.5, step_size=4)
        >>> [round(float(curve(step)), 2) for step in range(9)]
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.4, 0.3, 0.2, 0.1]

    Args:
        base_lr: The lower boundary.
        max_lr: The upper boundary.
        step_size: Steps in the rising half of a cycle, 1 or more.
        mode: How the cycles change; see above.
        gamma: The decay of each step in the modes `"exp_range…"`, more than 0 and at most 1.
        step_size_down: Steps in the falling half, 1 or more; `None` takes `step_size`.
    """

    base_lr: float
    max_lr: float
    step_size: float
    mode: CyclicMode = "triangular"
    gamma: float = 1.0
    step_size_down: float | None = None

    def __post_init__(self) -> None:
        _require_positive(base_lr=self.base_lr, max_lr=self.max_lr, gamma=self.gamma)
        _require_one_or_more(step_size=self.step_size)  # below, no update would be made at the top
        _require_ascending(base_lr=self.base_lr, max_lr=self.max_lr)
        require_choice("mode", self.mode, get_args(CyclicMode))
        if self.step_size_down is not None:
            _require_one_or_more(step_size_down=self.step_size_down)
        if self.gamma > 1 or (self.gamma < 1 and not self.mode.startswith("exp_range")):
            raise SettingsError(
                "Argument `gamma` must be at most 1, and exactly 1 unless `mode` is 'exp_range' or "
                f"'exp_range_boundaries'. Received: gamma={self.gamma}, mode={self.mode!r}"
            )

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """The rate at `step`."""
        amplitude = (self.max_lr - self.base_lr) * self._share(step, ops)
        if self.mode == "exp_range_boundaries":
            return (self.base_lr + amplitude) * self._decay(step, ops)
        return self.base_lr + amplitude * self._decay(step, ops)

    def momentum(self, step: Any, low: float, high: float, ops: Any = np) -> Any:
        """The momentum at `step`, as PyTorch's `CyclicLR` has it: `high - (high - low) * s`, the swing decaying too."""
        swing = (high - low) * self._share(step, ops)
        return high - (swing if self.mode == "exp_range_boundaries" else swing * self._decay(step, ops))

    def length(self) -> int:
        """Three cycles."""
        return math.ceil(3 * self._cycle)

    def cycle_bounds(self, updates: int) -> list[float]:
        """Every `step_size + step_size_down` updates."""
        return [self._cycle * number for number in range(max(1, math.ceil(updates / self._cycle)) + 1)]

    def fitting(self, updates: int) -> str:
        """The step size with which the last update is made at the lower boundary."""
        cycles = max(1, round(updates / self._cycle))
        factor = (updates - 1) / (cycles * self._cycle)
        halves = {"step_size": self.step_size, "step_size_down": self.step_size_down}
        fitted = {name: steps * factor for name, steps in halves.items() if steps is not None}
        return ", ".join(f"{name}={steps:g}" for name, steps in fitted.items()) if min(fitted.values()) >= 1 else ""

    @property
    def _fall(self) -> float:
        """The falling half, measured in rising ones."""
        return 1.0 if self.step_size_down is None else self.step_size_down / self.step_size

    @property
    def _cycle(self) -> float:
        return self.step_size * (1.0 + self._fall)

    def _share(self, step: Any, ops: Any) -> Any:
        position = ops.mod(step / self.step_size, np.float64(1.0 + self._fall))
        return 1.0 - ops.maximum(1.0 - position, (position - 1.0) / self._fall)

    def _decay(self, step: Any, ops: Any) -> Any:
        if self.mode == "triangular":
            return 1.0
        if self.mode == "triangular2":
            return ops.power(np.float64(0.5), ops.floor(step / self.step_size / (1.0 + self._fall)))
        return ops.power(np.float64(self.gamma), step)


@dataclass(frozen=True)
class OneCycle(Curve):
    """One cycle over the whole of training: Smith, "A disciplined approach to neural network hyper-parameters" (2018).

    Section 4.1 has the cycle and section 4.3 the momentum; the formulas are those of fastai and PyTorch.
    The rate rises from `first` to `max_lr` and falls to `last`, in cosines or straight lines. With `three_phase`, as
    in Smith's text, it falls back to `first` as fast as it rose, and then goes on to `last`.

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
        total_steps: Steps in the whole of training.
        pct_start: Which share of the steps rises; `None` takes the convention's.
        div_factor: How many times less than the peak the first rate is, 1 or more; `None` takes the convention's.
        final_div_factor: How many times less than the peak, or in PyTorch than the first rate, the last one is, 1 or
            more; `None` takes the convention's.
        convention: Whose formula.
        anneal: Cosines or straight lines.
        three_phase: Fall back to the first rate, then on to the last.
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
        _require_positive(max_lr=self.max_lr, total_steps=self.total_steps, pct_start=factors.pop("pct_start"))
        _require_one_or_more(**factors)  # below, the rate would exceed its peak
        knots = self._knots
        if any(end <= begin for begin, end in itertools.pairwise(knots)):
            raise SettingsError(
                f"Argument `pct_start` must be less than {0.5 if self.three_phase else 1}, and `total_steps` large "
                f"enough for every phase to have a step. Received: pct_start={self._factors['pct_start']}, "
                f"total_steps={self.total_steps}, convention={self.convention!r}, three_phase={self.three_phase}"
            )

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """The rate at `step`; after the last rate nothing changes."""
        first = self.max_lr / self._factors["div_factor"]
        last = (self.max_lr if self.convention == "fastai" else first) / self._factors["final_div_factor"]
        return self._through((first, self.max_lr, first, last), step, ops)

    def momentum(self, step: Any, low: float, high: float, ops: Any = np) -> Any:
        """The momentum at `step`: from `high` to `low` at the peak and back; a third phase stays there."""
        return self._through((high, low, high, high), step, ops)

    def length(self) -> int:
        """The whole cycle."""
        return self.total_steps

    def cycle_bounds(self, updates: int) -> list[float]:
        """Up to `total_steps`."""
        return [0.0, self.total_steps]

    def fitting(self, updates: int) -> str:
        """The whole of training, if the rate can rise for a step or more in it."""
        peak = self._factors["pct_start"] * updates - (self.convention == "pytorch")
        return f"total_steps={updates}" if peak >= 1 else ""

    @functools.cached_property
    def _factors(self) -> dict[str, float]:
        usual = {
            "pct_start": 0.25 if self.convention == "fastai" else 0.3,
            "div_factor": 25.0,
            "final_div_factor": 1e5 if self.convention == "fastai" else 1e4,
        }
        given = {name: getattr(self, name) for name in usual}
        return {name: usual[name] if value is None else value for name, value in given.items()}

    @property
    def _last_step(self) -> int:
        return self.total_steps if self.convention == "fastai" else self.total_steps - 1

    @functools.cached_property
    def _knots(self) -> list[float]:
        """Where the phases begin and end, as shares of the steps up to the last."""
        pct_start = self._factors["pct_start"]
        if self.convention == "fastai":
            peak = pct_start
        else:  # PyTorch counts the steps of each phase from 0
            peak = (pct_start * self.total_steps - 1) / max(self._last_step, 1)
        return [0.0, peak, 2 * peak, 1.0] if self.three_phase else [0.0, peak, 1.0]

    def _through(self, levels: tuple[float, float, float, float], step: Any, ops: Any) -> Any:
        """Goes from level to level, one each knot; where there are two phases, the third level is left out."""
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


@dataclass(frozen=True)
class CosineRestarts(Curve):
    """Cosine decay with warm restarts: Loshchilov & Hutter, "SGDR" (2017), equation 5; Keras's `CosineDecayRestarts`.

    In cycle `i` of `first_decay_steps * t_mul**i` steps, of which the share `s` has passed, the rate is
    `initial_lr * (alpha + (1 - alpha) * m_mul**i * (1 + cos(pi * s)) / 2)`.

    Example:
        >>> curve = CosineRestarts(initial_lr=0.4, first_decay_steps=4)
        >>> [round(float(curve(step)), 2) for step in (0, 2, 4, 8, 12)]
        [0.4, 0.2, 0.4, 0.2, 0.4]

    Args:
        initial_lr: The rate at the beginning.
        first_decay_steps: Steps in the first cycle.
        t_mul: How many times longer each cycle is than the one before, 1 or more.
        m_mul: How many times higher.
        alpha: The lowest rate, as a share of `initial_lr`; 0 to less than 1.
    """

    initial_lr: float
    first_decay_steps: float
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    jumps: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _require_positive(initial_lr=self.initial_lr, first_decay_steps=self.first_decay_steps, m_mul=self.m_mul)
        _require_one_or_more(t_mul=self.t_mul)
        if not (is_number(self.alpha) and 0 <= self.alpha < 1):
            raise SettingsError(f"Argument `alpha` must be in [0, 1). Received: alpha={self.alpha!r}")

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """The rate at `step`."""
        passed = step / self.first_decay_steps
        reached = passed * (1.0 + _ROUNDING)
        if self.t_mul == 1.0:
            cycle = begin = ops.floor(reached)
            share = passed - begin
        else:
            cycle = ops.floor(ops.log(1.0 + reached * (self.t_mul - 1.0)) / math.log(self.t_mul))
            stretch = ops.power(np.float64(self.t_mul), cycle)
            share = (passed - (stretch - 1.0) / (self.t_mul - 1.0)) / stretch
        height = ops.power(np.float64(self.m_mul), cycle) * (1.0 + ops.cos(np.pi * ops.maximum(share, 0.0))) / 2.0
        return self.initial_lr * (self.alpha + (1.0 - self.alpha) * height)

    def length(self) -> int:
        """Three cycles."""
        return math.ceil(self.first_decay_steps * (1 + self.t_mul + self.t_mul**2))

    def cycle_bounds(self, updates: int) -> list[float]:
        """At each restart."""
        length = self.first_decay_steps
        bounds = [0.0, length]
        while bounds[-1] < updates:
            length *= self.t_mul
            bounds.append(bounds[-1] + length)
        return bounds

    def fitting(self, updates: int) -> str:
        """The first cycle with which the last one ends after `updates`."""
        if updates < 1:
            return ""
        nearest = min(self.cycle_bounds(updates)[1:], key=lambda end: abs(updates - end))
        return f"first_decay_steps={self.first_decay_steps * updates / nearest:g}"


@dataclass(frozen=True)
class InverseTimeDecay(Curve):
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

    def length(self) -> int:
        """Until the rate is halved."""
        return math.ceil(self.steps_per_epoch * (1 + 1 / self.decay))


@dataclass(frozen=True)
class Warmup(Curve):
    """Any curve after a warm-up: Goyal et al., "Accurate, Large Minibatch SGD" (2017), section 2.2.

    The rate rises in a straight line from `start_lr` to the curve's first rate in `warmup_steps` steps; then the curve
    begins at its step 0.

    Example:
        >>> curve = Warmup(InverseTimeDecay(initial_lr=0.4, steps_per_epoch=10), warmup_steps=4, start_lr=0.1)
        >>> [round(float(curve(step)), 3) for step in (0, 2, 4, 13, 14)]
        [0.1, 0.25, 0.4, 0.4, 0.364]

    Args:
        curve: What follows.
        warmup_steps: Steps in the warm-up.
        start_lr: The rate of the first step, less than the curve's first rate; 0 or more.
    """

    curve: Curve
    warmup_steps: int
    start_lr: float = 0.0

    def __post_init__(self) -> None:
        require_curve(self.curve)
        _require_positive(warmup_steps=self.warmup_steps)
        first = float(self.curve(0))
        if not (is_number(self.start_lr) and 0 <= self.start_lr < first):
            raise SettingsError(
                f"Argument `start_lr` must be 0 or more and less than the curve's first rate, {first:g}. "
                f"Received: start_lr={self.start_lr!r}"
            )

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """The rate at `step`."""
        rising = self.start_lr + (float(self.curve(0)) - self.start_lr) * (step / self.warmup_steps)
        return ops.where(step < self.warmup_steps, rising, self.curve(self._after(step, ops), ops))

    def momentum(self, step: Any, low: float, high: float, ops: Any = np) -> Any:
        """The curve's own; during the warm-up its first."""
        return self.curve.momentum(self._after(step, ops), low, high, ops)

    def length(self) -> int:
        """The warm-up and the curve."""
        return self.warmup_steps + self.curve.length()

    def cycle_bounds(self, updates: int) -> list[float]:
        """Those of the curve, after the warm-up."""
        return [self.warmup_steps + bound for bound in self.curve.cycle_bounds(updates - self.warmup_steps)]

    def fitting(self, updates: int) -> str:
        """What the curve needs for the rest of the training; where too little is left, with a shorter warm-up too."""
        kept = self.curve.fitting(updates - self.warmup_steps)
        warmup_steps = math.ceil(self.warmup_steps * updates / self.length())
        shortened = self.curve.fitting(updates - warmup_steps)
        return kept or (f"warmup_steps={warmup_steps}, {shortened}" if shortened else "")

    @property
    def jumps(self) -> bool:  # type: ignore[override]
        """As the curve."""
        return self.curve.jumps

    def _after(self, step: Any, ops: Any) -> Any:
        return ops.maximum(step - self.warmup_steps, 0)


@dataclass(frozen=True)
class CycledMomentum(Curve):
    """The momentum that runs against a curve: Smith (2018), section 4.3.

    Example:
        >>> momentum = CycledMomentum(OneCycle(max_lr=1.0, total_steps=100), low=0.85, high=0.95)
        >>> [round(float(momentum(step)), 2) for step in (0, 25, 100)]
        [0.95, 0.85, 0.95]

    Args:
        curve: The policy of the rate, with cycles.
        low: The momentum at the peak of the rate.
        high: The momentum where the rate is lowest; less than 1.
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
                "Momentum is cycled between two numbers, 0 <= low < high < 1. "
                f"Received: low={self.low!r}, high={self.high!r}"
            )
        self.curve.momentum(0, self.low, self.high)  # refuses a curve without cycles

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """The momentum at `step`."""
        return self.curve.momentum(step, self.low, self.high, ops)

    def length(self) -> int:
        """As the curve."""
        return self.curve.length()

    def cycle_bounds(self, updates: int) -> list[float]:
        """As the curve."""
        return self.curve.cycle_bounds(updates)

    def fitting(self, updates: int) -> str:
        """As the curve."""
        return self.curve.fitting(updates)


@dataclass(frozen=True)
class _Sweep(Curve):
    start_lr: float
    end_lr: float
    iterations: int

    def __post_init__(self) -> None:
        _require_positive(start_lr=self.start_lr, end_lr=self.end_lr)
        _require_ascending(start_lr=self.start_lr, end_lr=self.end_lr)
        require_count("iterations", self.iterations, at_least=2)

    def length(self) -> int:
        """The whole ladder."""
        return self.iterations


@dataclass(frozen=True)
class ExponentialSweep(_Sweep):
    """The ladder of a range test: `start_lr * (end_lr / start_lr) ** (step / (iterations - 1))`; both ends are reached.

    Source: the `lr_find` of fastai (`SchedExp`), which made it customary in place of Smith's straight line.

    Example:
        >>> curve = ExponentialSweep(start_lr=1e-4, end_lr=1.0, iterations=5)
        >>> [round(float(curve(step)), 4) for step in range(5)]
        [0.0001, 0.001, 0.01, 0.1, 1.0]

    Args:
        start_lr: The first rate.
        end_lr: The last rate.
        iterations: How many rates there are.
    """

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """The rate at `step`."""
        return self.start_lr * ops.power(np.float64(self.end_lr / self.start_lr), step / (self.iterations - 1))


@dataclass(frozen=True)
class LinearSweep(_Sweep):
    """The ladder of Smith's own range test: `start_lr + (end_lr - start_lr) * step / (iterations - 1)`.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3.

    Example:
        >>> curve = LinearSweep(start_lr=0.1, end_lr=0.5, iterations=5)
        >>> [round(float(curve(step)), 1) for step in range(5)]
        [0.1, 0.2, 0.3, 0.4, 0.5]

    Args:
        start_lr: The first rate.
        end_lr: The last rate.
        iterations: How many rates there are.
    """

    def __call__(self, step: Any, ops: Any = np) -> Any:
        """The rate at `step`."""
        return self.start_lr + (self.end_lr - self.start_lr) * (step / (self.iterations - 1))


LADDERS: dict[str, type[ExponentialSweep] | type[LinearSweep]] = {
    "exponential": ExponentialSweep,
    "linear": LinearSweep,
}
