"""Programs that lose time: between epochs, while they wait for data, in validation, while they compile again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers as L

from .data import centred, cifar, digits, scaled, standardized
from .networks import all_convolutional, convolution, lenet, run, squeeze_excite, vgg
from .registry import Run, fault


def slowly(seconds: float, image: np.ndarray) -> np.ndarray:
    """Stands for decoding a large file."""
    time.sleep(seconds)
    return image


class Refreshed(keras.utils.PyDataset):
    """Prepares its images after each epoch for the next one."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, seconds: float) -> None:
        super().__init__()
        self.images, self.labels, self.seconds = images, labels, seconds

    def on_epoch_end(self) -> None:
        time.sleep(self.seconds)

    def __len__(self) -> int:
        return len(self.images) // 20

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = slice(place * 20, (place + 1) * 20)
        return self.images[chosen], self.labels[chosen]


@fault("idle-between-epochs")
def images_prepared_between_epochs(broken: bool) -> Run:
    data = digits(16)
    made = run(lenet(data.shape), data, keras.optimizers.Adam(0.003), epochs=5)
    return made._replace(x=Refreshed(scaled(data.x), data.y, 5.0 if broken else 0.0), y=None)


@fault("idle-between-epochs input-bound")
def buffer_filled_anew_in_each_epoch(broken: bool) -> Run:
    data = cifar(1200, size=16)
    dataset = tf.data.Dataset.from_tensor_slices((centred(data.x), data.y))

    def decoded(image: Any, label: Any) -> tuple[Any, Any]:
        image = tf.ensure_shape(tf.numpy_function(lambda x: slowly(0.002, x), [image], tf.float32), data.shape)
        return image, label

    dataset = dataset.map(decoded)
    dataset = dataset.cache() if not broken else dataset
    made = run(all_convolutional(data.shape), data, keras.optimizers.Adam(0.002), prepare=centred, epochs=4)
    return made._replace(x=dataset.shuffle(1200, seed=5).batch(40), y=None)


class SlowFiles(keras.utils.PyDataset):
    """Reads each batch when it is asked for."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, seconds: float) -> None:
        super().__init__()
        self.images, self.labels, self.seconds = images, labels, seconds
        self.order = np.random.default_rng(22).permutation(len(images))

    def __len__(self) -> int:
        return len(self.images) // 40

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self.order[place * 40 : (place + 1) * 40]
        return slowly(self.seconds, self.images[chosen]), self.labels[chosen]


@fault("input-bound")
def batches_read_one_after_the_other(broken: bool) -> Run:
    data = digits(16)
    made = run(lenet(data.shape, activation="relu"), data, keras.optimizers.Adam(0.003), epochs=4)
    return made._replace(x=SlowFiles(scaled(data.x), data.y, 0.08 if broken else 0.0), y=None)


@fault("input-bound", "idle-between-epochs")
def images_decoded_one_by_one(broken: bool) -> Run:
    data = cifar(1000, size=16)
    order = np.random.default_rng(23).permutation(1000)

    def images() -> Iterator[tuple[np.ndarray, np.int64]]:
        for place in order:
            yield slowly(0.003, standardized(data.x[place])), data.y[place]

    signature = (tf.TensorSpec(data.shape, tf.float32), tf.TensorSpec((), tf.int64))
    dataset = tf.data.Dataset.from_generator(images, output_signature=signature)
    dataset = dataset.batch(25) if broken else dataset.cache().batch(25).prefetch(4)
    made = run(squeeze_excite(data.shape), data, keras.optimizers.Adam(0.003), prepare=standardized, epochs=4)
    return made._replace(x=dataset, y=None)


@fault("slow-validation")
def validation_in_batches_of_one(broken: bool) -> Run:
    data = digits(16)
    arguments = {"validation_batch_size": 1} if broken else {}
    model = lenet(data.shape, activation="relu")
    return run(model, data, keras.optimizers.Adam(0.003), epochs=6, batch_size=100, **arguments)


@fault("slow-validation", "overfitting")
def more_images_to_validate_than_to_train(broken: bool) -> Run:
    data = cifar(8000 if broken else 2400)
    if broken:
        data = data._replace(x=data.x[:500], y=data.y[:500], x_val=data.x[500:5000], y_val=data.y[500:5000])
    model = all_convolutional(data.shape, (16, 32))
    epochs = 12 if broken else 4
    return run(model, data, keras.optimizers.Adam(0.002), prepare=centred, epochs=epochs, batch_size=50)


@fault("recompilation", "slow-validation")
def another_size_in_every_batch(broken: bool) -> Run:
    data = digits(16)
    layers = [keras.Input((None, None, 1)), *convolution(12), *convolution(24, strides=2)]
    model = keras.Sequential([*layers, L.GlobalAveragePooling2D(), L.Dense(10, activation="softmax")])
    made = run(model, data, keras.optimizers.Adam(0.003), epochs=2, compiled={"jit_compile": True})

    def images() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for place in range(35):
            chosen = slice(place * 40, (place + 1) * 40)
            space = place if broken else 0
            yield np.pad(scaled(data.x[chosen]), [(0, 0), (0, space), (0, space), (0, 0)]), data.y[chosen]

    signature = (tf.TensorSpec((None, None, None, 1), tf.float32), tf.TensorSpec((None,), tf.int64))
    return made._replace(x=tf.data.Dataset.from_generator(images, output_signature=signature), y=None)


class Ragged(keras.utils.PyDataset):
    """Batches of another size each time."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, broken: bool) -> None:
        super().__init__()
        self.images, self.labels, self.broken = images, labels, broken

    def __len__(self) -> int:
        return 25

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = slice(place * 40, place * 40 + (16 + place if self.broken else 40))
        return self.images[chosen], self.labels[chosen]


@fault("recompilation", "slow-validation")
def another_number_of_images_in_every_batch(broken: bool) -> Run:
    data = cifar(1000, size=16)
    model = vgg(data.shape, (12, 24))
    made = run(model, data, "adam", prepare=standardized, epochs=4, compiled={"jit_compile": True})
    return made._replace(x=Ragged(standardized(data.x), data.y, broken), y=None)
