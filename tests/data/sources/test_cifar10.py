import gzip
import hashlib
import os
import pickle
import tarfile
import tracemalloc

import numpy as np
import pytest

from lrdiag.data.sources.cifar10 import Cifar10
from lrdiag.errors import DataError, DataUnavailable

NAME = "cifar-10-batches-py"


@pytest.fixture
def expected_images():
    """The training images of `write_cifar10`, transposed one by one."""
    rows = np.concatenate([np.random.default_rng(n).integers(0, 256, (4, 3072), np.uint8) for n in range(5)])
    return np.stack([np.dstack(np.split(row.reshape(96, 32), 3)) for row in rows])


def test_a_folder_is_read_in_the_order_of_its_batches(tmp_path, write_cifar10, expected_images, progress):
    write_cifar10(tmp_path / NAME)
    dataset = Cifar10(tmp_path).load(progress)
    np.testing.assert_array_equal(dataset.train.images, expected_images)
    np.testing.assert_array_equal(dataset.train.labels, [0, 1] * 10)
    assert dataset.train.images.flags.c_contiguous
    assert dataset.test.images.shape == (4, 32, 32, 3)
    assert dataset.classes == ("cat", "dog")
    assert progress.stages == [("Reading CIFAR-10", 7, "files")]
    assert progress.steps == 7
    assert not progress.warnings


def test_the_archive_is_read_without_extracting_it(tmp_path, write_archive, expected_images, progress):
    write_archive(tmp_path / "data" / "cifar-10-python.tar.gz")
    dataset = Cifar10(tmp_path / "data").load(progress)
    np.testing.assert_array_equal(dataset.train.images, expected_images)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar-10-python.tar.gz"]


def test_data_dir_may_be_the_folder_itself(tmp_path, write_cifar10, progress):
    assert len(Cifar10(write_cifar10(tmp_path / "renamed")).load(progress).test) == 4


def test_data_dir_chooses_what_is_read(tmp_path, write_cifar10, progress):
    write_cifar10(tmp_path / "small" / NAME, rows=2)
    write_cifar10(tmp_path / "large" / NAME, rows=6)
    assert len(Cifar10(tmp_path / "small").load(progress).train) == 10
    assert len(Cifar10(tmp_path / "large").load(progress).train) == 30


RUNS_CODE = b"cposix\nsystem\n(S'false'\ntR."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_batch_3": b"\x80\x04"}, "data_batch_3 in .* truncated, damaged or of another format"),
        ({"data_batch_2": RUNS_CODE}, "data_batch_2 in .* it asks for posix.system, and only numpy arrays"),
        ({"test_batch": [1, 2]}, "test_batch in .* must contain a dictionary. Received: list"),
        ({"test_batch": {b"labels": [0]}}, "`data` of test_batch in .* Received: NoneType"),
        ({"data_batch_1": {b"data": np.zeros((4, 100), np.uint8), b"labels": [0] * 4}}, r"Received: uint8 \(4, 100\)"),
        ({"data_batch_1": {b"data": np.zeros((4, 3072)), b"labels": [0] * 4}}, r"Received: float64 \(4, 3072\)"),
        (
            {"data_batch_1": {b"data": np.zeros((4, 3072), np.uint8), b"fine_labels": [0] * 4}},
            "`labels` of data_batch_1",
        ),
        (
            {"data_batch_1": {b"data": np.zeros((4, 3072), np.uint8), b"labels": ["a"] * 4}},
            "must be a list of integers",
        ),
        ({"data_batch_1": {b"data": np.zeros((4, 3072), np.uint8), b"labels": [0] * 3}}, "4 images and 3 labels"),
        ({"data_batch_1": {b"data": np.zeros((0, 3072), np.uint8), b"labels": []}}, "0 images and 0 labels"),
        ({"data_batch_4": {b"data": np.zeros((3, 3072), np.uint8), b"labels": [0] * 3}}, "one size. Received: 4 and 3"),
        (
            {"data_batch_5": {b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, 2, 0]}},
            "between 0 and 1.*: 2 in",
        ),
        (
            {"test_batch": {b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, -1, 0]}},
            "between 0 and 1.*: -1 in",
        ),
        ({"meta": {b"fine_label_names": []}}, "`label_names` of batches.meta in .* Received: None"),
        ({"meta": {b"label_names": [b"cat", 7]}}, "`label_names` of batches.meta"),
        ({"meta": {b"label_names": [b"cat", b"dog"], b"num_cases_per_batch": 5}}, "5 images per batch. Received: 4"),
    ],
)
def test_broken_or_foreign_files_in_data_dir_are_named(tmp_path, write_cifar10, progress, changes, message):
    write_cifar10(tmp_path / NAME, **changes)
    with pytest.raises(DataError, match=message):
        Cifar10(tmp_path).load(progress)


def test_a_truncated_batch_is_named(tmp_path, write_cifar10, progress):
    batch = write_cifar10(tmp_path / NAME) / "data_batch_2"
    batch.write_bytes(batch.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"data_batch_2 in .* truncated"):
        Cifar10(tmp_path).load(progress)


def test_a_missing_file_is_named(tmp_path, write_cifar10, progress):
    (write_cifar10(tmp_path / NAME) / "data_batch_5").unlink()
    with pytest.raises(DataError, match=r"has 7 files\. Received: .* without data_batch_5"):
        Cifar10(tmp_path).load(progress)


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.99])
def test_a_truncated_archive_is_named(tmp_path, write_archive, progress, kept):
    archive = write_archive(tmp_path / "cifar-10-python.tar.gz")
    data = archive.read_bytes()
    archive.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz"):
        Cifar10(tmp_path).load(progress)


def test_an_archive_of_something_else_is_named(tmp_path, progress):
    (tmp_path / "cifar-10-python.tar.gz").write_text("not found")
    with pytest.raises(DataError, match=r"not a gzipped tar: .* Download CIFAR-10 again"):
        Cifar10(tmp_path).load(progress)


@pytest.mark.parametrize("folder", [NAME, f"{NAME}-target/{NAME}"])
def test_keras_cache_is_used_without_data_dir(keras_home, write_cifar10, progress, folder):
    write_cifar10(keras_home / "datasets" / folder)
    assert len(Cifar10().load(progress).train) == 20


def test_without_cifar10_in_data_dir_the_cache_is_used_with_a_warning(tmp_path, keras_home, write_cifar10, progress):
    write_cifar10(keras_home / "datasets" / NAME)
    assert len(Cifar10(tmp_path / "absent").load(progress).train) == 20
    assert "absent contains neither" in progress.warnings[0]


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_an_incomplete_extraction_is_ignored(keras_home, write_cifar10, progress, damage):
    batch = write_cifar10(keras_home / "datasets" / NAME) / "test_batch"
    batch.unlink() if damage == "missing" else os.truncate(batch, 100)
    with pytest.raises(DataUnavailable):
        Cifar10().load(progress)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", f"{NAME}-target_archive", f"{NAME}.tar.gz"])
def test_an_archive_in_the_cache_is_used_only_if_it_is_complete(keras_home, write_archive, progress, monkeypatch, name):
    archive = write_archive(keras_home / "datasets" / name)
    with pytest.raises(DataUnavailable):
        Cifar10().load(progress)
    monkeypatch.setattr("lrdiag.data.sources.cifar10.SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    assert len(Cifar10().load(progress).train) == 20


@pytest.mark.usefixtures("no_network")
def test_unavailable_data_gives_an_error_with_advice(progress):
    with pytest.raises(DataUnavailable) as caught:
        Cifar10().load(progress)
    for advice in ("nowhere.invalid", "--data-dir", "LRDIAG_DATA_DIR", "--data digits"):
        assert advice in str(caught.value)


def test_the_real_files(real_images, progress):
    dataset = Cifar10(real_images).load(progress)
    assert dataset.train.images.shape == (50_000, 32, 32, 3)
    assert np.bincount(dataset.train.labels).tolist() == [5000] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
    assert dataset.classes[0] == "airplane"
    with (real_images / NAME / "data_batch_5").open("rb") as file:
        last = pickle.load(file, encoding="bytes")
    np.testing.assert_array_equal(dataset.train.images[-1, 5, 7], last[b"data"][-1].reshape(3, 32, 32)[:, 5, 7])


def test_an_unreadable_file_is_a_data_error(tmp_path, write_cifar10, progress, monkeypatch):
    write_cifar10(tmp_path / NAME)

    def refuse(*_):
        raise PermissionError("Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(DataError, match=r"unreadable .* Permission denied"):
        Cifar10(tmp_path).load(progress)


def bomb(kind: bytes) -> tarfile.TarInfo:
    header = tarfile.TarInfo(f"{NAME}/data_batch_1")
    header.size, header.type = 6 * 10**9, kind
    return header


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_huge_file_of_an_archive_is_not_read(tmp_path, progress, kind):
    with gzip.open(tmp_path / "cifar-10-python.tar.gz", "wb") as file:
        file.write(bomb(kind).tobuf(tarfile.GNU_FORMAT) + bytes(10_000))
    with pytest.raises(DataError, match=r"is too large: 6,000,000,000 bytes are more than .*LRDIAG_MAX_BATCH_BYTES"):
        Cifar10(tmp_path).load(progress)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04]r\xff\xff\xff\x7f.",  # stored under a number that needs 16 GB of places in a list
        b"\x80\x04B\xff\xff\xff\x7fabc.",  # a string that declares 2 GB
        b"\x80\x04\x8e\x00\xbc\xa0\x65\x01\x00\x00\x00abc.",  # 6 GB
        b"\x80\x04\x95\x00\xbc\xa0\x65\x01\x00\x00\x00].",  # a frame of 6 GB
    ],
)
def test_a_small_file_that_declares_much_takes_no_memory(tmp_path, write_cifar10, progress, content):
    write_cifar10(tmp_path / NAME, data_batch_1=content)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="data_batch_1 in "):
            Cifar10(tmp_path).load(progress)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_lists_within_lists_are_not_written_out(tmp_path, write_cifar10, progress):
    labels = [0]
    for _ in range(30):
        labels = [labels] * 10
    write_cifar10(tmp_path / NAME, data_batch_1={b"data": np.zeros((4, 3072), np.uint8), b"labels": labels})
    with pytest.raises(DataError, match=r"must be a list of integers. Received: "):
        Cifar10(tmp_path).load(progress)
