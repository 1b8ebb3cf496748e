"""The curves of `lrdiag.rate.curves` as Keras callbacks, for a model that is compiled with a number as its rate."""

from __future__ import annotations

import warnings

import keras

from lrdiag import formats
from lrdiag.backend.optimizers import UpdateCounter, batches_per_update, require_settable_rate, unscaled
from lrdiag.backend.scalar import Cell
from lrdiag.errors import SettingsError
from lrdiag.policies.sgd import SGD
from lrdiag.rate.curves import Anneal, Convention, Curve, CycledMomentum, Cyclic, CyclicMode, OneCycle, require_curve
from lrdiag.rate.preview import Previewed, misfit


class CurveLR(Previewed, keras.callbacks.Callback):  # type: ignore[misc]
    """Sets the rate of every update to that of a curve, and the momentum against it.

    The callback form of `CurveSchedule`. It counts the optimizer's own updates, so a training that goes on, after
    `BackupAndRestore` or from a saved model, goes on in mid-cycle; updates that loss scaling skips do not count. For a
    policy that begins anew, compile the model again. Where data of unknown length end, Keras counts an update that it
    has not made. Each epoch logs the rate of its last update as `learning_rate`, which the progress bar and the history
    show.

    Nothing else may set the rate. Callbacks do not see each other, so another that does, such as `ReduceLROnPlateau`,
    is noticed, and ends the training with an error, at the first step after it has acted and not before.

    Example:
        >>> import numpy as np
        >>> from lrdiag.rate.curves import InverseTimeDecay, Warmup
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.01), loss="mse")
        >>> warmup = CurveLR(Warmup(InverseTimeDecay(0.1, steps_per_epoch=8), warmup_steps=4))
        >>> history = model.fit(np.ones((6, 2)), np.ones(6), batch_size=2, verbose=0, callbacks=[warmup])
        >>> round(float(model.optimizer.learning_rate), 4)  # the third update, half way up
        0.05

    Args:
        curve: The policy.
        momentum: The momentum at the peak of the rate and where the rate is lowest, such as `(0.85, 0.95)`. The
            optimizer must then be `lrdiag.SGD`.

    Raises:
        SettingsError: If `curve` is no curve, or `momentum` no such pair.
    """

    def __init__(self, curve: Curve, *, momentum: tuple[float, float] | None = None) -> None:
        super().__init__()
        require_curve(curve)
        self.curve = curve
        self.momentum = None if momentum is None else CycledMomentum(curve, *_pair(momentum))

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Refuses an optimizer that cannot be driven.

        Raises:
            SettingsError: If the rate or the momentum of this optimizer cannot be set at every update.
        """
        self._require_drivable_optimizer()
        optimizer = unscaled(self.model.optimizer)
        self._batches_per_update = batches_per_update(self.model.optimizer)
        self._updates = UpdateCounter(self.model.optimizer)
        self._rate = Cell(optimizer.learning_rate)
        self._momentum = Cell(optimizer.momentum) if self.momentum else None
        self._expected_rate = self._rate.read()
        self._started = False
        self._judged = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Warns of a training that does not begin with a cycle, or will not end with one.

        Not before now is a restored training restored.
        """
        if self._judged:
            return
        batches = self._batches_made()
        if epoch == 0 and batches and batches == self._updates.batches:
            self._warn_of_late_begin(batches)
        elif self.params.get("steps"):
            self._warn_of_misfit(batches + self.params["steps"] * (self.params["epochs"] - epoch))

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Sets the rate and the momentum of the update that comes next.

        Raises:
            SettingsError: If something else has set the rate since the last update.
            ModelError: If the optimizer makes no updates.
        """
        if self._started:
            self._updates.count()
            self._require_untouched_rate()
        else:
            self._begin()
        step = self._updates.batches // self._batches_per_update
        self._expected_rate = self._rate.write(float(self.curve(step)))
        if self.momentum and self._momentum:
            self._momentum.write(float(self.momentum(step)))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Logs the rate of the epoch's last update as `learning_rate`, as Keras's own callbacks do."""
        if logs is not None:
            logs["learning_rate"] = float(self._rate.read())

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Warns of a training of unknown length that has not ended with a cycle."""
        if not self._judged:
            self._warn_of_misfit(self._batches_made())
        del self._updates, self._rate, self._momentum  # with them it could be neither copied nor pickled

    def _previewed(self) -> Curve:
        return self.curve

    def _batches_made(self) -> int:
        return UpdateCounter(self.model.optimizer).batches

    def _begin(self) -> None:
        """Before the first batch. Restoring a training may have moved its rate and its count by now."""
        at_begin, self._updates = self._updates.batches, UpdateCounter(self.model.optimizer)
        if self._updates.batches == at_begin:
            self._require_untouched_rate()
        self._started = True

    def _warn_of_late_begin(self, batches: int) -> None:
        self._judged = True
        made = formats.plural(batches // self._batches_per_update, "update")
        warnings.warn(
            f"{type(self).__name__}: The optimizer has made {made} already, and the policy goes on from there. For one "
            "that begins anew, compile the model again before `fit`. To go on on purpose, tell `fit` with which epoch, "
            "as `initial_epoch`.",
            stacklevel=2,
        )

    def _warn_of_misfit(self, batches: int) -> None:
        self._judged = True
        fault = misfit(self.curve, batches // self._batches_per_update)
        if fault:
            warnings.warn(f"{type(self).__name__}: {fault}", stacklevel=2)

    def _require_untouched_rate(self) -> None:
        found = self._rate.read()
        if found != self._expected_rate:
            name = type(self).__name__
            raise SettingsError(
                f"Something besides {name} sets the learning rate: it was left at {self._expected_rate:g}. Received: "
                f"{found:g}. Remove the other callback, such as a second policy, ReduceLROnPlateau or "
                f"LearningRateScheduler, or remove {name}"
            )

    def _require_drivable_optimizer(self) -> None:
        name, inner = type(self).__name__, unscaled(self.model.optimizer)
        if self.model.steps_per_execution != 1:
            raise SettingsError(
                f"{name} sets the rate between two steps, and Keras runs several at once. Compile the model with "
                f"`steps_per_execution=1`, or with a schedule, which is exact there: `CurveSchedule({self.curve})`. "
                f"Received: steps_per_execution={self.model.steps_per_execution}"
            )
        if hasattr(inner, "optimizers"):
            raise SettingsError(
                f"{name} drives one optimizer. Give each of several its own schedule: `CurveSchedule({self.curve})`. "
                f"Received: {type(inner).__name__}"
            )
        require_settable_rate(self.model, name)
        if self.momentum and not isinstance(getattr(inner, "momentum", None), keras.Variable):
            raise SettingsError(
                f"{name} cycles the momentum of `lrdiag.SGD` only. Compile the model with it, or leave "
                f"out `momentum`. {_why_not(inner)} Received: {type(inner).__module__}.{type(inner).__name__}"
            )


class CyclicLR(CurveLR):
    """Cycles the optimizer's learning rate between two boundaries, update by update.

    The callback form of `CyclicSchedule`; see `lrdiag.rate.curves.Cyclic` for the formula.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.01), loss="mse")
        >>> cyclic = CyclicLR(base_lr=0.01, max_lr=0.1, step_size=4)
        >>> history = model.fit(np.ones((16, 2)), np.ones(16), batch_size=2, verbose=0, callbacks=[cyclic])
        >>> round(float(model.optimizer.learning_rate), 4)  # the last update of eight, one before the base
        0.0325

    Args:
        base_lr: The lower boundary.
        max_lr: The upper boundary.
        step_size: Steps in the rising half of a cycle; two to ten epochs are customary, or half of a short training.
        mode: How the cycles change: `"triangular"`, `"triangular2"`, `"exp_range"` or `"exp_range_boundaries"`.
        gamma: The decay of each step in the modes `"exp_range…"`.
        step_size_down: Steps in the falling half; `None` takes `step_size`.
        momentum: See `CurveLR`.
    """

    def __init__(
        self,
        base_lr: float,
        max_lr: float,
        step_size: float,
        mode: CyclicMode = "triangular",
        gamma: float = 1.0,
        step_size_down: float | None = None,
        *,
        momentum: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(Cyclic(base_lr, max_lr, step_size, mode, gamma, step_size_down), momentum=momentum)


class OneCycleLR(CurveLR):
    """Raises the optimizer's learning rate once and lowers it for the rest of training.

    The callback form of `OneCycleSchedule`; see `lrdiag.rate.curves.OneCycle` for the formula.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(SGD(0.01), loss="mse")
        >>> one_cycle = OneCycleLR(max_lr=0.1, total_steps=8, momentum=(0.85, 0.95))
        >>> history = model.fit(np.ones((16, 2)), np.ones(16), batch_size=2, verbose=0, callbacks=[one_cycle])
        >>> round(float(model.optimizer.learning_rate), 4), round(float(model.optimizer.momentum), 3)
        (0.0067, 0.943)

    Args:
        max_lr: The peak.
        total_steps: Steps in the whole of training.
        pct_start: Which share of the steps rises; `None` takes the convention's.
        div_factor: Determines the first rate; `None` takes the convention's.
        final_div_factor: Determines the last rate; `None` takes the convention's.
        convention: `"fastai"` or `"pytorch"`.
        anneal: `"cos"` or `"linear"`.
        three_phase: Fall back to the first rate, then on to the last.
        momentum: See `CurveLR`.
    """

    def __init__(
        self,
        max_lr: float,
        total_steps: int,
        pct_start: float | None = None,
        div_factor: float | None = None,
        final_div_factor: float | None = None,
        convention: Convention = "fastai",
        anneal: Anneal = "cos",
        three_phase: bool = False,
        *,
        momentum: tuple[float, float] | None = None,
    ) -> None:
        curve = OneCycle(max_lr, total_steps, pct_start, div_factor, final_div_factor, convention, anneal, three_phase)
        super().__init__(curve, momentum=momentum)


def _pair(momentum: object) -> tuple[float, float]:
    if not (isinstance(momentum, tuple | list) and len(momentum) == 2):
        raise SettingsError(
            "Argument `momentum` must be two numbers, at the peak of the rate and where the rate is lowest, such as "
            "(0.85, 0.95). A momentum that stays is given to the optimizer alone. "
            f"Received: momentum={momentum!r}"
        )
    low, high = momentum
    return low, high


def _why_not(optimizer: keras.Optimizer) -> str:
    if isinstance(optimizer, SGD):
        return "Its momentum is a schedule already."
    if hasattr(optimizer, "beta_1"):
        return "Its bias correction assumes that beta_1 never changes, so a cycled one would scale the updates wrongly."
    if hasattr(optimizer, "momentum"):
        return "It writes its momentum into the compiled step as a number, so setting it would change nothing."
    return "It has no momentum."
