"""Every kind of data for `diagnose`, `ReportCallback` and `find_lr`, on the engine in KERAS_BACKEND.

A process of `test_data.py` runs it. TensorFlow can't be imported in the first half, and is imported by the user in the
second.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import blocked  # before Keras
import jax.experimental.sparse
import keras
import numpy as np
import pytest
import torch
from scipy import sparse

import lrdiag
from lrdiag.errors import DataError

ENGINE = keras.config.backend()
SIZE, BATCH = 10, 4
X = np.random.default_rng(0).random((SIZE, 8, 8, 3), "float32")
Y = np.arange(SIZE) % 3
ONE_HOT = np.eye(3, dtype="float32")[Y]
CUTS = [slice(start, start + BATCH) for start in range(0, SIZE, BATCH)]


def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.GlobalAveragePooling2D()]
    built = keras.Sequential([keras.Input((8, 8, 3)), *layers, keras.layers.Dense(3, activation="softmax")])
    built.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return built


class Indexed(keras.utils.PyDataset):
    """A `PyDataset`, whose batches may be of any kind."""

    def __init__(self, convert: Callable[[np.ndarray], Any]) -> None:
        super().__init__()
        self.convert = convert

    def __len__(self) -> int:
        return len(CUTS)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.convert(X[CUTS[index]]), self.convert(Y[CUTS[index]])


class Again:
    """An iterable of batches, that starts again each time."""

    def __init__(self, convert: Callable[[np.ndarray], Any]) -> None:
        self.convert = convert

    def __iter__(self) -> Iterator[Any]:
        return ((self.convert(X[cut]), self.convert(Y[cut])) for cut in CUTS)


def on_graph(array: np.ndarray) -> torch.Tensor:
    """A tensor of PyTorch that requires gradients, if it can."""
    tensor = torch.tensor(array)
    return (tensor.requires_grad_() * 1) if tensor.is_floating_point() else tensor


def loader() -> Any:
    pairs = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(pairs, batch_size=BATCH)


def of_every_library() -> dict[str, Callable[[np.ndarray], Any]]:
    libraries: dict[str, Callable[[np.ndarray], Any]] = {
        "numpy": np.asarray,
        "jax": jax.numpy.asarray,
        "torch": torch.tensor,
        "torch with gradients": on_graph,
    }
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        libraries["tensorflow"] = tf.constant
    return libraries


def data() -> Iterator[tuple[str, Callable[[], Any], Any]]:
    """Yields the name of a kind, a function that gives `x` of that kind, and `y`."""
    yield "DataLoader", loader, None
    for name, convert in of_every_library().items():
        yield f"{name} arrays", lambda convert=convert: convert(X), convert(Y)
        yield f"{name} columns", lambda convert=convert: convert(X), convert(Y[:, None].astype("float32"))
        yield f"PyDataset of {name}", lambda convert=convert: Indexed(convert), None
        yield f"iterable of {name}", lambda convert=convert: Again(convert), None
        yield f"list of {name}", lambda convert=convert: list(Again(convert)), None
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        yield "tf.data", lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH), None


def labels() -> Iterator[tuple[str, Any]]:
    """Yields labels that only `diagnose` takes."""
    for name, convert in of_every_library().items():
        yield f"one-hot of {name}", convert(ONE_HOT)
    yield "scipy", sparse.csr_matrix(ONE_HOT)
    yield "sparse jax", jax.experimental.sparse.BCOO.fromdense(ONE_HOT)
    yield "sparse torch", torch.tensor(ONE_HOT).to_sparse()
    yield "half torch", torch.tensor(ONE_HOT).bfloat16()
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        yield "sparse tensorflow", tf.sparse.from_dense(ONE_HOT)


def check(what: str, kind: str, act: Callable[[], Any]) -> Any:
    try:
        return act()
    except Exception as error:
        raise AssertionError(f"{what} with {kind} on {ENGINE}: {type(error).__name__}: {error}") from error


def diagnosed(kind: str, x: Any, y: Any) -> None:
    report = check(
        "diagnose", kind, lambda: lrdiag.diagnose(trained, x, y, batch_size=BATCH if y is not None else None)
    )
    np.testing.assert_array_equal(report.predictions.labels, Y, err_msg=f"{kind} on {ENGINE}")
    np.testing.assert_allclose(
        np.exp(report.predictions.log_probabilities), expected, rtol=1e-4, err_msg=f"{kind} on {ENGINE}"
    )


def reported(kind: str, given: Any) -> None:
    def act() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            callback = lrdiag.ReportCallback(Path(folder) / "run", given)
            model().fit(X, Y, verbose=0, callbacks=[callback])
            return callback.report

    report = check("ReportCallback", kind, act)
    np.testing.assert_array_equal(report.predictions.labels, Y, err_msg=f"{kind} on {ENGINE}")


def swept(kind: str, given: Callable[[], Any], y: Any) -> None:
    fast: dict[str, Any] = {"iterations": 5, "end_lr": 0.01}
    size = {"batch_size": BATCH} if y is not None else {}
    if not kind.startswith("iterable"):  # lrdiag can't know that it starts again
        fast["validation_data"] = given() if y is None else (given(), y)
    (sweep,) = check("find_lr", kind, lambda: lrdiag.find_lr(trained, given(), y, **size, **fast)).sweeps
    assert len(sweep.losses) == 5, kind
    first = swept_losses.setdefault("batches" if y is None else "arrays", sweep.losses)
    np.testing.assert_allclose(sweep.losses, first, rtol=1e-5, err_msg=f"{kind} on {ENGINE}")
    if sweep.val_losses:
        first = swept_losses.setdefault("validation", sweep.val_losses[:1])
        np.testing.assert_allclose(sweep.val_losses[:1], first, rtol=1e-4, err_msg=f"{kind} on {ENGINE}")


def every_kind(of: str = "") -> None:
    for kind, given, y in data():
        if of not in kind:
            continue
        diagnosed(kind, given(), y)
        if kind in ("DataLoader", "torch with gradients arrays", "list of jax", "PyDataset of tensorflow", "tf.data"):
            reported(kind, given() if y is None else (given(), y))
        if kind != "PyDataset of torch with gradients":  # `fit` can't take it on TensorFlow
            swept(kind, given, y)
    for kind, labelled in labels():
        if of in kind:
            diagnosed(kind, X, labelled)
    diagnosed("generator", iter(Again(np.asarray)), None)
    check("find_lr", "generator", lambda: lrdiag.find_lr(model(), iter(list(Again(np.asarray)) * 2), iterations=5))


def refused() -> None:
    other = torch.tensor(Y[1:])
    for x, y in ((X[:0], Y[:0]), (X, Y[1:]), (loader(), Y), (torch.tensor(X), other), ("a", None)):
        for call in (lrdiag.diagnose, lrdiag.find_lr):
            with pytest.raises(DataError, match="Received: "):
                call(trained, x, y)


trained = model()
trained.fit(X, Y, batch_size=BATCH, verbose=0)  # compiles once what each range test below uses
swept_losses: dict[str, list[float]] = {}
expected = np.asarray(keras.ops.convert_to_numpy(trained(X, training=False)))
every_kind()
refused()
assert (ENGINE == "tensorflow") == ("tensorflow" in sys.modules)
if ENGINE != "tensorflow":
    sys.meta_path.remove(blocked.blocker)
    import tensorflow  # noqa: F401

    every_kind("tensorflow")
    every_kind("tf.data")
print("whole")
