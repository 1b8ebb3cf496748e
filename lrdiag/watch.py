"""`Watch`: observes a training run, and reports each finding as soon as it is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import keras

from lrdiag import formats
from lrdiag.diagnosis.check_settings import CheckSettings
from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.checking import check_early
from lrdiag.inspection.images import GivenImages
from lrdiag.inspection.inspector import Inspector
from lrdiag.record.facts import SEVERITIES, Finding, Known, MadeBy, Severity, TrainingRun
from lrdiag.record.observed import Inspection
from lrdiag.record.unfinished import WatchRecord

_FIRST_STEPS = 10  # whose largest loss is that of the start
_JUMP = 3  # times that loss: the run is checked at once
_SHOWN: tuple[Severity, ...] = ("error", "warning")


class Watch:
    """Observes a training run. It never changes the model.

    Attributes:
        inspector: What was observed.
        known: When each finding was known first, by its code.
        stop_reason: Why training should stop, in words; `None` if it should not.

    Args:
        model: The model that is trained.
        say: Prints a line.
        output: The output to look at if the model has several: its name or its index.
        settings: Which checks are off, and what differs from the table of rules.
        made_by: The part of lrdiag that trains the model.
        command: The command line that repeats the run.
        stop_on: The least severe finding that should stop training, or `None`.
    """

    def __init__(
        self,
        model: keras.Model,
        say: Callable[[str], None],
        *,
        output: str | int | None = None,
        settings: CheckSettings,
        made_by: MadeBy,
        command: str = "",
        stop_on: Severity | None = None,
    ) -> None:
        self.inspector = Inspector(model, output)
        self.known: dict[str, Known] = {}
        self.stop_reason: str | None = None
        self._say, self._settings, self._made_by, self._stop_on = say, settings, made_by, stop_on
        self._command = command
        self._first: list[float] = []
        self._limit, self._is_finite = math.inf, True

    @property
    def inspection(self) -> Inspection:
        """What was observed so far."""
        return self.inspector.seen

    def begin(
        self,
        training: GivenImages | None,
        validation: GivenImages | None,
        *,
        updates: int | None,
        callbacks: Sequence[keras.callbacks.Callback],
        is_first: bool,
    ) -> None:
        """Observes model and data before the first step, and checks them.

        Args:
            training: The training data, or `None`.
            validation: The validation data, or `None`.
            updates: Number of updates of the run, if it is known.
            callbacks: The other callbacks of `fit`.
            is_first: Whether the optimizer has not made an update yet.
        """
        self.inspector.look_at_model()
        self.inspector.look_at_data(training, validation)
        if is_first:
            self.inspector.look_at_start(updates, callbacks)
        else:
            self.inspector.look_at_layers()
            self.inspector.remember_weights()
        self.check("before training", None)

    def record(self) -> WatchRecord:
        """Returns what is known at the end of an epoch, for `continue_from`."""
        return WatchRecord(
            inspection=self.inspection,
            is_searched=self.inspector.is_searched,
            known=self.known,
            stop_reason=self.stop_reason,
            first_losses=self._first,
            limit=self._limit,
            is_finite=self._is_finite,
        )

    def continue_from(self, record: WatchRecord) -> None:
        """Continues the watch of another process. The model has the weights that it had then."""
        self.inspector.continue_from(record.inspection, is_searched=record.is_searched)
        self.known, self.stop_reason = dict(record.known), record.stop_reason
        self._first, self._limit, self._is_finite = list(record.first_losses), record.limit, record.is_finite

    def is_alarming(self, loss: float) -> bool:
        """Returns whether the loss of a step asks for a check before the epoch ends: the first jump, the first NaN."""
        if math.isfinite(loss):
            if len(self._first) < _FIRST_STEPS:
                self._first.append(loss)
                self._limit = _JUMP * max(self._first) if len(self._first) == _FIRST_STEPS else math.inf
            alarming = loss > self._limit
            self._limit = math.inf if alarming else self._limit
            return alarming
        first, self._is_finite = self._is_finite, False
        return first

    def check(self, now: Known, run: TrainingRun | None) -> None:
        """Applies the rules to what is known so far, and prints the findings that are new.

        Args:
            now: When this check is made.
            run: The record of the run so far.
        """
        ended = self.inspection.epochs[-1:]
        if (run is not None and run.not_finite is not None) or any(each.not_finite for each in ended):
            self.inspector.search_not_finite()
        evidence = Evidence(inspection=self.inspection, run=run, maker=self._made_by, typed=self._command)
        checked = check_early(evidence, now, settings=self._settings, known=self.known)
        for finding in checked.findings:
            if finding.code not in self.known:
                self._report(finding)
            self.known |= {each.code: each.known or now for each in (finding, *finding.effects)}

    def _report(self, finding: Finding) -> None:
        if finding.severity not in _SHOWN or finding.accepted is not None:
            return
        self._say(announced(finding))
        if self._stop_on and SEVERITIES.index(finding.severity) <= SEVERITIES.index(self._stop_on):
            self.stop_reason = self.stop_reason or f"stopped by the finding {finding.code}"


def announced(finding: Finding) -> str:
    """Returns a finding in one line, for a terminal."""
    said = " ".join(" ".join((finding.title, finding.evidence, finding.advice)).split())
    return formats.for_terminal(f"lrdiag {finding.severity} ({finding.code}): {said}")
