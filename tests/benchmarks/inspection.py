"""What the checks of a training run cost, with `fast` and the CIFAR-10 arrays. Run it on an idle machine.

    LRDIAG_DATA_DIR=DIR [KERAS_BACKEND=jax] python tests/benchmarks/inspection.py [--times 9]

- `before training, s`: seconds from the beginning of `fit` to the first step, for a new model each time: data, layers,
  a forward and a backward pass, the trial of the optimizer, and all rules.
- `epoch, steps`: what the end of an epoch costs, divided by a training step of 128 images measured beside it.
- `step, µs`: what a step costs beside the recording that `overhead.py` measures.

Results are kept in `results/inspection.json`, by backend.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "inspection.json"
BATCH_SIZE = 128
EPOCHS = 3
STEPS = 30
CALLS = 100_000


def seconds(work: Callable[[], Any]) -> float:
    """Wall time."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(times: int) -> dict[str, list[float]]:
    """Measures all three figures, `times` times each."""
    import keras

    from lrdiag.data import load_dataset
    from lrdiag.diagnosis.check_settings import CheckSettings
    from lrdiag.inspection.images import GivenImages
    from lrdiag.models import build_network
    from lrdiag.progress import SILENCE
    from lrdiag.settings import Settings
    from lrdiag.training.fit import compile_network
    from lrdiag.watch import Watch

    folder = Path(os.environ["LRDIAG_DATA_DIR"])
    data = load_dataset(Settings(data="cifar10", data_dir=folder), SILENCE)
    training = GivenImages("the arrays that fit received", data.train.images, data.train.labels, BATCH_SIZE)
    validation = GivenImages("the test set", data.test.images, data.test.labels)
    updates = EPOCHS * len(data.train) // BATCH_SIZE
    results: dict[str, list[float]] = {"before training, s": [], "epoch, steps": [], "step, µs": []}
    for _ in range(times):
        network = build_network("fast", data.train, 10)
        compile_network(network, "sgd", 0.1)
        model = network.model
        model.fit(data.train.images[:BATCH_SIZE], data.train.labels[:BATCH_SIZE], batch_size=BATCH_SIZE, verbose=0)
        watch = Watch(model, print, settings=CheckSettings(), made_by="callback")

        def begin(watch: Watch = watch) -> None:
            watch.begin(training, validation, updates=updates, callbacks=(), is_first=True)

        results["before training, s"].append(seconds(begin))
        few = data.train.images[: STEPS * BATCH_SIZE], data.train.labels[: STEPS * BATCH_SIZE]
        step = seconds(lambda: model.fit(*few, batch_size=BATCH_SIZE, verbose=0)) / STEPS  # noqa: B023

        def end_epoch(watch: Watch = watch) -> None:
            watch.inspector.look_at_epoch(1, STEPS)
            watch.check("during training", None)

        results["epoch, steps"].append(seconds(end_epoch) / step)

        def steps(watch: Watch = watch) -> None:
            for _ in range(CALLS):
                watch.is_alarming(1.0)

        results["step, µs"].append(1e6 * seconds(steps) / CALLS)
        keras.backend.clear_session(free_memory=False)
    return results


def main() -> None:
    """Measures, prints and stores the figures of one backend."""
    import keras

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=9)
    results = measure(parser.parse_args().times)
    for figure, values in results.items():
        print(f"{figure:20} {statistics.median(values):.3f} ({min(values):.3f}–{max(values):.3f})", flush=True)
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    kept[keras.config.backend()] = {"machine": machine, **results}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    from lrdiag.backend.start import start_engine

    start_engine()
    main()
