"""Records the learning rate, the momentum and the loss of each step of a training run."""

from __future__ import annotations

from lrdiag.backend.optimizers import build_multi_optimizer
from lrdiag.backend.train_function import MeasuredSteps
from lrdiag.models.accepted import Callback
from lrdiag.record.arrays import finite


class StepRecorder(Callback):
    """Records the learning rate, the momentum and the loss of each step.

    With a `MultiOptimizer`, rate and momentum are those of its first optimizer. If `steps_per_execution` is above 1,
    each entry is one execution, with the rate of its first step and the mean loss of its batches.

    Attributes:
        learning_rates: Learning rate of each step.
        momentums: Momentum of each step. Empty if the optimizer has none.
        losses: Loss of each batch alone. It may be NaN or infinite.
    """

    def __init__(self) -> None:
        super().__init__()
        self.learning_rates: list[float] = []
        self.momentums: list[float] = []
        self.losses: list[float] = []

    @property
    def loss_per_step(self) -> list[float | None]:
        """The losses, with `None` in place of NaN and infinity."""
        return [finite(loss) for loss in self.losses]

    @property
    def momentum_per_step(self) -> list[float] | None:
        """The momentums, or `None` if they never changed."""
        return list(self.momentums) if len(set(self.momentums)) > 1 else None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Finds the loss tracker and the optimizer of the model.

        Raises:
            ModelError: If no metric of the model is named `loss`.
        """
        build_multi_optimizer(self.model)
        self._measured = MeasuredSteps(self.model, self._planned_steps())

    def _planned_steps(self) -> int | None:
        """Number of executions in `fit`, or `None` if it is not known."""
        steps, epochs = ((self.params or {}).get(name) for name in ("steps", "epochs"))
        return steps * epochs // int(self.model.steps_per_execution) if steps and epochs else None

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Prepares the measuring of the step."""
        self._measured.begin()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Records rate, momentum and loss of the batch.

        Raises:
            ModelError: If a custom `train_step` hasn't updated the metric `loss`.
        """
        step = self._measured.end()
        self.losses.append(step.loss)
        self.learning_rates.append(step.learning_rate)
        if step.momentum is not None:
            self.momentums.append(step.momentum)
