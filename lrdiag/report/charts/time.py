"""The bar of the training time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from markupsafe import Markup

_WIDTH = 1000


def time_bar(parts: Iterable[tuple[str, float]], label: str) -> Markup:
    """One bar that is divided by kinds of time, as inline SVG. The page's style gives each kind its colour.

    Args:
        parts: The kinds and their shares of the time, in the order of the bar. The shares add up to 1.
        label: Text for screen readers.
    """
    drawn = Markup().join(_rectangles(parts))
    return Markup(
        '<svg class="time" viewBox="0 0 {} 1" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(_WIDTH, label, drawn)


def _rectangles(parts: Iterable[tuple[str, float]]) -> Iterator[Markup]:
    start = 0.0
    for kind, share in parts:
        width = _WIDTH * share
        yield Markup('<rect class="{}" x="{:.1f}" width="{:.1f}" height="1"/>').format(kind, start, width)
        start += width
