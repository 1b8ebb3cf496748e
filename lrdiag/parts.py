"""`diagnose_part` and `merge`: an evaluation in parts, by any number of machines, and one report of all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from keras import tree

from lrdiag.backend.engine import engine_name
from lrdiag.backend.weights import fingerprint
from lrdiag.data.class_names import ClassNames, names_carried_by, names_in_order
from lrdiag.data.image_names import files_carried_by
from lrdiag.data.inputs import GivenData, labelled_batches, labelled_length, unpacked
from lrdiag.data.listed import digest_of
from lrdiag.data.parts import batches_of, count_batches
from lrdiag.diagnosing import Reporter, Stopwatch
from lrdiag.diagnosis.check_settings import CheckSettings
from lrdiag.diagnosis.metadata import read_given
from lrdiag.errors import DataError, LrdiagError, ModelError, PartError, SettingsError, require_count
from lrdiag.evaluation.evaluated import Evaluated, PassFacts
from lrdiag.evaluation.evaluator import Evaluator
from lrdiag.evaluation.gathering import Gathering
from lrdiag.formats import plural
from lrdiag.inspection.images import Sample
from lrdiag.inspection.inspector import Inspector
from lrdiag.models.accepted import require_keras_model
from lrdiag.models.foreign import load_model
from lrdiag.progress import SILENCE, Progress
from lrdiag.record import part as storage
from lrdiag.record.folder import replacing
from lrdiag.record.part import PartRecord
from lrdiag.record.provenance import versions
from lrdiag.report.report import Report, run_of
from lrdiag.studying import NO_TRAINING_IMAGES
from lrdiag.training.history import training_of

if TYPE_CHECKING:
    import keras

    from lrdiag.evaluation.lookout import Display
    from lrdiag.rate.range_test import RangeTest
    from lrdiag.record.facts import RangeTestFacts, TrainingRun
    from lrdiag.vocabulary import Preprocessing

IMAGES_OF_A_BATCH = 32
"""Arrays are divided at multiples of this number."""
OPENING = 64  # images of the first batch that decide how images are shown
_NAMED = 10


class AnyPart(Protocol):
    """A part in memory or in a folder."""

    @property
    def record(self) -> PartRecord:
        """What is known of it."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns what was gathered of its images."""


@dataclass(frozen=True, eq=False)
class Part:
    """The evaluation of a part of a test set. `merge` makes a report of all parts.

    Example:
        >>> import keras, lrdiag
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> lrdiag.diagnose_part(model, np.zeros((40, 8, 8, 3), "uint8"), np.arange(40) % 2, part=(1, 2))
        Part(1 of 2, images=32)

    Attributes:
        record: What is known of it.
        model: The model. It is not pickled.
    """

    record: PartRecord
    content: dict[str, np.ndarray] = field(repr=False)
    model: keras.Model | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns what was gathered of the images."""
        return self.content

    def save(self, folder: str | Path) -> Path:
        """Writes the part to a folder, which is created. The first part contains the model too, if Keras can save it.

        Returns:
            The folder.

        Raises:
            RunFolderError: If it can't be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        storage.write(folder, self.record, self.content)
        if self.record.number == 1 and self.model is not None:
            with replacing(folder / storage.MODEL) as file:
                self.model.save(file)
        return folder

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "model": None}

    def __repr__(self) -> str:
        return f"Part({self.record.number} of {self.record.of}, images={self.record.size})"


def diagnose_part(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    part: tuple[int, int],
    class_names: ClassNames | None = None,
    display: Display | None = None,
    preprocess: Preprocessing | None = None,
    output: str | int | None = None,
    files: Sequence[str] = (),
    batch_size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Part:
    """Evaluates a model on one part of a test set. `merge` makes one report of all parts.

    The parts may be evaluated in any order, by any number of processes or machines. Each evaluates whole batches, whose
    boundaries don't depend on the number of parts, and reads the first batch of the set too, which decides how images
    are shown.

    Example:
        >>> import keras, lrdiag
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> images, labels = generator.random((96, 8, 8, 1), "float32"), generator.integers(0, 3, 96)
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, activation="softmax"),
        ... ])
        >>> parts = [lrdiag.diagnose_part(model, images, labels, part=(number, 3)) for number in (1, 2, 3)]
        >>> parts[1], lrdiag.merge(parts).diagnosis.test.size
        (Part(2 of 3, images=32), 96)

    Args:
        model: As in `lrdiag.diagnose`.
        x: As in `lrdiag.diagnose`: arrays, a list of batches, or a `keras.utils.PyDataset` or `tf.data.Dataset` of
            known length. It is the whole set, of which only the part is read.
        y: As in `lrdiag.diagnose`.
        part: The number of the part, from 1, and the number of parts.
        class_names: As in `lrdiag.diagnose`.
        display: As in `lrdiag.diagnose`.
        preprocess: As in `lrdiag.diagnose`.
        output: As in `lrdiag.diagnose`.
        files: As in `lrdiag.diagnose`, for the whole set.
        batch_size: As in `lrdiag.diagnose`.
        seed: As in `lrdiag.diagnose`.
        progress: As in `lrdiag.diagnose`.

    Raises:
        DataError: If the data can't be used, or has no known length.
        ModelError: If the model can't be used.
        SettingsError: If an argument is outside its range.
    """
    require_keras_model(model)
    require_count("seed", seed, at_least=0)
    number, of = require_part(part)
    names = names_in_order(class_names)
    carried = names_carried_by(x)
    given = GivenData(*unpacked((x, y)), None, carried if names is None else names, output)
    piece = _piece_of(given, number, of, batch_size or IMAGES_OF_A_BATCH)
    gathered = evaluate_piece(
        Evaluator(model, output=output, batch_size=batch_size),
        piece,
        display=display,
        preprocess=preprocess,
        seed=seed,
        progress=progress or SILENCE,
    )
    size = gathered.size
    if len(files) and len(files) < piece.first + size:
        raise DataError(f"`files` must name one file for each image. Received: {len(files)} names for more images")
    places = slice(piece.first, piece.first + size)
    shuffle = getattr(x, "shuffle", None)
    record = replace(
        gathered.record(model, number, of, piece),
        options={"preprocess": preprocess, "output": output, "seed": seed},
        class_names=names,
        carried_names=carried,
        files=tuple(str(file) for file in files[places]),
        carried_files=files_carried_by(x)[places],
        is_shuffled=shuffle if isinstance(shuffle, bool) else None,
    )
    return Part(record, gathered.arrays, model)


class Piece(NamedTuple):
    """The images of one part.

    Attributes:
        data: Its batches; `None` if it has none, because the set has fewer batches than parts.
        first: Place of its first image in the set, if all batches but the last are of one size.
        opening: The first inputs of the set.
        identity: Identifies the whole set.
    """

    data: GivenData | None
    first: int
    opening: Any
    identity: str


class GatheredPiece(NamedTuple):
    """What was gathered of a piece."""

    arrays: dict[str, np.ndarray]
    size: int
    facts: PassFacts | None
    seconds: float

    def record(self, model: keras.Model, number: int, of: int, piece: Piece) -> PartRecord:
        """Returns the record of the part."""
        structure, leaves = storage.flattened(piece.opening)
        if number == 1:
            self.arrays.update({f"opening.{place}": each for place, each in enumerate(leaves)})
        return PartRecord(
            form=storage.FORM,
            lrdiag=versions(engine_name())["lrdiag"],
            number=number,
            of=of,
            model=fingerprint(model).hex(),
            data=piece.identity,
            engine=engine_name(),
            options={},
            first=piece.first,
            size=self.size,
            seconds=self.seconds,
            opening=structure if number == 1 else None,
            **({} if self.facts is None else vars(self.facts)),
        )


def require_part(part: Any) -> tuple[int, int]:
    """Returns the number of a part, from 1, and the number of parts.

    Raises:
        SettingsError: If there is no such part.
    """
    try:
        number, of = part
        require_count("part", number)
        require_count("part", of)
    except (TypeError, ValueError, LrdiagError) as error:
        raise _no_part(part) from error
    if number > of:
        raise _no_part(part)
    return int(number), int(of)


def _no_part(part: Any) -> SettingsError:
    return SettingsError(
        f"`part` must be the number of the part, from 1, and the number of parts, such as (3, 8). Received: {part!r}"
    )


def batches_of_part(batches: int, number: int, of: int) -> range:
    """Returns the batches of a part. The first part has the first batch.

    Example:
        >>> [batches_of_part(7, number, 3) for number in (1, 2, 3)]
        [range(0, 3), range(3, 5), range(5, 7)]
    """
    return range(-(-(number - 1) * batches // of), -(-number * batches // of))


def _piece_of(given: GivenData, number: int, of: int, batch_size: int) -> Piece:
    batches = count_batches(given, batch_size)
    chosen = batches_of_part(batches, number, of)
    opening, labels = next(labelled_batches(batches_of(given, range(1), batch_size), None, batch_size))
    opening = tree.map_structure(lambda array: np.asarray(array[:OPENING]), opening)
    identity = digest_of(batches, labelled_length(given), labels, *map(np.ascontiguousarray, tree.flatten(opening)))
    data = batches_of(given, chosen, batch_size) if len(chosen) else None
    return Piece(data, chosen.start * len(labels), opening, identity)


def evaluate_piece(
    evaluator: Evaluator,
    piece: Piece,
    *,
    preprocess: Preprocessing | None,
    seed: int,
    progress: Progress,
    display: Display | None = None,
    has_fingerprint: bool = False,
) -> GatheredPiece:
    """Evaluates the images of one part.

    Args:
        evaluator: The evaluator of the model. It may be used for several parts.
        piece: The images.
        preprocess: As in `diagnose_part`.
        seed: As in `diagnose_part`.
        progress: The listener.
        display: As in `diagnose_part`.
        has_fingerprint: Whether the digests of the images are known.
    """
    begun = time.perf_counter()
    gathering, facts = Gathering(piece.first, seed=seed, has_fingerprint=has_fingerprint), None
    if piece.data is not None:
        facts = evaluator.gather(
            gathering,
            piece.data,
            display=display,
            preprocess=preprocess,
            progress=progress,
            opening=piece.opening if piece.first else None,
            first=piece.first,
        )
    return GatheredPiece(gathering.arrays(), gathering.size, facts, time.perf_counter() - begun)


# --- merging ----------------------------------------------------------------------------------------------------------


class _Carried(NamedTuple):
    """What the data of all parts carries, as the data itself did."""

    class_names: tuple[str, ...] | None
    file_paths: tuple[str, ...]
    shuffle: bool | None


def merge(
    parts: Iterable[Part | str | Path],
    *,
    model: keras.Model | None = None,
    history: Any = None,
    range_test: RangeTest | RangeTestFacts | None = None,
    baseline: str | Path | Report | None = None,
    checks: Mapping[str, object] | None = None,
    accept: Mapping[str, str] | None = None,
    name: str = "",
    metadata: Any = None,
    groups: str | tuple[Any, Any] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Makes one report of all parts of an evaluation: the report that `lrdiag.diagnose` would have made.

    The parts are read one after the other. The model is needed once more, to check the heatmaps and to try corrections
    on a sample of the images.

    Example:
        >>> import keras, lrdiag
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> images, labels = np.zeros((40, 8, 8, 3), "uint8"), np.arange(40) % 2
        >>> parts = [lrdiag.diagnose_part(model, images, labels, part=(number, 2)) for number in (2, 1)]
        >>> lrdiag.merge(parts).accuracy
        0.5

    Args:
        parts: All parts, in any order: what `diagnose_part` returned, or the folders that they were saved to.
        model: The model. Defaults to that of the first part.
        history: As in `lrdiag.diagnose`.
        range_test: As in `lrdiag.diagnose`.
        baseline: As in `lrdiag.diagnose`.
        checks: As in `lrdiag.diagnose`.
        accept: As in `lrdiag.diagnose`.
        name: As in `lrdiag.diagnose`.
        metadata: As in `lrdiag.diagnose`.
        groups: As in `lrdiag.diagnose`.
        progress: As in `lrdiag.diagnose`.

    Raises:
        PartError: If a part is missing, repeated or broken, or belongs to another evaluation.
        ModelError: If the model can't be loaded, or is another one.
        LrdiagError: As `lrdiag.diagnose` does.
    """
    check_settings = CheckSettings.of(checks, accept)
    table, given_groups = read_given(metadata, groups)
    ordered = in_order(parts)
    first = ordered[0].record
    found = model_of(ordered[0]) if model is None else model
    reporter = Reporter(
        data=(_Carried(first.carried_names, together(ordered, "carried_files"), first.is_shuffled),),
        progress=progress or SILENCE,
        class_names=first.class_names,
        data_name=name,
        files=together(ordered, "files"),
        metadata=table,
        groups=given_groups,
        settings={"steps": None, **first.options},
        range_test=range_test,
        baseline=None if baseline is None else run_of(baseline),
        check_settings=check_settings,
    )
    return merged(ordered, found, reporter, training_of(history, found, first.options["output"]))


def merged(
    parts: Sequence[AnyPart],
    model: keras.Model,
    reporter: Reporter,
    training: TrainingRun | None,
    described_by: Callable[[Reporter, Evaluated], Reporter] = lambda reporter, _: reporter,
) -> Report:
    """Makes one report of all parts.

    Args:
        parts: All parts, in order.
        model: The model.
        reporter: What the report is made with. The options of the evaluation are those of the parts.
        training: The record of the training run, or `None`.
        described_by: Returns the reporter with what is known of the images after the evaluation.

    Raises:
        LrdiagError: As `merge` does.
    """
    spent = sum(each.record.seconds for each in parts)
    clock = Stopwatch(time.perf_counter() - spent)
    first = parts[0].record
    require_same_model(model, first)
    reporter = replace(reporter, **first.options)
    inspector = Inspector(model, reporter.output)
    inspector.look_at_model()
    evaluator = reporter.evaluator(model)
    evaluated = joined_evaluation(evaluator, parts, progress=reporter.progress)
    reporter = described_by(reporter, evaluated)
    inspector.look_at_layers(Sample(evaluator.first_images, None))
    clock.note("predict_and_explain", spent)
    studied = reporter.studied(evaluator, evaluated, NO_TRAINING_IMAGES)
    report = reporter.report(
        model, evaluated, training=training, studied=studied, seconds=clock.seconds(), inspection=inspector.seen
    )
    return reporter.compared(report)


def joined_evaluation(
    evaluator: Evaluator,
    parts: Sequence[AnyPart],
    *,
    fingerprint_of_images: str | None = None,
    progress: Progress = SILENCE,
) -> Evaluated:
    """Returns the results of all parts, which are read one after the other.

    Args:
        evaluator: The evaluator of the model.
        parts: All parts, in order.
        fingerprint_of_images: The fingerprint, if it is known.
        progress: The listener.

    Raises:
        PartError: If the images of a part have another size, or its file is broken.
    """
    records, shapes = [each.record for each in parts], dict[str, tuple[int, ...]]()
    gathering = Gathering(seed=records[0].options["seed"], has_fingerprint=fingerprint_of_images is not None)
    with progress.stage("Merging the parts", sum(each.size for each in records), "images") as stage:
        for part in parts:
            arrays = part.arrays()
            try:
                storage.require_whole(part.record, arrays)
                _require_shapes(shapes, storage.row_shapes(arrays))
                if part is parts[0]:
                    evaluator.first_images = _opening(part.record, arrays)
                gathering.join(arrays, gathering.size - part.record.first)
            except (LookupError, ValueError, TypeError) as error:
                raise PartError(
                    "The part doesn't have the arrays of its evaluation. Evaluate it again; the others are kept. "
                    f"Received: {described(part)} ({error})"
                ) from error
            stage.advance(part.record.size)
    return evaluator.concluded(gathering, _joined_facts(parts), fingerprint=fingerprint_of_images, progress=progress)


def _require_shapes(known: dict[str, tuple[int, ...]], received: Mapping[str, tuple[int, ...]]) -> None:
    """Raises unless shapes are those of the parts before, `known`, to which new ones are added."""
    for name, shape in received.items():
        if known.setdefault(name, shape) != shape:
            raise ValueError(f"{name!r} has rows of the shape {shape} instead of {known[name]}")


def in_order(parts: Iterable[Part | str | Path]) -> list[AnyPart]:
    """Returns the parts in order, without their arrays.

    Raises:
        PartError: If one is missing, repeated or broken, or belongs to another evaluation.
    """
    if isinstance(parts, str | Path | Part):
        parts = [parts]
    found: list[AnyPart] = [each if isinstance(each, Part) else storage.read(Path(each)) for each in parts]
    if not found:
        raise PartError("There must be at least one part. Received: none")
    ordered = sorted(found, key=lambda each: each.record.number)
    for each in ordered[1:]:
        _require_same_evaluation(ordered[0], each)
    for one, other in pairwise(ordered):
        if one.record.number == other.record.number:
            raise PartError(f"Each part must be given once. Received: {described(one)} and {described(other)}")
    of = ordered[0].record.of
    missing = sorted({*range(1, of + 1)} - {each.record.number for each in ordered})
    if missing:
        named = ", ".join(map(str, missing[:_NAMED])) + (", …" if len(missing) > _NAMED else "")
        raise PartError(
            f"All parts must be given. Evaluate those that are missing. Received: {len(ordered)} of {of}, without "
            f"{plural(len(missing), 'part')}: {named}"
        )
    return ordered


def _require_same_evaluation(one: AnyPart, other: AnyPart) -> None:
    names = {
        "lrdiag": "version of lrdiag",
        "engine": "Keras backend",
        "model": "model",
        "data": "data or its batches",
        "of": "number of parts",
        "class_names": "names of the classes",
        "carried_names": "names of the classes",
    }
    first, second = one.record, other.record
    differing = [
        what for field_name, what in names.items() if getattr(first, field_name) != getattr(second, field_name)
    ]
    differing += [
        f"option {name}" for name in sorted({*first.options, *second.options})
        if first.options.get(name) != second.options.get(name)
    ]  # fmt: skip
    if first.size and second.size and first.image_shape != second.image_shape:
        differing.append(f"size of the images ({first.image_shape} and {second.image_shape})")
    if differing:
        raise PartError(
            "Parts must be of one evaluation: the same model, data, options and versions. Evaluate the part that is of "
            f"another again. Received: {described(one)} and {described(other)}, which differ in the "
            f"{', the '.join(dict.fromkeys(differing))}"
        )


def described(part: AnyPart) -> str:
    """Returns a part in words."""
    name = f"part {part.record.number} of {part.record.of}"
    return f"{name} in {part.folder}" if isinstance(part, storage.SavedPart) else name


def model_of(first: AnyPart) -> keras.Model:
    """Returns the model of the first part.

    Raises:
        ModelError: If it isn't there or can't be loaded.
    """
    if isinstance(first, Part) and first.model is not None:
        return first.model
    file = first.folder / storage.MODEL if isinstance(first, storage.SavedPart) else None
    if file is None or not file.is_file():
        raise ModelError(
            "Merging needs the model, which is in the folder of the first part. Pass it as `model`. "
            f"Received: {described(first)}, without a model"
        )
    return load_model(str(file))


def require_same_model(model: keras.Model, record: PartRecord) -> None:
    """Raises if a model has other weights than that of the parts.

    Raises:
        ModelError: If it has.
    """
    require_keras_model(model)
    if fingerprint(model).hex() != record.model:
        raise ModelError(
            f"The parts must be merged with the model that they evaluated. Received: {model.name!r} with other weights"
        )


def _opening(record: PartRecord, arrays: dict[str, np.ndarray]) -> Any:
    places = range(sum(name.startswith("opening.") for name in arrays))
    return storage.rebuilt(record.opening, [arrays[f"opening.{place}"] for place in places])


def together(parts: Iterable[AnyPart], name: str) -> tuple[Any, ...]:
    """Returns the elements of a field of the records, one part after the other."""
    return tuple(chain.from_iterable(getattr(each.record, name) for each in parts))


def _joined_facts(parts: Sequence[AnyPart]) -> PassFacts:
    records = [each.record for each in parts if each.record.size]
    lows, highs = zip(*(each.value_range for each in records), strict=True)
    return PassFacts(
        image_shape=records[0].image_shape,
        value_range=(min(lows), max(highs)),
        agreement=records[0].agreement,
        data_notes=tuple(dict.fromkeys(together(parts, "data_notes"))),
        pass_notes=tuple(dict.fromkeys(together(parts, "pass_notes"))),
    )
