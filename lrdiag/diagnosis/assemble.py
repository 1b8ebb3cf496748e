"""From everything that a run measured to the one record that the page says."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from lrdiag.diagnosis.calibration import calibrate
from lrdiag.diagnosis.findings.rules import find
from lrdiag.diagnosis.mistakes import rank_mistakes
from lrdiag.diagnosis.scores import class_facts, confused_pairs, confusion, score
from lrdiag.record.arrays import Dataset, Predictions
from lrdiag.record.facts import (
    DatasetFacts,
    Diagnosis,
    Evolution,
    Finding,
    HeatmapFacts,
    RangeTestFacts,
    RunFacts,
    TrainingRun,
)
from lrdiag.record.fingerprint import Fingerprint


def assemble(
    dataset: DatasetFacts,
    predictions: Predictions,
    *,
    files: tuple[str, ...],
    range_test: RangeTestFacts | None,
    range_test_note: str | None,
    training: TrainingRun | None,
    heatmaps: HeatmapFacts,
    run: RunFacts,
    evolution: Evolution | None = None,
    findings: Sequence[Finding] = (),
) -> Diagnosis:
    """Computes every figure of the page; wall times are left to be filled in.

    Args:
        dataset: What the network was trained and judged on.
        predictions: Of the test set.
        files: The file of each test image, or empty.
        range_test: The range test, or `None` where none was made.
        range_test_note: Why there is none, or why it gave no rate.
        training: How training went, or `None` where that is not known.
        heatmaps: How the heatmaps were made.
        run: What was run, on what.
        evolution: How some images came to be seen as they are, where they were followed.
        findings: What is known already, beside what the figures say.
    """
    counts = confusion(predictions, len(dataset.classes))
    diagnosis = Diagnosis(
        dataset=dataset,
        range_test=range_test,
        range_test_note=range_test_note,
        training=training,
        test=score(predictions),
        calibration=calibrate(predictions),
        per_class=class_facts(predictions, tuple(dataset.classes)),
        confusion=counts.tolist(),
        confused_pairs=confused_pairs(counts),
        misclassified=rank_mistakes(predictions, files),
        heatmaps=heatmaps,
        findings=list(findings),
        evolution=evolution,
        **vars(run),
    )
    return dataclasses.replace(diagnosis, findings=find(diagnosis))


def dataset_facts(dataset: Dataset) -> DatasetFacts:
    """What the page says of data in memory: their counts, and the fingerprint of the test images."""
    classes = len(dataset.classes)
    fingerprint = Fingerprint()
    fingerprint.update(dataset.test.images)
    return DatasetFacts(
        name=dataset.name,
        source=dataset.source,
        fallback=dataset.fallback,
        classes=list(dataset.classes),
        image_shape=list(dataset.test.images.shape[1:]),
        train_size=len(dataset.train),
        validation_size=len(dataset.validation),
        test_size=len(dataset.test),
        train_counts=class_counts(dataset.train.labels, classes),
        test_counts=class_counts(dataset.test.labels, classes),
        test_fingerprint=fingerprint.of(dataset.test.labels),
        skipped=list(dataset.skipped),
    )


def class_counts(labels: np.ndarray, classes: int) -> list[int]:
    """How many of the labels, integers of shape `(n,)`, are of each class."""
    return [int(count) for count in np.bincount(labels, minlength=classes)]
