"""The paragraphs of docs/findings.md, which the page shows with each finding, so that they can be read offline."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

_PARAGRAPH = re.compile(r"^### `(?P<code>[\w-]+)`\n+\*How it is detected\.\* (?P<text>.+)$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


@cache
def how_detected() -> dict[str, str]:
    """Returns how each problem is detected, by the code of its rule. Code is in backticks, links are plain text."""
    text = _file().read_text(encoding="utf-8")
    return {found["code"]: _LINK.sub(r"\1", found["text"]) for found in _PARAGRAPH.finditer(text)}


def _file() -> Path:
    """The documentation of the findings: in the installed package, or in a checkout."""
    packaged = Path(str(files("lrdiag"))) / "findings.md"
    return packaged if packaged.is_file() else Path(__file__).parents[2] / "docs" / "findings.md"
