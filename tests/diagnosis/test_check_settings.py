"""Settings of the checks, from plain values."""

from __future__ import annotations

from typing import Any

import pytest

from lrdiag.diagnosis.check_settings import CheckSettings
from lrdiag.errors import SettingsError


def test_plain_values_are_read() -> None:
    checks = {
        "weak-class": False,
        "over-predicted-class": True,
        "overfitting": {"severity": "error", "threshold": 0.2},
        "confused-pair": "warning",
        "lagging-statistics": 1,
    }
    assert CheckSettings.of(checks, {"regression": " new data "}) == CheckSettings(
        frozenset({"weak-class"}),
        {"overfitting": "error", "confused-pair": "warning"},
        {"overfitting": 0.2, "lagging-statistics": 1.0},
        {"regression": "new data"},
    )
    assert CheckSettings.of() == CheckSettings()


def test_the_later_settings_have_precedence() -> None:
    first = CheckSettings.of({"weak-class": False, "regression": False, "overfitting": 0.2}, {"no-heatmaps": "a"})
    later = CheckSettings.of({"weak-class": "note", "overfitting": 0.3, "at-chance": False}, {"no-heatmaps": "b"})
    assert first.overridden(by=later) == CheckSettings(
        frozenset({"regression", "at-chance"}), {"weak-class": "note"}, {"overfitting": 0.3}, {"no-heatmaps": "b"}
    )
    assert CheckSettings.of(first, {"no-heatmaps": "b"}).accepted == {"no-heatmaps": "b"}


@pytest.mark.parametrize(
    ("checks", "accept", "message"),
    [
        ({"weak-clas": False}, None, r"`checks` must have codes.*Received: 'weak-clas'. Did you mean 'weak-class'\?"),
        (None, {"overfiting": "a"}, r"`accept` must have codes.*Did you mean 'overfitting'\?"),
        ({3: False}, None, "must have codes of findings.*Received: 3"),
        (["weak-class"], None, r"`checks` must map.*Received: \['weak-class'\]"),
        ({"overfitting": "fatal"}, None, "one of error, warning, note. Received: 'overfitting': 'fatal'"),
        ({"overfitting": None}, None, "takes False, a severity.*Received: 'overfitting': None"),
        ({"overfitting": {"limit": 1}}, None, r"takes False, a severity.*Received: 'overfitting': \{'limit': 1\}"),
        ({"overfitting": {"threshold": "0.1"}}, None, "must be a finite number. Received: 'overfitting': '0.1'"),
        ({"overfitting": {"threshold": True}}, None, "must be a finite number"),
        ({"overfitting": float("nan")}, None, "must be a finite number"),
        ({"at-chance": 0.1}, None, "The check at-chance has no threshold that can be set. Received: 0.1"),
        (None, {"overfitting": " "}, "`accept` takes the reason.*Received: 'overfitting': ' '"),
        (None, {"overfitting": True}, "`accept` takes the reason.*Received: 'overfitting': True"),
    ],
)
def test_other_values_are_refused(checks: Any, accept: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        CheckSettings.of(checks, accept)
