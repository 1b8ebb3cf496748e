"""Time that lrdiag adds to training, as ratios of neighbouring measurements. Run it on an idle machine.

    python tests/benchmarks/overhead.py [--network tiny|fast] [--figures added|alternatives] [--pairs 15]

What lrdiag does, divided by what a user would write without it:

- `recording`: `fit` with `StepRecorder`, divided by the same `fit` without callbacks.
- `policy and recording`: `fit` with `CyclicLR` and `StepRecorder`, divided by the same.
- `report callback`: `fit` with a `ReportCallback` that records and writes no page, divided by the same. The time before
  the first step, in which it checks model and data, is left out: `before training` states it in seconds. So is its
  work at the end of an epoch, which `inspection.py` measures.
- `range test`: `find_lr` of 100 iterations, divided by a `fit` with `PlainRangeTest`, a Keras callback that does the
  same but restores nothing.

Other ways to train, as seconds per step divided by those of `fit` on `training_batches`, the way that lrdiag takes:
a loop of `train_on_batch`, several `steps_per_execution`, `fit` on arrays, and on an ordinary `tf.data` pipeline with
and without autotuning.

`fast` is the default network with batches of 128 images. `tiny` is a network of two small convolutions with batches of
32, whose step takes about a millisecond. The order within a pair alternates. `import lrdiag` is the difference, in
milliseconds, between a Python process that imports lrdiag and one that does nothing. Results are kept in
`results/overhead.json`.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import keras
import numpy as np
import tensorflow as tf

from lrdiag import CyclicLR, ReportCallback, find_lr
from lrdiag.data.batches import training_batches
from lrdiag.evaluation.evaluator import Evaluator
from lrdiag.models import build_network
from lrdiag.record.arrays import LabelledImages
from lrdiag.training.recorder import StepRecorder

RESULTS = Path(__file__).parent / "results" / "overhead.json"
SWEPT = 100
LOWEST, HIGHEST = 1e-7, 1e-5


def make_fast(images: LabelledImages) -> keras.Model:
    """The default network."""
    return build_network("fast", images, 10).model


def make_tiny(images: LabelledImages) -> keras.Model:
    """A network of two small convolutions, whose step consists almost only of overhead."""
    convolutions = [keras.layers.Conv2D(filters, 3, strides=2, activation="relu") for filters in (8, 16)]
    ends = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input(images.images.shape[1:]), *convolutions, *ends])


class PlainRangeTest(keras.callbacks.Callback):
    """A range test as one would write it: sets the rate, reads the loss of the batch, stops when it diverges."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []
        self.average, self.best = 0.0, np.inf

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = LOWEST * (HIGHEST / LOWEST) ** (batch / (SWEPT - 1))
        self.model.reset_metrics()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.losses.append(logs["loss"])
        self.average = 0.98 * self.average + 0.02 * self.losses[-1]
        smoothed = self.average / (1 - 0.98 ** len(self.losses))
        self.best = min(self.best, smoothed)
        if not np.isfinite(smoothed) or smoothed > 4 * self.best:
            self.model.stop_training = True


class Clock(keras.callbacks.Callback):
    """Measures the time from the beginning of the first epoch to the end of the last, and the time before."""

    def __init__(self) -> None:
        super().__init__()
        self.created = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds = time.perf_counter() - self.began


def seconds(work: Callable[[], Any]) -> float:
    """Wall time, or the time that the work itself returns."""
    started = time.perf_counter()
    measured = work()
    return measured if isinstance(measured, float) else time.perf_counter() - started


def ratios(work: Callable[[], Any], bare: Callable[[], Any], pairs: int) -> list[float]:
    """Returns the time of `work` divided by that of `bare`, once for each pair, after a warm-up of both."""
    work(), bare()
    measured = []
    for pair in range(pairs):
        both = (work, bare) if pair % 2 else (bare, work)
        times = {each: seconds(each) for each in both}
        measured.append(times[work] / times[bare])
    return measured


def random_images(count: int) -> LabelledImages:
    """Images without content."""
    generator = np.random.default_rng(0)
    return LabelledImages(
        generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), generator.integers(0, 10, count)
    )


def compiled(model: keras.Model, **options: Any) -> keras.Model:
    """The model with a rate that changes nothing."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-5, momentum=0.9), loss=loss, metrics=["accuracy"], **options)
    return model


def pipeline(images: LabelledImages, batch_size: int, autotune: bool) -> tf.data.Dataset:
    """The usual `tf.data` pipeline of an array."""
    options = tf.data.Options()
    options.autotune.enabled = autotune
    slices = tf.data.Dataset.from_tensor_slices((images.images, images.labels))
    return slices.shuffle(len(images)).batch(batch_size).prefetch(2).with_options(options)


def added(make: Callable[..., keras.Model], images: LabelledImages, batch_size: int, pairs: int) -> dict[str, Any]:
    """Measures what lrdiag adds, with one network."""
    model, data = compiled(make(images)), pipeline(images, batch_size, autotune=False)
    few = random_images(SWEPT * batch_size)
    before_training: list[float] = []

    def timed(*callbacks: Any) -> Clock:
        clock = Clock()
        model.fit(data, verbose=0, callbacks=[clock, *callbacks])  # first, so that it stops before the others
        return clock

    def fit(*callbacks: Any) -> float:
        return timed(*callbacks).seconds

    def with_policy() -> float:
        model.optimizer.iterations.assign(0)  # the cycle starts again
        return fit(CyclicLR(base_lr=1e-6, max_lr=1e-5, step_size=1000), StepRecorder())

    def reported() -> float:
        with tempfile.TemporaryDirectory() as folder:
            callback = ReportCallback(folder, (images.images, images.labels))
            callback.write = lambda: None  # the page is not a part of recording
            with patch.object(Evaluator, "rehearse", return_value=10):  # nor is the first batch, which is tried once
                clock = timed(callback)
        before_training.append(clock.began - clock.created)
        return clock.seconds

    def swept() -> None:
        ends = {"start_lr": LOWEST, "end_lr": HIGHEST}
        find_lr(model, few.images, few.labels, batch_size=batch_size, iterations=SWEPT, **ends)

    def plainly_swept() -> None:
        model.fit(few.images, few.labels, batch_size=batch_size, verbose=0, callbacks=[PlainRangeTest()])

    return {
        "recording": ratios(lambda: fit(StepRecorder()), fit, pairs),
        "policy and recording": ratios(with_policy, fit, pairs),
        "report callback": ratios(reported, fit, pairs),
        "before training, s": before_training[1:],
        "range test": ratios(swept, plainly_swept, pairs),
    }


def alternatives(
    make: Callable[..., keras.Model], images: LabelledImages, batch_size: int, pairs: int
) -> dict[str, Any]:
    """Measures other ways to train, with one network."""
    steps = len(images) // batch_size
    batches = training_batches(images, batch_size=batch_size, augment=(), seed=0)

    def fitted(*data: Any, per_execution: int = 1, **options: Any) -> Callable[[], float]:
        model = compiled(make(images), steps_per_execution=per_execution)

        def fit() -> float:
            clock = Clock()
            model.fit(*data, verbose=0, callbacks=[clock], **options)
            return clock.seconds

        return fit

    def looped() -> None:
        for inputs, labels in islice(iter(batches), steps):
            looping.train_on_batch(inputs, labels)

    looping = compiled(make(images))
    endless = {"steps_per_epoch": steps, "shuffle": False}
    works = {
        "train_on_batch": looped,
        "steps_per_execution=4": fitted(batches, per_execution=4, **endless),
        "steps_per_execution=16": fitted(batches, per_execution=16, **endless),
        "fit on arrays": fitted(images.images, images.labels, batch_size=batch_size),
        "fit on tf.data": fitted(pipeline(images, batch_size, autotune=True)),
        "fit on tf.data without autotuning": fitted(pipeline(images, batch_size, autotune=False)),
    }
    ours = fitted(batches, **endless)
    return {figure: ratios(work, ours, pairs) for figure, work in works.items()}


def import_milliseconds(pairs: int) -> list[float]:
    """Measures the time that `import lrdiag` adds to the start of Python."""

    def start(program: str) -> float:
        return 1000 * seconds(lambda: subprocess.run([sys.executable, "-c", program], check=True))

    return [start("import lrdiag") - start("pass") for _ in range(pairs)]


def show(figure: str, values: list[float]) -> None:
    """Prints the median and the quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    print(f"{figure:40} {middle:.3f} ({low:.3f}–{high:.3f})", flush=True)


NETWORKS: dict[str, tuple[Callable[..., keras.Model], int, int]] = {
    "tiny": (make_tiny, 32, 320),
    "fast": (make_fast, 128, 12),
}
"""How to make a network, its batch size, and the number of steps in a `fit`."""
FIGURES = {"added": added, "alternatives": alternatives}


def main() -> None:
    """Measures, prints and stores the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, help="measure only this one")
    parser.add_argument("--figures", choices=FIGURES, help="measure only these")
    parser.add_argument("--pairs", type=int, default=15)
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results["machine"] = f"{platform.machine()}, Python {platform.python_version()}, TensorFlow {tf.__version__}"
    results["import lrdiag, ms"] = import_milliseconds(options.pairs)
    for name in [options.network] if options.network else NETWORKS:
        make, batch_size, steps = NETWORKS[name]
        images = random_images(steps * batch_size)
        for figures in [options.figures] if options.figures else FIGURES:
            measured = FIGURES[figures](make, images, batch_size, options.pairs)
            results[name] = results.get(name, {}) | measured
            for figure, values in measured.items():
                show(f"{name} {figure}", values)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
