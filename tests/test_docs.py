"""The documentation site: its generated page, and its table of contents."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import click

import lrdiag
from lrdiag.cli.app import main

ROOT = Path(__file__).parents[1]
COMMANDS = ROOT / "docs/reference/commands.md"
WIDTH = 100


def commands_page() -> str:
    """The page with the help of each command."""
    parts = ["# Commands and options\n\nWhat `lrdiag COMMAND --help` prints.\n"]
    for name, command in sorted(main.commands.items()):
        whole = click.Context(main, info_name="lrdiag", **main.context_settings)
        context = click.Context(command, info_name=name, parent=whole, terminal_width=WIDTH)
        parts.append(f"## `{name}`\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


def test_the_page_of_commands_is_that_of_the_help() -> None:
    if os.environ.get("LRDIAG_UPDATE_GOLD"):
        COMMANDS.write_text(commands_page())
    assert COMMANDS.read_text() == commands_page(), "run again with LRDIAG_UPDATE_GOLD=1"


def pages_in(nav: list[Any]) -> set[str]:
    pages = set()
    for entry in nav:
        for target in entry.values():
            pages |= pages_in(target) if isinstance(target, list) else {target}
    return pages


def test_the_table_of_contents_has_every_page() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    assert pages_in(nav) == {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}


def test_the_reference_has_every_public_name() -> None:
    text = (ROOT / "docs/reference/python.md").read_text()
    listed = [line.removeprefix("::: lrdiag.") for line in text.splitlines() if line.startswith("::: ")]
    assert sorted(listed) == sorted(name for name in lrdiag.__all__ if name != "__version__")
