"""The bar of the training time."""

from __future__ import annotations

import dataclasses
import re

import pytest

from lrdiag.record.facts import Run, TimeSpent
from lrdiag.report.sections.training import Time, build

SPENT = TimeSpent(compiling=1.0, computing=4.0, waiting=2.0, validation=0.5, callbacks=0.0, idle=0.5)


@pytest.fixture
def shown(runs: dict[str, Run]) -> Time:
    return time_of(runs["ordinary"], SPENT)


def time_of(run: Run, spent: TimeSpent) -> Time:
    training = dataclasses.replace(run.diagnosis.training, time=spent)
    section = build(Run(dataclasses.replace(run.diagnosis, training=training), run.pictures))
    assert section is not None
    assert section.time is not None
    return section.time


def test_the_bar_has_each_kind_that_took_time(shown: Time) -> None:
    drawn = re.findall(r'class="(\w+)" x="([\d.]+)" width="([\d.]+)"', shown.bar)
    assert drawn == [
        ("computing", "0.0", "500.0"),
        ("compiling", "500.0", "125.0"),
        ("waiting", "625.0", "250.0"),
        ("validation", "875.0", "62.5"),
        ("idle", "937.5", "62.5"),
    ]
    assert [(each.key, each.seconds, each.share) for each in shown.kinds][2] == ("waiting", 2.0, 0.25)
    assert "waiting for data 2.0\u00a0s" in shown.bar
    assert shown.total == 8


def test_the_steps_include_what_is_not_known(runs: dict[str, Run]) -> None:
    shown = time_of(runs["ordinary"], dataclasses.replace(SPENT, waiting=None))
    assert shown.kinds[0].name == "steps, with waiting for data"
    assert "waiting" not in [each.key for each in shown.kinds]
