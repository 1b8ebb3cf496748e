"""Evaluates the parts of a test set with Ray. Ray starts the workers, divides the work, and restarts killed workers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from lrdiag.backend.engine import engine_name
from lrdiag.errors import DataError, LrdiagError, ModelError, SettingsError, require_count
from lrdiag.parts import IMAGES_OF_A_BATCH, Part, batches_of_part, diagnose_part, merge
from lrdiag.progress import SILENCE, Progress

if TYPE_CHECKING:
    from lrdiag.report.report import Report

RESTARTS = 3
"""How often Ray starts a worker again whose process has ended."""
PARTS_OF_A_WORKER = 4
_COLUMNS = ("image", "label")

Evaluate = Callable[[Any], Part]
"""Evaluates what a task describes."""


def parts_by_ray(
    prepare: Callable[[], Evaluate],
    tasks: Sequence[Any],
    workers: int | None,
    folder: Path,
    progress: Progress = SILENCE,
) -> list[Path]:
    """Evaluates parts on the workers of Ray, and saves each as soon as it is there.

    Ray is started on this machine unless it runs already, or the environment variable `RAY_ADDRESS` names a cluster.

    Args:
        prepare: Is called once in each worker, before its first task. It loads the model, and returns the function that
            evaluates a task.
        tasks: One for each part.
        workers: Number of workers, or `None` for one on each CPU of the cluster, or on each GPU if it has any.
        folder: Receives one folder for each part, named by its number. Those of an error's other parts remain.
        progress: The listener.

    Returns:
        The folders, in any order.

    Raises:
        LrdiagError: If a worker raises one, or its process ends more than `RESTARTS` times.
        SettingsError: If Ray is not installed.
    """
    if workers is not None:
        require_count("workers", workers)
    folders = []
    with (
        _connected(workers) as ray,
        progress.stage("Evaluating with Ray", len(tasks), "parts") as stage,
        _pool(ray, _number_of_workers(ray, workers, len(tasks))) as pool,
    ):
        for part in _results(ray, pool, prepare, tasks, folder):
            folders.append(part.save(folder / str(part.record.number)))
            stage.advance()
    return folders


class _Worker:
    """One process of Ray. It prepares itself before its first task, so that errors are those of a task."""

    def __init__(self) -> None:
        self._evaluate: Evaluate | None = None

    def run(self, prepare: Callable[[], Evaluate], task: Any) -> Part:
        """Evaluates a task."""
        if self._evaluate is None:
            self._evaluate = prepare()
        return self._evaluate(task)


def _results(
    ray: Any, pool: Any, prepare: Callable[[], Evaluate], tasks: Sequence[Any], folder: Path
) -> Iterator[Part]:
    results = pool.map_unordered(lambda worker, task: worker.run.remote(prepare, task), tasks)
    try:
        yield from results
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, LrdiagError):
            raise error.cause from None
        raise LrdiagError(
            f"A worker of Ray could not evaluate its part. The parts that are complete are in {folder}. Received: "
            f"{type(error.cause).__name__}: {error.cause}"
        ) from error
    except ray.exceptions.RayError as error:
        reason = str(error).strip().partition("\n")[0]
        raise LrdiagError(
            f"The processes of Ray's workers must not end. Ray started one {RESTARTS} times again. If the memory does "
            f"not suffice, use fewer workers. The parts that are complete are in {folder}. Received: {reason}"
        ) from error


def require_ray() -> Any:
    """Returns the package `ray`.

    Raises:
        SettingsError: If it is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise SettingsError(
            f'The engine "ray" needs the package `ray`: pip install "lrdiag[ray]". Received: {error}'
        ) from error
    return ray


@contextmanager
def _connected(workers: int | None) -> Iterator[Any]:
    """Yields the package `ray`, connected. Ray is shut down afterwards if it was started here."""
    ray = require_ray()
    if ray.is_initialized():
        yield ray
        return
    here = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": workers, "include_dashboard": False}
    ray.init(log_to_driver=False, **here)
    try:
        yield ray
    finally:
        ray.shutdown()


def _number_of_workers(ray: Any, workers: int | None, tasks: int) -> int:
    resources = ray.cluster_resources()
    return max(1, min(int(workers or resources.get("GPU", 0) or resources["CPU"]), tasks))


@contextmanager
def _pool(ray: Any, workers: int) -> Iterator[Any]:
    from ray.util import ActorPool

    worker = ray.remote(_Worker).options(
        num_cpus=1,
        num_gpus=min(1.0, ray.cluster_resources().get("GPU", 0) / workers),
        max_restarts=RESTARTS,
        max_task_retries=RESTARTS,
        runtime_env={"env_vars": {"KERAS_BACKEND": engine_name()}},
    )
    actors = [worker.remote() for _ in range(workers)]
    try:
        yield ActorPool(actors)
    finally:
        for actor in actors:
            ray.kill(actor)


# --- a dataset of Ray -------------------------------------------------------------------------------------------------


def diagnose_with_ray(
    model: keras.Model,
    dataset: Any,
    *,
    workers: int | None,
    progress: Progress,
    options: dict[str, Any],
    merging: dict[str, Any],
) -> Report:
    """Evaluates a model on a `ray.data.Dataset` with the columns `image` and `label`, and returns its report.

    Args:
        model: The model, which Keras must be able to pickle.
        dataset: The dataset. Its rows are kept in Ray's object store, which moves them to a disk if they are many.
        workers: As in `parts_by_ray`.
        progress: The listener.
        options: Arguments of `diagnose_part`.
        merging: Arguments of `merge`.

    Raises:
        DataError: If the dataset lacks a column, is empty, or has images that can't be evaluated.
        ModelError: If the model can't be pickled.
        LrdiagError: As `parts_by_ray`.
    """
    with _connected(workers) as ray, tempfile.TemporaryDirectory(prefix="lrdiag-parts-") as folder:
        tasks = _tasks(ray, dataset, workers, options["batch_size"] or IMAGES_OF_A_BATCH)
        parts = parts_by_ray(_Opening(_stored(ray, model), options), tasks, workers, Path(folder), progress)
        return merge(parts, model=model, progress=progress, **merging)


@dataclass(frozen=True)
class _Slice:
    """The rows of one part.

    Attributes:
        rows: A `ray.data.Dataset` of the part.
        part: The number of the part and the number of parts.
        first: Number of its first batch in the whole dataset.
        batches: Number of batches in the whole dataset.
        batch_size: Number of images in each but the last.
        opening: The first batch of the whole dataset.
    """

    rows: Any
    part: tuple[int, int]
    first: int
    batches: int
    batch_size: int
    opening: tuple[np.ndarray, np.ndarray]


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """The batches of the whole dataset, as far as a worker has them: the first one, and those of its part in order."""

    def __init__(self, part: _Slice) -> None:
        super().__init__()
        self._part, self._following = part, range(0)
        self._rows: Iterator[dict[str, np.ndarray]] = iter(())

    def __len__(self) -> int:
        return self._part.batches

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        if place == 0:
            return self._part.opening
        if not self._following or place != self._following[0]:
            self._following = range(self._part.first, self._part.batches)
            self._rows = iter(self._part.rows.iter_batches(batch_size=self._part.batch_size, batch_format="numpy"))
        while self._following[0] < place:
            self._next()
        return _images_and_labels(self._next())

    def _next(self) -> dict[str, np.ndarray]:
        self._following = self._following[1:]
        return next(self._rows)


@dataclass(frozen=True)
class _Opening:
    """Loads the model in a worker."""

    model: Any
    options: dict[str, Any]

    def __call__(self) -> Evaluate:
        import ray

        model = ray.get(self.model)
        return lambda each: diagnose_part(model, _Batches(each), part=each.part, **self.options)


def _stored(ray: Any, model: keras.Model) -> Any:
    try:
        return ray.put(model)
    except (TypeError, ValueError, NotImplementedError, AttributeError) as error:
        raise ModelError(
            "Keras must be able to save the model, so that Ray's workers can load it. Register its own classes with "
            f"`keras.saving.register_keras_serializable`. Received: {model.name!r} ({error})"
        ) from error


def _tasks(ray: Any, dataset: Any, workers: int | None, batch_size: int) -> list[_Slice]:
    rows = _in_order(dataset)
    total = rows.count()
    if not total:
        raise DataError("There must be at least one image. Received: an empty ray.data.Dataset")
    batches = -(-total // batch_size)
    of = min(batches, PARTS_OF_A_WORKER * _number_of_workers(ray, workers, batches))
    firsts = [batches_of_part(batches, number, of).start for number in range(1, of + 1)]
    parts = rows.split_at_indices([first * batch_size for first in firsts[1:]]) if of > 1 else [rows]
    opening = _images_and_labels(rows.take_batch(batch_size, batch_format="numpy"))
    return [
        _Slice(each, (number, of), first, batches, batch_size, opening)
        for number, (each, first) in enumerate(zip(parts, firsts, strict=True), 1)
    ]


def _in_order(dataset: Any) -> Any:
    """Returns the rows of the dataset, in its order, in the object store."""
    import ray

    if not isinstance(dataset, ray.data.Dataset):
        raise DataError(f'With the engine "ray", data must be a ray.data.Dataset. Received: {type(dataset).__name__}')
    columns = dataset.columns() or []
    if not set(_COLUMNS) <= set(columns):
        raise DataError(
            "A ray.data.Dataset must have the columns `image` and `label`. Rename its own: "
            '`dataset.rename_columns({"picture": "image"})`. '
            f"Received: the columns {', '.join(columns) or 'none'}"
        )
    options = dataset.context.execution_options
    given, options.preserve_order = options.preserve_order, True
    try:
        return dataset.select_columns(list(_COLUMNS)).materialize()
    finally:
        options.preserve_order = given


def _images_and_labels(batch: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    images, labels = (batch[name] for name in _COLUMNS)
    if images.dtype == object:
        shapes = sorted({np.shape(each) for each in images})
        raise DataError(
            "The column `image` must contain arrays of one shape. Decode and resize them: `dataset.map`. Received: "
            + (f"the shapes {shapes[0]} and {shapes[-1]}" if len(shapes) > 1 else type(images[0]).__name__)
        )
    return images, labels
