"""The engine Ray: the report of one process, also if a worker is killed, and one message for each fault."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from fixtures.same_report import differences

import lrdiag
from lrdiag.engines import ray as engine
from lrdiag.errors import DataError, LrdiagError, ModelError
from lrdiag.progress import Silence

if os.environ.get("LRDIAG_REQUIRE_BACKENDS"):
    import ray
else:
    ray = pytest.importorskip("ray", reason="ray is not installed")
data = pytest.importorskip("ray.data", reason="ray[data] is not installed")
psutil = pytest.importorskip("psutil", reason="psutil is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed with a signal of POSIX"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]

generator = np.random.default_rng(0)
IMAGES, LABELS = generator.random((155, 8, 8, 1), "float32"), generator.integers(0, 3, 155)
L = keras.layers


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    head = [L.GlobalAveragePooling2D(), L.Dense(3, activation="softmax")]
    return keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(4, 3, activation="relu"), *head], name="tiny")


def dataset() -> Any:
    return data.from_items([{"image": image, "label": label} for image, label in zip(IMAGES, LABELS, strict=True)])


class KillsAWorker(Silence):
    """Kills a worker as soon as another has evaluated a part."""

    def __init__(self) -> None:
        self.killed: list[int] = []

    @contextmanager
    def stage(self, title: str, total: int | None = None, unit: str = "") -> Iterator[Silence]:
        self._is_evaluating = title == "Evaluating with Ray"
        yield self

    def advance(self, steps: int = 1, note: str = "") -> None:
        if self._is_evaluating and not self.killed:
            workers = [each for each in psutil.Process().children(recursive=True) if is_worker(each)]
            os.kill(workers[0].pid, signal.SIGKILL)
            self.killed.append(workers[0].pid)


def is_worker(process: Any) -> bool:
    return "ray::_Worker" in " ".join(process.cmdline())


def test_the_report_is_that_of_one_process_although_a_worker_is_killed(model: keras.Model) -> None:
    progress = KillsAWorker()
    report = lrdiag.diagnose(model, dataset(), engine="ray", workers=2, batch_size=8, progress=progress)
    assert len(progress.killed) == 1
    assert differences(lrdiag.diagnose(model, IMAGES, LABELS, batch_size=8), report) == []


def test_an_error_in_a_worker_is_raised_as_it_is(model: keras.Model) -> None:
    with pytest.raises(ModelError) as caught:
        lrdiag.diagnose(model, dataset(), engine="ray", workers=1, output="other")
    with pytest.raises(ModelError) as local:
        lrdiag.diagnose(model, IMAGES, LABELS, output="other")
    assert str(caught.value) == str(local.value)


def test_another_error_in_a_worker_names_the_parts_that_are_kept(tmp_path: Path) -> None:
    with pytest.raises(LrdiagError) as caught:
        engine.parts_by_ray(partial(os.listdir, "missing"), [1], 1, tmp_path)
    assert str(caught.value) == (
        f"A worker of Ray could not evaluate its part. The parts that are complete are in {tmp_path}. "
        "Received: FileNotFoundError: [Errno 2] No such file or directory: 'missing'"
    )


def test_a_worker_that_always_ends_gives_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RESTARTS", 0)
    with pytest.raises(LrdiagError) as caught:
        engine.parts_by_ray(os.abort, [1], 1, tmp_path)
    assert str(caught.value).startswith(
        "The processes of Ray's workers must not end. Ray started one 0 times again. If the memory does not suffice, "
        f"use fewer workers. The parts that are complete are in {tmp_path}. Received: "
    )


def test_data_that_can_not_be_used_is_refused(model: keras.Model) -> None:
    two_sizes = data.from_items([{"image": np.zeros((8, side, 1)), "label": 0} for side in (8, 9)])
    for given, message in [
        (data.range(3), "Received: the columns id"),
        (IMAGES, "data must be a ray.data.Dataset. Received: ndarray"),
        (two_sizes, "Received: the shapes (8, 8, 1) and (8, 9, 1)"),
        (dataset().filter(lambda row: row["label"] > 5), "Received: an empty ray.data.Dataset"),
    ]:
        with pytest.raises(DataError) as caught:
            lrdiag.diagnose(model, given, engine="ray")
        assert str(caught.value).endswith(message)
