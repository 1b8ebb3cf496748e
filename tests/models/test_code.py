"""Code in model files: without trust none of it runs, in whatever part of a file it is."""

from __future__ import annotations

import base64
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from lrdiag.errors import ModelError
from lrdiag.models.foreign import load_foreign, load_model

RAN = Path("ran")
LAMBDA = keras.layers.Lambda(lambda images: (open("ran", "w").close(), images)[1], output_shape=(8, 8, 3))
Config = dict[str, Any]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def model(*layers: keras.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((8, 8, 3)), *layers, keras.layers.Flatten(), keras.layers.Dense(2)])


def rewrite(path: str, change: Callable[[Config], object]) -> None:
    """Changes the configuration of the model in a file."""
    if path.endswith(".h5"):
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(config)
            file.attrs["model_config"] = json.dumps(config)
        return
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    change(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (files | {"config.json": json.dumps(config).encode()}).items():
            archive.writestr(name, content)


def refused(path: str, what: str) -> None:
    with pytest.raises(ModelError, match=rf"^The model contains {what}\. This is code, .*--trust.*Received: {path}$"):
        load_model(path)
    assert not RAN.exists()


@pytest.mark.parametrize("path", ["code.keras", "code.h5", "code"])
@pytest.mark.parametrize("is_nested", [False, True])
def test_a_lambda_runs_only_if_the_file_is_trusted(path: str, is_nested: bool) -> None:
    layer = keras.Sequential([keras.Input((8, 8, 3)), LAMBDA]) if is_nested else LAMBDA
    model(layer).save(path, **({} if "." in path else {"zipped": False}))
    RAN.unlink(missing_ok=True)
    refused(path, "(Lambda layers|the code of a function)")
    load_model(path, trust=True)(np.zeros((1, 8, 8, 3)))
    assert RAN.exists()


def test_functions_of_keras_that_compute_need_no_trust() -> None:
    inputs = keras.Input((8, 8, 3))
    scaled = keras.layers.Lambda(keras.activations.relu, (8, 8, 3))(keras.ops.square(inputs) / 255)
    scaled = keras.layers.add([keras.layers.Activation("gelu")(scaled), scaled])
    pooled = keras.layers.Dense(2, kernel_regularizer="l2")(keras.layers.GlobalAveragePooling2D()(scaled))
    original = keras.Model(inputs, pooled)
    original.compile("adam", loss=keras.losses.categorical_crossentropy, metrics=[keras.metrics.AUC()])
    original.save("sound.keras")
    images = np.ones((1, 8, 8, 3))
    np.testing.assert_allclose(load_model("sound.keras").predict(images), original.predict(images), rtol=1e-5)
    assert load_foreign("sound.keras", (8, 8, 3), 2).output_shape == (None, 2)


def layer_of(**node: Any) -> Callable[[Config], object]:
    """Puts a node in the place of the first layer after the input."""

    def change(config: Config) -> None:
        layers = config["config"]["layers"]
        layers[1] = {"config": {"name": "payload", **node.pop("config", {})}, **node}

    return change


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("ran", "w")


PICKLED = base64.b64encode(pickle.dumps(Payload())).decode()
KERAS = {"module": "keras.layers", "registered_name": None}
PROGRAM = {"filepath": "program", "call_endpoint": "serving_default", "call_training_endpoint": None}
LOADED = {
    "module": "keras.datasets.mnist",
    "class_name": "function",
    "config": "load_data",
    "registered_name": "load_data",
}


def test_a_function_of_keras_that_writes_a_file_runs_only_if_the_file_is_trusted() -> None:
    """Keras's safe mode loads the file."""
    model(keras.layers.Lambda(keras.activations.relu, (8, 8, 3))).save("own.keras")
    function = {"module": "keras.visualization", "class_name": "function", "config": "plot_image_gallery"}
    arguments = {"path": "ran", "value_range": [0, 1], "rows": 1, "cols": 1}
    rewrite(
        "own.keras", lambda each: each["config"]["layers"][1]["config"].update(function=function, arguments=arguments)
    )
    loaded = keras.models.load_model("own.keras", safe_mode=True)
    with pytest.raises((TypeError, ValueError, AttributeError)):  # it returns nothing
        loaded(np.zeros((1, 8, 8, 3), "float32"))
    assert RAN.with_suffix(".png").exists() or RAN.exists()
    for file in Path().glob("ran*"):
        file.unlink()
    refused("own.keras", "the function keras.visualization.plot_image_gallery")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (layer_of(class_name="TFSMLayer", config=PROGRAM, **KERAS), "TFSMLayer layers"),
        (layer_of(class_name="TorchModuleWrapper", config={"module": PICKLED}, **KERAS), "TorchModuleWrapper layers"),
        (
            layer_of(class_name="Activation", config={"activation": LOADED}, **KERAS),
            "the function keras.datasets.mnist.*",
        ),
        (layer_of(class_name="plot_model", module="keras.utils"), "the function keras.utils.plot_model"),
        (layer_of(class_name="ResNet50", module="keras.applications"), "the function keras.applications.ResNet50"),
        (layer_of(class_name="deserialize", module="keras.layers"), "the function keras.layers.deserialize"),
        (layer_of(class_name="get", module="builtins"), "the function builtins.get"),
        (lambda config: config.update(compile_config={"loss": LOADED}), "the function keras.datasets.mnist.load_data"),
        (lambda config: config.update(build_config={"x": [{"class_name": "__lambda__"}]}), "the code of a function"),
    ],
)
def test_other_code_is_refused_before_keras_opens_the_file(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Config], object], what: str
) -> None:
    model(keras.layers.Activation("relu")).save("code.keras")
    rewrite("code.keras", change)
    monkeypatch.setattr("keras.models.load_model", lambda *_, **__: pytest.fail("Keras opened the file"))
    refused("code.keras", what)


def test_a_class_of_keras_2_is_known_by_both_of_its_names() -> None:
    """lrdiag translates files of Keras 2, and then takes the registered name."""
    model(keras.layers.Activation("relu")).save("old.h5")
    rewrite("old.h5", lambda config: config["config"]["layers"][1].update(registered_name="Lambda"))
    refused("old.h5", "Lambda layers")


def test_a_configuration_that_fills_the_memory_is_refused() -> None:
    with zipfile.ZipFile("bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", b"")
        with archive.open("config.json", "w", force_zip64=True) as config:
            for _ in range(101):
                config.write(bytes(1_000_000))
    with pytest.raises(ModelError, match=r"at most 100 MB\. Received: bomb.keras with 101 MB"):
        load_model("bomb.keras")


@pytest.mark.parametrize("path", ["mine.keras", "mine.h5"])
@pytest.mark.parametrize("class_name", ["Layer", "function"])
def test_a_module_that_a_file_names_is_not_imported(
    monkeypatch: pytest.MonkeyPatch, path: str, class_name: str
) -> None:
    Path("payload.py").write_text("open('ran', 'w').close()\nclass Layer: ...\n")
    monkeypatch.syspath_prepend("")
    model(keras.layers.Activation("relu")).save(path)
    named = {"class_name": class_name, "module": "payload", "registered_name": "payload>Layer", "config": "Layer"}
    rewrite(path, lambda config: config["config"]["layers"][1]["config"].update(activation=named))
    with pytest.raises(ModelError, match=r"The model contains `|Keras can't load"):
        load_model(path)
    assert not RAN.exists()


@pytest.mark.parametrize("statement", ["raise SystemExit(0)", "import sys; sys.exit()", "raise GeneratorExit"])
@pytest.mark.parametrize("place", ["module", "function"])
def test_a_users_module_that_ends_the_program_is_refused(
    monkeypatch: pytest.MonkeyPatch, statement: str, place: str
) -> None:
    name = f"ending_{place}"
    body = f"{statement}\ndef build(): ...\n" if place == "module" else f"def build():\n    {statement}\n"
    Path(f"{name}.py").write_text(body)
    monkeypatch.syspath_prepend("")
    monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    with pytest.raises(ModelError, match=rf"Received: '{name}:build' \(.*{name}\.py line \d\)"):
        load_foreign(f"{name}:build", (8, 8, 3), 2)
