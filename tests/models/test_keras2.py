"""HDF5 files of Keras 2 give the predictions of the model that was saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from lrdiag.explain.gradcam import GradCAM
from lrdiag.models.foreign import load_model
from lrdiag.models.keras2 import translate, translated_copy

L = keras.layers
SIDE = 8
IMAGES = np.random.default_rng(0).uniform(-1, 1, (3, SIDE, SIDE, 3)).astype("float32")


def layer(kind: str, after: Any = None, **config: Any) -> dict[str, Any]:
    """A layer as Keras 2 wrote it; in a Functional model, with the call that it follows: a name, or name and index."""
    described = {"class_name": kind, "config": config}
    if after is None:
        return described
    calls = [[[after[0], after[1], 0, {}]]] if after else []
    return {**described, "name": config["name"], "inbound_nodes": calls}


def functional(name: str, layers: list[dict[str, Any]], output: tuple[str, int], **graph: Any) -> dict[str, Any]:
    ends = {"input_layers": [[layers[0]["name"], 0, 0]], "output_layers": [[*output, 0]]}
    return layer("Functional", graph.get("after"), name=name, layers=layers, **ends)


def image_input(after: Any = None) -> dict[str, Any]:
    return layer("InputLayer", after, name="image", batch_input_shape=[None, SIDE, SIDE, 3], dtype="float32")


def backbone(**graph: Any) -> dict[str, Any]:
    """A part of MobileNet: Keras 2 wrote `groups`, a list of axes, and slashes in names."""
    layers = [
        image_input(()),
        layer("Conv2D", ("image", 0), name="stem/conv", filters=4, kernel_size=[3, 3]),
        layer("DepthwiseConv2D", ("stem/conv", 0), name="depthwise", kernel_size=[3, 3], groups=1),
        layer("BatchNormalization", ("depthwise", 0), name="norm", axis=[3]),
        layer("ReLU", ("norm", 0), name="relu", max_value=6.0),
    ]
    return functional("backbone", layers, ("relu", 0), **graph)


def backbone_of_keras_3() -> keras.Model:
    image = keras.Input((SIDE, SIDE, 3))
    features = L.BatchNormalization()(L.DepthwiseConv2D(3)(L.Conv2D(4, 3)(image)))
    return keras.Model(image, L.ReLU(6.0)(features))


def teachable_machine() -> tuple[dict[str, Any], keras.Model]:
    head = layer("Dense", name="dense", units=2, use_bias=False, activation="softmax")
    pooling = layer("GlobalAveragePooling2D", name="pool")
    first = layer("Sequential", name="features", layers=[image_input(), backbone(), pooling])
    second = layer("Sequential", name="head", layers=[layer("InputLayer", name="f", batch_input_shape=[None, 4]), head])
    ours = keras.Sequential(
        [
            keras.Sequential([backbone_of_keras_3(), L.GlobalAveragePooling2D()]),
            keras.Sequential([keras.Input((4,)), L.Dense(2, use_bias=False, activation="softmax")]),
        ]
    )
    return layer("Sequential", name="machine", layers=[image_input(), first, second]), ours


def transfer_learning() -> tuple[dict[str, Any], keras.Model]:
    """With `preprocess_input` in the graph, and two nested models, whose first call has the index 1."""

    def operation(name: str, function: str, after: str, number: float) -> dict[str, Any]:
        config = {"name": name, "trainable": True, "dtype": "float32", "function": function}
        described = {"class_name": "TFOpLambda", "config": config, "name": name}
        return {**described, "inbound_nodes": [[after, 0, 0, {"y": number, "name": None}]]}

    head = [
        layer("InputLayer", (), name="features", batch_input_shape=[None, 4, 4, 4]),
        layer("GlobalAveragePooling2D", ("features", 0), name="pool"),
        layer("Dense", ("pool", 0), name="dense", units=2),
    ]
    layers = [
        image_input(()),
        operation("tf.math.truediv", "math.truediv", "image", 127.5),
        operation("tf.math.subtract", "math.subtract", "tf.math.truediv", 1.0),
        backbone(after=("tf.math.subtract", 0)),
        functional("head", head, ("dense", 0), after=("backbone", 1)),
    ]
    image, features = keras.Input((SIDE, SIDE, 3)), keras.Input((4, 4, 4))
    ours_head = keras.Model(features, L.Dense(2)(L.GlobalAveragePooling2D()(features)))
    ours = keras.Model(image, ours_head(backbone_of_keras_3()(L.Rescaling(1 / 127.5, -1.0)(image))))
    return functional("transfer", layers, ("head", 1)), ours


def sequential_at_the_end() -> tuple[dict[str, Any], keras.Model]:
    """A Sequential model inside a Functional one, and layers whose arguments have no effect."""
    zeros = {"class_name": "Zeros", "config": {}}
    separable = {"groups": 1, "kernel_initializer": zeros, "kernel_regularizer": None, "kernel_constraint": None}
    head = [
        layer("InputLayer", name="features", batch_input_shape=[None, 6, 6, 4]),
        layer("Conv2DTranspose", name="wider", filters=2, kernel_size=[2, 2], groups=1),
        layer("SpatialDropout2D", name="dropout", rate=0.5, trainable=True, noise_shape=None),
        layer("Flatten", name="flat"),
    ]
    layers = [
        image_input(()),
        layer("RandomFlip", ("image", 0), name="flip", rng_type="stateful", mode="horizontal"),
        layer("SeparableConv2D", ("flip", 0), name="a/b", filters=4, kernel_size=[3, 3], **separable),
        {**layer("Sequential", ("a/b", 0), name="head", layers=head)},
    ]
    image = keras.Input((SIDE, SIDE, 3))
    end = keras.Sequential([keras.Input((6, 6, 4)), L.Conv2DTranspose(2, 2), L.Flatten()])
    return functional("mixed", layers, ("head", 1)), keras.Model(image, end(L.SeparableConv2D(4, 3)(image)))


def written_by_2_13(node: Any) -> Any:
    """The same configuration with what Keras 2.13 and later added to layers."""
    if isinstance(node, list):
        return [written_by_2_13(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = {key: written_by_2_13(value) for key, value in node.items()}
    if "class_name" not in node or node["class_name"] == "Zeros":
        return node
    own = node["class_name"] in ("Functional", "TFOpLambda")
    module = "tf_keras.src.engine.functional" if own else "keras.layers"
    return {**node, "module": module, "registered_name": node["class_name"] if own else None, "build_config": {}}


@pytest.mark.parametrize("model", [teachable_machine, transfer_learning, sequential_at_the_end])
@pytest.mark.parametrize("version", ["2.4.0", "2.15.0"])
def test_a_file_of_keras_2_gives_the_predictions_of_its_model(
    model: Callable[[], tuple[dict[str, Any], keras.Model]], version: str, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    config, ours = model()
    path = tmp_path / "keras_model.h5"
    ours.save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps(config if version == "2.4.0" else written_by_2_13(config))
        file.attrs["keras_version"] = version
    before = path.read_bytes()
    loaded = load_model(str(path))
    np.testing.assert_allclose(loaded.predict(IMAGES, verbose=0), ours.predict(IMAGES, verbose=0), rtol=1e-6, atol=1e-7)
    assert path.read_bytes() == before
    if model is teachable_machine:
        assert GradCAM(loaded).layer == "features/backbone/relu"
        depthwise = loaded.layers[0].layers[0].get_layer("depthwise")
        assert type(depthwise) is L.DepthwiseConv2D


def test_a_file_of_keras_3_is_not_copied(tmp_path: Path) -> None:
    image = keras.Input((SIDE, SIDE, 3))
    keras.Model([image], [L.Flatten()(image)]).save(tmp_path / "m.h5")
    with translated_copy(tmp_path / "m.h5") as copy:
        assert copy is None


@pytest.mark.parametrize(
    ("kind", "argument", "value"), [("DepthwiseConv2D", "groups", 2), ("LSTM", "time_major", True)]
)
def test_an_argument_with_an_effect_stays(kind: str, argument: str, value: object) -> None:
    config = layer(kind, name="it", **{argument: value})
    assert translate(config, "2.4.0") == config
