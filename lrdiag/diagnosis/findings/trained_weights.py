"""Rules about weights that are not trained: frozen layers, and weights that no gradient reaches."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed, listed
from lrdiag.formats import count, loss, plural
from lrdiag.record.observed import Layer

MISTAKEN = 0.2
"""Share of the frozen layers that may look trained though they never were. Of random weights, one in a hundred does."""


def frozen_layers(evidence: Evidence) -> Answer:
    """Frozen layers were never trained, all layers are frozen, or trained weights did not change."""
    layers = given(evidence.layers)
    weighted = [(layer, layer.kernel) for layer in layers if layer.kernel is not None]
    fresh = [layer for layer, kernel in weighted if layer.fresh and not kernel.trainable and not kernel.identical_units]
    known = [layer.fresh for layer in layers if layer.fresh is not None and not layer.trainable]
    if fresh and known.count(False) <= MISTAKEN * len(known):
        return _never_trained(fresh, sum(math.prod(kernel.shape) for _, kernel in weighted))
    if evidence.rates is not None and weighted and not any(layer.trainable for layer, _ in weighted):
        return Found(
            "All layers are frozen: training changes no weight of them.",
            f"None of {plural(len(weighted), 'layer')} with weights is trainable.",
            "Set `model.trainable = True` before `compile`, at least for the last layer.",
            why="The model stays as it is, however long it is trained.",
        )
    return _unchanged(evidence)


def _never_trained(fresh: Sequence[Layer], weights: int) -> Found:
    share = sum(math.prod(given(layer.kernel).shape) for layer in fresh) / weights
    return Found(
        f"{plural(len(fresh), 'layer')} {'is' if len(fresh) == 1 else 'are'} frozen with weights that were never "
        "trained.",
        f"{listed([layer.name for layer in fresh])}: trainable=False, and the weights are distributed as their "
        f"initializers draw them. They have {share:.0%} of the weights of the model.",
        'Load trained weights before you freeze layers, for example with `weights="imagenet"`, or train them: '
        "`layer.trainable = True`, then compile again.",
        float(len(fresh)),
        why="The rest of the model has to learn from features that are random.",
    )


def _unchanged(evidence: Evidence) -> Answer:
    epochs, start, rates = evidence.epochs, evidence.start, evidence.rates
    if not epochs or start is None or rates is None or not rates.mean:
        return Passed()
    explained = {*start.unreached, *start.without_gradient}
    still = [name for name in epochs[0].unchanged if name not in explained]
    if not still or not any(epochs[0].moved.values()) or _has_dead_units(given(evidence.layers)):
        return Passed()
    return Found(
        f"{plural(len(still), 'trained weight')} did not change in the first epoch.",
        f"Of {listed(still)}, no value changed in {plural(epochs[0].updates, 'update')}, although the loss depends on "
        "them and other weights moved.",
        "Compile the model after you set `trainable`, and check that a train_step of your own updates all of "
        "`self.trainable_variables`.",
        float(len(still)),
        why="What these layers compute stays random.",
        severity="warning",
    )


def disconnected_weights(evidence: Evidence) -> Answer:
    """The loss does not depend on trained weights."""
    start, layers = given(evidence.start), given(evidence.layers)
    if start.weights and len(start.unreached) + len(start.without_gradient) == start.weights:
        return Found(
            "No weight has a gradient: the loss does not depend on the model.",
            f"The gradient of the first batch is missing or 0 for all {plural(start.weights, 'trained weight')}. "
            f"The loss is {loss(start.loss)}.",
            "Check its weight, `compile(loss_weights=...)`, the sample weights, and whether the loss uses `y_pred`.",
            float(start.weights),
            why="No update changes the model.",
        )
    names = [name for name in start.unreached or _stuck(evidence) if not _cancels_out(name, layers)]
    if not names:
        return Passed()
    if not start.unreached and _has_dead_units(layers):
        return NotChecked("units that are 0 for every image may be the reason for gradients of 0")
    return Found(
        "1 trained weight has no gradient: the loss does not depend on it."
        if len(names) == 1
        else f"{count(len(names))} trained weights have no gradient: the loss does not depend on them.",
        f"{listed(names)}: the gradient of the first batch is missing or 0.",
        "Check the layers after them for an operation without a gradient, such as `keras.ops.round`, "
        "`keras.ops.argmax`, `keras.ops.stop_gradient` or a conversion to NumPy or to integers, and check that the "
        "output of their layer is used.",
        float(len(names)),
        why="Such weights stay as they were drawn, so the layers before this operation never learn.",
        severity=None if _are_called(names, layers) else "warning",
    )


def _cancels_out(weight: str, layers: Sequence[Layer]) -> bool:
    """Whether it is the bias of a layer that learns: the scores may not depend on it, as in the difference of two."""
    path, _, name = weight.rpartition("/")
    own = [layer.kernel for layer in layers if layer.name.rpartition("/")[2] == path.rpartition("/")[2]]
    return name == "bias" and any(kernel is not None and kernel.gradient for kernel in own)


def _are_called(weights: Sequence[str], layers: Sequence[Layer]) -> bool:
    """Whether any of the weights belongs to a layer that was observed, so that the model uses it."""
    used = {layer.name.rpartition("/")[2] for layer in layers}
    return any(used.intersection(weight.split("/")[-2:-1]) for weight in weights)


def _stuck(evidence: Evidence) -> list[str]:
    """Weights with a gradient of 0 at the start that did not move in the first epoch either."""
    start, epochs, rates = given(evidence.start), evidence.epochs, evidence.rates
    if not epochs or rates is None or not rates.mean or not any(epochs[0].moved.values()):
        return []
    return [name for name in start.without_gradient if name in epochs[0].unchanged]


def _has_dead_units(layers: Sequence[Layer]) -> bool:
    """Whether a layer passes no gradient: it is 0 or saturated for every image, or all of its weights are the same."""
    return any(
        max(layer.activity.silent, layer.activity.saturated) > 0.95
        or (layer.kernel is not None and layer.kernel.deviation == 0)
        for layer in layers
    )
