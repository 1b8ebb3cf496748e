"""Files of NumPy arrays."""

import io
import zipfile

import numpy as np
import pytest

from lrdiag.data.fitting import Fitting
from lrdiag.data.sources.npz import ImageArrays
from lrdiag.errors import DataError

RANDOM = np.random.default_rng(0)


def pixels(*shape) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, np.uint8)


def four(count=6, shape=(8, 8, 3), **changes):
    """The arrays of a small file; `changes` replaces or, with `None`, removes some."""
    labels = np.arange(count) % 2
    arrays = {"x_train": pixels(count, *shape), "y_train": labels, "x_test": pixels(4, *shape), "y_test": labels[:4]}
    return {name: array for name, array in {**arrays, **changes}.items() if array is not None}


@pytest.fixture
def write(tmp_path):
    """Writes arrays; returns the path."""

    def write(arrays, name="shapes.npz"):
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    return write


def test_the_arrays_of_keras_datasets(write, progress):
    arrays = four()
    dataset = ImageArrays(write(arrays)).load(progress)
    np.testing.assert_array_equal(dataset.train.images, arrays["x_train"])
    np.testing.assert_array_equal(dataset.test.images, arrays["x_test"])
    assert dataset.train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert dataset.train.labels.dtype == np.int64
    assert (dataset.name, dataset.classes, len(dataset.validation)) == ("shapes", ("0", "1"), 0)
    assert progress.stages == [("Reading images", 2, "arrays")]
    assert progress.steps == 2


def test_validation_arrays_are_the_validation_set(write, progress):
    extra = pixels(3, 8, 8, 3)
    dataset = ImageArrays(write(four(x_val=extra, y_val=np.array([1, 1, 0])))).load(progress)
    np.testing.assert_array_equal(dataset.validation.images, extra)
    assert dataset.validation.labels.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    "names",
    [
        ("train_images", "train_labels", "test_images", "test_labels", "val_images", "val_labels"),
        ("X_train", "Y_train", "X_test", "Y_test", "X_val", "Y_val"),
    ],
)
def test_other_names(write, progress, names):
    arrays = four(x_val=pixels(3, 8, 8, 3), y_val=np.array([1, 1, 0]))
    dataset = ImageArrays(write(dict(zip(names, arrays.values(), strict=True)))).load(progress)
    np.testing.assert_array_equal(dataset.train.images, arrays["x_train"])
    np.testing.assert_array_equal(dataset.test.images, arrays["x_test"])
    np.testing.assert_array_equal(dataset.validation.images, arrays["x_val"])


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("X", "y")])
def test_undivided_arrays_are_divided(write, progress, names):
    images = pixels(20, 8, 8, 3)
    path = write(dict(zip(names, (images, np.repeat([0, 1], 10)), strict=True)))
    dataset = ImageArrays(path).load(progress)
    assert np.bincount(dataset.train.labels).tolist() == [8, 8]
    assert np.bincount(dataset.test.labels).tolist() == [2, 2]
    evaluated = ImageArrays(path).load(progress, test_only=True)
    np.testing.assert_array_equal(evaluated.test.images, images)
    assert len(evaluated.train) == 0


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour(write, progress, shape, channels):
    arrays = four(shape=shape)
    train = ImageArrays(write(arrays), Fitting(channels=channels)).load(progress).train.images
    assert train.shape == (6, 9, 7, channels)
    if shape[2:] != (3,):
        for channel in range(channels):
            np.testing.assert_array_equal(train[..., channel], arrays["x_train"].reshape(6, 9, 7))


def test_image_size_scales(write, progress):
    dataset = ImageArrays(write(four()), Fitting((4, 6))).load(progress)
    assert dataset.train.images.shape == (6, 4, 6, 3)
    assert dataset.test.images.shape == (4, 4, 6, 3)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0, 2, 1, 0, 1, 2], np.uint8),
        np.array([[0], [2], [1], [0], [1], [2]], np.int32),
        np.eye(3)[[0, 2, 1, 0, 1, 2]],
        np.eye(3, dtype=bool)[[0, 2, 1, 0, 1, 2]],
    ],
)
def test_labels_may_be_numbers_columns_or_one_hot(write, progress, labels):
    dataset = ImageArrays(write(four(y_train=labels))).load(progress)
    assert dataset.train.labels.tolist() == [0, 2, 1, 0, 1, 2]
    assert dataset.classes == ("0", "1", "2")


@pytest.mark.parametrize("names", [["cat", "dog"], [b"cat", b"dog"]])
def test_class_names_name_the_classes(write, progress, names):
    dataset = ImageArrays(write(four(class_names=np.array(names)))).load(progress)
    assert dataset.classes == ("cat", "dog")


def test_an_evaluation_reads_only_the_test_images(write, progress):
    arrays = four(x_train=np.array(["broken"]), y_train=np.arange(6) % 5)
    dataset = ImageArrays(write(arrays)).load(progress, test_only=True)
    np.testing.assert_array_equal(dataset.test.images, arrays["x_test"])
    assert dataset.classes == ("0", "1", "2", "3", "4"), "the classes are those of train, too"
    assert len(dataset.train) == 0
    assert progress.stages == [("Reading images", 1, "arrays")]
    assert len(ImageArrays(write(four(x_train=None, y_train=None))).load(progress, test_only=True).test) == 4


@pytest.mark.parametrize("given", [None, ["b", "a", "c"]])
def test_labels_may_be_text(write, progress, given):
    arrays = four(y_train=np.array(["b", "a", "c"] * 2), y_test=np.array(["c", "a", "b", "b"]))
    dataset = ImageArrays(write(arrays | ({"class_names": np.array(given)} if given else {}))).load(progress)
    assert dataset.classes == (("b", "a", "c") if given else ("a", "b", "c"))
    assert [dataset.classes[label] for label in dataset.test.labels] == ["c", "a", "b", "b"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_test": None, "y_test": None}, "called test.* with train only"),
        ({"x_train": None, "y_train": None}, "training images, called train.* with test only"),
        ({"y_test": None}, "must contain x_train, y_train, .*, or x and y alone.* which lacks y_test"),
        ({"x_train": None}, r"\['x_test', 'y_test', 'y_train'\], which lacks x_train"),
        ({"x_train": pixels(6, 8, 8, 3) / 255}, r"uint8.*Received: float64 in x_train.*np.rint\(255 \* x\)"),
        ({"x_test": pixels(4, 8, 8, 3).astype("int64")}, r"Received: int64 in x_test.*x.astype\('uint8'\)"),
        ({"x_train": pixels(6, 3, 8, 8)}, r"must have the shape .*Received: \(6, 3, 8, 8\) in x_train"),
        ({"x_train": pixels(6, 64)}, r"Received: \(6, 64\) in x_train"),
        ({"x_train": pixels(6, 8, 8, 4)}, r"Received: \(6, 8, 8, 4\) in x_train"),
        ({"x_train": pixels(6, 0, 8)}, r"Received: \(6, 0, 8\) in x_train"),
        ({"y_train": np.arange(6) / 2}, r"Labels must be integers.*Received: float64 of shape \(6,\) in y_train"),
        ({"y_train": np.full((6, 2), 0.5)}, r"or one-hot.*Received: float64 of shape \(6, 2\)"),
        ({"y_train": np.ones((6, 2))}, r"or one-hot.*Received: float64 of shape \(6, 2\)"),
        ({"y_train": np.array(["a"] * 6)}, r"Labels that are text .* in each part.* Received: int64 in y_test"),
        (
            {
                "y_train": np.array(["a", "b"] * 3),
                "y_test": np.array(["a", "c"] * 2),
                "class_names": np.array(["a", "b"]),
            },
            r"among `class_names`.* Received: c in y_test",
        ),
        ({"x_valid": pixels(2, 8, 8), "x_val": pixels(2, 8, 8)}, "each part once.* x_val/y_val and x_valid/y_valid"),
        ({"y_train": np.array(3)}, r"Received: int64 of shape \(\) in y_train"),
        ({"y_train": np.array([0, 1, 10**12, 0, 1, 0])}, "counted from 0 without gaps. Received: 1000000000000 in y_t"),
        ({"y_train": np.array([0, 1, -1, 0, 1, 0])}, "between 0 and 1.*Received: -1 in the training set"),
        ({"y_train": np.array([1, 2, 1, 2, 1, 2])}, "none of class '0'"),
        ({"y_train": np.arange(5) % 2}, "one label per image. Received: 6 images"),
        ({"y_train": np.zeros(6, int), "y_test": np.zeros(4, int)}, r"two classes or more. Received: \['0'\]"),
        ({"class_names": np.array(["a"])}, r"two classes or more. Received: \['a'\]"),
        ({"class_names": np.array(["a", "b", "c"])}, "none of class 'c'"),
        ({"y_train": np.arange(6) % 3, "class_names": np.array(["a", "b"])}, "between 0 and 1.*Received: 2"),
        ({"class_names": np.array([1, 2])}, r"must be a list of text. Received: int64 of shape \(2,\)"),
        ({"class_names": np.array("ab")}, r"Received: <U2 of shape \(\)"),
        ({"x_train": np.array([None] * 6)}, "complete, and contain numbers or text. Received: x_train .* of object"),
        ({"x_train": pixels(0, 8, 8), "y_train": np.zeros(0, int)}, "none in train of the file"),
    ],
)
def test_unusable_arrays_are_named(write, progress, changes, message):
    with pytest.raises(DataError, match=message):
        ImageArrays(write(four(**changes))).load(progress)


def test_a_file_without_such_arrays_lists_what_it_has(write, progress):
    with pytest.raises(DataError, match=r"Received: the file .*shapes.npz with \['A', 'b'\]$"):
        ImageArrays(write({"A": pixels(2, 2), "b": pixels(2, 2)})).load(progress)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html>", b"\x80\x04."])
def test_a_file_of_another_format_is_an_error(tmp_path, progress, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"written by numpy.savez. Received: .*x.npz: .*Write it again"):
        ImageArrays(tmp_path / "x.npz").load(progress)


def test_a_single_array_is_an_error(tmp_path, progress):
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, pixels(2, 2))
    with pytest.raises(DataError, match="it contains a single array"):
        ImageArrays(tmp_path / "x.npz").load(progress)


def test_a_damaged_array_is_named(write, progress):
    path = write(four())
    content = bytearray(path.read_bytes())
    content[300:310] = bytes(10)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"must be complete.* Received: x_train of the file .*CRC"):
        ImageArrays(path).load(progress)


def test_a_truncated_file_is_an_error(write, progress):
    path = write(four())
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"written by numpy.savez"):
        ImageArrays(path).load(progress)


@pytest.mark.parametrize(("name", "reads"), [("a.npz", True), ("a.NPZ", True), ("a.npy", False), ("none.npz", False)])
def test_which_paths_are_read(tmp_path, name, reads):
    if not name.startswith("none"):
        (tmp_path / name).touch()
    assert ImageArrays.reads(tmp_path / name) is reads


def npy(header: dict, data: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + data


HUGE = {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000, 1)}
OTHERS = {
    "text": (b"nothing", "must be complete"),
    "no magic": (b"X" + npy(HUGE), "must be complete"),
    "huge": (npy(HUGE), "x_train is too large: 1,000,000,000,000 bytes are more than .*LRDIAG_MAX_ARRAY_BYTES"),
    "cut": (npy(HUGE | {"shape": (6, 8, 8, 1)}, b"abc"), "which are 384 bytes, and holds 3"),
    "longer": (npy(HUGE | {"shape": (0,)}, b"abc"), "which are 0 bytes, and holds 3"),
    "negative": (npy(HUGE | {"shape": (-6, 8, 8, 1)}), "must be complete"),
}


@pytest.mark.parametrize("member", OTHERS)
def test_what_is_no_array_or_declares_too_much_is_not_read(tmp_path, progress, monkeypatch, member):
    content, message = OTHERS[member]
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as file:
        for name, array in four(x_train=None).items():
            with file.open(f"{name}.npy", "w") as opened:
                np.lib.format.write_array(opened, array)
        file.writestr("x_train.npy", content)
    with pytest.raises(DataError, match=message):
        ImageArrays(tmp_path / "d.npz").load(progress)


def test_a_single_array_is_not_read(tmp_path, progress, monkeypatch):
    (tmp_path / "d.npz").write_bytes(npy(HUGE))
    monkeypatch.setattr("numpy.load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(DataError, match="it contains a single array"):
        ImageArrays(tmp_path / "d.npz").load(progress)
