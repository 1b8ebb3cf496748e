"""The ways in which lrdiag receives model and data."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .data import Data
from .registry import Planted, Scenario
from .setups import SETUPS, Setup

Fact = dict[str, Any]

SUSPECTS: dict[str, Callable[[Fact], bool]] = {
    "test-label-errors": lambda suspect: suspect["suggested"] is not None,
    "training-label-errors": lambda suspect: suspect["suggested"] is not None,
    "no-class": lambda suspect: suspect["suggested"] is None,
}
"""The suspects that a finding is about. It shows only some of them."""

COPIES: dict[str, Callable[[Fact], bool]] = {
    "leaked-copies": lambda copy: copy["image"]["part"] != copy["original"]["part"],
    "repeated-images": lambda copy: copy["image"]["part"] == copy["original"]["part"],
    "copies-with-other-labels": lambda copy: not copy["same_label"],
}
"""The copies that a finding is about."""


@dataclass(frozen=True)
class Diagnosed:
    """A report and what was planted.

    Attributes:
        report: The content of report.json.
        planted: The planted defect.
        seconds: Duration of the call.
    """

    report: dict[str, Any]
    planted: Planted
    seconds: float

    def images_of(self, finding: dict[str, Any], part: str) -> list[int]:
        """Returns the places of the images that a finding shows, in its order."""
        shown = [self._place(each["image"]) for each in finding["exhibits"] if _is_of(each["image"], part)]
        if part == "test":
            files = {each["index"]: each["file"] for each in self.report["misclassified"]["items"]}
            shown += [self._place({"index": each, "file": files.get(each)}) for each in finding["images"]]
        return list(dict.fromkeys([*shown, *self._listed(finding["code"], part)]))

    def _listed(self, code: str, part: str) -> list[int]:
        """Returns the places of all images that a finding is about, if the facts list them."""
        facts = self.report["data"]
        images = [each["image"] for each in facts["suspects"] or () if code in SUSPECTS and SUSPECTS[code](each)]
        for each in facts["copies"]["pairs"] if facts["copies"] else ():
            if code in COPIES and COPIES[code](each):
                images += [each["image"], each["original"]]
        return [self._place(each) for each in images if _is_of(each, part)]

    def _place(self, image: dict[str, Any]) -> int:
        """Returns the place of an image before it was written to a file."""
        return int(Path(image["file"]).stem) if image.get("file") else int(image["index"])


def _is_of(image: dict[str, Any] | None, part: str) -> bool:
    return image is not None and image["part"] == part


def diagnosed(scenario: Scenario, folder: Path) -> Diagnosed:
    """Plants, trains and diagnoses."""
    setup = SETUPS[scenario.setup]
    planted = scenario.planted(setup.draw(scenario))
    if scenario.door in ("folder", "npz"):
        started = time.perf_counter()
        report = _by_command(planted.data, folder, scenario.door, setup)
    elif scenario.door == "callback":
        started = time.perf_counter()
        report = _by_callback(setup, planted, folder)
    else:
        model, history = setup.trained(scenario, planted)
        if planted.after:
            planted.after(model)
        started = time.perf_counter()
        report = _by_call(setup, planted, model, history, as_datasets=scenario.door == "dataset")
    return Diagnosed(report, planted, time.perf_counter() - started)


def _test_set(setup: Setup, planted: Planted) -> tuple[np.ndarray, np.ndarray]:
    return (planted.prepare_test or setup.prepare)(planted.data.x_test), planted.data.y_test


def _by_call(
    setup: Setup, planted: Planted, model: Any, history: dict[str, list[float]], *, as_datasets: bool
) -> dict[str, Any]:
    import lrdiag

    given = {"metadata": planted.metadata, "groups": planted.groups}
    test, train = _test_set(setup, planted), (setup.prepare(planted.data.x), planted.data.y)
    return lrdiag.diagnose(
        model,
        *((_dataset(*test),) if as_datasets else test),
        class_names=list(planted.data.names),
        history=history,
        train_data=_dataset(*train) if as_datasets else train,
        **{name: value for name, value in given.items() if value is not None},
    ).to_dict()


def _dataset(images: np.ndarray, labels: np.ndarray) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(100)


def _by_callback(setup: Setup, planted: Planted, folder: Path) -> dict[str, Any]:
    import lrdiag

    test = _test_set(setup, planted)
    callback = lrdiag.ReportCallback(folder, test, class_names=list(planted.data.names))
    setup.fit(setup.model(planted), planted, validation_split=0.0, validation_data=test, callbacks=[callback])
    return json.loads((folder / "report.json").read_text())


def _by_command(data: Data, folder: Path, door: str, setup: Setup) -> dict[str, Any]:
    from click.testing import CliRunner

    from lrdiag.cli.app import main

    source = write_folder(data, folder / "images") if door == "folder" else write_npz(data, folder / "images.npz")
    command = ["train-and-report", "--data", source, "--out", folder / "run", "--epochs", setup.epochs, "--quiet"]
    result = CliRunner().invoke(main, [*map(str, command), "--no-open", "--image-size", str(data.shape[0])])
    if not (folder / "run" / "report.json").exists():
        raise RuntimeError(result.output) from result.exception
    return json.loads((folder / "run" / "report.json").read_text())


def write_folder(data: Data, folder: Path) -> Path:
    """Writes a PNG for each image. Its name is the place of the image."""
    for part, images, labels in (("train", data.x, data.y), ("test", data.x_test, data.y_test)):
        for label, name in enumerate(data.names):
            (folder / part / name).mkdir(parents=True)
            for place in np.flatnonzero(labels == label):
                cv2.imwrite(str(folder / part / name / f"{place:05d}.png"), images[place, ..., ::-1])
    return folder


def write_npz(data: Data, path: Path) -> Path:
    """Writes the images as arrays."""
    np.savez(path, x_train=data.x, y_train=data.y, x_test=data.x_test, y_test=data.y_test, class_names=list(data.names))
    return path
