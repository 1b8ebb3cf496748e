"""Slices of a user's data."""

import keras
import numpy as np
import pytest

from lrdiag.data import list_test_images
from lrdiag.data.inputs import GivenData, LabelledBatches
from lrdiag.data.parts import batches_of, count_batches
from lrdiag.errors import DataError
from lrdiag.record.arrays import LabelledImages

X = np.arange(10, dtype=np.float32).reshape(10, 1, 1, 1)
Y = np.arange(10)


class Indexed(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, place):
        return X[3 * place : 3 * place + 3], Y[3 * place : 3 * place + 3]


def pipeline():
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(3)


def endless_length():
    return pipeline().filter(lambda x, y: True)


KINDS = {
    "arrays": lambda tmp: GivenData(X, Y),
    "list of labels": lambda tmp: GivenData(X, Y.tolist()),
    "nest": lambda tmp: GivenData({"a": X, "b": X}, Y, sample_weight=np.ones(10)),
    "memory map": lambda tmp: GivenData((np.save(tmp / "x.npy", X), np.load(tmp / "x.npy", mmap_mode="r"))[1], Y),
    "images": lambda tmp: GivenData(LabelledImages(X.astype(np.uint8), Y)),
    "batches": lambda tmp: GivenData([(X[n : n + 3], Y[n : n + 3]) for n in range(0, 10, 3)]),
    "PyDataset": lambda tmp: GivenData(Indexed()),
    "tf.data": lambda tmp: GivenData(pipeline()),
    "tf.data with steps": lambda tmp: GivenData(endless_length(), steps=4),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_have_the_batches_of_the_whole(tmp_path, kind, parts):
    data = KINDS[kind](tmp_path)
    total = count_batches(data, 3)
    assert total == 4
    found = []
    for part in range(parts):
        some = batches_of(data, range(total * part // parts, total * (part + 1) // parts), 3)
        found += [labels.tolist() for _, labels in LabelledBatches(some, 3)]
    assert found == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


def test_steps_limit_the_number_of_batches():
    assert count_batches(GivenData(X, Y, steps=2), 3) == 2
    assert count_batches(GivenData(X, Y, steps=9), 3) == 4


def test_data_without_a_length_is_refused_by_name():
    with pytest.raises(DataError, match=r"known length.* Received: generator of unknown length"):
        count_batches(GivenData((pair for pair in [(X, Y)]), steps=1), 3)
    with pytest.raises(DataError, match=r"Received: .*FilterDataset of unknown length"):
        count_batches(GivenData(endless_length()), 3)
    with pytest.raises(DataError, match=r"successive batches.* Received: range\(2, 5\) of 4"):
        batches_of(GivenData(X, Y), range(2, 5), 3)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_of_arrays_is_read_in_slices(tmp_path, progress, compressed):
    images = np.arange(40, dtype=np.uint8).reshape(10, 2, 2)
    (np.savez_compressed if compressed else np.savez)(tmp_path / "x.npz", x=images, y=Y % 2)
    listed = list_test_images(str(tmp_path / "x.npz"), None, None, 1, progress)
    (part,) = listed.part(3, 7).read(progress)
    np.testing.assert_array_equal(part.images[..., 0], images[3:7])
    assert (part.labels.tolist(), len(listed), listed.classes) == ([1, 0, 1, 0], 10, ["0", "1"])
    assert isinstance(part.images.base if not compressed else np.memmap, np.memmap | type)


def test_a_folder_is_read_in_slices(write_images, progress):
    listed = list_test_images(str(write_images(count=10)), None, (8, 8), 3, progress)
    whole = [file for chunk in listed.read(progress) for file in chunk.files]
    part = listed.part(5, 12)
    assert [file for chunk in part.read(progress) for file in chunk.files] == whole[5:12]
    assert (len(whole), len(part), part.digest) == (20, 7, listed.digest)
