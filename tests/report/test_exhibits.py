"""The images under the findings, on the page and in the summary."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from bs4 import Tag
from fixtures.exhibits import with_findings
from fixtures.pages import parse
from fixtures.variants import changed, storable

from lrdiag.diagnosis.check_settings import CheckSettings
from lrdiag.diagnosis.findings.checking import with_settings
from lrdiag.record import exchange, reading
from lrdiag.record.data_facts import Exhibit, ImageRef
from lrdiag.record.facts import Finding, Run
from lrdiag.report.page import render_page
from lrdiag.report.summary import render_findings, render_summary

PICTURES = np.random.default_rng(5).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def shown(runs: dict[str, Run]) -> Run:
    """A finding with ten exhibits and one with three, of two pictures each, on a sheet of seven columns."""
    run = with_findings(runs["ordinary"], ("first", "second"), PICTURES, each=10)
    first, second = run.diagnosis.findings
    return changed(run, findings=[first, dataclasses.replace(second, exhibits=second.exhibits[:3])])


@pytest.fixture(scope="module")
def items(shown: Run) -> list[Tag]:
    return parse(render_page(shown)).select(".findings > li")


def test_the_first_eight_are_open_and_the_others_are_folded(items: list[Tag]) -> None:
    first, second = items
    assert [len(each("figure")) for each in first(class_="exhibits")] == [8, 2]
    assert first(class_="exhibits")[1].parent.summary.text == "2 more images"
    assert [len(each("figure")) for each in second(class_="exhibits")] == [3]


def test_each_has_its_pictures_its_caption_its_index_and_its_file(items: list[Tag]) -> None:
    figure = items[0]("figure")[3]
    assert [each.text for each in (figure.figcaption, figure.span, figure.bdi)] == [
        "given cattraining image 6given cat", "training image 6", "given cat",
    ]  # fmt: skip
    assert [(each["class"], each["aria-label"]) for each in figure("i")] == [
        (["x6", "y0"], "training image 6"), (["x0", "y1"], "training image 6, picture 2"),
    ]  # fmt: skip
    assert items[0].find(class_="exhibits")["class"] == ["exhibits", "p2"]


def test_exhibits_of_effects_are_shown_with_them(shown: Run) -> None:
    first, second = shown.diagnosis.findings
    run = changed(shown, findings=[dataclasses.replace(first, effects=[second])])
    effect = parse(render_page(run)).select(".findings > li > details > ul > li")
    assert [len(each("figure")) for each in effect] == [3]


def test_an_exhibit_may_have_no_picture_and_belong_to_no_image(runs: dict[str, Run]) -> None:
    exhibits = [Exhibit(ImageRef("test", 7, None), "worse than before"), Exhibit(None, "the mean of all images")]
    run = changed(runs["ordinary"], findings=[Finding("a", "note", "A.", "B.", "C.", exhibits=exhibits)])
    one, other = parse(render_page(run)).find(class_="exhibits")("figure")
    assert (one.figcaption.get_text("|"), other.figcaption.get_text("|")) == (
        "worse than before|test image 7", "the mean of all images",
    )  # fmt: skip
    assert not one("i")


def test_a_stored_run_keeps_its_exhibits(shown: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("run")
    exchange.save(folder, storable(shown))
    loaded = reading.load(folder)
    assert loaded == storable(shown)
    off = with_settings(loaded.diagnosis, CheckSettings.of({"overfitting": False}, None))
    assert [len(each.exhibits) for each in off.findings] == [10, 3]
    one = dataclasses.replace(loaded, diagnosis=dataclasses.replace(off, findings=off.findings[1:]))
    places = [each["class"] for each in parse(render_page(one)).select(".exhibits i")]
    assert places == [[f"x{cell % 7}", f"y{cell // 7}"] for cell in range(20, 26)]


def test_the_summary_names_the_first_images(shown: Run, runs: dict[str, Run]) -> None:
    for text in (render_summary(shown.diagnosis), render_findings(shown.diagnosis)):
        assert "  - *First images:* 0, 4, 8 of the test set; 2, 6 of the training set\n" in text
    assert "First images" not in render_summary(runs["ordinary"].diagnosis)
