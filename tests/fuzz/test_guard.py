"""The watch over hostile input sees what it must see."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from fuzz.mutation import mutated_bytes, mutated_json, mutated_text

TESTS = Path(__file__).parents[1]
SCRIPT = """
import os, pathlib, subprocess, sys
sys.path.insert(0, sys.argv[1])
from fuzz.guard import Guard
inside, outside = pathlib.Path(sys.argv[2], "in"), pathlib.Path(sys.argv[2], "out")
inside.mkdir(), outside.mkdir()
guard = Guard()
with guard.watching(inside):
    (inside / "a").write_text("a")
    (inside / "a").rename(inside / "b")
    (inside / "b").read_text()
assert guard.seen == [], guard.seen
with guard.watching(inside):
    (outside / "a").write_text("a")
    os.remove(outside / "a")
    subprocess.run([sys.executable, "-c", ""])
print([each.split()[0] for each in guard.seen])
"""


def test_files_outside_and_other_programs_are_seen(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, TESTS, tmp_path], capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    assert result.stdout.startswith("['open', 'os.remove', 'subprocess.Popen'")


def test_the_same_seed_gives_the_same_input() -> None:
    document = {"a": [1, 2.5, "text"], "b": {"c": None}}
    for seed in range(50):
        assert repr(mutated_json(document, random.Random(seed))) == repr(mutated_json(document, random.Random(seed)))
        assert mutated_bytes(b"0123456789", random.Random(seed)) == mutated_bytes(b"0123456789", random.Random(seed))
        assert mutated_text("a=1\nb=2\n", random.Random(seed)) == mutated_text("a=1\nb=2\n", random.Random(seed))
    assert document == {"a": [1, 2.5, "text"], "b": {"c": None}}
