"""The Jinja environments of the page and of the summary."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from lrdiag import formats
from lrdiag.errors import TemplateError

FILTERS = (
    formats.percent,
    formats.points,
    formats.probability,
    formats.rate,
    formats.loss,
    formats.count,
    formats.plural,
    formats.duration,
    formats.short,
)
_RATE_OR_OPTION = re.compile(r"\d(?:\.\d+)?e-\d+|(?<![\w-])--[a-z]{2,12}(?:-[a-z]{2,12}){0,2}(?![\w-])")
CODE = re.compile("`([^`]+)`")
"""Code in the text of a finding."""
OWN = "lrdiag"
"""The prefix with which a user's template extends or includes the template that it replaces."""


def templates_root() -> Path:
    """Returns the folder of the templates: in the installed package, or at the root of the repository in a checkout."""
    packaged = Path(str(files("lrdiag"))) / "templates"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "templates"


class _Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox without modules, such as NumPy behind the colours of the page: they have functions that write files."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Returns whether a template may use an attribute."""
        return super().is_safe_attribute(obj, attr, value) and not isinstance(value, ModuleType)


@cache
def html_environment(templates: Path | None = None) -> Environment:
    """Returns the environment of templates that write HTML. Every value is escaped. A missing value is an error.

    With templates of others, all are rendered in a sandbox: they reach the facts of the run, and no module, file or
    code of Python.

    Args:
        templates: A folder whose files replace those of lrdiag of the same name. They can extend or include the
            replaced files under `lrdiag/`.

    Raises:
        TemplateError: If there is no such folder, or if no file in it replaces one of lrdiag.
    """
    ours = FileSystemLoader(templates_root())
    replaced = [] if templates is None else [_replacing(templates, ours)]
    kind = Environment if templates is None else _Sandbox  # in which lrdiag's own take more than twice the time
    environment = kind(
        loader=ChoiceLoader([*replaced, ours, PrefixLoader({OWN: ours})]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=formats.legible,
    )
    environment.filters.update({function.__name__: function for function in (*FILTERS, unbroken, prose)})
    return environment


def unbroken(text: str) -> Markup:
    """The text as HTML that keeps rates and options on one line; a browser breaks `3.1e-5` and `--seed` at hyphens.

    The hyphens stay as they are, so that a number or an option can be copied.
    """
    return Markup(_RATE_OR_OPTION.sub(r'<span class="whole">\g<0></span>', str(escape(formats.legible(text)))))


def prose(text: str) -> Markup:
    """The text of a finding as HTML: what is in backticks is code, rates and options stay on one line."""
    parts = CODE.split(text)  # every second one is code
    return Markup("").join(
        Markup("<code>{}</code>").format(formats.legible(part)) if place % 2 else unbroken(part)
        for place, part in enumerate(parts)
    )


def _replacing(templates: Path, ours: FileSystemLoader) -> FileSystemLoader:
    names = [name for name in ours.list_templates() if not name.endswith(".md.j2")]
    if not any((templates / name).is_file() for name in names):
        raise TemplateError(
            f"A folder of templates must replace at least one of: {', '.join(names)}. Received: {templates}"
            f"{'' if templates.is_dir() else ', which is not a folder'}"
        )
    return FileSystemLoader(templates)


@contextmanager
def foreign(templates: Path | None) -> Iterator[None]:
    """Explains errors in the user's templates. An error in a template of lrdiag is a bug and is not changed.

    Raises:
        TemplateError: With file, line and message of the error.
    """
    try:
        yield
    except Exception as error:  # a template can raise anything
        if templates is None:
            raise
        raise TemplateError(
            f"The templates cannot be rendered. Correct them, or leave out `--templates`. "
            f"Received: {_place(error) or templates}: {type(error).__name__}: {error}"
        ) from error


def _place(error: Exception) -> str | None:
    """Returns file and line of the innermost template, or `None`."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"{error.filename}:{error.lineno}"
    calls = [call for call in traceback.extract_tb(error.__traceback__) if call.name in _TEMPLATE_CALLS]
    return f"{calls[-1].filename}:{calls[-1].lineno}" if calls else None


_TEMPLATE_CALLS = ("top-level template code", "template")
