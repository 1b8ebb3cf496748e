"""A learning-rate range test: the measurements, and the rates that can be read from them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lrdiag import formats
from lrdiag.errors import NoSuggestion, SettingsError, require_choice
from lrdiag.rate import other_tools
from lrdiag.rate.reading import Reading, read
from lrdiag.record.facts import RangeTestFacts
from lrdiag.vocabulary import RULES, RuleName

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEPT = "the last learning rate was reached"
DIVERGED = "the loss diverged"
NOT_FINITE = "the loss was not finite"
BELOW_THE_CYCLE = (
    "The suggestion lies below the boundaries: use it for a constant learning rate. Use the boundaries for a cycle, "
    "which reaches its higher rates only for a short time."
)
_COLUMNS = ("learning_rates", "losses", "smoothed_losses", "accuracies", "val_losses")


@dataclass(frozen=True)
class Sweep:
    """One sweep over the learning rates. Every list has one element for each update.

    Attributes:
        learning_rates: Learning rate of the update.
        losses: Loss of the batch, before the update.
        smoothed_losses: Bias-corrected exponential moving average of `losses`.
        accuracies: Accuracy on the batch; empty if the model does not measure it.
        val_losses: Loss on the validation data after the update; empty without validation data.
        stop_reason: Why the sweep ended, in words.
        adaptive: Whether the optimizer scales its steps by earlier gradients, as Adam does.
    """

    learning_rates: list[float]
    losses: list[float]
    smoothed_losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    val_losses: list[float] = field(default_factory=list)
    stop_reason: str = SWEPT
    adaptive: bool = False

    def __post_init__(self) -> None:
        for name in _COLUMNS:  # arrays are accepted too
            object.__setattr__(self, name, [float(value) for value in getattr(self, name)])


class Bounds(NamedTuple):
    """The boundaries of a cycle.

    Attributes:
        base_lr: Lower boundary: a tenth of `max_lr`, or the start of the descent if that is higher.
        max_lr: Upper boundary: twice the rate of the lowest loss, at most half of the rate where it diverges.
    """

    base_lr: float
    max_lr: float


@dataclass(frozen=True, repr=False)
class RangeTest:
    """A learning-rate range test: the measurements, and the rates that can be read from them.

    The rates of several sweeps are read from their mean losses, up to the length of the shortest sweep. The differences
    between the sweeps give the interval of the suggestion. If validation losses were measured, the rates are read from
    them.

    Example:
        >>> rates = np.geomspace(1e-5, 10, 100)
        >>> losses = 2 / (1 + (rates / 1e-2) ** 1.5) + (rates / 2) ** 2
        >>> test = RangeTest((Sweep(rates.tolist(), losses.tolist()),))
        >>> base_lr, max_lr = test.bounds()
        >>> round(base_lr, 3), round(max_lr, 3), round(test.suggest(), 3)
        (0.005, 0.052, 0.01)

    Attributes:
        sweeps: One sweep for each repetition.

    Raises:
        SettingsError: If there is no sweep.
    """

    sweeps: tuple[Sweep, ...]

    def __post_init__(self) -> None:
        if not self.sweeps:
            raise SettingsError("A RangeTest must have one sweep or more. Received: none")

    def __repr__(self) -> str:
        return f"<RangeTest: {self._figures()}>"

    def summary(self) -> str:
        """The suggestion, the boundaries and which of them to use, or why no rate can be read."""
        try:
            below = self.suggest() < self.bounds().base_lr
        except NoSuggestion:
            below = False
        return f"{self._figures()}. {BELOW_THE_CYCLE}" if below else self._figures()

    def _figures(self) -> str:
        sweeps = "" if len(self.sweeps) == 1 else f" in each of {len(self.sweeps)} sweeps"
        measured = f"{formats.plural(self.iterations, 'update')}{sweeps}"
        try:
            suggestion, (base_lr, max_lr) = self.suggest(), self.bounds()
        except NoSuggestion as error:
            return f"{measured}. {error}"
        boundaries = f"{formats.rate(base_lr)} to {formats.rate(max_lr)}"
        return f"{measured}, suggestion {formats.rate(suggestion)}, boundaries {boundaries}"

    @property
    def iterations(self) -> int:
        """Number of updates in the shortest sweep."""
        return min(len(sweep.losses) for sweep in self.sweeps)

    @property
    def learning_rates(self) -> list[float]:
        """Learning rate of each update."""
        return self.sweeps[0].learning_rates[: self.iterations]

    @property
    def losses(self) -> list[float]:
        """Loss of each batch, before its update; the mean over the sweeps."""
        return self._mean("losses")

    @property
    def smoothed_losses(self) -> list[float]:
        """Moving average of the losses, which decides when to stop; the mean over the sweeps."""
        return self._mean("smoothed_losses")

    @property
    def accuracies(self) -> list[float]:
        """Accuracy on each batch, the mean over the sweeps; empty if the model does not measure it."""
        return self._mean("accuracies")

    @property
    def val_losses(self) -> list[float]:
        """Validation loss after each update, the mean over the sweeps; empty without validation data."""
        return self._mean("val_losses")

    @property
    def stop_reason(self) -> str:
        """Why the shortest sweep ended, in words."""
        return min(self.sweeps, key=lambda sweep: len(sweep.losses)).stop_reason

    def _mean(self, name: str) -> list[float]:
        lists = [getattr(sweep, name)[: self.iterations] for sweep in self.sweeps]
        if not all(lists):  # a sweep that does not have the column
            return []
        return [float(value) for value in np.mean(lists, axis=0)]

    @cached_property
    def reading(self) -> Reading:
        """Boundaries, suggestion and trend, as lrdiag's own rule reads them.

        Raises:
            NoSuggestion: If the sweep is too short or has no descent.
        """
        try:
            return read(
                self.learning_rates,
                self.val_losses or self.losses,
                adaptive=any(sweep.adaptive for sweep in self.sweeps),
                diverged=self.stop_reason in (DIVERGED, NOT_FINITE),
            )
        except NoSuggestion as error:
            raise NoSuggestion(f"{error} ({len(self.losses)} updates, then {self.stop_reason}).") from error

    def suggest(self, rule: RuleName = "steepest") -> float:
        """Suggests a learning rate for training at a constant rate.

        Args:
            rule: `"steepest"`, lrdiag's own rule, or a rule of another tool: `"fastai-valley"`, `"fastai-slide"`,
                `"fastai-minimum"`, `"fastai-steep"` or `"torch-lr-finder"`, each with its own smoothing and trimming.

        Raises:
            NoSuggestion: If the rule finds no rate.
            SettingsError: If there is no such rule.
        """
        require_choice("rule", rule, RULES)
        if rule == "steepest":
            return self.reading.suggestion
        return other_tools.RULES[rule](self.learning_rates, self.val_losses or self.losses)

    def bounds(self) -> Bounds:
        """The boundaries of a cyclic policy.

        Raises:
            NoSuggestion: If the sweep is too short or has no descent.
        """
        return Bounds(self.reading.base_lr, self.reading.max_lr)

    def interval(self) -> tuple[float, float]:
        """The lowest and the highest suggestion, of the single sweeps and of their mean.

        Raises:
            NoSuggestion: If there is only one sweep, if the sweeps saw the same batches, or if one of them cannot be
                read.
        """
        if len(self.sweeps) < 2:
            raise NoSuggestion("An interval needs two sweeps or more: call `find_lr` with `repeats=3`. Received: 1")
        if all(sweep.losses == self.sweeps[0].losses for sweep in self.sweeps):
            raise NoSuggestion(
                "An interval needs sweeps on different batches. Shuffle the data, or use smaller batches. "
                f"Received: {len(self.sweeps)} sweeps with identical losses"
            )
        suggestions = [self.suggest()]
        for number, sweep in enumerate(self.sweeps, 1):
            try:
                suggestions.append(RangeTest((sweep,)).suggest())
            except NoSuggestion as error:
                raise NoSuggestion(
                    f"Sweep {number} of {len(self.sweeps)} cannot be read on its own, so there is no interval, "
                    f"although the mean of the sweeps can be read. {error}"
                ) from error
        return min(suggestions), max(suggestions)

    def plot(self, axes: Axes | None = None, kind: str = "reading") -> Axes:
        """Draws the range test with matplotlib.

        Args:
            axes: Where to draw. Defaults to a new figure.
            kind: `"reading"`: losses (the mean of several sweeps), trend, boundaries, suggestion and its interval over
                the learning rate; or one of the four classical plots, `"rate-by-iteration"`, `"loss-by-iteration"`,
                `"loss-by-rate"` and `"smoothed-loss-by-rate"`.

        Raises:
            SettingsError: If there is no such kind.
        """
        from lrdiag.rate.plots import plot_range_test

        return plot_range_test(self.facts(), axes, kind)

    def plot_all(self) -> Figure:
        """Draws the four classical plots in one figure."""
        from lrdiag.rate.plots import plot_four

        return plot_four(self.facts())

    def to_dict(self) -> dict[str, list[float]]:
        """The measurements as columns of equal length, for `pandas.DataFrame(test.to_dict())`."""
        return {name: column for name in _COLUMNS if (column := getattr(self, name))}

    def facts(self) -> RangeTestFacts:
        """The range test as report.json contains it, without rates if none can be read."""
        facts: dict[str, Any] = {name: getattr(self, name) for name in (*_COLUMNS, "stop_reason")}
        facts["repeats"] = len(self.sweeps)
        try:
            reading = self.reading
        except NoSuggestion:
            return RangeTestFacts(**facts)
        with suppress(NoSuggestion):
            facts["suggestion_low"], facts["suggestion_high"] = self.interval()
        return RangeTestFacts(
            **facts,
            trend=[float(value) for value in reading.trend],
            suggestion=reading.suggestion,
            base_lr=reading.base_lr,
            max_lr=reading.max_lr,
        )

    def _repr_html_(self) -> str:
        from lrdiag.rate.plots import range_test_html

        return range_test_html(self.facts(), self.summary())
