"""Time and memory of `diagnose` on ten thousand to a million images, whole and in parts.

The images are a few that are repeated with noise, never all in memory. Each row runs in a process of its own, and its
peak memory is that of the whole process, with the engine.

    python tests/benchmarks/scale.py --images 10000 100000 1000000 --parts 1 4 --out scale.json
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

BATCH, SIDE, CLASSES = 500, 32, 10


def made_data(images: int) -> Any:
    """Returns batches of 32 × 32 images: one pattern for each class with noise, and every fifth label is wrong."""
    import keras

    patterns = np.random.default_rng(0).integers(60, 196, (CLASSES, SIDE, SIDE, 3)).astype(np.int16)

    class Repeated(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return -(-images // BATCH)

        def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
            generator = np.random.default_rng(place)
            size = min(BATCH, images - place * BATCH)
            true = generator.integers(0, CLASSES, size)
            noise = generator.integers(-60, 61, (size, SIDE, SIDE, 3), np.int16)
            labels = np.where(generator.random(size) < 0.2, generator.integers(0, CLASSES, size), true)
            return np.clip(patterns[true] + noise, 0, 255).astype(np.uint8), labels

    return Repeated()


def made_model() -> Any:
    """Returns a small network that was trained on the data for a few steps."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 5, strides=2, padding="same", activation="relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(made_data(20_000), epochs=2, verbose=0)
    return model


def measured(images: int, parts: int, folder: Path) -> dict[str, float]:
    """Diagnoses in this process, and returns what it took."""
    import lrdiag

    model, data = made_model(), made_data(images)
    lrdiag.diagnose(model, made_data(BATCH))  # compiles
    begun = time.perf_counter()
    if parts == 1:
        report = lrdiag.diagnose(model, data)
    else:
        saved = [
            lrdiag.diagnose_part(model, data, part=(number, parts)).save(folder / str(number))
            for number in range(1, parts + 1)
        ]
        report = lrdiag.merge(saved, model=model)
    took = time.perf_counter() - begun
    report.save(folder / "run")
    saved_at = time.perf_counter()
    return {
        "images": images,
        "parts": parts,
        "seconds": took,
        "seconds_of_saving": saved_at - begun - took,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "accuracy": report.accuracy,
        "mistakes": report.diagnosis.misclassified.count,
        "report_json_mib": (folder / "run" / "report.json").stat().st_size / 2**20,
        "page_mib": (folder / "run" / "report.html").stat().st_size / 2**20,
        "part_mib": sum(each.stat().st_size for each in folder.glob("*/part.npz")) / max(parts, 1) / 2**20,
    }


def main() -> None:
    """Measures each row in its own process, and prints them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--parts", type=int, nargs="+", default=[1])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--row", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measured(given.images[0], given.parts[0], Path(folder))))
        return
    rows = []
    for images in given.images:
        for parts in given.parts:
            command = [sys.executable, __file__, "--row", "--images", str(images), "--parts", str(parts)]
            rows.append(json.loads(subprocess.check_output(command, text=True).splitlines()[-1]))
            print(rows[-1], flush=True)
            if given.out:
                given.out.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
