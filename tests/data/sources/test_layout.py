"""Parts and classes in folders of other people."""

from pathlib import Path

import pytest

from lrdiag.data.sources.layout import find_parts, refuse_parts_as_classes
from lrdiag.errors import DataError


@pytest.fixture
def tree(tmp_path):
    """Writes an empty image into each folder. Returns the root."""

    def write(*folders: str) -> Path:
        for folder in folders:
            (tmp_path / "data" / folder).mkdir(parents=True)
            (tmp_path / "data" / folder / "1.jpg").touch()
        return tmp_path / "data"

    return write


def of(*parts: str, classes=("cat", "dog")) -> list[str]:
    return [f"{part}/{name}" for part in parts for name in classes]


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (of("training_set", "test_set"), {"train": "training_set", "test": "test_set"}),
        (of("seg_train/seg_train", "seg_test/seg_test"), {"train": "seg_train/seg_train", "test": "seg_test/seg_test"}),
        (of("train", "valid", "test"), {"train": "train", "validation": "valid", "test": "test"}),
        (of("train_data", "val_data"), {"train": "train_data", "validation": "val_data"}),
        (of("TrainImages", "dev", "TESTING"), {"train": "TrainImages", "validation": "dev", "test": "TESTING"}),
        (of("train2017", "eval"), {"train": "train2017", "validation": "eval"}),
        (of("data/dataset/train", "data/dataset/test"), {"train": "data/dataset/train", "test": "data/dataset/test"}),
        (of("cats_train", "cats_test"), {"train": "cats_train", "test": "cats_test"}),
        ([*of("train", "test"), "test/.cache", "__MACOSX", ".git/x"], {"train": "train", "test": "test"}),
        ([*of("train"), "test"], {"train": "train", "test": "test"}),
        (of("data"), {"whole": "."}),
        (of("images"), {"whole": "images"}),
        (["cat", "dog"], {"whole": "."}),
        (["cat", "dog", "test"], {"whole": "."}),
        (["dev", "ops", "test"], {"whole": "."}),
        (["bus", "car", "train"], {"whole": "."}),
        (["bus/old", "freight_train/new"], {"whole": "."}),
        (["test1", "test2", "test3"], {"whole": "."}),
        (of("vehicles", classes=("bus", "train")), {"whole": "vehicles"}),
    ],
)
def test_parts(tree, folders, expected):
    root = tree(*folders)
    if expected == {"whole": "."} and folders == of("data"):
        root, expected = root / "data", {"whole": "."}
    found = find_parts(root).parts
    assert {part: path.relative_to(root).as_posix() for part, path in found.items()} == expected


def test_a_part_alone_is_not_divided_if_its_folder_repeats_itself(tree):
    root = tree(*of("seg_test/seg_test"))
    assert find_parts(root / "seg_test").parts == {"whole": root / "seg_test" / "seg_test"}
    assert find_parts(root).parts == {"test": root / "seg_test" / "seg_test"}


def test_other_folders_with_images_are_named(tree):
    root = tree(*of("train", "test"), "seg_pred/seg_pred", "notes/plots")
    (root / "notes" / "plots" / "1.jpg").unlink()
    assert find_parts(root).unread == ("seg_pred",)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["train", "test"], r"must contain train/<class>/.* with test, train, which look like parts, without"),
        (["cats_test", "cats_train", "dogs_test", "dogs_train"], "which look like parts, without folders of classes"),
        (of("train", "training", "test"), "each part once. Received: .* with train/ and training/"),
        (["bus", "car", *of("train")], r"parts or classes, not both. .* where train contains folders .* bus contains"),
    ],
)
def test_folders_that_are_no_parts(tree, folders, message):
    with pytest.raises(DataError, match=message):
        find_parts(tree(*folders))


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (of("fold1", "fold2"), r"look like parts .* where fold1, fold2 contain cat, dog. Call the parts train"),
        (of("cat", "dog", classes=("train", "test")), r"with the folders test, train, which look like parts"),
        (of("a", "b", classes=("images", "masks")), "where a, b contain images, masks"),
        (["notes", *of("set/train", "set/test")], "set with the folders test, train"),
    ],
)
def test_parts_are_not_taken_for_classes(tree, folders, message):
    root = tree(*folders)
    with pytest.raises(DataError, match=message):
        refuse_parts_as_classes(root, [path.name for path in root.iterdir()])


@pytest.mark.parametrize(
    "folders",
    [of("cat", "dog", classes=("images",)), of("cat", classes=("2023", "2024")), ["a/x", "a/y", "b/x", "b/z"]],
)
def test_nested_folders_of_classes_are_accepted(tree, folders):
    root = tree(*folders)
    refuse_parts_as_classes(root, [path.name for path in root.iterdir()])
