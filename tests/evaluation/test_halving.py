"""Batches are halved where the memory does not suffice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lrdiag.evaluation.halving import Passes
from lrdiag.explain.engine import Explained

IMAGES = np.arange(10, dtype=np.float32)
LABELS = np.arange(10)


def explaining(most: int, error: type[Exception], tried: list[int]) -> Any:
    def explain(images: np.ndarray, labels: np.ndarray) -> Explained:
        tried.append(len(labels))
        if len(labels) > most:
            try:
                raise error("too much")
            except error as cause:  # as Keras wraps errors of layers
                raise RuntimeError("in a layer") from cause
        maps = np.empty((0, 0, 0))
        return Explained(images[:, np.newaxis], np.empty(0, int), maps, maps, None, maps)

    return explain


def test_every_image_is_explained_once_in_order_and_later_batches_are_small_at_once() -> None:
    tried: list[int] = []
    passes = Passes(explaining(3, MemoryError, tried), 8)
    found = list(passes.over([(IMAGES, LABELS), (IMAGES, LABELS)]))
    assert np.concatenate([labels for _, labels, _ in found]).tolist() == [*LABELS, *LABELS]
    assert np.concatenate([each.scores[:, 0] for *_, each in found]).tolist() == [*IMAGES, *IMAGES]
    assert tried[:2] == [8, 4]
    assert max(tried[2:]) == 2
    assert passes.size == 2
    assert "8 images at once" in passes.notes[0]


def test_without_a_shortage_nothing_is_cut_twice() -> None:
    tried: list[int] = []
    passes = Passes(explaining(8, MemoryError, tried), 8)
    list(passes.over([(IMAGES, LABELS)]))
    assert (tried, passes.notes) == ([8, 2], ())


@pytest.mark.parametrize(("most", "error"), [(0, MemoryError), (3, ValueError)])
def test_other_errors_and_a_shortage_for_one_image_are_raised(most: int, error: type[Exception]) -> None:
    with pytest.raises(RuntimeError, match="in a layer"):
        list(Passes(explaining(most, error, []), 8).over([(IMAGES, LABELS)]))
