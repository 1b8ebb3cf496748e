"""The losses of a range test while it runs, and the rule that ends it."""

from __future__ import annotations

from dataclasses import dataclass, field

from lrdiag.errors import SettingsError
from lrdiag.rate.curves import Curve
from lrdiag.rate.range_test import Sweep
from lrdiag.rate.reading import MIN_POINTS


@dataclass
class RunningSweep:
    """A sweep that is being measured.

    The smoothed loss is the bias-corrected moving average `v_i / (1 - smoothing**i)` with
    `v_i = smoothing * v_(i-1) + (1 - smoothing) * loss_i`.

    Example:
        >>> from lrdiag.rate.curves import ExponentialSweep
        >>> sweep = RunningSweep(ExponentialSweep(0.1, 1.0, iterations=5), smoothing=0.5, diverge_factor=2.0)
        >>> for loss in (4.0, 2.0, 9.0):
        ...     sweep.add(loss)
        >>> [round(loss, 2) for loss in sweep.smoothed_losses], sweep.has_diverged()
        ([4.0, 2.67, 6.29], True)

    Args:
        ladder: The rate of each update.
        smoothing: Weight of the past in the smoothed loss, in [0, 1).
        diverge_factor: See `has_diverged`; more than 1.

    Raises:
        SettingsError: If an argument is outside its range.
    """

    ladder: Curve
    smoothing: float
    diverge_factor: float
    losses: list[float] = field(default_factory=list, init=False)
    smoothed_losses: list[float] = field(default_factory=list, init=False)
    accuracies: list[float] = field(default_factory=list, init=False)
    val_losses: list[float] = field(default_factory=list, init=False)
    _average: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise SettingsError(f"Argument `smoothing` must be in [0, 1). Received: smoothing={self.smoothing}")
        if not self.diverge_factor > 1:
            raise SettingsError(f"Argument `diverge_factor` must be more than 1. Received: {self.diverge_factor}")

    def add(self, loss: float, accuracy: float | None = None, val_loss: float | None = None) -> None:
        """Adds what was measured at the next rate."""
        self._average = self.smoothing * self._average + (1 - self.smoothing) * loss
        self.losses.append(loss)
        self.smoothed_losses.append(self._average / (1 - self.smoothing ** len(self.losses)))
        if accuracy is not None:
            self.accuracies.append(accuracy)
        if val_loss is not None:
            self.val_losses.append(val_loss)

    def next_rate(self) -> float:
        """Returns the rate of the next update."""
        return float(self.ladder(len(self.losses)))

    def is_complete(self) -> bool:
        """Returns whether each rate of the ladder was measured."""
        return len(self.losses) == self.ladder.length()

    def has_diverged(self) -> bool:
        """Returns whether the smoothed loss exceeds `diverge_factor` times its lowest value.

        The first twenty updates (or the first fifth of a shorter ladder) are left out of the lowest value, because the
        average of few losses is noisy. If a loss is negative, the loss has diverged when its distance from the lowest
        value exceeds `diverge_factor - 1` times the magnitude of the lowest value or of the largest of the first
        losses, whichever is larger.
        """
        settled = self.smoothed_losses[min(MIN_POINTS, self.ladder.length() // 5) :]
        if not settled:
            return False
        lowest = min(settled)
        if min(self.losses) >= 0:
            return self.smoothed_losses[-1] > self.diverge_factor * lowest
        scale = max(-lowest, *map(abs, self.losses[:MIN_POINTS]))
        return self.smoothed_losses[-1] - lowest > (self.diverge_factor - 1) * scale

    def finished(self, stop_reason: str, *, adaptive: bool) -> Sweep:
        """Returns the measurements.

        Args:
            stop_reason: Why the sweep ended, in words.
            adaptive: Whether the optimizer is adaptive, such as Adam.
        """
        return Sweep(
            learning_rates=[float(self.ladder(step)) for step in range(len(self.losses))],
            losses=self.losses,
            smoothed_losses=self.smoothed_losses,
            accuracies=self.accuracies,
            val_losses=self.val_losses,
            stop_reason=stop_reason,
            adaptive=adaptive,
        )
