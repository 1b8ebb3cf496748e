"""Folders of TensorFlow Datasets: with a substitute for the library, and with the library if it is installed."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from lrdiag.data.fitting import Fitting
from lrdiag.data.sources.tfds import TfdsFolder
from lrdiag.errors import DataError

CLASSES = ["dog", "cat"]
LABEL = SimpleNamespace(names=CLASSES)


def picture(number, *shape):
    return np.full(shape, number, np.uint8)


SPLITS = {
    "train": [{"image": picture(n, 10 + n, 20, 3), "label": n % 2} for n in range(10)],
    "validation": [{"image": picture(50 + n, 8, 8, 1), "label": n % 2} for n in range(4)],
    "test": [{"image": picture(100 + n, 9, 7, 4), "label": 1} for n in range(3)],
}
FITTING = Fitting(file_size=(32, 32))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "pets" / "1.0.0"
    path.mkdir(parents=True)
    (path / "dataset_info.json").touch()
    (path / "features.json").write_text("{}")
    return path


@pytest.fixture
def prepared(monkeypatch):
    """Makes `tensorflow_datasets` find the given splits in any folder."""

    def prepare(splits=SPLITS, features=None):
        def as_dataset(split, shuffle_files, read_config):
            assert (shuffle_files, read_config) == (False, 1), "the order of the images must be that of the files"
            name, start, stop = re.fullmatch(r"(\w+)\[(\d+):(\d+)\]", split).groups()
            return splits[name][int(start) : int(stop)]

        info = SimpleNamespace(
            features=features or {"image": None, "label": LABEL},
            splits={name: SimpleNamespace(num_examples=len(examples)) for name, examples in splits.items()},
        )
        config = lambda interleave_cycle_length: interleave_cycle_length  # noqa: E731
        builder = SimpleNamespace(info=info, as_dataset=as_dataset)
        module = SimpleNamespace(builder_from_directory=lambda _: builder, as_numpy=iter, ReadConfig=config)
        monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)

    return prepare


def test_splits_are_read_and_images_of_every_size_are_fitted(folder, prepared, progress):
    prepared()
    dataset = TfdsFolder(folder, FITTING).load(progress)
    assert (dataset.name, dataset.classes) == ("pets", ("dog", "cat"))
    assert dataset.train.images.shape == (10, 32, 32, 3)
    assert "stretched to 32 × 32 pixels" in dataset.notes[0]
    assert dataset.train.images[:, 5, 5, 2].tolist() == list(range(10))
    assert dataset.train.labels.tolist() == [0, 1] * 5
    assert dataset.validation.images[:, 5, 5, 2].tolist() == [50, 51, 52, 53]
    assert dataset.test.images[:, 5, 5, 2].tolist() == [100, 101, 102]
    assert progress.stages == [("Reading images", 17, "images")]
    assert progress.steps == 17


def test_size_and_channels_choose_the_shape(folder, prepared, progress):
    prepared()
    assert TfdsFolder(folder, Fitting((20, 48), channels=1)).load(progress).test.images.shape == (3, 20, 48, 1)


def test_an_evaluation_reads_only_the_test_images(folder, prepared, progress):
    prepared()
    dataset = TfdsFolder(folder, FITTING).load(progress, test_only=True)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (0, 0, 3)
    assert progress.steps == 3


def test_without_a_size_images_keep_theirs_if_they_share_one(folder, prepared, progress):
    prepared({"test": [{"image": picture(0, 8, 9, 3), "label": 0}] * 2})
    assert TfdsFolder(folder).load(progress, test_only=True).test.images.shape == (2, 8, 9, 3)
    prepared({"test": [{"image": picture(0, 8, 9, 3), "label": 0}, {"image": picture(0, 9, 8, 3), "label": 0}]})
    with pytest.raises(DataError, match=r"--image-size.*Received: images of 9 × 8 pixels, and image 1 of 8 × 9"):
        TfdsFolder(folder).load(progress, test_only=True)


def test_train_alone_is_divided_or_evaluated_as_a_whole(folder, prepared, progress):
    prepared({"train": SPLITS["train"]})
    dataset = TfdsFolder(folder, FITTING).load(progress)
    assert (len(dataset.train), len(dataset.test)) == (8, 2)
    assert len(TfdsFolder(folder, FITTING).load(progress, test_only=True).test) == 10


def test_a_slice_has_the_images_labels_and_size_of_the_whole(folder, prepared, progress):
    prepared({"test": SPLITS["train"]})
    listed = TfdsFolder(folder, FITTING).listed(progress)
    reading = listed.part(2, 9).part(1, 4).read(progress)
    (images,) = reading
    assert (images.images[:, 5, 5, 2].tolist(), images.labels.tolist()) == ([3, 4, 5], [1, 0, 1])
    assert (len(listed), reading.tally.sizes.total, reading.tally.sizes.others) == (10, 3, 3)
    prepared({"test": [{"image": picture(0, 8, 8, 3), "label": 2}]})
    with pytest.raises(DataError, match=r"between 0 and 1.* Received: 2 of image 0 in the folder"):
        list(TfdsFolder(folder, FITTING).listed(progress).read(progress))


def test_the_folder_names_the_data_unless_it_is_a_version(tmp_path):
    assert TfdsFolder(tmp_path / "pets" / "10.0.2").name == "pets"
    assert TfdsFolder(tmp_path / "my-pets").name == "my-pets"


@pytest.mark.parametrize(
    ("splits", "features", "message"),
    [
        (
            {"train": SPLITS["train"], "validation": SPLITS["validation"]},
            None,
            "called test.* train and validation only",
        ),
        (SPLITS, {"image": None, "digit": LABEL}, r"features `image` and `label`.* Received: \['digit', 'image'\]"),
        (SPLITS, {"image": None, "label": SimpleNamespace()}, r"`label`, a ClassLabel. Received: \['image', 'label'\]"),
        (
            {**SPLITS, "test": [{"image": np.zeros((8, 8, 1), np.uint16), "label": 0}]},
            None,
            "uint8.* uint16 in test of",
        ),
        ({**SPLITS, "test": [{"image": picture(0, 8, 8, 3), "label": -1}]}, None, "between 0 and 1.*Received: -1"),
        ({**SPLITS, "test": [{"image": picture(0, 8, 8, 7), "label": 0}]}, None, r"must be complete.* KeyError: \(7,"),
    ],
)
def test_unusable_data_is_named(folder, prepared, progress, splits, features, message):
    prepared(splits, features)
    with pytest.raises(DataError, match=message):
        TfdsFolder(folder, FITTING).load(progress)


def test_without_the_library_the_error_names_the_package(folder, progress, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(DataError, match=r"needs tensorflow-datasets. Run `pip install tensorflow-datasets`"):
        TfdsFolder(folder, FITTING).load(progress)


def test_which_paths_are_read(tmp_path, folder):
    assert TfdsFolder.reads(folder)
    assert not TfdsFolder.reads(tmp_path)
    (folder / "features.json").unlink()
    assert not TfdsFolder.reads(folder)


@pytest.fixture
def written(tmp_path):
    """A folder that the library itself has written."""
    library = pytest.importorskip("tensorflow_datasets")
    random = np.random.default_rng(0)
    splits = {
        name: [{"image": random.integers(0, 256, (12, 16, 3), np.uint8), "label": n % 2} for n in range(count)]
        for name, count in (("train", 12), ("test", 5))
    }
    library.dataset_builders.store_as_tfds_dataset(
        name="pets",
        version="1.0.0",
        features=library.features.FeaturesDict(
            {
                "image": library.features.Image(shape=(None, None, 3), encoding_format="png"),
                "label": library.features.ClassLabel(names=CLASSES),
            }
        ),
        split_datasets={name: list(enumerate(examples)) for name, examples in splits.items()},
        data_dir=tmp_path,
    )
    return tmp_path / "pets" / "1.0.0", splits


def test_a_folder_written_by_the_library_is_read(written, progress):
    path, splits = written
    assert TfdsFolder.reads(path)
    dataset = TfdsFolder(path, Fitting((12, 16))).load(progress)
    assert (dataset.name, dataset.classes) == ("pets", ("dog", "cat"))
    for part, images in (("train", dataset.train), ("test", dataset.test)):
        pairs = {(image.tobytes(), int(label)) for image, label in zip(images.images, images.labels, strict=True)}
        assert pairs == {(example["image"].tobytes(), example["label"]) for example in splits[part]}
    again = TfdsFolder(path, Fitting((12, 16))).load(progress)
    np.testing.assert_array_equal(again.test.images, dataset.test.images)


def test_an_incomplete_folder_is_an_error(written, progress):
    path, _ = written
    for file in path.glob("*tfrecord*"):
        file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"must be complete. Prepare it again. Received: .*Error: "):
        TfdsFolder(path).load(progress)


def test_a_broken_description_is_an_error(folder, progress):
    pytest.importorskip("tensorflow_datasets")
    with pytest.raises(DataError, match=r"must be complete. Prepare it again. Received: .*Error: "):
        TfdsFolder(folder, FITTING).load(progress)


@pytest.mark.parametrize("key", ["pythonClassName", "type"])
def test_a_description_imports_no_module(folder, prepared, progress, tmp_path, monkeypatch, key):
    (tmp_path / "payload.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    prepared()
    (folder / "features.json").write_text(f'{{"featuresDict": {{"features": {{"a": {{"{key}": "payload.Image"}}}}}}}}')
    with pytest.raises(DataError, match=r"from tensorflow_datasets\.core\.features\..* Received: 'payload\.Image'"):
        TfdsFolder(folder).load(progress)
