"""Engines: which there are, and what they need."""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np
import pytest

import lrdiag
from lrdiag.errors import SettingsError


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "rya"}, "`engine` must be one of ray. Received: 'rya'. Did you mean 'ray'?"),
        ({"workers": 2}, "`engine` must be one of ray. Received: None"),
        (
            {"engine": "ray", "steps": 3, "y": np.zeros(3)},
            "With `engine`, the data is a dataset of the engine, all of which is evaluated. Leave out `y`, `steps`, or "
            "leave out `engine`. Received: engine='ray' and `y`, `steps`",
        ),
    ],
)
def test_arguments_that_an_engine_can_not_use_are_refused(
    model: keras.Model, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        lrdiag.diagnose(model, None, **options)
    assert str(caught.value) == message


def test_ray_is_required(model: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r'The engine "ray" needs the package `ray`: pip install "lrdiag\[ray\]"'):
        lrdiag.diagnose(model, [], engine="ray")
