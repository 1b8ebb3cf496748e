"""The article on learning rates that lrdiag started from, as one script.

python examples/article.py --data-dir FOLDER [--quick]

Sample images, the network, the range test and its plots, a constant rate against a cyclic one, and Grad-CAM of the
worst mistakes. FOLDER contains cifar-10-batches-py/; without it, Keras downloads CIFAR-10.
"""

from __future__ import annotations

import argparse
import os
import pickle
import time
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import lrdiag

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SAMPLES = 10  # images of each class in the first figure
GRID = 5  # rows and columns of mistakes in the last figure
BARE = {"frame_on": False, "xticks": [], "yticks": []}  # axes that show an image


class Images(NamedTuple):
    """Images, `uint8` of shape `(n, 32, 32, 3)`, and their labels, of shape `(n,)`."""

    images: np.ndarray
    labels: np.ndarray


class Data(NamedTuple):
    """A data set in three parts."""

    name: str
    classes: list[str]
    train: Images
    validation: Images
    test: Images


def main(options: argparse.Namespace) -> None:
    """Makes the figures of the article in their order."""
    options.out.mkdir(parents=True, exist_ok=True)
    data = load_data(options)
    print(f"{data.name}: {len(data.train.labels):,} training and {len(data.test.labels):,} test images")
    draw_samples(data).savefig(options.out / "samples.png")

    test = find_rates(build(data, options.seed), data.train, options.batch_size)
    test.plot_all().savefig(options.out / "range-test-four.png")
    test.plot().get_figure().savefig(options.out / "range-test.png")
    base_lr, max_lr = test.bounds()
    print(f"suggestion {test.suggest():.3g}, boundaries {base_lr:.3g} to {max_lr:.3g}")

    updates = -(-len(data.train.labels) // options.batch_size) * options.epochs
    policy = lrdiag.CyclicLR(base_lr, max_lr, step_size=updates / 2)
    constant = train("constant rate", build(data, options.seed, test.suggest()), data, options)
    cyclic = train("cyclic rate", build(data, options.seed), data, options, policy)
    draw_training_runs(constant, cyclic, test.suggest(), policy).savefig(options.out / "trainings.png")

    draw_mistakes(cyclic.model, data).savefig(options.out / "mistakes.png")
    print(f"The figures are in {options.out}")


def load_data(options: argparse.Namespace) -> Data:
    """Reads the data set and holds out a tenth of the training images for validation."""
    if options.data == "digits":
        digits = load_digits()
        name, classes = "Digits", [str(each) for each in digits.target_names]
        enlarged = np.kron(digits.images, np.ones((4, 4)))[..., None].repeat(3, axis=-1) * (255 / 16)
        x, x_test, y, y_test = train_test_split(
            enlarged.astype("uint8"), digits.target, test_size=0.2, stratify=digits.target, random_state=0
        )
    else:
        name, classes = "CIFAR-10", list(CIFAR10_CLASSES)
        (x, y), (x_test, y_test) = read_cifar10(options.data_dir)
    if options.quick:
        x, y, x_test, y_test = x[:600], y[:600], x_test[:200], y_test[:200]
    x, x_val, y, y_val = train_test_split(x, y, test_size=0.1, stratify=y, random_state=options.seed)
    return Data(name, classes, Images(x, y), Images(x_val, y_val), Images(x_test, y_test))


def read_cifar10(folder: Path | None) -> Any:
    """Training and test images with their labels, from the official files or by Keras's download."""
    if folder is None:
        (x, y), (x_test, y_test) = keras.datasets.cifar10.load_data()
        return (x, y[:, 0]), (x_test, y_test[:, 0])

    def read(*names: str) -> tuple[np.ndarray, np.ndarray]:
        # pickle runs code from the files: read none that you do not trust
        parts = [pickle.loads((folder / "cifar-10-batches-py" / name).read_bytes(), encoding="bytes") for name in names]
        pixels = np.concatenate([part[b"data"] for part in parts]).reshape(-1, 3, 32, 32)
        return pixels.transpose(0, 2, 3, 1), np.concatenate([part[b"labels"] for part in parts])

    return read(*(f"data_batch_{number}" for number in range(1, 6))), read("test_batch")


def draw_samples(data: Data) -> Figure:
    """Draws one row of images for each class."""
    rows = len(data.classes)
    figure, grid = plt.subplots(rows, SAMPLES, figsize=(SAMPLES, 1.2 * rows), layout="constrained", subplot_kw=BARE)
    for label, row in enumerate(grid):
        row[0].set_title(data.classes[label], loc="left", fontsize=9)
        for axes, image in zip(row, data.train.images[data.train.labels == label], strict=False):
            axes.imshow(image)
    return figure


def build(data: Data, seed: int, learning_rate: float = 0.01) -> keras.Model:
    """Builds and compiles the network of the article, always with the same initial weights."""
    keras.utils.set_random_seed(seed)
    penalty = keras.regularizers.L2(1e-4)
    layers: list[Any] = [keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 127.5, offset=-1)]
    if data.name == "CIFAR-10":  # a mirrored digit is not a digit
        layers.append(keras.layers.RandomFlip("horizontal"))
    for block in (((32, 3), (64, 3)), ((32, 1), (64, 3), (128, 3)), ((32, 1), (128, 3), (256, 3))):
        for filters, size in block:
            layers += [
                keras.layers.Conv2D(filters, size, padding="same", use_bias=False, kernel_regularizer=penalty),
                keras.layers.BatchNormalization(momentum=0.9),
                keras.layers.ReLU(),
            ]
        layers.append(keras.layers.MaxPooling2D())
    layers += [
        keras.layers.Conv2D(len(data.classes), 1, kernel_regularizer=penalty),  # a map of logits for each class
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Softmax(),
    ]
    model = keras.Sequential(layers)
    optimizer = keras.optimizers.SGD(learning_rate, momentum=0.9, nesterov=True)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def find_rates(model: keras.Model, images: Images, batch_size: int) -> lrdiag.RangeTest:
    """Sweeps the rate from where nothing changes to where the loss diverges."""
    started = time.perf_counter()
    test = lrdiag.find_lr(model, *images, batch_size=batch_size)
    print(f"range test: {test.iterations} updates, {time.perf_counter() - started:.1f} s, {test.stop_reason}")
    return test


def train(name: str, model: keras.Model, data: Data, options: argparse.Namespace, *policy: Any) -> Any:
    """Trains the model, evaluates it on the test images, and returns Keras's history."""
    started = time.perf_counter()
    history = model.fit(
        *data.train,
        validation_data=data.validation,
        batch_size=options.batch_size,
        epochs=options.epochs,
        callbacks=[*policy],
        verbose=0,
    )
    seconds = time.perf_counter() - started
    _, accuracy = model.evaluate(*data.test, batch_size=512, verbose=0)
    print(f"{name}: test accuracy {accuracy:.3f}, {seconds:.1f} s")
    return history


def draw_training_runs(constant: Any, cyclic: Any, rate: float, policy: lrdiag.CyclicLR) -> Figure:
    """Draws the losses, accuracies and rates of both training runs."""
    figure, (losses, accuracies, rates) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for axes, measure in ((losses, "loss"), (accuracies, "accuracy")):
        for name, colour, run in (("constant", "C0", constant), ("cyclic", "C1", cyclic)):
            epochs = np.array(run.epoch) + 1
            axes.plot(epochs, run.history[measure], ":", color=colour, label=f"{name}, training")
            axes.plot(epochs, run.history[f"val_{measure}"], ".-", color=colour, label=f"{name}, validation")
        axes.set(xlabel="epoch", ylabel=measure)
        axes.legend()
    rates.axhline(rate, color="C0")
    policy.plot(cyclic.params["steps"], cyclic.params["epochs"], axes=rates).lines[-1].set_color("C1")
    return figure


def draw_mistakes(model: keras.Model, data: Data) -> Figure:
    """Draws the worst mistakes with the heatmaps of their predicted classes."""
    predictions, heatmaps = lrdiag.GradCAM(model).predict_and_explain(*data.test)
    print(f"misclassified: {len(heatmaps.indices):,} images, explained by the layer {heatmaps.layer}")
    overlays = lrdiag.overlay(data.test.images[heatmaps.indices], heatmaps.predicted, colormap="jet", blend="constant")
    pictures = dict(zip(heatmaps.indices, overlays, strict=True))
    figure, grid = plt.subplots(GRID, GRID, figsize=(10, 11), layout="constrained", subplot_kw=BARE)
    for axes, index in zip(grid.flat, predictions.ranked_mistakes, strict=False):
        predicted, true = data.classes[predictions.predicted[index]], data.classes[data.test.labels[index]]
        axes.imshow(pictures[index])
        axes.set_title(f"{predicted}, true: {true}", fontsize=9)
    return figure


def read_options() -> argparse.Namespace:
    """Reads the command line."""
    folder = os.environ.get("LRDIAG_DATA_DIR") or None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["cifar10", "digits"], default="cifar10")
    parser.add_argument("--data-dir", type=Path, default=folder, help="the folder that contains cifar-10-batches-py/")
    parser.add_argument("--epochs", type=int, help="of each training run; 10, or 4 with --quick")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("article-figures"))
    parser.add_argument("--quick", action="store_true", help="a few hundred images")
    options = parser.parse_args()
    options.epochs = options.epochs or (4 if options.quick else 10)
    options.batch_size = 64 if options.quick or options.data == "digits" else 128
    return options


if __name__ == "__main__":
    main(read_options())
