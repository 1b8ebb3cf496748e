import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lrdiag.data import load_dataset
from lrdiag.errors import DataError, DataUnavailable, SettingsError
from lrdiag.settings import Settings

NAME = "cifar-10-batches-py"


def test_cifar10_by_default(tmp_path, write_cifar10, progress):
    write_cifar10(tmp_path / NAME)
    dataset = load_dataset(Settings(data_dir=tmp_path), progress)
    assert (dataset.name, len(dataset.train), len(dataset.validation), len(dataset.test)) == ("CIFAR-10", 18, 2, 4)
    assert dataset.fallback is None
    assert not progress.warnings


@pytest.mark.usefixtures("no_network")
def test_the_digits_stand_in_loudly_where_nothing_was_asked_for(progress):
    dataset = load_dataset(Settings(), progress)
    assert dataset.name == "Digits"
    assert dataset.fallback.startswith("CIFAR-10 is neither on disk nor to be downloaded: nowhere.invalid cannot be")
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


def test_a_folder_that_is_not_there_lists_the_choices(progress):
    with pytest.raises(SettingsError, match=r"cifar10, digits, or an existing folder.* Received: 'cifar-10'"):
        load_dataset(Settings(data="cifar-10"), progress)


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


def test_importing_the_room_is_cheap():
    script = "import sys, lrdiag.data; print({'keras', 'tensorflow', 'sklearn', 'cv2', 'PIL'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    assert subprocess.check_output([sys.executable, "-c", script], cwd=root, text=True).strip() == "set()"
