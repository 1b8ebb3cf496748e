"""Limits of what a file may hold."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from lrdiag.errors import DataError, SettingsError
from lrdiag.limits import COMPRESSION, TABLE_COLUMNS, Limit, require_sound_archive


def test_the_limit_itself_is_allowed() -> None:
    limit = Limit("TABLE_COLUMNS", 3, "columns")
    assert limit.excess(3) is None
    with pytest.raises(DataError, match=r"x.csv is too large: 4 columns .* 3. Set LRDIAG_MAX_TABLE_COLUMNS=4"):
        limit.require(4, "x.csv")


def test_a_variable_raises_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TABLE_COLUMNS.variable, "20000")
    assert TABLE_COLUMNS.excess(20_000) is None
    monkeypatch.setenv(TABLE_COLUMNS.variable, "many")
    with pytest.raises(SettingsError, match=r"TABLE_COLUMNS` must be a positive whole number. Received: 'many'"):
        TABLE_COLUMNS.excess(1)


def archive(path: Path, megabytes: int, pattern: bytes = b"\0") -> zipfile.ZipFile:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("a\n.npy", "w") as member:
        for _ in range(megabytes):
            member.write(pattern * (2**20 // len(pattern)))
    return zipfile.ZipFile(path)


def test_a_zip_bomb_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with archive(tmp_path / "x.npz", 300) as bomb:
        with pytest.raises(DataError, match=r"x.npz is compressed too much.*LRDIAG_MAX_COMPRESSION.*a\\n.npy of 314,5"):
            require_sound_archive(bomb, "x.npz")
        monkeypatch.setenv(COMPRESSION.variable, "1100")
        require_sound_archive(bomb, "x.npz")


def test_small_archives_may_be_compressed_as_they_are(tmp_path: Path) -> None:
    with archive(tmp_path / "x.npz", 2) as black_images:
        require_sound_archive(black_images, "x.npz")
