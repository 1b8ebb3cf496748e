"""Data of issue threads in other projects. README.md in this folder lists the threads and the outcomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers as L
from PIL import Image

import lrdiag
from lrdiag.cli.app import main
from lrdiag.errors import DataError

NOISE = np.random.default_rng(0)


def reads_brightness(classes: int, channels: int = 3) -> keras.Model:
    """Predicts class k for an image of brightness k / (classes - 1): its scores are parabolas around these values."""
    inputs = keras.Input((8, 8, channels))
    features = L.Conv2D(1, 1, kernel_initializer=keras.initializers.Constant(1 / channels), use_bias=False)(
        L.Rescaling(1 / 255)(inputs)
    )
    head = L.Dense(classes, activation="softmax")
    model = keras.Model(inputs, head(L.GlobalAveragePooling2D()(features)))
    centres = np.linspace(0, 1, classes)
    head.set_weights([400 * centres[np.newaxis], -200 * centres**2])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def write(path: Path, brightness: float, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), round(255 * brightness), "uint8")).convert(mode).save(path)


def by_command(model: keras.Model, data: Path, folder: Path) -> Any:
    model.save(folder / "model.keras")
    arguments = ["diagnose", folder / "model.keras", "--data", data, "--out", folder / "run", "--no-open"]
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output + result.stderr
    return json.loads((folder / "run" / "report.json").read_text()), result.stderr


def test_class_folders_with_numbers_as_names_are_sorted_as_keras_sorts_them(tmp_path: Path) -> None:
    names = sorted(map(str, range(11)))  # 0, 1, 10, 2, ...
    for label, name in enumerate(names):
        for copy in range(2):
            write(tmp_path / "data" / name / f"{copy}.png", label / 10)
    model = reads_brightness(11)
    by_keras = keras.utils.image_dataset_from_directory(tmp_path / "data", image_size=(8, 8), verbose=False)
    assert model.evaluate(by_keras, verbose=0)[1] == 1
    facts, _ = by_command(model, tmp_path / "data", tmp_path)
    assert (facts["test"]["accuracy"], facts["dataset"]["classes"]) == (1, names)


@pytest.fixture
def folder_of_two(tmp_path: Path) -> Path:
    """Dark and bright images; the last of each class is of the other brightness, so a good model misclassifies it."""
    for label, name in enumerate(("dark", "bright")):
        for copy in range(6):
            write(tmp_path / "pairs" / f"{label}_{name}" / f"{copy}.png", 1 - label if copy == 5 else label)
    return tmp_path / "pairs"


def test_shuffled_flow_from_directory(folder_of_two: Path) -> None:
    import tensorflow as tf

    generator = tf.keras.preprocessing.image.ImageDataGenerator()
    data = generator.flow_from_directory(
        str(folder_of_two), target_size=(8, 8), batch_size=5, class_mode="sparse", shuffle=True, seed=3
    )
    model = reads_brightness(2)
    report = lrdiag.diagnose(model, data)
    assert report.accuracy == pytest.approx(model.evaluate(data, verbose=0)[1]) == pytest.approx(10 / 12)
    for mistake in report.diagnosis.misclassified.items:
        assert mistake.file is None or Path(mistake.file).name == "5.png"  # no name is better than a wrong one
    assert [each.name for each in report.diagnosis.per_class] == ["0_dark", "1_bright"]


def test_labels_that_are_strings() -> None:
    names = ["cat", "dog"]
    labels = np.array(["dog", "cat", "dog", "dog"])
    images = np.where(labels == "dog", 255, 0).astype("uint8")[:, None, None, None] * np.ones((8, 8, 3), "uint8")
    assert lrdiag.diagnose(reads_brightness(2), images, labels, class_names=names).accuracy == 1
    with pytest.raises(DataError, match="class_names"):
        lrdiag.diagnose(reads_brightness(2), images, labels)


def test_labels_given_to_the_loader_of_keras(tmp_path: Path) -> None:
    for place in range(6):
        write(tmp_path / "all" / f"{place}.png", place % 3 / 2)
    data = keras.utils.image_dataset_from_directory(
        tmp_path, labels=[0, 1, 2, 0, 1, 2], image_size=(8, 8), shuffle=False, verbose=False
    )
    report = lrdiag.diagnose(reads_brightness(3), data)  # data.class_names is ["all"], the folder
    assert report.accuracy == 1
    assert [each.name for each in report.diagnosis.per_class] == ["0", "1", "2"]


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_several_modes_in_one_folder(tmp_path: Path, channels: int) -> None:
    for label, name in enumerate(("a", "b")):
        for mode in ("L", "RGB", "RGBA", "P", "1"):
            write(tmp_path / "data" / name / f"{mode}.png", label, mode)
        write(tmp_path / "data" / name / "L.bmp", label, "L")
    facts, _ = by_command(reads_brightness(2, channels), tmp_path / "data", tmp_path)
    assert (facts["test"]["accuracy"], facts["test"]["size"]) == (1, 12)


def test_the_orientation_of_a_phones_photograph(tmp_path: Path) -> None:
    """Keras's own loader ignores the orientation in EXIF, so a model that it trained saw such images rotated."""
    left_half = np.zeros((8, 8, 3), "uint8")
    left_half[:, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees to show it upright
    for label, name in enumerate(("left", "right")):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for copy in range(3):
            Image.fromarray(left_half[:, :: 1 - 2 * label]).save(folder / f"{copy}.jpg", quality=100, exif=exif)
    inputs = keras.Input((8, 8, 3))
    scores = L.Dense(2, activation="softmax")
    columns = L.Conv2D(2, 8, use_bias=False, name="columns")
    pooled = L.Flatten()(columns(L.ZeroPadding2D(1)(L.Rescaling(1 / 255)(inputs))))
    model = keras.Model(inputs, scores(pooled))
    kernel = np.zeros((8, 8, 3, 2), "float32")
    kernel[:, :4, :, 0] = kernel[:, 4:, :, 1] = 1
    columns.set_weights([kernel])
    weights = np.zeros((pooled.shape[1], 2), "float32")
    weights[0::2, 0] = weights[1::2, 1] = 1
    scores.set_weights([weights, np.zeros(2)])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    by_keras = keras.utils.image_dataset_from_directory(tmp_path / "data", image_size=(8, 8), verbose=False)
    accuracy = model.evaluate(by_keras, verbose=0)[1]
    facts, said = by_command(model, tmp_path / "data", tmp_path)
    assert facts["test"]["accuracy"] == accuracy or "orientation" in " ".join([*facts["notes"], said]).lower()


def test_grey_images_of_16_bits(tmp_path: Path) -> None:
    for label, name in enumerate(("a_dark", "bright")):
        for copy in range(3):
            path = tmp_path / "data" / name / f"{copy}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), 300 + 65000 * label, "uint16")).save(path)
    facts, _ = by_command(reads_brightness(2, 1), tmp_path / "data", tmp_path)
    assert facts["test"]["accuracy"] == 1


def test_a_target_of_regression_is_no_class() -> None:
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, L.Dense(1)(L.GlobalAveragePooling2D()(L.Conv2D(2, 3)(inputs))))
    model.compile("sgd", "mse")
    with pytest.raises(DataError, match="integer"):
        lrdiag.diagnose(model, NOISE.random((8, 8, 8, 3)).astype("float32"), np.linspace(0.1, 3.7, 8))


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_class_indices_of_type_float64(shape: tuple[int, ...]) -> None:
    labels = np.array([0.0, 1.0, 1.0, 0.0])
    images = (255 * labels).astype("uint8")[:, None, None, None] * np.ones((8, 8, 3), "uint8")
    assert lrdiag.diagnose(reads_brightness(2), images, labels.reshape(shape)).accuracy == 1


def test_images_and_figures_of_mistakes_belong_together() -> None:
    """The order of mistakes by loss is not the order of the test set."""
    brightness = np.array([0.0, 0.6, 1.0, 0.1, 0.9, 0.52])
    labels = np.array([1, 0, 1, 1, 0, 0])
    images = np.round(255 * brightness).astype("uint8")[:, None, None, None] * np.ones((8, 8, 3), "uint8")
    report = lrdiag.diagnose(reads_brightness(2), images, labels, files=[f"{each}.png" for each in brightness])
    items = report.diagnosis.misclassified.items
    assert report.heatmaps is not None
    assert [each.loss for each in items] == sorted((each.loss for each in items), reverse=True)
    for item in items:
        place = np.searchsorted(report.heatmaps.indices, item.index)
        assert (report.mistakes[place] == images[item.index]).all()
        assert (item.file, item.true) == (f"{brightness[item.index]}.png", labels[item.index])
