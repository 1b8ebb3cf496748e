"""What a range test measured, and everything that can be asked of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lrdiag import formats
from lrdiag.errors import NoSuggestion, SettingsError, require_choice
from lrdiag.rate import other_tools as customary
from lrdiag.rate.reading import Reading, read
from lrdiag.record.facts import RangeTestFacts
from lrdiag.vocabulary import RULES, RuleName

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEPT = "the range was swept to its end"
DIVERGED = "the loss diverged"
NOT_FINITE = "the loss was not finite"
_COLUMNS = ("learning_rates", "losses", "smoothed_losses", "accuracies", "val_losses")


@dataclass(frozen=True)
class Sweep:
    """One sweep over the ladder of rates; one element of each list for each update.

    Attributes:
        learning_rates: The rate of each update.
        losses: The loss of that update's batch alone, before the update.
        smoothed_losses: Bias-corrected exponential moving average of `losses`.
        accuracies: The accuracy on that batch; empty where the model measures none.
        val_losses: The loss on the validation data after the update; empty where none was given.
        stop_reason: Why the sweep ended, in words.
        adaptive: Whether the optimizer scales its steps by the gradients that it has seen, as Adam does.
    """

    learning_rates: list[float]
    losses: list[float]
    smoothed_losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    val_losses: list[float] = field(default_factory=list)
    stop_reason: str = SWEPT
    adaptive: bool = False

    def __post_init__(self) -> None:
        for name in _COLUMNS:  # arrays too are taken, as what is measured elsewhere may be
            object.__setattr__(self, name, [float(value) for value in getattr(self, name)])


class Bounds(NamedTuple):
    """The boundaries of a cycle.

    Attributes:
        base_lr: A tenth of `max_lr`, or where the descent starts if that is higher.
        max_lr: How high a cycle may go: twice the rate of the lowest loss, at most half of what diverges.
    """

    base_lr: float
    max_lr: float


@dataclass(frozen=True, repr=False)
class RangeTest:
    """A learning-rate range test: what was measured, and the rates that can be read off it.

    Several sweeps are read as one, from their mean losses, as far as the shortest went; how much they differ gives the
    interval of a suggestion. Where validation losses were measured, the rates are read from them.

    Example:
        >>> rates = np.geomspace(1e-5, 10, 100)
        >>> losses = 2 / (1 + (rates / 1e-2) ** 1.5) + (rates / 2) ** 2
        >>> test = RangeTest((Sweep(rates.tolist(), losses.tolist()),))
        >>> base_lr, max_lr = test.bounds()
        >>> round(base_lr, 3), round(max_lr, 3), round(test.suggest(), 3)
        (0.005, 0.052, 0.01)

    Attributes:
        sweeps: One for each repetition.

    Raises:
        SettingsError: If there is no sweep.
    """

    sweeps: tuple[Sweep, ...]

    def __post_init__(self) -> None:
        if not self.sweeps:
            raise SettingsError("A RangeTest holds one sweep or more. Received: none")

    def __repr__(self) -> str:
        return f"<RangeTest: {self.summary()}>"

    def summary(self) -> str:
        """What can be read off it, in one sentence, or why nothing can."""
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
        """Updates in the shortest sweep."""
        return min(len(sweep.losses) for sweep in self.sweeps)

    @property
    def learning_rates(self) -> list[float]:
        """The rate of each update."""
        return self.sweeps[0].learning_rates[: self.iterations]

    @property
    def losses(self) -> list[float]:
        """The loss of each batch, before its update; the mean over the sweeps."""
        return self._mean("losses")

    @property
    def smoothed_losses(self) -> list[float]:
        """The moving average that decided when to stop; the mean over the sweeps."""
        return self._mean("smoothed_losses")

    @property
    def accuracies(self) -> list[float]:
        """The accuracy on each batch, the mean over the sweeps; empty where the model measures none."""
        return self._mean("accuracies")

    @property
    def val_losses(self) -> list[float]:
        """The validation loss after each update, the mean over the sweeps; empty without validation data."""
        return self._mean("val_losses")

    @property
    def stop_reason(self) -> str:
        """Why the shortest sweep ended, in words."""
        return min(self.sweeps, key=lambda sweep: len(sweep.losses)).stop_reason

    def _mean(self, name: str) -> list[float]:
        lists = [getattr(sweep, name)[: self.iterations] for sweep in self.sweeps]
        return [float(value) for value in np.mean(lists, axis=0)]

    @cached_property
    def reading(self) -> Reading:
        """Everything that lrdiag's own rule reads: the boundaries, the suggestion and the trend that they lie on.

        Raises:
            NoSuggestion: If the sweep is too short or holds no descent.
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
        """One learning rate for a training at a constant rate.

        Args:
            rule: `"steepest"`, lrdiag's own, or one of those of other tools, `"fastai-valley"`, `"fastai-slide"`,
                `"fastai-minimum"`, `"fastai-steep"` and `"torch-lr-finder"`, each under its own smoothing and trimming.

        Raises:
            NoSuggestion: If the rule finds nothing to suggest.
            SettingsError: If there is no such rule.
        """
        require_choice("rule", rule, RULES)
        if rule == "steepest":
            return self.reading.suggestion
        return customary.RULES[rule](self.learning_rates, self.val_losses or self.losses)

    def bounds(self) -> Bounds:
        """The boundaries of a cyclic policy.

        Raises:
            NoSuggestion: If the sweep is too short or holds no descent.
        """
        return Bounds(self.reading.base_lr, self.reading.max_lr)

    def interval(self) -> tuple[float, float]:
        """The lowest and the highest suggestion: of each sweep read by itself, and of their mean.

        Raises:
            NoSuggestion: If there are not two sweeps or more, if they saw the same batches, or if one of them cannot
                be read.
        """
        if len(self.sweeps) < 2:
            raise NoSuggestion("An interval needs two sweeps or more: call `find_lr` with `repeats=3`. Received: 1")
        if all(sweep.losses == self.sweeps[0].losses for sweep in self.sweeps):
            raise NoSuggestion(
                "An interval needs sweeps on different batches. Shuffle the data, or take smaller batches. "
                f"Received: {len(self.sweeps)} sweeps with the very same losses"
            )
        suggestions = [self.suggest()]
        for number, sweep in enumerate(self.sweeps, 1):
            try:
                suggestions.append(RangeTest((sweep,)).suggest())
            except NoSuggestion as error:
                raise NoSuggestion(
                    f"Sweep {number} of {len(self.sweeps)} cannot be read by itself, so there is no interval, though "
                    f"their mean can be read. {error}"
                ) from error
        return min(suggestions), max(suggestions)

    def plot(self, axes: Axes | None = None, kind: str = "reading") -> Axes:
        """Draws the test with matplotlib.

        Args:
            axes: Where to draw; a new figure by default.
            kind: `"reading"`: losses, trend, boundaries, suggestion and its interval over the rate; or one of the four
                classical plots, `"rate-by-iteration"`, `"loss-by-iteration"`, `"loss-by-rate"` and
                `"smoothed-loss-by-rate"`.

        Raises:
            SettingsError: If there is no such kind.
        """
        from lrdiag.rate.plots import plot_range_test

        return plot_range_test(self, axes, kind)

    def plot_all(self) -> Figure:
        """The four classical plots in one figure."""
        from lrdiag.rate.plots import plot_four

        return plot_four(self)

    def to_dict(self) -> dict[str, list[float]]:
        """The measurements as columns of one length, as `pandas.DataFrame(test.to_dict())` takes them."""
        return {name: column for name in _COLUMNS if (column := getattr(self, name))}

    def facts(self) -> RangeTestFacts:
        """What report.json keeps; without rates where none can be read."""
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

        return range_test_html(self)
