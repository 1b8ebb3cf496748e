"""Defects of labels."""

from __future__ import annotations

import numpy as np

from .data import Data, _grey, digits, resized
from .registry import Planted


def chosen(count: int, share: float, generator: np.random.Generator) -> np.ndarray:
    """Draws a share of so many places."""
    return np.sort(generator.choice(count, max(1, round(share * count)), replace=False))


def others(labels: np.ndarray, classes: int, generator: np.random.Generator) -> np.ndarray:
    """Returns another class for each label."""
    return (labels + generator.integers(1, classes, len(labels))) % classes


def replaced(values: np.ndarray, places: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Returns a copy with other values at these places."""
    result = values.copy()
    result[places] = new
    return result


def test_labels_wrong(data: Data, share: float, generator: np.random.Generator) -> Planted:
    places = chosen(len(data.y_test), share, generator)
    new = others(data.y_test[places], data.classes, generator)
    return Planted(data._replace(y_test=replaced(data.y_test, places, new)), test=places)


def test_labels_wrong_by_pairs(data: Data, share: float, generator: np.random.Generator) -> Planted:
    places = chosen(len(data.y_test), share, generator)
    new = (data.y_test[places] + 1) % data.classes
    return Planted(data._replace(y_test=replaced(data.y_test, places, new)), test=places)


def training_labels_wrong(data: Data, share: float, generator: np.random.Generator) -> Planted:
    places = chosen(len(data.y), share, generator)
    new = others(data.y[places], data.classes, generator)
    return Planted(data._replace(y=replaced(data.y, places, new)), train=places)


def training_labels_wrong_by_pairs(data: Data, share: float, generator: np.random.Generator) -> Planted:
    places = chosen(len(data.y), share, generator)
    return Planted(data._replace(y=replaced(data.y, places, (data.y[places] + 1) % data.classes)), train=places)


def pair_confused_by_annotators(data: Data, share: float, generator: np.random.Generator) -> Planted:
    """A share of the images of two classes, in both sets, has the label of the other one."""
    first, second = int(generator.integers(data.classes - 1)), data.classes - 1

    def exchanged(labels: np.ndarray) -> np.ndarray:
        wrong = np.isin(labels, (first, second)) & (generator.random(len(labels)) < share)
        return np.where(wrong, first + second - labels, labels)

    return Planted(data._replace(y=exchanged(data.y), y_test=exchanged(data.y_test)), classes=(first, second))


def class_under_two_names(data: Data, share: float, generator: np.random.Generator) -> Planted:
    """A share of one class has a class of its own."""
    label = int(generator.integers(data.classes))

    def divided(labels: np.ndarray) -> np.ndarray:
        return np.where((labels == label) & (generator.random(len(labels)) < share), data.classes, labels)

    names = (*data.names, "another")
    return Planted(
        data._replace(y=divided(data.y), y_test=divided(data.y_test), names=names), classes=(label, data.classes)
    )


def classes_in_another_order(data: Data, moved: float, generator: np.random.Generator) -> Planted:
    """The test labels of so many classes are exchanged in a cycle."""
    order, cycle = np.arange(data.classes), generator.permutation(data.classes)[: int(moved)]
    order[cycle] = np.roll(cycle, 1)
    return Planted(data._replace(y_test=order[data.y_test]))


def training_labels_shuffled(data: Data, share: float, generator: np.random.Generator) -> Planted:
    places = chosen(len(data.y), share, generator)
    return Planted(data._replace(y=replaced(data.y, places, data.y[generator.permutation(places)])))


def test_labels_shuffled(data: Data, share: float, generator: np.random.Generator) -> Planted:
    places = chosen(len(data.y_test), share, generator)
    return Planted(data._replace(y_test=replaced(data.y_test, places, data.y_test[generator.permutation(places)])))


def foreign_images(data: Data, share: float, generator: np.random.Generator) -> Planted:
    """Test images that show something else: digits among photographs, photographs among digits."""
    places = chosen(len(data.y_test), share, generator)
    side, channels = data.shape[0], data.shape[-1]
    if channels == 3:
        foreign = np.repeat(resized(digits(1).x[: len(places)], side), 3, axis=3)
    else:
        from .data import cifar

        foreign = resized(_grey(cifar(1).x[: len(places)]), side)
    return Planted(data._replace(x_test=replaced(data.x_test, places, foreign)), test=places)
