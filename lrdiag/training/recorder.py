"""Records the learning rate, the momentum and the loss of each step of a training run."""

from __future__ import annotations

from lrdiag.backend.optimizers import HyperParameters, build_multi_optimizer, inner_optimizers
from lrdiag.backend.train_function import BatchLoss
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
        self._batch_loss = BatchLoss(self.model)
        build_multi_optimizer(self.model)
        self._hyper_parameters = HyperParameters(inner_optimizers(self.model.optimizer)[0], self.model)

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Reads rate and momentum. After the update, a schedule would give those of the next one."""
        self._rate = self._hyper_parameters.learning_rate()
        self._momentum = self._hyper_parameters.momentum()
        self._batch_loss.begin()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Records rate, momentum and loss of the batch.

        Raises:
            ModelError: If a custom `train_step` hasn't updated the metric `loss`.
        """
        self.losses.append(self._batch_loss.end())
        self.learning_rates.append(self._rate)
        if self._momentum is not None:
            self.momentums.append(self._momentum)
