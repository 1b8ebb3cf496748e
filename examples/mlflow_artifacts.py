"""MLflow: the run folder as artifacts of a run, and the accuracy as its metrics.

python -m pip install mlflow
python examples/mlflow_artifacts.py [--quick] [--out FOLDER]
mlflow ui
"""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import mlflow
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import lrdiag


def main(epochs: int, out: Path) -> None:
    """Trains a small network inside an MLflow run."""
    keras.utils.set_random_seed(0)
    digits = load_digits()
    images = digits.images[..., None] / 16
    x, x_test, y, y_test = train_test_split(images, digits.target, test_size=0.2, random_state=0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    with mlflow.start_run():
        history = model.fit(x, y, validation_split=0.1, epochs=epochs, verbose=0)
        report = lrdiag.diagnose(model, x_test, y_test, history=history, name="Digits")
        report.save(out)
        mlflow.log_metrics({"accuracy": report.accuracy, "balanced_accuracy": report.diagnosis.test.balanced_accuracy})
        mlflow.log_artifacts(str(out), artifact_path="lrdiag-report")
    print(f"{report}, logged as artifacts")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two epochs instead of twenty")
    parser.add_argument("--out", type=Path, default=Path("lrdiag-report"), help="the run folder")
    options = parser.parse_args()
    main(2 if options.quick else 20, options.out)
