"""The learning-rate article that lrdiag grew from, walked through from end to end.

python examples/article.py --data-dir FOLDER [--quick]

Photographs, the network, the range test and its plots, a constant rate against a cyclic one, and where the network
looked when it was wrong.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import lrdiag
from lrdiag.data import evaluation_batches, load_dataset, training_batches
from lrdiag.models import build_network
from lrdiag.progress import Silence
from lrdiag.record.arrays import Dataset

SAMPLES = 10  # photographs of each class
GRID = 5  # rows of mistakes, and columns
BARE = {"frame_on": False, "xticks": [], "yticks": []}  # axes that show a picture


def main(settings: lrdiag.Settings) -> None:
    """The article's table of contents."""
    settings.out.mkdir(parents=True, exist_ok=True)
    dataset = load_dataset(settings, Silence())
    print(f"{dataset.name}: {len(dataset.train):,} training and {len(dataset.test):,} test images")
    draw_samples(dataset).savefig(settings.out / "samples.png")

    test = find_rates(build(dataset, settings), batches(dataset, settings))
    test.plot_all().savefig(settings.out / "range-test-four.png")
    test.plot().get_figure().savefig(settings.out / "range-test.png")
    base_lr, max_lr = test.bounds()
    print(f"suggestion {test.suggest():.3g}, boundaries {base_lr:.3g} to {max_lr:.3g}")

    updates = len(batches(dataset, settings)) * settings.epochs
    policy = lrdiag.CyclicLR(base_lr, max_lr, step_size=updates / 2)
    constant = train("constant rate", build(dataset, settings, test.suggest()), dataset, settings)
    cyclic = train("cyclic rate", build(dataset, settings), dataset, settings, policy)
    draw_trainings(constant, cyclic, test.suggest(), policy).savefig(settings.out / "trainings.png")

    draw_mistakes(cyclic.model, dataset).savefig(settings.out / "mistakes.png")
    print(f"The figures are in {settings.out}")


def draw_samples(dataset: Dataset) -> Figure:
    """A row of photographs for each class."""
    rows = len(dataset.classes)
    figure, grid = plt.subplots(rows, SAMPLES, figsize=(SAMPLES, 1.2 * rows), layout="constrained", subplot_kw=BARE)
    for label, row in enumerate(grid):
        row[0].set_title(dataset.classes[label], loc="left", fontsize=9)
        for axes, image in zip(row, dataset.train.images[dataset.train.labels == label], strict=False):
            axes.imshow(image)
    return figure


def build(dataset: Dataset, settings: lrdiag.Settings, learning_rate: float = 0.01) -> keras.Model:
    """The network, ready to train; it always begins with the same weights."""
    keras.utils.set_random_seed(settings.seed)
    network = build_network(settings.model, dataset.train, len(dataset.classes))
    network.model.compile(
        keras.optimizers.SGD(learning_rate, momentum=0.9, nesterov=True, weight_decay=network.weight_decay),
        keras.losses.SparseCategoricalCrossentropy(from_logits=network.from_logits),
        metrics=["accuracy"],
    )
    return network.model


def batches(dataset: Dataset, settings: lrdiag.Settings) -> Any:
    """The training images, in the same random order for the range test and each training."""
    return training_batches(dataset.train, batch_size=settings.batch_size, augment=settings.augment, seed=settings.seed)


def find_rates(model: keras.Model, training: Any) -> lrdiag.RangeTest:
    """Sweeps the rate from where nothing happens to where the loss diverges."""
    started = time.perf_counter()
    test = lrdiag.find_lr(model, training)
    print(f"range test: {test.iterations} updates, {time.perf_counter() - started:.1f} s, {test.stop_reason}")
    return test


def train(name: str, model: keras.Model, dataset: Dataset, settings: lrdiag.Settings, *policy: Any) -> Any:
    """Trains, judges the result on the test images, and returns Keras's history."""
    started = time.perf_counter()
    history = model.fit(
        batches(dataset, settings),
        validation_data=evaluation_batches(dataset.validation, 512),
        epochs=settings.epochs,
        callbacks=[*policy],
        shuffle=False,  # the batches shuffle themselves
        verbose=0,
    )
    seconds = time.perf_counter() - started
    _, accuracy = model.evaluate(evaluation_batches(dataset.test, 512), verbose=0)
    print(f"{name}: test accuracy {accuracy:.3f}, {seconds:.1f} s")
    return history


def draw_trainings(constant: Any, cyclic: Any, rate: float, policy: lrdiag.CyclicLR) -> Figure:
    """Both trainings beside each other: their losses, accuracies and rates."""
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


def draw_mistakes(model: keras.Model, dataset: Dataset) -> Figure:
    """The worst mistakes, each with what spoke for the predicted class."""
    predictions, heatmaps = lrdiag.GradCAM(model).predict_and_explain(dataset.test)
    print(f"misclassified: {len(heatmaps.indices):,} images, explained by the layer {heatmaps.layer}")
    marked = lrdiag.overlay(dataset.test.images[heatmaps.indices], heatmaps.predicted, colormap="jet", blend="constant")
    pictures = dict(zip(heatmaps.indices, marked, strict=True))
    figure, grid = plt.subplots(GRID, GRID, figsize=(10, 11), layout="constrained", subplot_kw=BARE)
    for axes, index in zip(grid.flat, predictions.ranked_mistakes, strict=False):
        said, true = dataset.classes[predictions.predicted[index]], dataset.classes[dataset.test.labels[index]]
        axes.imshow(pictures[index])
        axes.set_title(f"{said}, is {true}", fontsize=9)
    return figure


def read_options() -> lrdiag.Settings:
    """The command line, as lrdiag's settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["cifar10", "digits"], default="cifar10")
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("LRDIAG_DATA_DIR"), help="where CIFAR-10 lies")
    parser.add_argument("--net", dest="model", choices=["article", "fast"], default="article")
    parser.add_argument("--epochs", type=int, help="of each training; 10, or 4 with --quick")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("article-figures"))
    parser.add_argument("--quick", action="store_true", help="a few hundred images")
    options = vars(parser.parse_args())
    if quick := options.pop("quick"):
        options |= {"limit_train": 600, "limit_test": 200}
    options["epochs"] = options["epochs"] or (4 if quick else 10)
    small = quick or options["data"] == "digits"
    mirrored = ("flip",) if options["data"] == "cifar10" else ()
    return lrdiag.Settings(**options, batch_size=64 if small else 128, augment=mirrored)


if __name__ == "__main__":
    main(read_options())
