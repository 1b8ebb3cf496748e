"""The page: a finished run as one HTML file that asks for nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lrdiag.records import Run
from lrdiag.report.sections import (
    classes,
    confusion,
    data,
    findings,
    learning_rate,
    misclassified,
    reproduce,
    training,
    verdict,
)
from lrdiag.report.templates import html_environment


class Section(NamedTuple):
    """A part of the page: its anchor and template, its heading, and what computes its content."""

    key: str
    title: str
    build: Callable[[Run], object]


SECTIONS = (
    Section("findings", "Findings", findings.build),
    Section("learning-rate", "Learning rate", learning_rate.build),
    Section("training", "Training", training.build),
    Section("confusion", "Confusion", confusion.build),
    Section("classes", "Classes", classes.build),
    Section("misclassified", "Misclassified", misclassified.build),
    Section("data", "Data", data.build),
    Section("reproduce", "Reproduce", reproduce.build),
)


def render_page(run: Run) -> str:
    """Writes the report of a run.

    Args:
        run: The facts of the run and the bytes of its picture files.

    Returns:
        A complete HTML document. The same run gives the same text, byte for byte.

    Raises:
        RunFolderError: If a picture file that the facts name is missing or broken.
    """
    content = {section.key: section.build(run) for section in SECTIONS}
    template = html_environment().get_template("report.html.j2")
    return template.render(verdict=verdict.build(run), sections=SECTIONS, content=content)
