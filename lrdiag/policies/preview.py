"""`summary` and `plot` for schedules and callbacks that follow a curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrdiag.rate.curves import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Previewed:
    """A schedule or callback that shows its curve before training."""

    def summary(self, steps_per_epoch: int, epochs: int) -> str:
        """Describes the policy over a training run: its cycles, its peak and its end.

        Args:
            steps_per_epoch: Number of updates in an epoch.
            epochs: Number of epochs.

        Raises:
            SettingsError: If an argument isn't a whole number >= 1.
        """
        return self._curve_over(steps_per_epoch, epochs).summary(steps_per_epoch, epochs)

    def plot(self, steps_per_epoch: int | None = None, epochs: int | None = None, *, axes: Axes | None = None) -> Axes:
        """Draws the policy with matplotlib; see `lrdiag.rate.curves.Curve.plot`.

        Args:
            steps_per_epoch: Number of updates in an epoch. Without it and `epochs`, the whole policy is drawn.
            epochs: Number of epochs.
            axes: Where to draw. `None` makes a new figure.

        Raises:
            SettingsError: If an argument isn't a whole number >= 1, or a policy that takes its length from `fit` is to
                be drawn without them.
        """
        return self._curve_over(steps_per_epoch, epochs).plot(steps_per_epoch, epochs, axes=axes)

    def _curve_over(self, steps_per_epoch: int | None, epochs: int | None) -> Curve:
        """Returns the policy of a training run of this length, or the whole policy."""
        raise NotImplementedError
