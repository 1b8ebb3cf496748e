"""Learning-rate policies as pure functions `step -> rate`.

A curve is the only place that knows the formula of a policy. The Keras schedule, the callback, the charts and the
tests call it. Steps count updates from 0; rates are those of the optimizer.
"""

from lrdiag.rate.curves.base import Curve, curve_from_config, require_curve
from lrdiag.rate.curves.checks import is_number
from lrdiag.rate.curves.combined import CycledMomentum, Warmup
from lrdiag.rate.curves.cyclic import Cyclic, CyclicMode
from lrdiag.rate.curves.decay import CosineRestarts, InverseTimeDecay
from lrdiag.rate.curves.ladders import LADDERS, ExponentialSweep, LinearSweep
from lrdiag.rate.curves.one_cycle import Anneal, Convention, OneCycle

__all__ = [
    "LADDERS",
    "Anneal",
    "Convention",
    "CosineRestarts",
    "Curve",
    "CycledMomentum",
    "Cyclic",
    "CyclicMode",
    "ExponentialSweep",
    "InverseTimeDecay",
    "LinearSweep",
    "OneCycle",
    "Warmup",
    "curve_from_config",
    "is_number",
    "require_curve",
]
