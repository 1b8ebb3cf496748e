"""Images with a defect are found if they differ from the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fixtures.pictures import photographs

from lrdiag import opencv
from lrdiag.diagnosis.quality import FEWEST, Defect, defects
from lrdiag.images.statistics import statistics_of

SET = photographs(400)
ROWS = np.arange(7, 400, 33)


def noisy(picture: np.ndarray, deviation: float) -> np.ndarray:
    added = np.random.default_rng(int(picture.sum())).normal(0, deviation, picture.shape)
    return np.clip(picture + added, 0, 255).astype(np.uint8)


def broken(picture: np.ndarray, share: float) -> np.ndarray:
    changed = picture.copy()
    changed[int(len(picture) * (1 - share)) :] = 128
    return changed


def framed(picture: np.ndarray, width: int) -> np.ndarray:
    return np.pad(picture[width:-width, width:-width], ((width, width), (width, width), (0, 0)))


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(opencv.GaussianBlur(picture, (0, 0), sigma))


def enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    return picture[::factor, ::factor].repeat(factor, axis=0).repeat(factor, axis=1)


CHANGES: list[tuple[Defect, Callable[[np.ndarray], np.ndarray]]] = [
    ("blank", np.zeros_like),
    ("blank", lambda picture: np.full_like(picture, 128) + (picture % 3)),
    ("damaged", lambda picture: noisy(picture, 60)),
    ("damaged", lambda picture: noisy(picture * 0, 1000)),
    ("damaged", lambda picture: broken(picture, 0.5)),
    ("damaged", lambda picture: broken(picture, 0.34)),
    ("dark or bright", lambda picture: picture // 5),
    ("dark or bright", lambda picture: picture // 4 + 190),
    ("enlarged", lambda picture: enlarged(picture, 2)),
    ("enlarged", lambda picture: enlarged(picture, 4)),
    ("blurred", lambda picture: blurred(picture, 1.2)),
    ("blurred", lambda picture: blurred(picture, 2)),
    ("bordered", lambda picture: framed(picture, 4)),
    ("bordered", lambda picture: framed(picture, 2)),
]


@pytest.mark.parametrize(("defect", "change"), CHANGES)
def test_defects_of_a_few_images_are_found(defect: Defect, change: Callable[[np.ndarray], np.ndarray]) -> None:
    pictures = SET.copy()
    pictures[ROWS] = [change(picture) for picture in SET[ROWS]]
    found = {each: sorted(rows.tolist()) for each, rows in defects(statistics_of(pictures)).items() if len(rows)}
    assert set(found) <= {defect}
    assert set(found[defect]) <= set(ROWS.tolist())
    assert len(found[defect]) >= len(ROWS) - 1


@pytest.mark.parametrize(("defect", "change"), CHANGES)
def test_a_property_of_all_images_is_no_defect(defect: Defect, change: Callable[[np.ndarray], np.ndarray]) -> None:
    pictures = np.stack([change(picture) for picture in SET])
    found = defects(statistics_of(pictures))
    assert len(found[defect]) <= (400 if defect == "blank" else 2)


def test_sound_sets_have_no_defects() -> None:
    from sklearn.datasets import load_digits

    digits = np.round(load_digits().images * 255 / 16).astype(np.uint8)[..., None]
    for pictures in (SET, SET[:FEWEST], digits, digits[:300], SET.mean(axis=3, keepdims=True).astype(np.uint8)):
        assert sum(len(rows) for rows in defects(statistics_of(pictures)).values()) == 0


def test_few_images_show_no_habit() -> None:
    assert defects(statistics_of(SET[: FEWEST - 1])) == {}
