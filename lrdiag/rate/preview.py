"""What a policy will do, said and drawn before anything is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from lrdiag import formats
from lrdiag.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lrdiag.rate.curves import Curve

_NEAR = 0.01
"""A training may end this share of a cycle before or after the cycle does."""


class Previewed(ABC):
    """Gives `summary` and `plot` to curves, schedules and callbacks alike."""

    @abstractmethod
    def _previewed(self) -> Curve:
        """The curve that is summed up and drawn."""

    def summary(self, steps_per_epoch: int, epochs: int) -> str:
        """Says what the policy does in a training: its cycles, its peak, its end.

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
        curve, updates = self._previewed(), _updates(steps_per_epoch, epochs)
        rates = np.broadcast_to(curve(np.arange(updates)), updates)
        peak = int(rates.argmax())
        training = f"{formats.plural(updates, 'update')} ({formats.plural(epochs, 'epoch')} of {steps_per_epoch:,})"
        ends = curve.cycle_ends(updates)
        head = f"{_cycles(ends, updates)} in {training}" if ends else training
        lines = [
            f"{type(curve).__name__}: {head}.",
            f"The {curve.quantity} begins at {rates[0]:.3g}, peaks at {rates[peak]:.3g} (update {peak:,}, in epoch "
            f"{peak // steps_per_epoch + 1}) and ends at {rates[-1]:.3g}.",
        ]
        if ends:
            lines.append(misfit(curve, updates) or "The training ends with a cycle.")
        return "\n".join(lines)

    def plot(self, steps: tuple[int, int] | None = None, axes: Axes | None = None) -> Axes:
        """Draws the policy without training.

        Args:
            steps: Updates in one epoch, and epochs; `None` draws as much as shows the policy whole.
            axes: Where to draw; `None` makes a new figure.

        Returns:
            The axes, with one line: the rate of every update, over updates, or over epochs where `steps` is given.
        """
        curve = self._previewed()
        updates = np.arange(_updates(*steps) if steps else curve.length())
        if axes is None:
            from matplotlib import pyplot

            axes = pyplot.subplots()[1]
        axes.plot(updates / steps[0] if steps else updates, np.broadcast_to(curve(updates), len(updates)))
        axes.set_xlabel("epoch" if steps else "update")
        axes.set_ylabel(curve.quantity)
        return axes


def misfit(curve: Curve, updates: int) -> str | None:
    """Says how far a training ends from the end of a cycle, and which argument would fit; `None` where it fits.

    Args:
        curve: A policy.
        updates: How many updates the training makes, from the policy's step 0.
    """
    ends = curve.cycle_ends(updates)
    if not ends:
        return None
    nearest = min(ends, key=lambda end: abs(updates - end))
    late = updates - nearest
    begin = max((end for end in ends if end < nearest), default=0.0)
    tolerance = max(1.0, _NEAR * (nearest - begin))
    if -tolerance <= late and (late < 1 if curve.jumps else late <= tolerance):
        return None
    distance = f"{formats.plural(max(1, round(abs(late))), 'update')} {'after' if late > 0 else 'before'}"
    return f"The training ends {distance} the end of a cycle. With `{curve.fitting(updates)}` both end together."


def _cycles(ends: list[float], updates: int) -> str:
    begins = [0.0, *ends]
    done = sum(min(max(updates - begin, 0) / (end - begin), 1) for begin, end in zip(begins, ends, strict=False))
    number = f"{done:.1f}".removesuffix(".0")
    return f"{number} cycle" if number == "1" else f"{number} cycles"


def _updates(steps_per_epoch: int, epochs: int) -> int:
    if steps_per_epoch < 1 or epochs < 1:
        raise SettingsError(
            "A training has one update and one epoch or more. "
            f"Received: steps_per_epoch={steps_per_epoch}, epochs={epochs}"
        )
    return steps_per_epoch * epochs
