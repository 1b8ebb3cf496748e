"""Picture sheets: each picture is at its place, does not mix with its neighbours, and is small."""

from __future__ import annotations

import dataclasses
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from lrdiag.explain.overlay import overlay
from lrdiag.record.arrays import NO_IMAGES, Dataset, Heatmaps, LabelledImages, MeanHeatmaps, Predictions
from lrdiag.record.facts import Run
from lrdiag.record.pictures import FILES, Pictures, Sheet, SheetName
from lrdiag.report.pictures import layout
from lrdiag.report.pictures.layout import lay_out, lay_out_watched, most_informative
from lrdiag.report.pictures.sheets import difference_sheet, heatmap_sheet, image_sheet
from lrdiag.report.pictures.tiles import layer


def cut_out(sheet: Sheet, encoded: bytes, place: int) -> np.ndarray:
    """The picture at `place`, as RGBA."""
    row, column = divmod(place, sheet.columns)
    left = column * (sheet.width + 2 * sheet.padding) + sheet.padding
    top = row * (sheet.height + 2 * sheet.padding) + sheet.padding
    picture = np.asarray(Image.open(BytesIO(encoded)).convert("RGBA"))
    return picture[top : top + sheet.height, left : left + sheet.width].astype(int)


def checkerboard_of_images(count: int, height: int, width: int, channels: int) -> np.ndarray:
    """Alternating black and white images, so that any mixing of neighbours is visible."""
    images = np.zeros((count, height, width, channels), np.uint8)
    images[::2] = 255
    return images


@pytest.mark.parametrize(("height", "width", "channels"), [(32, 32, 3), (28, 28, 1), (8, 8, 1), (17, 40, 3)])
def test_images_are_at_their_places(height: int, width: int, channels: int) -> None:
    images = checkerboard_of_images(7, height, width, channels)
    sheet, encoded = image_sheet(images, "a.webp")
    assert (sheet.file, sheet.count, sheet.height, sheet.width) == ("a.webp", 7, height, width)
    for place, image in enumerate(images):
        assert np.abs(cut_out(sheet, encoded, place)[..., :3] - int(image[0, 0, 0])).max() <= 24


def test_large_images_are_scaled_down() -> None:
    sheet, _ = image_sheet(np.zeros((3, 300, 200, 3), np.uint8), "a.webp")
    assert (sheet.height, sheet.width) == (94, 63)


def test_large_grey_images_are_scaled_down() -> None:
    sheet, _ = image_sheet(np.zeros((3, 224, 224, 1), np.uint8), "a.webp")
    assert (sheet.height, sheet.width) == (94, 94)


def test_images_are_scaled_down_to_the_side_that_is_asked_for() -> None:
    sheet, encoded = image_sheet(np.full((3, 96, 192, 3), 255, np.uint8), "a.webp", side=62)
    assert (sheet.height, sheet.width) == (31, 62)
    assert cut_out(sheet, encoded, 2)[..., :3].min() >= 250


@pytest.mark.parametrize(
    ("height", "width", "padding"), [(32, 32, 0), (16, 48, 0), (28, 28, 1), (32, 31, 1), (8, 8, 1), (64, 64, 1)]
)
def test_only_sharp_images_on_whole_blocks_have_no_padding(height: int, width: int, padding: int) -> None:
    sheet, encoded = image_sheet(np.zeros((4, height, width, 3), np.uint8), "a.webp")
    assert sheet.padding == padding
    assert Image.open(BytesIO(encoded)).size == (2 * (width + 2 * padding), 2 * (height + 2 * padding))


def test_smoothly_scaled_images_are_padded_with_their_edge() -> None:
    _, encoded = image_sheet(checkerboard_of_images(4, 64, 64, 3), "a.webp")
    picture = np.asarray(Image.open(BytesIO(encoded)).convert("L")).astype(int)
    assert picture[:, 65].min() >= 231  # the last column of the first cell
    assert picture[:65, 66].max() <= 24  # the first of the second


def test_very_many_images_are_scaled_down_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrdiag.report.pictures.sheets._WEBP_LIMIT", 100)
    sheet, encoded = image_sheet(np.zeros((20, 32, 32, 3), np.uint8), "a.webp")
    assert (sheet.height, sheet.width) == (18, 18)
    assert max(Image.open(BytesIO(encoded)).size) <= 100


def test_higher_values_of_maps_are_more_opaque() -> None:
    ramp = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 2, 8)
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


def test_a_difference_is_red_above_zero_blue_below_and_transparent_between() -> None:
    values = np.array([[[1.0, -1.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0]]], np.float32)
    sheet, encoded = difference_sheet(values, np.ones(1), "a.png")
    above, below, nothing, half = cut_out(sheet, encoded, 0)[0, :4]
    assert (above[:3].tolist(), below[:3].tolist()) == ([255, 50, 0], [0, 80, 255])
    assert nothing[3] == 0
    assert 0 < half[3] < above[3] == below[3]


@pytest.mark.parametrize("colormap", ["turbo", "difference"])
def test_the_page_and_the_overlay_show_the_same_colours(colormap: Any) -> None:
    """A heatmap of one pixel over one grey pixel, from its lowest to its peak."""
    lowest = -1 if colormap == "difference" else 0
    maps = np.linspace(lowest, 1, 40, dtype=np.float32).reshape(-1, 1, 1)
    grey = np.full((len(maps), 1, 1, 3), 90, np.uint8)
    draw = difference_sheet if colormap == "difference" else heatmap_sheet
    sheet, encoded = draw(maps, np.ones(len(maps)), "a.png")
    colours = np.concatenate([cut_out(sheet, encoded, place) for place in range(len(maps))])[:, 0]
    opacity = colours[:, 3:] / 255
    on_the_page = (1 - opacity) * 90 + opacity * colours[:, :3]
    drawn = overlay(grey, maps, colormap=colormap, peak=1.0)[:, 0, 0]
    assert np.abs(on_the_page - drawn).max() <= 6, "the sheet has 64 levels, the overlay 256"


def test_padding_repeats_the_edge() -> None:
    maps = np.zeros((2, 8, 8), np.float32)
    maps[0, 0, 0] = maps[1, 7, 7] = 1
    sheet, encoded = heatmap_sheet(maps, np.ones(2), "a.png")
    opacity = np.asarray(Image.open(BytesIO(encoded)).convert("RGBA"))[..., 3] > 0
    assert (sheet.columns, sheet.padding) == (2, 1)
    expected = np.zeros((10, 20), bool)
    expected[:2, :2] = expected[8:, 18:] = True
    np.testing.assert_array_equal(opacity, expected)


def test_a_small_map_is_enlarged_as_in_the_overlay_before_it_is_coloured() -> None:
    """Between a hot and a cold pixel, its colours are those of the values between, on the page and in `overlay`."""
    maps = np.random.default_rng(0).random((3, 4, 4)).astype(np.float32)
    peaks = maps.max(axis=(1, 2))
    sheet, encoded = heatmap_sheet(maps, peaks, "a.png")
    assert (sheet.width, sheet.height) == (8, 8)
    drawn = overlay(np.full((3, 8, 8, 3), 90, np.uint8), maps, peak=peaks)
    for place, expected in enumerate(drawn):
        colours = cut_out(sheet, encoded, place).astype(float)
        opacity = colours[..., 3:] / 255
        assert np.abs((1 - opacity) * 90 + opacity * colours[..., :3] - expected).max() <= 6


def test_images_and_maps_lie_in_the_same_places() -> None:
    for count in (1, 2, 7, 2200):
        images, _ = image_sheet(np.zeros((count, 8, 8, 3), np.uint8), "a.webp")
        maps, _ = heatmap_sheet(np.zeros((count, 4, 4), np.float32), np.ones(count), "a.png")
        assert images.columns == maps.columns


def test_files_are_the_same_every_time() -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3)).astype(np.uint8)
    assert image_sheet(images, "a.webp") == image_sheet(images, "a.webp")


def test_a_map_covers_its_image(runs: dict[str, Run]) -> None:
    run = runs["ordinary"]
    sheets = run.pictures.sheets
    maps = layer(run.pictures, sheets["mistakes-predicted"], over=sheets["mistakes"])
    assert (maps.width, maps.height) == (32, 32)
    assert maps.inset == (4, 4)  # one padding pixel of a map of 8, shown over 32
    assert maps.pitch == (40, 40)
    assert maps.size == (40 * 7, 40 * 6)
    assert maps.cells == (7, 6)


def test_small_images_are_shown_pixel_by_pixel_and_maps_are_not(runs: dict[str, Run]) -> None:
    run = runs["ordinary"]
    sheets = run.pictures.sheets
    assert layer(run.pictures, sheets["mistakes"]).sharp
    assert not layer(run.pictures, sheets["mistakes-predicted"], over=sheets["mistakes"]).sharp
    assert not layer(run.pictures, Sheet("samples.webp", 1, 1, 49, 20, 1)).sharp


@pytest.mark.parametrize(("width", "height", "scale"), [(8, 8, 12), (28, 28, 3), (32, 32, 3), (64, 64, 1), (96, 40, 1)])
def test_images_grow_by_a_whole_number(runs: dict[str, Run], width: int, height: int, scale: int) -> None:
    run = runs["ordinary"]
    shown = Sheet("samples.webp", 1, 1, width, height, 1)
    assert layer(run.pictures, shown).scale(96) == scale


CLASSES = 4


def make_dataset(side: int = 8, mistakes: int = 6, channels: int = 3) -> tuple[Dataset, Predictions, Heatmaps]:
    """Ten test images, image `i` of value `10 i`; the first are mistakes, each with more confidence than the last."""
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


def laid_out(**changes: int) -> Pictures:
    dataset, predictions, heatmaps = make_dataset(**changes)
    return laid(dataset, predictions, heatmaps)


def laid(dataset: Dataset, predictions: Predictions, heatmaps: Heatmaps | None, seed: int = 0) -> Pictures:
    mistakes = dataset.test.images[predictions.misclassified]
    return lay_out(mistakes, predictions.misclassified, predictions, heatmaps, dataset.train, seed)


def value(pictures: Pictures, name: SheetName, place: int, at: int = 4) -> int:
    """The grey of a picture."""
    sheet = pictures.sheets[name]
    return int(cut_out(sheet, pictures.files[sheet.file], place)[at, at, 0])


def test_mistakes_are_laid_out_with_the_highest_loss_first() -> None:
    pictures = laid_out()
    assert pictures.sheets["mistakes"].items is None
    values = [value(pictures, "mistakes", place) for place in range(6)]
    np.testing.assert_allclose(values, [50, 40, 30, 20, 10, 0], atol=3)


def test_each_sheet_has_its_file() -> None:
    pictures = laid_out()
    assert pictures.sheets.keys() == {
        "mistakes", "mistakes-predicted", "mistakes-true", "mistakes-difference", "class-means", "samples",
    }  # fmt: skip
    assert {name: sheet.file for name, sheet in pictures.sheets.items()} == {
        name: FILES[name] for name in pictures.sheets
    }
    assert pictures.files.keys() == {sheet.file for sheet in pictures.sheets.values()}


def test_the_maps_of_a_mistake_share_one_scale() -> None:
    dataset, predictions, heatmaps = make_dataset()
    pictures = laid(dataset, predictions, heatmaps)
    for place, index in enumerate(range(5, -1, -1)):
        peak = max(heatmaps.predicted[index].max(), heatmaps.true[index].max())
        for name, maps in (("mistakes-predicted", heatmaps.predicted), ("mistakes-true", heatmaps.true)):
            sheet = pictures.sheets[name]
            opacity = cut_out(sheet, pictures.files[sheet.file], place)[..., 3]
            shown = cv2.resize(maps[index], opacity.shape, interpolation=cv2.INTER_LINEAR)
            np.testing.assert_allclose(opacity, 255 * 0.65 * (shown / peak) ** 0.75, atol=7)


def test_without_maps_there_are_images() -> None:
    dataset, predictions, _ = make_dataset()
    assert laid(dataset, predictions, None).sheets.keys() == {"mistakes", "samples"}


def test_without_mistakes_there_are_samples() -> None:
    assert laid_out(mistakes=0).sheets.keys() == {"samples"}


def test_samples_have_the_same_number_of_each_class_and_depend_on_the_seed() -> None:
    dataset, predictions, heatmaps = make_dataset()
    pictures = laid(dataset, predictions, heatmaps)
    assert pictures.sheets["samples"].count == 8  # the rarest of the four classes has two images
    for place in range(8):
        assert dataset.train.labels[round(value(pictures, "samples", place) / 10)] == place // 2
    assert laid(dataset, predictions, heatmaps, seed=1).files["samples.webp"] != pictures.files["samples.webp"]


def test_without_training_images_there_are_no_samples() -> None:
    dataset, predictions, heatmaps = make_dataset()
    pictures = laid(dataclasses.replace(dataset, train=NO_IMAGES), predictions, heatmaps)
    assert "mistakes" in pictures.sheets
    assert "samples" not in pictures.sheets
    assert "samples.webp" not in pictures.files


def test_many_classes_have_fewer_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_SAMPLES", 3)
    assert laid_out().sheets["samples"].count == CLASSES


def test_images_whose_file_would_be_large_are_scaled_down_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_MOST_BYTES", 1)
    sheet = laid_out(side=200).sheets["mistakes"]
    assert (sheet.width, sheet.count, sheet.items) == (48, 6, None)


def test_if_there_is_no_room_for_all_maps_some_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_most_maps", lambda *_: 4)
    pictures = laid_out(side=200)
    shown = [sheet.shown for name, sheet in pictures.sheets.items() if name.startswith("mistakes")]
    assert shown == [[0, 1, 2, 3]] * 4
    np.testing.assert_allclose(value(pictures, "mistakes", 3, at=30), 20, atol=3)


def test_only_mistakes_that_are_listed_and_have_image_and_map_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, predictions, heatmaps = make_dataset()
    ranked = predictions.ranked_mistakes
    with_image, with_map = np.sort(ranked[[0, 2, 3, 4, 5]]), np.sort(ranked[[0, 1, 2, 4, 5]])
    rows = np.isin(heatmaps.indices, with_map)
    some = dataclasses.replace(
        heatmaps,
        indices=with_map,
        signed_predicted=heatmaps.signed_predicted[rows],
        signed_true=heatmaps.signed_true[rows],
    )
    monkeypatch.setattr(layout, "MOST_MISTAKES", 5)
    pictures = lay_out(dataset.test.images[with_image], with_image, predictions, some, dataset.train, 0)
    every = laid(dataset, predictions, heatmaps)
    assert pictures.sheets["mistakes"].items == pictures.sheets["mistakes-true"].items == [0, 2, 4]
    assert [value(pictures, "mistakes", place) for place in range(3)] == pytest.approx(
        [value(every, "mistakes", place) for place in (0, 2, 4)], abs=3
    )


def test_watched_images_and_their_maps_lie_on_two_sheets() -> None:
    images, maps = np.zeros((2, 8, 8, 3), np.uint8), np.zeros((4, 8, 8), np.float32)
    images[1] = 200
    maps[[0, 1, 2, 3], [0, 1, 0, 1], 0] = [1, 2, 5, 0]
    pictures = lay_out_watched(images, maps)
    assert pictures.sheets.keys() == {"evolution", "evolution-maps"}
    shown = [cut_out(pictures.sheets["evolution"], pictures.files["watched.webp"], place) for place in (0, 1)]
    assert [round(float(each[..., :3].mean() / 10)) for each in shown] == [0, 20]
    opacity = [
        cut_out(pictures.sheets["evolution-maps"], pictures.files["watched-maps.png"], place) for place in range(4)
    ]
    hottest = [np.argwhere(each[..., 3] > 150).tolist() for each in opacity]
    assert hottest == [[[0, 0]], [[1, 0]], [[0, 0]], []]  # each is scaled to its own peak


def test_without_maps_watched_images_have_one_sheet() -> None:
    assert lay_out_watched(np.zeros((2, 8, 8, 3), np.uint8), None).sheets.keys() == {"evolution"}


class TestMostInformative:
    def test_half_of_the_images_are_chosen_by_pair_largest_first(self) -> None:
        true = np.array([0, 0, 0, 0, 0, 1, 1, 2])
        predicted = np.array([1, 2, 3, 1, 1, 0, 0, 0])
        assert most_informative(true, predicted, 2).tolist() == [0, 1]  # one of the largest pair, (0, 1)
        assert most_informative(true[::-1], predicted[::-1], 2).tolist() == [0, 3]  # now it begins at 3
        assert most_informative(true, predicted, 8).tolist() == list(range(8))

    def test_a_large_pair_of_low_losses_is_shown(self) -> None:
        true, predicted = np.repeat([0, 1], [90, 10]), np.repeat([1, 0], [90, 10])
        true[:90], predicted[:90] = np.arange(90), np.arange(90) + 1  # ninety pairs of one
        assert set(most_informative(true, predicted, 20)) >= {90, 91, 92}

    def test_only_the_first_of_a_pair_precede_the_highest_losses(self) -> None:
        true, predicted = np.repeat([0, 1], [20, 95]), np.repeat([1, 0], [20, 95])
        assert most_informative(true, predicted, 12).tolist() == [*range(9), 20, 21, 22]

    def test_the_number_is_that_requested(self) -> None:
        rng = np.random.default_rng(0)
        true = rng.integers(0, 50, 1000)
        shown = most_informative(true, (true + rng.integers(1, 50, 1000)) % 50, 333)
        assert len(shown) == len(set(shown)) == 333
        assert (np.diff(shown) > 0).all()
