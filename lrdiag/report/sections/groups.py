"""Groups of mistakes that can be shown alone: those that a finding names, and the slices of the test set."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from lrdiag.diagnosis.findings.checking import every_finding
from lrdiag.record.data_facts import Suspect, unpacked
from lrdiag.record.facts import Diagnosis, Finding


@dataclass(frozen=True)
class Group:
    """Some of the mistakes on the page.

    Attributes:
        key: Its short name in the address of the page, and below each of its images.
        title: What it is, in words.
        images: Indices of its images in the test set.
    """

    key: str
    title: str
    images: frozenset[int]


def finding_groups(diagnosis: Diagnosis, shown: Set[int]) -> list[Group]:
    """The images of `shown` that each finding or effect names or exhibits. Findings without such images are left out.

    Args:
        diagnosis: The facts of the run.
        shown: Indices of the mistakes on the page.
    """
    groups = [Group(each.code, each.title, _named_by(each) & shown) for each in every_finding(diagnosis)]
    return [group for group in groups if group.images]


def _named_by(finding: Finding) -> frozenset[int]:
    exhibited = (each.image for each in finding.exhibits)
    return frozenset(finding.images) | {image.index for image in exhibited if image and image.part == "test"}


def slice_groups(diagnosis: Diagnosis, shown: Set[int]) -> list[Group]:
    """The images of `shown` in each slice, numbered from 1. Slices without such images are left out."""
    groups = [
        Group(str(number), each.name, frozenset(unpacked(each.members, diagnosis.test.size).tolist()) & shown)
        for number, each in enumerate(diagnosis.data.slices or [], start=1)
        if each.members
    ]
    return [group for group in groups if group.images]


def label_suspects(diagnosis: Diagnosis, shown: Set[int]) -> dict[int, Suspect]:
    """The images of `shown` whose labels are probably wrong, by their index."""
    suspects = diagnosis.data.suspects or []
    return {each.image.index: each for each in suspects if each.image.part == "test" and each.image.index in shown}
