"""Picture sheets: each picture at its place, untouched by its neighbours, small."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lrdiag.records import Run, Sheet
from lrdiag.report.sheets import heatmap_sheet, photograph_sheet
from lrdiag.report.tiles import layer


def cut_out(sheet: Sheet, encoded: bytes, place: int) -> np.ndarray:
    """The picture at `place`, as RGBA."""
    row, column = divmod(place, sheet.columns)
    left = column * (sheet.width + 2 * sheet.padding) + sheet.padding
    top = row * (sheet.height + 2 * sheet.padding) + sheet.padding
    picture = np.asarray(Image.open(BytesIO(encoded)).convert("RGBA"))
    return picture[top : top + sheet.height, left : left + sheet.width].astype(int)


def checkerboard_of_images(count: int, height: int, width: int, channels: int) -> np.ndarray:
    """Black and white images in turn: the hardest neighbours."""
    images = np.zeros((count, height, width, channels), np.uint8)
    images[::2] = 255
    return images


@pytest.mark.parametrize(("height", "width", "channels"), [(32, 32, 3), (28, 28, 1), (8, 8, 1), (17, 40, 3)])
def test_photographs_are_at_their_places(height: int, width: int, channels: int) -> None:
    images = checkerboard_of_images(7, height, width, channels)
    sheet, encoded = photograph_sheet(images, "a.webp")
    assert (sheet.file, sheet.count, sheet.height, sheet.width) == ("a.webp", 7, height, width)
    for place, image in enumerate(images):
        assert np.abs(cut_out(sheet, encoded, place)[..., :3] - int(image[0, 0, 0])).max() <= 24


def test_large_photographs_are_scaled_down() -> None:
    sheet, _ = photograph_sheet(np.zeros((3, 300, 200, 3), np.uint8), "a.webp")
    assert (sheet.height, sheet.width) == (96, 64)


def test_large_grey_photographs_are_scaled_down() -> None:
    sheet, _ = photograph_sheet(np.zeros((3, 224, 224, 1), np.uint8), "a.webp")
    assert (sheet.height, sheet.width) == (96, 96)


def test_so_many_photographs_that_they_must_shrink_still_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrdiag.report.sheets._WEBP_LIMIT", 100)
    sheet, encoded = photograph_sheet(np.zeros((20, 32, 32, 3), np.uint8), "a.webp")
    assert (sheet.height, sheet.width) == (18, 18)
    assert max(Image.open(BytesIO(encoded)).size) <= 100


def test_maps_are_the_hotter_the_more_opaque() -> None:
    ramp = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 4, 4)
    sheet, encoded = heatmap_sheet(ramp, "a.png")
    opacity = cut_out(sheet, encoded, 0)[..., 3].ravel()
    assert opacity[0] == 0
    assert (np.diff(opacity) > 0).all()
    assert opacity[-1] < 255


def test_each_map_is_scaled_to_its_own_maximum() -> None:
    one = np.random.default_rng(0).random((1, 4, 4)).astype(np.float32)
    sheet, encoded = heatmap_sheet(np.concatenate([one, 1000 * one]), "a.png")
    np.testing.assert_array_equal(cut_out(sheet, encoded, 0), cut_out(sheet, encoded, 1))


def test_a_map_of_zeros_stays_transparent() -> None:
    maps = np.zeros((2, 4, 4), np.float32)
    maps[0] = 1
    sheet, encoded = heatmap_sheet(maps, "a.png")
    assert (cut_out(sheet, encoded, 1)[..., 3] == 0).all()


def test_padding_repeats_the_edge() -> None:
    maps = np.array([[[1, 0], [0, 0]], [[0, 0], [0, 1]]], np.float32)
    sheet, encoded = heatmap_sheet(maps, "a.png")
    opacity = np.asarray(Image.open(BytesIO(encoded)).convert("RGBA"))[..., 3] > 0
    assert (sheet.columns, sheet.padding) == (2, 1)
    np.testing.assert_array_equal(opacity, np.kron([[1, 0, 0, 0], [0, 0, 0, 1]], np.ones((2, 2))))


def test_photographs_and_maps_lie_in_the_same_places() -> None:
    for count in (1, 2, 7, 2200):
        photographs, _ = photograph_sheet(np.zeros((count, 8, 8, 3), np.uint8), "a.webp")
        maps, _ = heatmap_sheet(np.zeros((count, 4, 4), np.float32), "a.png")
        assert photographs.columns == maps.columns


def test_files_are_the_same_every_time() -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3)).astype(np.uint8)
    assert photograph_sheet(images, "a.webp") == photograph_sheet(images, "a.webp")


def test_a_map_covers_its_photograph(runs: dict[str, Run]) -> None:
    run = runs["ordinary"]
    sheets = run.diagnosis.sheets
    assert sheets.photographs
    assert sheets.heatmaps
    maps = layer(run, sheets.heatmaps, shown=sheets.photographs)
    assert (maps.width, maps.height) == (32, 32)
    assert maps.inset == (8, 8)  # one padding pixel of a map of 4, shown over 32
    assert maps.pitch == (48, 48)
    assert maps.size == (48 * 7, 48 * 6)


@pytest.mark.parametrize(("width", "height", "scale"), [(8, 8, 12), (28, 28, 3), (32, 32, 3), (64, 64, 1), (96, 40, 1)])
def test_photographs_grow_by_a_whole_number(runs: dict[str, Run], width: int, height: int, scale: int) -> None:
    run = runs["ordinary"]
    shown = Sheet("samples.webp", 1, 1, width, height, 1)
    assert layer(run, shown).scale(96) == scale
