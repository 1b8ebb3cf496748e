"""A matplotlib figure as inline SVG: its colours, its text and its width are those of the page.

Matplotlib writes a standalone file: fixed colours, a style rule for `*`, and the same ids in every chart. Here each
colour becomes a CSS variable, so that one drawing works in light, dark and print. The text loses its font, so that the
page can keep it legible at every width. The bytes depend on the data alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Placeholders, which `_adopt` replaces by the CSS variables of the page.
INK, TRAINING, VALIDATION, TRAINING_TEXT, VALIDATION_TEXT, PAPER = (f"#01010{i}" for i in range(1, 7))
_CSS = {
    INK: "currentColor",
    TRAINING: "var(--training)",
    VALIDATION: "var(--validation)",
    TRAINING_TEXT: "var(--training-text)",
    VALIDATION_TEXT: "var(--validation-text)",
    PAPER: "var(--paper)",
}
WIDTH = 480
_FONT_SIZE = 11
_DIGITS = re.compile(r"-?\d+\.\d{2,}")
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lrdiag",
    "font.size": _FONT_SIZE,
    "path.simplify": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 3,
    "xtick.major.pad": 5,
    "ytick.major.size": 0,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": INK,
    "grid.alpha": 0.14,
    "grid.linewidth": 0.7,
}


@contextmanager
def drawing(
    height: float, rows: list[float], *, top: float = 28, right: float = 14
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure `WIDTH` wide, in CSS pixels, with charts one above the other over a shared x axis.

    Args:
        height: Height of the figure.
        rows: Relative height of each chart.
        top: Margin above the charts.
        right: Margin beside them.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        grid = figure.subplots(
            len(rows),
            sharex=True,
            squeeze=False,
            height_ratios=rows,
            gridspec_kw={
                "left": 46 / WIDTH,
                "right": 1 - right / WIDTH,
                "top": 1 - top / height,
                "bottom": 42 / height,
                "hspace": 0.5,
            },
        )
        figure.patch.set_visible(False)
        for axes in grid[:, 0]:
            axes.patch.set_visible(False)
        yield figure, list(grid[:, 0])


def name_axis(axes: Axes, name: str, above: float = 14) -> None:
    """Writes the name of the y axis above it, so that it is not rotated."""
    axes.annotate(name, (0, 1), xycoords="axes fraction", xytext=(-46, above), textcoords="offset points")


def to_page(figure: Figure, key: str, label: str) -> Markup:
    """The figure as an inline `<svg>`. An artist with the `gid` `.bar` becomes a group of the class `drawn-bar`.

    Args:
        figure: A figure of `drawing`.
        key: Prefix of every id, different for each chart of the page.
        label: Text for screen readers.
    """
    file = StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    drawn = file.getvalue()
    view_box = re.search(r'viewBox="([^"]+)"', drawn)
    body = drawn[drawn.index("</metadata>") + len("</metadata>") : drawn.rindex("</svg>")]
    head = (
        f'<svg class="chart" viewBox="{view_box[1] if view_box else ""}" stroke-linejoin="round" stroke-linecap="butt" '
        f'role="img" aria-label="{escape(label)}">'
    )
    return Markup(f"{head}<title>{escape(label)}</title>{_adopt(body, key)}</svg>")


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}"


def _as_attributes(style: re.Match[str]) -> str:
    """A style as presentation attributes, which a Content-Security-Policy does not forbid."""
    rules = (rule.split(": ", 1) for rule in style[1].split("; ") if rule)
    return "".join(f' {name}="{value}"' for name, value in rules)


def _adopt(body: str, key: str) -> str:
    """Gives the drawing the page's colours and ids, and removes everything that it does not need."""
    body = re.sub(r"<!--.*?-->|<style.*?</style>|<defs>\s*</defs>", "", body, flags=re.DOTALL)
    used = set(re.findall(r"#([mp][0-9a-f]{10})\b", body))
    body = re.sub(r' id="\.([^"]+)"', r' class="drawn-\1"', body)
    body = re.sub(r' id="([^"]+)"', lambda found: f' id="{key}-{found[1]}"' if found[1] in used else "", body)
    body = re.sub(r"#([mp][0-9a-f]{10})\b", rf"#{key}-\1", body)
    body = re.sub(r"font-(size|family): [^;\"]+;? ?", "", body)
    body = re.sub(r' transform="rotate\(-0 [^"]+"', "", body)
    body = re.sub(r' style="([^"]*)"', _as_attributes, body)
    body = re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda found: _DIGITS.sub(_rounded, found[0]), body)
    for colour, variable in _CSS.items():
        body = body.replace(colour, variable)
    return re.sub(r"\s*\n\s*", " ", body)
