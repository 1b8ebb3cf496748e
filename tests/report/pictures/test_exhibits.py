"""The sheet of the exhibits: each picture in its cell, small ones exact, others in one size."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lrdiag.record.pictures import Pictures
from lrdiag.report.pictures import exhibits
from lrdiag.report.pictures.exhibits import ExhibitPictures, in_one_size


def plain(value: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.full((height, width, channels), value, np.uint8)


def cells(pictures: Pictures) -> list[np.ndarray]:
    """The pictures of the sheet, as RGBA."""
    sheet = pictures.sheets["findings"]
    whole = np.asarray(Image.open(BytesIO(pictures.files[sheet.file])).convert("RGBA"))
    pitch = sheet.height + 2 * sheet.padding, sheet.width + 2 * sheet.padding
    found = []
    for cell in range(sheet.count):
        x, y = sheet.place(cell)
        top, left = y * pitch[0] + sheet.padding, x * pitch[1] + sheet.padding
        found.append(whole[top : top + sheet.height, left : left + sheet.width])
    return found


def test_without_pictures_there_is_no_sheet() -> None:
    kept = ExhibitPictures()
    assert kept.keep([]) == []
    assert kept.lay_out() == Pictures()


def test_each_picture_is_in_the_cell_that_was_returned() -> None:
    kept = ExhibitPictures()
    given = [kept.keep([plain(20, 32, 32), plain(60, 32, 32, 1)]), kept.keep([plain(100, 32, 32)])]
    assert given == [[0, 1], [2]]
    found = cells(kept.lay_out())
    assert [abs(int(each.mean(axis=(0, 1))[0]) - value) <= 2 for each, value in zip(found, (20, 60, 100), strict=True)]
    assert {each.shape for each in found} == {(32, 32, 4)}


@pytest.mark.parametrize("side", [8, 32, 48])
def test_small_pictures_of_one_size_stay_as_they_are(side: int) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, side, side, 3)).astype(np.uint8)
    assert all((one == other).all() for one, other in zip(in_one_size(list(pictures), 94), pictures, strict=True))


def test_large_pictures_are_scaled_down_to_the_side() -> None:
    assert [each.shape for each in in_one_size([plain(9, 300, 200), plain(9, 150, 100, 1)], 94)] == [(94, 63, 3)] * 2


def test_pictures_of_other_proportions_are_centred_on_a_transparent_ground() -> None:
    wide, tall = in_one_size([plain(200, 40, 80), plain(200, 80, 40)], 94)
    assert wide.shape == tall.shape == (80, 80, 4)
    assert (wide[20:60] == (200, 200, 200, 255)).all()
    assert not wide[:20].any()
    assert not wide[60:].any()
    assert (wide.swapaxes(0, 1) == tall).all()


def test_a_small_picture_beside_large_ones_is_enlarged_by_a_whole_number() -> None:
    small = np.random.default_rng(0).integers(0, 256, (30, 30, 3)).astype(np.uint8)
    enlarged = in_one_size([small, plain(0, 94, 94)], 94)[0]
    assert (enlarged[2:92, 2:92, :3] == small.repeat(3, axis=0).repeat(3, axis=1)).all()
    assert (enlarged[2:92, 2:92, 3] == 255).all()
    assert not enlarged[:2].any()


def test_the_ground_stays_transparent_in_the_file() -> None:
    kept = ExhibitPictures()
    kept.keep([plain(200, 40, 80), plain(200, 80, 40)])
    assert cells(kept.lay_out())[0][:, 40, 3].tolist() == [0] * 20 + [255] * 40 + [0] * 20


def test_quality_and_size_are_lowered_until_the_file_is_small_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    kept = ExhibitPictures()
    kept.keep(list(rng.integers(0, 256, (9, 94, 94, 3)).astype(np.uint8)))
    widths, sizes = [], []
    for limit in (100_000, 30_000, 15_000, 6_000):
        monkeypatch.setattr(exhibits, "MOST_BYTES", limit)
        laid_out = kept.lay_out()
        widths.append(laid_out.sheets["findings"].width)
        sizes.append(len(laid_out.files["findings.webp"]))
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4
    assert widths == [94, 62, 62, 48]
