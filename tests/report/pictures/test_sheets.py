"""Picture sheets: each picture at its place, untouched by its neighbours, small."""

from __future__ import annotations

import dataclasses
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lrdiag.record.arrays import NO_IMAGES, Dataset, Heatmaps, LabelledImages, MeanHeatmaps, Predictions
from lrdiag.record.facts import Run
from lrdiag.record.pictures import Sheet, Sheets
from lrdiag.report.pictures import layout as pictures
from lrdiag.report.pictures.layout import lay_out, most_informative
from lrdiag.report.pictures.sheets import difference_sheet, heatmap_sheet, photograph_sheet
from lrdiag.report.pictures.tiles import layer, places_shown


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
    assert (sheet.height, sheet.width) == (94, 63)


def test_large_grey_photographs_are_scaled_down() -> None:
    sheet, _ = photograph_sheet(np.zeros((3, 224, 224, 1), np.uint8), "a.webp")
    assert (sheet.height, sheet.width) == (94, 94)


def test_photographs_are_scaled_down_to_the_side_that_is_asked_for() -> None:
    sheet, encoded = photograph_sheet(np.full((3, 96, 192, 3), 255, np.uint8), "a.webp", side=62)
    assert (sheet.height, sheet.width) == (31, 62)
    assert cut_out(sheet, encoded, 2)[..., :3].min() >= 250


@pytest.mark.parametrize(
    ("height", "width", "padding"), [(32, 32, 0), (16, 48, 0), (28, 28, 1), (32, 31, 1), (8, 8, 1), (64, 64, 1)]
)
def test_only_what_lies_on_blocks_and_is_shown_sharp_has_no_padding(height: int, width: int, padding: int) -> None:
    sheet, encoded = photograph_sheet(np.zeros((4, height, width, 3), np.uint8), "a.webp")
    assert sheet.padding == padding
    assert Image.open(BytesIO(encoded)).size == (2 * (width + 2 * padding), 2 * (height + 2 * padding))


def test_photographs_shown_smooth_are_padded_with_their_edge() -> None:
    _, encoded = photograph_sheet(checkerboard_of_images(4, 64, 64, 3), "a.webp")
    picture = np.asarray(Image.open(BytesIO(encoded)).convert("L")).astype(int)
    assert picture[:, 65].min() >= 231  # the last column of the first cell
    assert picture[:65, 66].max() <= 24  # the first of the second


def test_so_many_photographs_that_they_must_shrink_still_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrdiag.report.pictures.sheets._WEBP_LIMIT", 100)
    sheet, encoded = photograph_sheet(np.zeros((20, 32, 32, 3), np.uint8), "a.webp")
    assert (sheet.height, sheet.width) == (18, 18)
    assert max(Image.open(BytesIO(encoded)).size) <= 100


def test_maps_are_the_hotter_the_more_opaque() -> None:
    ramp = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 4, 4)
    sheet, encoded = heatmap_sheet(ramp, np.ones(1), "a.png")
    opacity = cut_out(sheet, encoded, 0)[..., 3].ravel()
    assert opacity[0] == 0
    assert (np.diff(opacity) > 0).all()
    assert opacity[-1] < 255


def test_each_map_is_scaled_to_its_own_peak() -> None:
    one = np.random.default_rng(0).random((1, 4, 4)).astype(np.float32)
    sheet, encoded = heatmap_sheet(np.concatenate([one, 1000 * one, one]), np.array([2, 2000, 1]), "a.png")
    np.testing.assert_array_equal(cut_out(sheet, encoded, 0), cut_out(sheet, encoded, 1))
    assert cut_out(sheet, encoded, 0)[..., 3].max() < cut_out(sheet, encoded, 2)[..., 3].max()


def test_a_map_without_a_peak_stays_transparent() -> None:
    maps = np.zeros((2, 4, 4), np.float32)
    maps[0] = 1
    sheet, encoded = heatmap_sheet(maps, maps.max(axis=(1, 2)), "a.png")
    assert (cut_out(sheet, encoded, 1)[..., 3] == 0).all()


def test_a_difference_is_orange_above_zero_blue_below_and_nothing_between() -> None:
    sheet, encoded = difference_sheet(np.array([[[1.0, -1.0, 0.0, 0.5]]], np.float32), np.ones(1), "a.png")
    above, below, nothing, half = cut_out(sheet, encoded, 0)[0]
    assert above[0] > above[2]
    assert below[2] > below[0]
    assert nothing[3] == 0
    assert half[:3].tolist() == above[:3].tolist()
    assert 0 < half[3] < above[3] == below[3]


def test_padding_repeats_the_edge() -> None:
    maps = np.array([[[1, 0], [0, 0]], [[0, 0], [0, 1]]], np.float32)
    sheet, encoded = heatmap_sheet(maps, np.ones(2), "a.png")
    opacity = np.asarray(Image.open(BytesIO(encoded)).convert("RGBA"))[..., 3] > 0
    assert (sheet.columns, sheet.padding) == (2, 1)
    np.testing.assert_array_equal(opacity, np.kron([[1, 0, 0, 0], [0, 0, 0, 1]], np.ones((2, 2))))


def test_photographs_and_maps_lie_in_the_same_places() -> None:
    for count in (1, 2, 7, 2200):
        photographs, _ = photograph_sheet(np.zeros((count, 8, 8, 3), np.uint8), "a.webp")
        maps, _ = heatmap_sheet(np.zeros((count, 4, 4), np.float32), np.ones(count), "a.png")
        assert photographs.columns == maps.columns


def test_files_are_the_same_every_time() -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3)).astype(np.uint8)
    assert photograph_sheet(images, "a.webp") == photograph_sheet(images, "a.webp")


def test_a_map_covers_its_photograph(runs: dict[str, Run]) -> None:
    run = runs["ordinary"]
    sheets = run.diagnosis.sheets
    assert sheets.photographs
    assert sheets.heatmaps
    maps = layer(run, sheets.heatmaps.predicted, shown=sheets.photographs)
    assert (maps.width, maps.height) == (32, 32)
    assert maps.inset == (8, 8)  # one padding pixel of a map of 4, shown over 32
    assert maps.pitch == (48, 48)
    assert maps.size == (48 * 7, 48 * 6)
    assert maps.cells == (7, 6)


def test_pixels_of_small_photographs_are_to_be_seen_and_those_of_maps_are_not(runs: dict[str, Run]) -> None:
    run = runs["ordinary"]
    sheets = run.diagnosis.sheets
    assert sheets.photographs
    assert sheets.heatmaps
    assert layer(run, sheets.photographs).sharp
    assert not layer(run, sheets.heatmaps.predicted, shown=sheets.photographs).sharp
    assert not layer(run, Sheet("samples.webp", 1, 1, 49, 20, 1)).sharp


@pytest.mark.parametrize(("width", "height", "scale"), [(8, 8, 12), (28, 28, 3), (32, 32, 3), (64, 64, 1), (96, 40, 1)])
def test_photographs_grow_by_a_whole_number(runs: dict[str, Run], width: int, height: int, scale: int) -> None:
    run = runs["ordinary"]
    shown = Sheet("samples.webp", 1, 1, width, height, 1)
    assert layer(run, shown).scale(96) == scale


CLASSES = 4


def make_dataset(side: int = 8, mistakes: int = 6, channels: int = 3) -> tuple[Dataset, Predictions, Heatmaps]:
    """Ten test images, image `i` of value `10 i`; the first are mistakes, each surer than the last."""
    test = np.arange(10, dtype=np.uint8)[:, None, None, None] * 10
    labels = np.arange(10) % CLASSES
    images = LabelledImages(np.broadcast_to(test, (10, side, side, channels)), labels)
    probabilities = np.full((10, CLASSES), 0.1)
    for index in range(10):
        answer = (labels[index] + (index < mistakes)) % CLASSES
        probabilities[index, answer] = 2 + index
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    maps = np.random.default_rng(0).normal(size=(2, mistakes, 3, 3)).astype(np.float32)
    means = MeanHeatmaps(np.ones((CLASSES, 3, 3), np.float32), np.zeros((CLASSES, 3, 3), np.float32))
    heatmaps = Heatmaps("Grad-CAM", "conv", np.arange(mistakes), maps[0], maps[1], means)
    dataset = Dataset("toys", "memory", tuple("abcd"), images, images)
    return dataset, Predictions(np.log(probabilities), labels), heatmaps


def laid_out(**changes: int) -> tuple[Sheets, dict[str, bytes]]:
    dataset, predictions, heatmaps = make_dataset(**changes)
    return laid(dataset, predictions, heatmaps)


def laid(
    dataset: Dataset, predictions: Predictions, heatmaps: Heatmaps | None, seed: int = 0
) -> tuple[Sheets, dict[str, bytes]]:
    mistakes = dataset.test.images[predictions.misclassified]
    return lay_out(mistakes, predictions, heatmaps, dataset.train, seed)


def test_mistakes_are_laid_out_with_the_highest_loss_first() -> None:
    sheets, files = laid_out()
    assert sheets.photographs
    assert places_shown(sheets) == list(range(6))
    values = [cut_out(sheets.photographs, files["misclassified.webp"], place)[4, 4, 0] for place in range(6)]
    np.testing.assert_allclose(values, [50, 40, 30, 20, 10, 0], atol=3)


def test_the_maps_of_a_mistake_share_one_scale() -> None:
    dataset, predictions, heatmaps = make_dataset()
    sheets, files = laid(dataset, predictions, heatmaps)
    assert sheets.heatmaps
    for place, index in enumerate(range(5, -1, -1)):
        peak = max(heatmaps.predicted[index].max(), heatmaps.true[index].max())
        for sheet, maps in ((sheets.heatmaps.predicted, heatmaps.predicted), (sheets.heatmaps.true, heatmaps.true)):
            opacity = cut_out(sheet, files[sheet.file], place)[..., 3]
            np.testing.assert_allclose(opacity, 205 * (maps[index] / peak) ** 0.75, atol=7)


def test_without_maps_there_are_photographs() -> None:
    dataset, predictions, _ = make_dataset()
    sheets, files = laid(dataset, predictions, None)
    assert sheets.photographs
    assert sheets.heatmaps is None
    assert set(files) == {"misclassified.webp", "samples.webp"}


def test_without_mistakes_there_are_samples() -> None:
    sheets, files = laid_out(mistakes=0)
    assert (sheets.photographs, sheets.heatmaps, sheets.shown) == (None, None, None)
    assert set(files) == {"samples.webp"}


def test_samples_are_as_many_of_each_class_and_chosen_by_the_seed() -> None:
    dataset, predictions, heatmaps = make_dataset()
    sheets, files = laid(dataset, predictions, heatmaps)
    assert (sheets.samples_per_class, sheets.samples.count) == (2, 8)  # the rarest class has two images
    for place in range(8):
        value = cut_out(sheets.samples, files["samples.webp"], place)[4, 4, 0]
        assert dataset.train.labels[round(value / 10)] == place // 2
    assert laid(dataset, predictions, heatmaps, seed=1)[1]["samples.webp"] != files["samples.webp"]


def test_without_training_images_there_are_no_samples() -> None:
    dataset, predictions, heatmaps = make_dataset()
    sheets, files = laid(dataclasses.replace(dataset, train=NO_IMAGES), predictions, heatmaps)
    assert (sheets.samples, sheets.samples_per_class) == (None, 0)
    assert sheets.photographs
    assert "samples.webp" not in files


def test_of_many_classes_there_are_fewer_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_SAMPLES", 3)
    assert laid_out()[0].samples_per_class == 1


def test_many_photographs_are_scaled_down_further_before_any_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_MOST_PIXELS", 6 * 64 * 64)
    sheets, _ = laid_out(side=200)
    assert sheets.photographs
    assert (sheets.photographs.width, sheets.photographs.count, sheets.shown) == (62, 6, None)


def test_where_there_is_no_room_for_all_some_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_MOST_PIXELS", 4 * 64 * 64 + 1)
    sheets, files = laid_out(side=200)
    assert sheets.photographs
    assert sheets.heatmaps
    assert {sheet.count for sheet in (sheets.photographs, sheets.heatmaps.predicted, sheets.heatmaps.true)} == {4}
    assert sheets.shown == [0, 1, 2, 3]
    np.testing.assert_allclose(cut_out(sheets.photographs, files["misclassified.webp"], 3)[30, 30, 0], 20, atol=3)


def test_small_photographs_are_limited_by_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_MOST_TILES", 5)
    assert laid_out()[0].shown == [0, 1, 2, 3, 4]


class TestMostInformative:
    def test_half_of_the_room_is_for_the_pairs_the_largest_first(self) -> None:
        true = np.array([0, 0, 0, 0, 0, 1, 1, 2])
        predicted = np.array([1, 2, 3, 1, 1, 0, 0, 0])
        assert most_informative(true, predicted, 2).tolist() == [0, 1]  # one of the largest pair, (0, 1)
        assert most_informative(true[::-1], predicted[::-1], 2).tolist() == [0, 3]  # now it begins at 3
        assert most_informative(true, predicted, 8).tolist() == list(range(8))

    def test_a_large_pair_of_low_losses_is_shown(self) -> None:
        true, predicted = np.repeat([0, 1], [90, 10]), np.repeat([1, 0], [90, 10])
        true[:90], predicted[:90] = np.arange(90), np.arange(90) + 1  # ninety pairs of one
        assert set(most_informative(true, predicted, 20)) >= {90, 91, 92}

    def test_of_a_pair_only_the_first_come_before_the_highest_losses(self) -> None:
        true, predicted = np.repeat([0, 1], [20, 95]), np.repeat([1, 0], [20, 95])
        assert most_informative(true, predicted, 12).tolist() == [*range(9), 20, 21, 22]

    def test_as_many_as_there_is_room_for(self) -> None:
        rng = np.random.default_rng(0)
        true = rng.integers(0, 50, 1000)
        shown = most_informative(true, (true + rng.integers(1, 50, 1000)) % 50, 333)
        assert len(shown) == len(set(shown)) == 333
        assert (np.diff(shown) > 0).all()
