"""The name that somebody may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Ends a message that refuses `name` with the nearest one that is known; empty where none is near.

    Example:
        >>> did_you_mean("epoch", ["seed", "epochs"])
        ". Did you mean 'epochs'?"

    Args:
        name: What was received.
        known: What could have been meant.
        prefix: Stands before the known name where it is shown.
    """
    close = get_close_matches(name, list(known), n=1)
    return f". Did you mean {prefix + close[0]!r}?" if close else ""
