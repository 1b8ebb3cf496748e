"""Number of epochs and batch size of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lrdiag.recipes import Recipe

LARGE_TRAINING_SET = 10_000  # images: from here on, the recipe of the network
SMALL_BATCH = 64
MIN_EPOCHS = 4  # for fewer images
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

    def steps_per_epoch(self, train_size: int) -> int:
        """Returns the number of updates in a pass over `train_size` images."""
        return math.ceil(train_size / self.batch_size)

    @classmethod
    def of(cls, batch_size: int | None, epochs: int | None, train_size: int, recipe: Recipe) -> Budget:
        """Chooses each argument that is `None` by the size of the training set.

        Example:
            >>> from lrdiag.recipes import Recipe
            >>> Budget.of(None, None, 1300, Recipe()), Budget.of(32, 3, 1300, Recipe())
            (Budget(batch_size=64, epochs=12), Budget(batch_size=32, epochs=3))
        """
        is_large = train_size >= LARGE_TRAINING_SET
        batch_size = batch_size or (recipe.batch_size if is_large else SMALL_BATCH)
        updates_per_epoch = math.ceil(train_size / batch_size)
        fewest = recipe.epochs if is_large else MIN_EPOCHS
        return cls(batch_size, epochs or max(fewest, math.ceil(MIN_UPDATES / updates_per_epoch)))
