"""Runs mutated inputs of one kind in this process, and prints each fault as a line of JSON."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="Number of the first input.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True, help="Where inputs are written. Kept between calls.")
    parser.add_argument("--keep", action="store_true", help="Keep each input.")
    given = parser.parse_args()
    _settle(given.folder)
    from fuzz.guard import Guard, limit_memory
    from fuzz.kinds import KINDS, read

    kind, base = KINDS[given.kind], given.folder / given.kind
    if not base.exists():
        base.mkdir()
        kind.prepare(base)
    guard = Guard()
    for number in range(given.first, given.first + given.count):
        work = given.folder / f"{given.kind}-{number}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        task, allowed = kind.make(base, work, random.Random(f"{given.kind} {given.seed} {number}"))
        print(json.dumps({"begun": number}), flush=True)  # of an input that ends the process, nothing else is known
        with guard.watching(given.folder / "home", *allowed):
            outcome = read(task)
        if number == given.first:
            limit_memory()  # after the imports
        faults = [*([outcome.fault] if outcome.fault else []), *guard.seen]
        print(json.dumps({"number": number, "refused": outcome.refused, "faults": faults}), flush=True)
        if not given.keep:
            shutil.rmtree(work, ignore_errors=True)


def _settle(folder: Path) -> None:
    """Puts caches and settings of the user into the folder, so that nothing else may be written."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    for name in ("HOME", "TMPDIR", "LRDIAG_CACHE_DIR", "KERAS_HOME", "MPLCONFIGDIR"):
        os.environ[name] = str(home)
    os.environ.pop("LRDIAG_DATA_DIR", None)
    os.environ.pop("GITHUB_STEP_SUMMARY", None)
    sys.dont_write_bytecode = True
    os.chdir(home)


main()
