"""Images whose channels differ, for all tests of the models."""

from __future__ import annotations

import numpy as np
import pytest

from lrdiag.record.arrays import LabelledImages


@pytest.fixture(scope="session")
def colour_images() -> LabelledImages:
    """Twenty-four images of 32×32 pixels: red dark, green even, blue bright."""
    generator = np.random.default_rng(0)
    means, spreads = np.array([40.0, 128.0, 200.0]), np.array([10.0, 30.0, 15.0])
    images = np.clip(generator.normal(means, spreads, size=(24, 32, 32, 3)), 0, 255).astype("uint8")
    return LabelledImages(images, np.arange(24) % 4)
