"""The run as one picture: of one size, reproducible, drawn again only if something changed."""

from __future__ import annotations

import dataclasses
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fixtures.variants import changed, with_files, without_sheets
from PIL import Image

from lrdiag.record.facts import ConfusedPair, Run, Seconds
from lrdiag.report import summary_picture as module
from lrdiag.report.summary_picture import shows, summary_picture


@pytest.fixture(scope="module")
def drawn(runs: dict[str, Run]) -> dict[str, bytes]:
    return {name: summary_picture(run) for name, run in runs.items()}


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(content)).convert("RGB")).astype(int)


def again(run: Run, **changes: object) -> bytes:
    return summary_picture(changed(run, **changes))


def differing(one: bytes, other: bytes) -> tuple[slice, slice] | None:
    """The smallest box that holds all differences."""
    rows, columns = np.nonzero((pixels(one) != pixels(other)).any(axis=2))
    if not len(rows):
        return None
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


def test_is_a_png_of_the_size_of_previews(drawn: dict[str, bytes], variant: str) -> None:
    picture = Image.open(BytesIO(drawn[variant]))
    assert (picture.format, picture.size) == ("PNG", (1200, 675))
    assert len(drawn[variant]) < 1_000_000


def test_the_margin_is_empty(drawn: dict[str, bytes], variant: str) -> None:
    paper = pixels(drawn[variant]) == 255
    assert paper[:30].all()
    assert paper[-20:].all()
    assert paper[:, :50].all()
    assert paper[:, -50:].all()


def test_is_the_same_every_time(runs: dict[str, Run], drawn: dict[str, bytes]) -> None:
    assert again(runs["compared"]) == drawn["compared"]


def test_wall_time_does_not_change_it(runs: dict[str, Run], drawn: dict[str, bytes]) -> None:
    assert again(runs["ordinary"], seconds=Seconds(total=99.0)) == drawn["ordinary"]


def test_a_file_shows_a_run_if_this_version_drew_it_of_these_facts_and_pictures(
    runs: dict[str, Run], drawn: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, file = runs["ordinary"], tmp_path / "summary.png"
    assert not shows(file, run), "there is none"
    file.write_bytes(drawn["ordinary"])
    assert shows(file, run)
    assert shows(file, changed(run, seconds=Seconds(total=99.0)))
    assert not shows(file, changed(run, model="other"))
    assert not shows(file, without_sheets(run, "mistakes-predicted"))
    assert not shows(file, with_files(run, run.pictures.files | {"misclassified.webp": b"other"}))
    monkeypatch.setattr(module, "version", lambda _package: "other")
    assert not shows(file, run)
    file.write_bytes(b"not a picture")
    assert not shows(file, run)


def test_the_figures_are_on_the_left(runs: dict[str, Run], drawn: dict[str, bytes]) -> None:
    test = dataclasses.replace(runs["ordinary"].diagnosis.test, loss=0.9)
    box = differing(again(runs["ordinary"], test=test), drawn["ordinary"])
    assert box
    assert box[0].start > 210
    assert box[1].stop < 340


def test_data_without_a_name_is_not_named(runs: dict[str, Run], drawn: dict[str, bytes]) -> None:
    run = runs["ordinary"]
    unnamed = again(run, dataset=dataclasses.replace(run.diagnosis.dataset, name=""))
    box = differing(unnamed, drawn["ordinary"])
    assert box
    assert box[0].stop < 190
    model_only = pixels(unnamed)[40:72, 140:1000]  # behind "fast"
    assert (model_only == 255).all()


def test_an_unknown_calibration_error_is_left_out(runs: dict[str, Run], drawn: dict[str, bytes]) -> None:
    run = runs["ordinary"]
    unknown = again(run, calibration=dataclasses.replace(run.diagnosis.calibration, error=None))
    box = differing(unknown, drawn["ordinary"])
    assert box
    assert (pixels(unknown)[box] == 255).all()


def test_the_confusion_matrix_is_in_the_middle(runs: dict[str, Run], drawn: dict[str, bytes]) -> None:
    confusion = [list(row) for row in runs["ordinary"].diagnosis.confusion]
    confusion[4][7], confusion[4][8] = 1, 2
    box = differing(again(runs["ordinary"], confusion=confusion), drawn["ordinary"])
    assert box
    assert 340 < box[1].start < box[1].stop < 720


def test_the_bars_of_the_worst_pairs_stay_in_the_middle(runs: dict[str, Run], drawn: dict[str, bytes]) -> None:
    """The worst pair need not have the most images: it may be of a small class."""
    pairs = [ConfusedPair(3, 4, 2, 1.0), ConfusedPair(1, 2, 30, 0.3)]
    changes = pixels(again(runs["many classes"], confused_pairs=pairs)) != pixels(drawn["many classes"])
    # above, the headline names the pair too; on the right, it decides which images are shown
    columns = np.nonzero(changes[220:, :730])[1]
    assert 340 < columns.min() < columns.max() < 720


def test_the_worst_mistakes_stand_on_the_right_with_their_maps(runs: dict[str, Run], drawn: dict[str, bytes]) -> None:
    run = runs["ordinary"]
    box = differing(summary_picture(without_sheets(run, "mistakes-predicted")), drawn["ordinary"])
    assert box
    assert box[1].start > 720
    image = pixels(drawn["ordinary"])[240:336, 738:834]
    warm = pixels(drawn["ordinary"])[240:336, 836:932]
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 500  # noise, pixel by pixel
    np.testing.assert_array_equal(image[::3, ::3], image[1::3, 2::3])
    assert np.abs(image - warm).max() > 50


def test_the_change_has_its_interval(runs: dict[str, Run], drawn: dict[str, bytes]) -> None:
    comparison = runs["compared"].diagnosis.comparison
    assert comparison
    wider = dataclasses.replace(comparison, difference_high=0.2)
    box = differing(again(runs["compared"], comparison=wider), drawn["compared"])
    assert box
    assert 330 < box[0].start < box[0].stop < 400
    assert box[1].stop < 340


def test_a_warning_is_highlighted(drawn: dict[str, bytes]) -> None:
    marked = [(pixels(drawn[name]) == (0xB1, 0x4E, 0)).all(axis=2).any() for name in ("fallback", "ordinary")]
    assert marked == [True, False]


def test_images_that_are_not_square_keep_their_shape(runs: dict[str, Run]) -> None:
    tall = Image.new("RGB", (10, 40))
    assert module._fitting(tall).size == (24, 96)
    assert module._fitting(Image.new("RGB", (94, 47))).size == (96, 48)
