"""Versions and commit of a run."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("numpy", "opencv-python-headless", "scikit-learn")


def versions(engine: str) -> dict[str, str]:
    """Versions of the installed packages that a result depends on.

    Args:
        engine: The package of the engine that Keras ran on: `"tensorflow"`, `"jax"` or `"torch"`.
    """
    found = {package: _version(package) for package in ("lrdiag", "keras", engine, *_PACKAGES)}
    return {"python": platform.python_version(), **{package: each for package, each in found.items() if each}}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # it is installed under another name, such as `tensorflow-cpu`
        return None


def now() -> str:
    """The time in UTC as ISO 8601 has it: `2026-11-27T06:24:33Z`."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def git_commit() -> str | None:
    """Commit of the current folder, with a `+` if files have changed since; `None` outside a repository.

    A repository that came in an archive has settings of another hand. No program that they name is run.
    """
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changes = _git(
            *_without_filters(), "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}{'+' if changes else ''}"


_NO_PROGRAMS = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "--no-pager")
_NO_CHANGES = {"GIT_OPTIONAL_LOCKS": "0"}
_NO_NETWORK = {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0"}
"""Missing objects of a partial clone would be fetched by a program that the repository names."""


def _git(*arguments: str) -> str:
    """Returns what git prints.

    Raises:
        OSError: If git isn't installed.
        subprocess.SubprocessError: If it fails.
    """
    return subprocess.run(
        [_program(), *_NO_PROGRAMS, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env=os.environ | _NO_CHANGES | _NO_NETWORK,
        timeout=5,
        check=True,
    ).stdout.strip()


def _program() -> str:
    """Returns the path of git. Windows, and an empty part of PATH, would find a program in the current folder.

    Raises:
        FileNotFoundError: If it isn't installed.
    """
    name = "git.exe" if os.name == "nt" else "git"
    found = (os.path.join(folder, name) for folder in os.get_exec_path() if os.path.isabs(folder))
    path = next((each for each in found if os.path.isfile(each) and os.access(each, os.X_OK)), None)
    if path is None:
        raise FileNotFoundError(name)
    return path


def _without_filters() -> list[str]:
    """Returns the options that turn off the filters of the repository's own settings, such as those of Git LFS.

    Git runs them on files that may have changed. Filters that the user has set for all repositories stay.

    Raises:
        subprocess.SubprocessError: If a filter has a name that options can't express.
    """
    listed = _git("config", "--list", "--null", "--show-scope", "--name-only").split("\0")
    names = {name for scope, name in zip(listed[::2], listed[1::2], strict=False) if scope in ("local", "worktree")}
    filters = sorted({name.rpartition(".")[0] for name in names if name.startswith("filter.")})
    if any("=" in each for each in filters):
        raise subprocess.SubprocessError
    values = ("clean=", "smudge=", "process=", "required=false")
    return [part for each in filters for value in values for part in ("-c", f"{each}.{value}")]
