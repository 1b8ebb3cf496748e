"""The share of the speed of matrix multiplication that training reaches. Run it on an idle machine.

    python tests/benchmarks/gemm.py [--repeats 9]

The speed of float32 matrices of 2,048 × 2,048 in TensorFlow is the peak. A training step of `fast`, with batches of 256
images of 16, 24 and 32 pixels, follows directly in each repeat. Its operations are those of convolutions and dense
layers: one multiplication and one addition for each weight and position. A layer is computed once forward, once for the
gradient of its weights, and once for that of its inputs. The first two layers need less: the first is not trained, so
nothing before the second needs a gradient.

The operations per second are kept in `results/gemm.json`, in units of 10⁹.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

MATRIX, PRODUCTS = 2048, 10
SIZES, BATCH_SIZE, STEPS = (16, 24, 32), 256, 20


def gemm() -> float:
    """Operations per second of a product of matrices."""
    import tensorflow as tf
    from peers import seconds

    one, other = (tf.random.normal((MATRIX, MATRIX)) for _ in range(2))

    def products() -> None:
        for _ in range(PRODUCTS):
            product = one @ other
        product.numpy()

    products()
    return PRODUCTS * 2 * MATRIX**3 / seconds(products) / 1e9


def at_size(fast: Any, size: int) -> Any:
    """The network for images of one size, compiled as in training."""
    import keras

    from lrdiag.models.resizable import at_any_size

    inputs = keras.Input((size, size, 3), dtype=fast.inputs[0].dtype)
    model = keras.models.clone_model(at_any_size(fast, (size, size), 3), input_tensors=inputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-5, momentum=0.9), loss=loss, metrics=["accuracy"])
    return model


def operations(model: Any) -> float:
    """Operations of a training step for one image."""
    layers = [layer for layer in model.layers if getattr(layer, "kernel", None) is not None]
    total = 0.0
    for place, layer in enumerate(layers):
        positions = math.prod(layer.output.shape[1:-1])
        first_trained = next(place for place, each in enumerate(layers) if each.trainable)
        passes = 1 if place < first_trained else 2 if place == first_trained else 3
        total += passes * 2 * positions * math.prod(layer.kernel.shape)
    return total


def step(model: Any) -> float:
    """Operations per second of training steps."""
    import tensorflow as tf
    from peers import seconds

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (BATCH_SIZE, *model.input_shape[1:])).astype(np.float32)
    options = tf.data.Options()
    options.autotune.enabled = False  # with it, the end of a pass waits for a thread that sleeps
    batch = tf.data.Dataset.from_tensors((images, generator.integers(0, 10, BATCH_SIZE)))
    batches = batch.repeat(STEPS).with_options(options)
    model.fit(batches, verbose=0, shuffle=False)
    taken = seconds(lambda: model.fit(batches, verbose=0, shuffle=False))
    return STEPS * BATCH_SIZE * operations(model) / taken / 1e9


def main() -> None:
    """Measures and stores the speeds."""
    from workbench import Results, machine, noise

    from lrdiag.models import build_network
    from lrdiag.record.arrays import LabelledImages

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    fast = build_network("fast", LabelledImages(*noise(1000)), 10).model
    models = {f"{size} px": at_size(fast, size) for size in SIZES}

    def measured() -> list[dict[str, float]]:
        return [{"gemm": gemm(), **{name: step(model) for name, model in models.items()}} for _ in range(repeats)]

    results = Results("gemm")
    results.once("machine", machine)
    results.once("gigaflops", measured)
    results.once("operations", lambda: {name: operations(model) for name, model in models.items()})


if __name__ == "__main__":
    from lrdiag.backend.start import start_engine

    start_engine()
    main()
