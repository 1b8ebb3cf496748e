"""A model as Grad-CAM needs it: one output, and logits instead of probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from lrdiag.backend.engine import engine
from lrdiag.backend.graph import parts
from lrdiag.backend.inference import Inference, binary_threshold, state_kept
from lrdiag.backend.tap import Call, all_calls, exchanged, may_end_in_function, without_function
from lrdiag.errors import DataError, ModelError
from lrdiag.explain.features import features_of, last_weighted
from lrdiag.explain.grids import Grid, grids_of
from lrdiag.explain.loss import compiled_loss, is_distance, is_hinge, takes_logits
from lrdiag.explain.outputs import Activation, Outputs, activated
from lrdiag.record.arrays import Predictions, is_probability

_NEARLY_ONE = 1 - 1e-7  # float32 has no finite logit for larger probabilities
_ENOUGH = 8  # images; of as many logits, one is very probably outside of 0–1
_HALF = 0.5
SAMPLE = 4
"""Number of images that dependences are decided on."""
_SCALES = (1.0, 100.0, 1e4, 0.01)  # of the noise that replaces features, in standard deviations of these
_LARGEST = 6e3  # float16 has no values above 65,504
_ROUNDING = 1e-4  # of outputs, as a share of the largest value of a row
_ROUNDING_OF_HALVES = 1e-2
_ACTIVATIONS: tuple[Activation, ...] = ("softmax", "sigmoid", "log_softmax", "log_sigmoid")
_ACTIVATIONS_OF_ONE_UNIT: tuple[Activation, ...] = ("sigmoid", "log_sigmoid")  # the softmax of one unit is always 1


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
        inference: How `model.predict` calls it.
        head: The layer that converts logits to probabilities; `None` if the model returns logits.
        activation: What that layer computes.
        returns_probabilities: Whether the model returns probabilities; their logarithms are logits.
        is_closed: Whether it returns probabilities, but no layer that could be removed computes them.
        last_weighted: The last layer with weights, whose input is the features of an image; `None` if there is none,
            or if it receives the image itself.
        steps: The calls of layers, in the order in which they returned: layers inside a layer come before it.
        units: Number of values that the model returns for an image.
        classes: Number of classes that it scores; a single logit scores two.
        threshold: A single unit predicts the second class where its output before a sigmoid is higher.

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
        self.inference = Inference(model, one)
        if not model.built:
            self._call(one)  # creates the layers that exist only after the first call
        calls: list[Call] = []
        with state_kept(model), all_calls((part for _, part in parts(model)), calls.append):
            returned = engine().only_shapes(lambda: self._call(one))
        if len(returned.shape) != 2:
            raise ModelError(
                "The output must contain one score per class, with the shape (n, classes). "
                f"Received: a model whose output has the shape {('n', *returned.shape[1:])}"
            )
        self.steps = _steps(calls)
        self.last_weighted = last_weighted(calls, one)
        self.units = returned.shape[1]
        self.classes = max(2, self.units)
        self.head: keras.Operation | None = None
        self.activation: Activation = "none"
        last: list[Call] = []
        with state_kept(model), all_calls((call.layer for call in calls if _has_size(call, returned)), last.append):
            self._returned = _array(self._call(self.sample))  # of shape (images, units)
        for call in reversed(last):
            if _gave(call, self._returned) and (activation := self._activation(call)):
                self.head, self.activation = call.layer, activation
                break
        self.loss = compiled_loss(model, output)
        self.is_closed = not self.head and self._is_probability(images)
        self.returns_probabilities = self.activation in ("softmax", "sigmoid") or self.is_closed
        self.threshold = self._threshold() if self.units == 1 else 0.0

    @classmethod
    def of(cls, model: keras.Model, images: Any, output: str | int | None = None) -> OpenedModel:
        """Opens a model with the first of `images`."""
        return cls(model, images, output, images=images)

    def __call__(self, inputs: Any) -> Any:
        """Scores of the classes, a float32 tensor of shape `(n, classes)`.

        A single logit `z` is evidence for the second class and against the first: the scores are `-z` and `z`, minus
        and plus the threshold of the decision.
        """
        with without_function(self.head):
            scores = ops.cast(self._call(inputs), "float32")
        if self.units > 1:
            return scores
        if self.is_closed:
            scores = 2 * ops.arctanh(ops.clip(2 * scores - 1, -_NEARLY_ONE, _NEARLY_ONE))  # the inverse of the sigmoid
        scores = scores - self.threshold
        return ops.concatenate([-scores, scores], axis=1)

    def scores_and_features(self, inputs: Any) -> tuple[Any, Any]:
        """Scores as calling this object returns them, and the features, a float32 tensor of shape `(n, d)`.

        They are those of `lrdiag.explain.features`. Without `last_weighted`, `d` is 0.
        """
        received: list[Any] = []
        with all_calls([] if self.last_weighted is None else [self.last_weighted], lambda c: received.append(c.input)):
            scores = self(inputs)
        return scores, features_of(self.last_weighted, received[-1]) if received else scores[:, :0]

    def logits(self, scores: np.ndarray) -> np.ndarray:
        """Logits whose softmax is the probability of each class, from scores of shape `(n, classes)`.

        The maximum of each row is 0 or below, so no row sums to one and is mistaken for probabilities.
        """
        if self.is_closed and self.units > 1:
            return np.asarray(np.log(np.maximum(scores, np.finfo(np.float32).tiny)))
        logits = scores.astype(np.float64)
        if self.units == 1:
            logits = (logits + np.array([-self.threshold, self.threshold])) / 2
        return np.asarray(logits - logits.max(axis=1, keepdims=True))

    def outputs(self, scores: np.ndarray, labels: np.ndarray) -> Outputs:
        """The outputs of the model, from scores of shape `(n, classes)`, with their meaning.

        Args:
            scores: What calling this object returns.
            labels: The true classes, integers of shape `(n,)`.
        """
        raw = scores.astype(np.float64)
        raw = raw[:, 1:] + self.threshold if self.units == 1 else raw
        return Outputs(raw, self.activation, self.threshold, self.is_closed, self.loss, labels)

    def predictions(self, scores: np.ndarray, labels: np.ndarray) -> Predictions:
        """The predictions for the images with these scores; the arguments are those of `outputs`."""
        return self.outputs(scores, labels).predictions()

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for the page if the accuracy of the model's own metric is another one."""
        is_other = self.units == 1 and not self.returns_probabilities and self.threshold != _HALF
        if not is_other or binary_threshold(self.model) != _HALF:
            return ()
        return (
            "The metric that the model was compiled with counts an output above 0.5 as the second class. Here it is an "
            f"output above {self.threshold:g}, where the loss divides the classes. `BinaryAccuracy(threshold="
            f"{self.threshold:g})` measures the same accuracy.",
        )

    @property
    def contradicts_loss(self) -> bool:
        """Whether the model returns probabilities and its loss takes logits, or the other way round."""
        return takes_logits(self.loss) is self.returns_probabilities

    def indices_of(self, labels: np.ndarray) -> np.ndarray:
        """Returns the class indices that labels stand for: −1 is class 0 if a single unit has no cross-entropy loss.

        Raises:
            DataError: If the model does not score one of the classes.
        """
        if self.units == 1 and takes_logits(self.loss) is None:
            labels = np.where(labels == -1, 0, labels)
        self.refuse_unknown_classes(labels)
        return labels

    def refuse_unknown_classes(self, classes: np.ndarray) -> None:
        """Raises if the model does not score one of `classes`.

        Raises:
            DataError: If it does not.
        """
        if not ((classes >= 0) & (classes < self.classes)).all():
            raise DataError(
                f"A class must be 0 to {self.classes - 1}: the model scores {self.classes}. "
                f"Received: classes {classes.min()} to {classes.max()}{_remedy(classes, self.units, self.classes)}"
            )

    def returned_by(self, layer: keras.Operation) -> Any:
        """The output of `layer` for the sample; `None` if the model does not call it."""
        calls = self.calls_of([layer], self.sample)
        return calls[-1].output if calls else None

    def calls_of(self, layers: Iterable[keras.Operation], inputs: Any) -> list[Call]:
        """The calls of the layers for some inputs, in the order in which they return."""
        calls: list[Call] = []
        with all_calls(layers, calls.append):
            self.scores(inputs)
        return calls

    def scores(
        self, inputs: Any, exchanges: Mapping[keras.Operation, Callable[[Any], Any]] | None = None
    ) -> np.ndarray:
        """The scores for some inputs, while the outputs of some layers are exchanged. Repeats random layers exactly.

        Args:
            inputs: A batch of inputs.
            exchanges: For each of these layers, a function from its output to what the rest of the model receives.
        """
        with state_kept(self.model), exchanged(exchanges or {}):
            return _array(self(inputs))

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
    def undisturbed(self) -> np.ndarray:
        """The scores of the sample, of shape `(images, classes)`."""
        return self.scores(self.sample)

    def _changes(self, exchanges: Mapping[keras.Operation, Callable[[Any], Any]]) -> bool:
        before, after = self.undisturbed, self.scores(self.sample, exchanges)
        return not np.isfinite(before).any() or bool(((after != before) & np.isfinite(after)).any())

    def _is_probability(self, images: Any) -> bool:
        """Whether a model without a removable softmax or sigmoid returns probabilities."""
        if is_hinge(self.loss) or is_distance(self.loss):
            return False
        final = self._returned
        if self.units > 1:
            return is_probability(final)
        logits = takes_logits(self.loss)
        if logits is None and images is not None and len(tree.flatten(images)[0]) >= _ENOUGH:
            final, logits = _array(self._call(images)), False
        return logits is False and bool((final >= 0).all() and (final <= 1).all())

    def _threshold(self) -> float:
        """The raw output of a single unit above which it predicts the second class.

        A threshold that the user chose for the metric is used. One half is Keras's default, also for logits.
        """
        chosen = binary_threshold(self.model)
        if self.returns_probabilities:
            return float(np.log(chosen / (1 - chosen))) if chosen and chosen < 1 else 0.0
        if chosen not in (None, _HALF):
            return float(chosen)
        return _HALF if is_distance(self.loss) and not self._ends_in_tanh() else 0.0

    def _ends_in_tanh(self) -> bool:
        """Whether the outputs lie between -1 and 1, as labels of -1 and 1 do."""
        return getattr(self.steps[-1].layer, "activation", None) is keras.activations.tanh if self.steps else False

    def _activation(self, last: Call) -> Activation | None:
        """What the last layer computes from its logits; `None` if the output does not follow from them."""
        head, returned = last.layer, self._returned
        if not may_end_in_function(last) or not _may_be_probabilities(returned):
            return None
        with state_kept(self.model), without_function(head):
            raw = _array(self._call(self.sample))
        if raw.shape != returned.shape or np.array_equal(raw, returned, equal_nan=True):
            return None
        if np.isfinite(returned).all() and _agree(raw, returned):
            return None  # only rounded
        possible = _ACTIVATIONS if self.units > 1 else _ACTIVATIONS_OF_ONE_UNIT
        name = f"{type(head).__name__} {getattr(getattr(head, 'activation', None), '__name__', '')}".lower()
        named_first = sorted(possible, key=lambda each: each.replace("_", "") not in name.replace("_", ""))
        return next((each for each in named_first if _agree(activated(raw.astype(np.float64), each), returned)), None)

    def _call(self, inputs: Any) -> Any:
        return self.chosen(self.inference(inputs))

    def chosen(self, outputs: Any) -> Any:
        """The output to explain, among those that the model returns.

        Raises:
            ModelError: If there are several and `output` names none of them.
        """
        if self.output is None and len(tree.flatten(outputs)) == 1:
            return tree.flatten(outputs)[0]
        named = _named(outputs, getattr(self.model, "output_names", None))
        if self.output not in named:
            raise ModelError(
                f"`output=` must name the model's output to explain, one of {', '.join(map(repr, named))}. "
                f"Received: output={self.output!r}"
            )
        return named[self.output]


def _remedy(classes: np.ndarray, units: int, known: int) -> str:
    if set(np.unique(classes)) <= {-1, 1}:
        if units == 1:
            return ". A cross-entropy takes the labels 0 and 1: convert with (labels + 1) // 2"
        return ". Pass 0 instead of −1, or leave those images out if −1 marks images without a class"
    if classes.min() >= 1 and classes.max() == known:
        return ". If the labels count from 1, pass labels - 1"
    return ""


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
        if hasattr(call.output, "shape") and engine().is_computed(call.output)
    ]


def _has_size(call: Call, final: Any) -> bool:
    return hasattr(call.output, "shape") and bool(np.prod(call.output.shape) == np.prod(final.shape))


def _gave(call: Call, final: np.ndarray) -> bool:
    """Whether the call returned `final`, apart from reshaping and casting."""
    if not _has_size(call, final) or not engine().is_computed(call.output):
        return False
    value, last = _array(call.output).ravel(), final.ravel()
    return np.allclose(value, last, rtol=_rounding_of(last), atol=0, equal_nan=True)


def _may_be_probabilities(values: np.ndarray) -> bool:
    """Whether the values may be probabilities, or the logarithms of such."""
    return not ((values < 0) | (values > 1)).any() or not (values > 0).any()


def _agree(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the values of each image are the same apart from rounding; images with a NaN are left out."""
    finite = np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
    tolerance = _rounding_of(other) * np.abs(other[finite]).max(axis=1, keepdims=True)
    return bool((np.abs(one - other)[finite] <= tolerance).all())


def _rounding_of(values: np.ndarray) -> float:
    """The error of a computation whose result was perhaps rounded to half precision and cast back."""
    halves = (_array(ops.cast(values, dtype)) for dtype in ("float16", "bfloat16"))
    is_half = any(np.array_equal(half, values, equal_nan=True) for half in halves)
    return _ROUNDING_OF_HALVES if is_half else _ROUNDING


def _noise_at(scale: float) -> Callable[[Any], Any]:
    """Returns a function that replaces features by noise; the second half of the images has the opposite signs.

    Whole images are brighter or darker too, which an average over an image does not hide.
    """
    generator = np.random.default_rng(0)

    def noise(output: Any) -> Any:
        features = _array(output)
        half, *inner = (len(features) + 1) // 2, *features.shape[1:]
        drawn = generator.normal(size=(half, *inner)) + generator.normal(size=(half, *[1] * len(inner)))
        both = np.concatenate([drawn, -drawn])[: len(features)]
        return ops.cast(both * min(scale * (features.std() or 1.0), _LARGEST), output.dtype)

    return noise


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))
