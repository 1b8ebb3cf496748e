"""Options from a file: `[tool.lrdiag]` of the nearest pyproject.toml, or the file that `--config` names.

What the file says becomes click's `default_map`, so that the command line and the environment win, and click knows
where each value is from. The whole file is checked, whichever command is run.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import click
from click.core import ParameterSource

from lrdiag.cli.options import VERBOSE
from lrdiag.diagnosis import gates as gating
from lrdiag.diagnosis.gates import Gate
from lrdiag.errors import SettingsError, did_you_mean
from lrdiag.settings import LearningRate
from lrdiag.vocabulary import DATA_NAMES

PYPROJECT = "pyproject.toml"
COMMAND_LINE = "command line"

_OPTION = "config_file"
_FILE = "lrdiag.cli.config_file.file"
_GATES = "lrdiag.cli.config_file.gates"
_RULES = {rule.replace("-", "_"): rule for rule in gating.RULES}
_SEPARATORS = {"augment": ",", "learning_rate": ":", "image_size": "x"}
"""What a list is joined with, for the options that take several values in one."""


@dataclass(frozen=True)
class _Key:
    """What a key of the file stands for; `no-open = true` is `open = false`."""

    option: click.Option
    negated: bool

    @property
    def name(self) -> str:
        return self.option.name


@dataclass(frozen=True)
class _Table:
    """A table of the file; `name` is empty where it is the whole file."""

    file: str
    name: str
    entries: Mapping[str, Any]

    def __str__(self) -> str:
        return f"[{self.name}] of {self.file}" if self.name else self.file

    def sub_table(self, key: str) -> _Table:
        entries = self.entries[key]
        if not isinstance(entries, Mapping):
            raise SettingsError(f"`{key}` in {self} must be a table of options. Received: {entries!r}")
        return _Table(self.file, f"{self.name}.{key}".lstrip("."), entries)


@dataclass(frozen=True)
class _Told:
    """What the file tells one command."""

    defaults: Mapping[str, Any]
    gates: tuple[Gate, ...]

    def overridden(self, by: _Told) -> _Told:
        return _Told({**self.defaults, **by.defaults}, gating.overridden(self.gates, by.gates))


@dataclass(frozen=True)
class Held:
    """What one option holds, and where that is from: `default`, a file, `environment NAME` or `command line`."""

    name: str
    value: Any
    source: str

    def __str__(self) -> str:
        match self.value:
            case None:
                return "-"
            case bool():
                return str(self.value).lower()
            case ():
                return "none"
            case int(), int():
                return "x".join(map(str, self.value))
            case tuple():
                return ",".join(self.value)
            case _:
                return str(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Name, value and source, as JSON can hold them."""
        value = str(self.value) if isinstance(self.value, Path | LearningRate) else self.value
        return {"name": self.name, "value": value, "source": self.source}


def _configure(ctx: click.Context, _param: click.Parameter, given: str | None) -> None:
    """Makes the file the defaults of the command."""
    file = given or _nearest_pyproject()
    if file is None:
        return
    told = _read(_load(file), _commands(ctx))[cast(str, ctx.command.name)]
    ctx.default_map = dict(told.defaults)
    ctx.meta.update({_FILE: file, _GATES: told.gates})


config_option = click.option(
    "--config",
    _OPTION,
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE.toml",
    is_eager=True,
    expose_value=False,
    callback=_configure,
    help="Take options from there, not from [tool.lrdiag] of the nearest pyproject.toml.",
)


def file_gates(ctx: click.Context) -> tuple[Gate, ...]:
    """The gates that the file sets for the command that is run."""
    gates: tuple[Gate, ...] = ctx.meta.get(_GATES, ())
    return gates


def held(command: click.Command, arguments: list[str], parent: click.Context) -> list[Held]:
    """What the options and gates of `command` would hold if it were given `arguments`, and where each is from."""
    bare = copy.copy(command)
    bare.params = [param for param in command.params if isinstance(param, click.Option)]
    ctx = bare.make_context(command.name, arguments, parent=parent)
    return [*_options_held(ctx), *_gates_held(ctx)]


def _options_held(ctx: click.Context) -> Iterator[Held]:
    values = {**ctx.params, "verbose": ctx.meta.get(VERBOSE)}
    for key, each in _keys(ctx.command).items():
        if key not in gating.RULES and not each.negated:
            yield Held(key, values[each.name], _source(ctx, each.option))


def _source(ctx: click.Context, option: click.Option) -> str:
    match ctx.get_parameter_source(option.name):
        case ParameterSource.COMMANDLINE:
            return COMMAND_LINE
        case ParameterSource.ENVIRONMENT:
            return f"environment {option.envvar}"
        case ParameterSource.DEFAULT_MAP:
            return str(ctx.meta[_FILE])
        case _:
            return "default"


def _gates_held(ctx: click.Context) -> Iterator[Held]:
    given = ctx.params.get("fail_under", ()) + ctx.params.get("fail_if_worse", ())
    for gate in gating.overridden(file_gates(ctx), by=given):
        yield Held(f"{gate.rule}.{gate.name}", gate.limit, COMMAND_LINE if gate in given else ctx.meta[_FILE])


def _nearest_pyproject() -> str | None:
    """In the current folder, where it is named without one, or in the nearest above."""
    above = (str(folder / PYPROJECT) for folder in Path.cwd().parents)
    return next((file for file in (PYPROJECT, *above) if os.path.isfile(file)), None)


def _load(file: str) -> _Table:
    """`[tool.lrdiag]`; a file that is no pyproject.toml may do without the heading."""
    import tomllib

    try:
        content = tomllib.loads(Path(file).read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:  # no TOML is a ValueError, no UTF-8 too
        raise SettingsError(f"Options are read from TOML files in UTF-8. Received: {file} ({error})") from error
    tool = _Table(file, "", {"tool": {}, **content}).sub_table("tool")
    if os.path.basename(file) != PYPROJECT and "lrdiag" not in tool.entries:
        return _Table(file, "", content)
    return replace(tool, entries={"lrdiag": {}, **tool.entries}).sub_table("lrdiag")


def _commands(ctx: click.Context) -> dict[str, dict[str, _Key]]:
    """The keys of each command that takes options from a file."""
    group = cast(click.Group, ctx.find_root().command)
    return {
        name: _keys(command)
        for name, command in group.commands.items()
        if any(param.name == _OPTION for param in command.params)
    }


def _keys(command: click.Command) -> dict[str, _Key]:
    return {
        name.removeprefix("--"): _Key(option, negated=name in option.secondary_opts)
        for option in command.params
        if isinstance(option, click.Option) and option.name != _OPTION
        for name in (*option.opts, *option.secondary_opts)
        if name.startswith("--")
    }


def _read(table: _Table, commands: Mapping[str, Mapping[str, _Key]]) -> dict[str, _Told]:
    """What each command is told: what all of them are, and over it what its own table says."""
    own = [(_dashed(key), table.sub_table(key)) for key in table.entries if _dashed(key) in commands]
    shared = replace(table, entries={key: table.entries[key] for key in table.entries if _dashed(key) not in commands})
    _refuse_unknown(shared, {name for keys in commands.values() for name in keys} | set(commands), "lrdiag")
    told = {name: _told(shared, keys) for name, keys in commands.items()}
    for name, of_its_own in own:
        _refuse_unknown(of_its_own, commands[name], name)
        told[name] = told[name].overridden(by=_told(of_its_own, commands[name]))
    return told


def _refuse_unknown(table: _Table, known: Collection[str], command: str) -> None:
    for key in table.entries:
        if _dashed(key) not in known:
            raise SettingsError(f"`{key}` in {table} is no option of {command}{did_you_mean(_dashed(key), known)}")


def _told(table: _Table, keys: Mapping[str, _Key]) -> _Told:
    """What a table says to a command that has these keys."""
    told = _Told({}, ())
    said: dict[str, str] = {}
    for key, value in table.entries.items():
        meant = keys.get(_dashed(key))
        if meant is None:
            continue
        if meant.name in said:
            raise SettingsError(f"`{key}` in {table} sets what `{said[meant.name]}` sets. Remove one of them")
        said[meant.name] = key
        try:
            told = told.overridden(by=_one(meant, value, os.path.dirname(table.file)))
        except (click.BadParameter, ValueError, OverflowError) as error:
            raise SettingsError(f"`{key}` in {table}: {error}") from error
    return told


def _one(meant: _Key, value: object, folder: str) -> _Told:
    """What a single key says.

    Raises:
        click.BadParameter, ValueError, OverflowError: If its option or gates cannot take the value.
    """
    option = meant.option
    if meant.name == "trust":
        raise SettingsError(
            "It counts on the command line alone: whoever wrote the file may have written the model too"
        )
    if meant.name in _RULES:
        return _Told({}, gating.from_table(_RULES[meant.name], value))
    if option.is_flag:
        if not isinstance(value, bool):
            raise SettingsError(f"It takes true or false. Received: {value!r}")
        return _Told({meant.name: value != meant.negated}, ())
    text = _spelled(meant.name, value)
    if _is_path(option, text):
        text = os.path.join(folder, os.path.expanduser(text))
    option.process_value(click.Context(click.Command(None)), text)  # refuses what the option cannot take
    return _Told({meant.name: text}, ())


def _spelled(name: str, value: object) -> str:
    """A value as the command line would spell it."""
    parts = value if isinstance(value, list) and name in _SEPARATORS else [value]
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, str | int | float) or "\0" in str(part):
            raise SettingsError(f"It takes text or a number. Received: {value!r}")
    return _SEPARATORS.get(name, "").join(map(str, parts))


def _is_path(option: click.Option, text: str) -> bool:
    """Whether a value names a file or folder; a relative one starts from the folder of the file that says so."""
    if option.name == "data":
        return text not in DATA_NAMES
    if option.name == "model":
        return text.endswith(".keras")
    return isinstance(option.type, click.Path)


def _dashed(key: str) -> str:
    return key.replace("_", "-")
