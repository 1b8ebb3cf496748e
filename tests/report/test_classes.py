"""The section on classes: bars, mean heatmaps, and the selection among very many classes."""

from __future__ import annotations

import dataclasses
from io import BytesIO

import numpy as np
import pytest
from bs4 import Tag
from fixtures.pages import parse
from fixtures.variants import with_sheet
from PIL import Image

from lrdiag.intervals import wilson
from lrdiag.record.arrays import Heatmaps, LabelledImages, MeanHeatmaps, Predictions
from lrdiag.record.facts import ClassFacts, Run
from lrdiag.report.pictures.layout import lay_out
from lrdiag.report.sections.classes import Bar, MeanMaps, build


@pytest.fixture
def run(runs: dict[str, Run]) -> Run:
    return runs["ordinary"]


@pytest.fixture(scope="module")
def shown(pages: dict[str, str]) -> Tag:
    return parse(pages["ordinary"]).find(id="classes")


def numbered(run: Run, recalls: list[float | None]) -> Run:
    """The run with classes of these recalls, each with ten test images, or none if its recall is `None`."""
    classes = len(recalls)
    found = [round(10 * recall) if recall is not None else 0 for recall in recalls]
    facts = [
        ClassFacts(f"class {place}", None, None, None, 0)
        if recall is None
        else ClassFacts(f"class {place}", None, recall, None, 10, *wilson(round(10 * recall), 10))
        for place, recall in enumerate(recalls)
    ]
    confusion = [[0] * classes for _ in range(classes)]
    for place, (right, each) in enumerate(zip(found, facts, strict=True)):
        confusion[place][place] = right
        confusion[place][place - 1] += each.support - right
    diagnosis = dataclasses.replace(
        run.diagnosis,
        per_class=facts,
        confusion=confusion,
        dataset=dataclasses.replace(run.diagnosis.dataset, classes=[each.name for each in facts]),
    )
    return with_sheet(dataclasses.replace(run, diagnosis=diagnosis), "class-means", count=2 * classes + 2)


def test_a_bar_is_the_recall_with_its_interval(run: Run) -> None:
    bars = [row.bar for row in build(run).rows]
    low, high = wilson(6, 20)  # cats
    assert bars[3] == Bar(30, 100 * low, 100 * high)
    assert bars[6] == Bar(100, 100 * wilson(20, 20)[0], 100)


def test_a_bar_is_drawn_to_scale(shown: Tag) -> None:
    bars = shown.select("svg.bar")
    assert len(bars) == 10
    assert bars[3]["viewbox"] == "0 0 100 10"
    assert bars[3].rect["width"] == "30.0"
    low, high = wilson(6, 20)
    assert bars[3].path["d"] == f"M{100 * low:.1f} 5H{100 * high:.1f}"
    assert {bar["aria-hidden"] for bar in bars} == {"true"}  # the number is beside it


def test_a_class_without_test_images_has_no_bar(run: Run) -> None:
    rows = build(numbered(run, [0.5, None, 0.7])).rows
    assert [row.bar is None for row in rows] == [False, True, False]


def test_with_very_many_classes_all_are_shown_lowest_recall_first(run: Run) -> None:
    recalls = [(7 * place) % 100 / 100 for place in range(100)]
    section = build(numbered(run, [*recalls, None]))
    assert [row.facts.recall for row in section.rows] == [*sorted(recalls), None]
    assert section.ranked
    assert [maps.name for maps in section.means] == ["all classes", *(row.facts.name for row in section.rows)]


@pytest.mark.parametrize("classes", [2, 60])
def test_fewer_classes_are_all_shown_in_their_order(run: Run, classes: int) -> None:
    section = build(numbered(run, [0.9, 0.1] * (classes // 2)))
    assert [row.index for row in section.rows] == list(range(classes))
    assert not section.ranked


def test_mean_maps_are_at_their_positions_in_the_sheet(run: Run) -> None:
    """22 heatmaps in five columns: ten of correctly classified images, ten of misclassified ones, two over all."""
    means = build(run).means
    assert run.pictures.sheets["class-means"].columns == 5
    assert means[0] == MeanMaps("all classes", 160, 40, right_place=(0, 4), wrong_place=(1, 4))
    assert means[4] == MeanMaps("cat", 6, 14, right_place=(3, 0), wrong_place=(3, 2))
    assert len(means) == 11


def test_mean_maps_have_labels(shown: Tag) -> None:
    tiles = shown.select("ul.means > li")
    assert [tile.b.text for tile in tiles] == ["all classes", *(row.th.text for row in shown.tbody("tr"))]
    right, wrong = tiles[4]("i")
    assert (right["class"], wrong["class"]) == (["mean", "x3", "y0"], ["mean", "x3", "y2"])
    assert right["aria-label"] == "cat, correct: mean heatmap of 6 images"
    assert wrong["aria-label"] == "cat, wrong: mean heatmap of 14 images"
    assert tiles[4].span.text == "6 correct, 14 wrong"
    assert tiles[7]("i")[1]["aria-label"] == "frog, wrong: no image"
    assert "compare the mean of a class with the mean over all classes" in shown.text


def test_mean_maps_are_as_large_as_an_image_of_48_pixels(run: Run) -> None:
    sheet = build(run).sheet
    assert (sheet.width, sheet.height, sheet.scale(48)) == (48, 48, 1)
    assert sheet.pitch == (48 * 10 / 8, 48 * 10 / 8)  # eight pixels and a padding of one at either side


def test_a_wide_image_has_a_wide_map(run: Run) -> None:
    sheet = build(with_sheet(run, "samples", width=96, height=48)).sheet
    assert (sheet.width, sheet.height) == (48, 24)


@pytest.mark.parametrize("variant", ["no heatmaps", "no mistakes"])
def test_without_maps_there_is_only_the_table(runs: dict[str, Run], pages: dict[str, str], variant: str) -> None:
    section = build(runs[variant])
    assert (section.means, section.sheet) == ([], None)
    assert 'class="means"' not in pages[variant]


def test_the_mean_over_all_classes_leaves_out_those_without_a_map() -> None:
    """Class 1 has no correctly classified image; class 0 peaks in one corner, class 2 in the other."""
    images = LabelledImages(np.zeros((3, 8, 8, 3), np.uint8), np.arange(3))
    right = np.zeros((3, 2, 2), np.float32)
    right[0, 0, 0] = right[2, 1, 1] = 1
    wrong = np.zeros((3, 2, 2), np.float32)
    wrong[1] = 1
    maps = np.ones((1, 2, 2), np.float32)
    heatmaps = Heatmaps("Grad-CAM", "conv", np.array([1]), maps, maps, MeanHeatmaps(right, wrong))
    predictions = Predictions.from_scores(np.eye(3)[[0, 0, 2]], np.arange(3))
    pictures = lay_out(images.images[1:2], np.array([1]), predictions, heatmaps, images, 0)
    means = pictures.sheets["class-means"]
    assert means.count == 8
    levels = np.array(Image.open(BytesIO(pictures.files[means.file])))
    cell, padding = means.height + 2 * means.padding, means.padding

    def corners(place: int) -> list[list[int]]:
        row, column = divmod(place, means.columns)
        inside = levels[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
        map_of_class = inside[padding:-padding, padding:-padding]
        return map_of_class[:: len(map_of_class) - 1, :: len(map_of_class) - 1].tolist()

    assert corners(0) == [[63, 0], [0, 0]]
    assert corners(6) == [[32, 0], [0, 32]]
    assert corners(7) == [[63, 63], [63, 63]]
