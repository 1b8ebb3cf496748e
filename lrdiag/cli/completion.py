"""What a shell offers when Tab is pressed. It is asked at every key press, so nothing slow is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast

import click

from lrdiag.cli.parsing import Command, option_names
from lrdiag.vocabulary import AUGMENTATIONS, DATA_NAMES, NETWORKS

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem] | list[str]"]
DEFAULT_COMMAND = "train-and-report"
"""The command whose options `lrdiag config` shows if none is named."""


def names_or_files(names: Iterable[str]) -> _Completer:
    """Completes names, and the path of a file or folder."""

    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        # The files first: bash drops what was offered before them, and offers them only if no name matches.
        return [
            CompletionItem(incomplete, type="file"),
            *(CompletionItem(name) for name in names if name.startswith(incomplete.lower())),
        ]

    return complete


complete_data = names_or_files(DATA_NAMES)
complete_network = names_or_files(NETWORKS)
complete_trained_model = names_or_files(())


def complete_augmentations(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Completes the last name of a list such as `flip,crop`."""
    *before, last = incomplete.split(",")
    left = [name for name in AUGMENTATIONS if name not in before] + ["none"] * (not before)
    return [",".join([*before, name]) for name in left if name.startswith(last)]


def complete_shown(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem] | list[str]:
    """Completes the command whose options `lrdiag config` shows, and the values of its options."""
    given = ctx.params.get("given") or ()
    if not given:
        return [name for name in _group(ctx).commands if name.startswith(incomplete)]
    option = dict(option_names(_shown(ctx))).get(given[-1])
    return [] if option is None or option.is_flag else option.shell_complete(ctx, incomplete)


class ConfigCommand(Command):
    """`lrdiag config`, which also takes the options of the command that it shows."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Completes its own options and those of the other command."""
        from click.shell_completion import CompletionItem

        own = super().shell_complete(ctx, incomplete)
        listed = {item.value for item in own}
        return own + [
            CompletionItem(name, help=option.help)
            for name, option in option_names(_shown(ctx))
            if name.startswith(incomplete or "-") and name not in listed
        ]


def _shown(ctx: click.Context) -> click.Command:
    first = next(iter(ctx.params.get("given") or ()), DEFAULT_COMMAND)
    group = _group(ctx)
    return group.get_command(ctx, first) or group.commands[DEFAULT_COMMAND]


def _group(ctx: click.Context) -> click.Group:
    return cast(click.Group, ctx.find_root().command)
