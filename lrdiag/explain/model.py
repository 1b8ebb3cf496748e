"""A model as Grad-CAM needs it: one output, and logits instead of probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from lrdiag.backend.graph import example_input, parts
from lrdiag.backend.inference import Inference, binary_threshold, state_kept
from lrdiag.backend.tap import all_tapped, makes_probabilities, tapped, without_activation
from lrdiag.errors import DataError, ModelError
from lrdiag.explain.loss import compiled_loss, is_distance, is_hinge, takes_logits
from lrdiag.explain.outputs import Activation, Outputs, activated
from lrdiag.record.arrays import Predictions, is_probability

_NEARLY_ONE = 1 - 1e-7  # float32 has no finite logit for larger probabilities
_ENOUGH = 8  # images; of as many logits, one is very probably outside of 0–1
_HALF = 0.5
_ROUNDING = 5e-3  # of outputs in half precision
_ACTIVATIONS: tuple[Activation, ...] = ("softmax", "sigmoid", "log_softmax", "log_sigmoid")


@dataclass(frozen=True)
class Step:
    """One call of a layer.

    Attributes:
        layer: The layer, or a bare operation of `keras.ops` in a Functional model.
        shape: The shape of its output, without the batch.
        is_new: Whether the output is a new tensor, not the output of a layer inside or before it.
    """

    layer: keras.Operation
    shape: tuple[int, ...]
    is_new: bool


class OpenedModel:
    """A model that is called without the softmax or sigmoid at its end. It is neither cloned nor changed.

    Attributes:
        model: The model.
        inference: How `model.predict` calls it.
        head: The layer that converts logits to probabilities; `None` if the model returns logits.
        activation: What that layer computes.
        returns_probabilities: Whether the model returns probabilities; their logarithms are logits.
        is_closed: Whether it returns probabilities, but no layer that could be removed computes them.
        steps: The calls of layers, in the order in which they returned: layers inside a layer come before it.
        units: Number of values that the model returns for an image.
        classes: Number of classes that it scores; a single logit scores two.
        threshold: A single unit predicts the second class where its output before a sigmoid is higher.

    Args:
        model: Any Keras model.
        example: An input for one image: an array, or a nest of arrays, whose first dimension is 1.
        output: The output to use if the model has several: its name or its index.
        images: Inputs to infer from whether a single unit is a probability or a logit, if nothing else determines it.

    Raises:
        ModelError: If there is no such output, or it is not one score per class.
    """

    def __init__(
        self, model: keras.Model, example: Any, output: str | int | None = None, *, images: Any = None
    ) -> None:
        self.model, self.output = model, output
        self._example = example
        self.inference = Inference(model, example)
        if not model.built:
            self._call(example)  # creates the layers that exist only after the first call
        seen: list[tuple[keras.Operation, Any]] = []
        layers = [part for _, part in parts(model)]
        with state_kept(model), all_tapped(layers, lambda layer, value: seen.append((layer, value))):
            final = _array(self._call(example))
        if final.ndim != 2:
            raise ModelError(
                "The output must contain one score per class, with the shape (n, classes). "
                f"Received: a model whose output has the shape {('n', *final.shape[1:])}"
            )
        self.steps = _steps(seen)
        self.units = final.shape[1]
        self.classes = max(2, self.units)
        self.head: keras.Operation | None = None
        self.activation: Activation = "none"
        for layer in _heads(seen, final):
            if activation := self._activation(layer, final):
                self.head, self.activation = layer, activation
                break
        self.loss = compiled_loss(model, output)
        self.is_closed = not self.head and self._is_probability(final, images)
        self.returns_probabilities = self.activation in ("softmax", "sigmoid") or self.is_closed
        self.threshold = self._threshold() if self.units == 1 else 0.0
        self._undisturbed = _array(self(example))

    @classmethod
    def of(cls, model: keras.Model, images: Any, output: str | int | None = None) -> OpenedModel:
        """Opens a model with an input of noise, or with the first of `images` if it does not state its input shape."""
        example = example_input(model)
        if example is None:
            example = tree.map_structure(lambda array: array[:1], images)
        return cls(model, example, output, images=images)

    def __call__(self, inputs: Any) -> Any:
        """Scores of the classes, a float32 tensor of shape `(n, classes)`.

        A single logit `z` is evidence for the second class and against the first: the scores are `-z` and `z`, minus
        and plus the threshold of the decision.
        """
        with without_activation(self.head):
            scores = ops.cast(self._call(inputs), "float32")
        if self.units > 1:
            return scores
        if self.is_closed:
            scores = 2 * ops.arctanh(ops.clip(2 * scores - 1, -_NEARLY_ONE, _NEARLY_ONE))  # the inverse of the sigmoid
        scores = scores - self.threshold
        return ops.concatenate([-scores, scores], axis=1)

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
        """The output of `layer` for the example; `None` if the model does not call it."""
        outputs: list[Any] = []
        with all_tapped([layer], lambda _layer, output: outputs.append(output)):
            self(self._example)
        return outputs[-1] if outputs else None

    def depends_on(self, layer: keras.Operation) -> bool:
        """Whether the scores change if the output of `layer` is replaced by noise."""
        generator = np.random.default_rng(0)

        def noise(output: Any) -> Any:
            return ops.cast(generator.normal(size=output.shape), output.dtype)

        with tapped(layer, noise):
            return not np.array_equal(self._undisturbed, _array(self(self._example)))

    def _is_probability(self, final: np.ndarray, images: Any) -> bool:
        """Whether a model without a removable softmax or sigmoid returns probabilities."""
        if is_hinge(self.loss) or is_distance(self.loss):
            return False
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

    def _activation(self, head: keras.Operation, final: np.ndarray) -> Activation | None:
        """What `head` computes from its logits; `None` if the output does not follow from them."""
        with state_kept(self.model), without_activation(head):
            raw = _array(self._call(self._example))
        if np.array_equal(raw, final):
            return None
        name = f"{type(head).__name__} {getattr(getattr(head, 'activation', None), '__name__', '')}".lower()
        named_first = sorted(_ACTIVATIONS, key=lambda each: each.replace("_", "") not in name.replace("_", ""))
        return next((each for each in named_first if _agree(activated(raw.astype(np.float64), each), final)), None)

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


def _steps(seen: list[tuple[keras.Operation, Any]]) -> list[Step]:
    return [
        Step(layer, tuple(value.shape[1:]), is_new=all(value is not earlier for _, earlier in seen[:place]))
        for place, (layer, value) in enumerate(seen)
        if hasattr(value, "shape")
    ]


def _heads(seen: list[tuple[keras.Operation, Any]], final: np.ndarray) -> Iterator[keras.Operation]:
    """Yields the layers that computed the probabilities that the model returned, apart from reshaping, last first."""
    for layer, value in reversed(seen):
        if makes_probabilities(layer) and np.array_equal(_array(value).ravel(), final.ravel(), equal_nan=True):
            yield layer


def _agree(one: np.ndarray, other: np.ndarray) -> bool:
    return np.allclose(one, other, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True)


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))
