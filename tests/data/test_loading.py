import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrdiag.data import list_test_images, load_dataset
from lrdiag.data.followed import FollowedImages
from lrdiag.data.loading import NAMED, TRAIN_SIZES, warn_of
from lrdiag.errors import DataError, DataUnavailable, SettingsError
from lrdiag.record.fingerprint import digests, fingerprint_of
from lrdiag.settings import Settings
from lrdiag.vocabulary import DATA_NAMES

NAME = "cifar-10-batches-py"


def test_the_command_line_knows_every_named_source():
    assert tuple(NAMED) == tuple(TRAIN_SIZES) == DATA_NAMES


def test_cifar10_by_default(tmp_path, write_cifar10, progress):
    write_cifar10(tmp_path / NAME)
    dataset = load_dataset(Settings(data_dir=tmp_path), progress)
    assert (dataset.name, len(dataset.train), len(dataset.validation), len(dataset.test)) == ("CIFAR-10", 18, 2, 4)
    assert dataset.fallback is None
    assert not progress.warnings


@pytest.mark.usefixtures("no_network")
def test_the_digits_replace_unavailable_default_data_with_a_warning(progress):
    dataset = load_dataset(Settings(), progress)
    assert dataset.name == "Digits"
    assert dataset.fallback.startswith("CIFAR-10 is not on disk and cannot be downloaded: nowhere.invalid cannot be")
    assert "\n" not in dataset.fallback
    assert "digits of scikit-learn" in progress.warnings[-1]
    assert "--data-dir" in progress.warnings[-1]


@pytest.mark.usefixtures("no_network")
def test_cifar10_by_name_is_never_replaced(progress):
    with pytest.raises(DataUnavailable):
        load_dataset(Settings(data="cifar10"), progress)


def test_broken_data_is_never_replaced(tmp_path, write_cifar10, progress):
    write_cifar10(tmp_path / NAME, test_batch=b"")
    with pytest.raises(DataError, match="test_batch"):
        load_dataset(Settings(data_dir=tmp_path), progress)


def test_digits_by_name(progress):
    dataset = load_dataset(Settings(data="digits"), progress)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (1293, 144, 360)
    assert dataset.fallback is None


def test_a_folder_by_its_path(write_images, progress):
    dataset = load_dataset(Settings(data=str(write_images(count=10))), progress)
    assert dataset.name == "photos"
    assert len(dataset.validation) == len(dataset.validation.files) == 2


def test_a_folder_with_validation_images_keeps_them(write_images, progress):
    root = write_images(count=10)
    (root / "val").mkdir()
    for name in ("cat", "dog"):
        (root / "val" / name).mkdir()
        (root / "train" / name / "9.png").rename(root / "val" / name / "9.png")
    dataset = load_dataset(Settings(data=str(root), limit_train=6, seed=3), progress)
    assert dataset.validation.files == ("val/cat/9.png", "val/dog/9.png")
    assert (len(dataset.train), len(dataset.test)) == (6, 20)


def test_arrays_by_their_path(tmp_path, numbered_images, progress):
    images = numbered_images(20)
    np.savez(tmp_path / "x.npz", x=images.images, y=images.labels)
    dataset = load_dataset(Settings(data=str(tmp_path / "x.npz")), progress)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (14, 2, 4)


def test_a_table_by_its_path(write_images, progress):
    root = write_images(count=10)
    rows = [f"{file.relative_to(root)},{file.parent.name}" for file in sorted(root.glob("*/*/*.png"))]
    (root / "x.csv").write_text("\n".join(["path,label", *rows]))
    dataset = load_dataset(Settings(data=str(root / "x.csv")), progress)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (29, 3, 8)


def test_a_folder_of_tensorflow_datasets_by_its_path(tmp_path, progress, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    for name in ("dataset_info.json", "features.json"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="pip install tensorflow-datasets"):
        load_dataset(Settings(data=str(tmp_path)), progress)


@pytest.mark.parametrize("data", ["digits", "photos"])
def test_the_image_size_scales_every_kind(write_images, progress, monkeypatch, data):
    monkeypatch.chdir(write_images(count=10).parent)
    dataset = load_dataset(Settings(data=data, image_size=(12, 16)), progress)
    for part in (dataset.train, dataset.validation, dataset.test):
        assert part.images.shape[1:] == (12, 16, 3)


def test_the_image_size_scales_cifar10(tmp_path, write_cifar10, progress):
    write_cifar10(tmp_path / NAME)
    whole = load_dataset(Settings(data_dir=tmp_path), progress)
    small = load_dataset(Settings(data_dir=tmp_path, image_size=(16, 16)), progress)
    means = whole.test.images.reshape(-1, 16, 2, 16, 2, 3).mean(axis=(2, 4))
    assert np.abs(small.test.images - means).max() <= 0.5
    assert small.train.images.shape == (18, 16, 16, 3)


@pytest.mark.usefixtures("no_network")
def test_the_image_size_scales_the_digits_of_the_fallback(progress):
    assert load_dataset(Settings(image_size=(8, 8)), progress).test.images.shape == (360, 8, 8, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("cifar-100", "and there is no such file or folder. Did you mean 'cifar10'?"),
        ("note.txt", "and there is no such file or folder. Did you mean 'notes.txt'?"),
        ("Digit", "and there is no such file or folder. Did you mean 'digits'?"),
        ("no-such-folder", "and there is no such file or folder"),
        ("no-such.npz", "and there is no such file or folder"),
        ("~nobody-of-this-name/x", "and there is no such file or folder"),
        ("a\0b", "and there is no such file or folder"),
        ("", "and there is no such file or folder"),
        ("notes.txt", "which is not one of these"),
    ],
)
def test_unreadable_data_gives_an_error_with_the_choices(tmp_path, progress, monkeypatch, data, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").touch()
    for load in (lambda: load_dataset(Settings(data=data), progress), lambda: load_test(data, progress)):
        with pytest.raises(SettingsError) as caught:
            load()
        assert str(caught.value).endswith(f"Received: {data!r}, {message}")
        for choice in ("cifar10, digits", "<class>/", ".npz", ".csv", ".parquet", "TensorFlow Datasets"):
            assert choice in str(caught.value)


def test_the_home_folder_may_be_written_as_a_tilde(write_images, progress, monkeypatch):
    monkeypatch.setenv("HOME", str(write_images(count=10).parent))
    assert load_dataset(Settings(data="~/photos"), progress).name == "photos"


# --- warnings ---------------------------------------------------------------------------------------------------------


def test_skipped_files_are_reported_and_kept(write_images, progress):
    root = write_images(count=10)
    (root / "train" / "dog" / "3.png").write_bytes(b"")
    (root / "test" / "dog" / "4.png").write_bytes(b"")
    dataset = load_dataset(Settings(data=str(root), limit_train=10), progress)
    assert [each.file for each in dataset.skipped] == ["train/dog/3.png", "test/dog/4.png"]
    warning = "Files that could not be read and are left out: 2, the first train/dog/3.png: it is empty."
    assert progress.warnings == [warning]
    followed = FollowedImages(list_test_images(str(root), None, None, 3, progress), progress)
    assert sum(map(len, followed)) == 19
    warn_of(followed.skipped, followed.labels, ("cat", "dog"), progress)
    assert progress.warnings[1:] == [warning.replace("2", "1").replace("train/dog/3", "test/dog/4")]


def test_classes_without_test_images_are_reported(write_images, progress):
    root = write_images([f"c{number}" for number in range(8)], ["c3"], count=2)
    load_dataset(Settings(data=str(root)), progress)
    assert progress.warnings == ["There are no test images of c0, c1, c2, c4, c5 and 2 more. They are not evaluated."]


# --- test images only ------------------------------------------------------------------------------------------------


def load_test(data, progress, image_size=None, channels=3, data_dir=None):
    return list_test_images(data, data_dir, image_size, channels, progress).load(progress)


def test_only_the_test_images_are_read(write_images, progress):
    root = write_images(count=5)
    assert load_test(str(root), progress, (12, 16), 1).images.shape == (10, 12, 16, 1)
    assert progress.steps == 10


def test_images_are_read_once_and_described_without_them(write_images, progress):
    root = write_images(count=5)
    (root / "test" / "cat" / "0.png").write_bytes(b"")
    listed = list_test_images(str(root), None, (12, 16), 1, progress)
    followed = FollowedImages(listed, progress)
    first = followed.first()
    images = np.concatenate([part.images for part in followed])
    np.testing.assert_array_equal(first.images, images[:1])
    assert first.files == followed.files[:1] == ("test/cat/1.png",)
    facts = followed.facts()
    assert facts.test_fingerprint == fingerprint_of(digests(images), followed.labels)
    assert (facts.test_size, facts.test_counts, facts.image_shape) == (9, [4, 5], [12, 16, 1])
    assert [each.file for each in facts.skipped] == ["test/cat/0.png"]


def test_a_test_set_without_readable_images_is_an_error(write_images, progress):
    root = write_images(count=1)
    for path in (root / "test").glob("*/*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"is empty.* that could not be read: 2, the first test/cat/0.png"):
        FollowedImages(list_test_images(str(root), None, (12, 16), 1, progress), progress).first()


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("data", ["cifar10", None])
def test_the_test_images_of_cifar10(tmp_path, write_cifar10, write_archive, progress, data, archive):
    if archive:
        write_archive(tmp_path / "data" / "cifar-10-python.tar.gz")
    else:
        (write_cifar10(tmp_path / "data" / NAME) / "data_batch_3").unlink()
    assert load_test(data, progress, (8, 8), 1, tmp_path / "data").images.shape == (4, 8, 8, 1)
    assert progress.stages[0] == ("Reading CIFAR-10", 2, "files")


def test_the_test_images_of_the_digits(progress):
    assert load_test("digits", progress, (8, 8), 1).images.shape == (360, 8, 8, 1)


@pytest.mark.usefixtures("no_network")
def test_test_images_have_no_fallback(progress):
    with pytest.raises(DataUnavailable):
        load_test(None, progress)


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_images_have_one_channel_or_three(progress, channels):
    with pytest.raises(SettingsError, match=f"3 channels, or 1 .* channels={channels}"):
        load_test("digits", progress, channels=channels)


# --- limits and seeds -------------------------------------------------------------------------------------------------


def test_limits(progress):
    dataset = load_dataset(Settings(data="digits", limit_train=200, limit_test=50), progress)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (180, 20, 50)
    assert np.bincount(dataset.validation.labels).min() >= 1
    assert np.bincount(dataset.test.labels).tolist() == [5] * 10


def test_a_limit_that_leaves_a_class_one_image_is_an_error(progress):
    with pytest.raises(DataError, match="two training images or more"):
        load_dataset(Settings(data="digits", limit_train=15), progress)


def test_the_seed_chooses_validation_but_not_the_test_images(progress):
    first, second = (load_dataset(Settings(data="digits", seed=seed), progress) for seed in (0, 1))
    assert not np.array_equal(first.validation.images, second.validation.images)
    np.testing.assert_array_equal(first.test.images, second.test.images)


def test_the_seed_chooses_the_limited_training_images_but_not_the_test_images(progress):
    limits = {"data": "digits", "limit_train": 100, "limit_test": 50}
    first, second = (load_dataset(Settings(**limits, seed=seed), progress) for seed in (0, 1))
    assert not np.array_equal(first.train.images, second.train.images)
    np.testing.assert_array_equal(first.test.images, second.test.images)
    np.testing.assert_array_equal(first.test.labels, second.test.labels)


def test_importing_the_package_is_fast():
    script = (
        "import sys, lrdiag.data; print({'keras', 'tensorflow', 'sklearn', 'cv2', 'PIL', 'pyarrow'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.check_output([sys.executable, "-c", script], cwd=root, text=True).strip() == "set()"


def test_training_and_evaluation_use_the_same_pixels(tmp_path, write_images, progress):
    root = write_images(count=4)
    for number, path in enumerate(sorted(root.glob("*/*/*.png"))):
        noise = np.random.default_rng(number).integers(0, 256, (20 + 3 * number, 70 - 2 * number, 3), np.uint8)
        Image.fromarray(noise).save(path)
    trained = load_dataset(Settings(data=str(root)), progress)
    listed = list_test_images(str(root), None, trained.test.images.shape[1:3], 3, progress)
    followed = FollowedImages(listed, progress)
    np.testing.assert_array_equal(trained.test.images, np.concatenate([part.images for part in followed]))
    assert trained.notes[0].startswith("Images of other sizes (16 of 16) were stretched to 32 × 32 pixels")
    assert listed.notes(followed.tally)[0].startswith("Images of other sizes (8 of 8) were stretched")
