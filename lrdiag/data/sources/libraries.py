"""Optional libraries, each needed for one kind of data."""

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
        module: Name to import.
        package: Name to install.
        purpose: What needs it, as the beginning of a sentence.

    Raises:
        DataError: If it can't be imported.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise DataError(f"{purpose} needs {package}. Run `pip install {package}`. Received: {error}") from error
