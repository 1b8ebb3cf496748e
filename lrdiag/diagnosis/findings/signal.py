"""Rules about the start and each epoch: units that are dead or saturated, and gradients that vanish or explode."""

from __future__ import annotations

import math

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed
from lrdiag.diagnosis.findings.layers import RELUS, hidden, is_trained, with_kernel
from lrdiag.diagnosis.findings.losses import learnt_little
from lrdiag.formats import count, percent
from lrdiag.record.observed import Kernel, Layer

_FEWEST_UNITS = 8
_FEWEST_KERNELS = 3


def dead_units(evidence: Evidence, threshold: float) -> Answer:
    """Most units of a ReLU layer return 0 for all images, before training or after an epoch."""
    layers = [each for each in given(evidence.layers) if _is_relu(each)]
    if not layers:
        return NotChecked("no layer ends in a ReLU")
    is_new = evidence.start is not None and not is_trained(evidence)
    worst = max(layers, key=lambda each: each.activity.silent)
    share = worst.activity.silent
    if share >= (threshold if is_new else 1.0):  # trained units may wait for images that are not in the sample
        return _dead(worst, share, "before the first update", threshold)
    killed = killed_layer(evidence, threshold)
    if killed is not None:
        layer, share, epoch = killed
        return _dead(layer, share, f"after epoch {epoch}", threshold)
    return Passed(share, threshold)


def _dead(layer: Layer, share: float, when: str, threshold: float) -> Found:
    units = layer.shape[-1]
    return Found(
        f"{percent(share)} of the units of `{layer.name}` are dead {when}.",
        f"{count(round(share * units))} of its {count(units)} units end in a ReLU that returns 0 for every image of a "
        "sample.",
        'Initialize biases with zeros (`bias_initializer="zeros"`) and kernels with `kernel_initializer="he_normal"`, '
        'or use `activation="leaky_relu"`.'
        if when.startswith("before")
        else 'Lower the learning rate, or use `activation="leaky_relu"`.',
        share,
        threshold,
        why="A ReLU that is never active has no gradient, so that its unit can't recover.",
        severity="error" if share == 1 else None,
    )


def killed_layer(evidence: Evidence, threshold: float) -> tuple[Layer, float, int] | None:
    """A ReLU layer that was active before training and died, with its share of dead units, and the epoch.

    `None` if much was learnt nevertheless: a layer may have more units than it needs.
    """
    if not learnt_little(evidence):
        return None
    layers = {each.name: each for each in given(evidence.layers) if _is_relu(each) and each.activity.silent < threshold}
    for state in evidence.epochs or ():
        dead = [(share, name) for name, share in state.silent.items() if share >= threshold and name in layers]
        if dead:
            share, name = max(dead)
            return layers[name], share, state.epoch
    return None


def _is_relu(layer: Layer) -> bool:
    return layer.activation in RELUS and layer.activity.finite and layer.shape[-1] >= _FEWEST_UNITS


def saturated_units(evidence: Evidence, threshold: float) -> Answer:
    """Most values of a hidden sigmoid or tanh are at an end of its range."""
    layers = [each for each in hidden(given(evidence.layers)) if each.activation in ("sigmoid", "tanh")]
    if not layers:
        return NotChecked("no hidden layer ends in a sigmoid or tanh")
    worst = max(layers, key=lambda each: each.activity.saturated)
    share = worst.activity.saturated
    if share <= threshold:
        return Passed(share, threshold)
    return Found(
        f"The {worst.activation} of `{worst.name}` is saturated: {percent(share)} of its values are at an end of its "
        "range.",
        f"Before the first update, {percent(share)} of the values are closer than 0.01 to an end of the range.",
        'Keep what it receives small: `kernel_initializer="glorot_uniform"`, inputs of about 1, or a '
        '`BatchNormalization` layer before it. Or use `activation="relu"`.',
        share,
        threshold,
        why="At the ends of its range its slope is almost 0, so that the layers before it learn very slowly.",
    )


def vanishing_gradients(evidence: Evidence, threshold: float) -> Answer:
    """The gradients of the first layers of an untrained model are tiny.

    Measured is the gradient times the root of the number of inputs, which does not depend on the width: it is 0.005 to
    5 in sound networks. The smaller weights of a last layer make all other gradients smaller; this does not last, and
    is taken out.
    """
    kernels = _kernels(evidence)
    if len(kernels) < _FEWEST_KERNELS or not all(math.isfinite(_slope(each)) for _, each in kernels):
        return NotChecked(f"fewer than {_FEWEST_KERNELS} layers have a gradient that is finite")
    last = kernels[-1][1]
    handed_on = min(1.0, last.rms * last.units**0.5)
    if not handed_on:
        return NotChecked("the weights of the last layer are 0, so that it hands on no gradient")
    slope = max(_slope(each) for _, each in kernels[: max(1, len(kernels) // 4)]) / handed_on
    if slope >= threshold or is_trained(evidence):
        return Passed(slope, threshold)
    return Found(
        f"The gradients vanish: they are {slope:.1g} in the first layers.",
        f"Root mean square of the gradient times the root of the number of inputs, by layer: {_listed(kernels)}. "
        "In sound networks it is 0.01 to 5.",
        'Use `activation="relu"` with `kernel_initializer="he_normal"`, `BatchNormalization` layers, or residual '
        "connections.",
        slope,
        threshold,
        why="The first layers hardly learn, so that the others have to do with what random layers return.",
    )


def exploding_gradients(evidence: Evidence, threshold: float) -> Answer:
    """Gradients are huge or not finite before the first update. They are measured as in `vanishing_gradients`."""
    kernels = _kernels(evidence)
    if not kernels:
        return NotChecked("no kernel has a gradient")
    broken = next((layer.name for layer, kernel in kernels if not math.isfinite(_slope(kernel))), None)
    slope = max(_slope(kernel) for _, kernel in kernels)
    if broken is None and slope <= threshold:
        return Passed(slope, threshold)
    return Found(
        "The gradients explode: "
        + (f"they are up to {slope:.3g}." if broken is None else f"they are not finite in `{broken}`."),
        f"Root mean square of the gradient times the root of the number of inputs before the first update, by layer: "
        f"{_listed(kernels)}. In sound networks it is 0.01 to 5.",
        "Use the default `kernel_initializer`, add `BatchNormalization` layers, or clip the gradients with "
        "`clipnorm=1.0` in the optimizer.",
        None if broken else slope,
        threshold,
        why="The first updates throw the weights far away, or make them NaN.",
        severity="error" if broken is not None else None,
    )


def _kernels(evidence: Evidence) -> list[tuple[Layer, Kernel]]:
    """The trained layers with a gradient, and their kernels."""
    return [
        (layer, kernel)
        for layer, kernel in with_kernel(given(evidence.layers))
        if kernel.trainable and kernel.data_gradient is not None
    ]


def _slope(kernel: Kernel) -> float:
    return (kernel.data_gradient or 0.0) * float(kernel.fan_in**0.5)


def _listed(kernels: list[tuple[Layer, Kernel]]) -> str:
    shown = kernels if len(kernels) <= 4 else [*kernels[:2], *kernels[-2:]]
    return ", ".join(f"{_slope(kernel):.2g} in `{layer.name}`" for layer, kernel in shown)
