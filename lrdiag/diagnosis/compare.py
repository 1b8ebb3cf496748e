"""Comparison of two runs on the same test images, image by image."""

from __future__ import annotations

import dataclasses
from math import sqrt

from lrdiag.diagnosis.check_settings import AS_IN_THE_TABLE, CheckSettings
from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.checking import check_again
from lrdiag.errors import ComparisonError
from lrdiag.intervals import Z, conclude, consistent, mcnemar
from lrdiag.record.facts import ClassChange, Comparison, DatasetFacts, Diagnosis, SettingChange


def compare(base: Diagnosis, head: Diagnosis) -> Comparison:
    """Compares two runs on one test set, image by image.

    The test decides whether a difference is detectable. If the interval disagrees, its nearer end is moved to 0, so
    that both agree; the two approximations differ by less than 0.3 points.

    Args:
        base: The earlier run.
        head: This run.

    Raises:
        ComparisonError: If their test images or their classes differ.
    """
    refuse_other_images(base.dataset, head.dataset)
    wrong_before = {mistake.index for mistake in base.misclassified.items}
    wrong_now = {mistake.index for mistake in head.misclassified.items}
    broken = [place for place, each in enumerate(head.misclassified.items) if each.index not in wrong_before]
    fixed = [each for each in base.misclassified.items if each.index not in wrong_now]
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
        broken=broken,
        fixed=fixed,
        classes=[
            ClassChange(index, before.recall, now.recall)
            for index, (before, now) in enumerate(zip(base.per_class, head.per_class, strict=True))
        ],
        changes=_changes(base, head),
    )


def with_comparison(
    head: Diagnosis, comparison: Comparison, check_settings: CheckSettings = AS_IN_THE_TABLE
) -> Diagnosis:
    """Returns the facts of a run with its comparison, and applies the rules that need one."""
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
    if base.test_fingerprint != head.test_fingerprint:
        raise ComparisonError(
            "A run and its baseline must use the same test images in the same order. Make the baseline again "
            "with the same data, image size and limit of test images. "
            f"Received: {_images(head)} in the run, {_images(base)} in the baseline"
        )


def _but(classes: list[str], others: list[str]) -> str:
    """Describes the first class that differs, and the number of classes."""
    place = next((i for i, (one, other) in enumerate(zip(classes, others, strict=False)) if one != other), None)
    differs = f"class {place} is {classes[place][:40]!r} of " if place is not None else ""
    return f"{differs}{len(classes)} classes"


def _images(facts: DatasetFacts) -> str:
    return f"{facts.test_size:,} of {facts.name[:40]} (fingerprint {facts.test_fingerprint[:12]})"


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


def _changes(base: Diagnosis, head: Diagnosis) -> list[SettingChange]:
    before = {**base.settings, "backend": base.backend, **base.versions, "commit": base.git_commit}
    now = {**head.settings, "backend": head.backend, **head.versions, "commit": head.git_commit}
    return [
        SettingChange(name, before.get(name), now.get(name))
        for name in dict.fromkeys([*now, *before])
        if before.get(name) != now.get(name)
    ]
