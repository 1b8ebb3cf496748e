"""A trial of the optimizer on copies of the weights."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from lrdiag.backend.optimizers import inner_optimizers
from lrdiag.record.observed import Trial

UPDATES = 10
_VALUES = 4_096  # of a weight that are copied
_NOT_TRIED = (
    "Muon",
    "Adafactor",
    "Lamb",
    "Ftrl",
)  # updates depend on more than single values, or not on the rate alone


class NoTrial(Exception):
    """The optimizer can't be tried; the message completes the sentence "not checked: …"."""


def try_updates(
    optimizer: keras.Optimizer, names: Sequence[str], weights: Sequence[np.ndarray], gradients: Sequence[np.ndarray]
) -> Trial:
    """Lets a copy of the optimizer make ten updates with the same gradient on copies of some values of each weight.

    Args:
        optimizer: A compiled optimizer. It does not change.
        names: Names of the layers of the kernels.
        weights: The kernels.
        gradients: Their gradients.

    Raises:
        NoTrial: If the optimizer can't be tried.
    """
    if len(inner_optimizers(optimizer)) > 1:
        raise NoTrial("several optimizers train the model")
    inner = inner_optimizers(optimizer)[0]
    if type(inner).__name__ in _NOT_TRIED:
        raise NoTrial(f"updates of {type(inner).__name__} can't be told from a few values of each weight")
    used = [place for place, each in enumerate(weights) if each.any() and np.isfinite(gradients[place]).all()]
    if not used:
        raise NoTrial("no gradient is finite")
    names, weights = [names[place] for place in used], [weights[place] for place in used]
    gradients = [gradients[place] for place in used]
    clipped = _clipped(inner, gradients)
    moves = _moves(inner, weights, clipped)
    free = moves if clipped is gradients else _moves(inner, weights, gradients)
    largest = int(np.argmax(np.abs(moves)))
    return Trial(
        move=_median(np.abs(moves)),
        largest=float(abs(moves[largest])),
        layer=names[largest],
        unclipped=_median(np.abs(free)),
        climbs=_median(moves) < 0,
    )


def _median(moves: np.ndarray) -> float:
    """The median of the moves that are not 0: the branches of a residual network may begin without a gradient."""
    return float(np.median(moves[moves != 0])) if moves.any() else 0.0


def _clipped(optimizer: keras.Optimizer, gradients: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Clips gradients as the optimizer does."""
    if optimizer.clipvalue:
        return [np.clip(each, -optimizer.clipvalue, optimizer.clipvalue) for each in gradients]
    norms = [float(np.sqrt(np.square(each, dtype=np.float64).sum())) for each in gradients]
    if optimizer.clipnorm:
        limits = [min(1.0, optimizer.clipnorm / (norm + 1e-30)) for norm in norms]
        return [each * limit for each, limit in zip(gradients, limits, strict=True)]
    if optimizer.global_clipnorm:
        limit = min(1.0, optimizer.global_clipnorm / (float(np.sqrt(np.square(norms).sum())) + 1e-30))
        return [each * limit for each in gradients]
    return gradients


def _moves(optimizer: keras.Optimizer, weights: Sequence[np.ndarray], gradients: Sequence[np.ndarray]) -> np.ndarray:
    """How far an update of rate 1 moves each weight, relative to its size; negative if it goes up the loss."""
    rate = 1e-3
    others = {
        "learning_rate": rate, "weight_decay": 0.0, "clipnorm": None, "clipvalue": None, "global_clipnorm": None,
        "use_ema": False, "loss_scale_factor": None, "gradient_accumulation_steps": None,
    }  # fmt: skip
    try:
        own = optimizer.get_config()
        copy = type(optimizer).from_config(own | {name: value for name, value in others.items() if name in own})
        before = [_some(each) for each in weights]
        pulls = [_some(each) for each in gradients]
        variables = [keras.Variable(each, dtype="float32") for each in before]
        copy.build(variables)
        for _ in range(UPDATES):
            copy.apply([keras.ops.convert_to_tensor(each) for each in pulls], variables)
        after = [np.asarray(keras.ops.convert_to_numpy(each.value)) for each in variables]
    except Exception as error:  # an optimizer of the user may need other arguments
        raise NoTrial(f"a copy of the optimizer failed ({type(error).__name__})") from error
    moved = [new - old for new, old in zip(after, before, strict=True)]
    signs = [-np.sign(float((move * pull).sum())) or 1.0 for move, pull in zip(moved, pulls, strict=True)]
    sizes = [_rms(move) / (_rms(old) + 1e-12) for move, old in zip(moved, before, strict=True)]
    return np.asarray(np.array(signs) * np.array(sizes) / (UPDATES * rate))


def _some(values: np.ndarray) -> np.ndarray:
    flat = np.asarray(values, np.float32).ravel()
    return np.ascontiguousarray(flat[:: max(1, flat.size // _VALUES)])


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
