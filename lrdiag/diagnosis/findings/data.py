"""Rules about the data."""

from __future__ import annotations

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import Answer, Found, Passed, option
from lrdiag.formats import plural


def stand_in_data(evidence: Evidence) -> Answer:
    """The requested data was not available, and other data was used instead."""
    facts = evidence.facts
    if facts.dataset.fallback is None:
        return Passed()
    return Found(
        f"CIFAR-10 was not available. The {facts.dataset.name} data was used instead.",
        facts.dataset.fallback,
        f"Download CIFAR-10 into a folder and name it with {option(facts, 'data-dir')}, or request the digits with "
        f"{option(facts, 'data')} digits.",
    )


def skipped_files(evidence: Evidence) -> Answer:
    """Some files of the data could not be read."""
    skipped = evidence.facts.dataset.skipped
    if not skipped:
        return Passed(0.0, 0.0)
    return Found(
        f"{plural(len(skipped), 'file')} could not be read and {'was' if len(skipped) == 1 else 'were'} left out.",
        f"The first: {skipped[0].file}: {skipped[0].reason}.",
        "Replace or remove them. The section on the data lists them all.",
        float(len(skipped)),
        0.0,
    )
