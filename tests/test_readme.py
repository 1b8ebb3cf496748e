"""What the README promises to those who come from elsewhere runs."""

from __future__ import annotations

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


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the cells may name; a cell that assigns leaves its name to the following ones."""
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    labels = np.arange(96) % 10
    images = (generator.random((96, 8, 8, 3)) * 60 + labels[:, None, None, None] * 19).astype("uint8")
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
    return {
        "lrdiag": lrdiag,
        "model": model,
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
    used = set(re.findall(r"lrdiag\.(\w+)", TABLE))
    assert used <= set(lrdiag.__all__)
