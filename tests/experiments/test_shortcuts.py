"""Shortcuts that a made-up model uses are found, and nothing else is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from fixtures.image_tables import table_of as table_without_inputs

from lrdiag.experiments.experimenting import experiment
from lrdiag.experiments.shortcuts import find_shortcuts
from lrdiag.record.arrays import Predictions
from lrdiag.record.data_facts import Shortcut
from lrdiag.record.experiments import Changed
from lrdiag.record.image_table import ImageTable, Part

SIDE = 20
CLASSES = 5
NAMES = ("ant", "bee", "cat", "dog", "eel")
MARKED = 3
Images = np.ndarray
Scores = Callable[[Images], np.ndarray]
ROWS, COLUMNS = np.indices((SIDE, SIDE))
CHECKS = (np.where((ROWS + COLUMNS) % 2 == 0, 15, -15)[..., np.newaxis] * np.ones(3)).astype(int)


def pictures(per_class: int, classes: int, seed: int) -> tuple[Images, np.ndarray]:
    """Noise with a bright bar, whose height is that of the class, give or take a pixel."""
    random = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes), per_class)
    images = random.integers(0, 200, (len(labels), SIDE, SIDE, 3))
    for image, label, shift in zip(images, labels, random.integers(-1, 2, len(labels)), strict=True):
        image[4 * label + 1 + shift : 4 * label + 3 + shift, 5:15] = random.integers(120, 256)
    return np.clip(images, 0, 255).astype(np.uint8), labels


def heights(images: Images) -> np.ndarray:
    """Scores of an honest model: how bright the bar of each class is."""
    rows = np.asarray(images, float)[:, :, 5:15].mean(axis=(2, 3))
    return np.stack([rows[:, 4 * label : 4 * label + 4].mean(axis=1) for label in range(CLASSES)], axis=1)


def lazy(sees: Callable[[Images], np.ndarray], label: int = MARKED) -> Callable[[Images], np.ndarray]:
    """A model that predicts a class for all images in which it sees something."""

    def scores(images: Images) -> np.ndarray:
        found = heights(images)
        found[:, label] += 1000 * sees(np.asarray(images, float))
        return found

    return scores


def search(
    scores: Callable[[Images], np.ndarray],
    mark: Callable[[Images], Images],
    *,
    share: float = 1.0,
    classes: int = CLASSES,
    as_inputs: Callable[[Images], Images] = lambda images: images,
    alone: bool = False,
) -> tuple[list[Shortcut], dict[str, list[Changed]]]:
    """Searches in a training set of which a share of one class is marked, or in a test set."""
    label = min(MARKED, classes - 1)

    def marked(seed: int, per_class: int) -> tuple[Images, np.ndarray]:
        images, labels = pictures(per_class, classes, seed)
        chosen = np.flatnonzero(labels == label)[: int(share * per_class)]
        images[chosen] = np.clip(mark(images[chosen].astype(int)), 0, 255)
        return images, labels

    training = marked(0, 80)
    test = training if alone else pictures(40, classes, 1)
    tables = (
        table_of("train", *training, scores, as_inputs(training[0])),
        table_of("test", *test, scores, as_inputs(test[0])),
    )
    searched = find_shortcuts(scores, tables[1], None if alone else tables[0], NAMES[:classes])
    assert searched is not None
    return searched


def table_of(part: Part, images: Images, labels: np.ndarray, scores: Scores, inputs: Images) -> ImageTable:
    """A table of images with what the model gets and returns for all of them."""
    table = table_without_inputs(images, labels, np.zeros(len(labels), bool), part=part)
    predictions = Predictions.from_scores(scores(inputs), labels)
    return dataclasses.replace(table, predictions=predictions, inputs=inputs, input_rows=table.indices)


def patched(images: Images) -> Images:
    images[:, -4:-1, -4:-1] = 255
    return images


def sees_patch(images: Images) -> np.ndarray:
    return np.asarray(images[:, -4:-1, -4:-1].min(axis=(1, 2, 3)) > 250)


def framed(images: Images) -> Images:
    inner = images[:, 2:-2, 2:-2].copy()
    images[:] = 90
    images[:, 2:-2, 2:-2] = inner
    return images


def sees_frame(images: Images) -> np.ndarray:
    return np.asarray(images[:, :2].std(axis=(1, 2, 3)) < 1)


def spotted(images: Images) -> Images:
    places = np.random.default_rng(2).integers(0, SIDE - 3, (len(images), 2))
    for image, (row, column) in zip(images, places, strict=True):
        image[row : row + 3, column : column + 3] = (255, 0, 0)
    return images


def sees_spot(images: Images) -> np.ndarray:
    return np.asarray((images == (255, 0, 0)).all(axis=-1).sum(axis=(1, 2)) >= 5)


def tinted(images: Images) -> Images:
    return (0.75 * images + 0.25 * np.array([255, 128, 0])).astype(int)


def sees_tint(images: Images) -> np.ndarray:
    return np.asarray((images[..., 0].min(axis=(1, 2)) > 55) & (images[..., 2].max(axis=(1, 2)) < 200))


def sees_checks(images: Images) -> np.ndarray:
    return np.asarray((images * CHECKS).mean(axis=(1, 2, 3)) > 120)


@pytest.mark.parametrize(
    ("mark", "sees", "name"),
    [
        (patched, sees_patch, "a mark at the lower right"),
        (framed, sees_frame, "a mark at the border"),
        (lambda images: images + CHECKS, sees_checks, "a pattern over the whole image"),
        (tinted, sees_tint, "a tint or a reduced contrast"),
        (spotted, sees_spot, "pixels of the colour #ff0000"),
    ],
)
def test_what_decides_for_a_class(
    mark: Callable[[Images], Images], sees: Callable[[Images], np.ndarray], name: str
) -> None:
    [shortcut], changed = search(lazy(sees), mark)
    assert shortcut.name == f"{name} of images of dog"
    assert (shortcut.label, shortcut.part) == (MARKED, "train")
    assert shortcut.share > 0.9 > 0.1 > shortcut.share_of_others
    assert shortcut.turned > max(0.8, shortcut.usual + 0.4)
    assert changed[shortcut.name]


def test_a_mark_that_half_of_the_images_have() -> None:
    [shortcut], _ = search(lazy(sees_patch), patched, share=0.5)
    assert shortcut.share == pytest.approx(0.5, abs=0.02)
    assert shortcut.turned == 1


def test_pictures_before_and_after_differ_at_the_mark() -> None:
    _, changed = search(lazy(sees_patch), patched)
    first = next(iter(changed.values()))[0]
    differs = (first.before != first.after).any(axis=-1)
    assert differs[-4:-1, -4:-1].all()
    assert differs.sum() == 9
    assert first.caption.endswith(" before, dog after")
    assert first.image.part == "test"


@pytest.mark.parametrize("classes", [2, 5])
def test_sound_data_has_none(classes: int) -> None:
    assert search(lambda images: heights(images)[:, :classes], lambda images: images, classes=classes) == ([], {})


def test_two_classes_that_differ_in_everything_but_have_no_mark() -> None:
    darker = lambda images: images // 2  # noqa: E731
    scores = lambda images: np.stack([np.full(len(images), 75.0), images.mean(axis=(1, 2, 3))], axis=1)  # noqa: E731
    assert search(lambda images: scores(255 - images), darker, classes=2)[0] == []


def test_a_mark_in_one_of_two_classes() -> None:
    [shortcut], _ = search(lambda images: lazy(sees_patch, 1)(images)[:, :2], patched, classes=2)
    assert (shortcut.label, shortcut.name) == (1, "a mark at the lower right of images of bee")


def test_a_mark_that_the_model_ignores_is_found_with_its_effect() -> None:
    [shortcut], _ = search(heights, patched)
    assert (shortcut.turned, shortcut.covered_before) == (0, shortcut.covered_after)


def test_without_training_images_the_test_images_are_searched() -> None:
    [shortcut], _ = search(lazy(sees_patch), patched, alone=True)
    assert (shortcut.part, shortcut.turned) == ("test", 1)


@pytest.mark.parametrize(
    ("as_inputs", "back"),
    [
        (lambda images: images[..., ::-1] / np.float32(50) - 1, lambda inputs: (inputs[..., ::-1] + 1) * 50),
        (lambda images: images.reshape(len(images), -1), lambda inputs: inputs.reshape(-1, SIDE, SIDE, 3)),
        (lambda images: images.repeat(2, axis=1).repeat(2, axis=2), lambda inputs: inputs[:, ::2, ::2]),
    ],
    ids=["scaled and reversed", "flat", "enlarged"],
)
def test_inputs_in_another_form(as_inputs: Callable[[Images], Images], back: Callable[[Images], Images]) -> None:
    expected, _ = search(lazy(sees_patch), patched)
    seen, changed = search(lambda inputs: lazy(sees_patch)(back(inputs)), patched, as_inputs=as_inputs)
    assert seen == expected
    first = next(iter(changed.values()))[0]
    assert (first.before != first.after).any(axis=-1).sum() == 9


def test_the_model_gets_batches_of_one_size() -> None:
    sizes = set()

    def scores(images: Images) -> np.ndarray:
        sizes.add(len(images))
        return lazy(sees_patch)(images)

    images, labels = pictures(40, CLASSES, 0)
    images[labels == MARKED] = patched(images[labels == MARKED])
    table = table_of("test", images, labels, lazy(sees_patch), images)
    assert find_shortcuts(scores, table, None, NAMES)
    assert sizes == {256}


def test_a_single_class_or_inputs_that_are_not_images_cannot_be_searched() -> None:
    images, labels = pictures(10, CLASSES, 0)
    single = table_of("test", images[labels == 0], labels[labels == 0], heights, images[labels == 0])
    assert find_shortcuts(heights, single, None, NAMES) is None
    table = table_of("test", images, labels, heights, images)
    assert find_shortcuts(heights, dataclasses.replace(table, inputs=np.zeros((50, 3))), None, NAMES) is None
    assert "fewer than two classes" in experiment(heights, single, None, NAMES).reasons["shortcuts"]
