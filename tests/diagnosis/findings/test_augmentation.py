"""Rules about augmentation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from fixtures.diagnoses import facts_of, history, sample
from fixtures.image_sets import answer, found
from fixtures.image_tables import table_of
from fixtures.observed import plain, stack

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import Found, NotChecked, Passed
from lrdiag.record.observed import EpochState, Inspection, Turned

RNG = np.random.default_rng(0)
LABELS = np.arange(300) % 3
BARS = RNG.normal(90, 12, (300, 10, 10, 1))
for _label, _row in enumerate((1, 8, 4)):
    BARS[_label == LABELS, _row] += 120
BARS = BARS.clip(0, 255).astype(np.uint8)
TEST = table_of(BARS, LABELS, np.zeros(300, bool))


def evidence(shares: dict[str, float], momentum: float | None = None, **others: object) -> Evidence:
    layers = stack(plain("BatchNormalization", momentum=momentum, activation="linear", shape=(8, 8, 3)))
    epochs = (EpochState(1, 20, {}, (), (), {}, 0.0, None, None, 0),)
    facts = facts_of([[90, 10, 0], [12, 88, 0], [0, 0, 100]], **others)
    return Evidence(
        facts, test_images=TEST, inspection=Inspection(turned=Turned(64, shares), layers=layers, epochs=epochs)
    )


def test_exchanged_classes() -> None:
    problem = found("destructive-augmentation", evidence({"mirrored": 0.5, "flipped upside down": 0.25}))
    assert problem.title == ("Augmentation exchanges classes: flipped upside down, “0” and “1” look like each other.")
    assert "of 64 images, 25.0 % were flipped upside down" in problem.evidence
    assert problem.evidence.endswith(
        "“0” and “1” (100.0 % of 200 images). The model confuses them in 22 of 200 images."
    )
    assert problem.severity is None
    assert {TEST.labels[each.image.index] for each in problem.exhibits} == {0, 1}
    before, after = problem.exhibits[0].pictures
    assert np.array_equal(before[::-1], after)


def test_a_direction_that_is_given_up_is_a_note() -> None:
    sloped = (BARS * np.linspace(0.7, 1, 10)[:, None]).astype(np.uint8)
    given = dataclasses.replace(evidence({"mirrored": 0.5}), test_images=table_of(sloped, LABELS, LABELS < 0))
    problem = found("destructive-augmentation", given)
    assert problem.title == "Training images are mirrored, and test images are not."
    assert problem.severity == "note"
    assert problem.value > 0.9


@pytest.mark.parametrize("shares", [{}, {"mirrored": 0.5}, {"flipped upside down": 0.06}])
def test_what_does_no_harm_passes(shares: dict[str, float]) -> None:
    """Mirrored bars are bars, and a few images may be turned by accident."""
    assert isinstance(answer("destructive-augmentation", evidence(shares)), Passed)


class TestPlainImages:
    RUN = history([(0.5, 0.2), (0.9, 0.1)])

    def test_are_recognized_less_often(self) -> None:
        given = evidence({}, training=self.RUN, train_sample=sample(200, 1000))
        problem = found("destructive-augmentation", given)
        assert problem.title == (
            "Augmentation leaves images that are unlike plain ones: these are recognized 70.0 percentage points less "
            "often."
        )
        assert "On 1,000 training images without augmentation it is 20.0 %." in problem.evidence

    def test_the_threshold(self) -> None:
        for right, kind in ((810, Passed), (790, Found)):
            given = evidence({}, training=self.RUN, train_sample=sample(right, 1000))
            assert isinstance(answer("destructive-augmentation", given), kind)

    @pytest.mark.parametrize(("momentum", "kind"), [(0.99, Passed), (0.85, Found)])
    def test_batch_normalization_may_lag(self, momentum: float, kind: type) -> None:
        """0.99 ** 20 updates is 0.82, and 0.85 ** 20 is 0.04."""
        given = evidence({}, momentum, training=self.RUN, train_sample=sample(200, 1000))
        assert isinstance(answer("destructive-augmentation", given), kind)


def test_is_not_checked_without_pictures() -> None:
    given = dataclasses.replace(evidence({"mirrored": 0.5}), test_images=None)
    assert answer("destructive-augmentation", given) == NotChecked("the test images were not kept")
