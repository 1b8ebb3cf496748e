"""The Jinja environment of the page and of the summary."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lrdiag import formats

FILTERS = (formats.percent, formats.rate, formats.loss, formats.count, formats.plural, formats.duration, formats.short)


def templates_root() -> Path:
    """The folder of the templates: inside an installed package, at the root of the repository in a checkout."""
    packaged = Path(str(files("lrdiag"))) / "templates"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "templates"


@cache
def html_environment() -> Environment:
    """Templates that write HTML: every value is escaped, a missing one is an error."""
    environment = Environment(
        loader=FileSystemLoader(templates_root()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=formats.legible,
    )
    environment.filters.update({function.__name__: function for function in FILTERS})
    return environment
