"""Learning-rate and failure diagnostics for Keras: one command, one page.

Public names are imported when they are first used, so that `import lrdiag` brings in neither Keras nor matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrdiag.errors import LrdiagError as LrdiagError
    from lrdiag.explain.gradcam import GradCAM as GradCAM
    from lrdiag.pipeline import train_and_report as train_and_report
    from lrdiag.rate.range_test import LRFinder as LRFinder
    from lrdiag.rate.range_test import find_lr as find_lr
    from lrdiag.rate.schedules import CyclicLR as CyclicLR
    from lrdiag.rate.schedules import CyclicSchedule as CyclicSchedule
    from lrdiag.rate.schedules import OneCycleSchedule as OneCycleSchedule
    from lrdiag.rate.suggest import with_suggestion as with_suggestion
    from lrdiag.settings import LearningRate as LearningRate
    from lrdiag.settings import Settings as Settings

_HOMES = {
    "CyclicLR": "lrdiag.rate.schedules",
    "CyclicSchedule": "lrdiag.rate.schedules",
    "GradCAM": "lrdiag.explain.gradcam",
    "LRFinder": "lrdiag.rate.range_test",
    "LearningRate": "lrdiag.settings",
    "LrdiagError": "lrdiag.errors",
    "OneCycleSchedule": "lrdiag.rate.schedules",
    "Settings": "lrdiag.settings",
    "find_lr": "lrdiag.rate.range_test",
    "train_and_report": "lrdiag.pipeline",
    "with_suggestion": "lrdiag.rate.suggest",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("lrdiag")
    if name not in _HOMES:
        raise AttributeError(f"module 'lrdiag' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
