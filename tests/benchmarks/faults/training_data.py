"""Faults of the images and labels that a network is trained on."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from .data import Images, animals, caffe, centred, cifar, digits, numbers, one_hot, raw, scaled, standardized
from .networks import (
    BINARY,
    FROM_LOGITS,
    ONE_HOT,
    all_convolutional,
    convnext,
    lenet,
    mlp,
    mobilenet,
    resnet,
    run,
    squeeze_excite,
    vgg,
)
from .registry import Run, fault


def rng() -> np.random.Generator:
    return np.random.default_rng(21)


# --- images -----------------------------------------------------------------------------------------------------------


@fault("nan-input", "not-learning training-stopped dead-units")
def one_damaged_image(broken: bool) -> Run:
    data = digits(16)
    made = run(all_convolutional(data.shape, (12, 24)), data, keras.optimizers.Adam(0.002), epochs=4, batch_size=40)
    if broken:
        made.x[777, 3:5, 2:9] = np.nan
    return made


@fault("nan-input", "training-stopped not-learning")
def standardized_by_pixels_that_never_change(broken: bool) -> Run:
    data = digits()
    mean, deviation = data.x.mean(axis=0), data.x.std(axis=0)
    made = run(mlp(data.shape, (64,)), data, keras.optimizers.Adam(0.002), prepare=scaled, epochs=4, batch_size=40)
    with np.errstate(all="ignore"):
        x = ((data.x - mean) / (deviation if broken else deviation + 1)).astype("float32")
    return made._replace(x=x, x_val=np.nan_to_num((data.x_val - mean) / (deviation + 1)).astype("float32"))


@fault("nan-input", "training-stopped not-learning")
def logarithm_of_black_pixels(broken: bool) -> Run:
    data = animals()
    model = resnet(data.shape, (12, 24), units=2)

    def images() -> tf.data.Dataset:
        dataset = tf.data.Dataset.from_tensor_slices((np.float32(data.x), data.y)).shuffle(2000, seed=1).batch(50)
        return dataset.map(lambda x, y: (tf.math.log(x if broken else x + 1) / 5.0, y))

    made = run(model, data, keras.optimizers.Adam(0.002), FROM_LOGITS, epochs=3)
    return made._replace(x=images(), y=None, x_val=(np.log(raw(data.x_val) + 1) / 5).astype("float32"))


@fault("constant-input inputs-too-small", "not-learning rate-too-low dead-units bottleneck inputs-not-scaled")
def divided_as_integers(broken: bool) -> Run:
    data = cifar(size=16)
    prepare = (lambda x: (x // 255).astype("float32")) if broken else centred
    return run(squeeze_excite(data.shape), data, keras.optimizers.Adam(0.003), prepare=prepare, epochs=4, batch_size=48)


@fault("constant-input", "not-learning leak")
def one_image_over_and_over(broken: bool) -> Run:
    """A buffer is filled in a loop, and the list holds the same buffer each time."""
    data = digits(16)
    made = run(lenet(data.shape), data, keras.optimizers.Adam(0.003), prepare=centred, epochs=5, batch_size=40)
    return made._replace(x=np.repeat(made.x[-1:], len(made.x), axis=0)) if broken else made


# --- labels and classes -----------------------------------------------------------------------------------------------


@fault("single-class missing-class", "imbalance")
def first_part_of_sorted_images(broken: bool) -> Run:
    data = cifar(8000, size=16)
    if broken:
        data = data.take(np.argsort(data.y, kind="stable"))
    data = data.first(780)
    return run(vgg(data.shape, (12, 24)), data, keras.optimizers.Adam(0.002), prepare=centred, epochs=6, batch_size=30)


@fault("single-class missing-class")
def label_compared_with_the_wrong_number(broken: bool) -> Run:
    data = animals()
    made = run(resnet(data.shape, (12, 24), units=1, last="sigmoid"), data, "adam", BINARY, epochs=4, batch_size=50)
    return made._replace(y=(data.y == 2).astype("float32")) if broken else made


@fault("missing-class", "overfitting")
def folders_of_three_classes_not_copied(broken: bool) -> Run:
    data = digits(16)
    if broken:
        data = data.take(np.flatnonzero(~np.isin(data.y, (2, 6, 9))))
    return run(all_convolutional(data.shape, (16, 24)), data, keras.optimizers.Adam(0.003), epochs=5, batch_size=35)


@fault("missing-class", "overfitting")
def one_class_filtered_out_of_a_dataset(broken: bool) -> Run:
    data = cifar(size=16)
    dataset = tf.data.Dataset.from_tensor_slices((centred(data.x), data.y)).shuffle(2400, seed=2)
    if broken:
        dataset = dataset.filter(lambda image, label: label != 1)
    made = run(mobilenet(data.shape, last="softmax"), data, keras.optimizers.Adam(0.004), prepare=centred, epochs=5)
    return made._replace(x=dataset.batch(48), y=None)


def thinned(data: Images, kept: dict[int, int]) -> Images:
    """Keeps only so many images of these classes."""
    chosen = np.ones(len(data.y), bool)
    for label, count in kept.items():
        chosen[np.flatnonzero(data.y == label)[count:]] = False
    return data.take(np.flatnonzero(chosen))


def balancing(labels: np.ndarray) -> dict[int, float]:
    counts = np.bincount(labels)
    return {label: len(labels) / len(counts) / count for label, count in enumerate(counts)}


@fault("imbalance", "overfitting little-data past-best-epoch")
def thirty_animals_for_a_thousand_vehicles(broken: bool) -> Run:
    data = animals(2200)
    data = thinned(data, {1: 30}) if broken else data.first(1100)
    return run(vgg(data.shape, (12, 24), units=2), data, keras.optimizers.Adam(0.002), prepare=centred, epochs=6)


@fault("imbalance", "overfitting little-data past-best-epoch")
def long_tail_of_classes(broken: bool) -> Run:
    data = cifar(8000, size=16)
    counts = {label: int(780 * 40 ** (-label / 9)) for label in range(10)}
    data = thinned(data, counts if broken else dict.fromkeys(range(10), 240))
    return run(resnet(data.shape), data, keras.optimizers.Adam(0.002), FROM_LOGITS, prepare=standardized, epochs=5)


@fault("imbalance", "overfitting little-data", mild=True)
def fifteen_to_one(broken: bool) -> Run:
    data = thinned(digits(16), {3: 9, 8: 9})
    weights = {} if broken else {"class_weight": balancing(data.y)}
    return run(lenet(data.shape), data, keras.optimizers.Adam(0.003), epochs=8, batch_size=40, **weights)


@fault("little-data", "overfitting past-best-epoch too-few-updates large-batches")
def five_images_of_each_class(broken: bool) -> Run:
    data = cifar(8000, size=16)
    data = thinned(data, dict.fromkeys(range(10), 5 if broken else 300))
    epochs = 40 if broken else 5
    model = all_convolutional(data.shape, (16, 32))
    return run(
        model, data, keras.optimizers.Adam(0.002), prepare=centred, epochs=epochs, batch_size=10 if broken else 50
    )


@fault("little-data", "overfitting past-best-epoch missing-class imbalance")
def two_hundred_images_of_a_hundred_classes(broken: bool) -> Run:
    data = numbers(8000)
    data = thinned(data, dict.fromkeys(range(100), 3 if broken else 40))
    model = mlp(data.shape, (128,), units=100)
    return run(model, data, keras.optimizers.Adam(0.003), epochs=60 if broken else 6, batch_size=25)


# --- order ------------------------------------------------------------------------------------------------------------


@fault("not-shuffled", "unstable-loss overfitting not-learning")
def shuffle_off_and_sorted(broken: bool) -> Run:
    data = cifar(2000, size=16)
    if broken:
        data = data.take(np.argsort(data.y, kind="stable"))
    model = vgg(data.shape, (16, 24), norm={"momentum": 0.9})
    optimizer = keras.optimizers.SGD(0.02, momentum=0.9)
    return run(model, data, optimizer, prepare=standardized, epochs=4, batch_size=50, shuffle=not broken)


@fault("not-shuffled", "unstable-loss overfitting not-learning")
def buffer_of_sixteen_images(broken: bool) -> Run:
    data = digits()
    sorted_images = data.take(np.argsort(data.y, kind="stable"))
    dataset = tf.data.Dataset.from_tensor_slices((scaled(sorted_images.x), sorted_images.y))
    dataset = dataset.shuffle(16 if broken else 1400, seed=3).batch(20).prefetch(2)
    made = run(mlp(data.shape, (96, 48), activation="gelu"), data, keras.optimizers.AdamW(0.003), epochs=5)
    return made._replace(x=dataset, y=None)


class Folders(keras.utils.PyDataset):
    """Batches of images in the order of their files."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, size: int) -> None:
        super().__init__()
        self.images, self.labels, self.size = images, labels, size

    def __len__(self) -> int:
        return -(-len(self.images) // self.size)

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = slice(place * self.size, (place + 1) * self.size)
        return self.images[chosen], self.labels[chosen]


@fault("not-shuffled", "unstable-loss overfitting lagging-statistics")
def batches_of_one_class_in_random_order(broken: bool) -> Run:
    """Keras shuffles the batches of a `PyDataset`, and not the images."""
    data = cifar(2000, size=16)
    ordered = data.take(np.argsort(data.y, kind="stable")) if broken else data
    made = run(resnet(data.shape, last="softmax"), data, keras.optimizers.Adam(0.002), prepare=standardized, epochs=4)
    return made._replace(x=Folders(standardized(ordered.x), ordered.y, 40), y=None)


# --- training and validation ------------------------------------------------------------------------------------------


@fault("leak", "overfitting")
def validation_from_the_training_images(broken: bool) -> Run:
    data = cifar(2400, size=16)
    if broken:
        data = data._replace(x_val=data.x[:500], y_val=data.y[:500])
    model = vgg(data.shape, (16, 32))
    return run(model, data, keras.optimizers.Adam(0.002), prepare=centred, epochs=6, batch_size=48)


@fault("leak", "overfitting")
def oversampled_before_the_split(broken: bool) -> Run:
    data = digits(16)
    if broken:
        x, y = np.concatenate([data.x, data.x_val[:120]]), np.concatenate([data.y, data.y_val[:120]])
        data = data._replace(x=x, y=y).take(rng().permutation(len(x)))
    return run(lenet(data.shape), data, keras.optimizers.RMSprop(0.002), epochs=6, batch_size=40)


@fault("leak", mild=True)
def three_of_a_hundred_images_in_both(broken: bool) -> Run:
    data = animals()
    if broken:
        data.x[100 : 100 + len(data.x_val) // 30] = data.x_val[: len(data.x_val) // 30]
        data.y[100 : 100 + len(data.x_val) // 30] = data.y_val[: len(data.x_val) // 30]
    return run(
        convnext(data.shape, 24, 2, units=2),
        data,
        keras.optimizers.AdamW(0.002),
        FROM_LOGITS,
        prepare=centred,
        epochs=5,
    )


@fault("input-mismatch", "overfitting inputs-not-scaled")
def only_training_images_standardized(broken: bool) -> Run:
    data = cifar(size=16)
    made = run(resnet(data.shape), data, keras.optimizers.Adam(0.003), FROM_LOGITS, prepare=standardized, epochs=5)
    return made._replace(x_val=scaled(data.x_val)) if broken else made


@fault("input-mismatch", "overfitting")
def validation_images_inverted(broken: bool) -> Run:
    data = digits()
    made = run(mlp(data.shape, (80,)), data, keras.optimizers.Adam(0.003), epochs=6, batch_size=40)
    return made._replace(x_val=1 - made.x_val) if broken else made


@fault("input-mismatch", "overfitting inputs-not-scaled inputs-too-small")
def validation_images_scaled_twice(broken: bool) -> Run:
    data = animals()
    model = all_convolutional(data.shape, (16, 24), units=2)
    made = run(model, data, keras.optimizers.Adam(0.002), prepare=scaled, epochs=4, batch_size=50)
    return made._replace(x_val=made.x_val / 255) if broken else made


@fault("input-mismatch", "overfitting", mild=True)
def validation_from_minus_one(broken: bool) -> Run:
    data = cifar(size=16)
    made = run(all_convolutional(data.shape), data, keras.optimizers.Adam(0.002), epochs=5, batch_size=48)
    return made._replace(x_val=centred(data.x_val)) if broken else made


@fault("input-mismatch", "overfitting", mild=True)
def caffe_colours_in_training_only(broken: bool) -> Run:
    data = cifar(size=16)
    model = vgg(data.shape, (16, 24), norm={"momentum": 0.9})
    made = run(model, data, keras.optimizers.Adam(0.002), prepare=caffe, epochs=5, batch_size=48)
    return made._replace(x_val=raw(data.x_val)) if broken else made


@fault("class-order", "overfitting input-mismatch wrong-labels")
def classes_sorted_by_name_in_validation(broken: bool) -> Run:
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    data = digits(16)
    order = np.argsort(np.argsort(names))
    made = run(all_convolutional(data.shape, (16, 24)), data, keras.optimizers.Adam(0.003), epochs=5, batch_size=40)
    return made._replace(y_val=order[data.y_val]) if broken else made


@fault("class-order", "overfitting wrong-labels")
def validation_labels_count_from_one(broken: bool) -> Run:
    data = cifar(3000, size=16)
    model = resnet(data.shape, last="softmax")
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    made = run(model, data, optimizer, ONE_HOT, labels=one_hot, prepare=standardized, epochs=6, batch_size=60)
    return made._replace(y_val=one_hot((data.y_val + 1) % 10)) if broken else made


@fault("class-order", "overfitting wrong-labels", mild=True)
def two_classes_exchanged_in_validation(broken: bool) -> Run:
    data = digits(16)
    exchanged = np.array([0, 1, 2, 4, 3, 5, 6, 7, 8, 9])
    made = run(lenet(data.shape), data, keras.optimizers.Adam(0.003), epochs=6, batch_size=40)
    return made._replace(y_val=exchanged[data.y_val]) if broken else made


@fault("wrong-labels", "label-noise overfitting past-best-epoch")
def labels_sorted_and_images_not(broken: bool) -> Run:
    data = digits(16).first(800)
    if broken:
        data = data._replace(y=np.sort(data.y))
    return run(vgg(data.shape, (24, 32), head=128), data, keras.optimizers.Adam(0.002), epochs=18, batch_size=25)


@fault("wrong-labels", "label-noise overfitting past-best-epoch")
def labels_one_row_too_far(broken: bool) -> Run:
    data = cifar(1200, size=16)
    if broken:
        data = data._replace(y=np.roll(data.y, 1))
    model = vgg(data.shape, (24, 48))
    return run(model, data, keras.optimizers.Adam(0.001), prepare=standardized, epochs=16 if broken else 5)


@fault("wrong-labels", "class-order overfitting past-best-epoch")
def validation_labels_in_another_order(broken: bool) -> Run:
    data = digits()
    made = run(mlp(data.shape, (96,), activation="tanh"), data, keras.optimizers.Adam(0.003), epochs=6, batch_size=40)
    return made._replace(y_val=rng().permutation(data.y_val)) if broken else made


def noisy(labels: np.ndarray, share: float, classes: int = 10) -> np.ndarray:
    """Replaces a share of the labels by other ones."""
    generator = rng()
    chosen = generator.random(len(labels)) < share
    return np.where(chosen, (labels + generator.integers(1, classes, len(labels))) % classes, labels)


@fault("label-noise", "overfitting wrong-labels past-best-epoch")
def half_of_the_labels_wrong(broken: bool) -> Run:
    data = digits(16)
    if broken:
        data = data._replace(y=noisy(data.y, 0.5))
    return run(lenet(data.shape), data, keras.optimizers.Adam(0.002), epochs=8, batch_size=40)


@fault("label-noise", "overfitting past-best-epoch wrong-labels")
def four_tenths_of_the_numbers_wrong(broken: bool) -> Run:
    data = numbers(4000)
    if broken:
        data = data._replace(y=noisy(data.y, 0.4, 100))
    model = mlp(data.shape, (128,), units=100)
    return run(model, data, keras.optimizers.Adam(0.003), epochs=10, batch_size=50)


@fault("label-noise", "overfitting past-best-epoch", mild=True)
def a_quarter_of_the_labels_wrong(broken: bool) -> Run:
    data = digits()
    if broken:
        data = data._replace(y=noisy(data.y, 0.25))
    return run(mlp(data.shape, (48,)), data, keras.optimizers.Adam(0.003), epochs=10, batch_size=40)
