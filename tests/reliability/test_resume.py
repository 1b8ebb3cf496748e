"""A run that is killed at random points and resumed is the run that was not, bit for bit.

`LRDIAG_KILLS` is the number of kills, for a longer test by hand.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from reliability.killing import RUNS, run, trial

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("LRDIAG_KILLS", "3"))


def test_killed_and_resumed_runs_are_those_that_were_not(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    kind = chance.choice(list(RUNS))
    whole = tmp_path / "whole"
    began = time.monotonic()
    run(kind, whole)
    outcome = trial(kind, tmp_path / "killed", whole, KILLS, chance, time.monotonic() - began)
    assert outcome.differences == [], f"{kind}, seed {seed}"
    assert outcome.resumes == outcome.kills
