"""Rules about dropout, regularization and the statistics of batch normalization."""

from __future__ import annotations

import dataclasses

import pytest
from fixtures.diagnoses import balanced, facts_of, finding, history, result, sample
from fixtures.observed import START, compiled, conv, dense, images, plain, rates, seen

from lrdiag.diagnosis.evidence import Evidence

FLATTEN = plain("Flatten")
LAST = dense(10, "softmax")
BATCH_NORM = plain("BatchNormalization", momentum=0.99)


@pytest.mark.parametrize(
    ("dropped", "status", "title"),
    [
        ([0.7], "found", "A dropout of 0.7 keeps 30% of the values."),
        ([0.69], "passed", ""),
        ([0.5, 0.5], "found", "2 dropouts in a row keep 25% of the values."),
        ([0.4, 0.5], "found", "2 dropouts in a row keep 30% of the values."),
        ([0.4, 0.4], "passed", ""),
    ],
)
def test_dropout(dropped: list[float], status: str, title: str) -> None:
    layers = [plain("Dropout", rate=each, name=f"dropout_{each}") for each in dropped]
    evidence = seen(conv(16, "relu"), FLATTEN, *layers, LAST)
    assert result(evidence, "strong-dropout").status == status
    if title:
        assert finding(evidence, "strong-dropout").title == title


def test_a_layer_with_weights_separates_dropouts() -> None:
    half = plain("Dropout", rate=0.5)
    assert result(seen(FLATTEN, half, dense(64, "relu"), half, LAST), "strong-dropout").value == 0.5
    assert result(seen(half, plain("MaxPooling2D"), FLATTEN, half, LAST), "strong-dropout").value == 0.75


@pytest.mark.parametrize(("pull", "status"), [(0.0099, "passed"), (0.02, "found")])
def test_the_gradient_of_the_penalty_against_that_of_the_images(pull: float, status: str) -> None:
    regularized = conv(16, "relu", penalty_gradient=pull, data_gradient=0.01)
    strong = conv(16, "relu", penalty_gradient=1.0, data_gradient=0.01)
    weak = conv(16, "relu", penalty_gradient=1e-4, data_gradient=0.01)
    no_gradient = conv(16, "relu", penalty_gradient=1.0, data_gradient=0.0)
    start = dataclasses.replace(START, penalty=30.0)
    evidence = seen(weak, regularized, strong, no_gradient, FLATTEN, LAST, start=start)
    check = result(evidence, "strong-regularization")
    assert (check.status, check.value) == (status, pytest.approx(100 * pull)), "the median"
    if status == "found":
        found = finding(evidence, "strong-regularization")
        assert found.title == "The regularization is too strong: its gradient is 2 times that of the images."
        assert "by 20" in found.advice


@pytest.mark.parametrize(("decay", "status"), [(4.9, "passed"), (5.0, "found"), (0.004, "passed")])
def test_weight_decay(decay: float, status: str) -> None:
    evidence = seen(FLATTEN, LAST, start=START, rates=rates(1e-3), compiled=compiled(weight_decay=decay))
    assert result(evidence, "strong-regularization").status == status
    if status == "found":
        found = finding(evidence, "strong-regularization")
        assert found.title == "The weight decay of 5 is too strong."
        assert "half of it is gone after 139 updates" in found.evidence
        assert "weight_decay=0.05" in found.advice


@pytest.mark.parametrize(
    ("updates", "status", "momentum"), [(229, "found", 0.9), (230, "passed", 0), (60, "found", 0.8), (None, "nc", 0)]
)
def test_moving_averages_that_are_slow(updates: int | None, status: str, momentum: float) -> None:
    evidence = seen(conv(16), BATCH_NORM, FLATTEN, LAST, rates=rates(updates=updates))
    assert result(evidence, "slow-statistics").status == {"nc": "not checked"}.get(status, status)
    if momentum:
        found = finding(evidence, "slow-statistics")
        assert found.value == pytest.approx(0.99 ** (updates or 0))
        assert f"BatchNormalization(momentum={momentum})`" in found.advice


def test_averages_of_a_trained_network_are_not_slow() -> None:
    trained = dataclasses.replace(conv(16), fresh=False)
    frozen = dataclasses.replace(BATCH_NORM, trainable=False)
    for layers in ([trained, BATCH_NORM], [conv(16), frozen], [conv(16, "relu")]):
        assert result(seen(*layers, FLATTEN, LAST, rates=rates(updates=50)), "slow-statistics").status == "passed"


@pytest.mark.parametrize(("right", "severity"), [(190, "note"), (150, "warning")])
def test_slow_averages_that_did_no_harm_are_a_note(right: int, severity: str) -> None:
    facts = facts_of(balanced(10, 20, 18), training=history([(0.95, 0.9)]), train_sample=sample(right, 200))
    observed = seen(conv(16), BATCH_NORM, FLATTEN, LAST, rates=rates(updates=60)).inspection
    assert finding(Evidence(facts, inspection=observed), "slow-statistics").severity == severity


@pytest.mark.parametrize(("size", "status"), [(3, "found"), (4, "passed"), (None, "not checked")])
def test_small_batches(size: int | None, status: str) -> None:
    data = images(batch_size=size)
    assert result(seen(conv(16), BATCH_NORM, FLATTEN, LAST, training_data=data), "small-batches").status == status
    if status == "found":
        without = seen(conv(16), plain("GroupNormalization"), FLATTEN, LAST, training_data=data)
        assert result(without, "small-batches").status == "passed"
