"""`CurveLR`: a curve of `lrdiag.rate.curves` as a Keras callback."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import keras

from lrdiag import formats
from lrdiag.backend.engine import engine
from lrdiag.backend.optimizers import UpdateCounter, batches_per_update, require_settable_rate, unscaled
from lrdiag.errors import SettingsError
from lrdiag.models.accepted import Callback
from lrdiag.policies.preview import Previewed
from lrdiag.policies.sgd import SGD
from lrdiag.rate.curves import Curve, CycledMomentum, require_curve


class _OpenCurve(NamedTuple):
    """A policy whose length is that of the training run.

    Attributes:
        argument: The argument that would give it a length.
        over: Returns the curve for a number of updates and a number of epochs.
    """

    argument: str
    over: Callable[[int, int], Curve]


class CurveLR(Previewed, Callback):
    """Sets the learning rate of each update from a curve, and optionally a momentum that moves opposite to it.

    The callback form of `CurveSchedule`. The policy follows the optimizer's own count of updates. Training that
    continues from `BackupAndRestore` or from a saved model therefore continues in the middle of the cycle. To start the
    policy from its beginning, compile the model again. Updates that loss scaling skips don't count. With data of
    unknown length Keras counts one extra update per epoch. Each epoch logs the rate of its last update as
    `learning_rate`, for the progress bar and the history.

    No other callback may set the rate. If one does, such as `ReduceLROnPlateau`, training stops with an error at the
    next step.

    Example:
        >>> import numpy as np
        >>> from lrdiag.rate.curves import InverseTimeDecay, Warmup
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.01), loss="mse")
        >>> warmup = CurveLR(Warmup(InverseTimeDecay(0.1, steps_per_epoch=8), warmup_steps=4))
        >>> history = model.fit(np.ones((6, 2)), np.ones(6), batch_size=2, verbose=0, callbacks=[warmup])
        >>> round(float(model.optimizer.learning_rate), 4)  # of the third update, halfway up
        0.05

    Args:
        curve: The policy.
        momentum: The momentum at the peak of the rate and at the lowest rate, such as `(0.85, 0.95)`. It needs the
            optimizer `lrdiag.SGD`. `None` leaves the momentum unchanged.

    Raises:
        SettingsError: If `curve` isn't a curve, or `momentum` isn't such a pair. In training, if the optimizer's rate
            or momentum can't be set, or another callback sets the rate.
    """

    def __init__(self, curve: Curve, *, momentum: tuple[float, float] | None = None) -> None:
        super().__init__()
        require_curve(curve)
        self._momenta = None if momentum is None else _pair(momentum)
        self._open: _OpenCurve | None = None
        self._updates_of_run = 0
        self._follow(curve)

    def __repr__(self) -> str:
        if self._curve is None and self._open is not None:
            return f"{type(self).__name__}({self._open.argument} is that of `fit`)"
        momentum = "" if self._momenta is None else f", momentum={self._momenta}"
        return f"{type(self).__name__}({self._curve}{momentum})"

    def _follow(self, curve: Curve | None) -> None:
        self._curve = curve
        self.momentum = None if curve is None or self._momenta is None else CycledMomentum(curve, *self._momenta)

    def _take_length_from_fit(self, argument: str, curve_over: Callable[[int, int], Curve]) -> None:
        self._open = _OpenCurve(argument, curve_over)
        self._follow(None)

    @property
    def curve(self) -> Curve:
        """The policy.

        Raises:
            SettingsError: Before training, if its length is that of the training run.
        """
        if self._curve is None:
            raise self._unknown_length("is known only when training begins")
        return self._curve

    def _curve_over(self, steps_per_epoch: int | None, epochs: int | None) -> Curve:
        if self._open is None or steps_per_epoch is None or epochs is None:
            return self.curve
        return self._open.over(steps_per_epoch * epochs, epochs)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Finds the variables of rate and momentum.

        Raises:
            SettingsError: If the rate or the momentum of this optimizer can't be set at each update, or a policy that
                takes its length from `fit` gets data of unknown length.
        """
        if self._open:
            self._follow(self._open.over(self._updates_of_fit(), self.params["epochs"]))
        self._require_settable_optimizer()
        optimizer = unscaled(self.model.optimizer)
        self._batches_per_update = batches_per_update(self.model.optimizer)
        self._updates = UpdateCounter(self.model.optimizer, self.model)
        self._rate = engine().number(optimizer.learning_rate, self.model)
        self._momentum = engine().number(optimizer.momentum, self.model) if self.momentum else None
        self._expected_rate = self._rate.read()
        self._started = False
        self._checked_fit = False
        self._first_update = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Warns if training continues from earlier updates, begins in the middle, or won't end with a cycle.

        Keras restores a resumed run in `on_train_begin`, so the count of updates is known only now.

        Raises:
            SettingsError: If the policy took its length from an earlier `fit` that this one continues.
        """
        if self._checked_fit:
            return
        batches = self._batches_made()
        if self._open:
            self._begin_with_fit(epoch, batches)
        elif epoch == 0 and batches and batches == self._updates.batches:
            self._warn_of_earlier_updates(batches)
        elif epoch > 0 and not batches:
            self._warn_of_new_optimizer(epoch)
        elif self.params.get("steps"):
            self._warn_of_misfit(batches + self.params["steps"] * (self.params["epochs"] - epoch))

    def _begin_with_fit(self, epoch: int, batches: int) -> None:
        """Places the beginning of a policy that spans the epochs of `fit`, whatever the optimizer did before."""
        self._checked_fit = True
        before, updates = self._updates_of_run, self._updates_of_fit()
        if epoch > 0 and before not in (0, updates):
            raise self._unknown_length(
                f"was {formats.plural(before, 'update')} in an earlier `fit`, which this one continues to "
                f"{formats.plural(updates, 'update')}"
            )
        self._updates_of_run = updates
        self._first_update = (batches - epoch * self.params["steps"]) // self._batches_per_update

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Sets the rate and the momentum of the next update.

        Raises:
            SettingsError: If another callback has set the rate since the last update.
            ModelError: If the optimizer makes no updates.
        """
        engine().synchronize(self.model)  # JAX is still computing the step, and each reading waits for it
        if self._started:
            self._updates.count()
            self._require_untouched_rate()
        else:
            self._begin()
        step = self._updates.batches // self._batches_per_update - self._first_update
        self._expected_rate = self._rate.write(float(self.curve(step)))
        if self.momentum and self._momentum:
            self._momentum.write(float(self.momentum(step)))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Logs the rate of the last update as `learning_rate`, as Keras's own callbacks do."""
        if logs is not None:
            logs["learning_rate"] = float(self._rate.read())

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Warns if training of unknown length didn't end with a cycle."""
        if not self._checked_fit:
            self._warn_of_misfit(self._batches_made())
        del self._updates, self._rate, self._momentum  # they can't be copied or pickled

    def _batches_made(self) -> int:
        return UpdateCounter(self.model.optimizer, self.model).batches

    def _begin(self) -> None:
        """Starts before the first batch. A resumed run may have changed its rate and its count until now."""
        at_begin, self._updates = self._updates.batches, UpdateCounter(self.model.optimizer, self.model)
        if self._updates.batches == at_begin:
            self._require_untouched_rate()
        self._started = True

    def _warn_of_earlier_updates(self, batches: int) -> None:
        self._checked_fit = True
        made = formats.plural(batches // self._batches_per_update, "update")
        warnings.warn(
            f"{type(self).__name__}: The optimizer has already made {made}, so the policy continues from there. To "
            "start it from its beginning, compile the model again before `fit`. To continue a training run, pass "
            "`initial_epoch` to `fit`.",
            stacklevel=2,
        )

    def _warn_of_new_optimizer(self, epoch: int) -> None:
        self._checked_fit = True
        warnings.warn(
            f"{type(self).__name__}: Training continues at epoch {epoch + 1}, but the optimizer has made no updates, "
            "so the policy starts from its beginning. To continue the policy, load the whole model with its optimizer: "
            "`keras.models.load_model`, or `keras.callbacks.BackupAndRestore`.",
            stacklevel=2,
        )

    def _updates_of_fit(self) -> int:
        if not self.params.get("steps"):
            raise self._unknown_length("cannot be read from data of unknown length")
        batches = self.params["steps"] * self.params["epochs"]
        return max(1, int(batches) // batches_per_update(self.model.optimizer))

    def _unknown_length(self, received: str) -> SettingsError:
        name, argument = type(self).__name__, self._open.argument if self._open else ""
        return SettingsError(
            f"{name} without `{argument}` takes its length from the epochs and steps of a single `fit`. Pass "
            f"`{argument}`, or to `fit` the argument `steps_per_epoch`. Received: a length that {received}"
        )

    def _warn_of_misfit(self, batches: int) -> None:
        self._checked_fit = True
        misfit = self.curve.misfit(batches // self._batches_per_update)
        if misfit:
            warnings.warn(f"{type(self).__name__}: {misfit}", stacklevel=2)

    def _require_untouched_rate(self) -> None:
        found = self._rate.read()
        if found != self._expected_rate:
            name = type(self).__name__
            raise SettingsError(
                f"No callback other than {name} may set the learning rate. Remove the other one, such as a second "
                f"policy, ReduceLROnPlateau or LearningRateScheduler, or remove {name}. "
                f"Received: {formats.rate(found, 6)} instead of {formats.rate(self._expected_rate, 6)}"
            )

    def _require_settable_optimizer(self) -> None:
        name, inner = type(self).__name__, unscaled(self.model.optimizer)
        if self.model.steps_per_execution != 1:
            raise SettingsError(
                f"{name} sets the rate between two steps. Compile the model with `steps_per_execution=1`, or use a "
                f"schedule, which sets the rate of each step inside an execution: `CurveSchedule({self.curve})`. "
                f"Received: steps_per_execution={self.model.steps_per_execution}"
            )
        if hasattr(inner, "optimizers"):
            raise SettingsError(
                f"{name} sets the rate of one optimizer. Give each of several optimizers a schedule: "
                f"`CurveSchedule({self.curve})`. "
                f"Received: {type(inner).__name__}"
            )
        require_settable_rate(self.model, name)
        if self.momentum and not isinstance(getattr(inner, "momentum", None), keras.Variable):
            raise SettingsError(
                f"{name} can cycle only the momentum of `lrdiag.SGD`. Compile the model with it, or leave out "
                f"`momentum`. {_why_not(inner)} Received: {type(inner).__module__}.{type(inner).__name__}"
            )


def _pair(momentum: object) -> tuple[float, float]:
    if not (isinstance(momentum, tuple | list) and len(momentum) == 2):
        raise SettingsError(
            "Argument `momentum` must be two numbers: at the peak of the rate and at the lowest rate, such as "
            "(0.85, 0.95). Pass a constant momentum to the optimizer instead. "
            f"Received: momentum={momentum!r}"
        )
    low, high = momentum
    return low, high


def _why_not(optimizer: keras.Optimizer) -> str:
    if isinstance(optimizer, SGD):
        return "The momentum is already a schedule."
    if hasattr(optimizer, "beta_1"):
        return "Its bias correction assumes a constant beta_1, so cycling it would scale the updates wrongly."
    if hasattr(optimizer, "momentum"):
        return "Its momentum is a constant in the compiled step, so setting it would have no effect."
    return "It has no momentum."
