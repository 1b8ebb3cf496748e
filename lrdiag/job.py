"""The network, the data and the length of the training run of the main job."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lrdiag.backend.tensorflow_only import tensorflow_left_out
from lrdiag.data import load_dataset
from lrdiag.data.ahead import Load
from lrdiag.data.batches import evaluation_batches, training_batches
from lrdiag.data.stages import Stages
from lrdiag.diagnosis.assemble import dataset_facts
from lrdiag.diagnosis.compare import refuse_other_images
from lrdiag.diagnosis.gates import refuse_unknown_classes
from lrdiag.explain.batch_size import LARGEST_BATCH
from lrdiag.models import Network, at_any_size, build_network
from lrdiag.progress import Progress
from lrdiag.record import exchange
from lrdiag.record import folder as run_folder
from lrdiag.record.arrays import Dataset, LabelledImages
from lrdiag.record.facts import DatasetFacts, Run
from lrdiag.settings import Settings
from lrdiag.training.budget import Budget
from lrdiag.training.fit import DEFAULT_RATES, compile_network


@dataclass(frozen=True)
class Job:
    """The network, the data and the length of a training run.

    Attributes:
        settings: The settings.
        dataset: Training, validation and test images.
        facts: The facts of the dataset.
        network: The network, for images of their full size.
        learner: The same network, with the same weights, for the sizes of all stages.
        budget: Batch size and number of epochs.
        stages: The sizes of the training images in the course of training.
    """

    settings: Settings
    dataset: Dataset
    facts: DatasetFacts
    network: Network
    learner: Network
    budget: Budget
    stages: Stages

    @classmethod
    def prepare(cls, settings: Settings, progress: Progress, base: Run | None = None, load: Load = load_dataset) -> Job:
        """Loads the data and builds the network.

        Raises:
            LrdiagError: If the data or the network can't be used, or the data doesn't match the gates or the baseline.
        """
        dataset = load(settings, progress)
        facts = dataset_facts(dataset)
        refuse_other_data(settings, base, facts)
        network = build_network(settings.model, dataset.train, len(dataset.classes))
        budget = Budget.of(settings.batch_size, settings.epochs, len(dataset.train), network.recipe)
        stages = _stages(settings, network, dataset.train, budget)
        learner = network
        if stages.are_several:
            channels, classes = dataset.train.images.shape[3], len(dataset.classes)
            model = at_any_size(network.model, stages.smallest, channels, classes)
            learner = dataclasses.replace(network, model=model)
        return cls(settings, dataset, facts, network, learner, budget, stages)

    @property
    def steps_per_epoch(self) -> int:
        """Number of updates in a pass over the training images."""
        return self.budget.steps_per_epoch(len(self.dataset.train))

    @property
    def largest_batch(self) -> int:
        """Number of images that are evaluated at once, at most. A batch size that the user gave limits it too."""
        return min(LARGEST_BATCH, self.settings.batch_size or LARGEST_BATCH)

    def batches(self, first_epoch: int = 0) -> Any:
        """Returns the training batches without end, the same ones each time.

        Args:
            first_epoch: The epoch to begin with, counted from 0.
        """
        return training_batches(
            self.dataset.train,
            batch_size=self.budget.batch_size,
            augment=self.settings.augment,
            seed=self.settings.seed,
            stages=self.stages if self.stages.are_several else None,
            start=first_epoch * self.steps_per_epoch,
        )

    def validation_batches(self, step: Callable[[], int]) -> Any:
        """Returns the validation images in batches.

        Args:
            step: Returns the number of the current step, whose stage determines the size of the images.
        """
        size = (lambda: self.stages.size_at(step())) if self.stages.are_several else None
        return evaluation_batches(self.dataset.validation, self.largest_batch, size)

    def save_model(self) -> str:
        """Saves the model, compiled without lrdiag's schedules, so that Keras loads it without lrdiag.

        Returns:
            Its name in the run folder, until the report is written.
        """
        compile_network(self.network, self.settings.optimizer, DEFAULT_RATES[self.settings.optimizer])
        model = self.network.model
        model.optimizer.build(model.trainable_variables)  # otherwise Keras warns when it loads the model
        place = exchange.place_for_model(self.settings.out)
        with run_folder.replacing(place) as temporary, tensorflow_left_out():
            model.save(temporary)
        return exchange.model_is_saved(self.settings.out, place)

    def how_to_go_on(self, model: str) -> str:
        """Returns where the trained model is, and the command that evaluates it.

        Args:
            model: Its name in the run folder.
        """
        file = self.settings.out / model
        data = "digits" if self.facts.fallback else self.settings.data
        given = {"--data": data, "--data-dir": None if data == "digits" else self.settings.data_dir}
        options = [str(each) for option, value in given.items() if value is not None for each in (option, value)]
        command = shlex.join(["lrdiag", "diagnose", str(file), *options])
        return f"The trained model is in {file}. `{command}` evaluates it and writes a report."

    def settings_shown(self) -> dict[str, Any]:
        """Returns the settings that the page shows, defaults filled in."""
        shown = (
            "data",
            "image_column",
            "label_column",
            "model",
            "seed",
            "limit_train",
            "limit_test",
            "optimizer",
            "schedule",
            "mixed_precision",
        )
        columns = {name: getattr(self.settings, name) for name in ("image_column", "label_column")}
        return {
            "resize": self.settings.resize,
            **{name: column for name, column in columns.items() if column is not None},
            **{name: getattr(self.settings, name) for name in shown},
            **vars(self.budget),
            "progressive": self.stages.are_several,
            "augment": ",".join(self.settings.augment) or "none",
            "learning_rate": str(self.settings.learning_rate),
        }


def _stages(settings: Settings, network: Network, train: LabelledImages, budget: Budget) -> Stages:
    height, width = train.images.shape[1:3]
    steps = budget.epochs * budget.steps_per_epoch(len(train))
    is_progressive = network.recipe.is_progressive if settings.progressive is None else settings.progressive
    return (Stages.of if is_progressive else Stages.none)((height, width), steps)


def refuse_other_data(settings: Settings, base: Run | None, facts: DatasetFacts) -> None:
    """Raises before anything slow if the data doesn't match the gates or the baseline.

    Raises:
        SettingsError: If a gate names an unknown class.
        ComparisonError: If the baseline has other test images or classes.
    """
    refuse_unknown_classes(settings.gates, facts.classes)
    if base:
        refuse_other_images(base.diagnosis.dataset, facts)
