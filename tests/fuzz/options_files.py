"""Options files: pyproject.toml and files that `--config` names."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from fuzz.mutation import mutated_text

_OPTIONS = """[tool.lrdiag]
data = "digits"
epochs = 3
learning-rate = "0.01:0.4"
seed = 1
augment = ["flip", "crop"]
templates = "templates"
out = "report"
fail-under = { accuracy = 0.5, "recall.1" = 0.1 }
fail-on = "error"

[tool.lrdiag.checks]
overfitting = false
weak-class = 0.3

[tool.lrdiag.accept]
confused-pair = "known"
"""
_COMMANDS = ("train-and-report", "diagnose", "find-lr", "check", "report", "compare")


def prepare(folder: Path) -> None:
    (folder / "options.toml").write_text(_OPTIONS)


def make(base: Path, work: Path, rng: random.Random) -> tuple[Sequence[str], Sequence[Path]]:
    text = (base / "options.toml").read_text()
    content = mutated_text(text, rng)
    if rng.random() < 0.5:
        content = content.replace(b"[tool.lrdiag.", b"[").replace(b"[tool.lrdiag]", b"")
    file = work / rng.choice(("pyproject.toml", "options.toml"))
    file.write_bytes(content)
    output = rng.choice(((), ("--json",)))
    return ("config", *output, rng.choice(_COMMANDS), "--config", str(file)), ()
