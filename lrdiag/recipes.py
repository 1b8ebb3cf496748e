"""How each network is trained, unless the settings say otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, unless the settings say otherwise.

    Attributes:
        weight_decay: Decoupled weight decay, per step and unit of learning rate, or `None` for the optimizer's own.
        batch_size: Number of images in an update if there are many training images.
        epochs: Number of passes over many training images.
        is_progressive: Whether training begins on smaller images.
    """

    weight_decay: float | None = None
    batch_size: int = 128
    epochs: int = 4
    is_progressive: bool = False


_OF_NETWORKS = {"fast": Recipe(weight_decay=5e-3, batch_size=256, epochs=3, is_progressive=True)}


def recipe_of(network: str) -> Recipe:
    """Returns the recipe of a network.

    Example:
        >>> recipe_of("fast").batch_size, recipe_of("article").batch_size, recipe_of("mine.keras").batch_size
        (256, 128, 128)

    Args:
        network: Its name, as in the settings.
    """
    return _OF_NETWORKS.get(network, Recipe())
