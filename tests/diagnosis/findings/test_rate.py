"""Rules about the learning rate and its schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fixtures.starts import IMAGES, LAYERS, SOUND, answer, dense, found, other, run_of, state

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import Found, NotChecked, Passed
from lrdiag.diagnosis.findings.rate import rate_too_high
from lrdiag.record.observed import Inspection

CODES = ("negative-rate", "rate-too-high", "clipped-gradients", "rate-too-low", "early-decay")
SPIKE = [2.4, 2.3, 30.0, *[2.31] * 37]
FALLING = [2.4, 2.3, 9.0, *[0.5] * 37]


def rates(rate: float, **others: Any) -> Inspection:
    assert SOUND.rates is not None
    return replace(SOUND, rates=replace(SOUND.rates, first=rate, lowest=rate, highest=rate, mean=rate), **others)


def trial(inspection: Inspection, **others: Any) -> Inspection:
    assert inspection.trial is not None
    return replace(inspection, trial=replace(inspection.trial, **others))


def planned(**others: Any) -> Inspection:
    assert SOUND.rates is not None
    return replace(SOUND, rates=replace(SOUND.rates, **others))


@pytest.mark.parametrize("code", CODES)
def test_a_sound_rate_passes(code: str) -> None:
    assert isinstance(answer(code, SOUND), Passed)
    assert isinstance(answer(code, replace(SOUND, epochs=(state(),)), run_of(FALLING)), Passed)


class TestNegativeRate:
    def test_fires(self) -> None:
        problem = found("negative-rate", rates(-0.05))
        assert problem.title == "The learning rate is negative: -0.05."
        assert "`learning_rate=0.05`" in problem.advice
        assert "climbs" in found("negative-rate", trial(SOUND, climbs=True)).title


class TestRateTooHigh:
    def test_before_training(self) -> None:
        problem = found("rate-too-high", rates(0.1))
        assert problem.title == (
            "The learning rate 0.1 is too high: one update moves the weights by 100.0\u00a0% of their size."
        )
        assert "`learning_rate=0.001`" in problem.advice
        assert "`lrdiag.find_lr(model, data)`" in problem.advice

    def test_normalization_and_a_single_layer_bear_more(self) -> None:
        normalized = (*LAYERS[:1], other("BatchNormalization", 0, momentum=0.9), dense("head", 1))
        assert isinstance(answer("rate-too-high", rates(0.09, layers=normalized)), Passed)
        assert isinstance(answer("rate-too-high", rates(0.09, layers=LAYERS[:1])), Passed)
        assert found("rate-too-high", rates(0.2, layers=normalized))

    def test_the_range_test_gives_the_rate(self, sound: Any) -> None:
        problem = rate_too_high(Evidence(sound, inspection=rates(0.1)), 0.2)
        assert "the rate of the range test: `learning_rate=0.1`" in getattr(problem, "advice", "")

    def test_a_callback_may_set_other_rates(self) -> None:
        inspection = planned(highest=0.1, may_change=True)
        reason = "a callback may set other rates"
        assert answer("rate-too-high", inspection) == NotChecked(reason)
        assert found("rate-too-high", inspection, run_of(FALLING, rate=0.1))
        assert isinstance(answer("rate-too-high", inspection, run_of(FALLING, rate=0.001)), Passed)

    def test_the_loss_rose_and_nothing_was_learnt(self) -> None:
        problem = found("rate-too-high", SOUND, run_of(SPIKE))
        assert problem.title == "The learning rate 0.001 is too high: the loss rose to 30.000."
        assert "At update 3 of 40" in problem.evidence
        assert problem.severity == "error"

    def test_losses_that_say_little_of_learning_do_not_count(self) -> None:
        assert SOUND.start is not None
        for inspection in (
            replace(SOUND, training_data=replace(IMAGES, weighted=True)),
            replace(SOUND, epochs=(replace(state(), penalty=1.0),)),  # without it, the loss is far below a guess
            replace(SOUND, start=replace(SOUND.start, outputs=2)),
        ):
            assert isinstance(answer("rate-too-high", inspection, run_of(SPIKE)), Passed)

    @pytest.mark.parametrize("rate", [0.001, 0.01])
    def test_the_loss_became_nan(self, rate: float) -> None:
        run = run_of([2.4, 2.3, *[None] * 38], rate=rate)
        if rate == 0.001:  # one update moves the weights by 1 %, so that the rate is not the cause
            assert isinstance(answer("rate-too-high", rates(rate), run), Passed)
        else:
            assert "became NaN or infinite" in found("rate-too-high", rates(rate), run).title

    def test_units_died(self) -> None:
        dead = {"epochs": (state(1, silent=1.0),)}
        problem = found("rate-too-high", rates(0.01, **dead), run_of([2.4] * 40))
        assert "100.0\u00a0% of the units of `second` are dead" in problem.title
        assert isinstance(answer("rate-too-high", rates(0.001, **dead), run_of([2.4] * 40)), Passed)
        assert isinstance(answer("rate-too-high", rates(0.01, **dead), run_of(FALLING)), Passed)

    def test_the_weights_jump(self) -> None:
        jumps = {"epochs": (state(1, moved=1.5), state(2, moved=1.2))}
        assert "jump" in found("rate-too-high", rates(0.01, **jumps), run_of([2.4] * 40)).title
        assert isinstance(answer("rate-too-high", rates(0.01, **jumps), run_of(FALLING)), Passed)
        broken = replace(state(1, moved=float("nan")), not_finite=("first/kernel",))
        assert not isinstance(answer("rate-too-high", rates(0.01, epochs=(broken,)), run_of([2.4] * 40)), Found)


class TestRateTooLow:
    def test_before_training(self) -> None:
        problem = found("rate-too-low", rates(1e-6))
        assert problem.title == (
            "The learning rate 1e-6 is too low: 200 updates move the weights by 0.4\u00a0% of their size."
        )
        assert "`learning_rate=0.001`" in problem.advice

    def test_a_trained_model_takes_small_updates_and_its_new_head_does_not(self) -> None:
        trained = (dense("first", -1, fresh=False), LAYERS[1])
        old, new = (dense("head", 1, "softmax", fresh=fresh) for fresh in (False, True))
        assert isinstance(answer("rate-too-low", rates(1e-6, layers=(*trained, old))), Passed)
        assert found("rate-too-low", rates(1e-6, layers=(*trained, new)))

    def test_few_updates_of_a_usual_size_are_not_the_fault_of_the_rate(self) -> None:
        assert isinstance(answer("rate-too-low", planned(updates=2)), Passed)

    def test_what_is_not_known_is_not_checked(self) -> None:
        for inspection in (planned(mean=1e-6, updates=None), planned(mean=1e-6, may_change=True)):
            assert isinstance(answer("rate-too-low", inspection), NotChecked)
        assert answer("rate-too-low", trial(SOUND, largest=0.0)) == NotChecked("the first gradients are 0")

    def test_the_first_epoch_hardly_moved_the_weights(self) -> None:
        still = planned(updates=None)
        moved = replace(still, epochs=(state(moved=0.002),))
        run = run_of([2.4] * 100, epochs=1, planned=5)
        assert "the weights hardly move" in found("rate-too-low", moved, run).title
        for inspection, other_run in (
            (moved, run_of(FALLING, epochs=1)),  # learns
            (moved, replace(run, learning_rate_per_step=[1e-5, 1e-4])),  # warms up
            (moved, replace(run, epochs_planned=100)),  # has time
            (replace(still, epochs=(state(moved=0.05),)), run),
        ):
            assert isinstance(answer("rate-too-low", inspection, other_run), NotChecked)


class TestClippedGradients:
    def clipped(self, move: float, **clip: float) -> Inspection:
        compiled = SOUND.compiled
        assert compiled is not None
        optimizer = replace(compiled.optimizer, **clip)
        return trial(replace(SOUND, compiled=replace(compiled, optimizer=optimizer)), move=move, largest=move)

    def test_fires(self) -> None:
        problem = found("clipped-gradients", self.clipped(0.01, clipvalue=1e-5))
        assert problem.title == "The gradients are clipped away: `clipvalue=1e-5` leaves 0.1\u00a0% of each update."
        assert "Remove `clipvalue`" in problem.advice

    def test_is_quiet(self) -> None:
        assert isinstance(answer("clipped-gradients", self.clipped(5.0, clipnorm=1.0)), Passed)
        low = replace(self.clipped(0.01, clipnorm=1.0), rates=rates(1e-7).rates)
        assert isinstance(answer("clipped-gradients", low), Passed)  # the rate is the cause


class TestEarlyDecay:
    def test_before_training(self) -> None:
        problem = found("early-decay", planned(lowest=1e-9, mean=1e-4, spent=0.1))
        assert "after 10.0\u00a0% of the updates, the learning rate is spent" in problem.title
        assert "CosineDecay(0.001, decay_steps=200)" in problem.advice
        assert isinstance(answer("early-decay", planned(lowest=1e-9, mean=5e-4, spent=0.98)), Passed)

    def test_once_the_rate_is_spent_the_loss_decides(self) -> None:
        late = planned(lowest=1e-9, mean=4e-4, spent=0.1)
        assert isinstance(answer("early-decay", late), Passed)
        assert found("early-decay", late, run_of([2.2] * 40))
        assert isinstance(answer("early-decay", late, run_of(FALLING)), Passed)
