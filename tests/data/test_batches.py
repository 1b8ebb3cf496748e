import itertools
from functools import partial

import keras
import numpy as np
import pytest

from lrdiag.backend.pipelines import is_infinite
from lrdiag.data.batches import PreprocessedBatches, evaluation_batches, training_batches
from lrdiag.data.random_batches import random_batches
from lrdiag.data.stages import Stages
from lrdiag.record.arrays import LabelledImages
from lrdiag.record.facts import ImageStage


def passes(batches, count: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the images and labels of the first passes over 200 images in batches of 32."""
    taken = [(images.numpy(), labels.numpy()) for images, labels in batches.take(7 * count)]
    images, labels = (np.concatenate(parts) for parts in zip(*taken, strict=True))
    return list(zip(np.split(images, count), np.split(labels, count), strict=True))


@pytest.fixture
def train(numbered_images):
    """Returns a function that builds training batches of 200 numbered images."""

    def build(**options):
        options = {"batch_size": 32, "augment": (), "seed": 0, **options}
        return training_batches(numbered_images(200), **options)

    return build


@pytest.fixture
def of_other_engines(monkeypatch):
    """Returns a function that calls another as if Keras ran on JAX, where the batches need no engine."""

    def call(build):
        with monkeypatch.context() as patch:
            patch.setattr(keras.config, "backend", lambda: "jax")
            return build()

    return call


def test_every_image_is_in_each_epoch_once_with_its_label(train):
    for images, labels in passes(train(), 2):
        order = images[:, 0, 0, 0].astype(int)
        assert sorted(order) == list(range(200))
        assert order.tolist() != list(range(200))
        np.testing.assert_array_equal(labels, order % 2)
        assert images.dtype == np.float32
        assert labels.dtype == np.int64


def test_each_epoch_has_a_different_order(train):
    (first, _), (second, _) = passes(train(), 2)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("augment", [(), ("flip",), ("crop", "flip", "erase")])
def test_every_engine_gets_the_same_batches_each_time(train, of_other_engines, augment):
    first, again = train(augment=augment), train(augment=augment)
    other = of_other_engines(lambda: train(augment=augment))
    assert isinstance(other, keras.utils.PyDataset)
    for one, second, third in zip(first.take(16), again, other, strict=False):
        for mine, *others in zip(one, second, third, strict=True):
            for each in others:
                assert mine.dtype == each.dtype
                np.testing.assert_array_equal(mine, each)


def test_a_batch_can_be_read_before_an_earlier_one(train, of_other_engines):
    """Keras reads the first batch, builds the model, and begins again."""
    batches = of_other_engines(lambda: train(augment=("crop",)))
    in_order = [batches[place][0] for place in range(10)]
    for place in (9, 2, 8, 0):
        np.testing.assert_array_equal(batches[place][0], in_order[place])


def test_the_seed_changes_order_and_augmentation(train):
    (_, labels), (_, others) = (passes(train(seed=seed))[0] for seed in (0, 1))
    assert not np.array_equal(labels, others)
    same_order = [passes(train(augment=augment))[0][1] for augment in ((), ("erase",))]
    np.testing.assert_array_equal(*same_order)


def test_augmentation_differs_between_epochs(train):
    erased = []
    for images, _ in passes(train(augment=("erase",)), 2):
        by_image = images[np.argsort([np.bincount(i.astype(int).ravel()).argmax() for i in images], kind="stable")]
        erased.append((by_image != by_image[:, :1, :1]).any(axis=(1, 2, 3)))
    assert not np.array_equal(*erased)


def test_augment_changes_the_images(train):
    def has_one_shade(images):
        return (images == images[:, :1, :1, :1]).all(axis=(1, 2, 3))

    assert has_one_shade(passes(train())[0][0]).all()
    assert 0.3 < has_one_shade(passes(train(augment=("erase",)))[0][0]).mean() < 0.7


def test_the_last_batch_of_a_pass_has_the_remaining_images(train):
    assert [len(labels) for _, labels in train().take(8)] == [32] * 6 + [8, 32]
    assert [len(labels) for _, labels in train(batch_size=100).take(3)] == [100] * 3


def test_the_size_follows_the_stages_on_every_engine(train, of_other_engines):
    stages = Stages((ImageStage(16, 12, 2), ImageStage(24, 24, 1), ImageStage(32, 32, 2)))
    sizes = [(16, 12), (16, 12), (24, 24), *[(32, 32)] * 6]
    batches = train(augment=("crop",), stages=stages)
    other = of_other_engines(lambda: train(augment=("crop",), stages=stages))
    assert batches.element_spec[0].shape.as_list() == [None, None, None, 3]
    for (images, _), (others, _), size in zip(batches.take(9), other, sizes, strict=False):
        assert images.shape[1:3] == size
        assert images.dtype == others.dtype == np.float32
        np.testing.assert_array_equal(images, others)


def test_evaluation_follows_the_current_size(numbered_images, of_other_engines):
    current = [(16, 16)]

    def build():
        return evaluation_batches(numbered_images(70), 32, lambda: current[0])

    batches, others = build(), of_other_engines(build)
    for size in ((16, 16), (32, 32)):
        current[0] = size
        for (images, _), (other, _) in zip(batches, others, strict=True):
            assert images.shape[1:3] == size
            np.testing.assert_array_equal(images, other)


@pytest.mark.parametrize("augment", [(), ("crop", "flip", "erase")])
def test_the_shape_is_known_in_advance(train, augment):
    batches = train(augment=augment)
    assert is_infinite(batches)
    assert batches.element_spec[0].shape.as_list() == [None, 32, 32, 3]
    assert batches.element_spec[0].dtype == np.float32


def test_evaluation_keeps_the_order_and_the_last_batch(numbered_images, of_other_engines):
    images = numbered_images(70)
    batches = evaluation_batches(images, 32)
    others = of_other_engines(lambda: evaluation_batches(images, 32))
    assert int(batches.cardinality()) == len(others) == 3
    for dataset in (batches, batches, others):
        pixels, labels = zip(*dataset, strict=True)
        assert [len(each) for each in labels] == [32, 32, 6]
        assert pixels[0].dtype == np.float32
        np.testing.assert_array_equal(np.concatenate(pixels), images.images)
        np.testing.assert_array_equal(np.concatenate(labels), images.labels)


def test_evaluation_takes_the_batch_size(numbered_images):
    assert int(evaluation_batches(numbered_images(70), 7).cardinality()) == 10


def test_every_pipeline_runs_without_autotuning(train, numbered_images):
    """With it, the end of an epoch waits for the tuning thread, which sleeps longer each time."""
    for batches in (train(), train(augment=("flip",)), evaluation_batches(numbered_images(70), 32)):
        assert not batches.options().autotune.enabled


def test_arrays_may_be_a_nest_and_start_anywhere(of_other_engines):
    """A start may lie in a later pass."""
    arrays = (np.arange(6), {"b": np.arange(6) * 10})
    for build in (lambda call: call(), of_other_engines):
        whole, rest = (build(partial(random_batches, arrays, 4, seed=0, start=start)) for start in (0, 3))
        taken = [[np.asarray(part) for part in (a, b["b"])] for a, b in itertools.islice(whole, 7)]
        assert [len(first) for first, _ in taken] == [4, 2, 4, 2, 4, 2, 4]
        assert all((second == first * 10).all() for first, second in taken)
        for (first, _), (expected, _) in zip(itertools.islice(rest, 4), taken[3:], strict=True):
            np.testing.assert_array_equal(first, expected)


@pytest.mark.parametrize("cuts", [(), (3, 3, 10, 64, 65), (130,)])
def test_preprocessed_batches_do_not_depend_on_how_images_are_read(numbered_images, cuts):
    images = numbered_images(150)
    parts = [images.part(range(*ends)) for ends in itertools.pairwise((0, *cuts, 150))]
    batches = list(PreprocessedBatches(parts, "0..1", batch_size=64))
    assert [len(labels) for _, labels in batches] == [64, 64, 22]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), images.labels)
    np.testing.assert_array_equal(np.concatenate([each for each, _ in batches]), images.images / np.float32(255))


@pytest.mark.parametrize(("side", "size"), [(32, 512), (96, 256), (224, 64), (4000, 1)])
def test_large_images_are_read_in_smaller_batches(side, size):
    images = LabelledImages(np.broadcast_to(np.uint8(0), (600, side, side, 3)), np.zeros(600, np.int64))
    first, _ = next(iter(PreprocessedBatches([images], "raw")))
    assert len(first) == size
