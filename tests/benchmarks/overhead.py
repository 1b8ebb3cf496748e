"""Time that lrdiag adds to training, as ratios of neighbouring measurements. Run it on an idle machine.

    python tests/benchmarks/overhead.py [--pairs 15]

- `recording`: `fit` with `CyclicLR` and `StepRecorder`, divided by the same `fit` without callbacks.
- `report callback`: `fit` with a `ReportCallback` that records and writes no page, divided by the same.
- `range test`: `find_lr` of 100 iterations, divided by a `fit` of 100 steps.

Measured with `fast` and batches of 128 images, and with a tiny network whose step takes one or two milliseconds. The
order within a pair alternates. `import lrdiag` is the difference, in milliseconds, between a Python process that
imports lrdiag and one that does nothing. Results are kept in `results/overhead.json`.
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
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

RESULTS = Path(__file__).parent / "results" / "overhead.json"
STEPS = 100


def make_fast(images: np.ndarray, labels: np.ndarray) -> Any:
    """The default network."""
    from lrdiag.models import build_network
    from lrdiag.record.arrays import LabelledImages

    return build_network("fast", LabelledImages(images, labels), 10).model


def make_tiny(images: np.ndarray, labels: np.ndarray) -> Any:
    """A network whose step consists almost only of overhead."""
    import keras

    flat = [keras.Input(images.shape[1:]), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    return keras.Sequential([*flat, keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)])


def seconds(work: Callable[[], Any]) -> float:
    """Wall time."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ratios(work: Callable[[], Any], bare: Callable[[], Any], pairs: int) -> list[float]:
    """Returns the time of `work` divided by that of `bare`, once for each pair, after a warm-up of both."""
    work(), bare()
    measured = []
    for pair in range(pairs):
        both = (work, bare) if pair % 2 else (bare, work)
        times = {each: seconds(each) for each in both}
        measured.append(times[work] / times[bare])
    return measured


def measure(make: Callable[..., Any], batch_size: int, pairs: int) -> dict[str, list[float]]:
    """Measures all ratios with one network."""
    import keras

    from lrdiag import CyclicLR, ReportCallback, find_lr
    from lrdiag.evaluation.evaluator import Evaluator
    from lrdiag.training.recorder import StepRecorder

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (STEPS * batch_size, 32, 32, 3), dtype=np.uint8)
    labels = generator.integers(0, 10, len(images))
    model = make(images, labels)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-5, momentum=0.9), loss=loss, metrics=["accuracy"])

    def fit(*callbacks: Any) -> None:
        model.fit(images, labels, batch_size=batch_size, verbose=0, callbacks=list(callbacks))

    def recorded() -> None:
        model.optimizer.iterations.assign(0)  # the cycle starts again
        fit(CyclicLR(base_lr=1e-6, max_lr=1e-5, step_size=(STEPS - 1) / 2), StepRecorder())

    def reported() -> None:
        with tempfile.TemporaryDirectory() as folder:
            callback = ReportCallback(folder, (images, labels))
            callback.write = lambda: None  # the page is not a part of recording
            with patch.object(Evaluator, "rehearse", return_value=10):  # nor is the first batch, which is tried once
                fit(callback)

    def swept() -> None:
        find_lr(model, images, labels, batch_size=batch_size, iterations=STEPS, start_lr=1e-7, end_lr=1e-5)

    works = {"recording": recorded, "report callback": reported, "range test": swept}
    return {figure: ratios(work, fit, pairs) for figure, work in works.items()}


def import_milliseconds(pairs: int) -> list[float]:
    """Measures the time that `import lrdiag` adds to the start of Python."""

    def start(program: str) -> float:
        return 1000 * seconds(lambda: subprocess.run([sys.executable, "-c", program], check=True))

    return [start("import lrdiag") - start("pass") for _ in range(pairs)]


def show(figure: str, values: list[float]) -> None:
    """Prints the median and the quartiles."""
    quartiles = statistics.quantiles(values, n=4)
    print(f"{figure:20} {statistics.median(values):.3f} ({quartiles[0]:.3f}–{quartiles[2]:.3f})", flush=True)


def main() -> None:
    """Measures, prints and stores the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    options = parser.parse_args()
    results: dict[str, Any] = {"machine": f"{platform.machine()}, Python {platform.python_version()}"}
    results["import lrdiag, ms"] = import_milliseconds(options.pairs)
    show("import lrdiag, ms", results["import lrdiag, ms"])
    for name, make, batch_size in (("fast", make_fast, 128), ("tiny", make_tiny, 32)):
        for figure, values in measure(make, batch_size, options.pairs).items():
            results[f"{name} {figure}"] = values
            show(f"{name} {figure}", values)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    from lrdiag.backend.start import start_engine

    start_engine()
    main()
