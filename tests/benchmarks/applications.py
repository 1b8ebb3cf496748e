"""Which layer `lrdiag.diagnose` explains in every model of `keras.applications`, at the smallest size that it takes.

    python tests/benchmarks/applications.py [--models VGG16,ResNet50]

The models have two classes and random weights, and each evaluates eight images of noise. The last map of most models
has a single pixel at that size. So the explained layer is the last one with more, on every path, after its activation.

Rows are kept in `results/applications.json` as they come. A model that is there is not run again.
"""

from __future__ import annotations

import argparse
import gc
import inspect
import json
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "applications.json"
SIZES = (32, 64, 71, 75, 96, 128, 224)
IMAGES = 8


def constructors() -> dict[str, Any]:
    """The functions of `keras.applications` that build a model, by name."""
    import keras

    functions = {name: each for name, each in vars(keras.applications).items() if inspect.isfunction(each)}
    return {name: each for name, each in functions.items() if "weights" in inspect.signature(each).parameters}


def smallest(build: Any) -> Any:
    """The model with the smallest input that its constructor accepts."""
    for size in SIZES:
        try:
            return build(weights=None, classes=2, input_shape=(size, size, 3))
        except ValueError:
            continue
    raise ValueError(f"{build.__name__} takes no size of {SIZES}")


def measure(build: Any) -> dict[str, Any]:
    """Diagnoses the smallest model of a constructor."""
    import keras
    import numpy as np

    import lrdiag

    keras.utils.set_random_seed(0)
    model = smallest(build)
    size = model.input_shape[1]
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, size, size, 3)).astype("float32")
    started = time.perf_counter()
    try:
        report = lrdiag.diagnose(model, images, np.arange(IMAGES) % 2)
    except lrdiag.LrdiagError as error:
        return {"input": size, "layer": lrdiag.GradCAM(model).layer, "map": None, "refused": str(error)}
    maps = report.heatmaps
    return {
        "input": size,
        "layer": maps and maps.layer,
        "map": maps and list(maps.signed_predicted.shape[1:]),
        "unavailable": report.diagnosis.heatmaps.unavailable,
        "notes": list(report.diagnosis.notes),
        "seconds": round(time.perf_counter() - started, 1),
    }


def main() -> None:
    """Measures the models that are missing and prints the table."""
    import keras

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", help="which models, separated by commas")
    chosen = parser.parse_args().models
    rows: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    builds = constructors()
    print("| model | input | layer | map | seconds |\n|---|---:|---|---|---:|")
    for name in chosen.split(",") if chosen else builds:
        if name not in rows:
            rows[name] = measure(builds[name])
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
            keras.backend.clear_session()
            gc.collect()
        row = rows[name]
        size = "×".join(map(str, row["map"] or ()))
        print(
            f"| {name} | {row['input']} | `{row['layer']}` | {size or row['refused']} | {row.get('seconds')} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
