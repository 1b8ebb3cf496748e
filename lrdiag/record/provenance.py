"""Versions and commit of a run."""

from __future__ import annotations

import platform
import subprocess
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


def git_commit() -> str | None:
    """Commit of the current folder, with a `+` if files have changed since; `None` outside a repository."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
