"""Shared fixtures: a run without any problem."""

from __future__ import annotations

import numpy as np
import pytest

from lrdiag.diagnosis.assemble import assemble, dataset_facts
from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.checking import check_all
from lrdiag.record.arrays import Dataset, LabelledImages, Predictions
from lrdiag.record.facts import Diagnosis, Epoch, HeatmapFacts, RangeTestFacts, RunFacts, TrainingRun

CLASSES = ("cat", "dog", "frog")


def labelled(labels: list[int], files: tuple[str, ...] = ()) -> LabelledImages:
    return LabelledImages(np.zeros((len(labels), 4, 6, 3), "uint8"), np.array(labels), files)


@pytest.fixture
def dataset() -> Dataset:
    files = tuple(f"test/{place}.png" for place in range(6))
    test = labelled([0, 0, 1, 1, 2, 2], files)
    return Dataset("toys", "a shelf", CLASSES, labelled([0, 1, 1, 2]), test, validation=labelled([0, 1]))


@pytest.fixture
def training() -> TrainingRun:
    epoch = Epoch(loss=0.1, accuracy=0.95, val_loss=0.2, val_accuracy=0.94, seconds=1.0)
    return TrainingRun([epoch], [0.1, 0.2], [0.5, 0.4], 2, 1, "SGD", "constant", None, 1.0)


@pytest.fixture
def sound(dataset: Dataset, training: TrainingRun) -> Diagnosis:
    """Every test image is classified correctly; no gap, a suggestion, heatmaps."""
    scores = np.eye(3)[dataset.test.labels] * 5
    facts = assemble(
        dataset_facts(dataset),
        Predictions.from_scores(scores, dataset.test.labels),
        files=dataset.test.files,
        range_test=RangeTestFacts([0.1], [1.0], [1.0], "the last learning rate was reached", [1.0], 0.1, 0.05, 0.2),
        range_test_note=None,
        training=training,
        heatmaps=HeatmapFacts("Grad-CAM", "relu", 0),
        run=RunFacts("fast", 10, "CPU", "tensorflow", "lrdiag", None, {"seed": 0}, {"keras": "3"}, (0.0, 255.0)),
    )
    return check_all(Evidence(facts))
