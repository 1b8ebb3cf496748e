"""Errors of the user's code, in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lrdiag.foreign_code import described, foreign_code


def raised(source: str, path: Path) -> str:
    path.write_text(source)
    try:
        exec(compile(source, str(path), "exec"), {})
    except BaseException as error:
        return described(error)
    raise AssertionError


def test_the_place_is_that_in_the_users_code(tmp_path: Path) -> None:
    file = tmp_path / "nets.py"
    source = "import json\ndef build():\n    json.loads('{')\nbuild()\n"
    with pytest.raises(json.JSONDecodeError) as error:
        json.loads("{")
    assert raised(source, file) == f"JSONDecodeError: {error.value}, in {file} line 3"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("import sys; sys.exit(0)", "it called sys.exit(0), in "),
        ("raise SystemExit", "it called sys.exit(), in "),
        ("exit('no weights')", "it called sys.exit('no weights'), in "),
        ("raise GeneratorExit", "GeneratorExit, in "),
        ("raise ValueError('a\\n\\n  b')", "ValueError: a b, in "),
        ("raise ValueError(1000 * 'x')", "xxx…, in "),
    ],
)
def test_an_error_is_one_line(tmp_path: Path, statement: str, words: str) -> None:
    text = raised(statement, tmp_path / "nets.py")
    assert words in text
    assert len(text) < 500
    assert "\n" not in text


def test_ctrl_c_is_no_error_of_the_code() -> None:
    with pytest.raises(KeyboardInterrupt), foreign_code(ValueError):
        raise KeyboardInterrupt
