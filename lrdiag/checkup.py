"""`check`: the findings about a model and its data that need no training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lrdiag.data.inputs import unpacked
from lrdiag.diagnosis.check_settings import CheckSettings
from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.checking import Checked, check_early
from lrdiag.errors import DataError, require_count
from lrdiag.inspection.images import GivenImages
from lrdiag.inspection.inspector import Inspector
from lrdiag.models.accepted import require_keras_model

if TYPE_CHECKING:
    import keras

    from lrdiag.record.facts import MadeBy


def check(
    model: keras.Model,
    data: Any,
    *,
    validation_data: Any = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    shuffle: bool = True,
    class_weight: Mapping[int, float] | None = None,
    output: str | int | None = None,
    checks: Mapping[str, object] | CheckSettings | None = None,
    accept: Mapping[str, str] | None = None,
) -> Checked:
    """Checks a model and its training data before it is trained, with one forward and backward pass over a few images.

    The model is not changed. If it isn't built, it is built by calling it.

    Example:
        >>> import keras, lrdiag
        >>> import numpy as np
        >>> images, labels = np.random.default_rng(0).random((60, 8, 8, 1), "float32"), np.arange(60) % 3
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 1)), keras.layers.Conv2D(8, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, activation="softmax"),
        ... ])
        >>> model.compile("adam", "sparse_categorical_crossentropy")
        >>> assert not lrdiag.check(model, (images, labels)).errors

    Args:
        model: A Keras model that takes images. Without a loss and an optimizer, most checks can't be made.
        data: The training data as `model.fit` takes it: `(x, y)` or `(x, y, sample_weight)`, or a `tf.data.Dataset`,
            `keras.utils.PyDataset` or list of batches. A dataset is read for half a second.
        validation_data: The validation data in the same forms, to compare with.
        batch_size: As in `model.fit`, if `data` is arrays. Defaults to 32.
        epochs: As in `model.fit`. Without it, the number of updates is unknown, and rules that need it are not checked.
        shuffle: As in `model.fit`.
        class_weight: As in `model.fit`.
        output: Name or index of the output to look at, if the model has several.
        checks: See `lrdiag.diagnose`.
        accept: See `lrdiag.diagnose`.

    Returns:
        The findings, and the result of every check.

    Raises:
        DataError: If `data` can't be read, or only once.
        ModelError: If `model` isn't a Keras model.
        SettingsError: If an argument is outside its range.
    """
    require_keras_model(model)
    for name, value in (("batch_size", batch_size), ("epochs", epochs)):
        if value is not None:
            require_count(name, value)
    x, y, weights = unpacked(data)
    weighted = weights is not None or class_weight is not None
    training = GivenImages("`data`", x, y, batch_size, shuffle, weighted)
    validation = None if validation_data is None else GivenImages("`validation_data`", *unpacked(validation_data)[:2])
    return checked(model, training, validation, epochs, settings=CheckSettings.of(checks, accept), output=output)


def checked(
    model: keras.Model,
    training: GivenImages,
    validation: GivenImages | None,
    epochs: int | None,
    *,
    settings: CheckSettings,
    output: str | int | None = None,
    made_by: MadeBy = "diagnose",
) -> Checked:
    """Does what `check` does, with data that was already described.

    Raises:
        DataError: If the training data can't be read.
    """
    inspector = Inspector(model, output)
    inspector.look_at_model()
    inspector.look_at_data(training, validation)
    seen = inspector.seen.training_data
    if seen is None:
        raise DataError(
            "The training data must be arrays with their labels, or a dataset that can be read more than once. "
            f"Received: {type(training.x).__name__}: {inspector.seen.reasons['training_data']}"
        )
    steps = math.ceil(seen.size / seen.batch_size) if seen.size and seen.batch_size else None
    inspector.look_at_start(steps * epochs if steps and epochs else None)
    evidence = Evidence(inspection=inspector.seen, maker=made_by)
    return check_early(evidence, "before training", settings=settings)
