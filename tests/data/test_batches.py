import numpy as np
import pytest

from lrdiag.data.batches import evaluation_batches, training_batches


def epoch(batches) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*((images.numpy(), labels.numpy()) for images, labels in batches), strict=True)
    return np.concatenate(images), np.concatenate(labels)


@pytest.fixture
def train(numbered_images):
    """Returns a function that builds training batches of 200 numbered images."""

    def build(**options):
        options = {"batch_size": 32, "augment": (), "seed": 0, **options}
        return training_batches(numbered_images(200), **options)

    return build


def test_every_image_is_in_each_epoch_once_with_its_label(train):
    images, labels = epoch(train())
    order = images[:, 0, 0, 0].astype(int)
    assert sorted(order) == list(range(200))
    assert order.tolist() != list(range(200))
    np.testing.assert_array_equal(labels, order % 2)
    assert images.dtype == np.float32
    assert labels.dtype == np.int64


def test_each_epoch_has_a_different_order(train):
    batches = train()
    assert not np.array_equal(epoch(batches)[0], epoch(batches)[0])


@pytest.mark.parametrize("augment", [(), ("flip",), ("crop", "flip", "erase")])
def test_two_runs_are_bit_identical_in_each_epoch(train, augment):
    first, second = train(augment=augment), train(augment=augment)
    for _ in range(3):
        for one, other in zip(epoch(first), epoch(second), strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_seed_changes_order_and_augmentation(train):
    assert not np.array_equal(epoch(train(seed=0))[1], epoch(train(seed=1))[1])
    same_order = [epoch(train(augment=augment))[1] for augment in ((), ("erase",))]
    np.testing.assert_array_equal(*same_order)


def test_augmentation_differs_between_epochs(train):
    batches = train(augment=("erase",))
    erased = []
    for _ in range(2):
        images, _ = epoch(batches)
        by_image = images[np.argsort([np.bincount(i.astype(int).ravel()).argmax() for i in images], kind="stable")]
        erased.append((by_image != by_image[:, :1, :1]).any(axis=(1, 2, 3)))
    assert not np.array_equal(*erased)


def test_augment_changes_the_images(train):
    def has_one_shade(images):
        return (images == images[:, :1, :1, :1]).all(axis=(1, 2, 3))

    assert has_one_shade(epoch(train())[0]).all()
    assert 0.3 < has_one_shade(epoch(train(augment=("erase",)))[0]).mean() < 0.7


def test_the_last_batch_has_the_remaining_images(train):
    assert [len(labels) for _, labels in train()] == [32] * 6 + [8]
    assert [len(labels) for _, labels in train(batch_size=100)] == [100] * 2


@pytest.mark.parametrize("augment", [(), ("crop", "flip", "erase")])
def test_length_and_shape_are_known_in_advance(train, augment):
    batches = train(augment=augment)
    assert int(batches.cardinality()) == 7
    assert batches.element_spec[0].shape.as_list() == [None, 32, 32, 3]
    assert batches.element_spec[0].dtype == np.float32


def test_evaluation_keeps_the_order_and_the_last_batch(numbered_images):
    images = numbered_images(70)
    batches = evaluation_batches(images, 32)
    assert int(batches.cardinality()) == 3
    assert [len(labels) for _, labels in batches] == [32, 32, 6]
    for _ in range(2):
        pixels, labels = epoch(batches)
        np.testing.assert_array_equal(pixels, images.images)
        np.testing.assert_array_equal(labels, images.labels)


def test_evaluation_takes_the_batch_size(numbered_images):
    assert int(evaluation_batches(numbered_images(70), 7).cardinality()) == 10


def test_keras_learns_from_the_batches(train):
    import keras

    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(train(augment=("flip", "crop")), epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2


def test_every_pipeline_runs_without_autotuning(train, numbered_images):
    """With it, the end of an epoch waits for the tuning thread, which sleeps longer each time."""
    for batches in (train(), train(augment=("flip",)), evaluation_batches(numbered_images(70), 32)):
        assert not batches.options().autotune.enabled
