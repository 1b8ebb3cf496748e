"""What `model.predict` and `model.evaluate` compute, without a trace in the model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import tree
from keras.src.trainers.compile_utils import CompileLoss, CompileMetrics

from lrdiag.backend.engine import engine
from lrdiag.backend.seeds import RandomState

_DEFAULT_THRESHOLD = 0.5
_MISSING: Any = object()


class Inference:
    """The outputs of a model for a batch, computed as `model.predict` computes them.

    The preprocessor of a KerasHub model and a `predict_step` of the user's own are part of it. It can be compiled.

    Args:
        model: The model.
        example: An input for one image, to find out what its `predict_step` takes.
    """

    def __init__(self, model: keras.Model, example: Any) -> None:
        self.model = model
        self._prepare: Callable[..., Any] | None = getattr(model, "preprocess_samples", None)
        self._has_own_step = overrides(model, "predict_step")
        self.takes_tuples = self._has_own_step and self._is_rejected(example)

    @property
    def is_plain(self) -> bool:
        """Whether `model.predict` does nothing but call the model."""
        return self._prepare is None and not self._has_own_step

    def __call__(self, inputs: Any) -> Any:
        """The outputs for a batch, a nest of tensors."""
        if self._prepare is not None:
            inputs = keras.utils.unpack_x_y_sample_weight(self._prepare(inputs))[0]
        if not self._has_own_step:
            return self.model(inputs, training=False)
        inputs = tree.map_structure(keras.ops.convert_to_tensor, inputs)
        data = (inputs,) if self.takes_tuples else keras.utils.pack_x_y_sample_weight(inputs)
        return engine().predict_step(self.model, data)

    def _is_rejected(self, example: Any) -> bool:
        """Whether `predict_step` fails on bare inputs, but takes the tuple that a dataset gives."""
        self.takes_tuples = False
        try:
            self(example)
        except Exception as error:
            self.takes_tuples = True
            try:
                self(example)
            except Exception:
                raise error from None
            return True
        return False


def prepares(model: keras.Model) -> bool:
    """Whether `fit` and `predict` of a model prepare the images before they are batched, as those of KerasHub do."""
    return hasattr(model, "preprocess_samples") and getattr(model, "preprocessor", model) is not None


def prepared(model: keras.Model, inputs: Any, labels: Any) -> tuple[Any, Any]:
    """Returns inputs and labels as a model that `prepares` them passes them to its layers, nests of arrays."""
    if not prepares(model):
        return inputs, labels
    inputs, labels, _ = keras.utils.unpack_x_y_sample_weight(model.preprocess_samples(inputs, labels))
    return tuple(tree.map_structure(keras.ops.convert_to_numpy, (inputs, labels)))


def overrides(model: keras.Model, method: str) -> bool:
    """Whether the class of the model, or the model itself, has a method of its own in place of Keras's."""
    return getattr(getattr(model, method), "__func__", None) is not getattr(keras.Model, method)


def predict(inference: Inference, inputs: Any, times: int = 1) -> list[Any]:
    """Returns `model.predict(inputs)`, a nest of arrays, of each of several calls.

    `model.predict` fails for arrays if `predict_step` takes tuples, so `model.predict_on_batch` replaces it.
    """
    model, size = inference.model, len(tree.flatten(inputs)[0])
    with unnoticed(model):
        if inference.takes_tuples:
            return [model.predict_on_batch(inputs) for _ in range(times)]
        return [model.predict(inputs, batch_size=size, verbose=0) for _ in range(times)]


def evaluate(model: keras.Model, inputs: Any, labels: np.ndarray, accuracy: keras.Metric) -> tuple[float, float]:
    """Returns the loss of `model.evaluate(inputs, labels)` and the regularization losses that it contains.

    Args:
        model: A compiled model with one output.
        inputs: A batch of inputs.
        labels: Its labels, as the compiled loss takes them.
        accuracy: Is measured in place of the model's own metrics, whose states stay as they are.
    """
    with unnoticed(model, accuracy):
        logs = model.evaluate(inputs, labels, batch_size=len(labels), verbose=0, return_dict=True)
        return float(logs["loss"]), float(sum(float(each) for each in model.losses))


def binary_threshold(model: keras.Model) -> float | None:
    """The output of a single unit above which the compiled accuracy counts the second class; `None` without one."""
    metrics = tree.flatten(getattr(getattr(model, "_compile_metrics", None), "_user_metrics", None))
    chosen = {each._fn_kwargs["threshold"] for each in metrics if isinstance(each, keras.metrics.BinaryAccuracy)}
    chosen |= {_DEFAULT_THRESHOLD for each in metrics if each in ("accuracy", "acc", "binary_accuracy")}
    return float(chosen.pop()) if len(chosen) == 1 else None


def has_loss_weights(model: keras.Model) -> bool:
    """Whether the compiled loss is multiplied by a weight."""
    return getattr(getattr(model, "_compile_loss", None), "_user_loss_weights", None) is not None


def with_logits(outputs: Any, logits: Any) -> Any:
    """Marks the outputs of a softmax or sigmoid with their logits, which the losses of Keras use if they are there."""
    if logits is not None:
        outputs._keras_logits = logits
    return outputs


@contextmanager
def unnoticed(model: keras.Model, *metrics: keras.Metric, training: bool = False) -> Iterator[None]:
    """Runs `predict` or `evaluate` eagerly, which saves the time to trace it, and restores everything that they change.

    The compiled loss and metrics are replaced by new ones inside the block, because Keras builds them for the labels
    that they see first.

    Args:
        model: The model.
        *metrics: Metrics to measure in place of the model's own.
        training: Whether the model is also called in training mode.
    """
    replaced = {"_run_eagerly": True, "predict_function": None, "test_function": None}
    replaced |= {"stop_predicting": False, "stop_evaluating": False, "_compile_metrics": CompileMetrics(metrics, None)}
    if (loss := getattr(model, "_compile_loss", None)) is not None:
        replaced["_compile_loss"] = CompileLoss(
            loss._user_loss, loss._user_loss_weights, output_names=loss.output_names
        )
    own = {name: vars(model).get(name, _MISSING) for name in replaced}
    try:
        for name, value in replaced.items():
            object.__setattr__(model, name, value)  # `Layer.__setattr__` would track them
        with state_kept(model, training=training), undistributed(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, value in own.items():
            if value is not _MISSING:
                object.__setattr__(model, name, value)
            elif name in vars(model):
                object.__delattr__(model, name)


@contextmanager
def undistributed() -> Iterator[None]:
    """Lets Keras take batches of any size inside the block.

    With `keras.distribution`, it divides each batch among the devices, and fails if their number doesn't divide it.
    """
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


@contextmanager
def state_kept(model: keras.Model, *, training: bool = False) -> Iterator[None]:
    """Restores what calling the model changes.

    Two calls of a random model in two such blocks give the same.

    Args:
        model: The model.
        training: Whether the model is also called in training mode. There, a layer may change any weight, as
            `SpectralNormalization` does.
    """
    randomness = RandomState()
    changed = (*model.variables, *model.metrics_variables) if training else _changed_by_inference(model)
    before = [(each, keras.ops.copy(each)) for each in changed]
    try:
        with engine().inferring(model):
            yield
    finally:
        for variable, value in before:
            variable.assign(value)
        randomness.restore()


def _changed_by_inference(model: keras.Model) -> list[keras.Variable]:
    """Metrics, random seeds, and variables that no optimizer trains, such as moving statistics."""
    # Private, because a layer that is frozen counts all its weights as non-trainable, and copies of them are costly.
    trained = {id(each) for layer in model._flatten_layers() for each in layer._trainable_variables}
    variables = {id(each): each for each in (*model.variables, *model.metrics_variables)}
    return [each for key, each in variables.items() if key not in trained]
