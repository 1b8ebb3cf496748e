"""Models of the user: which are accepted, and which are refused with one message."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from lrdiag.errors import ModelError
from lrdiag.explain.loss import compiled_loss, takes_logits
from lrdiag.models import build_network
from lrdiag.models.foreign import load_model, takes_images
from lrdiag.record.arrays import LabelledImages

CLASSES = 4
MODULE = "a_users_module"
SOURCE = """
import keras

def plain():
    return build((32, 32, 3), 4)

def build(image_shape, classes, activation="softmax"):
    head = keras.layers.Dense(classes, activation=activation, name="head")
    pool = keras.layers.GlobalAveragePooling2D()
    return keras.Sequential([keras.Input(image_shape), keras.layers.Rescaling(1 / 255), pool, head])

def logits(*, classes, image_shape, **others):
    return build(image_shape, classes, None)

def only_classes(classes):
    return build((32, 32, 3), classes)

def any_number(*layers):
    return plain()

def nothing():
    pass

def layer():
    return keras.layers.Dense(4)

def unknown(image_shape, depth, width):
    return plain()

def broken():
    raise RuntimeError("the weights are elsewhere")

def positional(image_shape, classes, /):
    return build(image_shape, classes)

def other_classes():
    return build((32, 32, 3), 7)

def other_size():
    return keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(4)])

def maps():
    return keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 1)])

def two_outputs():
    inputs = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, [keras.layers.Dense(4)(pooled), pooled])

number = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's module in the current folder."""
    path = tmp_path / f"{MODULE}.py"
    path.write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield path
    sys.modules.pop(MODULE, None)


@pytest.mark.parametrize(
    "function",
    [
        "plain",
        "build",
        "only_classes",
        "any_number",
        "positional",
    ],
)
def test_a_function_receives_the_parameters_that_it_has(rgb: LabelledImages, function: str) -> None:
    network = build_network(f"{MODULE}:{function}", rgb, CLASSES)
    assert network.name == f"{MODULE}:{function}"
    assert network.model.output_shape == (None, CLASSES)
    assert not network.from_logits
    assert network.recipe.weight_decay is None


def test_logits_are_recognised(rgb: LabelledImages) -> None:
    assert build_network(f"{MODULE}:logits", rgb, CLASSES).from_logits


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_probabilities_of_half_precision_are_recognised(rgb: LabelledImages, policy: str) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(0)
        assert not build_network(f"{MODULE}:build", rgb, CLASSES).from_logits
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        ("absent.keras", "There is no such model file"),
        ("resnet", "must be `fast`, `article`, a .keras file, or `module:function`"),
        ("a:b:c", "must be `fast`, `article`"),
        ("no_such_module:f", "can be imported"),
        (f"{MODULE}:absent", "can be imported"),
        (f"{MODULE}:", "can be imported"),
        (":plain", "can be imported"),
        (f"{MODULE}:number", "can be imported"),
        (f"{MODULE}:nothing", "must return a keras.Model. Received: NoneType"),
        (f"{MODULE}:layer", "must return a keras.Model, and this is a single layer.*Dense$"),
        (f"{MODULE}:unknown", "Received: .*depth, width"),
        (f"{MODULE}:broken", "RuntimeError: the weights are elsewhere"),
        (f"{MODULE}:other_classes", r"one score per class.*\(8, 4\).*Received: \(8, 7\)"),
        (f"{MODULE}:other_size", r"raw images of shape \(32, 32, 3\)"),
        (f"{MODULE}:maps", r"one score per class.*Received: \(8, 32, 32, 4\)"),
        (f"{MODULE}:two_outputs", "one score per class.*Received: list"),
    ],
)
def test_an_unusable_model_is_refused_with_the_reason(rgb: LabelledImages, spec: str, rule: str) -> None:
    with pytest.raises(ModelError, match=rule):
        build_network(spec, rgb, CLASSES)


@pytest.mark.parametrize("source", ["def build(:", "raise RuntimeError('no')", "1 / 0"])
def test_a_module_that_cannot_be_imported_is_refused(rgb: LabelledImages, module: Path, source: str) -> None:
    module.write_text(source)
    with pytest.raises(ModelError, match="can be imported"):
        build_network(f"{MODULE}:build", rgb, CLASSES)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18)], ids=["empty", "text", "empty-zip"])
def test_a_file_without_a_model_is_refused(rgb: LabelledImages, content: bytes) -> None:
    Path("broken.keras").write_bytes(content)
    with pytest.raises(ModelError, match=r"Copy or download it again. Received: broken.keras"):
        build_network("broken.keras", rgb, CLASSES)


def test_a_file_that_would_run_code_is_refused(rgb: LabelledImages) -> None:
    keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Lambda(lambda images: images)]).save("lambda.keras")
    with pytest.raises(ModelError, match=r"^The model contains Lambda layers\. This is code"):
        build_network("lambda.keras", rgb, CLASSES)


def test_a_saved_model_is_loaded_as_it_was(rgb: LabelledImages) -> None:
    original = build_network(f"{MODULE}:build", rgb, CLASSES).model
    original.save("mine.keras")
    loaded = build_network("mine.keras", rgb, CLASSES)
    np.testing.assert_array_equal(loaded.model(rgb.images), original(rgb.images))
    assert not loaded.from_logits


# --- models that are trained already ----------------------------------------------------------------------------------


def trained(shape: tuple[int | None, ...] = (32, 32, 3), activation: str = "softmax") -> keras.Model:
    keras.utils.set_random_seed(1)
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(CLASSES, activation=activation)]
    return keras.Sequential([keras.Input(shape), keras.layers.Rescaling(1 / 255), *head])


@pytest.mark.parametrize("file", ["mine.keras", "mine.h5", "mine.hdf5", "saved"])
def test_a_trained_model_is_loaded_from_every_format_of_keras(rgb: LabelledImages, file: str) -> None:
    original = trained()
    if "." in file:
        original.save(file)
    else:
        original.export(file, verbose=False)
    loaded = load_model(file, trust=file == "saved")
    images = rgb.images.astype("float32")
    np.testing.assert_allclose(loaded.predict(images, verbose=0), original.predict(images, verbose=0), rtol=1e-5)
    assert takes_images(loaded) == (32, 32, 3)


def test_a_function_returns_a_trained_model() -> None:
    assert load_model(f"{MODULE}:plain").output_shape == (None, 4)


def test_a_compiled_model_is_loaded_with_its_loss() -> None:
    """Whether it takes logits is compared with what the model returns."""
    model = trained()
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.save("compiled.keras")
    assert takes_logits(compiled_loss(load_model("compiled.keras"))) is True


def test_a_model_with_an_unknown_loss_is_loaded() -> None:
    class OwnLoss(keras.losses.Loss):  # type: ignore[misc]
        def call(self, y_true: object, y_pred: object) -> object:
            return y_pred

    model = trained()
    model.compile(loss=OwnLoss())
    model.save("own.keras")
    loaded = load_model("own.keras")
    assert loaded.output_shape == (None, CLASSES)
    assert takes_logits(compiled_loss(loaded)) is None


def test_code_in_a_file_runs_only_if_it_is_trusted(rgb: LabelledImages) -> None:
    images = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Lambda(lambda pixels: 255 - pixels)(images))
    original = keras.Model(images, keras.layers.Dense(CLASSES)(pooled))
    original.save("lambda.keras")
    with pytest.raises(ModelError, match="only if you trust the file: `lrdiag diagnose --trust`"):
        load_model("lambda.keras")
    loaded = load_model("lambda.keras", trust=True)
    pixels = rgb.images.astype("float32")
    np.testing.assert_allclose(loaded.predict(pixels, verbose=0), original.predict(pixels, verbose=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("absent.keras", "There is no such model file. Check the path. Received: absent.keras"),
        ("absent.h5", "There is no such model file"),
        (
            "absent",
            "must be a .keras or .h5 file, the folder of a run or of a SavedModel.*Received: 'absent', and there is no",
        ),
        ("folder", r"^The folder is empty.*Received: folder$"),
        ("broken.h5", "^The model file is empty.*Received: broken.h5$"),
        ("broken", "endpoint `serving_default`.*`model.export`. Received: broken: "),
        (f"{MODULE}:nothing", "must return a keras.Model. Received: NoneType"),
        (f"{MODULE}:only_classes", "Received: .* with classes"),
    ],
)
def test_a_missing_or_broken_trained_model_is_refused(spec: str, message: str) -> None:
    Path("folder").mkdir()
    Path("broken").mkdir()
    Path("broken", "saved_model.pb").write_bytes(b"")
    Path("broken.h5").write_bytes(b"")
    with pytest.raises(ModelError, match=message):
        load_model(spec, trust=True)


def rewritten(path: Path, config: Callable[[str], str] = str, **attributes: str) -> None:
    """Changes the configuration in an HDF5 file."""
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = config(file.attrs["model_config"])
        file.attrs.update(attributes)


def weights_only(path: Path) -> None:
    trained().save_weights("mine.weights.h5")
    Path("mine.weights.h5").rename(path)


def arrays_only(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros(3)


def of_a_custom_class(path: Path) -> None:
    class Doubled(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return 2 * inputs

    keras.Sequential([keras.Input((8, 8, 3)), Doubled(), keras.layers.Flatten()]).save(path)


def with_class(name: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        trained().save(path)
        rewritten(path, lambda config: config.replace('"Rescaling"', f'"{name}"'), keras_version="2.9.0")

    return write


def with_an_unknown_argument(path: Path) -> None:
    trained().save(path)
    rewritten(path, lambda config: config.replace('"scale":', '"groups": 3, "scale":'), keras_version="2.9.0")


def with_other_weights(path: Path) -> None:
    trained().save(path)
    rewritten(path, lambda config: config.replace('"units": 4', '"units": 5'))


def incomplete(path: Path) -> None:
    trained().save(path)
    path.write_bytes(path.read_bytes()[:-2000])


def written_by(version: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        trained().save("now.keras")
        with zipfile.ZipFile("now.keras") as now, zipfile.ZipFile(path, "w") as other:
            for name in now.namelist():
                content = now.read(name).replace(b'"scale":', b'"nova": 1, "scale":')
                other.writestr(name, json.dumps({"keras_version": version}) if name == "metadata.json" else content)

    return write


@pytest.mark.parametrize(
    ("write", "file", "message"),
    [
        (weights_only, "best.h5", r"file contains weights only, no model\. .*`model.load_weights`.*`module:function`"),
        (arrays_only, "data.h5", "HDF5 file contains no Keras model"),
        (of_a_custom_class, "mine.keras", "model contains `Doubled`.*register_keras_serializable.*`module:function`"),
        (of_a_custom_class, "mine.h5", "model contains `Doubled`.*register_keras_serializable.*`module:function`"),
        (with_class("KerasLayer"), "hub.h5", r"model contains a layer of TensorFlow Hub.*`model.export\(folder\)`"),
        (with_class("SlicingOpLambda"), "op.h5", "file was written by Keras 2 and contains operations.*`SlicingOpLamb"),
        (with_an_unknown_argument, "old.h5", r"file was written by Keras 2\.9\.0.*doesn't know groups of Rescaling"),
        (with_other_weights, "other.h5", "weights in the file don't fit its layers"),
        (incomplete, "cut.h5", "file is damaged or incomplete"),
        (written_by("2.15.0"), "old.keras", r"file was written by Keras 2\.15\.0.*`model.save\('model.h5'\)`"),
        (written_by("9.1"), "new.keras", r"file was written by Keras 9\.1, which is newer than .*Upgrade Keras"),
    ],
)
def test_a_file_that_keras_cannot_load_is_refused_with_the_reason_first(
    write: Callable[[Path], None], file: str, message: str
) -> None:
    write(Path(file))
    with pytest.raises(ModelError, match=f"^The {message}.*Received: {file}$") as refused:
        load_model(file)
    assert "Lambda layer" not in str(refused.value)


def test_a_checkpoint_is_recognised_by_its_name() -> None:
    Path("ckpt-1.index").write_bytes(b"x")
    with pytest.raises(ModelError, match="checkpoint of TensorFlow, which contains weights only"):
        load_model("ckpt-1")


def test_an_unpacked_keras_file_is_loaded() -> None:
    trained().save("unpacked", zipped=False)
    assert load_model("unpacked").output_shape == (None, CLASSES)


@pytest.mark.parametrize(
    ("shape", "takes"),
    [((32, 48, 1), (32, 48, 1)), ((None, None, 3), (None, None, 3))],
)
def test_the_shape_of_a_models_images(shape: tuple[int | None, ...], takes: tuple[int | None, ...]) -> None:
    assert takes_images(trained(shape)) == takes


class Silent(keras.Model):  # type: ignore[misc]
    def call(self, images: object) -> object:
        return images


def test_a_subclassed_model_gets_rgb_images() -> None:
    assert takes_images(Silent()) == (None, None, 3)


@pytest.mark.parametrize("shapes", [[(8, 8, 4)], [(64,)], [(8, 8, 3), (2,)]])
def test_a_model_without_one_image_input_is_refused(shapes: list[tuple[int, ...]]) -> None:
    inputs = [keras.Input(shape) for shape in shapes]
    flat = keras.layers.Concatenate()([keras.layers.Flatten()(each) for each in inputs] * 2)
    model = keras.Model(inputs, keras.layers.Dense(2)(flat))
    received = re.escape(" and ".join(str((None, *shape)) for shape in shapes))
    with pytest.raises(ModelError, match=rf"grey or RGB images.*`lrdiag.diagnose` in Python.*Received: {received}"):
        takes_images(model)
