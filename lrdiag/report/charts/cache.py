"""Charts are drawn once: importing matplotlib costs more than all the rest of a page that is made again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.metadata import version

from markupsafe import Markup

from lrdiag.record.facts import Run


def drawn_once(run: Run, file: str, numbers: object, draw: Callable[[], Markup]) -> Markup:
    """Returns the chart that the run holds if this version drew it from these numbers. Else draws and keeps it.

    Args:
        run: Its `pictures` hold the chart, afterwards at the latest.
        file: The name of the chart among them.
        numbers: Everything that the chart shows.
        draw: Draws it.
    """
    digest = hashlib.sha256(repr((version("lrdiag"), numbers)).encode()).hexdigest()
    origin = f"<!-- drawn by lrdiag from {digest} -->"
    held = run.pictures.get(file, b"").decode(errors="replace")
    if not held.startswith(origin):
        held = origin + str(draw())
        run.pictures[file] = held.encode()
    return Markup(held.removeprefix(origin))
