"""The names of the figures that Keras logs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import keras

_ACCURACY = re.compile(r"(acc|(?!.*top_k).*accuracy)(_\d+)?")
_OF_KERAS = ("accuracy", "acc", "sparse_categorical_accuracy", "categorical_accuracy", "binary_accuracy")


def accuracy_name(names: Iterable[str]) -> str | None:
    """Returns the name of the training accuracy among the logs, or `None` if there is none, or one for several outputs.

    Top-k accuracies are not considered. Of several accuracies of one output, the names of Keras's own come first.

    Example:
        >>> accuracy_name({"loss": 0.7, "sparse_categorical_accuracy": 0.5, "val_accuracy": 0.4})
        'sparse_categorical_accuracy'
        >>> accuracy_name({"loss": 0.7, "colour_accuracy": 0.5, "species_accuracy": 0.4})
    """
    found = [name for name in names if not name.startswith("val_") and _ACCURACY.fullmatch(name)]
    if len(found) == 1:
        return found[0]
    known = next((name for name in _OF_KERAS if name in found), None)
    return None if f"{known}_1" in found else known  # Keras numbers the accuracies of outputs without a name


@dataclass(frozen=True)
class Output:
    """One of several outputs of a model. Keras puts its name before the names of its figures.

    Attributes:
        name: Its name, or `None` if it has none.
        others: The names of the other outputs.
        has_the_only_loss: Whether no other output has a loss, so that Keras logs no loss of its own for it.
    """

    name: str | None
    others: tuple[str, ...] = ()
    has_the_only_loss: bool = False

    @classmethod
    def of(cls, model: keras.Model, output: str | int | None) -> Output | None:
        """Returns the output with this name or index, or `None` if the model has only one output."""
        if output is None or len(getattr(model, "outputs", None) or ()) == 1:
            return None
        names = _output_names(model)
        name = dict(enumerate(names)).get(output) if isinstance(output, int) else output
        others = tuple(each for each in names if each != name)
        return cls(name, others, name is not None and _outputs_with_a_loss(model, names) == [name])

    def loss_name(self, names: Collection[str]) -> str | None:
        """Returns the name of its loss among the logs, or `None`."""
        name = "loss" if self.has_the_only_loss else f"{self.name}_loss"
        return name if name in names else None

    def accuracy_name(self, names: Iterable[str]) -> str | None:
        """Returns the name of its accuracy among the logs, or `None`."""
        own = [name.removeprefix(f"{self.name}_") for name in names if self._owns(name)]
        accuracy = accuracy_name(own)
        return None if accuracy is None else f"{self.name}_{accuracy}"

    def _owns(self, logged: str) -> bool:
        """Whether a figure is that of this output, also if the name of another output begins with its name."""
        owners = [name for name in (self.name, *self.others) if name and logged.startswith(f"{name}_")]
        return self.name is not None and max(owners, key=len, default=None) == self.name


def _output_names(model: keras.Model) -> list[str]:
    """Returns the names of the outputs as `fit` logs them. Empty if they are not known, as in a subclassed model."""
    structure = getattr(model, "output", None)
    return list(structure) if isinstance(structure, dict) else list(getattr(model, "output_names", None) or ())


def _outputs_with_a_loss(model: keras.Model, names: list[str]) -> list[str]:
    loss = getattr(model, "loss", None)
    if isinstance(loss, dict):
        return [name for name, each in loss.items() if each is not None]
    if isinstance(loss, list | tuple):
        return [name for name, each in zip(names, loss, strict=False) if each is not None]
    return names
