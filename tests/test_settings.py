"""Settings: valid values, and errors."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lrdiag.diagnosis.gates import Gate
from lrdiag.errors import SettingsError
from lrdiag.settings import DiagnoseSettings, LearningRate, Settings
from lrdiag.vocabulary import ASSETS, AUGMENTATIONS, OPTIMIZERS, SCHEDULES


@pytest.mark.parametrize(
    ("text", "rate", "base_lr"),
    [("auto", None, None), ("0.1", 0.1, None), ("1e-3", 0.001, None), ("0.01:0.4", 0.4, 0.01), ("1e-4:1", 1.0, 1e-4)],
)
def test_a_learning_rate_is_parsed(text: str, rate: float | None, base_lr: float | None) -> None:
    assert LearningRate.parse(text) == LearningRate(rate, base_lr)


@pytest.mark.parametrize(
    "text",
    ["", "fast", "0", "-0.1", "nan", "inf", "0.1:", ":0.1", "0.4:0.01", "0.1:0.1", "0:1", "0.1:inf", "nan:1", "1:2:3",
     "AUTOS", "0,1", "0.1;0.2"],
)  # fmt: skip
def test_an_invalid_learning_rate_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"must be `auto`.*Received") as error:
        LearningRate.parse(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "auto",
        "0.1",
        "0.01:0.4",
        "1e-05",
        "0.12345678",
    ],
)
def test_a_learning_rate_parses_its_own_text(text: str) -> None:
    assert str(LearningRate.parse(text)) == text
    assert LearningRate.parse(str(LearningRate.parse(text))) == LearningRate.parse(text)


def test_the_defaults_are_valid() -> None:
    assert Settings().learning_rate == LearningRate()


@pytest.mark.parametrize("name", ["epochs", "batch_size", "limit_train", "limit_test"])
@pytest.mark.parametrize("value", [0, -1])
def test_counts_begin_at_one(name: str, value: int) -> None:
    assert getattr(Settings(**{name: 1}), name) == 1
    with pytest.raises(SettingsError, match=f"`{name}` must be a whole number, 1 or more. Received: {value}"):
        Settings(**{name: value})


@pytest.mark.parametrize("seed", [-1, 2**31, 1.5])
def test_a_seed_that_numpy_would_refuse_is_refused(seed: Any) -> None:
    assert Settings(seed=2**31 - 1).seed == 2**31 - 1
    for make in (Settings, partial(DiagnoseSettings, "model.keras")):
        with pytest.raises(SettingsError, match=f"`seed` must be a whole number between.*Received: {seed}"):
            make(seed=seed)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("optimizer", "lion", OPTIMIZERS),
        ("schedule", "cosine", SCHEDULES),
        ("assets", "cdn", ASSETS),
        ("augment", ("flip", "mixup"), AUGMENTATIONS),
        ("augment", "flip", AUGMENTATIONS),
    ],
)
def test_an_unknown_choice_is_refused_with_the_known_ones(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match=f"`{name}`.*Received: ") as error:
        Settings(**{name: value})
    assert all(each in str(error.value) for each in allowed)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_known_choice_is_accepted(schedule: Any, optimizer: Any) -> None:
    settings = Settings(schedule=schedule, optimizer=optimizer, augment=AUGMENTATIONS)
    assert (settings.schedule, settings.optimizer) == (schedule, optimizer)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_boundaries_are_accepted_only_for_cycles(schedule: Any) -> None:
    boundaries = LearningRate.parse("0.01:0.4")
    if schedule in ("cyclic", "triangular2", "exp-range", "one-cycle"):
        assert Settings(schedule=schedule, learning_rate=boundaries).learning_rate == boundaries
    else:
        with pytest.raises(SettingsError, match=f"`{schedule}` takes one learning rate.*Received: 0.01:0.4"):
            Settings(schedule=schedule, learning_rate=boundaries)
    assert Settings(schedule=schedule, learning_rate=LearningRate(0.1)).learning_rate.rate == 0.1


@pytest.mark.parametrize(
    "arguments", [(-0.1,), (0.0,), (float("nan"),), (float("inf"),), (0.1, 0.4), (0.1, 0.1), (0.1, -1.0), (None, 0.1)]
)
def test_rates_given_in_python_follow_the_same_rules(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(SettingsError, match="Received"):
        Settings(learning_rate=LearningRate(*arguments))


def test_settings_can_be_compared_and_hashed() -> None:
    gated = Settings(gates=(Gate("fail-under", "accuracy", 0.5),))
    others = [Settings(assets="folder"), Settings(templates=Path("t")), Settings(baseline=Path("b")), gated]
    assert len({Settings(), *others}) == 5


def test_settings_are_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().seed = 1
