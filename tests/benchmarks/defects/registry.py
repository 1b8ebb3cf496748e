"""The scenarios of the benchmark, and what a diagnostician should say about each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from zlib import crc32

import numpy as np

from .data import Data

Door = Literal["diagnose", "dataset", "callback", "folder", "npz"]
"""How lrdiag receives model and data: `lrdiag.diagnose` with arrays or with datasets of TensorFlow, `ReportCallback` in
`fit`, or `lrdiag train-and-report --data` of a folder of images or of an `.npz` file."""


@dataclass(frozen=True)
class Planted:
    """Data with a defect, and how a finding shows that it means this defect.

    Attributes:
        data: The data after planting.
        test: Indices of the test images that a finding should show, or `None`.
        train: The same for training images.
        classes: Classes that the finding should name.
        words: Regular expression for the title or the evidence of the finding.
        metadata: The argument of `diagnose`, or `None`.
        groups: The groups of the training and of the test images, or `None`.
        prepare_test: Prepares the test images instead of the function of the setup, or `None`.
        layers: Makes layers in front of the network.
        fit: Further arguments of `fit`.
        rate: The learning rate is multiplied by it.
        after: Changes the trained model, or `None`.
    """

    data: Data
    test: np.ndarray | None = None
    train: np.ndarray | None = None
    classes: Sequence[int] = ()
    words: str = ""
    metadata: Mapping[str, Any] | None = None
    groups: tuple[np.ndarray, np.ndarray] | None = None
    prepare_test: Callable[[np.ndarray], np.ndarray] | None = None
    layers: Callable[[], list[Any]] = list
    fit: Mapping[str, Any] = field(default_factory=dict)
    rate: float = 1.0
    after: Callable[[Any], None] | None = None

    @property
    def trains_as_usual(self) -> bool:
        """Whether the network is trained as that of any other scenario with the same training images."""
        return not self.fit and self.rate == 1 and self.layers is list


Plant = Callable[[Data, float, np.random.Generator], Planted]
"""Plants a defect of a strength."""


@dataclass(frozen=True)
class Scenario:
    """A data set with a defect, or a sound one, and the model and call that it is diagnosed with.

    Attributes:
        family: The family of findings; `"clean"` for a sound run.
        defect: Name of the defect.
        plant: Plants it; `None` for a sound run.
        expected: Codes of which each names it.
        setup: Name of the setup: data set and network.
        strength: How strong the defect is.
        door: How lrdiag is called.
        seed: Which images of the data set are drawn.
        train: Number of training images; `None` for that of the setup.
        test: Number of test images; `None` for that of the setup.
    """

    family: str
    defect: str
    plant: Plant | None
    expected: frozenset[str]
    setup: str
    strength: float = 0.0
    door: Door = "diagnose"
    seed: int = 0
    train: int | None = None
    test: int | None = None

    @property
    def name(self) -> str:
        parts = [self.defect, f"{self.strength:g}" if self.strength else "", self.setup]
        parts += [str(size) for size in (self.train, self.test) if size]
        parts += ["" if self.door == "diagnose" else self.door, f"seed{self.seed}" if self.seed else ""]
        return "-".join(filter(None, parts))

    def planted(self, data: Data) -> Planted:
        """Plants the defect. The same name always gives the same result."""
        if self.plant is None:
            return Planted(data)
        return self.plant(data, self.strength, np.random.default_rng(crc32(self.name.encode())))


def planted(
    family: str, defect: str, plant: Plant, expected: str, cases: Mapping[str, Sequence[float]], door: Door = "diagnose"
) -> list[Scenario]:
    """Returns a scenario for each setup and strength. `expected` holds codes, separated by spaces."""
    codes = frozenset(expected.split())
    return [
        Scenario(family, defect, plant, codes, setup, strength, door)
        for setup, strengths in cases.items()
        for strength in strengths
    ]
