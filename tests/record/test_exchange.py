"""A run is one unit: whatever happens while it is written, a folder holds all files of one run and none of another."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.file_operations import FailingDisk
from fixtures.two_runs import TwoRuns, contents, mixed

from lrdiag.errors import RunFolderError
from lrdiag.record import contents as run_contents
from lrdiag.record import exchange, locks, reading

RUNS = Path(__file__).parent / "runs" / "0.1"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> TwoRuns:
    return TwoRuns(tmp_path_factory.mktemp("two"))


@pytest.fixture
def folder(two: TwoRuns, tmp_path: Path) -> Path:
    """A folder with the older run."""
    two.write_older(tmp_path / "run")
    return tmp_path / "run"


def names(folder: Path) -> set[str]:
    return set(contents(folder))


def test_report_json_lists_every_other_file(two: TwoRuns, folder: Path) -> None:
    listed = json.loads((folder / "report.json").read_text())["files"]
    assert listed.keys() == names(folder) - {"report.json", "notes.txt"}
    assert listed["model.keras"] == run_contents.digest(folder / "model.keras")
    assert list(listed) == sorted(listed)


@pytest.mark.parametrize("write", ["write_newer", "write_diagnosis"])
def test_no_file_of_an_older_run_remains_and_files_of_the_user_stay(two: TwoRuns, folder: Path, write: str) -> None:
    getattr(two, write)(folder)
    assert contents(folder) == two.files(getattr(two, write))


def test_a_file_that_the_user_has_changed_stays(two: TwoRuns, folder: Path) -> None:
    (folder / "model.keras").write_bytes(b"the user's")
    two.write_diagnosis(folder)
    assert (folder / "model.keras").read_bytes() == b"the user's"


def test_the_run_is_whole_wherever_the_disk_fails(two: TwoRuns, tmp_path: Path) -> None:
    """The operations after the one that fails do not happen either, as when a process is killed."""
    two.write_older(tmp_path / "older")
    older, newer = contents(tmp_path / "older"), two.files(two.write_newer)
    for number in range(1000):
        folder = shutil.copytree(tmp_path / "older", tmp_path / "run")
        with FailingDisk(folder, number) as disk, contextlib.suppress(RunFolderError):
            two.write_newer(folder)
        if disk.count <= number:
            break
        assert not mixed(folder, older, newer), number
        run = reading.load(folder)  # settles
        assert run.diagnosis.model in ("older", "newer")
        two.write_newer(folder)
        assert contents(folder) == newer, f"a leftover of a run whose operation {number} failed"
        shutil.rmtree(folder)
    assert number > 40


def test_an_exchange_continues_from_every_point(two: TwoRuns, tmp_path: Path) -> None:
    two.write_older(tmp_path / "older")
    older = contents(tmp_path / "older")
    (tmp_path / "older" / "unfinished").mkdir()
    (tmp_path / "older" / "unfinished" / "model.keras").write_bytes(b"model of newer")
    alone = tmp_path / "alone"
    two.write_newer(alone)
    shutil.copytree(alone, tmp_path / "older" / ".written", ignore=shutil.ignore_patterns("model.keras"))
    newer = contents(alone) | {"notes.txt": b"the user's"}
    for number in range(100):
        folder = shutil.copytree(tmp_path / "older", tmp_path / "run")
        with FailingDisk(folder, number) as disk, contextlib.suppress(RunFolderError):
            exchange.settle(folder)
        assert not mixed(folder, older, newer), number
        exchange.settle(folder)
        (folder / ".lrdiag-exchange.lock").unlink(missing_ok=True)
        assert contents(folder) == newer
        shutil.rmtree(folder)
        if disk.count <= number:
            break
    assert 15 < number < 100


def test_what_killed_processes_left_is_removed_and_nothing_else(two: TwoRuns, folder: Path) -> None:
    (folder / ".writing-abcd1234").mkdir()
    (folder / ".writing-abcd1234" / "report.json").touch()
    (folder / "unfinished").mkdir()
    (folder / "unfinished" / ".checkpoint-abcd1234.npz").touch()
    for name in (".model-abcd1234.keras", ".report-abcd_234.json", ".notes-abcd1234.txt", ".model.keras"):
        (folder / name).touch()
    two.write_newer(folder)
    kept = {".notes-abcd1234.txt", ".model.keras"}
    assert names(folder) == {*two.files(two.write_newer), *kept}
    assert not (folder / "unfinished").exists()


def test_a_model_that_a_run_saved_before_it_broke_off_is_removed_by_the_next(two: TwoRuns, tmp_path: Path) -> None:
    place = exchange.place_for_model(tmp_path)
    assert place == tmp_path / "model.keras"
    place.write_bytes(b"trained")
    assert exchange.model_is_saved(tmp_path, place) == "model.keras"
    assert exchange.place_for_model(tmp_path) == tmp_path / "unfinished" / "model.keras"
    two.write_diagnosis(tmp_path)
    assert not (tmp_path / "model.keras").exists()


@pytest.mark.parametrize("name", ["pictures.json", "samples.webp", "predictions.csv", "model.keras"])
@pytest.mark.parametrize("load", [reading.load, reading.load_baseline])
def test_a_file_of_another_run_is_refused(
    two: TwoRuns, tmp_path: Path, name: str, load: Callable[[Path], object]
) -> None:
    two.write_newer(tmp_path)
    (tmp_path / name).write_bytes(b"of another run")
    with pytest.raises(RunFolderError, match=rf"those that its report.json lists.*Received: .*{name} with other"):
        load(tmp_path)


def test_a_report_json_alone_can_be_compared_with(two: TwoRuns, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    shutil.copy(folder / "report.json", tmp_path / "alone" / "report.json")
    assert reading.load_baseline(tmp_path / "alone").diagnosis == two.older.diagnosis
    two.write_newer(tmp_path / "alone-in-another-run")
    beside = tmp_path / "alone-in-another-run" / "main.json"
    shutil.copy(folder / "report.json", beside)
    assert reading.load_baseline(beside).pictures.files == {}


def test_folders_of_older_versions_are_replaced_as_one_unit(two: TwoRuns, tmp_path: Path) -> None:
    shutil.copytree(RUNS / "compared", tmp_path, dirs_exist_ok=True)
    (tmp_path / "report.html").write_text("a page of lrdiag 0.1")
    (tmp_path / "training.chart.html").write_text("a chart of lrdiag 0.1")
    (tmp_path / "model.keras").write_bytes(b"trained")
    (tmp_path / "history.csv").write_bytes(b"epochs")
    digest = run_contents.digest(tmp_path / "model.keras")
    (tmp_path / "contents.txt").write_text(f"{digest}  model.keras\n{digest}  ../precious\n")
    two.write_diagnosis(tmp_path)
    assert names(tmp_path) == {*two.files(two.write_diagnosis)} - {"notes.txt"}


def test_lists_that_lrdiag_did_not_write_stay(two: TwoRuns, tmp_path: Path) -> None:
    (tmp_path / "contents.txt").write_text("milk, eggs")
    two.write_diagnosis(tmp_path)
    assert (tmp_path / "contents.txt").read_text() == "milk, eggs"


def test_an_exchange_leads_out_of_no_folder(two: TwoRuns, folder: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "report.css").write_bytes((folder / "assets" / "report.css").read_bytes())
    shutil.rmtree(folder / "assets")
    (folder / "assets").symlink_to(precious, target_is_directory=True)
    two.write_diagnosis(folder)
    assert (precious / "report.css").exists()


def test_a_committed_run_on_a_disk_that_cannot_be_written_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, folder / ".written")

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(RunFolderError, match=r"must be replaceable.*Received: .*Read-only file system"):
        reading.load(folder)


# --- locks ------------------------------------------------------------------------------------------------------------

_TAKE = """
import sys, pathlib
from lrdiag.record import locks
with locks.job(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_with_the_name_of_the_first(two: TwoRuns, folder: Path) -> None:
    command = [sys.executable, "-c", _TAKE, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        before = contents(folder)
        with pytest.raises(RunFolderError, match=rf"one process at a time.*process {other.pid} on .* since 20.*: -c "):
            two.write_newer(folder)
        assert contents(folder) == before
        assert reading.load(folder).diagnosis.model == "older"
        other.kill()
    two.write_newer(folder)  # the lock of a killed process is no obstacle
    assert names(folder) == {*two.files(two.write_newer)}


def test_a_process_may_lock_a_folder_twice(folder: Path) -> None:
    with locks.job(folder), exchange.new_folder(folder), locks.exchange(folder), locks.exchange(folder):
        assert (folder / ".lrdiag.holder.json").exists()
    assert not [name for name in names(folder) if name.startswith(".")]


def test_threads_that_write_to_one_folder_take_turns(two: TwoRuns, folder: Path) -> None:
    threads = [threading.Thread(target=write, args=[folder]) for write in (two.write_newer, two.write_diagnosis) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    model = reading.load(folder).diagnosis.model
    assert model == "newer"
    assert not [name for name in names(folder) if name.startswith(".")]
