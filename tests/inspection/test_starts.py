"""What an inspection and the rules say of real networks before the first update."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.checking import check_early
from lrdiag.inspection.images import GivenImages
from lrdiag.inspection.inspector import Inspector

L = keras.layers
RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (64, 8, 8, 3)).astype("float32"), RNG.integers(0, 4, 64)


def findings(model: keras.Model, images: np.ndarray, optimizer: keras.Optimizer | None = None) -> dict[str, list[str]]:
    """The codes of the findings before training, with those of their effects."""
    model.compile(optimizer or keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
    inspector = Inspector(model)
    inspector.look_at_model()
    inspector.look_at_data(GivenImages("the images", images, LABELS), None)
    inspector.look_at_start(updates=200)
    checked = check_early(Evidence(inspection=inspector.seen), "before training")
    return {each.code: [effect.code for effect in each.effects] for each in checked.findings}


def net(*before: keras.Layer, **dense: object) -> keras.Sequential:
    keras.utils.set_random_seed(0)
    head = L.Dense(4, activation="softmax")
    return keras.Sequential(
        [keras.Input((8, 8, 3)), *before, L.Flatten(), L.Dense(16, "relu", **dense), L.Dense(16, "relu", **dense), head]
    )


def test_sound_networks() -> None:
    zero = net(L.Rescaling(1 / 255))
    zero.layers[-1].kernel.assign(np.zeros((16, 4)))
    for model in (net(L.Rescaling(1 / 255)), zero):
        assert findings(model, IMAGES, keras.optimizers.SGD(0.05)) == {}


def test_raw_pixels_explain_their_effects_in_mixed_precision() -> None:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        found = findings(net(), IMAGES)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert list(found) == ["inputs-not-scaled"]
    assert "initialization" in found["inputs-not-scaled"]


@pytest.mark.parametrize(
    ("dense", "optimizer", "code"),
    [
        ({"bias_initializer": keras.initializers.Constant(-9.0)}, None, "dead-units"),
        ({}, keras.optimizers.Adam(0.1), "rate-too-high"),
        ({}, keras.optimizers.SGD(0.05, clipvalue=1e-6), "clipped-gradients"),
        ({}, keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.05, 2, 0.1)), "early-decay"),
    ],
)
def test_faults_are_found_before_the_first_update(
    dense: dict[str, object], optimizer: keras.Optimizer | None, code: str
) -> None:
    assert list(findings(net(**dense), IMAGES / 255, optimizer)) == [code]
