"""Charts are drawn once: importing matplotlib costs more than all the rest of a page that is made again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from markupsafe import Markup

from lrdiag.records import Run

_DRAUGHTSMEN = ("charts.py", "confidence_charts.py", "svg.py")


def drawn_once(run: Run, file: str, numbers: object, draw: Callable[[], Markup]) -> Markup:
    """The chart that the run holds, if the same code drew it from these numbers; else draws it and gives it to the run.

    Args:
        run: Its `pictures` hold the chart, afterwards at the latest.
        file: The name of the chart among them.
        numbers: Everything that the chart shows.
        draw: Draws it.
    """
    digest = hashlib.sha256(_code() + repr(numbers).encode()).hexdigest()
    origin = f"<!-- drawn by lrdiag from {digest} -->"
    held = run.pictures.get(file, b"").decode(errors="replace")
    if not held.startswith(origin):
        held = origin + str(draw())
        run.pictures[file] = held.encode()
    return Markup(held.removeprefix(origin))


@cache
def _code() -> bytes:
    """What draws; a version number would stay the same while it is being worked on."""
    return b"".join((files("lrdiag.report") / name).read_bytes() for name in _DRAUGHTSMEN)
