"""A process that is killed at any file operation leaves one whole run, or none: never files of two."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from fixtures.file_operations import killed_at
from fixtures.two_runs import TwoRuns, contents, mixed

from lrdiag.cli.app import main
from lrdiag.errors import LrdiagError
from lrdiag.record import reading
from lrdiag.report.write import write_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is copied where it is to be killed"),
]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> TwoRuns:
    return TwoRuns(tmp_path_factory.mktemp("two"))


def kill_everywhere(
    write: Callable[[Path], object], folder: Path, older: dict[str, bytes], newer: dict[str, bytes]
) -> int:
    """Kills `write` before each of its file operations, each time over the older run, and looks at what is left.

    Returns:
        The number of kills.
    """
    original = shutil.copytree(folder, folder.parent / "original")
    for number in range(10_000):
        shutil.rmtree(folder)
        shutil.copytree(original, folder)
        if not killed_at(lambda: write(folder), folder, number):
            return number
        assert not mixed(folder, older, newer), number
        loaded = reading.load(folder)
        of_run = {name: content for name, content in contents(folder).items() if not name.startswith(".lrdiag")}
        whole = older if loaded.diagnosis.model == "older" else newer
        assert {name: of_run.get(name) for name in whole} == whole, number
        write(folder)
        assert contents(folder) == newer, f"a leftover of the process that was killed at operation {number}"
    raise AssertionError("there is no end")


@pytest.mark.parametrize("way", ["write_newer", "write_diagnosis"])
def test_a_killed_writer_leaves_one_whole_run(two: TwoRuns, tmp_path: Path, way: str) -> None:
    folder, write = tmp_path / "run", getattr(two, way)
    two.write_older(folder)
    kills = kill_everywhere(write, folder, contents(folder), two.files(write))
    assert kills > 60


def test_a_killed_rewriting_of_the_page_leaves_one_whole_run(two: TwoRuns, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    two.write_older(folder)
    older = contents(folder)

    def write(folder: Path) -> None:
        write_page(folder, reading.load(folder), assets="folder")

    write(folder)
    newer = contents(folder)
    shutil.rmtree(folder)
    two.write_older(folder)
    same = {name for name in older if older[name] == newer.get(name)}
    kills = kill_everywhere(write, folder, {name: older[name] for name in same}, newer)
    assert kills > 40


def test_a_killed_process_leaves_what_the_command_reads_or_refuses(two: TwoRuns, tmp_path: Path) -> None:
    folder, refused = tmp_path / "run", 0
    newer = two.files(two.write_newer)
    for number in range(0, 90, 3):
        shutil.rmtree(folder, ignore_errors=True)
        two.write_older(folder)
        older = contents(folder)
        killed_at(lambda: two.write_newer(folder), folder, number)
        result = CliRunner().invoke(main, ["report", str(folder)])
        assert result.exception is None or isinstance(result.exception, SystemExit | LrdiagError), number
        refused += result.exit_code != 0
        assert result.exit_code != 0 or not mixed(folder, older, newer), number
    assert not refused


_WRITE = """
import sys, pathlib
sys.path.insert(0, sys.argv[2])
from fixtures.two_runs import TwoRuns
two = TwoRuns(pathlib.Path(sys.argv[3]))
folder = pathlib.Path(sys.argv[1])
from lrdiag.errors import RunFolderError
done = 0
for _ in range(25):
    try:
        getattr(two, sys.argv[4])(folder)
        done += 1
    except RunFolderError as error:
        assert "one process at a time" in str(error), error
print(done)
"""


def test_two_processes_that_write_to_one_folder_never_mix(two: TwoRuns, tmp_path: Path) -> None:
    folder, fixtures = tmp_path / "run", Path(__file__).parents[1]
    two.write_older(folder)
    others = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITE, str(folder), str(fixtures), str(tmp_path), way], stdout=subprocess.PIPE
        )
        for way in ("write_newer", "write_diagnosis")
    ]
    looks = 0
    while any(each.poll() is None for each in others):
        reading.load(folder)  # a reader is never refused
        looks += 1
    done = [int(each.communicate()[0]) for each in others]
    assert [each.returncode for each in others] == [0, 0]
    assert max(done) > 0
    assert looks > 10
    expected = [two.files(two.write_newer), two.files(two.write_diagnosis)]
    assert contents(folder) in expected
