"""A model of one's own, judged: `diagnose`, and the report that it returns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrdiag.errors import DataError
from lrdiag.progress import Progress
from lrdiag.record.facts import (
    RangeTestFacts,
    Seconds,
)
from lrdiag.report.report import Report, build_report, facts_of, run_facts, run_of

if TYPE_CHECKING:
    import keras

    from lrdiag.evaluation.evaluator import Evaluated
    from lrdiag.evaluation.keeper import Display
    from lrdiag.rate.range_test import RangeTest
    from lrdiag.vocabulary import Preprocessing


def diagnose(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    history: Any = None,
    range_test: RangeTest | RangeTestFacts | None = None,
    display: Display | None = None,
    preprocess: Preprocessing | None = None,
    output: str | int | None = None,
    baseline: str | Path | Report | None = None,
    name: str = "",
    files: Sequence[str] = (),
    batch_size: int = 256,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Judges a model on a test set: what it gets right and wrong, and where it looks when it is wrong.

    One pass over the data, predictions and heatmaps together; of the images, only the misclassified are kept. The model
    is not changed. It may return probabilities, logits, or one number for two classes.

    Example:
        >>> import keras, lrdiag
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> images, labels = generator.random((40, 8, 8, 1), "float32"), generator.integers(0, 3, 40)
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, activation="softmax"),
        ... ])
        >>> report = lrdiag.diagnose(model, images, labels, class_names=["ant", "bee", "cow"])
        >>> len(report.heatmaps.indices) == report.diagnosis.misclassified.count
        True

    Args:
        model: A Keras model of images that returns one score per class.
        x: Images as the model takes them, an array of shape `(n, height, width, channels)`, `uint8` or float, or a nest
            of arrays; or a `tf.data.Dataset`, `keras.utils.PyDataset` or iterable of batches `(images, labels)`.
        y: Labels, where `x` is arrays: class indices `(n,)`, or one row per image.
        class_names: The name of each class; their numbers by default.
        history: What `model.fit` returned, so that the page shows how training went.
        range_test: What `find_lr` returned, so that the page shows how the rate was chosen.
        display: The pictures to show where the model takes something else: a `uint8` array, one for each image, or a
            function from a batch of inputs to them.
        preprocess: What was done to the pictures before they reached the model, to be undone where they are shown:
            `"raw"`, `"0..1"`, `"-1..1"`, `"torch"`, `"caffe"` or `"standardized"`. By default it is read off their
            values.
        output: Which output, where the model has several: its name or its place.
        baseline: An earlier report on the same images, its run folder or its report.json, to compare with.
        name: What the data is called in the report.
        files: The file that each image was read from, where they have one.
        batch_size: Images in one pass, where `x` is arrays.
        seed: Of the sample of mistakes whose heatmaps are tested.
        progress: Who listens; nobody by default.

    Returns:
        The report.

    Raises:
        DataError: If images, labels, names, pictures or history do not belong together.
        ModelError: If the model does not return one score per class, or has several outputs and none is named.
        SettingsError: If an argument is outside its range.
        ComparisonError: If the baseline was judged on other images.
        RunFolderError: If the baseline cannot be read.
    """
    from lrdiag.evaluation.evaluator import Evaluator
    from lrdiag.training.history import training_of

    training = training_of(history, model)
    base = None if baseline is None else run_of(baseline)
    started = time.perf_counter()
    evaluator = Evaluator(model, output=output, batch_size=batch_size)
    evaluated = evaluator.evaluate(x, y, display=display, preprocess=preprocess, seed=seed, progress=progress)
    seconds = Seconds(predict_and_explain=time.perf_counter() - started)
    names = class_names_of(class_names, evaluated.predictions.log_probabilities.shape[1])
    report = build_report(
        evaluated,
        facts_of(evaluated, names, name),
        run=run_facts(model, evaluated, {"preprocess": preprocess, "output": output, "seed": seed}),
        training=training,
        range_test=range_test,
        files=_files(files, evaluated),
        seed=seed,
        seconds=seconds,
    )
    return report.compared_with(base) if base else report


def class_names_of(names: Sequence[str] | None, classes: int) -> list[str]:
    """The names of so many classes as they were given, or the numbers of the classes.

    Raises:
        DataError: If there is not one name for each class.
    """
    if names is None:
        return [str(index) for index in range(classes)]
    if isinstance(names, str) or len(names) != classes:
        raise DataError(
            f"`class_names` must name each class that the model scores, {classes} of them, in its order. "
            f"Received: {len(names)} names" + (", in one string" if isinstance(names, str) else "")
        )
    return [str(each) for each in names]


def _files(files: Sequence[str], evaluated: Evaluated) -> tuple[str, ...]:
    size = len(evaluated.predictions.labels)
    if len(files) not in (0, size):
        raise DataError(f"`files` must name one file for each image. Received: {len(files)} names for {size} images")
    return tuple(str(file) for file in files)
