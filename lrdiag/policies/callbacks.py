"""The curves of `lrdiag.rate.curves` as Keras callbacks, for a model compiled with a number as its learning rate."""

from __future__ import annotations

import warnings

import keras

from lrdiag import formats
from lrdiag.backend.optimizers import UpdateCounter, batches_per_update, require_settable_rate, unscaled
from lrdiag.backend.scalar import Scalar
from lrdiag.errors import SettingsError
from lrdiag.models.accepted import Callback
from lrdiag.policies.preview import Previewed
from lrdiag.policies.sgd import SGD
from lrdiag.rate.curves import Anneal, Convention, Curve, CycledMomentum, Cyclic, CyclicMode, OneCycle, require_curve


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
        self.curve = curve
        self.momentum = None if momentum is None else CycledMomentum(curve, *_pair(momentum))

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Finds the variables of rate and momentum.

        Raises:
            SettingsError: If the rate or the momentum of this optimizer can't be set at each update.
        """
        self._require_settable_optimizer()
        optimizer = unscaled(self.model.optimizer)
        self._batches_per_update = batches_per_update(self.model.optimizer)
        self._updates = UpdateCounter(self.model.optimizer)
        self._rate = Scalar(optimizer.learning_rate)
        self._momentum = Scalar(optimizer.momentum) if self.momentum else None
        self._expected_rate = self._rate.read()
        self._started = False
        self._checked_fit = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Warns if training continues from earlier updates, or won't end with a cycle.

        Keras restores a resumed run in `on_train_begin`, so the count of updates is known only now.
        """
        if self._checked_fit:
            return
        batches = self._batches_made()
        if epoch == 0 and batches and batches == self._updates.batches:
            self._warn_of_earlier_updates(batches)
        elif self.params.get("steps"):
            self._warn_of_misfit(batches + self.params["steps"] * (self.params["epochs"] - epoch))

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Sets the rate and the momentum of the next update.

        Raises:
            SettingsError: If another callback has set the rate since the last update.
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
        """Logs the rate of the last update as `learning_rate`, as Keras's own callbacks do."""
        if logs is not None:
            logs["learning_rate"] = float(self._rate.read())

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Warns if training of unknown length didn't end with a cycle."""
        if not self._checked_fit:
            self._warn_of_misfit(self._batches_made())
        del self._updates, self._rate, self._momentum  # they can't be copied or pickled

    def _batches_made(self) -> int:
        return UpdateCounter(self.model.optimizer).batches

    def _begin(self) -> None:
        """Starts before the first batch. A resumed run may have changed its rate and its count until now."""
        at_begin, self._updates = self._updates.batches, UpdateCounter(self.model.optimizer)
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
                f"Received: {found:g} instead of {self._expected_rate:g}"
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


class CyclicLR(CurveLR):
    """Cycles the learning rate of each update between two boundaries.

    The callback form of `CyclicSchedule`; see `lrdiag.rate.curves.Cyclic` for the formula.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.SGD(0.01), loss="mse")
        >>> cyclic = CyclicLR(base_lr=0.01, max_lr=0.1, step_size=4)
        >>> history = model.fit(np.ones((16, 2)), np.ones(16), batch_size=2, verbose=0, callbacks=[cyclic])
        >>> round(float(model.optimizer.learning_rate), 4)  # of the last of eight updates
        0.0325

    Args:
        base_lr: The lower boundary.
        max_lr: The upper boundary.
        step_size: Number of steps in the rising half of a cycle: two to ten epochs, or half of a short training run.
        mode: How the cycles change: `"triangular"`, `"triangular2"`, `"exp_range"` or `"exp_range_boundaries"`.
        gamma: Decay per step in the modes `"exp_range…"`.
        step_size_down: Number of steps in the falling half. Defaults to `step_size`.
        momentum: See `CurveLR`.

    Raises:
        SettingsError: If an argument is outside its range. In training, see `CurveLR`.
    """

    def __init__(
        self,
        base_lr: float,
        max_lr: float,
        step_size: float,
        mode: CyclicMode = Cyclic.mode,
        gamma: float = Cyclic.gamma,
        step_size_down: float | None = Cyclic.step_size_down,
        *,
        momentum: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(Cyclic(base_lr, max_lr, step_size, mode, gamma, step_size_down), momentum=momentum)


class OneCycleLR(CurveLR):
    """Raises the learning rate once and lowers it for the rest of training.

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
        total_steps: Number of steps in the training run.
        pct_start: Share of the steps in which the rate rises. Defaults to the convention's.
        div_factor: The peak divided by the first rate. Defaults to the convention's.
        final_div_factor: Determines the last rate. Defaults to the convention's.
        convention: `"fastai"` or `"pytorch"`.
        anneal: `"cos"` or `"linear"`.
        three_phase: Whether to fall back to the first rate before falling to the last.
        momentum: See `CurveLR`.

    Raises:
        SettingsError: If an argument is outside its range. In training, see `CurveLR`.
    """

    def __init__(
        self,
        max_lr: float,
        total_steps: int,
        pct_start: float | None = OneCycle.pct_start,
        div_factor: float | None = OneCycle.div_factor,
        final_div_factor: float | None = OneCycle.final_div_factor,
        convention: Convention = OneCycle.convention,
        anneal: Anneal = OneCycle.anneal,
        three_phase: bool = OneCycle.three_phase,
        *,
        momentum: tuple[float, float] | None = None,
    ) -> None:
        curve = OneCycle(max_lr, total_steps, pct_start, div_factor, final_div_factor, convention, anneal, three_phase)
        super().__init__(curve, momentum=momentum)


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
