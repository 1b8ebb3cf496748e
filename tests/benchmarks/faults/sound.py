"""Sound programs, among them many that a careless rule would call faulty."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers as L
from keras import ops
from keras.optimizers import SGD, Adam, AdamW, schedules

from .data import animals, caffe, centred, cifar, digits, numbers, one_hot, raw, scaled, standardized
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
    vit,
)
from .registry import Run, sound
from .training_data import balancing, thinned

SMOOTHED = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)


# --- architectures ----------------------------------------------------------------------------------------------------


@sound
def vgg_with_a_strong_usual_penalty() -> Run:
    data = cifar(3000, size=16)
    penalty = keras.regularizers.L2(5e-4)
    norm = {"momentum": 0.9}
    model = vgg(data.shape, (16, 32), norm=norm, kernel_regularizer=penalty, head=128, after=[L.Dropout(0.5)])
    return run(model, data, SGD(0.01, momentum=0.9), prepare=standardized, epochs=7, batch_size=48)


@sound
def residual_branches_from_zero() -> Run:
    data = cifar(2400)
    model = resnet(data.shape, (16, 32, 48), zero=True)
    return run(model, data, SGD(0.1, momentum=0.9, nesterov=True), FROM_LOGITS, prepare=standardized, epochs=5)


@sound
def inverted_residuals() -> Run:
    data = cifar(3000)
    return run(mobilenet(data.shape), data, Adam(0.003), FROM_LOGITS, prepare=standardized, epochs=6, batch_size=64)


@sound
def squeeze_and_excitation() -> Run:
    data = cifar(3000)
    return run(squeeze_excite(data.shape), data, Adam(0.003), prepare=standardized, epochs=6, batch_size=64)


@sound
def convnext_blocks() -> Run:
    data = cifar(3000)
    return run(convnext(data.shape), data, AdamW(0.002), FROM_LOGITS, prepare=standardized, epochs=6, batch_size=64)


@sound
def vision_transformer() -> Run:
    data = cifar(3000)
    model = vit(data.shape, patch=8, width=48, dropout=0.1)
    return run(model, data, AdamW(0.001, weight_decay=0.05), FROM_LOGITS, prepare=standardized, epochs=6, batch_size=64)


class Skipped(L.Layer):
    """Drops whole residual branches in training."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate, self.seeds = rate, keras.random.SeedGenerator(1)

    def call(self, branch: Any, training: bool | None = None) -> Any:
        if not training:
            return branch
        shape = (ops.shape(branch)[0], 1, 1, 1)
        kept = ops.floor(1 - self.rate + keras.random.uniform(shape, seed=self.seeds))
        return branch * ops.cast(kept, branch.dtype) / (1 - self.rate)


@sound
def efficientnet_blocks_with_stochastic_depth() -> Run:
    data = cifar(3000)
    inputs = keras.Input(data.shape)
    flow = L.Activation("swish")(L.BatchNormalization(momentum=0.9)(L.Conv2D(24, 3, 2, padding="same")(inputs)))
    for _ in range(3):
        branch = L.Conv2D(72, 1, use_bias=False)(flow)
        branch = L.Activation("swish")(L.BatchNormalization(momentum=0.9)(branch))
        branch = L.DepthwiseConv2D(3, padding="same", use_bias=False)(branch)
        branch = L.Activation("swish")(L.BatchNormalization(momentum=0.9)(branch))
        gate = L.GlobalAveragePooling2D(keepdims=True)(branch)
        gate = L.Conv2D(72, 1, activation="sigmoid")(L.Conv2D(6, 1, activation="swish")(gate))
        branch = L.Conv2D(24, 1, use_bias=False)(L.multiply([branch, gate]))
        flow = L.add([flow, Skipped(0.2)(L.BatchNormalization(momentum=0.9)(branch))])
    model = keras.Model(inputs, L.Dense(10)(L.Dropout(0.2)(L.GlobalAveragePooling2D()(flow))))
    return run(model, data, Adam(0.004), FROM_LOGITS, prepare=standardized, epochs=6, batch_size=64)


@sound
def densely_connected() -> Run:
    data = cifar(2400, size=16)
    inputs = flow = keras.Input(data.shape)
    for _ in range(4):
        new = L.Conv2D(12, 3, padding="same")(L.ReLU()(L.BatchNormalization(momentum=0.9)(flow)))
        flow = L.concatenate([flow, new])
    flow = L.GlobalAveragePooling2D()(L.ReLU()(L.BatchNormalization(momentum=0.9)(flow)))
    model = keras.Model(inputs, L.Dense(10, activation="softmax")(flow))
    return run(model, data, SGD(0.1, momentum=0.9), prepare=standardized, epochs=6, batch_size=48)


@sound
def separable_convolutions_and_group_normalization() -> Run:
    data = cifar(2400, size=16)
    inputs = flow = keras.Input(data.shape)
    for width in (24, 48):
        flow = L.SeparableConv2D(width, 3, padding="same", use_bias=False)(flow)
        flow = L.MaxPooling2D()(L.LeakyReLU()(L.GroupNormalization(4)(flow)))
    model = keras.Model(inputs, L.Dense(10)(L.Flatten()(flow)))
    return run(model, data, Adam(0.003), FROM_LOGITS, prepare=scaled, epochs=6, batch_size=48)


@sound
def tanh_of_1998() -> Run:
    data = digits(32)
    return run(lenet(data.shape), data, SGD(0.05, momentum=0.9), prepare=centred, epochs=6, batch_size=32)


@sound
def learned_slopes() -> Run:
    data = cifar(2400, size=16)
    layers: list[Any] = [keras.Input(data.shape)]
    for width in (16, 32):
        layers += [L.Conv2D(width, 3, padding="same"), L.PReLU(shared_axes=(1, 2)), L.MaxPooling2D()]
    model = keras.Sequential([*layers, L.Flatten(), L.Dense(48), L.PReLU(), L.Dense(10, activation="softmax")])
    return run(model, data, Adam(0.001), prepare=centred, epochs=6, batch_size=48)


@sound
def exponential_linear_units() -> Run:
    data = digits(16)
    return run(all_convolutional(data.shape, (16, 24), activation="elu"), data, Adam(0.002), epochs=5, batch_size=40)


@sound
def self_normalizing() -> Run:
    data = digits()
    model = mlp(data.shape, (96, 96, 96), activation="selu", kernel_initializer="lecun_normal")
    return run(model, data, SGD(0.05), prepare=lambda x: (scaled(x) - 0.3) / 0.37, epochs=8, batch_size=32)


class Subclassed(keras.Model):
    """Layers are called in `call`; there is no graph of them."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = [L.Conv2D(16, 3, activation="relu"), L.Conv2D(32, 3, 2, activation="relu")]
        self.flatten, self.dropout, self.head = L.Flatten(), L.Dropout(0.3), L.Dense(10, activation="softmax")

    def call(self, images: Any, training: bool | None = None) -> Any:
        for layer in self.convolutions:
            images = layer(images)
        return self.head(self.dropout(self.flatten(images), training=training))


@sound
def subclassed_model() -> Run:
    data = cifar(2400, size=16)
    return run(Subclassed(), data, Adam(0.001), prepare=centred, epochs=5, batch_size=48)


@sound
def models_in_models() -> Run:
    data = cifar(2400, size=16)
    stem = keras.Sequential(
        [keras.Input(data.shape), L.Conv2D(16, 3, activation="relu"), L.BatchNormalization(momentum=0.9)]
    )
    body = keras.Sequential([stem, vgg(stem.output_shape[1:], (24,), last="relu", units=40)])
    model = keras.Sequential([keras.Input(data.shape), body, L.Dense(10), L.Softmax()])
    return run(model, data, Adam(0.002), prepare=centred, epochs=5, batch_size=48)


@sound
def narrow_linear_embedding() -> Run:
    """A linear layer of eight units before the head, as in networks for embeddings."""
    data = cifar(2400, size=16)
    model = vgg(data.shape, (16, 32), after=[L.Dense(8, use_bias=False)])
    return run(model, data, Adam(0.002), prepare=standardized, epochs=6, batch_size=48)


@sound
def head_of_zeros() -> Run:
    data = cifar(2400, size=16)
    inputs = keras.Input(data.shape)
    flow = all_convolutional(data.shape, (16, 32), units=64, last="gelu")(inputs)
    model = keras.Model(inputs, L.Dense(10, kernel_initializer="zeros")(flow))
    return run(model, data, AdamW(0.005), FROM_LOGITS, prepare=standardized, epochs=6, batch_size=48)


# --- inputs, labels, losses -------------------------------------------------------------------------------------------


@sound
def raw_pixels_and_a_normalization_layer() -> Run:
    data = cifar(2400, size=16)
    normalization = L.Normalization()
    normalization.adapt(raw(data.x))
    model = vgg(data.shape, (16, 32), before=[normalization])
    return run(model, data, Adam(0.002), prepare=lambda x: x, epochs=5, batch_size=48)


@sound
def rescaling_inside_of_a_nested_model() -> Run:
    data = cifar(2400, size=16)
    inside = vgg(data.shape, (16, 32), before=[L.Rescaling(1 / 127.5, -1)])
    model = keras.Sequential([keras.Input(data.shape, dtype="uint8"), inside])
    return run(model, data, Adam(0.001), prepare=lambda x: x, epochs=5, batch_size=48)


@sound
def caffe_images_and_batch_normalization() -> Run:
    data = cifar(2400, size=16)
    model = all_convolutional(data.shape, norm={"momentum": 0.9})
    return run(model, data, Adam(0.003), prepare=caffe, epochs=5, batch_size=48)


@sound
def raw_pixels_and_batch_normalization_first() -> Run:
    data = digits(16)
    model = vgg(data.shape, (12, 24), before=[L.BatchNormalization(momentum=0.8)])
    return run(model, data, Adam(0.002), prepare=raw, epochs=5, batch_size=40)


@sound
def one_sigmoid_unit() -> Run:
    data = animals(2000)
    model = vgg(data.shape, (12, 24), units=1, last="sigmoid")
    return run(model, data, Adam(0.001), BINARY, prepare=centred, epochs=5, batch_size=40)


@sound
def one_logit() -> Run:
    data = animals(2000)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    metric = keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)
    return run(resnet(data.shape, units=1), data, Adam(0.002), loss, prepare=standardized, metrics=[metric], epochs=4)


@sound
def one_against_the_rest() -> Run:
    data = digits(16)
    model = lenet(data.shape, activation="relu", last="sigmoid")
    return run(
        model, data, Adam(0.003), BINARY, labels=one_hot, metrics=["categorical_accuracy"], epochs=6, batch_size=32
    )


@sound
def logits_and_one_hot_labels() -> Run:
    data = digits(16, 3)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    return run(resnet(data.shape), data, Adam(0.002), loss, labels=one_hot, epochs=5, batch_size=40)


@sound
def smoothed_labels() -> Run:
    data = cifar(2400, size=16)
    return run(
        resnet(data.shape), data, SGD(0.1, momentum=0.9), SMOOTHED, labels=one_hot, prepare=standardized, epochs=5
    )


@sound
def focal_loss() -> Run:
    data = cifar(2400, size=16)
    loss = keras.losses.CategoricalFocalCrossentropy()
    model = all_convolutional(data.shape, (16, 32))
    return run(model, data, Adam(0.002), loss, labels=one_hot, prepare=standardized, epochs=6, batch_size=48)


@sound
def mixed_images_and_labels() -> Run:
    data = cifar(3000, size=16)
    generator = np.random.default_rng(31)
    partner, share = generator.permutation(3000), generator.beta(0.3, 0.3, 3000).astype("float32")
    x, y = standardized(data.x), one_hot(data.y)
    made = run(
        resnet(data.shape, last="softmax"),
        data,
        Adam(0.003),
        ONE_HOT,
        labels=one_hot,
        prepare=standardized,
        epochs=5,
        batch_size=50,
    )
    weights = share[:, None, None, None]
    return made._replace(
        x=weights * x + (1 - weights) * x[partner], y=share[:, None] * y + (1 - share[:, None]) * y[partner]
    )


@sound
def a_hundred_classes() -> Run:
    data = numbers(6000)
    return run(mlp(data.shape, (192,), units=100), data, Adam(0.004), epochs=6, batch_size=60)


@sound
def eight_pixels() -> Run:
    data = digits()
    model = vgg(data.shape, (24,), activation="silu")
    return run(model, data, Adam(0.003), epochs=5, batch_size=32)


@sound
def uneven_classes_with_weights() -> Run:
    data = thinned(cifar(8000, size=16), {0: 60, 3: 50, 7: 60} | dict.fromkeys((1, 2, 4, 5, 6, 8, 9), 300))
    return run(
        resnet(data.shape),
        data,
        Adam(0.002),
        FROM_LOGITS,
        prepare=standardized,
        epochs=6,
        batch_size=40,
        class_weight=balancing(data.y),
    )


@sound
def classes_three_to_one() -> Run:
    data = thinned(animals(2000), {0: 330})
    return run(convnext(data.shape, 24, 2, units=2), data, AdamW(0.002), FROM_LOGITS, prepare=standardized, epochs=5)


# --- regularization and augmentation ----------------------------------------------------------------------------------


@sound
def dropout_of_six_tenths() -> Run:
    data = cifar(3000, size=16)
    model = vgg(data.shape, (24, 48), after=[L.Dropout(0.6)], head=96)
    return run(model, data, Adam(0.001), prepare=centred, epochs=8, batch_size=48)


@sound
def dropout_in_every_block() -> Run:
    data = cifar(3000, size=16)
    layers: list[Any] = [keras.Input(data.shape)]
    for width, rate in ((24, 0.2), (48, 0.3)):
        layers += [L.Conv2D(width, 3, padding="same", activation="relu"), L.MaxPooling2D(), L.SpatialDropout2D(rate)]
    layers += [L.Flatten(), L.Dense(96, activation="relu"), L.Dropout(0.5), L.Dense(10, activation="softmax")]
    return run(keras.Sequential(layers), data, Adam(0.002), prepare=standardized, epochs=8, batch_size=48)


@sound
def strong_but_usual_augmentation() -> Run:
    data = cifar(2400)
    before = [
        L.RandomFlip("horizontal"),
        L.RandomTranslation(0.15, 0.15),
        L.RandomRotation(0.05),
        L.RandomContrast(0.3),
    ]
    model = vgg(data.shape, (16, 32), before=before, norm={"momentum": 0.9})
    return run(model, data, Adam(0.002), prepare=scaled, epochs=6, batch_size=48)


@sound
def augmentation_in_the_dataset() -> Run:
    data = cifar(2400)

    def augmented(image: Any, label: Any) -> tuple[Any, Any]:
        image = tf.image.random_crop(tf.pad(image, [[4, 4], [4, 4], [0, 0]], "REFLECT"), data.shape)
        return tf.image.random_flip_left_right(image), label

    dataset = tf.data.Dataset.from_tensor_slices((standardized(data.x), data.y)).cache().shuffle(2400, seed=4)
    made = run(
        all_convolutional(data.shape, (16, 32), norm={"momentum": 0.9}),
        data,
        Adam(0.003),
        prepare=standardized,
        epochs=6,
    )
    return made._replace(x=dataset.map(augmented, tf.data.AUTOTUNE).batch(48).prefetch(tf.data.AUTOTUNE), y=None)


# --- optimizers, schedules, precision ---------------------------------------------------------------------------------


@sound
def warm_up_and_cosine_to_zero() -> Run:
    data = cifar(2400, size=16)
    rate = schedules.CosineDecay(0.0, 250, warmup_target=0.2, warmup_steps=50)
    optimizer = SGD(rate, momentum=0.9, weight_decay=5e-4)
    return run(resnet(data.shape), data, optimizer, FROM_LOGITS, prepare=standardized, epochs=6, batch_size=48)


@sound
def adam_of_a_ten_thousandth() -> Run:
    data = digits(16)
    model = all_convolutional(data.shape, (32, 64))
    return run(model, data, Adam(1e-4), prepare=centred, epochs=15, batch_size=16)


@sound
def gradients_clipped_to_a_norm_of_one() -> Run:
    data = cifar(2400, size=16)
    optimizer = AdamW(0.002, weight_decay=0.01, global_clipnorm=1.0)
    return run(
        vit(data.shape, patch=4, width=32), data, optimizer, FROM_LOGITS, prepare=standardized, epochs=5, batch_size=40
    )


@sound
def large_batches_with_a_large_rate() -> Run:
    data = cifar(4800, size=16)
    model = resnet(data.shape)
    return run(model, data, SGD(0.2, momentum=0.9), FROM_LOGITS, prepare=standardized, epochs=8, batch_size=256)


@sound
def batches_of_eight() -> Run:
    data = digits(16)
    return run(lenet(data.shape, activation="relu"), data, SGD(0.01, momentum=0.9), epochs=4, batch_size=8)


@sound
def moving_average_of_weights() -> Run:
    data = cifar(2400, size=16)
    optimizer = AdamW(0.002, use_ema=True, ema_momentum=0.95, ema_overwrite_frequency=50)
    return run(vgg(data.shape, (16, 32)), data, optimizer, prepare=standardized, epochs=6, batch_size=48)


@sound
def stops_early_and_restores() -> Run:
    data = cifar(1500, size=16)
    stop = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
    model = vgg(data.shape, (16, 24), after=[L.Dropout(0.5)])
    return run(model, data, Adam(0.001), prepare=standardized, epochs=20, batch_size=32, callbacks=[stop])


@sound
def rate_lowered_on_a_plateau() -> Run:
    data = digits(16)
    plateau = keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.3, patience=2)
    return run(lenet(data.shape), data, SGD(0.1, momentum=0.9), epochs=10, batch_size=40, callbacks=[plateau])


def mixed(make: Any) -> Any:
    """Builds a model in `mixed_bfloat16`."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return make()
    finally:
        keras.config.set_dtype_policy(policy)


@sound
def mixed_precision() -> Run:
    data = digits(16)

    def make() -> keras.Model:
        inputs = keras.Input(data.shape)
        flow = all_convolutional(data.shape, (16, 24), last="relu", units=40)(inputs)
        return keras.Model(inputs, L.Dense(10, activation="softmax", dtype="float32")(flow))

    return run(mixed(make), data, Adam(0.002), epochs=4, batch_size=40)


@sound
def mixed_precision_with_batch_normalization() -> Run:
    data = cifar(1600, size=16)
    model = mixed(lambda: resnet(data.shape))
    model = keras.Sequential([model, L.Activation("linear", dtype="float32")])
    return run(model, data, SGD(0.05, momentum=0.9), FROM_LOGITS, prepare=standardized, epochs=4, batch_size=40)


@sound
def lion() -> Run:
    data = digits(16)
    return run(vgg(data.shape, (12, 24)), data, keras.optimizers.Lion(3e-4), epochs=6, batch_size=32)


# --- transfer ---------------------------------------------------------------------------------------------------------


def trained_backbone() -> keras.Model:
    """A backbone that has learned eight thousand other images."""
    source = cifar(8000, size=16)
    network = vgg(source.shape, (24, 48), norm={"momentum": 0.9})
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(standardized(source.x[3000:]), source.y[3000:], epochs=3, batch_size=64, verbose=0)
    return keras.Model(network.inputs, network.layers[-3].output, name="backbone")


@sound
def trained_backbone_and_a_new_head() -> Run:
    data = cifar(1500, size=16)
    backbone = trained_backbone()
    backbone.trainable = False
    inputs = keras.Input(data.shape)
    model = keras.Model(inputs, L.Dense(10, activation="softmax")(L.Dropout(0.2)(backbone(inputs, training=False))))
    return run(model, data, Adam(0.003), prepare=standardized, epochs=5, batch_size=32)


@sound
def fine_tuned_with_a_small_rate() -> Run:
    data = cifar(1500, size=16)
    model = keras.Sequential([trained_backbone(), L.Dense(10, activation="softmax")])
    return run(model, data, Adam(2e-4), prepare=standardized, epochs=4, batch_size=32)


@sound
def fine_tuned_for_two_classes_with_frozen_normalization() -> Run:
    data = animals(1500)
    backbone = trained_backbone()
    for layer in backbone.layers:
        layer.trainable = not isinstance(layer, L.BatchNormalization)
    model = keras.Sequential([backbone, L.Dense(1, activation="sigmoid")])
    return run(model, data, Adam(3e-4), BINARY, prepare=standardized, epochs=4, batch_size=32)


# --- pipelines --------------------------------------------------------------------------------------------------------


@sound
def dataset_with_cache_shuffle_and_prefetch() -> Run:
    data = cifar(2400, size=16)
    dataset = tf.data.Dataset.from_tensor_slices((data.x, data.y)).cache().shuffle(2400, seed=6).batch(48)
    dataset = dataset.map(lambda x, y: (tf.cast(x, tf.float32) / 255, y)).prefetch(tf.data.AUTOTUNE)
    made = run(all_convolutional(data.shape, (16, 32)), data, Adam(0.002), prepare=scaled, epochs=6)
    return made._replace(x=dataset, y=None)


@sound
def endless_dataset_with_steps() -> Run:
    data = digits(16)
    dataset = tf.data.Dataset.from_tensor_slices((scaled(data.x), one_hot(data.y))).shuffle(1400, seed=7).repeat()
    made = run(lenet(data.shape), data, Adam(0.003), ONE_HOT, labels=one_hot, epochs=6, steps_per_epoch=35)
    return made._replace(x=dataset.batch(40).prefetch(2), y=None)


class Shuffled(keras.utils.PyDataset):
    """Shuffles its images after each epoch."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, size: int) -> None:
        super().__init__()
        self.images, self.labels, self.size = images, labels, size
        self.generator = np.random.default_rng(33)
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        self.order = self.generator.permutation(len(self.images))

    def __len__(self) -> int:
        return -(-len(self.images) // self.size)

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self.order[place * self.size : (place + 1) * self.size]
        return self.images[chosen], self.labels[chosen]


@sound
def shuffled_py_dataset() -> Run:
    data = cifar(2400, size=16)
    made = run(resnet(data.shape, last="softmax"), data, Adam(0.002), prepare=standardized, epochs=5)
    return made._replace(x=Shuffled(standardized(data.x), data.y, 48), y=None)


@sound
def several_steps_in_one_execution() -> Run:
    data = digits(16)
    model = all_convolutional(data.shape, (16, 24))
    return run(model, data, Adam(0.002), epochs=6, batch_size=40, compiled={"steps_per_execution": 5})
