"""Batches that are filled up to a few sizes."""

from __future__ import annotations

import numpy as np
import pytest

from lrdiag.backend.filling import CompiledSizes, filled_up


@pytest.mark.parametrize(
    ("batches", "compiled"),
    [
        ([360], {360}),
        ([512, 512, 272], {512}),
        ([1, 512, 100], {1, 512, 128}),
        ([512, 1, 2, 4, 8, 16, 32, 64], {512, 16, 32, 64}),
        (list(range(1, 300)), {1, 16, 32, 64, 128, 256, 512}),
    ],
    ids=["one", "last", "rare", "doubling", "growing"],
)
def test_a_function_is_compiled_for_few_sizes(batches: list[int], compiled: set[int]) -> None:
    sizes = CompiledSizes()
    found = [sizes.for_batch_of(size) for size in batches]
    assert all(full >= size for full, size in zip(found, batches, strict=True))
    assert all(full <= max(16, 4 * size) for full, size in zip(found, batches, strict=True))
    assert set(found) == compiled


def test_every_array_is_filled_with_copies_of_its_first_example() -> None:
    images, numbers = filled_up((np.arange(6).reshape(2, 3), {"labels": np.array([7, 8])}), 4)
    np.testing.assert_array_equal(images, [[0, 1, 2], [3, 4, 5], [0, 1, 2], [0, 1, 2]])
    np.testing.assert_array_equal(numbers["labels"], [7, 8, 7, 7])
    given = np.zeros((4, 1))
    assert filled_up(given, 4) is given
