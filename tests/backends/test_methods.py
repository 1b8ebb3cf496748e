"""Every method gives the same maps on TensorFlow, JAX and PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

SHAPE, CLASSES = (8, 8, 3), 5
METHODS = ("gradcam", "hirescam", "gradcam++", "layercam", "scorecam", "saliency", "smoothgrad")
IMAGES = np.random.default_rng(0).integers(0, 256, (11, *SHAPE), "uint8")
LABELS = np.random.default_rng(1).integers(0, CLASSES, 11)

SCRIPT = f"""
import sys
import keras, numpy as np
from lrdiag.errors import ModelError
from lrdiag.explain.gradcam import GradCAM
from lrdiag.explain.independent import compare_with_keras_vis

assert keras.config.backend() == sys.argv[1]
given = np.load("given.npz")
images, labels, found = given["images"], given["labels"], {{}}
one, two = keras.models.load_model("one.keras"), keras.models.load_model("two.keras")
for method in {METHODS}:
    explainer = GradCAM(one, method=method, batch_size=8)
    found[method + " of the predicted class"] = explainer.maps(images)
    predictions, heatmaps = explainer.predict_and_explain(images, labels)
    found[method + " of the mistakes"] = np.stack([heatmaps.signed_predicted, heatmaps.signed_true])
    found["mistakes " + method] = heatmaps.indices
    if heatmaps.means is not None:
        found[method + " on average"] = np.stack([heatmaps.means.right, heatmaps.means.wrong])
    found[method + " of two images"] = GradCAM(two, method=method).maps([images, images[::-1]], labels)
for method in ("saliency", "smoothgrad"):
    try:
        GradCAM(keras.models.load_model("rounding.keras"), method=method).maps(images)
    except ModelError as error:
        assert str(error).startswith("No gradient flows from the scores to the image"), error
    else:
        raise AssertionError("a model that rounds its images has no gradient")
if sys.argv[1] != "tensorflow":
    explainer = GradCAM(one)
    check = compare_with_keras_vis(explainer.predictor.opened, explainer.layer, images, explainer.maps(images), labels)
    assert (check.images, check.skipped) == (0, "tf-keras-vis runs on TensorFlow only")
    assert not {{"tensorflow", "tf_keras_vis"}} & set(sys.modules)
np.savez(sys.argv[1], **found)
"""


def one_image() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(6, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(8, activation="tanh"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def two_images() -> keras.Model:
    inputs = [keras.Input(SHAPE, name=name) for name in ("one", "other")]
    shared = layers.Conv2D(3, 3, activation="relu")
    both = [layers.Flatten()(shared(layers.Rescaling(1 / 255)(each))) for each in inputs]
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.Concatenate()(both)))


def rounding() -> keras.Model:
    inputs = keras.Input(SHAPE)
    whole = ops.cast(ops.cast(inputs, "int32"), "float32")
    features = layers.Conv2D(3, 3, activation="relu")(layers.Rescaling(1 / 255)(whole))
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.Flatten()(features)))


@pytest.mark.slow
def test_every_engine_gives_the_same_maps(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    for name, build in (("one", one_image), ("two", two_images), ("rounding", rounding)):
        build().save(tmp_path / f"{name}.keras")
    np.savez(tmp_path / "given.npz", images=IMAGES, labels=LABELS)
    found = {}
    for engine in ("tensorflow", "jax", "torch"):
        subprocess.run(
            [sys.executable, "-c", SCRIPT, engine],
            cwd=tmp_path,
            env={**os.environ, "KERAS_BACKEND": engine},
            check=True,
        )
        found[engine] = dict(np.load(tmp_path / f"{engine}.npz"))
    expected = found.pop("tensorflow")
    assert all(0 < len(expected[f"mistakes {method}"]) < 11 for method in METHODS)
    for engine, of_engine in found.items():
        assert of_engine.keys() == expected.keys()
        for name, maps in expected.items():
            assert np.abs(maps).max() > 1e-4
            np.testing.assert_allclose(
                of_engine[name], maps, rtol=0, atol=1e-5 * np.abs(maps).max(), err_msg=f"{engine}: {name}"
            )
