"""Images in one folder for each class, read by Keras and shown in the report with their file names.

python examples/image_folder.py FOLDER [--image-size 64] [--out FOLDER]
python examples/image_folder.py --quick    # on a folder of digits that the script makes
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import lrdiag


def main(folder: Path, side: int, epochs: int, out: str) -> None:
    """Trains a small network on four fifths of the images and reports on the others."""
    keras.utils.set_random_seed(0)
    whole = keras.utils.image_dataset_from_directory(folder, image_size=(side, side), shuffle=False, batch_size=None)
    # the files are sorted by class, so a split by position would put whole classes into one part: take every fifth
    files, tested = whole.file_paths, whole.file_paths[::5]
    train = part(whole, lambda number: number % 5 > 0, len(files) - len(tested)).shuffle(len(files), seed=0).batch(32)
    test = part(whole, lambda number: number % 5 == 0, len(tested)).batch(32)
    model = keras.Sequential(
        [
            keras.Input((side, side, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(len(whole.class_names), activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(train, validation_data=test, epochs=epochs, verbose=0)

    report = lrdiag.diagnose(
        model, test, class_names=whole.class_names, files=tested, history=history, name=folder.name
    )
    print(f"{report}, page {report.save(out)}")


def part(images: Any, belongs: Callable[[Any], Any], size: int) -> Any:
    """Selects the `size` images of a dataset whose numbers belong to the part."""
    chosen = images.enumerate().filter(lambda number, _: belongs(number)).map(lambda _, labelled: labelled)
    return chosen.apply(tf.data.experimental.assert_cardinality(size))


def make_folder(folder: Path) -> None:
    """Writes the digits of scikit-learn as image files."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray((image * 15.9).astype("uint8")).resize((32, 32)).save(folder / str(label) / f"{number}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="contains one folder of images for each class")
    parser.add_argument("--image-size", type=int, default=64, help="height and width of an image, in pixels")
    parser.add_argument("--quick", action="store_true", help="two epochs on digits instead of twenty on your images")
    parser.add_argument("--out", default="lrdiag-report", help="the run folder")
    options = parser.parse_args()
    if options.quick:
        with tempfile.TemporaryDirectory() as made:
            make_folder(Path(made))
            main(Path(made), 32, 2, options.out)
    elif options.folder:
        main(options.folder, options.image_size, 20, options.out)
    else:
        parser.error("name a folder of images, or take --quick")
