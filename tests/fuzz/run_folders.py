"""Run folders: report.json, pictures.json, pictures, and files that are no files."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from fuzz.mutation import at, mutated_bytes, mutated_json, places

OLD = Path(__file__).parents[1] / "record" / "runs" / "0.1"
_SMALL = ("--data", "digits", "--limit-train", "200", "--limit-test", "80", "--epochs", "1", "--learning-rate", "0.05")
_PAGES = ("report.html", "summary.md", "summary.png", "model.keras", "heatmaps.npz", ".lrdiag.lock")
_FURTHER = (".lrdiag-exchange.lock", ".lrdiag.holder.json", "unfinished/files.json", ".written/report.json", "assets")


def prepare(folder: Path) -> None:
    """Two runs on the same images, their comparison, and runs of lrdiag 0.1."""
    from click.testing import CliRunner

    from lrdiag.cli.app import main

    def run(*arguments: str) -> None:
        result = CliRunner().invoke(main, list(arguments))
        assert result.exit_code == 0, result.output

    for name, seed in (("base", "1"), ("run", "2")):
        run("train-and-report", *_SMALL, "--seed", seed, "--no-open", "--out", str(folder / name))
    run("compare", str(folder / "base"), str(folder / "run"), "--out", str(folder / "compared"))
    for each in OLD.iterdir():
        shutil.copytree(each, folder / f"old-{each.name}")


def make(base: Path, work: Path, rng: random.Random) -> tuple[Sequence[str], Sequence[Path]]:
    """A run folder with changes, and a command that reads it."""
    run, out, baseline = work / "run", work / "out", base / "base"
    name = rng.choice(["run", "run", "compared", "compared", *(f"old-{each.name}" for each in OLD.iterdir())])
    if name.startswith("old-"):
        baseline = base / "old-plain"
    shutil.copytree(base / name, run, ignore=shutil.ignore_patterns(*_PAGES))
    _change(run, rng)
    commands: list[tuple[Sequence[str], Sequence[Path]]] = [
        (("report", str(run), *(() if rng.random() < 0.7 else ("--json",))), (run,)),
        (("report", str(run), "--assets", "folder"), (run,)),
        (("report", str(run), "--baseline", str(baseline)), (run,)),
        (("report", str(baseline.parent / name), "--baseline", str(run)), (baseline.parent / name,)),
        (("compare", str(run), str(baseline)), ()),
        (("compare", str(baseline), str(run), "--out", str(out), "--fail-if-worse", "0.1"), (out,)),
        (("compare", str(run), str(baseline), "--out", str(out)), (out,)),
        (("export", str(run), "--suspects", "-"), ()),
    ]
    command, allowed = rng.choices(commands, (6, 1, 2, 0, 2, 2, 1, 1))[0]
    return command, (*allowed, *([work] if out in allowed else []))


def _change(run: Path, rng: random.Random) -> None:
    report, index = run / "report.json", run / "pictures.json"
    way = rng.random()
    if way < 0.7 or (way < 0.85 and not index.exists()):
        _change_document(report, rng)
    elif way < 0.85:
        _change_document(index, rng)
    elif way < 0.95:
        picture = rng.choice(sorted(each for each in run.iterdir() if each.suffix in {".png", ".webp"}))
        content = mutated_bytes(picture.read_bytes(), rng)
        picture.write_bytes(rng.choice((content, content, b"%!PS-Adobe-3.0 EPSF-3.0\n", _png(30_000, 30_000), b"")))
    else:
        _put_something_else(rng.choice([*sorted(run.iterdir()), *(run / name for name in _FURTHER)]), rng)
        return
    if rng.random() < 0.9:
        _seal(run)


def _change_document(file: Path, rng: random.Random) -> None:
    if rng.random() < 0.1:
        file.write_bytes(mutated_bytes(file.read_bytes(), rng))
    else:
        file.write_text(json.dumps(mutated_json(json.loads(file.read_text("utf-8")), rng)))


def _put_something_else(file: Path, rng: random.Random) -> None:
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    way = rng.randrange(6)
    if way == 0:
        os.mkfifo(file)
    elif way == 1:
        file.symlink_to("/dev/zero")
    elif way == 2:
        file.mkdir()
    elif way == 3:
        file.symlink_to("/etc/passwd")
    elif way == 4:
        with file.open("wb") as sparse:
            sparse.truncate(12 * 2**30)


def _png(width: int, height: int) -> bytes:
    """A picture of which only the header is there."""
    return struct.pack(">8sI4sIIBBBBBI", b"\x89PNG\r\n\x1a\n", 13, b"IHDR", width, height, 8, 0, 0, 0, 0, 0)


def _seal(run: Path) -> None:
    """Writes the digests that belong to the changed files, so that these do not end every reading."""
    from lrdiag.record.documents import identity
    from lrdiag.record.facts import Diagnosis

    report, index = run / "report.json", run / "pictures.json"
    try:
        facts = msgspec.convert(json.loads(report.read_text("utf-8")), Diagnosis)
        pictures: Any = json.loads(index.read_text("utf-8"))
        pictures["report"] = identity(facts)
        index.write_text(json.dumps(pictures))
    except (OSError, ValueError, TypeError, KeyError, RecursionError, msgspec.MsgspecError):
        pass
    _seal_digests(run, report)


def _seal_digests(run: Path, report: Path) -> None:
    try:
        document = json.loads(report.read_text("utf-8"))
        for path in list(places(document)):
            file = run / str(path[-1])
            if isinstance(at(document, path), str) and len(at(document, path)) == 64 and file.is_file():
                at(document, path[:-1])[path[-1]] = hashlib.sha256(file.read_bytes()[: 2**24]).hexdigest()
        report.write_text(json.dumps(document))
    except (OSError, ValueError, RecursionError, AttributeError, TypeError):
        pass
