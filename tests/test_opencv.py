"""OpenCV is imported in one place, when it is first used."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest

from lrdiag import opencv
from lrdiag.errors import LrdiagError


def test_its_attributes_are_those_of_cv2() -> None:
    import cv2

    assert opencv.resize is cv2.resize
    assert opencv.INTER_AREA == cv2.INTER_AREA
    with pytest.raises(AttributeError, match="no_such_function"):
        _ = opencv.no_such_function


def test_an_emptied_package_gives_an_error_with_the_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removing `opencv-python` beside the headless package leaves a folder `cv2` without content."""
    monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    with pytest.raises(LrdiagError, match=r"pip install --force-reinstall --no-deps opencv-python-headless"):
        opencv.resize(np.zeros((2, 2)), (4, 4))


def test_an_import_error_gives_an_error_with_the_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(LrdiagError, match=r"must be importable.*opencv-python-headless"):
        _ = opencv.INTER_AREA


def test_it_is_imported_when_it_is_first_used() -> None:
    code = "import sys, lrdiag.palette, lrdiag.record.pictures; assert 'cv2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
