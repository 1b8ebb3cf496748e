"""Rules about dropout, regularization and the statistics of batch normalization."""

from __future__ import annotations

import math
import statistics

from lrdiag.diagnosis import network
from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed, listed
from lrdiag.diagnosis.findings.training import lagging_statistics
from lrdiag.formats import count, plural
from lrdiag.formats import rate as rate_text
from lrdiag.record.observed import Layer, Start

FASTEST_DECAY = 5e-3
"""Share of a weight that weight decay may take in one update."""
HARMLESS = 0.05
"""Accuracy while training minus that in inference mode, on training images, up to which slow averages do no harm."""


def strong_dropout(evidence: Evidence, threshold: float) -> Answer:
    """Dropouts between two layers with weights set at least the share `threshold` of the values to 0."""
    layers = given(evidence.layers)
    strongest, group = 0.0, list[int]()
    for place, layer in enumerate(layers):
        places = _dropouts_before(layers, place) if network.drops(layer) else []
        dropped = 1 - math.prod(1 - (layers[each].rate or 0.0) for each in places)
        if dropped > strongest:
            strongest, group = dropped, places
    strongest = round(strongest, 6)
    if strongest < threshold:
        return Passed(strongest, threshold)
    names = listed([layers[place].name for place in group])
    return Found(
        f"A dropout of {strongest:g} keeps {1 - strongest:.0%} of the values."
        if len(group) == 1
        else f"{len(group)} dropouts in a row keep {1 - strongest:.0%} of the values.",
        f"No layer with weights is between {names}." if len(group) > 1 else f"The layer is {names}.",
        "Lower the rate: `keras.layers.Dropout(0.3)`." if len(group) == 1 else "Keep one of them.",
        strongest,
        threshold,
        why="In each update the next layer receives another small part of the values, so the model learns slowly.",
    )


def _dropouts_before(layers: tuple[Layer, ...], place: int) -> list[int]:
    """A dropout and those before it, without a layer with weights between."""
    places = [place]
    while True:
        before = network.preceding(
            layers, places[0], lambda each: network.is_transparent(each) and not network.drops(each)
        )
        if before is None or not network.drops(layers[before]):
            return places
        places.insert(0, before)


def strong_regularization(evidence: Evidence, threshold: float) -> Answer:
    """The regularization pulls at the weights more than the images do, `threshold` times as much; or weight decay."""
    layers = given(evidence.layers)
    other = _fast_decay(evidence) or _penalty_of_activity(given(evidence.start))
    if other is not None:
        return other
    pulls = [
        layer.kernel.penalty_gradient / layer.kernel.data_gradient
        for layer in layers
        if layer.kernel is not None and layer.kernel.penalty_gradient and layer.kernel.data_gradient
    ]
    if not pulls:
        return Passed(0.0, threshold)
    pull = statistics.median(pulls)
    if pull <= threshold:
        return Passed(pull, threshold)
    start = given(evidence.start)
    return Found(
        f"The regularization is too strong: its gradient is {pull:.2g} times that of the images.",
        f"This is the median of {plural(len(pulls), 'layer')} before the first update. The penalty is "
        f"{start.penalty:.3g}, and the loss without it {start.loss:.3g}.",
        f"Divide the factor of the regularizer by {_rounded(10 * pull)}, for example "
        "`kernel_regularizer=keras.regularizers.L2(1e-4)`.",
        pull,
        threshold,
        why="Most of each update makes the weights smaller, whatever the images show.",
    )


def _penalty_of_activity(start: Start) -> Found | None:
    """The penalty on what layers return is larger than the loss of the images."""
    penalty = start.activity_penalty
    if not 0 < start.loss < penalty:
        return None
    return Found(
        f"The activity regularization is too strong: it is {penalty / start.loss:.2g} times the loss of the images.",
        f"Before the first update, the penalty on what layers return is {penalty:.3g}, and the loss {start.loss:.3g}.",
        f"Divide the factor of `activity_regularizer` by {_rounded(100 * penalty / start.loss)}, or remove it.",
        penalty / start.loss,
        1.0,
        why="The model lowers the penalty first, by returning 0 everywhere.",
    )


def _rounded(value: float) -> str:
    """The value with one digit, as `10`, `200` or `3000`."""
    scale = 10 ** math.floor(math.log10(value))
    return count(round(value / scale) * scale)


def _fast_decay(evidence: Evidence) -> Found | None:
    compiled, rates = evidence.compiled, evidence.rates
    if compiled is None or rates is None:
        return None
    decay = compiled.optimizer.weight_decay
    share = decay * abs(rates.mean)
    if share < FASTEST_DECAY:
        return None
    return Found(
        f"The weight decay of {decay:g} is too strong.",
        f"With a learning rate of {rate_text(rates.mean)}, each update takes {share:.2%} from every weight: half of it "
        f"is gone after {plural(max(1, round(math.log(2) / share)), 'update')}.",
        f"Lower it: `keras.optimizers.{compiled.optimizer.name}(weight_decay={FASTEST_DECAY / 100 / rates.mean:.1g})`.",
        share,
        FASTEST_DECAY,
        why="The weights shrink faster than training can change them.",
    )


def slow_statistics(evidence: Evidence, threshold: float) -> Answer:
    """The moving averages of batch normalization keep more than `threshold` of their first value to the end."""
    layers, updates = given(evidence.layers), given(evidence.rates).updates
    if not updates:
        return NotChecked("the number of updates is not known")
    momenta = [layer.momentum for layer in layers if layer.momentum is not None and layer.trainable]
    first = next((layer for layer in layers if layer.kernel is not None), None)
    if not momenta or (first is not None and first.fresh is False):  # trained before, and so are its averages
        return Passed(0.0, threshold)
    highest = max(momenta)
    kept = highest**updates
    if kept <= threshold:
        return Passed(kept, threshold)
    return Found(
        "The moving averages of batch normalization are too slow for "
        f"{plural(updates, 'update')}: they keep {kept:.0%} of their start.",
        f"The momentum is {highest:g}, in {plural(momenta.count(highest), 'layer')}: "
        f"{highest:g} to the power of {count(updates)} is {kept:.2g}.",
        f"Lower the momentum: `keras.layers.BatchNormalization(momentum={_fast_enough(updates):g})`. Or train longer.",
        kept,
        threshold,
        why="Inference uses these averages, so the model is much worse in inference mode than while training.",
        severity="note" if _is_harmless(evidence) else None,
    )


def _is_harmless(evidence: Evidence) -> bool:
    """Whether training has shown that the model is as accurate in inference mode as while training."""
    if evidence.evaluation is None or evidence.training is None or evidence.train_sample is None:
        return False
    return isinstance(lagging_statistics(evidence, HARMLESS), Passed)


def _fast_enough(updates: int) -> float:
    """A momentum that keeps less than 1 % of the start after half of the updates."""
    return next((each for each in (0.99, 0.9, 0.8) if each ** (updates / 2) < 0.01), 0.5)


def small_batches(evidence: Evidence, threshold: float) -> Answer:
    """Batch normalization is trained with batches of fewer than `threshold` images."""
    layers, size = given(evidence.layers), given(evidence.training_data).batch_size
    if size is None:
        return NotChecked("the size of the batches is not known")
    normalizing = sum(layer.momentum is not None and layer.trainable for layer in layers)
    if not normalizing or size >= threshold:
        return Passed(float(size), threshold)
    return Found(
        f"Batches of {plural(size, 'image')} are too small for batch normalization.",
        f"{plural(normalizing, 'layer')} of the model normalize with the mean and deviation of such a batch.",
        "Use larger batches, `batch_size=32`, or a normalization of single images: "
        "`keras.layers.GroupNormalization(8)`.",
        float(size),
        threshold,
        why="The statistics of so few images are noise, and differ from the averages that inference uses.",
    )
