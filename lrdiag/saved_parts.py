"""`lrdiag diagnose --part` and `lrdiag merge`: parts of the evaluation of a saved model on data from disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from lrdiag.data.batches import PreprocessedBatches
from lrdiag.data.fitting import Fitting
from lrdiag.data.followed import FollowedImages, facts_of_images
from lrdiag.data.inputs import GivenData
from lrdiag.data.listed import ListedImages, Tally, digest_of
from lrdiag.data.loading import warn_of
from lrdiag.data.preprocessing import preprocess
from lrdiag.diagnosing import Reporter
from lrdiag.diagnosis.gates import refuse_unknown_classes
from lrdiag.diagnosis.metadata import read_given
from lrdiag.engines.ray import PARTS_OF_A_WORKER, parts_by_ray
from lrdiag.errors import DataError, PartError, RunFolderError, SettingsError
from lrdiag.evaluation.evaluated import Evaluated
from lrdiag.evaluation.evaluator import Evaluator
from lrdiag.models import load_model
from lrdiag.parts import (
    IMAGES_OF_A_BATCH,
    OPENING,
    AnyPart,
    Part,
    Piece,
    batches_of_part,
    evaluate_piece,
    in_order,
    merged,
    model_of,
)
from lrdiag.pipeline import of_run, opened_model_and_images, refuse_other_classes, shown_settings
from lrdiag.progress import SILENCE, Progress
from lrdiag.record import exchange, reading
from lrdiag.record.arrays import LabelledImages, SkippedFile
from lrdiag.record.facts import Diagnosis
from lrdiag.report.report import Report
from lrdiag.report.templates import html_environment
from lrdiag.settings import DiagnoseSettings


def diagnose_saved_part(settings: DiagnoseSettings, part: tuple[int, int], progress: Progress = SILENCE) -> Path:
    """Evaluates a saved model on one part of data from disk, and writes the part to a folder.

    Example:
        ```python
        diagnose_saved_part(DiagnoseSettings("flowers.keras", data="flowers/", out=Path("parts/3")), (3, 8))
        ```

    Args:
        settings: The settings. `out` is the folder of the part.
        part: The number of the part, from 1, and the number of parts.
        progress: The listener.

    Returns:
        The folder.

    Raises:
        LrdiagError: If the model, the data or the folder can't be used.
    """
    _refuse_settings_of_merge(settings)
    return SavedEvaluation(settings, progress).part(part).save(settings.out)


class SavedEvaluation:
    """A saved model and the images to evaluate it on. It evaluates any number of parts.

    Args:
        settings: The settings.
        progress: The listener.

    Raises:
        LrdiagError: If the model or the data can't be used.
    """

    def __init__(self, settings: DiagnoseSettings, progress: Progress = SILENCE) -> None:
        self._given, self._progress = settings.model, progress
        self._settings, _, self._notes = of_run(settings)
        self._model, self._listed = opened_model_and_images(self._settings, progress)
        self._opening = self._first_images()
        self._evaluator = Evaluator(self._model, output=settings.output, batch_size=settings.batch_size)
        refuse_other_classes(self._evaluator, self._model, self._opening, self._settings, self._listed)

    @property
    def batches(self) -> int:
        """Number of batches that parts are made of."""
        return -(-len(self._listed) // IMAGES_OF_A_BATCH)

    def part(self, part: tuple[int, int]) -> Part:
        """Evaluates a part: its number, from 1, and the number of parts.

        Raises:
            LrdiagError: If the images can't be used.
        """
        number, of = part
        settings, listed = self._settings, self._listed
        batches = batches_of_part(self.batches, number, of)
        start, stop = (min(each * IMAGES_OF_A_BATCH, len(listed)) for each in (batches.start, batches.stop))
        images = FollowedImages(listed.part(start, stop), self._progress)
        data = GivenData(PreprocessedBatches(images, settings.preprocess, settings.batch_size))
        identity = digest_of(listed.digest, len(listed), self._opening.images, self._opening.labels)
        inputs = preprocess(self._opening.images, settings.preprocess)
        piece = Piece(data if start < stop else None, start, inputs, identity)
        gathered = evaluate_piece(
            self._evaluator,
            piece,
            preprocess=settings.preprocess,
            seed=settings.seed,
            progress=self._progress,
            has_fingerprint=True,
        )
        if gathered.size:
            gathered.arrays["digests"] = images.digests
        shown = {**shown_settings(settings), "model": settings.model}
        record = replace(
            gathered.record(self._model, number, of, piece),
            options={"preprocess": settings.preprocess, "output": settings.output, "seed": settings.seed},
            files=images.files,
            listing=_listing(listed, images.tally, shown, self._given, self._notes),
        )
        return Part(record, gathered.arrays, self._model)

    def _first_images(self) -> LabelledImages:
        few = self._listed.part(0, min(OPENING, len(self._listed)))
        opening = next((each for each in few.read(self._progress) if len(each)), None)
        if opening is None:
            raise DataError(f"The first images of the test set must be readable. Received: {self._listed.source}")
        return opening.part(range(min(OPENING, len(opening))))


@dataclass(frozen=True)
class _InWorker:
    """Loads the model in a worker of Ray."""

    settings: DiagnoseSettings

    def __call__(self) -> Callable[[Any], Part]:
        return SavedEvaluation(self.settings).part


def diagnose_saved_with_ray(
    settings: DiagnoseSettings, workers: int | None, progress: Progress = SILENCE, *, command: str = ""
) -> Report:
    """Does what `diagnose_saved` does, on the workers of Ray, which must all reach the model and the data.

    Args:
        settings: The settings.
        workers: Number of workers, or `None` for one on each CPU, or on each GPU if there are any.
        progress: The listener.
        command: The command line that repeats the run, for the page.

    Raises:
        LrdiagError: As `diagnose_saved` and `parts_by_ray` do.
    """
    of = min(SavedEvaluation(settings, progress).batches, PARTS_OF_A_WORKER * (workers or os.cpu_count() or 1))
    tasks = [(number, of) for number in range(1, of + 1)]
    with tempfile.TemporaryDirectory(prefix="lrdiag-parts-") as folder:
        parts = parts_by_ray(_InWorker(_with_whole_paths(settings)), tasks, workers, Path(folder), progress)
        return merge_saved(parts, replace(settings, model=of_run(settings)[0].model), progress, command=command)


def _with_whole_paths(settings: DiagnoseSettings) -> DiagnoseSettings:
    """Returns the settings with paths that other folders than the current one understand."""
    paths = {name: getattr(settings, name) for name in ("model", "data")}
    whole = {name: os.path.abspath(path) for name, path in paths.items() if path and os.path.exists(path)}
    return replace(settings, **whole)


def _refuse_settings_of_merge(settings: DiagnoseSettings) -> None:
    given = [
        name
        for name in ("baseline", "metadata", "groups", "gates", "templates")
        if getattr(settings, name) not in (None, ())
    ]
    if given:
        raise SettingsError(
            "A part has no report, so options of the report belong to `lrdiag merge`. Received: "
            f"{', '.join(given)} with --part"
        )


def _listing(
    listed: ListedImages, tally: Tally, shown: dict[str, Any], model: str, notes: Sequence[str]
) -> dict[str, Any]:
    """Returns how the images were read, as `PartRecord.listing` holds it."""
    listing: dict[str, Any] = msgspec.to_builtins(
        {
            "name": listed.name,
            "source": listed.source,
            "classes": list(listed.classes),
            "fitting": listed.fitting,
            "skipped": list(listed.skipped),
            "fixed_notes": list(listed.fixed_notes),
            "tally": tally,
            "settings": shown,
            "model": model,
            "notes": list(notes),
        }
    )
    return listing


def merge_saved(
    parts: Sequence[Path],
    settings: DiagnoseSettings,
    progress: Progress = SILENCE,
    *,
    command: str = "",
) -> Report:
    """Merges the parts of `diagnose_saved_part`, and writes the report to a run folder.

    Args:
        parts: The folders of all parts, in any order.
        settings: `out` and the settings of the report. `model` is the model, or empty for that of the first part.
        progress: The listener.
        command: The command line that repeats the run, for the page.

    Returns:
        The report that `settings.out` now contains.

    Raises:
        LrdiagError: If the parts, the model or the run folder can't be used.
    """
    base = reading.load_baseline(settings.baseline) if settings.baseline else None
    metadata, groups = read_given(settings.metadata, settings.groups)
    html_environment(settings.templates)
    ordered = in_order(parts)
    listing = ordered[0].record.listing
    with exchange.new_folder(settings.out):
        with progress.stage("Loading the model"):
            model = load_model(settings.model, trust=settings.trust) if settings.model else model_of(ordered[0])
        reporter = Reporter(
            data=(None,),
            progress=progress,
            metadata=metadata,
            groups=groups,
            command=command,
            baseline=base,
            gates=settings.gates,
            check_settings=settings.check_settings,
        )
        if listing is None:
            raise PartError(
                "`lrdiag merge` merges the parts of `lrdiag diagnose --part`. Merge those of `diagnose_part` with "
                "`lrdiag.merge`. Received: parts without a source of data"
            )
        refuse_unknown_classes(settings.gates, listing["classes"])
        earlier, missing = _earlier(listing["model"])
        reporter = replace(
            reporter,
            model_name=listing["settings"]["model"],
            settings=listing["settings"],
            range_test=earlier.range_test if earlier else None,
            range_test_note=earlier.range_test_note if earlier else None,
            notes=(*listing["notes"], *missing),
        )
        report = merged(ordered, model, reporter, earlier.training if earlier else None, partial(_described, ordered))
        with progress.stage("Writing the page"):
            return report.saved(
                settings.out,
                assets=settings.assets,
                templates=settings.templates,
                images=settings.images,
                file_names=settings.file_names,
            )


def _earlier(model: str) -> tuple[Diagnosis | None, tuple[str, ...]]:
    """Returns the record of the run whose model was evaluated, or `None`, and a note if it can't be read any more."""
    if model.endswith((".keras", ".h5")) or ":" in model:
        return None, ()
    try:
        return reading.load_baseline(Path(model)).diagnosis, ()
    except RunFolderError:
        return None, (f"The record of the training run is left out, because it can't be read from {model}.",)


def _described(parts: Sequence[AnyPart], reporter: Reporter, evaluated: Evaluated) -> Reporter:
    """Returns the reporter with the facts of the images of all parts."""
    listings = [each.record.listing or {} for each in parts]
    tally = Tally()
    for each in listings:
        tally.add(msgspec.convert(each["tally"], Tally))
    first = listings[0]
    listed = ListedImages(
        first["name"],
        first["source"],
        first["classes"],
        range(0),
        _unreadable,
        msgspec.convert(first["fitting"], Fitting),
        skipped=msgspec.convert(first["skipped"], list[SkippedFile]),
        fixed_notes=first["fixed_notes"],
    )
    labels = evaluated.predictions.labels
    facts = facts_of_images(listed, tally, evaluated.image_shape, labels, evaluated.fingerprint)
    warn_of(facts.skipped, labels, facts.classes, reporter.progress)
    files = tuple(file for part in parts for file in part.record.files)
    return replace(reporter, dataset=facts, files=files, notes=(*reporter.notes, *listed.notes(tally)))


def _unreadable(_places: range, _progress: Progress) -> Any:
    raise PartError("The images of a part are not kept. Received: an attempt to read them")
