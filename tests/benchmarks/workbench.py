"""Parts shared by benchmarks: stored results, and networks that can be reset to their initial state."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np

TRAIN_IMAGES, TEST_IMAGES = 20_000, 4_000  # of CIFAR-10, the same number of each class

SEEDS = (0, 1, 2)
SWEEP = 100  # updates of a range test, the default of `find_lr`
HALF_DECADE = math.sqrt(10)
# Findings that are not about how a model is trained: no false alarms.
ABOUT_CLASSES = {"weak-class", "over-predicted-class", "confused-pair", "never-predicted-class", "no-heatmaps"}


def climb(score: Callable[[float], float], rate: float) -> float:
    """Searches a grid with steps of half a decade until neither neighbour of the best rate is better."""
    while True:
        scores = {each: score(each) for each in (rate, rate / HALF_DECADE, rate * HALF_DECADE)}
        best = max(scores, key=scores.__getitem__)
        if best == rate:
            return rate
        rate = best


def noise(count: int, size: int = 32, classes: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Returns `uint8` images without meaning, and random labels."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return images, generator.integers(0, classes, count)


def boundaries(measured: dict[str, list[float]], optimizer: str) -> tuple[float, float]:
    """Reads the boundaries from a range test with the current rule."""
    from lrdiag.rate.range_test import RangeTest, Sweep

    return RangeTest((Sweep(**measured, adaptive=optimizer != "sgd"),)).bounds()


class _Blocked(Loader):
    """Finds TensorFlow, and fails to load it. PyTorch asks where the module is without importing it."""

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.partition(".")[0] == "tensorflow" else None

    def create_module(self, spec: ModuleSpec) -> Any:
        raise ModuleNotFoundError("TensorFlow is blocked", name=spec.name)

    def exec_module(self, module: Any) -> None:
        """Is never called."""


def block_tensorflow() -> None:
    """Makes every import of TensorFlow fail.

    `None` in `sys.modules` would do the same, but Keras then behaves as if TensorFlow had been imported.
    """
    sys.meta_path.insert(0, _Blocked())


def machine() -> str:
    """The machine in words."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


class Results:
    """A JSON file of results, written as they come. None is measured twice. Delete the file to start over."""

    def __init__(self, name: str) -> None:
        self.path = Path(__file__).parent / "results" / f"{name}.json"
        self.values: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """Returns the result under `key`, and measures it first if it is missing."""
        if key not in self.values:
            started = time.perf_counter()
            self.values[key] = make()
            self.path.parent.mkdir(exist_ok=True)
            temporary = self.path.with_suffix(".tmp")
            temporary.write_text(json.dumps(self.values, indent=0) + "\n")
            os.replace(temporary, self.path)
            shown = self.values[key] if isinstance(self.values[key], float) else ""
            print(f"{key}: {shown} ({time.perf_counter() - started:.0f} s)", flush=True)
        return self.values[key]


class Workbench:
    """One network with one seed, compiled once, and reset to its initial state before each training run."""

    def __init__(
        self,
        *,
        data: str,
        model: str,
        optimizer: str,
        batch_size: int,
        seed: int,
        data_dir: str,
        augment: Sequence[str] = (),
    ) -> None:
        self.data, self.model_name, self.optimizer, self.batch_size = data, model, optimizer, batch_size
        self.seed, self.data_dir, self.augment = seed, data_dir, augment
        self.model: Any = None

    def set_up(self) -> None:
        """Reads the data, builds and compiles the network, and stores its initial state."""
        import keras

        from lrdiag.backend.state import TrainingState
        from lrdiag.data import load_dataset
        from lrdiag.models import build_network
        from lrdiag.progress import Silence
        from lrdiag.settings import Settings
        from lrdiag.training.fit import compile_network

        limits = {"limit_train": TRAIN_IMAGES, "limit_test": TEST_IMAGES} if self.data == "cifar10" else {}
        keras.backend.clear_session()
        keras.utils.set_random_seed(self.seed)
        self.dataset = load_dataset(Settings(data=self.data, data_dir=Path(self.data_dir), **limits), Silence())
        network = build_network(self.model_name, self.dataset.train, len(self.dataset.classes))
        compile_network(network, self.optimizer, 0.01)
        self.model = network.model
        self._beginning = TrainingState(self.model)

    def batches(self) -> Any:
        """Returns infinite batches, in the same order for every training run with this seed."""
        from lrdiag.data.batches import training_batches

        train = self.dataset.train
        return training_batches(train, batch_size=self.batch_size, augment=self.augment, seed=self.seed)

    def range_test(self) -> dict[str, list[float]]:
        """Returns the rates and losses of a range test from the initial state."""
        from lrdiag import find_lr

        self._begin()
        test = find_lr(self.model, self.batches(), iterations=SWEEP)
        return {"learning_rates": test.learning_rates, "losses": test.losses}

    def accuracy(self, steps: int, *callbacks: Any, learning_rate: float = 0.01) -> float:
        """Returns the test accuracy after a training run from the initial state."""
        import keras

        self._begin()
        self.model.optimizer.learning_rate = learning_rate
        self.model.fit(
            self.batches(),
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
            callbacks=[*callbacks, keras.callbacks.TerminateOnNaN()],
        )
        return self.evaluate()

    def evaluate(self) -> float:
        """Returns the current test accuracy."""
        from lrdiag.data.batches import evaluation_batches

        batches = evaluation_batches(self.dataset.test, 500)
        return float(self.model.evaluate(batches, verbose=0, return_dict=True)["accuracy"])

    def _begin(self) -> None:
        if self.model is None:
            self.set_up()
        self._beginning.restore()
