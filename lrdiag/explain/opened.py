"""A model as Grad-CAM needs it: one output, and scores instead of probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from lrdiag.errors import ModelError
from lrdiag.explain.tap import all_tapped, makes_probabilities, tapped, without_activation
from lrdiag.records import is_probability


@dataclass(frozen=True)
class Step:
    """One layer as the model ran it.

    Attributes:
        layer: The layer, which contains no other, or a bare operation of `keras.ops` in a Functional model.
        shape: Of what it returned, without the batch.
    """

    layer: keras.Operation
    shape: tuple[int, ...]


class OpenedModel:
    """A model whose softmax or sigmoid is taken out while it is called; it is neither cloned nor changed.

    Attributes:
        model: The model itself.
        head: The layer that turns logits into probabilities; `None` where the model returns logits.
        steps: The innermost layers in the order of execution.
        classes: How many classes it scores; a single logit scores two.

    Args:
        model: Any Keras model.
        example: An input of it: an array, or a nest of arrays, whose first dimension is 1.
        output: Which output, where the model has several: its name or its place.

    Raises:
        ModelError: If there is no such output, or it is not one score per class.
    """

    def __init__(self, model: keras.Model, example: Any, output: str | int | None = None) -> None:
        self.model, self.output = model, output
        self._example = example
        seen: list[tuple[keras.Operation, Any]] = []
        innermost = [layer for _, layer in parts(model) if not list(parts(layer))]
        with all_tapped(innermost, lambda layer, value: seen.append((layer, value))):
            final = _array(self._call(example))
        if final.ndim != 2:
            raise ModelError(
                "Heatmaps explain one score per class, an output of shape (n, classes). "
                f"Received: a model whose output has the shape {('n', *final.shape[1:])}"
            )
        self.steps = [Step(layer, tuple(value.shape[1:])) for layer, value in seen if hasattr(value, "shape")]
        self.head = _head(seen, final)
        self.classes = max(2, final.shape[1])
        self._binary = final.shape[1] == 1
        if not self.head and not self._binary and is_probability(final):
            warnings.warn(
                "The model returns probabilities that no layer of it makes, so its heatmaps explain the probability, "
                "whose gradient fades where the model is sure. End it with keras.layers.Softmax(), or with a layer "
                "of activation='softmax': lrdiag takes those out while it explains.",
                stacklevel=4,
            )

    def __call__(self, inputs: Any) -> Any:
        """Scores of the classes, a float32 tensor of shape `(n, classes)`.

        A single logit `z` speaks for the second class as much as against the first: the scores are `-z` and `z`.
        """
        with without_activation(self.head):
            scores = ops.cast(self._call(inputs), "float32")
        return ops.concatenate([-scores, scores], axis=1) if self._binary else scores

    def logits(self, scores: np.ndarray) -> np.ndarray:
        """What a softmax turns into the probabilities, given scores of shape `(n, classes)`."""
        return scores / 2 if self._binary else scores

    def returned_by(self, layer: keras.Operation) -> Any:
        """What `layer` returns for the example; `None` where the model does not call it."""
        outputs: list[Any] = []
        with all_tapped([layer], lambda _layer, output: outputs.append(output)):
            self(self._example)
        return outputs[-1] if outputs else None

    def depends_on(self, layer: keras.Operation) -> bool:
        """Whether the scores change when noise is added to what `layer` returns."""
        generator = np.random.default_rng(0)

        def with_noise(output: Any) -> Any:
            return output + ops.cast(generator.normal(size=output.shape), output.dtype)

        undisturbed = _array(self(self._example))
        with tapped(layer, with_noise):
            return not np.array_equal(undisturbed, _array(self(self._example)))

    def _call(self, inputs: Any) -> Any:
        outputs = self.model(inputs, training=False)
        if not tree.is_nested(outputs):
            return outputs
        named = _named(outputs, getattr(self.model, "output_names", None))
        if self.output not in named:
            raise ModelError(
                f"The model has several outputs: say which with `output=`, one of {', '.join(map(repr, named))}. "
                f"Received: output={self.output!r}"
            )
        return named[self.output]


def example_input(model: keras.Model) -> Any:
    """An input of the model, a nest of arrays of noise; `None` where the model does not say what it takes."""
    generator = np.random.default_rng(0)

    def noise(tensor: Any) -> np.ndarray:
        if "float" in tensor.dtype:
            return generator.uniform(size=(1, *tensor.shape[1:])).astype(tensor.dtype)
        return np.zeros((1, *tensor.shape[1:]), tensor.dtype)  # an index, perhaps: 0 always exists

    inputs = getattr(model, "_inputs_struct", None)
    if inputs is None and isinstance(model, keras.Sequential) and model.built:
        inputs = model.inputs[0]
    if inputs is None or any(None in tensor.shape[1:] for tensor in tree.flatten(inputs)):
        return None
    return tree.map_structure(noise, inputs)


def parts(model: keras.Operation, prefix: str = "") -> Iterator[tuple[str, keras.Operation]]:
    """Every layer and bare operation inside `model`, however deep, with its path: `"backbone/block5"`."""
    layers = model._flatten_layers(include_self=False, recursive=False) if isinstance(model, keras.Layer) else []
    bare = [each for each in getattr(model, "operations", []) if not isinstance(each, keras.Layer)]
    for part in (*layers, *bare):
        yield prefix + part.name, part
        yield from parts(part, f"{prefix}{part.name}/")


def _named(outputs: Any, names: list[str] | None) -> dict[str | int, Any]:
    if isinstance(outputs, dict):
        return dict(outputs)
    return dict(enumerate(outputs)) | dict(zip(names or (), outputs, strict=False))


def _head(seen: list[tuple[keras.Operation, Any]], final: np.ndarray) -> keras.Operation | None:
    """The last layer that makes probabilities, if what it made is what the model returned, at most reshaped."""
    for layer, value in reversed(seen):
        if makes_probabilities(layer):
            made = _array(value)
            if made.size == final.size and np.array_equal(made.ravel(), final.ravel(), equal_nan=True):
                return layer
    return None


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))
