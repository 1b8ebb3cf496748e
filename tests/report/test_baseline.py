"""A run set beside its baseline: the comparison, and pictures that are cut out of another run's sheets."""

from __future__ import annotations

import dataclasses
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lrdiag.errors import RunFolderError
from lrdiag.record.facts import Comparison, Misclassified, Mistake, Run
from lrdiag.record.pictures import HeatmapSheets, Sheet, Sheets
from lrdiag.report import baseline
from lrdiag.report.baseline import set_beside
from lrdiag.report.pictures.cutting import Cells
from lrdiag.report.pictures.sheets import difference_sheet, heatmap_sheet, photograph_sheet

GREYS = np.arange(0, 240, 24)  # ten photographs and ten maps that can be told apart


def with_mistakes(run: Run, indices: list[int], shown: list[int] | None = None) -> Run:
    """A run that has these mistakes: photograph and map of an image are as grey and as hot as its index says."""
    items = [Mistake(index, 0, 1, 0.5, 1.0, [1], [0.5]) for index in indices]
    pictured = [indices[place] for place in (range(len(indices)) if shown is None else shown)]
    photographs = np.stack([np.full((17, 40, 3), GREYS[index], np.uint8) for index in pictured])
    maps = np.stack([np.full((2, 3), index / 10, np.float32) for index in pictured])
    ones = np.ones(len(maps))
    sheets, pictures = dict[str, Sheet](), {"samples.webp": run.pictures["samples.webp"]}
    for name, (sheet, content) in {
        "photographs": photograph_sheet(photographs, "photographs.webp"),
        "predicted": heatmap_sheet(maps, ones, "predicted.png"),
        "true": heatmap_sheet(maps, ones, "true.png"),
        "difference": difference_sheet(maps, ones, "difference.png"),
    }.items():
        sheets[name], pictures[sheet.file] = sheet, content
    heatmaps = HeatmapSheets(sheets["predicted"], sheets["true"], sheets["difference"], None)
    laid_out = Sheets(sheets["photographs"], heatmaps, run.diagnosis.sheets.samples, 2, shown=shown)
    facts = dataclasses.replace(run.diagnosis, misclassified=Misclassified(len(items), items), sheets=laid_out)
    return Run(facts, pictures)


@pytest.fixture
def base(runs: dict[str, Run]) -> Run:
    return with_mistakes(runs["ordinary"], [4, 7, 1, 9, 2])


@pytest.fixture
def head(runs: dict[str, Run]) -> Run:
    return with_mistakes(runs["ordinary"], [7, 3])


def comparison_of(run: Run) -> Comparison:
    assert run.diagnosis.comparison
    return run.diagnosis.comparison


def pictured(run: Run) -> list[int]:
    """Which images the photographs of what was fixed show."""
    sheet = comparison_of(run).fixed_photographs
    cells = Cells(run, sheet)
    means = [np.asarray(cells.at(cell).convert("L")).mean() for cell in range(sheet.count)]
    return [int(np.abs(GREYS - mean).argmin()) for mean in means]


def test_the_pictures_of_what_was_fixed_come_from_the_earlier_run(base: Run, head: Run) -> None:
    run = set_beside(base, head)
    comparison = comparison_of(run)
    assert [each.index for each in comparison.fixed] == [4, 1, 9, 2]
    assert comparison.fixed_shown == [0, 1, 2, 3]
    assert pictured(run) == [4, 1, 9, 2]
    assert (comparison.fixed_photographs.width, comparison.fixed_photographs.height) == (40, 17)


def test_their_maps_keep_every_colour(base: Run, head: Run) -> None:
    run = set_beside(base, head)
    new = Cells(run, comparison_of(run).fixed_heatmaps)
    old = Cells(base, base.diagnosis.sheets.heatmaps.predicted)
    for cell, before in enumerate([0, 2, 3, 4]):
        for padding in (0, 1):
            one, other = new.at(cell, padding=padding), old.at(before, padding=padding)
            np.testing.assert_array_equal(np.asarray(one.convert("RGBA")), np.asarray(other.convert("RGBA")))
    assert np.asarray(new.at(0).convert("RGBA"))[..., 3].max() > 0


def test_nothing_else_of_the_run_changes(base: Run, head: Run) -> None:
    run = set_beside(base, head)
    unchanged = {"comparison": None, "findings": head.diagnosis.findings, "checks": head.diagnosis.checks}
    assert dataclasses.replace(run.diagnosis, **unchanged) == head.diagnosis
    assert {check.code: check.reason for check in run.diagnosis.checks}["regression"] is None
    assert run.pictures.keys() - head.pictures.keys() == {"fixed.webp", "fixed-maps.png"}
    assert head.pictures == {name: run.pictures[name] for name in head.pictures}


def test_only_pictures_that_the_earlier_run_shows_can_be_taken(runs: dict[str, Run], head: Run) -> None:
    run = set_beside(with_mistakes(runs["ordinary"], [4, 7, 1, 9, 2], shown=[1, 2, 4]), head)
    assert comparison_of(run).fixed_shown == [1, 3]
    assert pictured(run) == [1, 2]


def test_no_more_pictures_are_taken_than_are_shown(base: Run, head: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "SHOWN", 2)
    run = set_beside(base, head)
    assert pictured(run) == [4, 1]
    assert len(comparison_of(run).fixed) == 4


@pytest.mark.parametrize(
    ("missing", "left"),
    [
        ({"photographs.webp"}, set()),
        ({"predicted.png"}, {"fixed.webp"}),
        ({"true.png", "difference.png", "samples.webp"}, {"fixed.webp", "fixed-maps.png"}),
    ],
)
def test_pictures_that_are_not_at_hand_are_left_out(base: Run, head: Run, missing: set[str], left: set[str]) -> None:
    held = {name: content for name, content in base.pictures.items() if name not in missing}
    run = set_beside(Run(base.diagnosis, held), head)
    assert run.pictures.keys() - head.pictures.keys() == left
    assert len(comparison_of(run).fixed) == 4
    assert (comparison_of(run).fixed_photographs is not None) == ("fixed.webp" in left)
    assert (comparison_of(run).fixed_heatmaps is not None) == ("fixed-maps.png" in left)


def test_where_nothing_was_fixed_there_are_no_pictures(runs: dict[str, Run], head: Run) -> None:
    run = set_beside(with_mistakes(runs["ordinary"], [7]), head)
    assert (comparison_of(run).fixed, run.pictures) == ([], head.pictures)


def test_a_perfect_baseline_has_no_pictures(runs: dict[str, Run], head: Run) -> None:
    perfect = dataclasses.replace(runs["no mistakes"].diagnosis, dataset=head.diagnosis.dataset)
    run = set_beside(Run(perfect, runs["no mistakes"].pictures), head)
    assert comparison_of(run).broken == [0, 1]
    assert run.pictures == head.pictures


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not a picture"])
def test_a_broken_picture_is_refused(base: Run, head: Run, content: bytes) -> None:
    with pytest.raises(RunFolderError, match=r"picture file 'photographs.webp' whole.*Received"):
        set_beside(Run(base.diagnosis, base.pictures | {"photographs.webp": content}), head)


def test_a_picture_that_was_cut_is_refused(base: Run, head: Run) -> None:
    cut = base.pictures["predicted.png"][:-30]
    with pytest.raises(RunFolderError, match=r"picture file 'predicted.png' whole"):
        set_beside(Run(base.diagnosis, base.pictures | {"predicted.png": cut}), head)


@pytest.mark.parametrize("shown", [[0, 1, 2, 3, 5], [0, 1]])
def test_pictures_that_do_not_belong_to_the_mistakes_are_refused(base: Run, head: Run, shown: list[int]) -> None:
    sheets = dataclasses.replace(base.diagnosis.sheets, shown=shown)
    edited = Run(dataclasses.replace(base.diagnosis, sheets=sheets), base.pictures)
    with pytest.raises(RunFolderError, match=rf"a photograph for each mistake.*Received: {len(shown)} of 5 mistakes"):
        set_beside(edited, head)


def test_the_same_runs_give_the_same_bytes(base: Run, head: Run) -> None:
    assert set_beside(base, head) == set_beside(base, head)


def test_pictures_are_in_the_format_that_they_were_in(base: Run, head: Run) -> None:
    run = set_beside(base, head)
    formats = {name: Image.open(BytesIO(run.pictures[name])).format for name in ("fixed.webp", "fixed-maps.png")}
    assert formats == {"fixed.webp": "WEBP", "fixed-maps.png": "PNG"}
