"""OpenCV, imported when it is first used.

Use `opencv.resize` instead of `cv2.resize`. Any attribute of `cv2` can be read from this module.
"""

from __future__ import annotations

from typing import Any

from lrdiag.errors import LrdiagError

_REPAIR = (
    "Run `pip uninstall --yes opencv-python opencv-contrib-python`, then "
    "`pip install --force-reinstall --no-deps opencv-python-headless`."
)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # attributes that Python itself looks up
        raise AttributeError(name)
    try:
        import cv2
    except ImportError as error:
        raise LrdiagError(f"OpenCV must be importable. {_REPAIR} Received: {error}") from error
    if not hasattr(cv2, "resize"):
        # The OpenCV packages install into one folder, so removing one deletes files of the others.
        raise LrdiagError(
            "OpenCV must be complete, and another OpenCV package has overwritten or removed its files. "
            f"{_REPAIR} Received: a package `cv2` without `resize`"
        )
    return getattr(cv2, name)
