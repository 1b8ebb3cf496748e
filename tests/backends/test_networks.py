"""Nine kinds of network give the same maps, gradients and range tests on TensorFlow, JAX and PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from backends.networks import KINDS

pytestmark = pytest.mark.slow
ENGINES = ("tensorflow", "jax", "torch")
FROM_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
LOSSES = {"one_sigmoid": "binary_crossentropy", "two_outputs": ["sparse_categorical_crossentropy", FROM_LOGITS]}
TAKE_LOGITS = ("residual", "shared", "two_inputs", "subclassed")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, np.ndarray]]:
    """What each engine computed from the same files."""
    folder = tmp_path_factory.mktemp("networks")
    keras.utils.set_random_seed(0)
    for kind, make in KINDS.items():
        model = make()
        loss: Any = LOSSES.get(kind, "sparse_categorical_crossentropy")
        if kind in TAKE_LOGITS:
            loss = FROM_LOGITS
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss=loss)
        model.save(folder / f"{kind}.keras")
    for engine in ENGINES:
        command = [sys.executable, str(Path(__file__).with_name("network_checks.py")), str(folder)]
        environment = {**os.environ, "KERAS_BACKEND": engine}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    return {engine: np.load(folder / f"{engine}.npz") for engine in ENGINES}


@pytest.mark.parametrize("engine", ENGINES[1:])
@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_computes_the_same(found: Mapping[str, Mapping[str, np.ndarray]], kind: str, engine: str) -> None:
    expected, actual = found["tensorflow"], found[engine]
    is_trained = kind != "mobilenet"
    for name in ("layer", "mistakes", *(["reached"] if is_trained else [])):
        np.testing.assert_array_equal(actual[f"{kind} {name}"], expected[f"{kind} {name}"], err_msg=name)
    for name in ("losses", "for_it", "against_it", *(["loss", "gradients"] if is_trained else [])):
        scale = np.abs(expected[f"{kind} {name}"]).max() * (10 if name == "gradients" else 1)
        np.testing.assert_allclose(
            actual[f"{kind} {name}"], expected[f"{kind} {name}"], rtol=0, atol=1e-5 * scale, err_msg=name
        )
    if is_trained:
        np.testing.assert_allclose(actual[f"{kind} range_test"], expected[f"{kind} range_test"], rtol=1e-4)
