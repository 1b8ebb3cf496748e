"""How far a trial of the optimizer moves weights."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from lrdiag.inspection.trial import NoTrial, try_updates
from lrdiag.record.observed import Trial

WEIGHTS = np.full((4, 4), 0.5, np.float32)
GRADIENT = np.full((4, 4), 0.1, np.float32)


def tried(optimizer: keras.Optimizer, *gradients: np.ndarray) -> Trial:
    given = gradients or (GRADIENT,)
    return try_updates(optimizer, [f"layer{place}" for place in range(len(given))], [WEIGHTS] * len(given), given)


@pytest.mark.parametrize(
    ("optimizer", "move"),
    [
        (keras.optimizers.SGD(0.3), 0.2),  # the gradient, divided by the weight
        (keras.optimizers.Adam(1e-5), 2.0),  # 1, divided by the weight
        (keras.optimizers.AdamW(0.1, weight_decay=0.01), 2.0),
        (keras.optimizers.Lion(0.1), 2.0),
    ],
)
def test_the_move_is_per_unit_of_the_rate(optimizer: keras.Optimizer, move: float) -> None:
    assert tried(optimizer).move == pytest.approx(move, rel=0.02)
    assert not tried(optimizer).climbs


def test_layers_without_a_gradient_do_not_count() -> None:
    trial = tried(keras.optimizers.SGD(), 0 * GRADIENT, 0 * GRADIENT, GRADIENT)
    assert trial.move == pytest.approx(0.2, rel=0.02)
    assert tried(keras.optimizers.SGD(), 0 * GRADIENT).move == 0


def test_clipping_counts() -> None:
    trial = tried(keras.optimizers.SGD(clipvalue=1e-3))
    assert (trial.move, trial.unclipped) == pytest.approx((0.002, 0.2), rel=0.02)


def test_an_optimizer_whose_moves_are_not_in_proportion_to_the_rate_is_not_tried() -> None:
    with pytest.raises(NoTrial, match="Ftrl"):
        tried(keras.optimizers.Ftrl())
