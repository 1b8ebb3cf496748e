"""Grad-CAM with other tools, and the functions that measure all tools alike.

`explain.py` runs this file as a script in an environment that has Xplique, on a folder that it has prepared:

    ENVIRONMENT/bin/python tests/benchmarks/peers.py FOLDER PAIRS

The script prints JSON. The other tools run in the same process as lrdiag.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

BATCH_SIZES = (32, 64, 128, 256, 512)
SAMPLE = max(BATCH_SIZES)  # images that determine the best batch size of a tool

Maps = Callable[[np.ndarray, np.ndarray], np.ndarray]  # from images and one class for each to heatmaps


# --- tools that make heatmaps -----------------------------------------------------------------------------------------


def tf_keras_vis(model: Any, layer: str, batch_size: int) -> Maps:
    """tf-keras-vis, without enlarging and rescaling, which lrdiag leaves to the drawing."""
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.scores import CategoricalScore

    gradcam = Gradcam(model)

    def maps(images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        parts = [
            gradcam(
                CategoricalScore(classes[batch].tolist()),
                images[batch],
                penultimate_layer=layer,
                seek_penultimate_conv_layer=False,
                expand_cam=False,
                normalize_cam=False,
            )
            for batch in batches(len(images), batch_size)
        ]
        return np.concatenate(parts)

    return maps


def one_by_one(model: Any, layer: str) -> Maps:
    """The loop of the article: eager, one image for each call, the heatmap divided by its peak."""
    import keras
    import tensorflow as tf

    both = keras.Model(model.inputs, [model.get_layer(layer).output, model.outputs[0]])

    def one(image: np.ndarray, label: int) -> np.ndarray:
        with tf.GradientTape() as tape:
            features, scores = both(image[None], training=False)
            score = scores[:, label]
        weights = tf.reduce_mean(tape.gradient(score, features), axis=(0, 1, 2))
        heat = tf.nn.relu(tf.reduce_mean(features[0] * weights, axis=-1))
        return np.asarray(tf.math.divide_no_nan(heat, tf.reduce_max(heat)))

    def maps(images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return np.stack([one(image, label) for image, label in zip(images, classes, strict=True)])

    return maps


def xplique(model: Any, layer: str, batch_size: int) -> Maps:
    """Xplique, which always enlarges its heatmaps to the size of the image."""
    from xplique.attributions import GradCAM

    explainer = GradCAM(model, batch_size=batch_size, conv_layer=layer)
    classes_as_rows = np.eye(model.outputs[0].shape[1], dtype=np.float32)

    def maps(images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        return np.asarray(explainer(images, classes_as_rows[classes]))[..., 0]

    return maps


def torchvision_network(name: str, layer_of: Callable[[Any], Any]) -> tuple[Any, Any]:
    """A network of torchvision with random weights, in inference mode, and its last feature map."""
    import torch

    try:
        from torchvision import models
    except RuntimeError:  # its compiled operations do not fit this build of PyTorch. Its networks need none of them
        signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for operation in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operation}", signature)
        from torchvision import models
    torch.manual_seed(0)
    model = getattr(models, name)(weights=None).eval()
    return model, layer_of(model)


def pytorch_grad_cam(model: Any, layer: Any, batch_size: int) -> Maps:
    """pytorch-grad-cam, which always enlarges its heatmaps to the size of the image."""
    import torch
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    gradcam = GradCAM(model, [layer])

    def maps(images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        parts = [
            gradcam(torch.from_numpy(images[batch]), [ClassifierOutputTarget(label) for label in classes[batch]])
            for batch in batches(len(images), batch_size)
        ]
        return np.concatenate(parts)

    return maps


def captum(model: Any, layer: Any, batch_size: int) -> Maps:
    """`LayerGradCam` of captum."""
    import torch
    from captum.attr import LayerGradCam

    gradcam = LayerGradCam(model, layer)

    def maps(images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        parts = [
            gradcam.attribute(torch.from_numpy(images[batch]), torch.from_numpy(classes[batch])).numpy(force=True)
            for batch in batches(len(images), batch_size)
        ]
        return np.concatenate(parts)

    return maps


# --- measuring --------------------------------------------------------------------------------------------------------


def forward(model: Any, batch_size: int) -> Callable[[np.ndarray], np.ndarray]:
    """The forward pass without heatmaps, as a user writes it for the engine that Keras runs on. Returns the scores.

    TensorFlow and JAX compile it. TensorFlow's is compiled once for batches of all sizes.
    """
    import keras

    score, as_array = _PASSES[keras.backend.backend()](model)

    def run(images: np.ndarray) -> np.ndarray:
        return np.concatenate([as_array(score(images[batch])) for batch in batches(len(images), batch_size)])

    return run


def _tensorflow(model: Any) -> tuple[Callable[..., Any], Callable[..., np.ndarray]]:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.uint8)])
    def score(images: Any) -> Any:
        return model(images, training=False)

    return score, np.asarray


def _jax(model: Any) -> tuple[Callable[..., Any], Callable[..., np.ndarray]]:
    import jax

    @jax.jit
    def stateless(weights: Any, state: Any, images: Any) -> Any:
        return model.stateless_call(weights, state, images, training=False)[0]

    weights, state = (
        [each.value for each in some] for some in (model.trainable_variables, model.non_trainable_variables)
    )
    return lambda images: stateless(weights, state, images), np.asarray


def _torch(model: Any) -> tuple[Callable[..., Any], Callable[..., np.ndarray]]:
    import torch

    @torch.no_grad()
    def score(images: np.ndarray) -> Any:
        return model(images, training=False)

    return score, lambda scores: scores.numpy(force=True)


_PASSES = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


def torch_forward(model: Any, batch_size: int) -> Callable[[np.ndarray], np.ndarray]:
    """The forward pass of a network of PyTorch itself. Returns the scores."""
    import torch

    @torch.no_grad()
    def run(images: np.ndarray) -> np.ndarray:
        parts = [model(torch.from_numpy(images[batch])) for batch in batches(len(images), batch_size)]
        return torch.cat(parts).numpy()

    return run


def batches(count: int, batch_size: int) -> Iterator[slice]:
    """The slice of each batch."""
    return (slice(start, start + batch_size) for start in range(0, count, batch_size))


def seconds(work: Callable[[], Any]) -> float:
    """Wall time."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def pairs(work: Callable[[], Any], other: Callable[[], Any], count: int) -> list[list[float]]:
    """Seconds of `work` and of `other`, `count` times in alternating order, after a warm-up of both."""
    work(), other()
    measured = []
    for turn in range(count):
        both = (work, other) if turn % 2 else (other, work)
        times = {each: seconds(each) for each in both}
        measured.append([times[work], times[other]])
    return measured


def best_batch_size(peer: Callable[[int], Maps], images: np.ndarray, classes: np.ndarray) -> int:
    """Returns the fastest of `BATCH_SIZES` for a tool: the best of three runs of each, after a warm-up."""
    images, classes = images[:SAMPLE], classes[:SAMPLE]

    def best_of_three(batch_size: int) -> float:
        maps = peer(batch_size)
        return min([seconds(lambda: maps(images, classes)) for _ in range(4)][1:])

    return min(BATCH_SIZES, key=best_of_three)


def same(theirs: np.ndarray, ours: np.ndarray) -> bool:
    """Whether both tools return the same heatmaps, within a ten-thousandth of the highest peak."""
    return bool(np.allclose(theirs, ours, rtol=0, atol=1e-4 * ours.max()))


# --- Xplique in its own environment -----------------------------------------------------------------------------------


def main(folder: Path, count: int) -> None:
    """Measures the whole job of Xplique and the forward pass in its own environment."""
    import importlib.metadata

    import keras
    import tensorflow as tf

    job = np.load(folder / "job.npz")
    model = keras.models.load_model(folder / "logits.keras", compile=False)
    images, wrong, predicted, true = (job[name] for name in ("images", "wrong", "predicted", "true"))
    mistakes = images[wrong].astype(np.float32)

    def peer(batch_size: int) -> Maps:
        return xplique(model, str(job["layer"]), batch_size)

    batch_size = best_batch_size(peer, mistakes, predicted)
    maps, bare = peer(batch_size), forward(model, int(job["batch_size"]))
    ours = tf.image.resize(job["maps"][..., None], images.shape[1:3], method="bicubic").numpy()[..., 0]
    if not same(maps(mistakes, predicted), ours):
        raise SystemExit("Xplique returns other heatmaps than lrdiag.")

    def whole() -> None:
        bare(images), maps(mistakes, predicted), maps(mistakes, true)

    versions = {name: importlib.metadata.version(name) for name in ("xplique", "tensorflow", "keras")}
    measured = pairs(whole, lambda: bare(images), count)
    print(json.dumps({"versions": versions, "batch_size": batch_size, "pairs": measured}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
