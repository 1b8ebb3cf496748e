"""A run compared with its baseline, with pictures that are cut out of the sheets of the baseline."""

from __future__ import annotations

import dataclasses
from io import BytesIO

import numpy as np
import pytest
from fixtures.variants import with_files
from PIL import Image

from lrdiag.errors import RunFolderError
from lrdiag.record.facts import Comparison, Misclassified, Mistake, Run
from lrdiag.report import baseline
from lrdiag.report.baseline import set_beside
from lrdiag.report.pictures.cutting import Cells
from lrdiag.report.pictures.sheets import difference_sheet, heatmap_sheet, image_sheet

GREYS = np.arange(0, 240, 24)  # ten images and ten heatmaps that differ


def with_mistakes(run: Run, indices: list[int], shown: list[int] | None = None) -> Run:
    """A run with these mistakes. The grey of an image and the heat of its heatmap give its index."""
    items = [Mistake(index, 0, 1, 0.5, 1.0, [1], [0.5]) for index in indices]
    pictured = [indices[place] for place in (range(len(indices)) if shown is None else shown)]
    images = np.stack([np.full((17, 40, 3), GREYS[index], np.uint8) for index in pictured])
    maps = np.stack([np.full((2, 3), index / 10, np.float32) for index in pictured])
    ones = np.ones(len(maps))
    pictures = run.pictures.only(("samples",))
    for name, (sheet, content) in {
        "mistakes": image_sheet(images, "images.webp"),
        "mistakes-predicted": heatmap_sheet(maps, ones, "predicted.png"),
        "mistakes-true": heatmap_sheet(maps, ones, "true.png"),
        "mistakes-difference": difference_sheet(maps, ones, "difference.png"),
    }.items():
        pictures.add(name, (dataclasses.replace(sheet, items=shown), content))
    facts = dataclasses.replace(run.diagnosis, misclassified=Misclassified(len(items), items))
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
    """The images that the pictures of the fixed images show."""
    sheet = run.pictures.sheets["fixed"]
    cells = Cells(run.pictures, sheet)
    means = [np.asarray(cells.at(cell).convert("L")).mean() for cell in range(sheet.count)]
    return [int(np.abs(GREYS - mean).argmin()) for mean in means]


def test_the_pictures_of_fixed_images_come_from_the_earlier_run(base: Run, head: Run) -> None:
    run = set_beside(base, head)
    comparison = comparison_of(run)
    assert [each.index for each in comparison.fixed] == [4, 1, 9, 2]
    assert run.pictures.sheets["fixed"].items == run.pictures.sheets["fixed-predicted"].items == [0, 1, 2, 3]
    assert pictured(run) == [4, 1, 9, 2]
    assert (run.pictures.sheets["fixed"].width, run.pictures.sheets["fixed"].height) == (40, 17)


def test_their_maps_keep_every_colour(base: Run, head: Run) -> None:
    run = set_beside(base, head)
    new = Cells(run.pictures, run.pictures.sheets["fixed-predicted"])
    old = Cells(base.pictures, base.pictures.sheets["mistakes-predicted"])
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
    assert run.pictures.files.keys() - head.pictures.files.keys() == {"fixed.webp", "fixed-maps.png"}
    assert run.pictures.without("fixed", "fixed-predicted") == head.pictures


def test_only_pictures_of_the_earlier_run_are_taken(runs: dict[str, Run], head: Run) -> None:
    run = set_beside(with_mistakes(runs["ordinary"], [4, 7, 1, 9, 2], shown=[1, 2, 4]), head)
    assert run.pictures.sheets["fixed"].items == [1, 3]
    assert pictured(run) == [1, 2]


def test_no_more_pictures_are_taken_than_are_shown(base: Run, head: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "SHOWN", 2)
    run = set_beside(base, head)
    assert pictured(run) == [4, 1]
    assert len(comparison_of(run).fixed) == 4


@pytest.mark.parametrize(
    ("missing", "left"),
    [
        ({"images.webp"}, set()),
        ({"predicted.png"}, {"fixed.webp"}),
        ({"true.png", "difference.png", "samples.webp"}, {"fixed.webp", "fixed-maps.png"}),
    ],
)
def test_pictures_that_the_baseline_lacks_are_left_out(base: Run, head: Run, missing: set[str], left: set[str]) -> None:
    files = {name: content for name, content in base.pictures.files.items() if name not in missing}
    run = set_beside(with_files(base, files), head)
    assert run.pictures.files.keys() - head.pictures.files.keys() == left
    assert len(comparison_of(run).fixed) == 4
    assert ("fixed" in run.pictures.sheets) == ("fixed.webp" in left)
    assert ("fixed-predicted" in run.pictures.sheets) == ("fixed-maps.png" in left)


def test_pictures_of_an_earlier_comparison_are_replaced_or_removed(base: Run, head: Run) -> None:
    run = set_beside(base, head)
    assert set_beside(base, run).pictures == run.pictures
    assert set_beside(with_files(base, {}), run).pictures == head.pictures


def test_if_nothing_was_fixed_there_are_no_pictures(runs: dict[str, Run], head: Run) -> None:
    run = set_beside(with_mistakes(runs["ordinary"], [7]), head)
    assert (comparison_of(run).fixed, run.pictures) == ([], head.pictures)


def test_a_perfect_baseline_has_no_pictures(runs: dict[str, Run], head: Run) -> None:
    perfect = dataclasses.replace(runs["no mistakes"].diagnosis, dataset=head.diagnosis.dataset)
    run = set_beside(Run(perfect, runs["no mistakes"].pictures), head)
    assert comparison_of(run).broken == [0, 1]
    assert run.pictures == head.pictures


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not a picture"])
def test_a_broken_picture_is_refused(base: Run, head: Run, content: bytes) -> None:
    with pytest.raises(RunFolderError, match=r"picture file 'images.webp' as WebP or PNG.*Received"):
        set_beside(with_files(base, base.pictures.files | {"images.webp": content}), head)


def test_a_truncated_picture_is_refused(base: Run, head: Run) -> None:
    truncated = base.pictures.files["predicted.png"][:-30]
    with pytest.raises(RunFolderError, match=r"whole picture file 'predicted.png'"):
        set_beside(with_files(base, base.pictures.files | {"predicted.png": truncated}), head)


def test_the_same_runs_give_the_same_bytes(base: Run, head: Run) -> None:
    assert set_beside(base, head) == set_beside(base, head)


def test_pictures_keep_their_format(base: Run, head: Run) -> None:
    run = set_beside(base, head)
    formats = {name: Image.open(BytesIO(run.pictures.files[name])).format for name in ("fixed.webp", "fixed-maps.png")}
    assert formats == {"fixed.webp": "WEBP", "fixed-maps.png": "PNG"}
