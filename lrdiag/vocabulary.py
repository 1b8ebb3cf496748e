"""Names that arguments and options accept."""

from __future__ import annotations

from typing import Literal, get_args

OptimizerName = Literal["sgd", "adam", "adamw", "nadam", "adamax", "rmsprop", "adagrad", "adadelta"]
ScheduleName = Literal[
    "cyclic", "triangular2", "exp-range", "one-cycle", "cosine-restarts", "plateau", "decay", "constant"
]
AugmentationName = Literal["flip", "crop", "erase"]
AssetsName = Literal["inline", "folder"]
Preprocessing = Literal["raw", "0..1", "-1..1", "torch", "caffe", "standardized"]
ResizeName = Literal["stretch", "crop", "pad"]
GateRule = Literal["fail-under", "fail-if-worse"]
RuleName = Literal["steepest", "fastai-valley", "fastai-slide", "fastai-minimum", "fastai-steep", "torch-lr-finder"]
OPTIMIZERS: tuple[str, ...] = get_args(OptimizerName)
SCHEDULES: tuple[str, ...] = get_args(ScheduleName)
AUGMENTATIONS: tuple[str, ...] = get_args(AugmentationName)
ASSETS: tuple[str, ...] = get_args(AssetsName)
DATA_NAMES = ("cifar10", "digits")  # requested by name; anything else is a path
GATE_RULES: tuple[GateRule, ...] = get_args(GateRule)
RULES: tuple[str, ...] = get_args(RuleName)
PREPROCESSINGS: tuple[str, ...] = get_args(Preprocessing)
RESIZES: tuple[str, ...] = get_args(ResizeName)
BOUNDED_SCHEDULES = ("cyclic", "triangular2", "exp-range", "one-cycle")  # take two rates; the others take one
CYCLE_RATIO = 10.0  # a cycle starts and ends at a tenth of its peak
