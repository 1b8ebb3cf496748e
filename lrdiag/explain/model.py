"""A model as Grad-CAM needs it: one output, and scores instead of probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from lrdiag.backend.graph import example_input, parts
from lrdiag.backend.tap import all_tapped, makes_probabilities, tapped, without_activation
from lrdiag.errors import DataError, ModelError
from lrdiag.explain.loss import says_from_logits
from lrdiag.record.arrays import is_probability

_NEARLY_ONE = 1 - 1e-7  # beyond, float32 knows no logit
_ENOUGH = 8  # images, among whose logits one lies outside of 0 to 1


@dataclass(frozen=True)
class Step:
    """One layer as the model ran it.

    Attributes:
        layer: The layer, or a bare operation of `keras.ops` in a Functional model.
        shape: Of what it returned, without the batch.
        is_new: Whether that was a tensor of its own, not what a layer inside or before it had returned.
    """

    layer: keras.Operation
    shape: tuple[int, ...]
    is_new: bool


class OpenedModel:
    """A model whose softmax or sigmoid is taken out while it is called; it is neither cloned nor changed.

    Attributes:
        model: The model itself.
        head: The layer that turns logits into probabilities; `None` where the model returns logits.
        returns_probabilities: Whether the model itself does.
        is_closed: Whether it does without a layer that could be taken out.
        steps: The layers in the order in which they returned: what is inside a layer before the layer itself.
        units: How many numbers it returns for an image.
        classes: How many classes it scores; a single logit scores two.

    Args:
        model: Any Keras model.
        example: An input of it: an array, or a nest of arrays, whose first dimension is 1.
        output: Which output, where the model has several: its name or its place.
        images: Inputs by which one number, of which nothing else tells, is known to be a probability or a logit.

    Raises:
        ModelError: If there is no such output, or it is not one score per class.
    """

    def __init__(
        self, model: keras.Model, example: Any, output: str | int | None = None, *, images: Any = None
    ) -> None:
        self.model, self.output = model, output
        self._example = example
        if not model.built:
            self._call(example)  # makes the layers that it has only after its first call
        seen: list[tuple[keras.Operation, Any]] = []
        with all_tapped([part for _, part in parts(model)], lambda layer, value: seen.append((layer, value))):
            final = _array(self._call(example))
        if final.ndim != 2:
            raise ModelError(
                "Heatmaps explain one score per class, an output of shape (n, classes). "
                f"Received: a model whose output has the shape {('n', *final.shape[1:])}"
            )
        self.steps = _steps(seen)
        self.units = final.shape[1]
        self.classes = max(2, self.units)
        self.head = next((layer for layer in _heads(seen, final) if self._is_changed_without(layer, final)), None)
        self.is_closed = not self.head and self._is_probability(final, images)
        self.returns_probabilities = self.head is not None or self.is_closed
        self._undisturbed = _array(self(example))

    @classmethod
    def of(cls, model: keras.Model, images: Any, output: str | int | None = None) -> OpenedModel:
        """Opens a model with an input of its own making, or with the first of `images` where it tells of none."""
        example = example_input(model)
        if example is None:
            example = tree.map_structure(lambda array: array[:1], images)
        return cls(model, example, output, images=images)

    def __call__(self, inputs: Any) -> Any:
        """Scores of the classes, a float32 tensor of shape `(n, classes)`.

        A single logit `z` speaks for the second class as much as against the first: the scores are `-z` and `z`.
        """
        with without_activation(self.head):
            scores = ops.cast(self._call(inputs), "float32")
        if self.units > 1:
            return scores
        if self.is_closed:
            scores = 2 * ops.arctanh(ops.clip(2 * scores - 1, -_NEARLY_ONE, _NEARLY_ONE))  # the inverse of the sigmoid
        return ops.concatenate([-scores, scores], axis=1)

    def logits(self, scores: np.ndarray) -> np.ndarray:
        """What a softmax turns into the probabilities, given scores of shape `(n, classes)`.

        The highest of each row is 0 or below: no row sums to one, as probabilities would.
        """
        if self.is_closed and self.units > 1:
            return np.asarray(np.log(np.maximum(scores, np.finfo(np.float32).tiny)))
        logits = scores.astype(np.float64) / (2 if self.units == 1 else 1)
        return np.asarray(logits - logits.max(axis=1, keepdims=True))

    def refuse_unknown_classes(self, classes: np.ndarray) -> None:
        """Refuses classes that the model does not score.

        Raises:
            DataError: If there is one.
        """
        if not ((classes >= 0) & (classes < self.classes)).all():
            raise DataError(
                f"A class must be 0 to {self.classes - 1}: the model scores {self.classes}. "
                f"Received: classes {classes.min()} to {classes.max()}"
            )

    def returned_by(self, layer: keras.Operation) -> Any:
        """What `layer` returns for the example; `None` where the model does not call it."""
        outputs: list[Any] = []
        with all_tapped([layer], lambda _layer, output: outputs.append(output)):
            self(self._example)
        return outputs[-1] if outputs else None

    def depends_on(self, layer: keras.Operation) -> bool:
        """Whether the scores change when noise takes the place of what `layer` returns."""
        generator = np.random.default_rng(0)

        def noise(output: Any) -> Any:
            return ops.cast(generator.normal(size=output.shape), output.dtype)

        with tapped(layer, noise):
            return not np.array_equal(self._undisturbed, _array(self(self._example)))

    def _is_probability(self, final: np.ndarray, images: Any) -> bool:
        """Whether a model without a layer for it returns probabilities all the same."""
        if self.units > 1:
            return is_probability(final)
        takes_logits = says_from_logits(self.model, self.output)
        if takes_logits is None and images is not None and len(tree.flatten(images)[0]) >= _ENOUGH:
            final, takes_logits = _array(self._call(images)), False
        return takes_logits is False and bool((final >= 0).all() and (final <= 1).all())

    def _is_changed_without(self, head: keras.Operation, final: np.ndarray) -> bool:
        with without_activation(head):
            return not np.array_equal(_array(self._call(self._example)), final)

    def _call(self, inputs: Any) -> Any:
        outputs = self.model(inputs, training=False)
        if self.output is None and len(tree.flatten(outputs)) == 1:
            return tree.flatten(outputs)[0]
        named = _named(outputs, getattr(self.model, "output_names", None))
        if self.output not in named:
            raise ModelError(
                f"`output=` must say which of the model's outputs to explain, one of {', '.join(map(repr, named))}. "
                f"Received: output={self.output!r}"
            )
        return named[self.output]


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
    """The layers that make the very probabilities that the model returned, at most reshaped, the last one first."""
    for layer, value in reversed(seen):
        if makes_probabilities(layer) and np.array_equal(_array(value).ravel(), final.ravel(), equal_nan=True):
            yield layer


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))
