"""Which images to look at first."""

from __future__ import annotations

import dataclasses

from fixtures.variants import changed, without_sheets

from lrdiag.record.facts import Finding, Run
from lrdiag.report.sections import first
from lrdiag.report.telling import telling


def chosen(run: Run, shown: list[int] | None = None) -> list[tuple[int, str]]:
    return [(each.place, each.reason) for each in telling(run.diagnosis, shown)]


def test_shows_the_highest_loss_and_what_is_typical_of_the_worst_pairs(runs: dict[str, Run]) -> None:
    """The places are in the order of the pairs: 14 of cat, 9 of dog, 6 of automobile, 4 of airplane, 3 of deer."""
    assert chosen(runs["ordinary"]) == [
        (0, "highest loss"),
        (7, "typical of 14 of its pair"),
        (18, "typical of 9 of its pair"),
        (26, "typical of 6 of its pair"),
        (31, "one of 4 of its pair"),
        (34, "one of 3 of its pair"),
    ]


def test_findings_choose_two_and_pairs_are_not_findings(runs: dict[str, Run]) -> None:
    found = [
        Finding("weak-class", "warning", "", "", "", images=[7, 14]),
        Finding("confused-pair", "note", "", "", "", images=[21]),
        Finding("weak-slice", "note", "", "", "", images=[7, 28]),
        Finding("label-errors", "note", "", "", "", images=[35]),
    ]
    reasons = chosen(changed(runs["ordinary"], findings=found))[:3]
    assert reasons == [(1, "finding: weak class"), (4, "finding: weak slice"), (0, "highest loss")]
    accepted = [dataclasses.replace(each, accepted="known") for each in found]
    assert chosen(changed(runs["ordinary"], findings=accepted)) == chosen(runs["ordinary"])


def test_a_broken_image_is_shown(runs: dict[str, Run]) -> None:
    assert chosen(runs["compared"])[0] == (36, "broken: the baseline is right")


def test_no_image_is_chosen_twice_and_only_those_that_are_shown(runs: dict[str, Run]) -> None:
    assert chosen(runs["ordinary"], [3, 5]) == [(3, "highest loss"), (5, "typical of 14 of its pair")]
    assert chosen(runs["no mistakes"]) == []
    two = chosen(runs["two classes"])
    assert sorted(place for place, _ in two) == [0, 1, 2]


def test_the_section_links_to_the_images_on_the_page(runs: dict[str, Run]) -> None:
    section = first.build(runs["left out"])
    assert section
    assert [tile.mistake.index for tile in section.tiles] == [0, 7 * 2, 7 * 38]
    assert section.mapped
    assert [(tile.x, tile.y) for tile in section.tiles][:2] == [(0, 0), (1, 0)]
    assert first.build(runs["no mistakes"]) is None
    bare = first.build(without_sheets(runs["ordinary"], "mistakes-predicted"))
    assert bare
    assert not bare.mapped
