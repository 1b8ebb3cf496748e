"""Whole commands with closed, full and narrow streams, with names that are not UTF-8, and without folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="it needs bash, /dev/full and names that are not UTF-8"),
]
SMALL = "--epochs 1 --learning-rate 0.05 --limit-train 100 --limit-test 30 --no-open -q"


def bash(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a script in which `$lrdiag` is the command."""
    checkout = {"lrdiag": f"{sys.executable} -m lrdiag", "PYTHONPATH": str(Path(__file__).parents[2])}
    variables = {**os.environ, **environment, **checkout}
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=variables, capture_output=True, encoding="utf-8", errors="replace"
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    assert bash(f"$lrdiag train-and-report --data digits {SMALL} --out run", folder).returncode == 0
    shutil.copytree(folder / "run", folder / "other")
    return folder


COMPARE = "$lrdiag compare run other"
GATE = "--fail-under accuracy=0.999"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (f"{COMPARE} >&-", 0),
        (f"{COMPARE} 2>&-", 0),
        (f"{COMPARE} >&- 2>&- <&-", 0),
        (f"{COMPARE} >/dev/full", 1),
        (f"{COMPARE} 2>/dev/full", 0),
        (f"{COMPARE} {GATE} >/dev/full 2>/dev/full", 3),
        (f"{COMPARE} {GATE} | true; exit ${{PIPESTATUS[0]}}", 3),
        (f"{COMPARE} --json | head -1; exit ${{PIPESTATUS[0]}}", 0),
        (f"PYTHONUNBUFFERED=1 {COMPARE} >/dev/full", 1),
        ("$lrdiag --help >/dev/full", 1),
        ("$lrdiag --version >&-", 0),
        (f"$lrdiag train-and-report --data digits {SMALL} --out a >&- 2>&- && test -f a/model.keras", 0),
        (f"$lrdiag train-and-report --data digits {SMALL} {GATE} --out b 2>/dev/full", 3),
        ("$lrdiag diagnose run/model.keras --data digits --no-open --out c >/dev/full", 1),
        (f"TMPDIR=/nowhere HOME=/proc $lrdiag train-and-report --data digits {SMALL} --out d", 0),
        ("d=$PWD; mkdir gone; cd gone; rmdir ../gone; $lrdiag report $d/run", 0),
        ("mkdir gone; cd gone; rmdir ../gone; $lrdiag train-and-report --data digits", 2),
    ],
)
def test_streams_and_folders(trained: Path, script: str, code: int) -> None:
    assert bash(script, trained).returncode == code


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_encodings(trained: Path, environment: dict[str, str]) -> None:
    done = bash(COMPARE, trained, **environment)
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "is -" in done.stdout


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 8)):
        for name in (b"caf\xe9", b"new\nline"):
            folder = os.fsencode(tmp_path) + b"/data\xff/" + part.encode() + b"/" + name
            os.makedirs(folder)
            for number in range(count):
                file = os.fsdecode(folder + b"/im\xe9%d.png" % number)
                Image.fromarray(random.integers(0, 255, (12, 12, 3), np.uint8)).save(file)
    rows = [b"test/caf\xe9/im\xe9%d.png,s%d" % (number, number % 2) for number in range(8)]
    (tmp_path / "meta.csv").write_bytes(b"\n".join([b"file,site", *rows]))
    data, out = r"--data $(printf 'data\xff')", r"--out $(printf 'out\xe9')"
    done = bash(f"$lrdiag train-and-report {data} --metadata meta.csv {SMALL} {out} --json", tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["report"] == r"out\udce9/report.html"
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/out\xe9"))
    facts = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert facts["dataset"]["classes"] == [r"caf\udce9", r"new\nline"]
    assert r"caf\udce9" in (folder / "report.html").read_text(encoding="utf-8")
    assert bash("$lrdiag report $(printf 'out\\xe9')", tmp_path).returncode == 0
