"""What is printed cannot break a run."""

from __future__ import annotations

import errno
import io
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lrdiag.cli.app import main
from lrdiag.cli.streams import guarded_streams, say


class Broken(io.RawIOBase):
    """Bytes of a full disk or of a closed pipe."""

    def __init__(self, number: int) -> None:
        self.number = number

    def writable(self) -> bool:
        return True

    def write(self, content: object) -> int:
        raise OSError(self.number, "broken")


def text(raw: io.RawIOBase, encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding)


class Kept(io.RawIOBase):
    """Bytes that are kept."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, content: object) -> int:
        self.content += bytes(content)  # type: ignore[call-overload]
        return len(memoryview(content))  # type: ignore[arg-type]


def kept_stderr(monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Replaces stderr. Pytest puts its own back between a fixture and its test."""
    kept = Kept()
    monkeypatch.setattr(sys, "stderr", text(kept))
    return kept


def _say_and_exit(code: int | None = None) -> None:
    with guarded_streams():
        say("lost")
        say("lost")
        sys.exit(code)


def test_a_full_stdout_is_reported_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = kept_stderr(monkeypatch)
    monkeypatch.setattr(sys, "stdout", full := text(Broken(errno.ENOSPC)))
    with pytest.raises(SystemExit) as ended:
        _say_and_exit()
    assert (ended.value.code, printed.content) == (1, b"Error: stdout cannot be written: broken\n")
    assert sys.stdout is full


@pytest.mark.parametrize("code", [2, 3, 130])
def test_another_exit_code_is_kept(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(sys, "stdout", text(Broken(errno.ENOSPC)))
    with pytest.raises(SystemExit) as ended:
        _say_and_exit(code)
    assert ended.value.code == code


def test_a_closed_pipe_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = kept_stderr(monkeypatch)
    monkeypatch.setattr(sys, "stdout", text(Broken(errno.EPIPE)))
    with guarded_streams():
        say("lost")
    assert printed.content == b""


def test_closed_streams_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with guarded_streams():
        say("lost")
        say("lost", err=True)
        assert not sys.stdout.isatty()
    assert sys.stdout is sys.stderr is None


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", b"-2.7 x \\u2603\n"), ("cp1252", b"-2.7 \xd7 \\u2603\n"), ("utf-8", "−2.7 × ☃\n".encode())],
)
def test_characters_that_an_encoding_lacks(monkeypatch: pytest.MonkeyPatch, encoding: str, shown: bytes) -> None:
    kept = Kept()
    monkeypatch.setattr(sys, "stdout", text(kept, encoding))
    with guarded_streams():
        say("−2.7 × ☃")
    assert kept.content == shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "a\x1b[2J\n::error::\u202eb"),
        ("report", "--\x1b[2J\n::error::\u202eb"),
        ("a\x1b[2J\n::error::\u202eb",),
        ("train-and-report", "--data", "a\x1b[2J\n::error::\u202eb"),
        ("diagnose", "a\x1b[2J\n::error::\u202eb"),
        ("config", "--config", "a\x1b[2J\n::error::\u202eb"),
        ("report", "d" * 5000),
        ("export", "a", "--suspects", "d" * 5000),
    ],
)
def test_a_message_controls_no_terminal_and_no_runner(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert not set(result.stderr) & set("\x1b\u202e")
    assert not [line for line in result.stderr.splitlines() if line.lstrip().startswith("::")]
    assert "Traceback" not in result.stderr


def test_without_a_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def removed() -> str:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr("os.getcwd", removed)
    assert CliRunner().invoke(main, ["config"]).exit_code == 0
