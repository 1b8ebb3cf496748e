"""The kinds of input: what is mutated, and what reads it."""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner
from fuzz import data_files, model_files, options_files, run_folders

from lrdiag.cli.app import main
from lrdiag.errors import LrdiagError

Attempt = tuple[Callable[[], object] | Sequence[str], Sequence[Path]]
"""A function to call or a command line to run, and the folders that it may write to."""


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        share: How many of a thousand inputs are of this kind.
        prepare: Writes what is mutated into a folder, once.
        make: Writes a mutated copy into another folder, and returns how to read it.
    """

    share: int
    prepare: Callable[[Path], None]
    make: Callable[[Path, Path, random.Random], Attempt]


KINDS = {
    "run-folder": Kind(450, run_folders.prepare, run_folders.make),
    "npz": Kind(100, data_files.prepare_npz, data_files.make_npz),
    "tar": Kind(80, data_files.prepare_tar, data_files.make_tar),
    "pictures": Kind(80, data_files.prepare_pictures, data_files.make_pictures),
    "csv": Kind(110, data_files.prepare_csv, data_files.make_csv),
    "options-file": Kind(130, options_files.prepare, options_files.make),
    "model": Kind(50, model_files.prepare, model_files.make),
}


@dataclass(frozen=True)
class Outcome:
    """What happened to an input.

    Attributes:
        refused: The message of the error; `None` if the input was read.
        fault: What must not happen: a traceback or another exit code; `None` otherwise.
    """

    refused: str | None = None
    fault: str | None = None


def read(task: Callable[[], object] | Sequence[str]) -> Outcome:
    """Reads an input."""
    if callable(task):
        try:
            task()
        except LrdiagError as error:
            return Outcome(refused=str(error))
        except BaseException:
            return Outcome(fault=traceback.format_exc())
        return Outcome()
    result = CliRunner().invoke(main, list(task))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return Outcome(fault="".join(traceback.format_exception(result.exception)))
    if result.exit_code not in (0, 2, 3) or "Traceback" in result.output:
        return Outcome(fault=f"exit code {result.exit_code}: {result.output[-2000:]}")
    return Outcome(refused=result.stderr[:400] if result.exit_code == 2 else None)
