"""Builds the facts of a run from what was measured."""

from __future__ import annotations

import numpy as np

from lrdiag.diagnosis.binary import binary_facts
from lrdiag.diagnosis.calibration import calibrate
from lrdiag.diagnosis.mistakes import rank_mistakes
from lrdiag.diagnosis.pairs import confused_pairs
from lrdiag.diagnosis.scores import class_facts, confusion, score
from lrdiag.record.arrays import Dataset, Predictions
from lrdiag.record.facts import (
    DatasetFacts,
    Diagnosis,
    Evolution,
    HeatmapFacts,
    MadeBy,
    RangeTestFacts,
    RunFacts,
    TrainingRun,
    TrainingSample,
)
from lrdiag.record.fingerprint import digests, fingerprint_of


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
    train_sample: TrainingSample | None = None,
    made_by: MadeBy = "diagnose",
) -> Diagnosis:
    """Computes every figure of the report. The rules are not applied yet, and wall times are not filled in.

    Args:
        dataset: The data that the model was trained and evaluated on.
        predictions: Predictions for the test set.
        files: The file of each test image, or empty.
        range_test: The range test, or `None`.
        range_test_note: Why there is no range test, or why it gave no rate.
        training: The record of the training run, or `None`.
        heatmaps: How the heatmaps were made.
        run: Model, settings and environment.
        evolution: How predictions for some images changed during training, or `None`.
        train_sample: Figures of a sample of the training images in inference mode, or `None`.
        made_by: The part of lrdiag that makes the report.
    """
    counts = confusion(predictions, len(dataset.classes))
    return Diagnosis(
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
        findings=[],
        evolution=evolution,
        train_sample=train_sample,
        binary=binary_facts(predictions, tuple(dataset.classes)),
        made_by=made_by,
        **vars(run),
    )


def dataset_facts(dataset: Dataset) -> DatasetFacts:
    """Describes data in memory: the number of images, and the fingerprint of the test images."""
    classes = len(dataset.classes)
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
        test_fingerprint=fingerprint_of(digests(dataset.test.images), dataset.test.labels),
        skipped=list(dataset.skipped),
        sixteen_bit_max=dataset.sixteen_bit_max,
    )


def class_counts(labels: np.ndarray, classes: int) -> list[int]:
    """Counts the labels of each class; `labels` are integers of shape `(n,)`."""
    return [int(count) for count in np.bincount(labels, minlength=classes)]
