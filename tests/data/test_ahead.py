import numpy as np
import pytest

from lrdiag.data import load_dataset
from lrdiag.data.ahead import begun_to_load
from lrdiag.errors import DataError
from lrdiag.settings import Settings


def test_reads_the_same_and_shows_the_same_in_the_same_order(tmp_path, write_cifar10, keras_home, progress) -> None:
    write_cifar10(keras_home / "datasets" / "cifar-10-batches-py", rows=8)
    settings = Settings(data_dir=tmp_path, limit_train=20, seed=3)
    load = begun_to_load(settings)
    assert progress.stages == []  # nothing is shown before it is asked for
    read = load(settings, progress)
    expected = load_dataset(settings, direct := type(progress)())
    np.testing.assert_array_equal(read.train.images, expected.train.images)
    np.testing.assert_array_equal(read.validation.labels, expected.validation.labels)
    assert (
        vars(progress)
        == vars(direct)
        == {
            "stages": [("Reading CIFAR-10", 7, "files")],
            "steps": 7,
            "warnings": direct.warnings,
        }
    )
    assert len(direct.warnings) == 1


def test_an_error_comes_out_where_the_data_is_needed_and_within_its_stage(tmp_path, write_cifar10, progress) -> None:
    write_cifar10(tmp_path / "cifar-10-batches-py", test_batch=b"broken")
    settings = Settings(data="cifar10", data_dir=tmp_path)
    load = begun_to_load(settings)
    left = []

    class Listener(type(progress)):
        def __exit__(self, kind, *_):
            left.append(kind)

        def __enter__(self):
            return self

        def stage(self, *given):
            return self

    with pytest.raises(DataError, match=r"test_batch in .* is truncated"):
        load(settings, Listener())
    assert left == [DataError]


@pytest.mark.parametrize("data", ["digits", "cifar10"])
def test_reads_nothing_ahead_but_cifar10_on_disk(data) -> None:
    assert begun_to_load(Settings(data=data)) is load_dataset
