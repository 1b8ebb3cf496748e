"""A run is written as one unit: its folder holds all files of one run, or none.

The files are first written to a temporary folder inside the run folder, report.json last, with the digest of each. Then
this folder is renamed `.written`, which commits the run. Then the files are exchanged: those of the earlier run are
removed, and those of `.written` are moved to their places, report.json last. If the process ends in between, `settle`
continues; every command that reads or writes a run folder calls it first.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from lrdiag.errors import RunFolderError
from lrdiag.record import locks
from lrdiag.record.contents import (
    OLD_LISTS,
    SAVED_EARLY,
    belonging,
    digest,
    digests,
    is_file,
    is_old_list,
    listed,
    save_early,
)
from lrdiag.record.documents import PictureIndex, encode, identity, to_json
from lrdiag.record.facts import Diagnosis, Run, Seconds
from lrdiag.record.folder import (
    ASSETS,
    CHARTS_OF_0_1,
    MISTAKES,
    MODEL,
    PICTURES,
    REPORT,
    UNFINISHED,
    create,
    is_own,
    missing,
    remove_empty,
    write,
)
from lrdiag.record.wrong_images import to_npz

NO_FILES: Mapping[str, str] = MappingProxyType({})
WRITTEN = ".written"
_WRITING = ".writing-"
_TEMPORARY = re.compile(r"\.(?P<stem>.+)-[a-z0-9_]{8}(?P<suffix>\.\w+)")
"""Names of the temporary files of `replacing`."""
_ALSO_WRITTEN = (REPORT, *OLD_LISTS, locks.HOLDER, Path(SAVED_EARLY).name, "checkpoint.npz", "record.npz")
_PAUSES = (0.1, 0.4, 1.5)
"""Seconds between the attempts to replace a file, which Windows refuses while another program has it open."""


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Creates a folder for a run and locks it. If the block raises an error, the folder is removed if it is empty.

    What killed processes have left in the folder is removed.

    Raises:
        RunFolderError: If it can't be created or written, or another process makes a run in it.
    """
    created = missing(folder)
    try:
        create(folder)
        with locks.job(folder) as is_first:
            with locks.exchange(folder):
                settle(folder)
                if is_first:  # otherwise a part of this process may be writing
                    _remove_leftovers(folder)
            yield
    except BaseException:
        remove_empty(created)
        raise


@dataclasses.dataclass(frozen=True)
class Stage:
    """A temporary folder in which the files of a run are collected.

    Attributes:
        folder: The temporary folder.
        run_folder: The run folder.
    """

    folder: Path
    run_folder: Path

    def write(self, name: str, content: str | bytes) -> None:
        """Writes a file. A name may begin with `assets/`."""
        with _explained(self.run_folder):
            (self.folder / name).parent.mkdir(exist_ok=True)
        write(self.folder / name, content)

    def commit(self, diagnosis: Diagnosis, own: Collection[str] = (), kept: Mapping[str, str] = NO_FILES) -> Diagnosis:
        """Ends the writing: the run folder then has the files of this run alone, and those of the user.

        Args:
            diagnosis: The facts.
            own: Names of files of this run that lie in the run folder or in its folder `unfinished` already. Those
                that don't exist are left out.
            kept: SHA-256 of further files of this run that lie in the run folder, by name.

        Returns:
            The facts with the list of the files, as they are saved.

        Raises:
            RunFolderError: If the folder can't be written.
        """
        staged = [path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()]
        with _explained(self.run_folder):
            lying = digests(self.run_folder, own)
            files = {**kept, **digests(self.folder, staged)} | {
                name.removeprefix(f"{UNFINISHED}/"): lying[name] for name in lying
            }
        diagnosis = dataclasses.replace(diagnosis, files=dict(sorted(files.items())))
        for name in (REPORT, *files):
            if (self.run_folder / name).is_dir():
                raise RunFolderError(
                    f"{name} cannot be written. Choose another run folder. Received: a folder in its place, in "
                    f"{self.run_folder}"
                )
        write(self.folder / REPORT, to_json(diagnosis))
        with _explained(self.run_folder):
            self.folder.replace(self.run_folder / WRITTEN)
            _exchange(self.run_folder)
        return diagnosis


@contextmanager
def writing(folder: Path) -> Iterator[Stage]:
    """Yields a stage for the files of a run. What is not committed at the end of the block is removed.

    Raises:
        RunFolderError: If the folder can't be written.
    """
    with locks.exchange(folder):
        settle(folder)
        _remove_stages(folder)
        with _explained(folder):
            temporary = Path(tempfile.mkdtemp(prefix=_WRITING, dir=folder))
        try:
            yield Stage(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def save(
    folder: Path,
    run: Run,
    *,
    page: Mapping[str, str | bytes] = NO_FILES,
    tables: Callable[[Path], object] | None = None,
    own: Collection[str] = (),
    kept: Mapping[str, str] = NO_FILES,
    seconds: Callable[[], Seconds] | None = None,
) -> Run:
    """Writes the files of a run in place of those of an earlier one. Files of the user stay.

    Args:
        folder: The run folder. It must exist.
        run: The facts and the pictures.
        page: The files of the page, by name.
        tables: Writes the tables to a folder.
        own: See `Stage.commit`.
        kept: See `Stage.commit`.
        seconds: Returns the final times. They are taken after everything else is written.

    Returns:
        The run as it was saved.

    Raises:
        RunFolderError: If the folder can't be written.
    """
    index = PictureIndex(identity(run.diagnosis), dict(run.pictures.sheets.items()))
    with writing(folder) as stage:
        if tables is not None:
            tables(stage.folder)
        if run.wrong is not None:
            stage.write(MISTAKES, to_npz(run.wrong))
        for name, content in {**run.pictures.files, PICTURES: encode(index), **page}.items():
            stage.write(name, content)
        facts = run.diagnosis if seconds is None else dataclasses.replace(run.diagnosis, seconds=seconds())
        return dataclasses.replace(run, diagnosis=stage.commit(facts, own, kept))


def settle(folder: Path) -> None:
    """Completes the exchange of a run that was committed, if its process ended before.

    Raises:
        RunFolderError: If the folder can't be written, with the reason.
    """
    if _is_folder(folder / WRITTEN):
        with locks.exchange(folder), _explained(folder):
            if _is_folder(folder / WRITTEN):  # another process may have settled it
                _exchange(folder)


def state(folder: Path) -> object:
    """Returns what changes when the run in a folder is exchanged."""
    try:
        report = (folder / REPORT).stat()
    except OSError:
        return _is_folder(folder / WRITTEN)
    return report.st_ino, report.st_mtime_ns, report.st_size, _is_folder(folder / WRITTEN)


# --- the trained model, before there is a report ----------------------------------------------------------------------


def place_for_model(folder: Path) -> Path:
    """Returns where to save the trained model before its report is written.

    It is the place of the model in the run folder, unless a model is there, which may belong to an earlier run. Then it
    is in the folder `unfinished`, which is created.
    """
    if not os.path.lexists(folder / MODEL):
        return folder / MODEL
    create(folder / UNFINISHED)
    return folder / UNFINISHED / MODEL


def model_is_saved(folder: Path, place: Path) -> str:
    """Notes that the trained model was saved.

    Args:
        folder: The run folder.
        place: What `place_for_model` returned.

    Returns:
        Its name, for `own` of `save`.
    """
    if place.parent == folder:
        save_early(folder, MODEL)
    return place.relative_to(folder).as_posix()


# --- the exchange -----------------------------------------------------------------------------------------------------


def _exchange(folder: Path) -> None:
    """Puts the files of `.written` in the place of those of the earlier run. It can be repeated from any point."""
    staged = folder / WRITTEN
    if is_file(staged / REPORT):  # it is moved last
        files = listed(staged / REPORT)
        sources = {name: source for name, content in files.items() if (source := _source(folder, name, content))}
        _remove_earlier(folder, sources, in_place=files.keys() - sources.keys())
        for name, source in sources.items():
            _require_folder((folder / name).parent)
            _move(source, folder / name)
        (folder / SAVED_EARLY).unlink(missing_ok=True)
        _move(staged / REPORT, folder / REPORT)
    shutil.rmtree(staged)
    remove_empty((folder / ASSETS, folder / UNFINISHED))


def _source(folder: Path, name: str, content: str) -> Path | None:
    """Returns where a file of the new run is, or `None` if it lies in its place already."""
    if is_file(folder / WRITTEN / name):
        return folder / WRITTEN / name
    early = folder / UNFINISHED / name
    return early if name == MODEL and is_file(early) and digest(early) == content else None


def _remove_earlier(folder: Path, replaced: Collection[str], in_place: Collection[str]) -> None:
    """Removes the files of the earlier run, its report.json last, because it lists them."""
    for name, content in belonging(folder).items():
        if name not in in_place and name not in replaced and digests(folder, [name]) == {name: content}:
            (folder / name).unlink()
    old_lists = [name for name in OLD_LISTS if is_old_list(folder / name)]
    for name in (*replaced, *CHARTS_OF_0_1, *old_lists, REPORT):
        if is_file(folder / name) or (folder / name).is_symlink():
            (folder / name).unlink()


def _move(source: Path, target: Path) -> None:
    for pause in _PAUSES:
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    os.replace(source, target)


def _require_folder(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    if folder.name == ASSETS and folder.is_symlink():
        raise RunFolderError(f"{ASSETS} of a run folder must be a folder. Remove the link. Received: {folder}")


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        name = Path(error.filename2 or error.filename or folder).name
        raise RunFolderError(
            "The files of a run folder must be replaceable. Make the folder writable, and close programs that use its "
            f"files; what was written is put in place by the next command that uses the folder. Received: {folder} "
            f"({name}: {error.strerror or error})"
        ) from error


# --- what killed processes have left ----------------------------------------------------------------------------------


def _remove_stages(folder: Path) -> None:
    """Removes stages. Their processes have ended, because a stage is used under the lock of the exchange."""
    for path in folder.glob(f"{_WRITING}*"):
        if _is_folder(path):
            shutil.rmtree(path, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Removes stages, temporary files of `replacing` and empty folders. The lock of the job must be held."""
    _remove_stages(folder)
    for path in (*folder.glob(".*"), *(folder / UNFINISHED).glob(".*")):
        match = _TEMPORARY.fullmatch(path.name)
        if match and is_file(path) and _is_written(match["stem"] + match["suffix"]):
            with suppress(OSError):
                path.unlink()
    remove_empty((folder / ASSETS, folder / UNFINISHED))


def _is_written(name: str) -> bool:
    return is_own(name) or name in _ALSO_WRITTEN
