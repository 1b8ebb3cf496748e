"""What the README promises to those who come from elsewhere runs."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import lrdiag

README = (Path(__file__).parents[1] / "README.md").read_text()
TABLE = README.partition("### Coming from …")[2].partition("\n## ")[0]
ROWS = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in TABLE.splitlines() if "`" in row]

OWN_TRAINING = README.partition("## Use it in your own training\n")[2].partition("\n## ")[0]
BLOCK = OWN_TRAINING.partition("```python\n")[2].partition("```")[0]
WRITTEN = " ".join(row.split("|")[2] for row in OWN_TRAINING.splitlines() if row.startswith("|"))
SPANS = [span for span in re.findall("`([^`]+)`", WRITTEN) if not span.startswith(("lrdiag ", "--"))]  # no shell
OMITTED = {
    "find_lr(…": "find_lr(model, x, y, batch_size=128",
    "fit(…": "fit(x, y",
    "Cyclic(…": "Cyclic(base_lr, max_lr, step_size",
}


def make_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01), loss="sparse_categorical_crossentropy")
    return model


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the cells may name; a cell that assigns leaves its name to the following ones."""
    import tensorflow as tf

    generator = np.random.default_rng(0)
    labels = np.arange(96) % 10
    images = (generator.random((96, 8, 8, 3)) * 60 + labels[:, None, None, None] * 19).astype("uint8")
    return {
        "lrdiag": lrdiag,
        "model": make_model(),
        "x": images,
        "y": labels,
        "images": images,
        "labels": labels,
        "loader": tf.data.Dataset.from_tensor_slices((images, labels)).batch(32),
        "steps_per_epoch": 3,
    }


def test_the_table_is_found() -> None:
    assert len(ROWS) >= 15
    assert {row[0] for row in ROWS if row[0]} == {
        "TensorFlow Addons", "keras_lr_finder", "torch-lr-finder", "fastai", "tf-explain", "tf-keras-vis",
    }  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[f"{number}" for number in range(len(ROWS))])
def test_the_right_hand_cell_runs(
    names: dict[str, Any], row: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    exec(compile(row[2].strip("`"), row[2], "exec"), names)


def test_the_cells_name_public_things_alone() -> None:
    used = set(re.findall(r"lrdiag\.(\w+)", TABLE + OWN_TRAINING))
    assert used <= set(lrdiag.__all__)


@pytest.fixture(scope="module")
def own_training(names: dict[str, Any]) -> dict[str, Any]:
    """What the lines for one's own training have left behind, where one step is an epoch."""
    known = {**names, "model": make_model(), "steps_per_epoch": 1, "epochs": 7}
    exec(compile(BLOCK, "README.md", "exec"), known)
    return known


@pytest.fixture(scope="module")
def wishes(own_training: dict[str, Any]) -> dict[str, Any]:
    """What the cells of the table below those lines may name besides."""
    base_lr, max_lr = own_training["test"].bounds()
    model = make_model()
    return {
        **{name: getattr(lrdiag, name) for name in lrdiag.__all__},
        **own_training,
        "model": model,
        "compile": functools.partial(model.compile, loss="sparse_categorical_crossentropy"),
        "curve": own_training["cyclic"].curve,
        "base_lr": base_lr,
        "max_lr": max_lr,
        "step_size": 3,
        "total_steps": 7,
        "x_val": own_training["x"],
        "y_val": own_training["y"],
    }


def test_the_lines_for_ones_own_training_are_five_and_train(own_training: dict[str, Any]) -> None:
    assert len(list(filter(None, BLOCK.splitlines()))) == 5
    assert int(own_training["model"].optimizer.iterations) == 7
    assert own_training["cyclic"].summary(1, 7).endswith("The training ends with a cycle.")


@pytest.mark.parametrize("span", SPANS)
def test_what_is_to_be_written_runs(
    wishes: dict[str, Any], span: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    code = functools.reduce(lambda text, omitted: text.replace(*omitted), OMITTED.items(), span)
    exec(compile(code, span, "exec"), wishes)


def test_the_spans_are_found() -> None:
    assert len(SPANS) >= 15
