"""Temporary control of a model's learning rate: a number, a schedule, or the rates of several optimizers."""

from __future__ import annotations

import keras

from lrdiag import formats
from lrdiag.backend.engine import engine
from lrdiag.backend.optimizers import HyperParameters, ReplacedRate, held_rate, inner_optimizers
from lrdiag.backend.train_function import compile_again, compiled_step, set_compiled_step
from lrdiag.errors import SettingsError


class SweptRate:
    """Sets the learning rate of each step during `fit`, and restores it afterwards.

    A number is assigned. A schedule is replaced by a variable, and the training step is compiled again because it was
    traced with the schedule. The rates of several optimizers keep their ratios; the rate that is set is that of the
    first. Creating the object changes nothing; `take` does.

    Args:
        model: A compiled model with a built optimizer, during `fit`.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._optimizers = inner_optimizers(model.optimizer)
        self._held = [held_rate(optimizer) for optimizer in self._optimizers]
        self._rates = [HyperParameters(optimizer, model).learning_rate() for optimizer in self._optimizers]
        first = self._rates[0]
        self._ratios = [rate / first if first else 1.0 for rate in self._rates]
        self._step = compiled_step(model)

    def take(self) -> None:
        """Replaces schedules by variables."""
        variables = []
        for optimizer, held, rate in zip(self._optimizers, self._held, self._rates, strict=True):
            if isinstance(held, keras.Variable):
                variables.append(held)
            else:
                variables.append(ReplacedRate(optimizer, rate).variable)
        if self._has_schedules:
            compile_again(self._model)
        self._scalars = [engine().number(variable, self._model) for variable in variables]

    def set(self, rate: float) -> None:
        """Sets the rate of the next update."""
        written = [scalar.write(rate * ratio) for scalar, ratio in zip(self._scalars, self._ratios, strict=True)]
        self._expected = written[0]

    def require_untouched(self) -> None:
        """Raises if another callback changed the learning rate.

        Raises:
            SettingsError: If the rate isn't the one that was set.
        """
        found = self._scalars[0].read()
        if found != self._expected:
            raise SettingsError(
                "No other callback may set the learning rate during a range test. Remove the other one, such as a "
                "policy, ReduceLROnPlateau or LearningRateScheduler. "
                f"Received: {formats.rate(found, 6)} instead of {formats.rate(self._expected, 6)}"
            )

    def give_back(self) -> None:
        """Restores the schedules. Numbers are restored with the optimizer's variables."""
        if self._has_schedules:
            _restore(self._optimizers)
            set_compiled_step(self._model, self._step)

    @property
    def _has_schedules(self) -> bool:
        return not all(isinstance(held, keras.Variable) for held in self._held)


def restore_schedules(model: keras.Model) -> None:
    """Restores schedules that an interrupted sweep has left replaced."""
    engine().synchronize(model)  # before the optimizer's list of variables changes
    if _restore(inner_optimizers(model.optimizer)):
        set_compiled_step(model, None)  # it was traced with the replacement


def _restore(optimizers: list[keras.Optimizer]) -> bool:
    """Restores replaced schedules, and returns whether there were any."""
    replaced = [rate for rate in map(held_rate, optimizers) if isinstance(rate, ReplacedRate)]
    for rate in replaced:
        rate.restore()
    return bool(replaced)
