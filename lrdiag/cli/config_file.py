"""Options from a file: `[tool.lrdiag]` of the nearest pyproject.toml, or the file that `--config` names.

The values become click's `default_map`, so the command line and the environment take precedence, and click knows the
source of each value. The whole file is checked, whichever command runs. The tables `checks` and `accept` are for all
commands.

A file that is found may be a stranger's. If everyone could have put it there, it is passed over. Options that run code,
or that write outside of the file's folder, count only in a file that the user named or has in an own repository.
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

from lrdiag import limits
from lrdiag.cli.options import VERBOSE
from lrdiag.cli.ownership import is_in_own_repository, is_strangers
from lrdiag.cli.parsing import Command
from lrdiag.cli.streams import say
from lrdiag.diagnosis import gates as gating
from lrdiag.diagnosis.check_settings import AS_IN_THE_TABLE, CheckSettings
from lrdiag.diagnosis.gates import Gate
from lrdiag.errors import SettingsError, did_you_mean
from lrdiag.model_spec import KERAS_SUFFIX
from lrdiag.settings import LearningRate, read_data
from lrdiag.vocabulary import DATA_NAMES, GATE_RULES, NETWORKS, canonical

PYPROJECT = "pyproject.toml"
COMMAND_LINE = "command line"

_OPTION = "config_file"
_NOT_IN_A_FILE = (_OPTION, "skip_check", "resume")  # a file has the table `checks`, and is for many runs
_TABLES = ("checks", "accept")
_FILE = "lrdiag.cli.config_file.file"
_TRUSTED = "lrdiag.cli.config_file.trusted"
_GATES = "lrdiag.cli.config_file.gates"
_CHECKS = "lrdiag.cli.config_file.checks"
_RULES = {rule.replace("-", "_"): rule for rule in GATE_RULES}
_SEPARATORS = {"augment": ",", "learning_rate": ":", "image_size": "x"}
"""The separator of a list, for options that take several values in one text."""


@dataclass(frozen=True)
class _Key:
    """The option that a key of the file sets. `no-open = true` is `open = false`."""

    option: click.Option
    negated: bool

    @property
    def name(self) -> str:
        return self.option.name

    @property
    def is_gate(self) -> bool:
        """Whether it is a gate. `--fail-on` of `lrdiag check` is an ordinary option."""
        return self.name in _RULES and self.option.callback is not None


@dataclass(frozen=True)
class _Table:
    """A table of the file. `name` is empty for the whole file. `trusted`: whether it may name code."""

    file: str
    trusted: bool
    name: str
    entries: Mapping[str, Any]

    def __str__(self) -> str:
        return f"[{self.name}] of {self.file}" if self.name else self.file

    def sub_table(self, key: str) -> _Table:
        entries = self.entries[key]
        if not isinstance(entries, Mapping):
            raise SettingsError(f"`{key}` in {self} must be a table of options. Received: {entries!r}")
        return replace(self, name=f"{self.name}.{key}".lstrip("."), entries=entries)


@dataclass(frozen=True)
class _Values:
    """The values that the file sets for one command."""

    defaults: Mapping[str, Any]
    gates: tuple[Gate, ...]

    def overridden(self, by: _Values) -> _Values:
        return _Values({**self.defaults, **by.defaults}, gating.overridden(self.gates, by.gates))


@dataclass(frozen=True)
class OptionValue:
    """The value of one option and its source: `default`, a file, `environment NAME` or `command line`.

    `words` says what a value that is `None` depends on.
    """

    name: str
    value: Any
    source: str
    words: str = "-"

    def __str__(self) -> str:
        match self.value:
            case None:
                return self.words
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
        """Returns name, value, source and the value as text, as JSON types."""
        value = str(self.value) if isinstance(self.value, Path | LearningRate) else self.value
        return {"name": self.name, "value": value, "source": self.source, "text": str(self)}


class ConfiguredCommand(Command):
    """A command that says from which file it takes options. A file that isn't trusted can't keep this quiet."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        quiet_by_file = ctx.get_parameter_source("quiet") is ParameterSource.DEFAULT_MAP
        if ctx.meta.get(_FILE) and not (ctx.params.get("quiet") and (ctx.meta[_TRUSTED] or not quiet_by_file)):
            say(f"Options from {ctx.meta[_FILE]}", err=True)
        return super().invoke(ctx)


def _configure(ctx: click.Context, _param: click.Parameter, given: str | None) -> None:
    """Sets the defaults of the command from the file."""
    file = given or _nearest_pyproject(warn=not ctx.resilient_parsing)
    if file is None:
        return
    table = _load(file, trusted=given is not None or is_in_own_repository(Path(file)))
    if not table.entries:
        return
    values = _read(table, _commands(ctx))[cast(str, ctx.command.name)]
    ctx.default_map = dict(values.defaults)
    settings = _check_settings(table)
    ctx.meta.update({_FILE: file, _TRUSTED: table.trusted, _GATES: values.gates, _CHECKS: settings})


config_option = click.option(
    "--config",
    _OPTION,
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE.toml",
    is_eager=True,
    expose_value=False,
    callback=_configure,
    help="Read options from this file instead of [tool.lrdiag] of the nearest pyproject.toml.",
)


def file_gates(ctx: click.Context) -> tuple[Gate, ...]:
    """Returns the gates that the file sets for the current command."""
    gates: tuple[Gate, ...] = ctx.meta.get(_GATES, ())
    return gates


def file_check_settings(ctx: click.Context) -> CheckSettings:
    """Returns the settings of the checks that the file has."""
    settings: CheckSettings = ctx.meta.get(_CHECKS, AS_IN_THE_TABLE)
    return settings


def option_values(command: click.Command, arguments: list[str], parent: click.Context) -> list[OptionValue]:
    """Returns the options, gates and check settings that `command` would have with `arguments`, with their sources."""
    bare = copy.copy(command)
    bare.params = [param for param in command.params if isinstance(param, click.Option)]
    ctx = bare.make_context(command.name, arguments, parent=parent)
    return [*_options_of(ctx), *_gates_of(ctx), *_checks_of(ctx)]


def _options_of(ctx: click.Context) -> Iterator[OptionValue]:
    values = {**ctx.params, "verbose": ctx.meta.get(VERBOSE)}
    for key, each in _keys(ctx.command).items():
        if not each.negated and not each.is_gate:
            yield OptionValue(key, values[each.name], _source(ctx, each.option))


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


def _gates_of(ctx: click.Context) -> Iterator[OptionValue]:
    names = [each.name for each in _keys(ctx.command).values() if each.is_gate]
    given = tuple(gate for name in names for gate in ctx.params[name])
    for gate in gating.overridden(file_gates(ctx), by=given):
        source = COMMAND_LINE if gate in given else ctx.meta[_FILE]
        if gate.rule == "fail-on":
            yield OptionValue(gate.rule, gate.name, source)
        else:
            yield OptionValue(f"{gate.rule}.{gate.name}", gate.limit, source)


def _checks_of(ctx: click.Context) -> Iterator[OptionValue]:
    skipped: CheckSettings = ctx.params.get("skip_check", AS_IN_THE_TABLE)
    for code in sorted(skipped.off):
        yield OptionValue(f"checks.{code}", False, COMMAND_LINE)
    in_file = file_check_settings(ctx)
    values: dict[str, str | float | bool] = {f"checks.{code}": False for code in sorted(in_file.off - skipped.off)}
    values |= {f"checks.{code}.severity": severity for code, severity in in_file.severities.items()}
    values |= {f"checks.{code}.threshold": threshold for code, threshold in in_file.thresholds.items()}
    values |= {f"accept.{code}": reason for code, reason in in_file.accepted.items()}
    for name, value in values.items():
        yield OptionValue(name, value, ctx.meta[_FILE])


def _check_settings(table: _Table) -> CheckSettings:
    checks, accept = (table.sub_table(name).entries if name in table.entries else None for name in _TABLES)
    try:
        return CheckSettings.of(checks, accept)
    except SettingsError as error:
        raise SettingsError(f"{table}: {error}") from error


def _nearest_pyproject(*, warn: bool) -> str | None:
    """Returns the file in the current folder, named without a path, or in the nearest folder above.

    A stranger's file is passed over, so that it can neither change nor prevent a run.
    """
    try:
        above = [str(folder / PYPROJECT) for folder in Path.cwd().parents]
    except OSError:  # the current folder was removed
        return None
    for file in (PYPROJECT, *above):
        if os.path.isfile(file):
            if not is_strangers(Path(file)):
                return file
            if warn:
                say(
                    f"Warning: {file} is not read, because another user may have put it there. If you wrote it, use "
                    f"--config {file}",
                    err=True,
                )
    return None


def _load(file: str, *, trusted: bool) -> _Table:
    """Returns `[tool.lrdiag]`. Only pyproject.toml needs that heading."""
    import tomllib

    try:
        with open(file, "rb") as opened:
            text = opened.read(limits.OPTIONS_BYTES.value + 1)
        content = tomllib.loads(text.decode("utf-8-sig")) if len(text) <= limits.OPTIONS_BYTES.value else {}
    except (OSError, ValueError, RecursionError) as error:  # invalid TOML and invalid UTF-8 are ValueErrors
        raise SettingsError(f"An options file must be TOML in UTF-8. Received: {file} ({error})") from error
    limits.OPTIONS_BYTES.require(len(text), f"The options file {file}", SettingsError)
    whole = _Table(file, trusted, "", content)
    tool = replace(whole, entries={"tool": {}, **content}).sub_table("tool")
    if os.path.basename(file) != PYPROJECT and "lrdiag" not in tool.entries:
        return whole
    return replace(tool, entries={"lrdiag": {}, **tool.entries}).sub_table("lrdiag")


def _commands(ctx: click.Context) -> dict[str, dict[str, _Key]]:
    """Returns the keys of each command that reads options from a file."""
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
        if isinstance(option, click.Option) and option.name not in _NOT_IN_A_FILE
        for name in (*option.opts, *option.secondary_opts)
        if name.startswith("--")
    }


def _read(table: _Table, commands: Mapping[str, Mapping[str, _Key]]) -> dict[str, _Values]:
    """Returns the values for each command: those for all commands, overridden by its own table."""
    own = [(_dashed(key), table.sub_table(key)) for key in table.entries if _dashed(key) in commands]
    shared = replace(table, entries={key: table.entries[key] for key in table.entries if _dashed(key) not in commands})
    _require_known(shared, {name for keys in commands.values() for name in keys} | {*commands, *_TABLES}, "lrdiag")
    values = {name: _values_of(shared, keys) for name, keys in commands.items()}
    for name, of_its_own in own:
        _require_known(of_its_own, commands[name], name)
        values[name] = values[name].overridden(by=_values_of(of_its_own, commands[name]))
    return values


def _require_known(table: _Table, known: Collection[str], command: str) -> None:
    for key in table.entries:
        if _dashed(key) not in known:
            raise SettingsError(f"`{key}` in {table} is not an option of {command}{did_you_mean(_dashed(key), known)}")


def _values_of(table: _Table, keys: Mapping[str, _Key]) -> _Values:
    """Returns the values that a table sets for a command with these keys."""
    values = _Values({}, ())
    set_by: dict[str, str] = {}
    for key, value in table.entries.items():
        target = keys.get(_dashed(key))
        if target is None:
            continue
        if target.name in set_by:
            raise SettingsError(f"`{key}` in {table} sets what `{set_by[target.name]}` sets. Remove one of them")
        set_by[target.name] = key
        try:
            values = values.overridden(by=_one(target, value, table))
        except (click.BadParameter, ValueError, OverflowError) as error:
            raise SettingsError(f"`{key}` in {table}: {error}") from error
    return values


def _one(target: _Key, value: object, table: _Table) -> _Values:
    """Returns the value of a single key in a table.

    Raises:
        click.BadParameter, ValueError, OverflowError: If the option or gate doesn't accept the value.
    """
    option = target.option
    if target.name == "trust":
        raise SettingsError(
            "It works only on the command line, because a file could come with the model that it trusts"
        )
    if target.is_gate:
        return _Values({}, gating.read_gates(_RULES[target.name], value))
    if option.is_flag:
        if not isinstance(value, bool):
            raise SettingsError(f"It must be true or false. Received: {value!r}")
        return _Values({target.name: value != target.negated}, ())
    text = _spelled(target.name, value)
    folder = os.path.dirname(table.file)
    if _is_path(option, text, folder):
        text = os.path.join(folder, os.path.expanduser(text))
    if not table.trusted and _needs_trust(target.name, text, folder):
        raise SettingsError(
            "It names code, or a place outside of the file's folder to write to. This is accepted from a file in a "
            "repository that belongs to you, or from one that you name. If you wrote the file, use --config "
            f"{table.file}. Received: {value!r}"
        )
    option.process_value(click.Context(click.Command(None)), text)  # raises if the option doesn't accept the value
    return _Values({target.name: text}, ())


def _needs_trust(name: str, text: str, folder: str) -> bool:
    """Returns whether a value runs code here or in the page, or writes outside of the folder of the file."""
    match name:
        case "templates":
            return True
        case "model":
            return canonical(text, NETWORKS) not in NETWORKS and not text.endswith(KERAS_SUFFIX)
        case "out" | "plot":
            return not Path(text).resolve().is_relative_to(Path(folder).resolve())
        case _:
            return False


def _spelled(name: str, value: object) -> str:
    """Returns a value as text for the command line."""
    parts = value if isinstance(value, list) and name in _SEPARATORS else [value]
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, str | int | float) or "\0" in str(part):
            raise SettingsError(f"It must be text or a number. Received: {value!r}")
    return _SEPARATORS.get(name, "").join(map(str, parts))


def _is_path(option: click.Option, text: str, folder: str) -> bool:
    """Returns whether a value is a path. A relative path starts from the folder of the options file."""
    if option.name == "data":
        return read_data(text, folder) not in DATA_NAMES
    if option.name == "model":
        return text.endswith(KERAS_SUFFIX)
    return isinstance(option.type, click.Path)


def _dashed(key: str) -> str:
    return key.replace("_", "-")
