"""A file of a run folder is read only if it is a file, and not too large."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lrdiag.errors import RunFolderError
from lrdiag.record.files import is_regular, read_file


def test_a_file_is_read_whole_up_to_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"x" * 2**20)
    assert read_file(file, 2**20) == b"x" * 2**20
    with pytest.raises(RunFolderError, match=r"a of a run folder may have 1 MiB at most.*Received: 1 MiB in .*a$"):
        read_file(file, 2**20 - 1)


def test_its_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"content")
    (tmp_path / "link").symlink_to("folder")
    assert read_file(tmp_path / "link" / "a", 9) == b"content"


def test_a_sparse_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(RunFolderError, match=r"64 MiB at most.*Received: 1,048,576 MiB"):
        read_file(tmp_path / "a", 64 * 2**20)


def _link(path: Path) -> None:
    (path.parent / "secret").write_text("secret")
    path.symlink_to("secret")


def _socket(path: Path) -> None:
    os.chdir(path.parent)  # the whole path may be too long
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes, sockets and devices in folders")
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (_link, "a link"),
        (lambda path: path.symlink_to("/dev/zero"), "a link"),
        (lambda path: path.symlink_to("nowhere"), "a link"),
        (Path.mkdir, "a folder"),
        (getattr(os, "mkfifo", None), "a pipe"),
        (_socket, "a socket"),
    ],
    ids=["link", "device", "dangling", "folder", "pipe", "socket"],
)
def test_anything_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a")
    with pytest.raises(RunFolderError, match=rf"a of a run folder must be a file.*Received: {kind}, "):
        read_file(tmp_path / "a", 9)
    assert not is_regular(tmp_path / "a")


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system has no O_NOFOLLOW")
def test_a_file_that_becomes_a_link_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    _link(tmp_path / "a")
    monkeypatch.setattr(os, "lstat", lambda _path: os.stat(tmp_path / "file"))
    with pytest.raises(RunFolderError, match="Received: a link"):
        read_file(tmp_path / "a", 9)


def test_a_missing_file_is_an_ordinary_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "a", 9)
    assert not is_regular(tmp_path / "a")
    assert not is_regular(tmp_path / "a\0b")
