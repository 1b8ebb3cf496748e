"""What a policy will do, said and drawn before anything is trained."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from lrdiag import formats
from lrdiag.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lrdiag.rate.curves import Curve

_NEAR = 0.01
"""A training may end this share of a cycle before or after the cycle does."""
_WRITTEN = 1e-5
"""What a number may be off that was written with six digits, as those of the advice are."""


class Previewed(ABC):
    """Gives `summary` and `plot` to curves, schedules and callbacks alike."""

    @abstractmethod
    def _previewed(self) -> Curve:
        """The curve that is summed up and drawn."""

    def summary(self, steps_per_epoch: int, epochs: int) -> str:
        """Says what the policy does in a training: its cycles, its peak (of a momentum: its lowest point), its end.

        Example:
            >>> from lrdiag.rate.curves import Cyclic
            >>> print(Cyclic(base_lr=0.1, max_lr=0.5, step_size=150).summary(steps_per_epoch=100, epochs=8))
            Cyclic: 2.7 cycles in 800 updates (8 epochs of 100).
            The learning rate begins at 0.1, peaks at 0.5 (update 150, in epoch 2) and ends at 0.369.
            The training ends 100 updates before the end of a cycle. With `step_size=133.167` both end together.

        Args:
            steps_per_epoch: Updates in one epoch.
            epochs: Epochs in the training.
        """
        steps_per_epoch, epochs = _counts(steps_per_epoch, epochs)
        curve, updates = self._previewed(), steps_per_epoch * epochs
        values = np.broadcast_to(curve(np.arange(updates)), updates)
        turn, turns = (int(values.argmin()), "is lowest") if curve.dips else (int(values.argmax()), "peaks")
        training = f"{formats.plural(updates, 'update')} ({formats.plural(epochs, 'epoch')} of {steps_per_epoch:,})"
        cycles = _cycles(curve, updates)
        head = f"{_passed(cycles, updates)} in {training}" if cycles else training
        lines = [
            f"{type(curve).__name__}: {head}.",
            f"The {curve.quantity} begins at {values[0]:.3g}, {turns} at {values[turn]:.3g} (update {turn:,}, in epoch "
            f"{turn // steps_per_epoch + 1}) and ends at {values[-1]:.3g}.",
        ]
        if cycles:
            lines.append(misfit(curve, updates) or "The training ends with a cycle.")
        return "\n".join(lines)

    def plot(self, steps_per_epoch: int | None = None, epochs: int | None = None, *, axes: Axes | None = None) -> Axes:
        """Draws the policy without training.

        Args:
            steps_per_epoch: Updates in one epoch; without it and `epochs`, as many are drawn as show the policy whole.
            epochs: Epochs in the training.
            axes: Where to draw; `None` makes a new figure.

        Returns:
            The axes, with one line: the rate of every update, over epochs, or over updates where these are not given.
        """
        curve, is_whole = self._previewed(), steps_per_epoch is None and epochs is None
        updates = np.arange(curve.length() if is_whole else math.prod(_counts(steps_per_epoch, epochs)))
        if axes is None:
            from matplotlib import pyplot

            axes = pyplot.subplots()[1]
        axes.plot(updates / (steps_per_epoch or 1), np.broadcast_to(curve(updates), len(updates)))
        axes.set_xlabel("update" if is_whole else "epoch")
        axes.set_ylabel(curve.quantity)
        return axes


def misfit(curve: Curve, updates: int) -> str | None:
    """Says how far a training ends from the end of a cycle, and which arguments would fit; `None` where it fits.

    Args:
        curve: A policy.
        updates: How many updates the training makes, from the policy's step 0.
    """
    cycles = _cycles(curve, updates)
    if not cycles:
        return None
    begin, end = min(cycles, key=lambda cycle: abs(updates - cycle[1]))
    late = updates - end
    tolerance = max(1.0, _NEAR * (end - begin)) + _WRITTEN * end
    if -tolerance <= late and (late < 1 if curve.jumps else late <= tolerance):
        return None
    distance = f"{formats.plural(max(1, round(abs(late))), 'update')} {'after' if late > 0 else 'before'}"
    ends, arguments = f"The training ends {distance} the end of a cycle", curve.fitting(updates)
    return f"{ends}. With `{arguments}` both end together." if arguments else f"{ends}: it is too short for the policy."


def _cycles(curve: Curve, updates: int) -> list[tuple[float, float]]:
    """Begin and end of each cycle."""
    return list(itertools.pairwise(curve.cycle_bounds(updates)))


def _passed(cycles: list[tuple[float, float]], updates: int) -> str:
    done = sum(min(max(updates - begin, 0) / (end - begin), 1) for begin, end in cycles)
    number = f"{done:.1f}".removesuffix(".0")
    return f"{number} cycle" if number == "1" else f"{number} cycles"


def _counts(steps_per_epoch: Any, epochs: Any) -> tuple[int, int]:
    counts = (steps_per_epoch, epochs)
    if not all(
        isinstance(count, int | float | np.number) and count >= 1 and float(count).is_integer() for count in counts
    ):
        raise SettingsError(
            "A training has whole numbers of updates and epochs, one or more: of examples / batch size take the "
            f"ceiling, or the floor where the last batch is dropped. Received: steps_per_epoch={steps_per_epoch!r}, "
            f"epochs={epochs!r}"
        )
    return int(steps_per_epoch), int(epochs)
