"""The section on the comparison with a baseline."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest
from bs4 import Tag
from fixtures.pages import parse
from fixtures.variants import without_sheets

from lrdiag.record.facts import Averages, ClassChange, Comparison, Mistake, Run, Score, SettingChange
from lrdiag.report.page import render_page
from lrdiag.report.sections import comparison as section
from lrdiag.report.sections.comparison import ClassRow


def found(page: str) -> Tag:
    return parse(page).find(id="comparison")


def words(tag: Tag) -> str:
    return " ".join(tag.get_text(" ").split())


MEANS = Averages(0.77, 0.77, 0.77)
SCORE = Score(10_000, 0.77, 0.76, 0.78, 0.7, 0.77, None, MEANS, MEANS)


def make(**changes: object) -> Comparison:
    """150 more correct than before, of 10,000."""
    fixed = [Mistake(index, 1, 0, 0.5, 1.0, [0], [0.5]) for index in range(400)]
    comparison = Comparison(
        "old", None, SCORE, 0.05, 0.015, 0.0098, 0.0202, 1.6e-8, "better", list(range(250)), fixed,
        [], [],
    )  # fmt: skip
    return dataclasses.replace(comparison, **changes)


def beside(run: Run, **changes: object) -> Run:
    """The run with another comparison."""
    assert run.diagnosis.comparison
    comparison = dataclasses.replace(run.diagnosis.comparison, **changes)
    return dataclasses.replace(run, diagnosis=dataclasses.replace(run.diagnosis, comparison=comparison))


@pytest.mark.parametrize(
    ("changes", "headline", "sentence"),
    [
        (
            {},
            "1.50 points better than the baseline",
            "Better than the baseline by 1.50 points: accuracy is 78.5 % and was 77.0 %; the 95 % interval of the "
            "difference is +1.0 to +2.0 points.",
        ),
        (
            {"difference": -0.015, "difference_low": -0.02, "difference_high": -0.01, "conclusion": "worse"},
            "1.50 points worse than the baseline",
            "Worse than the baseline by 1.50 points: accuracy is 78.5 % and was 77.0 %; the 95 % interval of the "
            "difference is −2.0 to −1.0 points.",
        ),
        (
            {
                "difference": 0.0003, "difference_low": -0.002, "difference_high": 0.0026,
                "conclusion": "no detectable difference",
            },
            "no detectable difference from the baseline",
            "No detectable difference from the baseline: accuracy is 78.5 % and was 77.0 %; the 95 % interval of the "
            "difference is −0.2 to +0.3 points.",
        ),
    ],
)  # fmt: skip
def test_the_conclusion_is_one_sentence(changes: dict[str, float], headline: str, sentence: str) -> None:
    comparison = make(**changes)
    assert section.headline(comparison) == headline
    assert section.sentence(comparison, 0.785).replace("\u00a0", " ") == sentence


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "Of 10,000 test images, 400 were fixed and 250 broken (McNemar's mid-p test: p = 1.6e-8)."),
        (
            {"fixed": make().fixed[:1], "broken": [], "p_value": 1.0},
            "Of 10,000 test images, 1 was fixed and 0 broken (McNemar's mid-p test: p = 1.0).",
        ),
        ({"fixed": [], "broken": []}, "None of 10,000 test images was fixed or broken."),
    ],
)
def test_fixed_and_broken_images_are_counted(changes: dict[str, object], expected: str) -> None:
    assert section.evidence(make(**changes), 10_000).replace("\u00a0", " ") == expected


def test_classes_are_listed_by_their_loss_of_recall(runs: dict[str, Run]) -> None:
    changes = [
        ClassChange(0, 0.5, 0.75),
        ClassChange(1, 0.75, 0.5),
        ClassChange(2, None, 0.5),
        ClassChange(3, 0.5, 0.5),
    ]
    comparison = make(classes=changes, broken=[0, 1], fixed=make().fixed[:3])
    rows = section.class_rows(runs["ordinary"].diagnosis, comparison)  # its first mistakes show cats, class 3
    assert rows == [
        ClassRow("automobile", 0.75, 0.5, -0.25, fixed=3, broken=0),
        ClassRow("cat", 0.5, 0.5, 0.0, fixed=0, broken=2),
        ClassRow("airplane", 0.5, 0.75, 0.25, fixed=0, broken=0),
        ClassRow("bird", None, 0.5, None, fixed=0, broken=0),
    ]


def test_with_many_classes_those_that_changed_most_are_listed_in_their_order() -> None:
    changes = [-0.3, -0.01, 0.0, 0.02, 0.4, None]
    rows = [ClassRow(f"{change}", 0.5, 0.5, change, 0, 0) for change in changes]
    assert [row.change for row in section.most_changed(rows, 3)] == [-0.3, 0.02, 0.4]
    assert section.most_changed(rows, 10) == rows


def test_the_section_equals_its_gold_file(pages: dict[str, str], gold: Callable[[str, str], None]) -> None:
    text = re.search(r'<section id="comparison".*?</section>\n', pages["compared"], flags=re.DOTALL)
    assert text
    gold("comparison.html", text[0])


def test_follows_the_findings_and_is_in_the_contents(pages: dict[str, str]) -> None:
    document = parse(pages["compared"])
    assert [part["id"] for part in document("section")][:3] == ["findings", "first", "comparison"]
    assert document.nav.find("a", href="#comparison")


def test_without_a_baseline_it_is_absent_and_only_checks_and_the_choice_of_images_mention_one(
    pages: dict[str, str],
) -> None:
    assert found(pages["ordinary"]) is None
    content = parse(pages["ordinary"]).body.get_text()
    mentions = ("the run was not compared with a baseline", "if there is a baseline")
    assert content.count("aseline") == sum(content.count(each) for each in mentions) == 2


def test_the_verdict_states_the_change(pages: dict[str, str]) -> None:
    header = words(parse(pages["compared"]).header)
    expected = (
        "No detectable difference: +0.50 points, 95\u00a0% interval −2.7 to +3.7; 5 images fixed, 4 broken. Comparison"
    )
    assert expected.replace("\u00a0", " ") in header


def test_names_the_baseline_and_the_changed_settings(runs: dict[str, Run], pages: dict[str, str]) -> None:
    content = words(found(pages["compared"]))
    assert "The baseline: model “ fast 0 ”, commit 3f2a91c ." in content
    assert "Changed since the baseline: epochs 2 → 3 ; fast fast → not set ." in content
    other = beside(runs["compared"], base_commit=None, changes=[SettingChange("mixed_precision", True, False)])
    content = words(found(render_page(other)))
    assert "model “ fast 0 ”." in content
    assert "mixed precision yes → no" in content
    assert "Changed since" not in words(found(render_page(beside(runs["compared"], changes=[]))))


def test_names_new_and_gone_findings(runs: dict[str, Run], pages: dict[str, str]) -> None:
    other = beside(runs["compared"], new_findings=["weak-slice", "weak-class"], gone_findings=["overconfident"])
    content = words(found(render_page(other)))
    assert "New findings: weak-slice , weak-class ." in content
    assert "Findings of the baseline that are gone: overconfident ." in content
    assert "indings" not in words(found(pages["compared"]))


def tiles(page: str, side: str) -> list[Tag]:
    return found(page).select(f".{side} .moved")


def test_shows_every_broken_or_fixed_image(runs: dict[str, Run], pages: dict[str, str]) -> None:
    comparison = runs["compared"].diagnosis.comparison
    assert comparison
    assert len(tiles(pages["compared"], "broken")) == len(comparison.broken) == 4
    assert len(tiles(pages["compared"], "fixed")) == len(comparison.fixed) == 5


def test_a_tile_names_the_change_and_has_its_position(runs: dict[str, Run], pages: dict[str, str]) -> None:
    sheet = runs["compared"].pictures.sheets["mistakes"]
    tile = tiles(pages["compared"], "broken")[0]
    place = 36  # the first four that the baseline knew
    assert tile["class"] == ["moved", f"x{place % sheet.columns}", f"y{place // sheet.columns}"]
    assert words(tile) == "bird → frog 51.1 % #252"
    assert len(tile("i")) == 2
    fixed = tiles(pages["compared"], "fixed")[1]
    assert fixed["class"] == ["moved", "x1", "y0"]
    assert words(fixed) == "truck → airplane 51.1 % #260"


def test_a_broken_image_links_to_its_larger_view(pages: dict[str, str]) -> None:
    document = parse(pages["compared"])
    for link in (tile.a for tile in tiles(pages["compared"], "broken")):
        assert document.find(id=link["href"][1:]).find_parent(id="misclassified")
    assert not [tile.a for tile in tiles(pages["compared"], "fixed") if tile.a]


def test_states_that_each_run_has_its_own_maps(pages: dict[str, str]) -> None:
    text = words(found(pages["compared"]))
    assert "The heatmap is from this run and explains the predicted class. The baseline has none" in text
    assert "The heatmap is from the baseline and explains the predicted class. This run has none" in text


def test_missing_pictures_are_mentioned(runs: dict[str, Run]) -> None:
    page = render_page(without_sheets(runs["compared"], "fixed", "fixed-predicted"))
    assert tiles(page, "fixed") == []
    assert "Fixed 5 images" in words(found(page))
    assert words(found(page)).count("The pictures are not available") == 1


def test_without_maps_there_are_images(runs: dict[str, Run]) -> None:
    page = render_page(without_sheets(runs["compared"], "fixed-predicted"))
    assert {len(tile("i")) for tile in tiles(page, "fixed")} == {1}
    assert {len(tile("i")) for tile in tiles(page, "broken")} == {2}


@pytest.mark.parametrize(("side", "other"), [("broken", "Fixed"), ("fixed", "Broken")])
def test_a_side_without_images_is_left_out(runs: dict[str, Run], side: str, other: str) -> None:
    run = without_sheets(beside(runs["compared"], **{side: []}), "fixed", "fixed-predicted")
    content = words(found(render_page(run)))
    assert f"{other} " in content
    assert f"{side.capitalize()} 0 images" not in content


def test_few_pictures_are_visible_and_the_rest_is_folded(runs: dict[str, Run]) -> None:
    broken = list(range(40))
    page = render_page(beside(runs["compared"], broken=broken))
    folded = found(page).find("summary", string="30 more").parent
    assert len(tiles(page, "broken")) == 40
    assert len(folded.select(".broken .moved")) == 30
    assert not folded.has_attr("open")


def test_the_number_of_pictures_is_limited(runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(section, "SHOWN", 3)
    page = render_page(runs["compared"])
    assert len(tiles(page, "broken")) == 3
    assert "Broken 4 images, 3 shown" in words(found(page))


def test_with_many_classes_some_are_left_out_and_counted(runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(section, "CLASSES_LISTED", 4)
    page = render_page(runs["compared"])
    assert len(found(page).tbody("tr")) == 4
    assert "Of 10 classes, these 4 changed most." in words(found(page))


@pytest.mark.parametrize(
    ("recalls", "axis", "places"),
    [
        ([(0.75, 0.5)], (0.5, 0.8), ["97.33", "4"]),
        ([(0.0, 1.0)], (0.0, 1.0), ["4", "116"]),
        ([(0.5, 0.5)], (0.0, 1.0), ["60", "60"]),
        ([(None, None)], (0.0, 1.0), None),
    ],
)
def test_the_line_includes_every_recall(
    runs: dict[str, Run], recalls: list[tuple[float | None, float | None]], axis: tuple[float, float], places: list[str]
) -> None:
    run = beside(runs["compared"], classes=[ClassChange(0, *each) for each in recalls])
    facts = section.build(run)
    assert facts
    assert facts.axis == axis
    circles = [circle["cx"] for circle in found(render_page(run)).select("svg circle")]
    assert circles == (places or [])
