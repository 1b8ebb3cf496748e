"""Measures what the images and labels of a run tell: one function for each family of findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lrdiag.diagnosis.calibration import temperature_of
from lrdiag.diagnosis.estimates import estimates_of
from lrdiag.diagnosis.labels import examine_labels
from lrdiag.diagnosis.metadata import Metadata
from lrdiag.diagnosis.slices import find_slices
from lrdiag.record.data_facts import NOT_STUDIED, Copies, DataFacts
from lrdiag.record.experiments import NO_EXPERIMENTS, Changed, Experiments, attempted
from lrdiag.record.facts import TrainingSample
from lrdiag.record.image_table import ImageTable


@dataclass(frozen=True)
class Studied:
    """What is known of the images and labels of a run.

    Attributes:
        facts: What was measured.
        test_images: The test images with their predictions, or `None`.
        training_images: The training images with theirs, or `None`.
        train_sample: Figures of the training images in inference mode, or `None`.
        changed: Images before and after a change, by the name of the correction or shortcut.
    """

    facts: DataFacts = NOT_STUDIED
    test_images: ImageTable | None = None
    training_images: ImageTable | None = None
    train_sample: TrainingSample | None = None
    changed: Mapping[str, Sequence[Changed]] = field(default_factory=dict)


def study(
    test: ImageTable,
    training: ImageTable | None,
    classes: Sequence[str],
    *,
    copies: Callable[[], Copies],
    experiments: Experiments = NO_EXPERIMENTS,
    metadata: Metadata | None = None,
    reasons: Mapping[str, str] | None = None,
) -> DataFacts:
    """Measures images and labels.

    Args:
        test: The test images.
        training: The training images, or `None`.
        classes: Name of each class.
        copies: Returns the copies among the images.
        experiments: What the model does with changed images.
        metadata: What else is known of each image, or `None`.
        reasons: Why something can't be measured, by the name of a need.
    """
    why = {**(reasons or {}), **experiments.reasons}
    labels = attempted("suspects", lambda: examine_labels(test, training, classes), why)
    if labels is None:
        why.setdefault("suspects", "the images are too few")
    suspects = None if labels is None else labels.suspects
    slices = attempted("slices", lambda: find_slices(test, classes, metadata), why)
    temperature = attempted("temperature", lambda: temperature_of(test.predictions), why)
    found = attempted("copies", copies, why)
    return DataFacts(
        **({} if labels is None else vars(labels)),
        copies=found,
        corrections=experiments.corrections,
        shortcuts=experiments.shortcuts,
        slices=slices,
        temperature=temperature,
        estimates=estimates_of(test, suspects, found),
        reasons=why,
    )
