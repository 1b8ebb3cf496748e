"""The pages of the gallery: a good run, label errors, a shortcut and a comparison, all of the digits of scikit-learn.

python examples/gallery.py [--out FOLDER] [--pictures FOLDER]

Writes four run folders to the first folder, and their small pictures to the second.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

import keras
import label_errors
import matplotlib.pyplot as plt
import numpy as np
import shortcut
from PIL import Image

import lrdiag


def main(out: Path, pictures: Path) -> None:
    """Makes the four runs and their pictures, and the picture of the README."""
    lrdiag.train_and_report(data="digits", out=out / "good-run")
    label_errors.main("", str(out / "label-errors"))
    shortcut.main("", str(out / "shortcut"))
    compare(out / "comparison")
    pictures.mkdir(parents=True, exist_ok=True)
    for name in ("good-run", "label-errors", "shortcut", "comparison"):
        Image.open(out / name / "summary.png").save(pictures / f"{name}.webp", quality=85)
    compose(with_both_defects(), pictures / "overview.png")


def compare(out: Path) -> None:
    """Compares a network that was trained on a tenth of the images with one that was trained on all of them."""
    images, labels, names, count = label_errors.read("")
    baseline = None
    for size in (count // 10, count):
        keras.utils.set_random_seed(0)
        model, history = label_errors.train(images[:size], labels[:size])
        baseline = lrdiag.diagnose(
            model, images[count:], labels[count:], class_names=names, history=history, baseline=baseline, name="digits"
        )
    baseline.save(out)


def with_both_defects() -> lrdiag.Report:
    """Returns the report of a run with a shortcut and wrong labels in the test set."""
    keras.utils.set_random_seed(0)
    images, labels, names, count = label_errors.read("")
    generator = np.random.default_rng(0)
    images[(labels == 8) & (generator.random(len(labels)) < 0.95), 5:7, 1:3] = 1.0
    training = images[:count], labels[:count].copy()
    wrong = generator.choice(np.arange(count, len(labels)), 20, replace=False)
    labels[wrong] = (labels[wrong] + generator.integers(1, 10, len(wrong))) % 10
    model, history = label_errors.train(*training)
    return lrdiag.diagnose(
        model, images[count:], labels[count:], class_names=names, history=history, train_data=training
    )


def compose(report: lrdiag.Report, file: Path) -> None:
    """Draws six misclassified images with their heatmaps, and two findings."""
    figure, axes = plt.subplots(2, 6, figsize=(9, 3.8), layout="constrained")
    names, places = report.diagnosis.dataset.classes, report.heatmaps.indices.tolist()
    for column, mistake in enumerate(report.diagnosis.misclassified.items[:6]):
        place = places.index(mistake.index)
        large = (
            Image.fromarray(report.mistakes[place].squeeze()).convert("RGB").resize((96, 96), Image.Resampling.BICUBIC)
        )
        explained = lrdiag.overlay(np.asarray(large)[None], report.heatmaps.predicted[place : place + 1])
        axes[0, column].imshow(large)
        axes[1, column].imshow(explained[0])
        axes[0, column].set_title(f"true {names[mistake.true]}, predicted {names[mistake.predicted]}", fontsize=8)
    for axis in axes.flat:
        axis.set_axis_off()
    lines = [textwrap.fill(f"{finding.severity}: {finding.title}", 120) for finding in report.findings[:2]]
    figure.supxlabel("\n".join(lines), fontsize=9, ha="left", x=0.01)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("lrdiag-gallery"), help="the run folders")
    parser.add_argument("--pictures", type=Path, default=Path("docs/gallery"), help="the pictures")
    options = parser.parse_args()
    main(options.out, options.pictures)
