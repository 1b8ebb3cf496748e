"""Rules about the last activation, the number of units and the way of the scores."""

from __future__ import annotations

import math

from lrdiag.diagnosis import network
from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed
from lrdiag.diagnosis.findings.loss import ROUNDING, are_probabilities, name_of
from lrdiag.formats import plural
from lrdiag.record.observed import Compiled, Layer, Scores

_CLASSES = ("sparse", "categorical")
_CROSS_ENTROPIES = ("sparse", "categorical", "binary")
_CUTTING = ("relu", "relu6", "sigmoid", "hard_sigmoid", "tanh")
"""Activations after which a softmax can't reach all probabilities."""
_NAMES = {
    "relu": "a ReLU", "relu6": "a ReLU", "leaky_relu": "a leaky ReLU", "elu": "an ELU", "selu": "a SELU",
    "gelu": "a GELU", "silu": "a SiLU", "swish": "a SiLU", "linear": "a linear layer", "hard_sigmoid": "a sigmoid",
}  # fmt: skip


def last_activation(evidence: Evidence) -> Answer:
    """The last activation does not fit the loss: no probabilities, or probabilities of another kind."""
    compiled, layers, scores = given(evidence.compiled), given(evidence.layers), given(evidence.scores)
    end = network.last_activation(layers, scores.units)
    if end is None:
        return NotChecked("the layer that returns the scores is not known")
    found = (
        _softmax_of_one(end, scores)
        or _no_probabilities(end, compiled, scores)
        or _cut_before_softmax(end, compiled, layers, scores)
        or _sigmoids_of_classes(end, compiled, scores)
        or _softmax_over_another_axis(end, scores)
    )
    return found or Passed()


def _softmax_of_one(end: str, scores: Scores) -> Found | None:
    if end != "softmax" or scores.units > 1:
        return None
    return Found(
        "The last layer is a softmax over one unit, which always returns 1.",
        f"Its scores are {_range(scores)} for {plural(scores.images, 'image')}.",
        'For two classes, end in a sigmoid: `keras.layers.Dense(1, activation="sigmoid")` with '
        '`loss="binary_crossentropy"`. For more, use a unit for each class.',
        why="The score is the same for every image, so nothing can be learned.",
    )


def _no_probabilities(end: str, compiled: Compiled, scores: Scores) -> Found | None:
    if compiled.kind not in _CROSS_ENTROPIES or compiled.takes_logits:
        return None
    if end in ("linear", "softmax", "sigmoid", "hard_sigmoid"):  # see loss-mismatch
        return None
    if are_probabilities(compiled, scores) and "relu" not in end:
        return None
    return Found(
        f"The last layer ends in {_named(end)}, but its loss expects probabilities.",
        f"The loss is {name_of(compiled)}. The scores of {plural(scores.images, 'image')} are {_range(scores)}"
        f"{_sums(scores)}.",
        f"End in a {_fitting(compiled, scores)}: `{_last_layer(compiled, scores)}`.",
        why="The logarithm of such a score is not that of a probability: where it is 0 or below, no gradient is left.",
    )


def _cut_before_softmax(end: str, compiled: Compiled, layers: tuple[Layer, ...], scores: Scores) -> Found | None:
    before, after = end, "the loss, which was compiled with from_logits=True"
    if not compiled.takes_logits:
        places = [place for place in network.ending(layers, scores.units) if layers[place].activation == "softmax"]
        source = network.preceding(layers, places[-1]) if places and layers[places[-1]].kernel is None else None
        before, after = (layers[source].activation or "") if source is not None else "", "a softmax"
    elif end in ("sigmoid", "hard_sigmoid"):
        return None  # loss-mismatch
    if before not in _CUTTING:
        return None
    lost = "negative scores become 0" if "relu" in before else "scores stay in a narrow range"
    return Found(
        f"The last layer ends in {_named(before)} before the softmax.",
        f"Its values go into {after}: {lost}.",
        f"Take the activation out of the last layer: `keras.layers.Dense({scores.units})`.",
        why="The softmax needs scores of any size to tell the classes apart, and a ReLU at 0 passes no gradient."
        if "relu" in before
        else "The softmax needs scores of any size to give a class a probability near 1.",
        severity=None if "relu" in before else "warning",
    )


def _sigmoids_of_classes(end: str, compiled: Compiled, scores: Scores) -> Found | None:
    if "sigmoid" not in end or scores.units == 1 or compiled.kind not in _CLASSES or compiled.takes_logits:
        return None
    return Found(
        f"The last layer ends in a sigmoid, but {name_of(compiled)} expects probabilities of classes that exclude each "
        "other.",
        f"The {scores.units} scores of an image differ from a sum of 1 by up to {scores.largest_sum_error:.2g}.",
        f'End in a softmax: `keras.layers.Dense({scores.units}, activation="softmax")`.',
        why="The units are scored one by one, so the loss does not lower the scores of the wrong classes.",
        severity="warning",
    )


def _softmax_over_another_axis(end: str, scores: Scores) -> Found | None:
    if end != "softmax" or scores.units == 1 or scores.largest_sum_error <= ROUNDING:
        return None
    return Found(
        "The last layer ends in a softmax over the wrong axis.",
        f"The {scores.units} scores of an image differ from a sum of 1 by up to {scores.largest_sum_error:.2g}.",
        "Apply the softmax over the classes, which is the last axis: `keras.layers.Softmax(axis=-1)`.",
        why="Over the batch, the score of an image depends on the other images.",
    )


def softmax_twice(evidence: Evidence) -> Answer:
    """The scores go through a softmax twice."""
    layers, scores = given(evidence.layers), given(evidence.scores)
    for place in network.ending(layers, scores.units):
        source = network.preceding(layers, place)
        if source is None or layers[place].activation != "softmax" or layers[place].kernel is not None:
            continue
        if layers[source].activation == "softmax":
            return Found(
                "The scores go through a softmax twice.",
                f"{layers[source].name} ends in a softmax, and {layers[place].name} applies another one. The scores of "
                f"{plural(scores.images, 'image')} are {_range(scores)}.",
                f"Take one of them out: `keras.layers.Dense({scores.units})` before the last softmax.",
                why=f"The second softmax can't give a class more than {_highest_of_two(scores.units):.2f}, so that the "
                "loss stays high and its gradient small.",
            )
    return Passed()


def _highest_of_two(units: int) -> float:
    """The highest probability that a softmax returns for probabilities."""
    return 2.718281828 / (2.718281828 + units - 1)


def output_units(evidence: Evidence) -> Answer:
    """The number of units does not fit the number of classes."""
    compiled, scores, data = given(evidence.compiled), given(evidence.scores), given(evidence.training_data)
    labels, units = data.labels, scores.units
    if not labels.counts:
        return NotChecked("the labels are not class numbers")
    validation = evidence.validation_data.labels.counts if evidence.validation_data else ()
    if labels.width == 1 and (labels.classes > 2 if units == 1 else len(labels.counts) > units):
        return _too_few_units(units, labels.classes, len(labels.counts) - 1)
    known = max(len(labels.counts), len(validation)) if labels.width == 1 else labels.classes
    if not data.is_complete or labels.classes < 2 or units == 1:
        return Passed()
    if units > 2 * known:
        return Found(
            f"The model has more units than classes: {units} for {known} classes.",
            f"{plural(data.looked_at, 'training label')} {_numbered(labels.counts)}.",
            f'Use a unit for each class: `keras.layers.Dense({known}, activation="softmax")`.',
            float(units),
            2.0 * known,
            why="The model has to learn that most of its units are never right, and the loss begins too high.",
            severity="warning",
        )
    begins_at_one = labels.width == 1 and compiled.kind == "sparse" and labels.counts[0] == 0 and min(labels.counts[1:])
    if begins_at_one and len(labels.counts) == units and not (validation and validation[0]):
        return Found(
            f"The class numbers begin at 1, so one of {units} units is never used.",
            f"{plural(data.looked_at, 'training label')} {_numbered(labels.counts)}.",
            f"Subtract 1 from the labels, and use `keras.layers.Dense({units - 1})` as the last layer.",
            why="Class numbers of Keras begin at 0.",
            severity="note",
        )
    return Passed()


def _too_few_units(units: int, classes: int, highest: int) -> Found:
    needed = max(classes, highest + 1)
    return Found(
        f"The model has fewer units than classes: {plural(units, 'unit')} for labels up to {highest}.",
        f"The training labels have {classes} classes.",
        f'Use a unit for each class: `keras.layers.Dense({needed}, activation="softmax")` with '
        '`loss="sparse_categorical_crossentropy"`.',
        why="A class without a unit can't be predicted."
        if units > 1
        else "One unit tells two classes apart, but not more.",
    )


def _numbered(counts: tuple[int, ...]) -> str:
    used = [number for number, images in enumerate(counts) if images]
    return f"have the class numbers {used[0]} to {used[-1]}"


def dropout_on_scores(evidence: Evidence) -> Answer:
    """A dropout follows the last layer with weights, and sets scores to 0."""
    layers, scores = given(evidence.layers), given(evidence.scores)
    for place in network.ending(layers, scores.units):
        layer = layers[place]
        is_on_scores = math.prod(layer.shape) == scores.units and min(layer.sources, default=-1) >= 0
        if network.drops(layer) and is_on_scores:
            return Found(
                f"A dropout of {layer.rate:g} after the last layer sets scores to 0.",
                f"{layer.name} receives the {scores.units} scores of the model.",
                "Move the dropout before the last layer with weights: "
                f"`keras.layers.Dropout({layer.rate:g})`, then `keras.layers.Dense({scores.units})`.",
                why="In training, the score of the true class is missing from many images, so the loss can't fall.",
            )
    return Passed()


def _fitting(compiled: Compiled, scores: Scores) -> str:
    return "sigmoid" if compiled.kind == "binary" or scores.units == 1 else "softmax"


def _last_layer(compiled: Compiled, scores: Scores) -> str:
    return f'keras.layers.Dense({scores.units}, activation="{_fitting(compiled, scores)}")'


def _named(activation: str) -> str:
    return _NAMES.get(activation, f"a {activation}")


def _range(scores: Scores) -> str:
    return f"between {scores.low:.2g} and {scores.high:.2g}"


def _sums(scores: Scores) -> str:
    if scores.units == 1 or scores.largest_sum_error <= ROUNDING:
        return ""
    return f", and those of an image differ from a sum of 1 by up to {scores.largest_sum_error:.2g}"
