"""Explains and probes the networks in a folder, and writes what it found to `ENGINE.npz`.

Usage: KERAS_BACKEND=jax python network_checks.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import blocked  # noqa: F401 – before everything else
import keras
import numpy as np
from networks import KINDS, data_for

from lrdiag import GradCAM, find_lr
from lrdiag.backend.graph import parts
from lrdiag.backend.probe import probe

STEPS = 30


def explained(kind: str, model: keras.Model) -> dict[str, Any]:
    """Predictions, mistakes and maps."""
    inputs, labels = data_for(kind)
    explainer = GradCAM(model, batch_size=32, output="kind" if kind == "two_outputs" else None)
    predictions, heatmaps = explainer.predict_and_explain(inputs, labels)
    return {
        "layer": np.array(explainer.layer),
        "losses": predictions.losses,
        "mistakes": heatmaps.indices,
        "for_it": heatmaps.signed_predicted,
        "against_it": heatmaps.signed_true,
    }


def probed(kind: str, model: keras.Model) -> dict[str, Any]:
    """The loss, and all gradients one after the other."""
    inputs, labels = data_for(kind)
    found = probe(model, inputs, _targets(kind, labels), dict(parts(model)), training=False)
    gradients = [*(each for calls in found.gradients.values() for each in calls), *found.weight_gradients]
    return {
        "loss": np.array(found.loss),
        "reached": np.array([each is not None for each in gradients]),
        "gradients": np.concatenate([each.ravel() for each in gradients if each is not None]),
    }


def swept(kind: str, model: keras.Model) -> dict[str, Any]:
    """The losses of a range test."""
    inputs, labels = data_for(kind)
    test = find_lr(
        model, inputs, _targets(kind, labels), start_lr=1e-4, end_lr=0.1, iterations=STEPS, diverge_factor=1e9
    )
    return {"range_test": np.asarray(test.losses)}


def _targets(kind: str, labels: np.ndarray) -> Any:
    if kind == "one_sigmoid":
        return labels[:, np.newaxis].astype("float32")
    return [labels, labels % 2] if kind == "two_outputs" else labels


def main(folder: Path) -> None:
    """Checks every network."""
    found = {}
    for kind in KINDS:
        model = keras.models.load_model(folder / f"{kind}.keras")
        for check in (explained, probed, swept):
            if kind == "mobilenet" and check is swept:
                continue  # its statistics of batches of random weights make rounding errors large
            found |= {f"{kind} {name}": value for name, value in check(kind, model).items()}
    np.savez(folder / f"{keras.config.backend()}.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
