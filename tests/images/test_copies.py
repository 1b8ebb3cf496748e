"""Copies are found in spite of changes, and images that are only similar are not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fixtures.pictures import photographs

from lrdiag import opencv
from lrdiag.images.copies import copied
from lrdiag.images.joining import Index
from lrdiag.images.same_pixels import moved_kind
from lrdiag.images.sketches import NOTHING, sketches

SET = photographs(400)
EACH = 20
"""Number of copies with each change, each of another picture."""


def moved(picture: np.ndarray) -> np.ndarray:
    changed = np.zeros_like(picture)
    changed[2:, :-3] = picture[:-2, 3:]
    return changed


def cut(picture: np.ndarray) -> np.ndarray:
    return np.asarray(opencv.resize(np.ascontiguousarray(picture[1:-2, 2:-1]), (32, 32)))


def compressed(picture: np.ndarray) -> np.ndarray:
    coded = opencv.imencode(".jpg", picture, [opencv.IMWRITE_JPEG_QUALITY, 70])[1]
    return np.asarray(opencv.imdecode(coded, opencv.IMREAD_UNCHANGED))


def brighter(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture * 1.1 + 8, 0, 255).astype(np.uint8)


CHANGES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "equal": (np.copy, "exact"),
    "mirrored": (lambda picture: picture[:, ::-1], "mirrored"),
    "moved": (moved, "shifted"),
    "mirrored and compressed": (lambda picture: compressed(picture[:, ::-1].copy()), "mirrored"),
    "cut": (cut, "scaled"),
    "compressed": (compressed, "near"),
    "brighter": (brighter, "near"),
}


@pytest.fixture(scope="module")
def found() -> dict[tuple[int, int], str]:
    """The copies between the set and changed pictures of it, those of one change after another."""
    changes = [change for change, _ in CHANGES.values() for _ in range(EACH)]
    copies = [change(picture) for change, picture in zip(changes, SET, strict=False)]
    pairs = copied([SET, np.stack(copies)])
    assert pairs.tells_near
    return dict(zip(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True), pairs.kinds, strict=True))


@pytest.mark.parametrize("name", CHANGES)
def test_changed_copies_are_found(found: dict[tuple[int, int], str], name: str) -> None:
    start = EACH * [*CHANGES].index(name)
    kinds = [found.get((place, 400 + place)) for place in range(start, start + EACH)]
    assert kinds.count(CHANGES[name][1]) >= EACH - 1, kinds


def test_no_other_images_are_copies(found: dict[tuple[int, int], str]) -> None:
    assert [pair for pair in found if pair[1] != pair[0] + 400] == []


def test_in_a_set_of_similar_images_only_equal_pixels_count() -> None:
    """Digits of 8 × 8 pixels are as similar as copies that were compressed."""
    from sklearn.datasets import load_digits

    digits = np.round(load_digits().images * 255 / 16).astype(np.uint8)[..., None]
    changed = np.clip(digits[:20].astype(int) + 9, 0, 255).astype(np.uint8)
    pairs = copied([digits, digits[100:110], digits[200:210, :, ::-1], changed])
    assert not pairs.tells_near
    expected = {(100 + number, 1797 + number) for number in range(10)}
    mirrored = {(200 + number, 1807 + number) for number in range(10)}
    assert set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == expected | mirrored


def test_simple_drawings_that_were_moved_are_no_copies() -> None:
    drawings = np.zeros((300, 32, 32, 3), np.uint8)
    for number, place in enumerate(np.random.default_rng(0).permutation(400)[:300].tolist()):
        down, right = divmod(place, 20)
        drawings[number, 2 + down : 10 + down, 2 + right : 10 + right] = 255
    pairs = copied([drawings])
    assert not pairs.tells_near
    assert len(pairs.first) == 0


@pytest.mark.parametrize("count", [1, 2, 39])
def test_few_images_are_compared_by_their_pixels(count: int) -> None:
    pairs = copied([SET[:count], SET[:1]])
    assert (pairs.first.tolist(), pairs.second.tolist(), pairs.kinds) == ([0], [count], ["exact"])
    assert not pairs.tells_near or count == 39


def test_blank_images_are_no_copies() -> None:
    assert len(copied([np.full((50, 32, 32, 3), 7, np.uint8)]).first) == 0


def test_sets_may_have_pictures_of_different_sizes() -> None:
    large = np.stack([opencv.resize(picture, (64, 64), interpolation=opencv.INTER_CUBIC) for picture in SET[:5]])
    pairs = copied([SET, large])
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(row, 400 + row) for row in range(5)]


def test_a_sketch_is_that_of_the_mirrored_picture() -> None:
    numbers, places = sketches(SET[:3])
    mirrored, others = sketches(SET[:3, :, ::-1])
    assert numbers.tolist() == mirrored.tolist()
    assert (31 - places[..., 1]).tolist() == others[..., 1].tolist()
    assert (sketches(np.zeros((2, 32, 32, 1), np.uint8))[0] == NOTHING).all()


def test_a_moved_picture_is_placed_by_what_both_show() -> None:
    one, place = SET[0], np.array([10, 12])
    assert moved_kind(one, moved(one), place, np.array([12, 9])) == "shifted"
    assert moved_kind(one, one[:, ::-1], place, np.array([10, 19])) == "mirrored"
    assert moved_kind(one, one, place, place) == "near"
    assert moved_kind(one, SET[1], place, place) is None


def test_all_near_points_are_found() -> None:
    generator = np.random.default_rng(0)
    points = generator.normal(size=(3000, 12)).astype(np.float32) * np.linspace(12, 4, 12, dtype=np.float32)
    queries = points[:50] + generator.normal(size=(50, 12)).astype(np.float32)
    rows, others = Index(points).near(queries, 6.0)
    exact = (((queries[:, None] - points) ** 2).sum(axis=2) < 36).nonzero()
    assert set(zip(rows.tolist(), others.tolist(), strict=True)) == set(
        zip(*(each.tolist() for each in exact), strict=True)
    )
