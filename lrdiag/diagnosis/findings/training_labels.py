"""Rules about the training labels: which classes occur, how often, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt

import numpy as np

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed
from lrdiag.formats import count, percent, plural
from lrdiag.intervals import wilson
from lrdiag.record.observed import ImageSet, Labels

RARE = 0.05
"""Share of the validation images of classes that training lacks, below which most of the accuracy can be trusted."""
UNLIKELY = 5.0
"""Standard deviations by which batches have fewer classes than random batches: chance does that once in millions."""
_MOST_NAMED = 10
_NO_CLASSES = "the labels are not those of one class for each image"


def single_class(evidence: Evidence) -> Answer:
    """All training images belong to one class."""
    data = given(evidence.training_data)
    if not _has_classes(data.labels):
        return NotChecked(_NO_CLASSES)
    if data.labels.classes > 1:
        return Passed(float(data.labels.classes), 1.0)
    if not data.is_complete:
        return NotChecked(f"only the labels of the first {plural(data.looked_at, 'training image')} were read")
    return Found(
        f"All training images belong to a single class, class {_occurring(data.labels)[0]}.",
        f"The labels of all {plural(data.looked_at, 'training image')} are the same.{_elsewhere(evidence)}",
        "Check how the labels are made: `np.unique(y, return_counts=True)`. If the data is sorted by class, shuffle it "
        "before you take a part of it: `order = np.random.permutation(len(x)); x, y = x[order], y[order]`.",
        1.0,
        1.0,
        why="The model can only learn to name this class for every image.",
    )


def _elsewhere(evidence: Evidence) -> str:
    validation = evidence.validation_data
    if validation is None or validation.labels.classes < 2:
        return ""
    return f" The validation labels have {validation.labels.classes} classes."


def missing_class(evidence: Evidence) -> Answer:
    """Classes of the validation images do not occur in training."""
    training, validation = given(evidence.training_data), given(evidence.validation_data)
    if not (_has_classes(training.labels) and _has_classes(validation.labels)):
        return NotChecked(_NO_CLASSES)
    known = set(_occurring(training.labels))
    missing = [each for each in _occurring(validation.labels) if each not in known]
    if not missing:
        return Passed(0.0, 0.0)
    if not training.is_complete:
        return NotChecked(f"only the labels of the first {plural(training.looked_at, 'training image')} were read")
    counts = validation.labels.counts
    images = sum(counts[each] for each in missing)
    share = images / sum(counts)
    one = len(missing) == 1
    return Found(
        f"{'Class' if one else 'Classes'} {_listed(missing)} of the validation images "
        f"{'is' if one else 'are'} missing in the training images.",
        f"{plural(images, 'validation image')} of {count(sum(counts))} ({percent(share)}) "
        f"{'belongs' if images == 1 else 'belong'} to {'this class' if one else 'these classes'}, and none of "
        f"{plural(training.looked_at, 'training image')}. Training has the classes {_listed(sorted(known))}.",
        "Divide the images at random, so that each part has every class: "
        "`train_test_split(x, y, test_size=0.2, stratify=y)`.",
        float(len(missing)),
        0.0,
        why="The model can't learn a class without images of it, so all of these images are misclassified.",
        severity="error" if share > RARE else "warning",
    )


def imbalance(evidence: Evidence, threshold: float) -> Answer:
    """The most frequent class has more than `threshold` times as many images as the least frequent one."""
    data = given(evidence.training_data)
    if not _has_classes(data.labels):
        return NotChecked(_NO_CLASSES)
    classes = sorted(_occurring(data.labels), key=lambda each: data.labels.counts[each])
    fewest, most = data.labels.counts[classes[0]], data.labels.counts[classes[-1]]
    ratio = most / fewest
    if ratio <= threshold:
        return Passed(ratio, threshold)
    if data.weighted or _weighs_classes(evidence):
        return Passed(ratio, threshold)
    if not data.is_complete and not _differ(fewest, most, data.looked_at, threshold):
        return NotChecked(f"{plural(data.looked_at, 'label')} are too few", ratio, threshold)
    rare = [each for each in classes if data.labels.counts[each] * threshold < most]
    return Found(
        f"The classes are imbalanced: class {classes[-1]} has {ratio:.0f} times as many training images as class "
        f"{classes[0]}.",
        f"Class {classes[-1]} has {plural(most, 'image')}, class {classes[0]} has {count(fewest)}. "
        f"{_rare(rare)} Neither classes nor images are weighted.",
        f"Weight the classes: `class_weight = {{c: {sum(data.labels.counts) / len(classes):.4g} / n for c, n in "
        "zip(*np.unique(y, return_counts=True))}; model.fit(..., class_weight=class_weight)`. Or collect images of the "
        "rare classes.",
        ratio,
        threshold,
        why="The model learns to name the frequent classes, and the accuracy hides that it misses the rare ones.",
    )


def _weighs_classes(evidence: Evidence) -> bool:
    """Whether the loss gives rare or difficult images more weight."""
    return evidence.compiled is not None and "focal" in evidence.compiled.loss.lower()


def _differ(fewest: int, most: int, images: int, threshold: float) -> bool:
    """Whether the ratio in all images is above the threshold, if some of them were drawn at random."""
    return wilson(most, images)[0] > threshold * wilson(fewest, images)[1]


def _rare(classes: list[int]) -> str:
    if len(classes) == 1:
        return "Only this class is so rare."
    return f"{len(classes)} classes are as rare, those with the numbers {_listed(sorted(classes))}."


def little_data(evidence: Evidence, threshold: float) -> Answer:
    """A class has fewer than `threshold` training images on average."""
    data = given(evidence.training_data)
    if not _has_classes(data.labels):
        return NotChecked(_NO_CLASSES)
    if data.size is None:
        return NotChecked("the number of training images is not known")
    validation = evidence.validation_data
    classes = max(data.labels.classes, validation.labels.classes if validation else 0)
    each = data.size / classes
    if each >= threshold:
        return Passed(each, threshold)
    return Found(
        f"There are too few training images: {each:.1f} per class.",
        f"{plural(data.size, 'training image')} for {classes} classes.",
        "Collect more images, or start from a trained backbone such as "
        '`keras.applications.MobileNetV3Small(include_top=False, weights="imagenet", pooling="avg")` and train only '
        "the layers behind it.",
        each,
        threshold,
        why="The model learns these images by heart, and what it learns is not true of others.",
    )


def not_shuffled(evidence: Evidence, threshold: float) -> Answer:
    """Batches have fewer classes than random ones: less than `threshold` of those beyond the first."""
    data = given(evidence.training_data)
    if not _has_classes(data.labels):
        return NotChecked(_NO_CLASSES)
    batches, size = data.classes_in_batches, data.batch_size or 1
    if not batches:
        return Passed()
    if not data.is_complete and data.labels.classes == 1:
        return _one_class_so_far(evidence, data, threshold)
    expected, deviation = classes_at_random(data.labels.counts, size)
    if expected < 1 + 1e-9:
        return NotChecked("batches of one image do not show the order" if size == 1 else "there is only one class")
    mean = sum(batches) / len(batches)
    share = (mean - 1) / (expected - 1)
    if share >= threshold:
        return Passed(share, threshold)
    if (expected - mean) * sqrt(len(batches)) < UNLIKELY * deviation:
        return NotChecked(f"{_batches(batches)} of {plural(size, 'image')} are too few", share, threshold)
    return _sorted(
        f"The first {_batches(batches)}, each with {plural(size, 'image')}, have {mean:.1f} classes on average. In "
        f"random order they would have {expected:.1f} of the {data.labels.classes} classes.",
        share,
        threshold,
    )


def _one_class_so_far(evidence: Evidence, data: ImageSet, threshold: float) -> Answer:
    """The answer if all labels that were read are the same, but not all were read."""
    validation = evidence.validation_data
    only = _occurring(data.labels)[0]
    counts = validation.labels.counts if validation and _has_classes(validation.labels) else ()
    share = counts[only] / sum(counts) if only < len(counts) else 1.0
    if share**data.looked_at > 1e-6:
        return NotChecked(f"the first {plural(data.looked_at, 'label')} are too few", 0.0, threshold)
    return _sorted(
        f"The first {plural(data.looked_at, 'image')} all belong to class {only}. Of the validation images, "
        f"{percent(share)} do.",
        0.0,
        threshold,
    )


def _sorted(evidence: str, share: float, threshold: float) -> Found:
    return Found(
        "The training data is not shuffled: a batch has images of one or few classes.",
        evidence,
        "Shuffle the images with a buffer of all images, before they are put into batches: "
        "`dataset.shuffle(len(x)).batch(batch_size)`. With arrays, `model.fit(x, y, shuffle=True)` does it. In a "
        "`PyDataset`, shuffle in `on_epoch_end` and at the start.",
        share,
        threshold,
        why="Each update teaches the model the classes of its batch and makes it forget the others.",
    )


def classes_at_random(counts: Sequence[int], size: int) -> tuple[float, float]:
    """Mean of the number of classes in a batch of images drawn at random, and a bound of its standard deviation.

    The classes of a batch compete for its places, so the variance is at most that of independent classes.

    Example:
        >>> [round(each, 3) for each in classes_at_random([50, 50], 2)]
        [1.5, 0.612]

    Args:
        counts: Number of images of each class.
        size: Number of images in a batch.
    """
    share = np.array(counts, float) / sum(counts)
    absent = np.where(share > 0, (1 - share) ** size, 1.0)
    return float((1 - absent).sum()), sqrt(float((absent * (1 - absent)).sum()))


def _has_classes(labels: Labels) -> bool:
    return bool(labels.counts) and labels.sums_to_one is not False


def _occurring(labels: Labels) -> list[int]:
    return [place for place, number in enumerate(labels.counts) if number]


def _batches(batches: Sequence[int]) -> str:
    return "batch" if len(batches) == 1 else f"{len(batches)} batches"


def _listed(numbers: Iterable[int]) -> str:
    names = [str(each) for each in numbers]
    if len(names) > _MOST_NAMED:
        return f"{', '.join(names[:_MOST_NAMED])} and {len(names) - _MOST_NAMED} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
