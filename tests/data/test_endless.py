"""Data of unknown length that only repeats is refused, and finite data never."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from lrdiag.data import endless
from lrdiag.data.endless import with_end
from lrdiag.errors import DataError

IMAGES = np.random.default_rng(0).random((40, 4, 4, 3), "float32")
LABELS = np.arange(40) % 2


def batches(number: int | None, *, shuffled: bool = False, step: int = 8) -> Iterator[tuple[Any, np.ndarray]]:
    generator, place = np.random.default_rng(0), 0
    while number is None or place < number:
        chosen = generator.integers(0, 40, step) if shuffled else np.arange(place * step, place * step + step) % 40
        yield IMAGES[chosen], LABELS[chosen]
        place += 1


@pytest.mark.parametrize("shuffled", [False, True])
def test_repeated_images_are_refused(shuffled: bool) -> None:
    with pytest.raises(DataError, match=r"must be finite.*`steps=`.*1,0\d\d images in a row that were given before"):
        list(with_end(batches(None, shuffled=shuffled)))


def test_images_that_never_repeat_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endless, "MOST", 100)

    def augmented() -> Iterator[tuple[Any, np.ndarray]]:
        return ((images + place, labels) for place, (images, labels) in enumerate(batches(None)))

    with pytest.raises(DataError, match="more than 100 images from data of unknown length"):
        list(with_end(augmented()))


@pytest.mark.parametrize("number", [5, 10, 25])
def test_finite_data_is_not_refused(number: int) -> None:
    """Also if images occur several times."""
    assert len(list(with_end(batches(number)))) == number


def test_three_passes_over_many_images_are_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endless, "SEEN_AGAIN", 10)
    assert len(list(with_end(batches(15)))) == 15
    with pytest.raises(DataError, match="48 images in a row"):
        list(with_end(batches(20)))


def test_images_that_differ_in_few_values_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a small object on black."""
    monkeypatch.setattr(endless, "SEEN_AGAIN", 10)
    images = np.eye(1600, 1600, dtype="float32").reshape(100, 16, 40, 40)
    labels = np.zeros(16, np.int64)
    assert len(list(with_end((batch, labels) for batch in images))) == 100
