"""The answers of a rule, and the wording that the rules share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Protocol

import numpy as np

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.record.data_facts import ImageRef
from lrdiag.record.facts import MadeBy, Severity
from lrdiag.record.wrong_images import WrongImages

MOST_IMAGES = 100
"""Most images that a finding names."""
MOST_NAMES = 4
"""Most layers or weights that a finding names."""
MOST_EXHIBITS = 24
"""Most exhibits of a finding."""


@dataclass(frozen=True)
class Shown:
    """An image that shows a finding. `Exhibit` describes the fields.

    Attributes:
        pictures: `uint8` arrays of shape `(height, width, 1 or 3)`: the image, and perhaps its heatmap, its copy, or
            the image after a change.

    Raises:
        ValueError: If a picture is something else.
    """

    image: ImageRef | None
    caption: str
    pictures: tuple[np.ndarray, ...] = ()

    def __post_init__(self) -> None:
        for each in self.pictures:
            if each.dtype != np.uint8 or each.ndim != 3 or each.shape[2] not in (1, 3) or not each.size:
                raise ValueError(
                    "A picture must be a uint8 array of shape (height, width, 1 or 3). "
                    f"Received: {each.dtype} of shape {each.shape}"
                )


@dataclass(frozen=True)
class Found:
    """The rule found a problem. `Finding` describes the fields.

    Attributes:
        severity: How severe this form of the problem is. `None` is the severity in the table of rules.
        exhibits: Images that show the problem, most telling first. The first `MOST_EXHIBITS` are shown.
    """

    title: str
    evidence: str
    advice: str
    value: float | None = None
    threshold: float | None = None
    images: Sequence[int] = ()
    _: KW_ONLY
    why: str
    severity: Severity | None = None
    exhibits: Sequence[Shown] = ()


@dataclass(frozen=True)
class Passed:
    """The rule found no problem."""

    value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class NotChecked:
    """The rule could not decide; `reason` completes the sentence "not checked: …"."""

    reason: str
    value: float | None = None
    threshold: float | None = None


Answer = Found | Passed | NotChecked


def images_where(evidence: Evidence, condition: Callable[[WrongImages], np.ndarray]) -> list[int]:
    """Indices of the misclassified test images that satisfy the condition, highest loss first, at most 100.

    Args:
        evidence: The evidence.
        condition: Returns for each misclassified image whether it is named, a `bool` array.
    """
    indices: list[int] = evidence.wrong.index[condition(evidence.wrong)][:MOST_IMAGES].tolist()
    return indices


class Origin(Protocol):
    """Evidence or facts, which say how the run was started."""

    @property
    def command(self) -> str:
        """The command line that repeats the run. Empty in Python."""

    @property
    def made_by(self) -> MadeBy:
        """The part of lrdiag that makes the report."""


def option(origin: Origin, name: str) -> str:
    """A setting as the reader wrote it: `--learning-rate` on the command line, `learning_rate` in Python."""
    return f"--{name}" if origin.command else name.replace("-", "_")


def listed(names: Sequence[str]) -> str:
    """The first four different names, and how many more there are.

    >>> listed(["a", "b", "b", "c", "d", "e"])
    'a, b, c, d and 1 more'
    """
    shown = list(dict.fromkeys(names))
    more = len(shown) - MOST_NAMES
    return ", ".join(shown[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
