"""Rules about the time of a training run."""

from __future__ import annotations

import dataclasses

import pytest
from fixtures.diagnoses import balanced, facts_of, finding, history, result

from lrdiag.diagnosis.evidence import MISSING, Evidence
from lrdiag.diagnosis.findings.checking import check_all
from lrdiag.record.facts import Diagnosis, ImageStage, TimeSpent

SOUND = TimeSpent(compiling=5.0, computing=80.0, waiting=5.0, validation=10.0, callbacks=1.0, idle=10.0, compilations=2)
CODES = ("idle-between-epochs", "input-bound", "slow-validation", "recompilation")


def timed(**changes: float | None) -> Diagnosis:
    time = dataclasses.replace(SOUND, **changes)
    return facts_of(balanced(4, 50, 40), training=history([(0.8, 0.8)], time=time))


@pytest.mark.parametrize("code", CODES)
def test_a_sound_run_passes_and_without_a_record_nothing_is_checked(code: str) -> None:
    assert result(timed(), code).status == "passed"
    unknown = facts_of(balanced(4, 50, 40), training=history([(0.8, 0.8)], time=None))
    assert result(unknown, code).reason == MISSING["time"]


@pytest.mark.parametrize(
    ("code", "changes", "short"),
    [
        ("idle-between-epochs", {"idle": 60.0}, 9.9),
        ("input-bound", {"waiting": 40.0}, 4.9),
        ("slow-validation", {"validation": 91.0}, 4.9),
        ("recompilation", {"compiling": 40.0, "compilations": 8}, 4.9),
    ],
)
def test_a_large_share_is_found_and_a_few_seconds_are_not(code: str, changes: dict[str, float], short: float) -> None:
    found = finding(timed(**changes), code)
    assert found.value > found.threshold
    assert found.severity == "note"
    kind = next(iter(changes))
    few = {each.name: 0.001 for each in dataclasses.fields(SOUND) if each.name != "compilations"}
    assert result(timed(**few | changes | {kind: short}), code).status == "passed"


def test_the_texts_have_the_seconds() -> None:
    idle = finding(timed(idle=60.0), "idle-between-epochs")
    assert idle.title == "Training paused for 1 min 00 s of 2 min 41 s between the epochs."
    assert "options.autotune.enabled = False" in idle.advice
    assert "saves up to 1 min 00 s" in idle.advice
    assert finding(timed(waiting=40.0), "input-bound").title == (
        "The training steps waited for data 33.3 % of their time."
    )
    assert finding(timed(validation=91.0), "slow-validation").title == (
        "Validation took 1 min 31 s, the training steps 1 min 30 s."
    )
    assert finding(timed(compiling=40.0, compilations=8), "recompilation").title == (
        "The training step was compiled 8 times."
    )


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("idle-between-epochs", {"idle": 102.0}),
        ("input-bound", {"waiting": 107.0}),
        ("recompilation", {"compiling": 107.0, "compilations": 8}),
    ],
)
def test_half_of_the_time_is_a_warning(code: str, changes: dict[str, float]) -> None:
    checked = check_all(Evidence(timed(**changes)))
    assert [each.severity for each in checked.findings if each.code == code] == ["warning"]


def test_at_the_threshold_nothing_is_found() -> None:
    assert result(timed(waiting=30.0, computing=70.0), "input-bound").status == "passed"
    assert result(timed(validation=90.0), "slow-validation").status == "passed"
    assert result(timed(compiling=40.0, compilations=3), "recompilation").status == "passed"


def test_each_stage_of_image_size_compiles_anew() -> None:
    stages = [ImageStage(side, side, 20) for side in (16, 24, 32)]
    diagnosis = timed(compiling=40.0, compilations=9)
    training = dataclasses.replace(diagnosis.training, stages=stages)
    assert result(dataclasses.replace(diagnosis, training=training), "recompilation").status == "passed"
    more = dataclasses.replace(training, time=dataclasses.replace(training.time, compilations=10))
    assert result(dataclasses.replace(diagnosis, training=more), "recompilation").status == "found"


def test_what_was_not_measured_is_not_checked() -> None:
    assert "not known" in (result(timed(waiting=None), "input-bound").reason or "")
    assert "not counted" in (result(timed(compilations=None), "recompilation").reason or "")
