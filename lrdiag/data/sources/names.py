"""Printable names of files and classes."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(name: str) -> str:
    r"""Escapes control characters and invalid UTF-8, which would break lines, terminals and JSON.

    Example:
        >>> print(printable("a\nb"))
        a\nb
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], name)
