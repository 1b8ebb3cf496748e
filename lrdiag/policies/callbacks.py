"""The cycles of `lrdiag.rate.curves` as Keras callbacks, for a model compiled with a number as its learning rate."""

from __future__ import annotations

from functools import partial
from typing import Any

from lrdiag.errors import SettingsError
from lrdiag.policies.curve_lr import CurveLR
from lrdiag.rate.curves import Anneal, Convention, Cyclic, CyclicMode, OneCycle

_SOME_UPDATES = 1000  # the other arguments of a policy without a length are checked with it


class CyclicLR(CurveLR):
    """Cycles the learning rate of each update between two boundaries.

    The callback form of `CyclicSchedule`; see `lrdiag.rate.curves.Cyclic` for the formula. Without `step_size`, the
    cycles span the epochs of `fit`: each `fit` from epoch 0 begins them again, and one with `initial_epoch` continues
    them, whatever updates the optimizer has made.

    Example:
        >>> import keras
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
            `None` spreads the cycles over the epochs of each `fit`: one for every 16 epochs, and at least three in the
            other modes than `"triangular"`.
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
        step_size: float | None = None,
        mode: CyclicMode = Cyclic.mode,
        gamma: float = Cyclic.gamma,
        step_size_down: float | None = Cyclic.step_size_down,
        *,
        momentum: tuple[float, float] | None = None,
    ) -> None:
        if step_size is None and step_size_down is not None:
            raise SettingsError(
                "Argument `step_size_down` needs `step_size`. Pass both, or neither to take the length of the cycles "
                f"from `fit`. Received: step_size_down={step_size_down!r}"
            )
        checked = Cyclic(base_lr, max_lr, 1 if step_size is None else step_size, mode, gamma, step_size_down)
        super().__init__(checked, momentum=momentum)
        if step_size is None:
            self._take_length_from_fit("step_size", partial(Cyclic.over, base_lr, max_lr, mode=mode, gamma=gamma))


class OneCycleLR(CurveLR):
    """Raises the learning rate once and lowers it for the rest of training.

    The callback form of `OneCycleSchedule`; see `lrdiag.rate.curves.OneCycle` for the formula. Without `total_steps`,
    the cycle spans the epochs of `fit`: each `fit` from epoch 0 begins it again, and one with `initial_epoch` continues
    it, whatever updates the optimizer has made.

    Example:
        >>> import keras, lrdiag
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(lrdiag.SGD(0.01), loss="mse")
        >>> one_cycle = OneCycleLR(max_lr=0.1, momentum=(0.85, 0.95))  # over the eight updates of this `fit`
        >>> history = model.fit(np.ones((16, 2)), np.ones(16), batch_size=2, verbose=0, callbacks=[one_cycle])
        >>> round(float(model.optimizer.learning_rate), 4), round(float(model.optimizer.momentum), 3)
        (0.0067, 0.943)

    Args:
        max_lr: The peak.
        total_steps: Number of steps in the training run. `None` spans the epochs of each `fit`.
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
        total_steps: int | None = None,
        pct_start: float | None = OneCycle.pct_start,
        div_factor: float | None = OneCycle.div_factor,
        final_div_factor: float | None = OneCycle.final_div_factor,
        convention: Convention = OneCycle.convention,
        anneal: Anneal = OneCycle.anneal,
        three_phase: bool = OneCycle.three_phase,
        *,
        momentum: tuple[float, float] | None = None,
    ) -> None:
        shape = pct_start, div_factor, final_div_factor, convention, anneal, three_phase
        checked = OneCycle(max_lr, _SOME_UPDATES if total_steps is None else total_steps, *shape)
        super().__init__(checked, momentum=momentum)
        if total_steps is None:
            self._take_length_from_fit("total_steps", partial(_one_cycle, max_lr, shape))


def _one_cycle(max_lr: float, shape: tuple[Any, ...], updates: int, epochs: int) -> OneCycle:
    return OneCycle(max_lr, updates, *shape)
