"""Options files that may be a stranger's: what is read of them, and what is said."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from lrdiag.cli import ownership
from lrdiag.cli.app import main

CODE = ("templates = 't'", "model = 'nets:build'", "out = '../elsewhere'", "[tool.lrdiag.find-lr]\nplot = '~/plot.png'")
HARMLESS = "epochs = 7\nout = 'runs/1'\nmodel = 'mine.keras'\ndata = '/data'\nfail-under = 0.5"
posix = pytest.mark.skipif(os.name == "nt", reason="Windows says neither who owns a file nor who may write to it")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of pyproject.toml, two levels above the current folder."""
    (tmp_path / "a/b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a/b")
    return tmp_path


def write(folder: Path, table: str) -> Path:
    file = folder / "pyproject.toml"
    file.write_text(f"[tool.lrdiag]\n{table}\n", "utf-8")
    return file


def config(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["config", *arguments])


@pytest.mark.parametrize("line", CODE)
def test_code_counts_only_in_a_file_that_is_named_or_in_an_own_repository(folder: Path, line: str) -> None:
    file = write(folder, line)
    for command in ("report", "train-and-report"):
        refused = config(command)
        assert refused.exit_code == 2
        assert f"of {file}: It names code" in refused.stderr
        assert f"use --config {file}" in refused.stderr
    assert config("--config", str(file)).exit_code == 0
    (folder / ".git").mkdir()
    assert config().exit_code == 0


def test_other_options_of_the_users_own_file_are_read(folder: Path) -> None:
    file = write(folder, HARMLESS)
    assert config().stdout.count(str(file)) == 5


@posix
def test_a_repository_of_another_user_or_open_to_everyone_is_not_an_own_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".git").mkdir()
    write(folder, CODE[0])
    for place in (folder / ".git", folder, folder / "pyproject.toml"):
        mode = place.stat().st_mode
        place.chmod(0o777)
        assert not ownership.is_in_own_repository(folder / "pyproject.toml")
        place.chmod(mode)
    assert ownership.is_in_own_repository(folder / "pyproject.toml")
    monkeypatch.setattr("os.geteuid", lambda: 4321)
    assert not ownership.is_in_own_repository(folder / "pyproject.toml")
    assert config().exit_code == 2


@posix
@pytest.mark.parametrize("table", [*CODE, "epochs = 7", "fail-under = 0", "epochs = 'many'", "]"])
def test_a_strangers_file_in_a_shared_folder_neither_changes_nor_prevents_a_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    without = config("--json").stdout
    file = write(folder, table)
    folder.chmod(0o1777)  # as /tmp
    monkeypatch.setattr("os.geteuid", lambda: 4321)
    result = config("--json")
    assert (result.exit_code, result.stdout) == (0, without)
    reason = "because another user may have put it there"
    assert result.stderr == f"Warning: {file} is not read, {reason}. If you wrote it, use --config {file}\n"


@posix
def test_a_link_to_a_file_of_the_user_is_a_strangers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its paths would start from the folder of the link."""
    own = write(folder / "a", "epochs = 7").rename(folder / "own.toml")
    (folder / "pyproject.toml").symlink_to(own)
    folder.chmod(0o1777)
    owner = os.geteuid()
    monkeypatch.setattr("pathlib.Path.lstat", lambda _: SimpleNamespace(st_uid=owner + 1))
    assert ownership.is_strangers(folder / "pyproject.toml")


def test_on_windows_what_is_in_the_home_folder_is_the_users(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".git").mkdir()
    file = write(folder, "")
    monkeypatch.setattr(ownership, "sys", SimpleNamespace(platform="win32"))
    assert not ownership.is_strangers(file)
    assert not ownership.is_in_own_repository(file)
    monkeypatch.setattr("pathlib.Path.home", lambda: folder)
    assert ownership.is_in_own_repository(file)


def test_a_command_says_once_which_file_it_reads(folder: Path) -> None:
    file = write(folder, "epochs = 7")
    said = f"Options from {file}\n"

    def stderr(*options: str) -> str:
        return CliRunner().invoke(main, ["report", "nowhere", *options]).stderr

    assert stderr().count(said) == 1
    assert said not in stderr("-q")
    write(folder, "quiet = true")
    assert stderr().count(said) == 1  # it isn't trusted, and can't hide itself
    (folder / ".git").mkdir()
    assert said not in stderr()
    file.write_text("[project]\nname = 'x'\n")
    assert "Options" not in stderr()
