"""Names of files and classes, as they can be shown and saved."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(name: str) -> str:
    r"""Writes control characters, and bytes that are no UTF-8, as escapes: they break lines, terminals and JSON.

    Example:
        >>> print(printable("a\nb"))
        a\nb
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], name)
