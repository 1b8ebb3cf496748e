"""What a trained model does with changed images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from lrdiag.record.data_facts import Correction, ImageRef, Shortcut


@dataclass(frozen=True)
class Changed:
    """An image before and after a change.

    Attributes:
        image: The image.
        caption: One line: `"frog before, ship after"`.
        before: `uint8` of shape `(height, width, 1 or 3)`.
        after: The same after the change.
    """

    image: ImageRef
    caption: str
    before: np.ndarray
    after: np.ndarray


@dataclass(frozen=True)
class Experiments:
    """The results of experiments. `None`: not made, and `reasons` says why, by the name of the field.

    Attributes:
        corrections: Changes of test and training images that were tried, those on many images first, then by gain.
        shortcuts: Confirmed shortcuts, strongest first.
        changed: Images before and after a change, by the name of the correction or shortcut.
        reasons: Why something was not tried.
    """

    corrections: list[Correction] | None = None
    shortcuts: list[Shortcut] | None = None
    changed: dict[str, list[Changed]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


NO_EXPERIMENTS = Experiments()

Result = TypeVar("Result")


def attempted(name: str, measure: Callable[[], Result], reasons: dict[str, str]) -> Result | None:
    """Measures something. A defect of one measurement must not end a training run, so it becomes a reason.

    Args:
        name: The name of what is measured.
        measure: Measures it.
        reasons: Gets the reason if it fails.
    """
    try:
        return measure()
    except Exception as error:
        reasons[name] = f"the measurement itself failed, which is a defect of lrdiag ({type(error).__name__}: {error})"
        return None
