"""Studies the images and labels of a run after its model was evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from lrdiag.diagnosis.copying import find_copies
from lrdiag.diagnosis.evidence import OF_IMAGES, given
from lrdiag.diagnosis.metadata import GivenGroups, joined
from lrdiag.diagnosis.metadata_table import MetadataTable
from lrdiag.diagnosis.scores import training_sample
from lrdiag.diagnosis.study import Studied, study
from lrdiag.errors import LrdiagError
from lrdiag.evaluation.evaluated import Evaluated
from lrdiag.evaluation.evaluator import Evaluator
from lrdiag.evaluation.training_images import TrainingImages, choose, most_images
from lrdiag.experiments.experimenting import experiment
from lrdiag.inspection.images import GivenImages
from lrdiag.progress import SILENCE, Progress
from lrdiag.record.data_facts import DataFacts
from lrdiag.record.facts import TrainingSample
from lrdiag.record.observed import ImageSet
from lrdiag.threads import beside
from lrdiag.vocabulary import Preprocessing


class EvaluatedTrainingImages(NamedTuple):
    """Training images with the predictions of the trained model, or `None` and the reason."""

    images: TrainingImages | None
    reason: str = ""

    @property
    def sample(self) -> TrainingSample | None:
        """Figures of the images, or `None`."""
        return None if self.images is None else training_sample(self.images.predictions)


NO_TRAINING_IMAGES = EvaluatedTrainingImages(None, "the training data was not available")


def evaluate_training_images(
    evaluator: Evaluator,
    given: GivenImages | None,
    known: ImageSet | None,
    evaluated: Evaluated,
    *,
    output: str | int | None = None,
    preprocess: Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
    progress: Progress = SILENCE,
) -> EvaluatedTrainingImages:
    """Predicts training images with the trained model.

    Args:
        evaluator: The evaluator of the model.
        given: The training data, or `None`.
        known: What is known of it, or `None` if it can't be read.
        evaluated: The results on the test set.
        output: The output that is evaluated.
        preprocess: How the images were scaled.
        class_names: Name of each class, for labels that are names.
        progress: The listener.
    """
    if given is None or known is None:
        return NO_TRAINING_IMAGES
    most = most_images(len(evaluated.predictions.labels), evaluated.image_shape)
    try:
        chosen = choose(given, known, most, output=output, class_names=class_names)
        return EvaluatedTrainingImages(evaluator.tabulate(chosen, preprocess=preprocess, progress=progress))
    except LrdiagError as error:  # findings name labels that don't fit
        return EvaluatedTrainingImages(None, f"the training images can't be evaluated ({error})")
    except Exception as error:  # a dataset of the user may raise anything
        return EvaluatedTrainingImages(None, f"reading the training data failed ({type(error).__name__}: {error})")


def studied(
    evaluator: Evaluator,
    evaluated: Evaluated,
    training: EvaluatedTrainingImages,
    *,
    classes: Sequence[str],
    files: tuple[str, ...],
    metadata: MetadataTable | None = None,
    groups: GivenGroups | None = None,
    progress: Progress = SILENCE,
) -> Studied:
    """Studies images and labels.

    Args:
        evaluator: The evaluator of the model.
        evaluated: Its results on the test set.
        training: The training images.
        classes: Name of each class.
        files: The file of each test image, or empty.
        metadata: What else is known of each image, or `None`.
        groups: The groups of the images, or `None`.
        progress: The listener.

    Raises:
        DataError: If metadata or groups do not belong to the images.
    """
    test = given(evaluated.images)
    test = replace(test, files=tuple(files[index] for index in test.indices) if files else ())
    table = None if training.images is None else training.images.table
    why = training.reason if training.images is None else training.images.reason
    known = None if metadata is None else joined(metadata, test, table)
    of_images = None if groups is None else groups.of_images(known, test, table)
    with (
        progress.stage("Studying images and labels"),
        beside(lambda: find_copies(test, table, of_images)) as copies,
    ):
        made = experiment(evaluator.scores, test, table, classes)
        facts = study(
            test,
            table,
            classes,
            copies=copies,
            experiments=made,
            metadata=known,
            reasons={"training_images": why} if why else {},
        )
    return Studied(facts, test, table, training.sample, made.changed)


def not_studied(reason: str, training: EvaluatedTrainingImages) -> Studied:
    """Returns what is known if images and labels are not studied; `reason` completes "not checked: …"."""
    return Studied(DataFacts(reasons=dict.fromkeys(OF_IMAGES, reason)), train_sample=training.sample)
