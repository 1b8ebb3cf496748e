"""Comparison of two runs on the same test images, image by image."""

from __future__ import annotations

import dataclasses
from collections import Counter
from math import sqrt

import numpy as np

from lrdiag.diagnosis.check_settings import AS_IN_THE_TABLE, CheckSettings
from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import MOST_IMAGES
from lrdiag.diagnosis.findings.checking import check_again, every_finding
from lrdiag.diagnosis.findings.rules import RULES
from lrdiag.errors import ComparisonError
from lrdiag.intervals import Z, conclude, consistent, mcnemar
from lrdiag.record.data_facts import unpacked
from lrdiag.record.facts import (
    ClassChange,
    Comparison,
    DatasetFacts,
    Diagnosis,
    PairChange,
    SettingChange,
    SliceChange,
)
from lrdiag.record.fingerprint import FORM
from lrdiag.record.wrong_images import WrongImages

_MOST_PAIRS = 100
_OF_COMPARISON = {rule.code for rule in RULES if "comparison" in rule.needs}


def compare(
    base: Diagnosis, head: Diagnosis, before: WrongImages | None = None, now: WrongImages | None = None
) -> Comparison:
    """Compares two runs on one test set, image by image.

    The test decides whether a difference is detectable. If the interval disagrees, its nearer end is moved to 0, so
    that both agree; the two approximations differ by less than 0.3 points.

    Args:
        base: The earlier run.
        head: This run.
        before: The misclassified images of the earlier run. Defaults to those that its facts list.
        now: Those of this run.

    Raises:
        ComparisonError: If their test images or their classes differ, or not all misclassified images are known.
    """
    refuse_other_images(base.dataset, head.dataset)
    before, now = _all_of(base, before, "baseline"), _all_of(head, now, "run")
    classes = len(head.dataset.classes)
    broken, fixed = now.take(~np.isin(now.index, before.index)), before.take(~np.isin(before.index, now.index))
    worse, better = set(broken.index.tolist()), set(fixed.index.tolist())
    of_class = [np.bincount(each.true, minlength=classes).tolist() for each in (broken, fixed)]
    pairs = _pairs(before, now, classes)
    p_value = mcnemar(len(broken), len(fixed))
    conclusion = conclude(len(fixed) - len(broken), p_value)
    low, high = consistent(paired_interval(len(broken), len(fixed), head.test.size), conclusion)
    return Comparison(
        base_model=base.model,
        base_commit=base.git_commit,
        base=base.test,
        base_calibration_error=base.calibration.error,
        difference=(len(fixed) - len(broken)) / head.test.size,
        difference_low=low,
        difference_high=high,
        p_value=p_value,
        conclusion=conclusion,
        broken=[place for place, each in enumerate(head.misclassified.items) if each.index in worse],
        fixed=[each for each in base.misclassified.items if each.index in better],
        broken_count=len(broken),
        fixed_count=len(fixed),
        classes=[
            ClassChange(index, was.recall, now_is.recall, lost, gained)
            for index, (was, now_is, lost, gained) in enumerate(
                zip(base.per_class, head.per_class, *of_class, strict=True)
            )
        ],
        changes=_changes(base, head),
        pairs=[each for each in pairs if each.head > each.base][:_MOST_PAIRS],
        pairs_compared=len(pairs),
        slices=_slices(base, broken, fixed),
        new_findings=_not_in(base, head),
        gone_findings=_not_in(head, base),
    )


def with_comparison(
    head: Diagnosis, comparison: Comparison, check_settings: CheckSettings = AS_IN_THE_TABLE
) -> Diagnosis:
    """Returns the facts of a run with its comparison, and applies the rules that need one.

    Args:
        head: The run.
        comparison: Its comparison.
        check_settings: What differs from the table of rules.
    """
    evidence = Evidence(dataclasses.replace(head, comparison=comparison))
    return check_again(evidence, "comparison", settings=check_settings)


def refuse_other_images(base: DatasetFacts, head: DatasetFacts) -> None:
    """Raises if two runs cannot be compared. Call it before anything slow starts.

    Raises:
        ComparisonError: If their classes or test images differ.
    """
    if base.classes != head.classes:
        raise ComparisonError(
            "A run and its baseline must have the same classes in the same order. Make the baseline again with this "
            f"data. Received: {_but(head.classes, base.classes)} in the run, {_but(base.classes, head.classes)} in "
            "the baseline"
        )
    if base.test_size != head.test_size or not _may_be_equal(base, head):
        raise ComparisonError(
            "A run and its baseline must use the same test images in the same order. Make the baseline again "
            "with the same data, image size and limit of test images. "
            f"Received: {_images(head)} in the run, {_images(base)} in the baseline"
        )


def _may_be_equal(base: DatasetFacts, head: DatasetFacts) -> bool:
    if has_old_fingerprint(base) == has_old_fingerprint(head):
        return base.test_fingerprint == head.test_fingerprint
    return (base.image_shape, base.test_counts) == (head.image_shape, head.test_counts)


def has_old_fingerprint(dataset: DatasetFacts) -> bool:
    """Returns whether the images can't be compared by their fingerprint, because lrdiag 0.1 made it."""
    return not dataset.test_fingerprint.startswith(FORM)


def _but(classes: list[str], others: list[str]) -> str:
    """Describes the first class that differs, and the number of classes."""
    place = next((i for i, (one, other) in enumerate(zip(classes, others, strict=False)) if one != other), None)
    differs = f"class {place} is {classes[place][:40]!r} of " if place is not None else ""
    return f"{differs}{len(classes)} classes"


def _images(facts: DatasetFacts) -> str:
    return f"{facts.test_size:,} of {facts.name[:40]!r} (fingerprint {facts.test_fingerprint[:12]!r})"


def paired_interval(broken: int, fixed: int, size: int) -> tuple[float, float]:
    """95 % interval of the difference of two accuracies on the same images: Bonett and Price's adjusted Wald interval.

    Example:
        >>> [round(end, 4) for end in paired_interval(broken=4, fixed=26, size=48)]
        [0.2548, 0.6252]

    Source: Bonett and Price, "Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on
    Paired Data" (2012); recommended by Fagerland, Lydersen and Laake, "Recommended tests and confidence intervals for
    paired binomial proportions" (2014).

    Args:
        broken: Number of images that only the earlier model classifies correctly.
        fixed: Number of images that only the later model classifies correctly.
        size: Number of all images.
    """
    worse, better = (broken + 1) / (size + 2), (fixed + 1) / (size + 2)
    difference = better - worse
    margin = Z * sqrt((better + worse - difference**2) / (size + 2))
    return max(-1.0, difference - margin), min(1.0, difference + margin)


def _all_of(run: Diagnosis, wrong: WrongImages | None, name: str) -> WrongImages:
    """The misclassified images of a run, given or listed in its facts."""
    found = WrongImages.listed_in(run) if wrong is None else wrong
    if found is None:
        raise ComparisonError(
            "A comparison is made image by image, and report.json describes only the misclassified images with the "
            "highest loss. Name the run folder, whose mistakes.npz has all of them. Received: a report.json without "
            f"mistakes.npz for the {name}, with {len(run.misclassified.items):,} of {run.misclassified.count:,} "
            "misclassified images"
        )
    return found


def _pairs(before: WrongImages, now: WrongImages, classes: int) -> list[PairChange]:
    """The pairs of classes that are confused in one of the runs, those with the most added images first."""
    confused = [each.true * classes + each.predicted for each in (before, now)]
    images = [each.index * classes**2 + pair for each, pair in zip((before, now), confused, strict=True)]
    counts = _counted(confused[0])
    gained = _counted(confused[1][~np.isin(images[1], images[0])])
    lost = _counted(confused[0][~np.isin(images[0], images[1])])
    changes = [
        PairChange(
            *divmod(pair, classes), counts[pair], counts[pair] + gained[pair] - lost[pair], gained[pair], lost[pair]
        )
        for pair in sorted({*counts, *gained})
    ]
    return sorted(changes, key=lambda each: each.base - each.head)


def _counted(values: np.ndarray) -> Counter[int]:
    found, counts = np.unique(values, return_counts=True)
    return Counter(dict(zip(found.tolist(), counts.tolist(), strict=True)))


def _slices(base: Diagnosis, broken: WrongImages, fixed: WrongImages) -> list[SliceChange]:
    changes = []
    for each in base.data.slices or []:
        members = unpacked(each.members, base.test.size)
        worse = broken.index[np.isin(broken.index, members)].tolist()
        better = int(np.isin(fixed.index, members).sum())
        changed = each.wrong + len(worse) - better
        changes.append(SliceChange(each.name, each.size, each.wrong, changed, len(worse), better, worse[:MOST_IMAGES]))
    return changes


def _not_in(other: Diagnosis, run: Diagnosis) -> list[str]:
    """Codes of the errors and warnings of a run whose rule passed in the other one."""
    passed = {check.code for check in other.checks if check.status == "passed"} - _OF_COMPARISON
    return [each.code for each in every_finding(run) if each.severity != "note" and each.code in passed]


def _changes(base: Diagnosis, head: Diagnosis) -> list[SettingChange]:
    before = {**base.settings, "backend": base.backend, **base.versions, "commit": base.git_commit}
    now = {**head.settings, "backend": head.backend, **head.versions, "commit": head.git_commit}
    return [
        SettingChange(name, before.get(name), now.get(name))
        for name in dict.fromkeys([*now, *before])
        if before.get(name) != now.get(name)
    ]
