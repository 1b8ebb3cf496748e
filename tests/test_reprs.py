"""`repr` of every public object, and of what the public functions return, is one useful line."""

from __future__ import annotations

import types
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest

import lrdiag

MODULES = {"__version__", "testing"}  # a string and a module
FULL_LINE = 200
SETTINGS = "Settings(seed=3)"


@cache
def objects() -> dict[str, Any]:
    """An object of every public name, and what each function returns."""
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2, activation="softmax"))
    model.compile("sgd", loss="sparse_categorical_crossentropy")
    images = np.random.default_rng(0).random((8, 8, 8, 3), "float32")
    labels = np.arange(8) % 2
    report = lrdiag.diagnose(model, images, labels)
    curve = lrdiag.OneCycle(0.1, 10)
    explainer = lrdiag.GradCAM(model)
    return {
        "CosineRestarts": lrdiag.CosineRestarts(0.1, 10),
        "CurveLR": lrdiag.CurveLR(curve, momentum=(0.85, 0.95)),
        "CurveSchedule": lrdiag.CurveSchedule(curve, 4),
        "Cyclic": lrdiag.Cyclic(0.1, 0.2, 5),
        "CyclicLR": [lrdiag.CyclicLR(0.1, 0.2, 5), lrdiag.CyclicLR(0.1, 0.2)],
        "CyclicSchedule": lrdiag.CyclicSchedule(0.1, 0.2, 5),
        "GradCAM": [explainer, *explainer.predict_and_explain(images, labels)],
        "InverseTimeDecay": lrdiag.InverseTimeDecay(0.1, 1, 0.5),
        "InverseTimeDecaySchedule": lrdiag.InverseTimeDecaySchedule(0.1, 1, 0.5),
        "LRFinder": lrdiag.LRFinder(),
        "LearningRate": lrdiag.LearningRate(0.1),
        "LrdiagError": lrdiag.LrdiagError("what"),
        "NoSuggestion": lrdiag.NoSuggestion("why"),
        "OneCycle": curve,
        "OneCycleLR": [lrdiag.OneCycleLR(0.1), lrdiag.OneCycleLR(0.1, total_steps=10)],
        "OneCycleSchedule": lrdiag.OneCycleSchedule(0.1, 10),
        "Part": lrdiag.diagnose_part(model, images, labels, part=(1, 1)),
        "RangeTest": lrdiag.find_lr(model, images, labels, batch_size=4, iterations=10),
        "Report": [report, report.predictions, report.heatmaps, report.show()],
        "ReportCallback": lrdiag.ReportCallback("run", (images, labels)),
        "SGD": [lrdiag.SGD(0.1), lrdiag.SGD(lrdiag.CyclicSchedule(0.1, 0.2, 5))],
        "Settings": lrdiag.Settings(seed=3),
        "Warmup": lrdiag.Warmup(curve, 3),
        "check": lrdiag.check(model, (images, labels)),
    }


@pytest.mark.parametrize("name", sorted(set(lrdiag.__all__) - MODULES))
def test_it_is_one_useful_line(name: str) -> None:
    public = getattr(lrdiag, name)
    if isinstance(public, types.FunctionType) and name not in objects():
        assert name in ("diagnose", "diagnose_part", "find_lr", "merge", "overlay", "train_and_report")
        return
    made = objects()[name]
    for each in made if isinstance(made, list) else [made]:
        line = repr(each)
        assert line.strip("<").startswith(type(each).__name__), line
        assert "\n" not in line
        assert " object at 0x" not in line
        assert len(line) <= FULL_LINE or "Received:" in line, line  # a range test without a rate says why


def test_it_names_the_settings_that_are_not_the_default() -> None:
    assert repr(objects()["Settings"]) == SETTINGS
    assert repr(lrdiag.Settings()) == "Settings()"


def test_it_says_what_an_object_holds() -> None:
    _, predictions, heatmaps, _ = objects()["Report"]
    wrong = len(predictions.misclassified)
    assert repr(predictions) == f"Predictions(images=8, classes=2, misclassified={wrong}, loss='cross-entropy, nats')"
    assert repr(heatmaps) == f"Heatmaps({wrong} of 6×6, method='gradcam', layer='conv2d')".replace(
        "conv2d", heatmaps.layer
    )
    assert repr(objects()["SGD"][0]) == "SGD(learning_rate=0.1, momentum=0.9, nesterov=False)"
