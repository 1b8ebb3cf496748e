"""`Curve`: a learning-rate policy as a pure function `step -> rate`."""

from __future__ import annotations

import dataclasses
import itertools
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lrdiag import formats
from lrdiag.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TOLERANCE = 0.01  # training may end this share of a cycle before or after the cycle ends
_WRITTEN = 1e-5  # relative error of a suggested argument, which is printed with six digits


class Curve(ABC):
    """A policy: the learning rate of each step. Subclasses are frozen dataclasses of plain values and other curves.

    Attributes:
        quantity: Name of the values, such as "learning rate".
        jumps: Whether the step after the end of a cycle is at the top again.
        dips: Whether a cycle turns at its lowest value instead of its peak.
    """

    quantity: ClassVar[str] = "learning rate"
    jumps: ClassVar[bool] = False
    dips: ClassVar[bool] = False
    _classes: ClassVar[dict[str, type[Curve]]] = {}

    def __init_subclass__(cls) -> None:
        Curve._classes[cls.__name__] = cls

    @abstractmethod
    def __call__(self, step: Any, ops: Any = np) -> Any:
        """Returns the rate at `step`.

        Args:
            step: A number or an array of numbers. Steps count updates from 0.
            ops: The numpy-like module to compute with: `numpy`, or `keras.ops` inside a graph. Constants given to
                `ops` must be `np.float64`, because Keras rounds Python floats to float32.
        """

    @abstractmethod
    def length(self) -> int:
        """Returns the number of updates that show the whole policy."""

    def cycle_bounds(self, updates: int) -> list[float]:
        """Returns the steps at which cycles begin and end.

        Returns:
            The first beginning and each end, up to the first end at or after `updates`. Empty for a policy without
            cycles.
        """
        return []

    def fitting(self, updates: int) -> str:
        """Returns the arguments with which a cycle ends after `updates`, as written in a call.

        Returns:
            Such as `"step_size=29.5"`. Empty if there are too few updates for a cycle.
        """
        return ""

    def momentum(self, step: Any, low: float, high: float, ops: Any = np) -> Any:
        """Returns the momentum, which moves opposite to the rate: `low` at the peak of the rate, `high` at its lowest.

        Raises:
            SettingsError: If the policy has no cycle.
        """
        raise SettingsError(
            "The momentum moves opposite to a cycle of the learning rate: use `Cyclic` or `OneCycle`, with or without "
            f"`Warmup`. Received: {type(self).__name__}"
        )

    def get_config(self) -> dict[str, Any]:
        """Returns plain values from which `curve_from_config` rebuilds this curve."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        plain = {name: value.get_config() if isinstance(value, Curve) else value for name, value in values.items()}
        return {"class_name": type(self).__name__, **plain}

    def summary(self, steps_per_epoch: int, epochs: int) -> str:
        """Describes the policy over a training run: its cycles, its peak (momentum: its lowest value) and its end.

        Example:
            >>> from lrdiag.rate.curves import Cyclic
            >>> print(Cyclic(base_lr=0.1, max_lr=0.5, step_size=150).summary(steps_per_epoch=100, epochs=8))
            Cyclic: 2.7 cycles in 800 updates (8 epochs of 100).
            The learning rate begins at 0.1, peaks at 0.5 (update 150, in epoch 2) and ends at 0.369.
            Training ends 100 updates before the end of a cycle. With `step_size=133.167` it ends with a cycle.

        Args:
            steps_per_epoch: Number of updates in an epoch.
            epochs: Number of epochs.

        Raises:
            SettingsError: If an argument isn't a whole number >= 1.
        """
        steps_per_epoch, epochs = _counts(steps_per_epoch, epochs)
        updates = steps_per_epoch * epochs
        values = np.broadcast_to(self(np.arange(updates)), updates)
        turn, turns = (int(values.argmin()), "is lowest") if self.dips else (int(values.argmax()), "peaks")
        run = f"{formats.plural(updates, 'update')} ({formats.plural(epochs, 'epoch')} of {steps_per_epoch:,})"
        cycles = self._cycles(updates)
        lines = [
            f"{type(self).__name__}: {f'{_completed(cycles, updates)} in {run}' if cycles else run}.",
            f"The {self.quantity} begins at {formats.rate(values[0], 3)}, {turns} at {formats.rate(values[turn], 3)} "
            f"(update {turn:,}, in epoch {turn // steps_per_epoch + 1}) and ends at {formats.rate(values[-1], 3)}.",
        ]
        if cycles:
            lines.append(self.misfit(updates) or "Training ends with a cycle.")
        return "\n".join(lines)

    def plot(self, steps_per_epoch: int | None = None, epochs: int | None = None, *, axes: Axes | None = None) -> Axes:
        """Draws the policy with matplotlib.

        Args:
            steps_per_epoch: Number of updates in an epoch. Without it and `epochs`, the whole policy is drawn.
            epochs: Number of epochs.
            axes: Where to draw. `None` makes a new figure.

        Returns:
            The axes, with one line: the rate of each update over epochs, or over updates if the whole policy is drawn.

        Raises:
            SettingsError: If an argument isn't a whole number >= 1.
        """
        is_whole = steps_per_epoch is None and epochs is None
        updates = np.arange(self.length() if is_whole else math.prod(_counts(steps_per_epoch, epochs)))
        if axes is None:
            from matplotlib import pyplot

            axes = pyplot.subplots()[1]
        axes.plot(updates / (steps_per_epoch or 1), np.broadcast_to(self(updates), len(updates)))
        axes.set_xlabel("update" if is_whole else "epoch")
        axes.set_ylabel(self.quantity)
        return axes

    def misfit(self, updates: int) -> str | None:
        """Describes how far a training run ends from the end of a cycle, and which arguments fit.

        Args:
            updates: Number of updates in the run, from step 0 of the policy.

        Returns:
            One or two sentences. `None` if the run ends with a cycle or the policy has no cycles.
        """
        cycles = self._cycles(updates)
        if not cycles:
            return None
        begin, end = min(cycles, key=lambda cycle: abs(updates - cycle[1]))
        late = updates - end
        tolerance = max(1.0, _TOLERANCE * (end - begin)) + _WRITTEN * end
        if -tolerance <= late and (late < 1 if self.jumps else late <= tolerance):
            return None
        distance = f"{formats.plural(max(1, round(abs(late))), 'update')} {'after' if late > 0 else 'before'}"
        ends, arguments = f"Training ends {distance} the end of a cycle", self.fitting(updates)
        return (
            f"{ends}. With `{arguments}` it ends with a cycle."
            if arguments
            else f"{ends}: it is too short for the policy."
        )

    def _cycles(self, updates: int) -> list[tuple[float, float]]:
        """Returns the first and the last step of each cycle."""
        return list(itertools.pairwise(self.cycle_bounds(updates)))


def curve_from_config(config: dict[str, Any]) -> Curve:
    """Makes a curve from the return value of `Curve.get_config`.

    Example:
        >>> curve_from_config({"class_name": "InverseTimeDecay", "initial_lr": 0.1, "steps_per_epoch": 10})
        InverseTimeDecay(initial_lr=0.1, steps_per_epoch=10, decay=0.1)
    """
    values = {name: curve_from_config(value) if isinstance(value, dict) else value for name, value in config.items()}
    del values["class_name"]
    return Curve._classes[config["class_name"]](**values)


def require_curve(value: object) -> None:
    """Raises if `value` is not a `Curve`.

    Raises:
        SettingsError: If it isn't, such as a schedule or a number.
    """
    if not isinstance(value, Curve):
        raise SettingsError(
            "Argument `curve` must be a curve, such as `lrdiag.Cyclic` or `lrdiag.OneCycle`. The curve of a schedule "
            f"or callback of lrdiag is its attribute `curve`. Received: {type(value).__name__}"
        )


def _completed(cycles: list[tuple[float, float]], updates: int) -> str:
    """Returns the number of completed cycles in words, with one decimal."""
    completed = sum(min(max(updates - begin, 0) / (end - begin), 1) for begin, end in cycles)
    number = f"{completed:.1f}".removesuffix(".0")
    return f"{number} cycle" if number == "1" else f"{number} cycles"


def _counts(steps_per_epoch: Any, epochs: Any) -> tuple[int, int]:
    counts = (steps_per_epoch, epochs)
    if not all(
        isinstance(count, int | float | np.number) and count >= 1 and float(count).is_integer() for count in counts
    ):
        raise SettingsError(
            "Arguments `steps_per_epoch` and `epochs` must be whole numbers, 1 or more. Round examples / batch size up "
            f"with `math.ceil`, or down if the last batch is dropped. Received: steps_per_epoch={steps_per_epoch!r}, "
            f"epochs={epochs!r}"
        )
    return int(steps_per_epoch), int(epochs)
