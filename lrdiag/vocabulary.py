"""Names that arguments and options accept, and how they may be spelled."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, TypeVar, get_args

OptimizerName = Literal["sgd", "adam", "adamw", "nadam", "adamax", "rmsprop", "adagrad", "adadelta"]
ScheduleName = Literal[
    "cyclic", "triangular2", "exp-range", "one-cycle", "cosine-restarts", "plateau", "decay", "constant"
]
AugmentationName = Literal["flip", "crop", "erase"]
AssetsName = Literal["inline", "folder"]
Preprocessing = Literal["raw", "0..1", "-1..1", "torch", "caffe", "standardized"]
ResizeName = Literal["stretch", "crop", "pad"]
GateRule = Literal["fail-under", "fail-if-worse", "fail-on"]
FailOn = Literal["error", "warning"]
RuleName = Literal["steepest", "fastai-valley", "fastai-slide", "fastai-minimum", "fastai-steep", "torch-lr-finder"]
OPTIMIZERS: tuple[str, ...] = get_args(OptimizerName)
SCHEDULES: tuple[str, ...] = get_args(ScheduleName)
AUGMENTATIONS: tuple[str, ...] = get_args(AugmentationName)
ASSETS: tuple[str, ...] = get_args(AssetsName)
ENGINES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}  # by the name of the Keras backend
NETWORKS = ("fast", "article")  # requested by name; anything else is a file or a function
DATA_NAMES = ("cifar10", "digits")  # requested by name; anything else is a path
FAIL_ON: tuple[FailOn, ...] = get_args(FailOn)  # most severe first
GATE_RULES: tuple[GateRule, ...] = get_args(GateRule)
RULES: tuple[str, ...] = get_args(RuleName)
PREPROCESSINGS: tuple[str, ...] = get_args(Preprocessing)
RESIZES: tuple[str, ...] = get_args(ResizeName)
BOUNDED_SCHEDULES = ("cyclic", "triangular2", "exp-range", "one-cycle")  # take two rates; the others take one
CYCLE_RATIO = 10.0  # a cycle starts and ends at a tenth of its peak

_Value = TypeVar("_Value")
_BETWEEN_WORDS = re.compile(r"(?<=[^\W_])[-_ ]+(?=[^\W_])")  # not the minus of "-1..1"


def canonical(value: _Value, choices: Iterable[str]) -> _Value | str:
    """Returns the choice that `value` spells. Case does not matter, nor do hyphens, underscores and spaces in a name.

    Example:
        >>> canonical("One_Cycle", SCHEDULES), canonical("CIFAR-10", DATA_NAMES), canonical("warm-up", SCHEDULES)
        ('one-cycle', 'cifar10', 'warm-up')

    Args:
        value: The value that was received, of any type.
        choices: The valid names.

    Returns:
        The name as `choices` contains it, or `value` itself if it spells none of them.
    """
    if not isinstance(value, str):
        return value
    return next((choice for choice in choices if spelling(choice) == spelling(value)), value)


def spelling(name: str) -> str:
    """Returns what remains of a name if case and separators do not matter."""
    return _BETWEEN_WORDS.sub("", name.strip().casefold())
