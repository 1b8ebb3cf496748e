"""The versions of a run."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from lrdiag.record import provenance


def test_packages_that_are_not_installed_under_their_usual_name_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "tensorflow":  # `tensorflow-cpu` is installed instead
            raise importlib.metadata.PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr(provenance, "version", version)
    versions = provenance.versions("tensorflow")
    assert versions.pop("python") == platform.python_version()
    assert versions == dict.fromkeys(("lrdiag", "keras", "numpy", "opencv-python-headless", "scikit-learn"), "1.0")


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(*arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *who, *arguments], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one file and a submodule, as the current folder."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "repository"
    for place in (folder, folder / "sub"):
        place.mkdir()
        monkeypatch.chdir(place)
        git("init", "-q")
        Path("file").write_text("one")
        git("add", "file")
        git("commit", "-qm", "one")
    monkeypatch.chdir(folder)
    git("-c", "advice.addEmbeddedRepo=false", "add", "sub")
    git("commit", "-qm", "two")
    return folder


@needs_git
def test_the_commit_says_whether_files_have_changed(repository: Path) -> None:
    commit = git("rev-parse", "HEAD")[:12]
    assert provenance.git_commit() == commit
    Path("another").write_text("not in the repository")
    os.utime("file", (1, 1))  # the content is the same
    assert provenance.git_commit() == commit
    Path("file").write_text("two")
    assert provenance.git_commit() == f"{commit}+"


@needs_git
@pytest.mark.skipif(os.name == "nt", reason="the programs are shell scripts")
def test_no_program_of_the_repository_runs(repository: Path) -> None:
    ran = repository.parent / "ran"
    program = repository.parent / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    hooks = repository.parent / "hooks"
    hooks.mkdir()
    shutil.copy(program, hooks / "post-index-change")
    for place in (repository, repository / "sub"):
        (place / ".gitattributes").write_text("file filter=own\n")
        for name, value in {
            "core.fsmonitor": program,
            "core.hooksPath": hooks,
            "core.pager": program,
            "diff.external": program,
            "filter.own.clean": program,
            "filter.own.process": program,
            "filter.own.required": "true",
        }.items():
            git("-C", str(place), "config", name, str(value))
        (place / "file").write_text("two")
        os.utime(place / "file", (1, 1))
    assert str(provenance.git_commit()).endswith("+")
    assert not ran.exists()
    git("config", "filter.a=b.clean", str(program))
    assert provenance.git_commit() is None
    assert not ran.exists()
    subprocess.run(["git", "status"], capture_output=True, check=False)
    assert ran.exists()  # the test can fail


def test_git_of_the_current_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "git.exe" if os.name == "nt" else "git"
    (tmp_path / name).write_text("#!/bin/sh\ntouch ran\n")
    (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join(("", ".")))
    assert provenance.git_commit() is None
    assert not Path("ran").exists()
