"""Files of images: never those of other images."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lrdiag.data.image_names import carried_files, given_files
from lrdiag.errors import DataError

NAMES = ["cat", "dog", "ship"]
FILES = [f"{name}/{number}.png" for name in NAMES for number in range(8)]
LABELS = np.repeat([0, 1, 2], 8)
SHUFFLED = np.random.default_rng(0).permutation(LABELS)


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (FILES, NAMES),
        (FILES, None),
        ([file.replace("/", "-") for file in FILES], NAMES),
        ([f"cat/{file.replace('/', '-')}" for file in FILES], NAMES),
        ([], NAMES),
    ],
    ids=["agree", "no-names", "no-folders", "one-folder", "none"],
)
def test_files_that_do_not_contradict_the_labels_are_used(files: list[str], names: Any) -> None:
    assert given_files(files, LABELS, names) == (tuple(files), ())


@pytest.mark.parametrize(
    ("labels", "names"), [(SHUFFLED, NAMES), (LABELS, ["dog", "ship", "cat"])], ids=["shuffled", "other-names"]
)
def test_files_that_contradict_the_labels_are_refused(labels: np.ndarray, names: list[str]) -> None:
    with pytest.raises(DataError, match=r"`files` must be in the order of the images.*shuffle=False.*of 24\. Received"):
        given_files([rf"C:\data\{file}".replace("/", "\\") for file in FILES], labels, names)


def test_files_of_two_unequal_classes_in_random_order_are_refused() -> None:
    """Most of them are in the folder of their class by chance."""
    labels = np.repeat([0, 1], [90, 10])
    files = [
        f"{NAMES[label]}/{number}.png" for number, label in enumerate(np.random.default_rng(0).permutation(labels))
    ]
    with pytest.raises(DataError, match=r"another class than their label: 1\d of 100"):
        given_files(files, labels, NAMES)


def test_a_few_images_with_another_label_than_their_folder_are_a_note() -> None:
    corrected = LABELS.copy()
    corrected[0] = 2
    files, notes = given_files(FILES, corrected, NAMES)
    assert files == tuple(FILES)
    assert notes == ("Files in the folder of another class than their label: 1 of 24.",)


@pytest.mark.parametrize(
    ("data", "labels", "files"),
    [
        ({"file_paths": [f"/data/{file}" for file in FILES]}, LABELS, FILES),
        ({"filenames": FILES}, LABELS, FILES),
        ({"filenames": FILES}, LABELS[:10], FILES[:10]),
        ({"filenames": FILES[:10]}, LABELS, []),
        ({"file_paths": [file.replace("/", "-") for file in FILES]}, LABELS, []),
        ({"filenames": ["1.png", "2.png"], "shuffle": False}, LABELS[:2], ["1.png", "2.png"]),
        ({"filenames": ["1.png", "2.png"], "shuffle": True}, LABELS[:2], []),
        ({"filenames": "a.txt"}, LABELS, []),
    ],
    ids=["directory", "generator", "first-batches", "fewer", "unknown-order", "ordered", "shuffled", "another-meaning"],
)
def test_carried_files_are_used_if_their_order_is_known(data: Any, labels: np.ndarray, files: list[str]) -> None:
    assert carried_files(SimpleNamespace(**data), labels, NAMES) == (tuple(files), ())


def test_carried_files_in_another_order_are_left_out() -> None:
    files, (note,) = carried_files(SimpleNamespace(file_paths=FILES), SHUFFLED, NAMES)
    assert files == ()
    assert "not in the order of its files" in note
