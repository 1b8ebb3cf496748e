"""Heatmaps of one test image of a run, drawn on demand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrdiag import formats
from lrdiag.data import list_test_images
from lrdiag.data.followed import FollowedImages
from lrdiag.data.listed import ListedImages
from lrdiag.data.loading import limited_test_images
from lrdiag.data.preprocessing import preprocess
from lrdiag.errors import DataError, RunFolderError, SettingsError
from lrdiag.explain.gradcam import GradCAM
from lrdiag.explain.overlay import overlay
from lrdiag.models import load_model
from lrdiag.pipeline import model_of_run, recorded_settings
from lrdiag.progress import SILENCE, Progress
from lrdiag.record import reading
from lrdiag.record.arrays import LabelledImages
from lrdiag.record.facts import DatasetFacts, Diagnosis
from lrdiag.record.fingerprint import digests, fingerprint_of
from lrdiag.vocabulary import ResizeName

MOST_COMPARED = 100_000
"""Images of a test set that is read whole, to compare it with that of the run."""
_LEAST_SIDE = 224  # pixels; smaller images are enlarged by whole numbers


@dataclass(frozen=True)
class ExplainedImage:
    """One test image with its heatmaps.

    Attributes:
        picture: `uint8` of shape `(height, 3 * width, 3)`: the image, its heatmap for the predicted class, and its
            heatmap for the true class. The two heatmaps share one scale.
        sentence: The classes in words.
        note: What a reader must know to trust the picture; empty if nothing.
    """

    picture: np.ndarray
    sentence: str
    note: str


def explain_image(
    run: Path,
    index: int,
    *,
    model: str | None = None,
    data: str | None = None,
    data_dir: Path | None = None,
    trust: bool = False,
    progress: Progress = SILENCE,
) -> ExplainedImage:
    """Draws where a model looks at one test image of a run.

    Example:
        ```python
        explained = explain_image(Path("lrdiag-report"), 123)
        ```

    Args:
        run: A run folder, or its report.json.
        index: The place of the image in the test set.
        model: The model. Defaults to the model.keras of the run folder.
        data: The data. Defaults to that of the run.
        data_dir: The folder that contains CIFAR-10.
        trust: Whether to run code in the model file.
        progress: The listener.

    Raises:
        LrdiagError: If run, model or data can't be used, or the data has other images than the run.
    """
    facts = reading.load_baseline(run).diagnosis
    if not 0 <= index < facts.test.size:
        raise SettingsError(
            f"`--index` must be the place of a test image of the run, 0 to {facts.test.size - 1:,}. Received: {index}"
        )
    recorded = recorded_settings(facts)
    if data is None and "data" not in recorded:
        raise SettingsError(
            "The run does not name its data, because it was made in Python or with --no-file-names. Pass `--data`. "
            f"Received: a run of {facts.dataset.name!r}"
        )
    path = model or model_of_run(reading.report_of(run).parent, facts)
    image, label, file, note = _test_image(
        facts, index, recorded["data"] if data is None else data, data_dir, recorded, progress
    )
    with progress.stage("Loading the model"):
        opened = load_model(path, trust=trust)
    with progress.stage("Explaining"):
        return _explained(opened, facts, index, image, label, file, recorded, note)


def _test_image(
    facts: Diagnosis,
    index: int,
    data: str | None,
    data_dir: Path | None,
    recorded: dict[str, Any],
    progress: Progress,
) -> tuple[np.ndarray, int, str, str]:
    """Returns the image, its label, its file or an empty text, and a note if the data was not compared with the run."""
    height, width, channels = facts.dataset.image_shape
    resize: ResizeName = recorded.get("resize") or "stretch"
    listed = list_test_images(data, data_dir, (height, width), channels, progress, resize=resize)
    if list(listed.classes) != facts.dataset.classes:
        raise DataError(
            "The data must be that of the run, with the same classes in the same order. Received: "
            f"{len(listed.classes)} classes in {listed.source}, and {len(facts.dataset.classes)} others in the run"
        )
    limit = facts.settings.get("limit_test")
    if isinstance(limit, int):
        return _of_limited(facts, index, listed.load(progress), limit, listed)
    images = FollowedImages(listed, progress)
    found: LabelledImages | None = None
    compares, first = facts.test.size <= MOST_COMPARED, 0
    for part in images:
        if first <= index < first + len(part):
            found = part.part(range(index - first, index - first + 1))
            if not compares:
                break
        first += len(part)
    if found is None or (compares and not _are_equal(facts.dataset, images.facts())):
        raise _other_images(facts.dataset, listed, first)
    note = f"The data was read as far as this image and was not compared with that of the run: {listed.source}."
    return *_one(found), "" if compares else note


def _of_limited(
    facts: Diagnosis, index: int, images: LabelledImages, limit: int, listed: ListedImages
) -> tuple[np.ndarray, int, str, str]:
    images = limited_test_images(images, limit, tuple(listed.classes))
    fingerprint = fingerprint_of(digests(images.images), images.labels)
    if (len(images), fingerprint) != (facts.test.size, facts.dataset.test_fingerprint):
        raise _other_images(facts.dataset, listed, len(images))
    return *_one(images.part(range(index, index + 1))), ""


def _are_equal(recorded: DatasetFacts, found: DatasetFacts) -> bool:
    return (recorded.test_size, recorded.test_fingerprint) == (found.test_size, found.test_fingerprint)


def _other_images(recorded: DatasetFacts, listed: ListedImages, found: int) -> DataError:
    return DataError(
        "The data must have the test images of the run, in the same order. Received: "
        f"{found:,} images in {listed.source}, and {recorded.test_size:,} (fingerprint "
        f"{recorded.test_fingerprint[:20]!r}) in the run"
    )


def _one(image: LabelledImages) -> tuple[np.ndarray, int, str]:
    return image.images[0], int(image.labels[0]), image.files[0] if image.files else ""


def _explained(
    model: Any,
    facts: Diagnosis,
    index: int,
    image: np.ndarray,
    label: int,
    file: str,
    recorded: dict[str, Any],
    note: str,
) -> ExplainedImage:
    names = [formats.short(name) for name in facts.dataset.classes]
    inputs = preprocess(image[np.newaxis], recorded.get("preprocess") or "raw")
    explainer = GradCAM(model, output=recorded.get("output"), images=inputs)
    predictions, _ = explainer.predict_and_explain(inputs, np.array([label]))
    predicted = int(predictions.predicted[0])
    if predictions.classes != len(names):
        raise DataError(
            f"The model must score the classes of the run. Received: {predictions.classes} scores and {len(names)} "
            "classes"
        )
    listed = next((each for each in facts.misclassified.items if each.index == index), None)
    if listed is not None and (listed.true != label or (listed.file or file) != file):
        raise RunFolderError(
            f"The data must have the test images of the run. Received: another image {index}, "
            f"{file or names[label]!r}, in the data than in the run, {listed.file or names[listed.true]!r}"
        )
    if listed is not None and listed.predicted != predicted:
        note = f"{note} The run predicted {names[listed.predicted]}: this is another model.".strip()
    maps = [explainer.maps(inputs, np.array([each])) for each in (predicted, label)]
    confidence = predictions.confidence[0]
    sure = "" if np.isnan(confidence) else f" ({formats.percent(float(confidence))})"
    return ExplainedImage(
        _side_by_side(image, maps),
        f"Image {index}{f' ({formats.short(file, 120)})' if file else ''}: true class {names[label]}, predicted class "
        f"{names[predicted]}{sure}. From left to right: the image, its heatmap for {names[predicted]} and its "
        f"heatmap for {names[label]} (layer {explainer.layer}).",
        note,
    )


def _side_by_side(image: np.ndarray, maps: list[np.ndarray]) -> np.ndarray:
    factor = max(1, round(_LEAST_SIDE / max(image.shape[:2])))
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    peak = max(float(each.max()) for each in maps)
    drawn = [overlay(large[np.newaxis], each, peak=peak)[0] if peak > 0 else large for each in maps]
    return np.concatenate([np.broadcast_to(each, (*large.shape[:2], 3)) for each in (large, *drawn)], axis=1)
