"""Number of epochs and batch size of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass

LARGE_TRAINING_SET = 10_000  # images: from here on, batches of 128
MIN_EPOCHS = 4
MIN_UPDATES = 250  # fewer updates leave a network undertrained, for any number of epochs


@dataclass(frozen=True)
class Budget:
    """The size and the number of updates of a training run.

    Attributes:
        batch_size: Number of images in an update.
        epochs: Number of passes over the training set.
    """

    batch_size: int
    epochs: int

    @classmethod
    def of(cls, batch_size: int | None, epochs: int | None, train_size: int) -> Budget:
        """Chooses each argument that is `None` by the size of the training set.

        Example:
            >>> Budget.of(None, None, train_size=1300), Budget.of(32, 3, train_size=1300)
            (Budget(batch_size=64, epochs=12), Budget(batch_size=32, epochs=3))
        """
        batch_size = batch_size or (128 if train_size >= LARGE_TRAINING_SET else 64)
        updates_per_epoch = math.ceil(train_size / batch_size)
        return cls(batch_size, epochs or max(MIN_EPOCHS, math.ceil(MIN_UPDATES / updates_per_epoch)))
