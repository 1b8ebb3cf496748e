"""How to make the same run again."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.record.facts import Run
from lrdiag.vocabulary import ENGINES


@dataclass(frozen=True)
class Reproduce:
    """The command, the model, the device, and everything else that the result depends on."""

    command: str
    git_commit: str | None
    created: str
    model: str
    parameters: int
    device: str
    backend: str
    settings: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    stages: list[tuple[str, str]]


def build(run: Run) -> Reproduce:
    """Collects command, settings, versions and wall times."""
    diagnosis, seconds = run.diagnosis, run.diagnosis.seconds
    # Without the time of writing the page: made again, the page must be the same to the byte.
    stages = (
        ("range test", seconds.range_test),
        ("training", seconds.training),
        ("predictions and heatmaps", seconds.predict_and_explain),
    )
    return Reproduce(
        command=diagnosis.command,
        git_commit=diagnosis.git_commit,
        created=_in_words(diagnosis.created),
        model=diagnosis.model,
        parameters=diagnosis.parameters,
        device=diagnosis.device,
        backend=ENGINES.get(diagnosis.backend, diagnosis.backend),
        settings=[(name.replace("_", " "), formats.setting(value)) for name, value in diagnosis.settings.items()],
        versions=list(diagnosis.versions.items()),
        stages=[(name, formats.duration(duration)) for name, duration in stages if duration],
    )


def _in_words(time: str) -> str:
    """A time as ISO 8601 has it, for readers: "2026-11-27 06:24:33 UTC"."""
    return time.replace("T", " ").replace("Z", " UTC")
