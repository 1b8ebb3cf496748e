"""Objects that are not models of Keras 3 are refused by name, at every entrance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import lrdiag
from lrdiag.errors import ModelError
from lrdiag.models.accepted import require_keras_model


def of(module: str, base: type = object) -> Any:
    """An object of a user's class whose base class is in `module`."""
    return type("Mine", (type("Model", (base,), {"__module__": module}),), {"__module__": "mine"})()


LEGACY = of("tf_keras.src.engine.training")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LEGACY, r"a model of Keras 2 \(tf_keras\).*works with Keras 3.*TF_USE_LEGACY_KERAS.*Received: mine.Mine$"),
        (of("torch.nn.modules.module"), r"a PyTorch module\."),
        (of("flax.linen.module"), r"a JAX module\."),
        (of("sklearn.base"), r"an estimator without layers\."),
        (of("tensorflow.python.trackable.autotrackable"), "an object of TensorFlow.*TFSMLayer"),
        (keras.layers.Dense(1), r"a single layer.*keras.Sequential.*Received: keras\..*Dense$"),
        (keras.Sequential, "a class. Create a model"),
        (len, "a function. Call it"),
        (Path("mine.keras"), "a path. Load the file"),
    ],
)
def test_other_objects_are_refused_by_name(model: Any, message: str) -> None:
    with pytest.raises(ModelError, match=f"^`model` must be a keras.Model, and this is {message}"):
        require_keras_model(model)


@pytest.mark.parametrize(("model", "name"), [(None, "NoneType"), (of("torchlike.nn"), "mine.Mine")])
def test_an_unknown_object_is_refused_by_its_class(model: Any, name: str) -> None:
    with pytest.raises(ModelError, match=rf"^`model` must be a keras.Model. Received: {name}$"):
        require_keras_model(model)


IMAGES, LABELS = np.zeros((4, 8, 8, 3), np.float32), np.arange(4) % 2


@pytest.mark.parametrize(
    "entrance",
    [
        lambda model, _: lrdiag.diagnose(model, IMAGES, LABELS, history={"loss": [1.0]}),
        lambda model, _: lrdiag.find_lr(model, IMAGES, LABELS),
        lambda model, _: lrdiag.GradCAM(model),
        lambda model, _: lrdiag.CyclicLR(0.01, 0.1, 2).set_model(model),
        lambda model, _: lrdiag.LRFinder().set_model(model),
        lambda model, folder: lrdiag.ReportCallback(folder, (IMAGES, LABELS)).set_model(model),
    ],
    ids=["diagnose", "find_lr", "GradCAM", "CyclicLR", "LRFinder", "ReportCallback"],
)
def test_every_entrance_names_keras_2(entrance: Callable[[Any, Path], Any], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="tf_keras"):
        entrance(LEGACY, tmp_path)
