"""The public names: listed, documented with an example, and cheap to import. tests/typed checks their types."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import lrdiag
from lrdiag import testing

NAMES = [
    "CosineRestarts", "CurveLR", "CurveSchedule", "Cyclic", "CyclicLR", "CyclicSchedule", "GradCAM",
    "InverseTimeDecay", "InverseTimeDecaySchedule", "LRFinder", "LearningRate", "LrdiagError", "NoSuggestion",
    "OneCycle", "OneCycleLR", "OneCycleSchedule", "Part", "RangeTest", "Report", "ReportCallback", "SGD", "Settings",
    "Warmup", "check", "diagnose", "diagnose_part", "find_lr", "merge", "overlay", "train_and_report",
]  # fmt: skip


def test_the_public_names() -> None:
    assert lrdiag.__all__ == ["__version__", *NAMES, "testing"]
    assert set(dir(lrdiag)) == set(lrdiag.__all__)
    assert lrdiag.testing is testing


def test_every_public_name_has_a_type() -> None:
    """Without an import under `TYPE_CHECKING`, the type of a name is `Any`."""
    tree = ast.parse(Path(lrdiag.__file__).read_text(encoding="utf-8"))
    typed = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(NAMES) <= typed


def test_every_public_name_has_an_example() -> None:
    """The doctests run them."""
    public = [*(getattr(lrdiag, name) for name in NAMES), testing.assert_no_regression]
    assert [each.__name__ for each in public if ">>> " not in (inspect.getdoc(each) or "")] == []


def test_an_unknown_name_raises_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'lrdiag' has no attribute 'find_rl'"):
        lrdiag.find_rl  # noqa: B018


def test_importing_lrdiag_imports_no_heavy_package() -> None:
    heavy = ("keras", "tensorflow", "matplotlib", "numpy", "sklearn", "cv2", "PIL", "msgspec", "jinja2")
    program = f"import sys, lrdiag; print([name for name in {heavy} if name in sys.modules])"
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert imported.strip() == "[]"
