"""A model as Grad-CAM needs it: one output, and logits instead of probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import keras
import numpy as np
from keras import ops, tree

from lrdiag.backend.compiler import is_computed
from lrdiag.backend.graph import parts
from lrdiag.backend.tap import Call, all_calls, exchanged, may_end_in_function, without_function
from lrdiag.errors import DataError, ModelError
from lrdiag.explain.grids import Grid, grids_of
from lrdiag.explain.loss import says_from_logits
from lrdiag.explain.pictures import pictures_of
from lrdiag.record.arrays import is_probability

_NEARLY_ONE = 1 - 1e-7  # float32 has no finite logit for larger probabilities
_ENOUGH = 8  # images; of as many logits, one is very probably outside of 0–1
SAMPLE = 4
"""Number of images that dependences are decided on."""
_SCALES = (1.0, 100.0, 0.01)  # of the noise that replaces features, in standard deviations of these
_LARGEST = 6e4  # float16 has no larger values
_ROUNDING = 1e-2  # of half precision, as a share of the largest value of a row
Activation = Literal["none", "softmax", "sigmoid", "log_softmax", "log_sigmoid"]
_ACTIVATIONS: dict[Activation, Callable[[Any], Any]] = {
    "softmax": keras.activations.softmax,
    "sigmoid": keras.activations.sigmoid,
    "log_softmax": keras.activations.log_softmax,
    "log_sigmoid": keras.activations.log_sigmoid,
}


@dataclass(frozen=True, eq=False)
class Step:
    """One call of a layer.

    Attributes:
        layer: The layer, or a bare operation of `keras.ops` in a Functional model.
        shape: The shape of its output, without the batch.
        rows: The length of its output along the batch, for one image: more than 1 if patches or frames are part of it.
        is_new: Whether the output is a new tensor, not the output of a layer inside or before it.
    """

    layer: keras.Operation
    shape: tuple[int, ...]
    rows: int
    is_new: bool


class OpenedModel:
    """A model that is called without the softmax or sigmoid at its end. It is neither cloned nor changed.

    Attributes:
        model: The model.
        sample: Inputs of a few images: those that were given, or noise.
        head: The layer that converts logits to probabilities; `None` if the model returns logits.
        activation: What that layer computes from logits.
        returns_probabilities: Whether the model returns probabilities.
        is_closed: Whether it returns probabilities, but no layer that could be removed computes them.
        steps: The calls of layers, in the order in which they returned: layers inside a layer come before it.
        units: Number of values that the model returns for an image.
        classes: Number of classes that it scores; a single logit scores two.

    Args:
        model: Any Keras model.
        sample: Inputs of one image or more, of which the first `SAMPLE` are used: an array, or a nest of arrays.
        output: The output to use if the model has several: its name or its index.
        images: Inputs to infer from whether a single unit is a probability or a logit, if nothing else determines it.

    Raises:
        ModelError: If there is no such output, or it is not one score per class.
    """

    def __init__(self, model: keras.Model, sample: Any, output: str | int | None = None, *, images: Any = None) -> None:
        self.model, self.output = model, output
        self.sample = tree.map_structure(lambda array: ops.convert_to_numpy(array[:SAMPLE]), sample)
        one = tree.map_structure(lambda array: array[:1], self.sample)
        if not model.built:
            self._call(one)  # creates the layers that exist only after the first call
        calls: list[Call] = []
        with all_calls((part for _, part in parts(model)), calls.append):
            output_for_one = self._call(one)
        final = _array(output_for_one)
        if final.ndim != 2:
            raise ModelError(
                "The output must contain one score per class, with the shape (n, classes). "
                f"Received: a model whose output has the shape {('n', *final.shape[1:])}"
            )
        self.steps = _steps(calls)
        self.units = final.shape[1]
        self.classes = max(2, self.units)
        self.head, self.activation = self._find_head([call for call in calls if _gave(call, output_for_one)])
        self.is_closed = not self.head and self._is_probability(images)
        self.returns_probabilities = self.head is not None or self.is_closed

    @classmethod
    def of(cls, model: keras.Model, images: Any, output: str | int | None = None) -> OpenedModel:
        """Opens a model with the first of `images`."""
        return cls(model, images, output, images=images)

    def __call__(self, inputs: Any) -> Any:
        """Scores of the classes, a float32 tensor of shape `(n, classes)`.

        A single logit `z` is evidence for the second class and against the first: the scores are `-z` and `z`.
        """
        with without_function(self.head):
            scores = ops.cast(self._call(inputs), "float32")
        if self.units > 1:
            return scores
        if self.is_closed:
            scores = 2 * ops.arctanh(ops.clip(2 * scores - 1, -_NEARLY_ONE, _NEARLY_ONE))  # the inverse of the sigmoid
        return ops.concatenate([-scores, scores], axis=1)

    def logits(self, scores: np.ndarray) -> np.ndarray:
        """Logits whose softmax is the probability of each class, from scores of shape `(n, classes)`.

        The maximum of each row is 0 or below, so no row sums to one and is mistaken for probabilities.
        """
        if self.is_closed and self.units > 1:
            return np.asarray(np.log(np.maximum(scores, np.finfo(np.float32).tiny)))
        logits = scores.astype(np.float64) / (2 if self.units == 1 else 1)
        return np.asarray(logits - logits.max(axis=1, keepdims=True))

    def refuse_unknown_classes(self, classes: np.ndarray) -> None:
        """Raises if the model does not score one of `classes`.

        Raises:
            DataError: If it does not.
        """
        if not ((classes >= 0) & (classes < self.classes)).all():
            raise DataError(
                f"A class must be 0 to {self.classes - 1}: the model scores {self.classes}. "
                f"Received: classes {classes.min()} to {classes.max()}"
            )

    def returned_by(self, layer: keras.Operation) -> Any:
        """The output of `layer` for the sample; `None` if the model does not call it."""
        calls: list[Call] = []
        with all_calls([layer], calls.append):
            self(self.sample)
        return calls[-1].output if calls else None

    def depends_on(self, *layers: keras.Operation) -> bool:
        """Whether the scores of the sample change if the outputs of the layers are replaced by noise.

        A softmax or a ReLU may hide the change, so noise of several scales is drawn, each with both signs.
        """
        return any(self._changes(dict.fromkeys(layers, _noise_at(scale))) for scale in _SCALES)

    @property
    def explains_probabilities(self) -> bool:
        """Whether the scores are probabilities although there may be a softmax that was removed."""
        return self.is_closed or (self.units > 1 and self.head is not None and is_probability(self.undisturbed))

    @cached_property
    def grids(self) -> dict[Step, Grid]:
        """How the output of each of `steps` lies over the image, of those whose axes are the image's."""
        return grids_of(self)

    @cached_property
    def others(self) -> tuple[Any, np.ndarray]:
        """The sample with noise in all pictures, and its scores."""
        inputs = self.sample
        for picture in pictures_of(self.model, inputs):
            inputs = picture.replaced(inputs)
        return inputs, _array(self(inputs))

    @cached_property
    def undisturbed(self) -> np.ndarray:
        """The scores of the sample, of shape `(images, classes)`."""
        return _array(self(self.sample))

    def _changes(self, exchanges: Mapping[keras.Operation, Callable[[Any], Any]]) -> bool:
        before = self.undisturbed
        with exchanged(exchanges):
            after = _array(self(self.sample))
        return not np.isfinite(before).any() or bool(((after != before) & np.isfinite(after)).any())

    def _find_head(self, last: list[Call]) -> tuple[keras.Operation | None, Activation]:
        """Returns the layer whose removal leaves logits, and the function of these that the model returns.

        Args:
            last: The calls that returned what the model returned, apart from reshaping and casting.
        """
        candidates = [call.layer for call in reversed(last) if may_end_in_function(call)]
        if not candidates or not _may_be_probabilities(self._returned):
            return None, "none"
        for layer in candidates:
            with without_function(layer):
                logits = _array(self._call(self.sample))
            if logits.shape == self._returned.shape and (logits != self._returned).any():
                activation = _activation_between(logits, self._returned)
                if activation != "none":
                    return layer, activation
        return None, "none"

    @cached_property
    def _returned(self) -> np.ndarray:
        """What the model returns for the sample, of shape `(images, units)`."""
        return _array(self._call(self.sample))

    def _is_probability(self, images: Any) -> bool:
        """Whether a model without a removable softmax or sigmoid returns probabilities."""
        if self.units > 1:
            return is_probability(self._returned)
        takes_logits = says_from_logits(self.model, self.output)
        final = self._returned
        if takes_logits is None and images is not None and len(tree.flatten(images)[0]) >= _ENOUGH:
            final, takes_logits = _array(self._call(images)), False
        return takes_logits is False and bool((final >= 0).all() and (final <= 1).all())

    def _call(self, inputs: Any) -> Any:
        outputs = self.model(inputs, training=False)
        if self.output is None and len(tree.flatten(outputs)) == 1:
            return tree.flatten(outputs)[0]
        named = _named(outputs, getattr(self.model, "output_names", None))
        if self.output not in named:
            raise ModelError(
                f"`output=` must name the model's output to explain, one of {', '.join(map(repr, named))}. "
                f"Received: output={self.output!r}"
            )
        return named[self.output]


def _named(outputs: Any, names: list[str] | None) -> dict[str | int, Any]:
    if isinstance(outputs, dict):
        return dict(outputs)
    listed = outputs if isinstance(outputs, list | tuple) else [outputs]
    return dict(enumerate(listed)) | dict(zip(names or (), listed, strict=False))


def _steps(calls: list[Call]) -> list[Step]:
    return [
        Step(
            call.layer,
            tuple(call.output.shape[1:]),
            rows=call.output.shape[0] if call.output.shape else 0,
            is_new=all(call.output is not earlier.output for earlier in calls[:place]),
        )
        for place, call in enumerate(calls)
        if hasattr(call.output, "shape") and is_computed(call.output)
    ]


def _gave(call: Call, final: Any) -> bool:
    """Whether the call returned `final`, apart from reshaping and casting."""
    if not hasattr(call.output, "shape") or not is_computed(call.output):
        return False
    if np.prod(call.output.shape) != np.prod(final.shape):
        return False
    dtypes = {keras.backend.standardize_dtype(each.dtype) for each in (call.output, final)}
    tolerance = 0.0 if len(dtypes) == 1 else _ROUNDING
    return np.allclose(_array(call.output).ravel(), _array(final).ravel(), rtol=tolerance, atol=0, equal_nan=True)


def _may_be_probabilities(values: np.ndarray) -> bool:
    """Whether the values may be probabilities, or the logarithms of such."""
    return not ((values < 0) | (values > 1)).any() or not (values > 0).any()


def _activation_between(logits: np.ndarray, returned: np.ndarray) -> Activation:
    """The activation that gives what the model returned, within the rounding of half precision."""
    of_one_unit = logits.shape[1] == 1
    tolerance = _ROUNDING * np.abs(np.nan_to_num(returned)).max(axis=1, keepdims=True)
    for name, function in _ACTIVATIONS.items():
        if not (of_one_unit and "softmax" in name):  # the softmax of one unit is always 1
            computed = _array(function(ops.convert_to_tensor(logits)))
            same = (np.abs(computed - returned) <= tolerance) | (np.isnan(computed) & np.isnan(returned))
            if same.all():
                return name
    return "none"


def _noise_at(scale: float) -> Callable[[Any], Any]:
    """Returns a function that replaces features by noise; the second half of the images has the opposite signs."""
    generator = np.random.default_rng(0)

    def noise(output: Any) -> Any:
        features = _array(output)
        spread = features.std() or 1.0
        half = generator.normal(size=((len(features) + 1) // 2, *features.shape[1:]))
        both = np.concatenate([half, -half])[: len(features)] * min(scale * spread, _LARGEST / 10)
        return ops.cast(both, output.dtype)

    return noise


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))
