"""Photographs in folders, one for each class, read by Keras and reported with their file names.

python examples/image_folder.py FOLDER [--image-size 64] [--out FOLDER]
python examples/image_folder.py --quick    # on a folder of digits that it makes itself
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import keras

import lrdiag


def main(folder: Path, side: int, epochs: int, out: str) -> None:
    """Trains a small net on four fifths of the photographs and reports on the others."""
    keras.utils.set_random_seed(0)
    load = {"image_size": (side, side), "validation_split": 0.2, "seed": 0}
    train = keras.utils.image_dataset_from_directory(folder, subset="training", **load)
    test = keras.utils.image_dataset_from_directory(folder, subset="validation", shuffle=False, **load)
    model = keras.Sequential(
        [
            keras.Input((side, side, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(len(train.class_names), activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(train, validation_data=test, epochs=epochs, verbose=0)

    report = lrdiag.diagnose(
        model, test, class_names=train.class_names, files=test.file_paths, history=history, name=folder.name
    )
    print(f"{report}, page {report.save(out)}")


def make_folder(folder: Path) -> None:
    """Writes scikit-learn's digits as one picture each."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray((image * 15.9).astype("uint8")).resize((32, 32)).save(folder / str(label) / f"{number}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="holds a folder of images for each class")
    parser.add_argument("--image-size", type=int, default=64, help="height and width of an image, in pixels")
    parser.add_argument("--quick", action="store_true", help="two epochs on digits, instead of twenty on your images")
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
