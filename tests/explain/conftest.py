"""Images and labels for the tests of the methods."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.peer import CLASSES, SHAPE


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(7, *SHAPE), dtype="uint8")


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, CLASSES, size=7)
