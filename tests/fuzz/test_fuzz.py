"""A thousand mutated inputs: each is read or refused with a message. `LRDIAG_FUZZ=10000` tries ten thousand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fuzz.kinds import KINDS

INPUTS = int(os.environ.get("LRDIAG_FUZZ", "1000"))
TESTS = Path(__file__).parents[1]


def run(kind: str, first: int, count: int, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Runs inputs in a process of its own. Returns what it printed, and the end of its messages if it broke off."""
    command = [sys.executable, "-m", "fuzz", kind, "--folder", folder, "--first", str(first), "--count", str(count)]
    path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    result = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, env=os.environ | {"PYTHONPATH": path}
    )
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return lines, result.stderr[-3000:] if result.returncode else ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits the memory of a process, which Windows does otherwise")
@pytest.mark.parametrize("kind", KINDS)
def test_every_input_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    first, count, faults, outcomes = 0, INPUTS * KINDS[kind].share // 1000, [], []
    while first < count:
        lines, broke_off = run(kind, first, count - first, tmp_path)
        done = [line for line in lines if "number" in line]
        outcomes += [line["refused"] is None for line in done]
        faults += [f"{kind} {line['number']}: {fault}" for line in done for fault in line["faults"]]
        if broke_off:
            faults.append(f"{kind} {first + len(done)}: {broke_off}")
        first += len(done) + bool(broke_off)
        if len(faults) > 10:
            break
    assert not faults, "\n\n".join(faults[:10])
    assert len(outcomes) == count
    assert any(outcomes), "some inputs are harmless"
    assert kind == "pictures" or not all(outcomes), "some inputs are refused"
