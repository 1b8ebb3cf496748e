"""Rules about images and groups of images that are there more than once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import MOST_EXHIBITS, MOST_IMAGES, Answer, Found, Passed, Shown, listed
from lrdiag.formats import count, percent, plural, short
from lrdiag.record.data_facts import Copies, Copy, CopyKind, ImageRef
from lrdiag.record.facts import Severity
from lrdiag.record.image_table import ImageTable

_MOSTLY = 0.05
"""Share of the test images that were seen in training, from which on the accuracy can't be trusted."""
_HARMLESS = 0.01
"""How far the accuracy may change without the copies for them to be harmless."""
_WHOLE = ("exact", "mirrored", "shifted")
"""Kinds of copies that show the whole original."""
_KINDS: dict[CopyKind, str] = {
    "exact": "equal",
    "near": "slightly changed",
    "mirrored": "mirrored",
    "shifted": "shifted",
    "scaled": "cut or scaled",
    "group": "of the same group",
}
_PARTS = {"test": "test", "train": "training"}


def leaked_copies(evidence: Evidence, threshold: float) -> Answer:
    """Test images are copies of training images: an error from 5 % on, a note up to `threshold`.

    Up to 5 %, it is also a note if few of them are whole images and all together hardly change the accuracy. That is so
    if similar photographs were collected, as in CIFAR-10, but not if images came into both sets.
    """
    copies, images = given(evidence.copies), given(evidence.test_images)
    share = copies.test_in_train / len(images)
    if not share:
        return Passed(0.0, threshold)
    pairs = [copy for copy in copies.pairs if _is_leak(copy)]
    whole = share * sum(copy.kind in _WHOLE for copy in pairs) / len(pairs)
    is_harmless = whole <= threshold and abs(_gain(copies, images)) <= _HARMLESS
    return Found(
        f"{_are(copies.test_in_train, 'test image')} of training images ({percent(share)}).",
        f"{_by_kind(pairs, copies)} {_accuracies(copies.test_in_train, copies.correct, images, 'copies')}"
        f"{_searched(evidence)}",
        "Remove the copies from one of the sets. Remove copies before you divide the images, and divide before "
        "anything changes them. If images come from a few sources (patients, scenes, videos), divide the sources.",
        share,
        threshold,
        [copy.image.index for copy in pairs][:MOST_IMAGES],
        why="The model is evaluated on images that it was trained on, so its accuracy on new images is lower.",
        severity="note" if is_harmless and share < _MOSTLY else _severity(share, threshold),
        exhibits=_shown(evidence, pairs),
    )


def leaked_groups(evidence: Evidence, threshold: float) -> Answer:
    """Groups of images are in the test set and in the training set: an error from 5 % on, a note up to `threshold`."""
    copies, images = given(evidence.copies), given(evidence.test_images)
    shared = given(copies.shared_groups)
    share = shared.test_images / len(images)
    if not share:
        return Passed(0.0, threshold)
    names = listed([f"“{short(name)}”" for name in shared.names])
    return Found(
        f"{plural(shared.count, 'group')} of images {'is' if shared.count == 1 else 'are'} in the test set and in the "
        "training set.",
        f"{percent(share)} of the test images ({count(shared.test_images)} of {count(len(images))}) are of a group "
        f"that the model was trained on: {names}. The test set has {plural(shared.groups, 'group')}. "
        f"{_accuracies(shared.test_images, shared.correct, images, 'images')}",
        "Divide groups, not images: `GroupShuffleSplit(test_size=0.2).split(x, y, groups)` of scikit-learn.",
        share,
        threshold,
        [copy.image.index for copy in shared.pairs][:MOST_IMAGES],
        why="Images of one group resemble each other, so the accuracy on images of new groups is lower.",
        severity=_severity(share, threshold),
        exhibits=_shown(evidence, shared.pairs),
    )


def repeated_images(evidence: Evidence, threshold: float) -> Answer:
    """Images of a set repeat others of the same set; a note up to a share of `threshold`."""
    copies = given(evidence.copies)
    numbers = {"test": copies.within_test, "train": copies.within_train}
    shares = {
        part: numbers[part] / len(table)
        for part, table in (("test", evidence.test_images), ("train", evidence.training_images))
        if table is not None and len(table)
    }
    share = max(shares.values(), default=0.0)
    if not share:
        return Passed(0.0, threshold)
    pairs = [copy for copy in copies.pairs if not _is_leak(copy)]
    parts = [part for part in shares if numbers[part]]
    named = " and ".join(f"{percent(shares[part])} of the {_PARTS[part]} images" for part in parts)
    how_many = " and ".join(plural(numbers[part], f"{_PARTS[part]} image") for part in parts)
    return Found(
        f"{named} repeat other images of the same set.",
        f"{how_many} show the same as an earlier image of the set. {_by_kind(pairs, copies)}{_searched(evidence)}",
        "Keep one image of each. If they are repeated on purpose, to balance the classes, use `class_weight` in `fit` "
        "instead, and repeat no test images.",
        share,
        threshold,
        [copy.image.index for copy in pairs if copy.image.part == "test"][:MOST_IMAGES],
        why="Repeated training images count more than others. Repeated test images make the accuracy look more certain "
        "than it is, and if the images are divided again, copies come into both sets.",
        severity="note" if share <= threshold else None,
        exhibits=_shown(evidence, pairs),
    )


def copies_with_other_labels(evidence: Evidence, threshold: float) -> Answer:
    """Copies have other labels than their originals; a note up to a share of `threshold` of all images."""
    copies = given(evidence.copies)
    share = copies.other_labels / max(1, copies.searched)
    if not share:
        return Passed(0.0, threshold)
    pairs = [copy for copy in copies.pairs if not copy.same_label]
    number = copies.other_labels
    return Found(
        f"{plural(number, 'image')} {'has' if number == 1 else 'have'} another label than a copy of the same image.",
        f"{_by_kind(pairs, copies)} Both labels can't be right, unless an image may belong to several classes."
        f"{_searched(evidence)}",
        "Look at the pairs, correct the wrong label, and keep one image of each pair.",
        share,
        threshold,
        _test_images(pairs),
        why="At least one label of each pair is wrong. In training, the two contradict each other.",
        severity="note" if share <= threshold else None,
        exhibits=_shown(evidence, pairs),
    )


def _severity(share: float, threshold: float) -> Severity:
    return "note" if share <= threshold else "error" if share >= max(_MOSTLY, threshold) else "warning"


def _is_leak(copy: Copy) -> bool:
    return copy.image.part == "test" and copy.original.part == "train"


def _are(number: int, noun: str) -> str:
    return f"{plural(number, noun)} {'is a copy' if number == 1 else 'are copies'}"


def _by_kind(pairs: list[Copy], copies: Copies) -> str:
    """How the copies differ from their originals."""
    kinds = Counter(copy.kind for copy in pairs)
    numbers = ", ".join(f"{count(number)} {_KINDS[kind]}" for kind, number in kinds.most_common())
    listed_only = f"Of the first {count(len(pairs))} that are listed: " if len(copies.pairs) >= 1000 else "Of these: "
    only = (
        ""
        if copies.tells_near
        else " Only copies with equal pixels are counted: in this set, others can't be told from similar images."
    )
    return f"{listed_only}{numbers}.{only}"


def _gain(copies: Copies, images: ImageTable) -> float:
    """By how much the copies raise the accuracy."""
    right, others = int((images.predictions.predicted == images.labels).sum()), len(images) - copies.test_in_train
    return right / len(images) - (right - copies.correct) / others if others else 1.0


def _accuracies(number: int, correct: int, images: ImageTable, noun: str) -> str:
    """The accuracy on these images, and without them."""
    right = int((images.predictions.predicted == images.labels).sum())
    others = len(images) - number
    if not others:
        return "All test images are such images, so no accuracy on others can be given."
    return (
        f"{percent(correct / number)} of these {noun} are classified correctly, and "
        f"{percent((right - correct) / others)} of the other test images."
    )


def _searched(evidence: Evidence) -> str:
    training = evidence.training_images
    if training is None or training.is_complete:
        return ""
    return f" Only {count(len(training))} of {count(training.size)} training images were searched."


def _test_images(pairs: list[Copy]) -> list[int]:
    images = [each.index for copy in pairs for each in (copy.image, copy.original) if each.part == "test"]
    return list(dict.fromkeys(images))[:MOST_IMAGES]


def _shown(evidence: Evidence, pairs: list[Copy]) -> list[Shown]:
    """Pairs of pictures. The most telling come first: those whose labels differ, and then those that were changed."""
    tables = {part: evidence.images(part) for part in ("test", "train")}
    ranked = sorted(pairs, key=lambda copy: (copy.same_label, copy.kind == "exact"))
    return [Shown(copy.image, _caption(evidence, copy), _pictures(copy, tables.get)) for copy in ranked[:MOST_EXHIBITS]]


def _caption(evidence: Evidence, copy: Copy) -> str:
    where = f"{_KINDS[copy.kind]}: {_PARTS[copy.original.part]} image {copy.original.index}"
    if copy.same_label:
        return where
    names = [short(evidence.facts.dataset.classes[_label(evidence, each)]) for each in (copy.image, copy.original)]
    return f"{where}; labels {names[0]} and {names[1]}"


def _label(evidence: Evidence, image: ImageRef) -> int:
    table = given(evidence.images(image.part))
    return int(table.labels[table.row(image.index)])


def _pictures(copy: Copy, table_of: Callable[[str], ImageTable | None]) -> tuple[np.ndarray, ...]:
    found = []
    for image in (copy.image, copy.original):
        table = table_of(image.part)
        if table is not None:
            found.append(table.pictures[table.row(image.index)])
    return tuple(found)
