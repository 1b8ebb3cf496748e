"""How the commands read their arguments: lenient names, suggestions, and options under headings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from lrdiag.errors import did_you_mean
from lrdiag.vocabulary import canonical

HEADINGS = {
    "Data": (
        *("data", "data_dir", "image_column", "label_column", "image_size", "resize", "preprocess"),
        *("limit_train", "limit_test", "augment"),
    ),
    "Model": ("model", "output", "trust"),
    "Training": ("epochs", "progressive", "optimizer", "schedule", "learning_rate"),
    "Computation": ("batch_size", "seed", "mixed_precision"),
    "Range test": ("start_lr", "end_lr", "iterations", "mode", "repeats", "rule", "plot"),
    "Comparison, gates and checks": ("baseline", "fail_under", "fail_if_worse", "fail_on", "skip_check"),
    "Report": ("out", "assets", "templates", "images", "file_names", "open_page"),
}
"""The options under each heading of `--help`, in this order. An option that is not listed comes after these."""
OTHERS = "Other options"


class Choice(click.Choice[str]):
    """One of a few names. Case does not matter, nor do hyphens and underscores."""

    def __init__(self, choices: tuple[str, ...]) -> None:
        super().__init__(choices, case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the name as `choices` contains it."""
        return super().convert(canonical(value, self.choices), param, ctx)

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Names the choices, and the one that is most similar."""
        message = super().get_invalid_choice_message(value, ctx)
        return message.removesuffix(".") + (did_you_mean(str(value), self.choices) or ".")


class Command(click.Command):
    """A command whose help shows its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options under `HEADINGS`, then those that it does not list."""
        records = {param.name: param.get_help_record(ctx) for param in self.get_params(ctx) if _is_option(param)}
        others = set(records).difference(*HEADINGS.values())
        last = OTHERS if len(others) < len(records) else "Options"
        for heading, names in (*HEADINGS.items(), (last, [name for name in records if name in others])):
            rows = [record for name in names if (record := records.get(name)) is not None]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


def _is_option(param: click.Parameter) -> bool:
    return isinstance(param, click.Option)


class Group(click.Group):
    """A group of commands. A command may be spelled with underscores, and a mistyped one gets a suggestion."""

    command_class = Command

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns the command that `cmd_name` spells."""
        return super().get_command(ctx, canonical(cmd_name, self.commands))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Returns name, command and the other arguments."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            raise click.UsageError(f"No such command {name!r}{did_you_mean(name, self.commands) or '.'}", ctx)
        _, command, rest = super().resolve_command(ctx, args)
        return None if command is None else command.name, command, rest


def underscores_are_hyphens(name: str) -> str:
    """Returns the usual spelling of an option: `--batch_size` is `--batch-size`."""
    return name.replace("_", "-")


def option_names(command: click.Command) -> Iterator[tuple[str, click.Option]]:
    """Yields every name of every option of a command, such as `--quiet` and `-q`."""
    for param in command.params:
        if isinstance(param, click.Option):
            for name in (*param.opts, *param.secondary_opts):
                yield name, param
