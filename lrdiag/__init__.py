"""Learning-rate and failure diagnostics for Keras: one command, one page.

Public names are imported on first use, so `import lrdiag` imports neither Keras nor matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrdiag import testing as testing
    from lrdiag.callback import ReportCallback as ReportCallback
    from lrdiag.checkup import check as check
    from lrdiag.diagnosing import diagnose as diagnose
    from lrdiag.errors import LrdiagError as LrdiagError
    from lrdiag.errors import NoSuggestion as NoSuggestion
    from lrdiag.explain.gradcam import GradCAM as GradCAM
    from lrdiag.explain.overlay import overlay as overlay
    from lrdiag.parts import Part as Part
    from lrdiag.parts import diagnose_part as diagnose_part
    from lrdiag.parts import merge as merge
    from lrdiag.pipeline import train_and_report as train_and_report
    from lrdiag.policies.callbacks import CyclicLR as CyclicLR
    from lrdiag.policies.callbacks import OneCycleLR as OneCycleLR
    from lrdiag.policies.curve_lr import CurveLR as CurveLR
    from lrdiag.policies.finder import LRFinder as LRFinder
    from lrdiag.policies.finder import find_lr as find_lr
    from lrdiag.policies.schedules import CurveSchedule as CurveSchedule
    from lrdiag.policies.schedules import CyclicSchedule as CyclicSchedule
    from lrdiag.policies.schedules import InverseTimeDecaySchedule as InverseTimeDecaySchedule
    from lrdiag.policies.schedules import OneCycleSchedule as OneCycleSchedule
    from lrdiag.policies.sgd import SGD as SGD
    from lrdiag.rate.curves import CosineRestarts as CosineRestarts
    from lrdiag.rate.curves import Cyclic as Cyclic
    from lrdiag.rate.curves import InverseTimeDecay as InverseTimeDecay
    from lrdiag.rate.curves import OneCycle as OneCycle
    from lrdiag.rate.curves import Warmup as Warmup
    from lrdiag.rate.range_test import RangeTest as RangeTest
    from lrdiag.report.report import Report as Report
    from lrdiag.settings import LearningRate as LearningRate
    from lrdiag.settings import Settings as Settings

_HOMES = {
    "CosineRestarts": "lrdiag.rate.curves",
    "CurveLR": "lrdiag.policies.curve_lr",
    "CurveSchedule": "lrdiag.policies.schedules",
    "Cyclic": "lrdiag.rate.curves",
    "CyclicLR": "lrdiag.policies.callbacks",
    "CyclicSchedule": "lrdiag.policies.schedules",
    "GradCAM": "lrdiag.explain.gradcam",
    "InverseTimeDecay": "lrdiag.rate.curves",
    "InverseTimeDecaySchedule": "lrdiag.policies.schedules",
    "LRFinder": "lrdiag.policies.finder",
    "LearningRate": "lrdiag.settings",
    "LrdiagError": "lrdiag.errors",
    "NoSuggestion": "lrdiag.errors",
    "OneCycle": "lrdiag.rate.curves",
    "OneCycleLR": "lrdiag.policies.callbacks",
    "OneCycleSchedule": "lrdiag.policies.schedules",
    "Part": "lrdiag.parts",
    "RangeTest": "lrdiag.rate.range_test",
    "Report": "lrdiag.report.report",
    "ReportCallback": "lrdiag.callback",
    "SGD": "lrdiag.policies.sgd",
    "Settings": "lrdiag.settings",
    "Warmup": "lrdiag.rate.curves",
    "check": "lrdiag.checkup",
    "diagnose": "lrdiag.diagnosing",
    "diagnose_part": "lrdiag.parts",
    "find_lr": "lrdiag.policies.finder",
    "merge": "lrdiag.parts",
    "overlay": "lrdiag.explain.overlay",
    "train_and_report": "lrdiag.pipeline",
}

__all__ = ["__version__", *sorted(_HOMES), "testing"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("lrdiag")
    if name == "testing":
        return importlib.import_module("lrdiag.testing")
    if name not in _HOMES:
        raise AttributeError(f"module 'lrdiag' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
