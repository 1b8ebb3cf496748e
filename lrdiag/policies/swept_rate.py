"""The learning rate of an optimizer, taken in hand for a while: a number, a schedule, or those of several."""

from __future__ import annotations

from typing import Any

import keras

from lrdiag.backend.optimizers import current, inner_optimizers
from lrdiag.backend.scalar import Cell
from lrdiag.errors import SettingsError


class SweptRate:
    """Sets the rate of a model's optimizer step by step, whatever it holds, and gives it back.

    A plain number is assigned. A schedule is exchanged for a variable, which costs one more tracing of the training
    step, as the compiled step would not notice otherwise. Several optimizers climb together, in the ratio of their
    rates; the rate that is set is that of the first. Nothing is changed before `take`.

    Args:
        model: A compiled model with a built optimizer, during `fit`.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._optimizers = inner_optimizers(model.optimizer)
        rates = [current(optimizer, "learning_rate") for optimizer in self._optimizers]
        self._ratios = [rate / rates[0] for rate in rates] if rates[0] else [1.0 for _ in rates]
        self._schedules = [
            None if isinstance(optimizer._learning_rate, keras.Variable) else optimizer._learning_rate
            for optimizer in self._optimizers
        ]
        self._train_function = model.train_function

    def take(self) -> None:
        """Exchanges schedules for variables, and takes hold of these."""
        for optimizer, schedule in zip(self._optimizers, self._schedules, strict=True):
            if schedule is not None:
                optimizer.learning_rate = _Rung(current(optimizer, "learning_rate"), schedule)
        if self._has_schedules:
            self._model.make_train_function(force=True)
        held = [optimizer._learning_rate for optimizer in self._optimizers]
        self._cells = [Cell(each.rate if isinstance(each, _Rung) else each) for each in held]

    @property
    def _has_schedules(self) -> bool:
        return any(schedule is not None for schedule in self._schedules)

    def set(self, rate: float) -> None:
        """Sets the rate of the update that comes next."""
        written = [cell.write(rate * ratio) for cell, ratio in zip(self._cells, self._ratios, strict=True)]
        self._expected = written[0]

    def require_untouched(self) -> None:
        """Refuses to sweep beside another hand.

        Raises:
            SettingsError: If something else has set the rate since `set`.
        """
        found = self._cells[0].read()
        if found != self._expected:
            raise SettingsError(
                f"Something besides the range test sets the learning rate: it was left at {self._expected:g}. "
                "Remove the other callback, such as a policy, ReduceLROnPlateau or LearningRateScheduler. "
                f"Received: {found:g}"
            )

    def give_back(self) -> None:
        """Puts schedules back where they were; numbers belong to the optimizer's variables."""
        for optimizer, schedule in zip(self._optimizers, self._schedules, strict=True):
            if schedule is not None:
                optimizer.learning_rate = schedule
        if self._has_schedules:
            self._model.train_function = self._train_function


def give_back_left(model: keras.Model) -> None:
    """Puts schedules back that a sweep has left exchanged because it was broken off."""
    for optimizer in inner_optimizers(model.optimizer):
        if isinstance(optimizer._learning_rate, _Rung):
            optimizer.learning_rate = optimizer._learning_rate.instead_of
            model.train_function = None  # it was traced with what is gone


class _Rung(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule that returns what it was told, for a while instead of another."""

    def __init__(self, rate: float, instead_of: Any) -> None:
        self.instead_of = instead_of
        self.rate = keras.Variable(rate, trainable=False, name="learning_rate")

    def __call__(self, step: Any) -> Any:
        return keras.ops.convert_to_tensor(self.rate)
