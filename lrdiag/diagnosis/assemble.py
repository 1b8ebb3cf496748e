"""From everything that a run measured to the one record that the page says."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from lrdiag.diagnosis.calibration import calibrate
from lrdiag.diagnosis.findings import find
from lrdiag.diagnosis.mistakes import rank_mistakes
from lrdiag.diagnosis.scores import class_facts, confused_pairs, confusion, score
from lrdiag.records import (
    Dataset,
    DatasetFacts,
    Diagnosis,
    HeatmapFacts,
    LabelledImages,
    Predictions,
    RangeTestFacts,
    RunFacts,
    Sheets,
    TrainingRun,
)


def assemble(
    dataset: Dataset,
    predictions: Predictions,
    *,
    range_test: RangeTestFacts | None,
    range_test_note: str | None,
    training: TrainingRun,
    heatmaps: HeatmapFacts,
    sheets: Sheets,
    run: RunFacts,
) -> Diagnosis:
    """Computes every figure of the page; wall times are left to be filled in.

    Args:
        dataset: What the network was trained and judged on.
        predictions: Of the test set.
        range_test: The range test, or `None` where none was made.
        range_test_note: Why there is none, or why it gave no rate.
        training: How training went.
        heatmaps: How the heatmaps were made.
        sheets: The pictures that were laid out.
        run: What was run, on what.
    """
    counts = confusion(predictions, len(dataset.classes))
    diagnosis = Diagnosis(
        dataset=dataset_facts(dataset),
        range_test=range_test,
        range_test_note=range_test_note,
        training=training,
        test=score(predictions),
        calibration=calibrate(predictions),
        per_class=class_facts(predictions, dataset.classes),
        confusion=counts.tolist(),
        confused_pairs=confused_pairs(counts),
        misclassified=rank_mistakes(predictions, dataset.test.files),
        heatmaps=heatmaps,
        sheets=sheets,
        findings=[],
        **vars(run),
    )
    return dataclasses.replace(diagnosis, findings=find(diagnosis))


def dataset_facts(dataset: Dataset) -> DatasetFacts:
    """What the page says of the data: their counts, and the fingerprint of the test images."""
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
        train_counts=_class_counts(dataset.train, classes),
        test_counts=_class_counts(dataset.test, classes),
        test_fingerprint=_fingerprint(dataset.test),
    )


def _class_counts(images: LabelledImages, classes: int) -> list[int]:
    return [int(count) for count in np.bincount(images.labels, minlength=classes)]


def _fingerprint(images: LabelledImages) -> str:
    digest = hashlib.sha256(repr((images.images.shape, images.labels.tolist())).encode())
    digest.update(np.ascontiguousarray(images.images).data)
    return digest.hexdigest()
