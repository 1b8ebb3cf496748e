"""Libraries that lrdiag needs for one kind of data only, and does not install."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lrdiag.errors import DataError


def require(module: str, package: str, purpose: str) -> Any:
    """Imports `module`.

    Example:
        >>> require("json", "json", "A JSON file").loads("[1]")
        [1]

    Args:
        module: As it is imported.
        package: As it is installed.
        purpose: What it is needed for, as the beginning of a sentence.

    Raises:
        DataError: If it is not installed, or broken.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise DataError(f"{purpose} is read by {package}. Run `pip install {package}`. Received: {error}") from error
