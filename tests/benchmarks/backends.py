"""What lrdiag costs on TensorFlow, JAX and PyTorch, as ratios of neighbouring measurements. Run it on an idle machine.

    python tests/benchmarks/backends.py [--engines tensorflow,jax,torch] [--pairs 9] [--images 2000] [--steps 50]

Each engine runs in a process of its own, where TensorFlow cannot be imported unless it is the engine. Both works of a
ratio run in this process. The order within a pair alternates. The images are noise of the size of CIFAR-10, and the
networks are not trained.

- `explain`: `predict_and_explain` of the network `fast`, where a quarter of the images are mistakes, divided by one
  forward pass as a user of the engine writes it: `tf.function` of the model, `jax.jit` of `model.stateless_call`, and
  the model under `torch.no_grad`. Both get batches of 256 images from main memory and return NumPy arrays.
- `training`: `fit` with `OneCycleLR` and the recorder of `ReportCallback`, divided by `fit` without callbacks.
- `rate`: `fit` with `OneCycleLR`, divided by `fit` with a callback that sets `self.model.optimizer.learning_rate`.

`fast` is trained with batches of 128 images. The rate is also set for a tiny network, whose step takes one or two
milliseconds: an update of `fast` takes so long that the difference is lost in its noise.

Pairs of seconds are kept in `results/backends.json` as they come, and a pair that is there is not measured again.
`--out` names another folder, for trials with smaller sizes.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

GOALS = {"tensorflow": "≤ 1.10", "jax": "≤ 1.10", "torch": "≤ 1.20"}  # of `explain`
LOW, HIGH = 1e-6, 1e-5  # learning rates at which the network hardly changes


def explaining(images: int, pairs: int) -> list[list[float]]:
    """Measures the job of lrdiag and one forward pass over the same images."""
    from explain import by_bare_pass, with_mistakes
    from overhead import make_fast
    from workbench import noise

    pixels, labels = noise(images)
    return by_bare_pass(with_mistakes(make_fast(pixels, labels), pixels, 10), pairs)


class Training:
    """`fit` for some steps, compiled once.

    Args:
        make: Builds the network from images and labels.
        batch_size: Number of images of a step.
        steps: Number of steps of a `fit`.
    """

    def __init__(self, make: Callable[..., Any], batch_size: int, steps: int) -> None:
        import keras
        from workbench import noise

        self.data = noise(steps * batch_size)
        self.batch_size = batch_size
        self.model = make(*self.data)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(keras.optimizers.SGD(LOW, momentum=0.9), loss=loss, metrics=["accuracy"])

    def fit(self, *callbacks: Any) -> None:
        """Trains for one epoch."""
        self.model.fit(*self.data, batch_size=self.batch_size, verbose=0, callbacks=list(callbacks))

    def with_all(self) -> None:
        """Trains with a policy and with the recorder of `ReportCallback`."""
        from lrdiag import OneCycleLR
        from lrdiag.training.run_recorder import RunRecorder

        self.fit(OneCycleLR(HIGH), RunRecorder())

    def with_policy(self) -> None:
        """Trains with a policy."""
        from lrdiag import OneCycleLR

        self.fit(OneCycleLR(HIGH))

    def with_plain_callback(self) -> None:
        """Trains with a callback as a user of Keras writes it."""
        import keras

        class SetsRate(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
                self.model.optimizer.learning_rate = rates[batch]

        rates = np.linspace(LOW, HIGH, len(self.data[0]) // self.batch_size).tolist()
        self.fit(SetsRate())


def measurements(options: argparse.Namespace) -> Iterator[tuple[str, str, Callable[[], list[list[float]]]]]:
    """Yields figure, goal and work of each measurement on the engine of this process."""
    import keras
    from overhead import make_fast, make_tiny
    from peers import pairs

    yield "fast | explain", GOALS[keras.backend.backend()], partial(explaining, options.images, options.pairs)
    training, tiny = Training(make_fast, 128, options.steps), Training(make_tiny, 32, options.steps)
    yield "fast | training", "≤ 1.03", partial(pairs, training.with_all, training.fit, options.pairs)
    for name, each in (("fast", training), ("tiny", tiny)):
        yield f"{name} | rate", "≤ 1", partial(pairs, each.with_policy, each.with_plain_callback, options.pairs)


def measure(options: argparse.Namespace) -> None:
    """Measures what is missing on one engine, and prints its table."""
    from explain import line, quotients
    from workbench import Results, block_tensorflow

    from lrdiag.backend.device import device
    from lrdiag.backend.start import start_engine

    if options.engine != "tensorflow":
        block_tensorflow()
    start_engine()
    results = Results(f"{options.out}/backends")
    about = f"{platform.machine()}, {device()}, Python {platform.python_version()}"
    versions = ", ".join(f"{name} {version(name)}" for name in ("keras", options.engine))
    results.once(f"{options.engine} | machine", lambda: f"{about}, {versions}")
    rows = ["| Engine | What | Goal | Median | Quartiles | n |", "|---|---|---:|---:|---:|---:|"]
    for figure, goal, work in measurements(options):
        found = results.once(f"{options.engine} | {figure}", work)
        rows.append(line(options.engine, figure.replace(" |", ","), goal, quotients(found)))
    print("\n".join(rows), flush=True)


def main() -> None:
    """Starts a process for each engine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default="tensorflow,jax,torch", help="the Keras backends, in order")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--images", type=int, default=2_000, help="images to explain")
    parser.add_argument("--steps", type=int, default=50, help="steps of a training run")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        measure(options)
        return
    for engine in options.engines.split(","):
        command = [sys.executable, *sys.argv, "--engine", engine]
        subprocess.run(command, check=True, env={**os.environ, "KERAS_BACKEND": engine})


if __name__ == "__main__":
    main()
