"""Rules about the loss and the metrics: whether they fit what the model returns, and the labels."""

from __future__ import annotations

from math import isfinite

from lrdiag.diagnosis import network
from lrdiag.diagnosis.evidence import Evidence, ModelLoss, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed
from lrdiag.formats import loss as loss_text
from lrdiag.formats import percent, plural
from lrdiag.intervals import newcombe
from lrdiag.record.observed import Compiled, Labels, Scores, Start

ROUNDING = 0.05
"""How far probabilities may be from a sum of 1, and scores beyond 0 and 1. Less than that comes from 16-bit numbers."""
_OF_CLASSES = {"sparse": "sparse_categorical_crossentropy", "categorical": "categorical_crossentropy"}


def loss_mismatch(evidence: Evidence) -> Answer:
    """The model returns probabilities and its loss expects logits, or the other way round."""
    loss = _model_loss(evidence)
    if loss is None:
        return NotChecked(evidence.reason("loss"))
    if loss.takes_logits != loss.returns_probabilities or loss.recovers:
        return Passed()
    if loss.returns_probabilities and loss.recovers is None:
        return NotChecked("the loss of the first images does not depend on from_logits")
    returned, expected = ("probabilities", "logits") if loss.returns_probabilities else ("logits", "probabilities")
    return Found(
        f"The model returns {returned}, but its loss expects {expected}.",
        f"The loss was compiled with from_logits={loss.takes_logits}.{_and_scores(evidence.scores, loss)}",
        f"Compile it with `from_logits={not loss.takes_logits}` and train it again.",
        why="The loss is computed from the wrong numbers, so the model trains badly or not at all.",
    )


def ignored_from_logits(evidence: Evidence) -> Answer:
    """The loss was compiled with the wrong `from_logits`, and Keras computes the right loss nevertheless."""
    loss = _model_loss(evidence)
    if loss is None:
        return NotChecked(evidence.reason("loss"))
    if loss.takes_logits != loss.returns_probabilities or not loss.recovers:
        return Passed()
    return Found(
        f"The loss was compiled with from_logits={loss.takes_logits}, which Keras ignores here.",
        "The model returns probabilities. On this backend Keras takes the logits before the softmax or sigmoid, so the "
        "loss is right.",
        f"Compile it with `from_logits={not loss.takes_logits}`.",
        why="On another backend, or with a layer after the softmax, the loss would be wrong.",
    )


def _model_loss(evidence: Evidence) -> ModelLoss | None:
    """What the model returns and its loss expects: as it was before training if that was observed.

    A model that training has ruined may return anything.
    """
    observed = _observed(evidence)
    return observed if evidence.start is not None and observed is not None else evidence.loss or observed


def _observed(evidence: Evidence) -> ModelLoss | None:
    """What is known before the model is evaluated. The rule `last-activation` has the activations that fit no loss."""
    compiled, layers, scores = evidence.compiled, evidence.layers, evidence.scores
    if compiled is None or compiled.takes_logits is None or layers is None or scores is None:
        return None
    if not isfinite(scores.low + scores.high):
        return None
    end = network.last_activation(layers, scores.units)
    seem_probabilities = are_probabilities(compiled, scores)
    if compiled.takes_logits:
        returns_probabilities = end in ("softmax", "sigmoid") or (end is None and seem_probabilities)
    else:
        returns_probabilities = end not in ("linear", None) or seem_probabilities
    recovers = evidence.start.recovers if evidence.start else None
    return ModelLoss(compiled.takes_logits, returns_probabilities, recovers)


def _and_scores(scores: Scores | None, loss: ModelLoss) -> str:
    if scores is None or loss.returns_probabilities:
        return ""
    missing = "softmax" if scores.units > 1 else "sigmoid"
    return f" The model ends without a {missing}: its scores are between {scores.low:.2g} and {scores.high:.2g}."


def wrong_loss(evidence: Evidence) -> Answer:
    """The loss is higher for right predictions, or is a distance, or one of two classes, but the labels are classes."""
    compiled, scores, start = given(evidence.compiled), given(evidence.scores), evidence.start
    labels = evidence.training_data.labels if evidence.training_data else None
    loss = "categorical_crossentropy" if labels and labels.width > 1 else "sparse_categorical_crossentropy"
    end = network.last_activation(evidence.layers or (), scores.units)
    found = (
        (start and _higher_if_right(start))
        or (start and _not_finite_at_start(start, compiled, scores))
        or _distance(compiled, scores, labels, loss)
        or _hinge_of_probabilities(compiled, end, loss)
        or _binary_of_classes(compiled, scores, end, loss)
    )
    return found or Passed()


def _higher_if_right(start: Start) -> Found | None:
    if_right, if_wrong = start.loss_if_right, start.loss_if_wrong
    if if_right is None or if_wrong is None or not if_right > if_wrong + ROUNDING * abs(if_wrong):  # also if NaN
        return None
    return Found(
        "The loss is not made for these labels: it is higher for right predictions than for wrong ones.",
        f"It is {loss_text(if_right)} if the true class of each image has a probability of 0.9, and "
        f"{loss_text(if_wrong)} if another class has it.",
        "Check the sign of the loss, the order of its arguments, `loss(y_true, y_pred)`, and what the labels mean.",
        why="Training makes the model worse.",
        severity="error",
    )


def _not_finite_at_start(start: Start, compiled: Compiled, scores: Scores) -> Found | None:
    if isfinite(start.loss) or not isfinite(scores.low + scores.high):
        return None
    return Found(
        "The loss is not finite before the first update.",
        f"The {compiled.loss} of the first batch is {start.loss}, with scores between {scores.low:.3g} and "
        f"{scores.high:.3g}.",
        "Check the loss for a logarithm or a division of 0: `keras.ops.log(probabilities + 1e-7)`.",
        why="The first update makes all weights NaN.",
        severity="error",
    )


def _distance(compiled: Compiled, scores: Scores, labels: Labels | None, loss: str) -> Found | None:
    if compiled.kind != "distance" or (labels is not None and not labels.classes):
        return None
    classes = max(scores.units, labels.classes if labels else 0)
    remedy = (
        f'`loss="{loss}"` with `keras.layers.Dense({classes}, activation="softmax")` as the last layer'
        if classes > 2 or scores.units == 2
        else '`loss="binary_crossentropy"` with `keras.layers.Dense(1, activation="sigmoid")` as the last layer'
    )
    return Found(
        f"The loss is the {compiled.loss}, which is not made for classes.",
        f"It measures the distance between {plural(scores.units, 'score')} and the labels of an image.",
        f"Use a cross-entropy: {remedy}.",
        why="After a softmax or sigmoid, its gradient is smallest where the model is most wrong.",
    )


def _hinge_of_probabilities(compiled: Compiled, end: str | None, loss: str) -> Found | None:
    if compiled.kind != "hinge" or end not in ("softmax", "sigmoid") or compiled.loss.startswith("categorical"):
        return None
    return Found(
        f"The loss is the {compiled.loss}, but the last layer is a {end}.",
        "A hinge takes scores without bounds, below -1 for the wrong classes. Probabilities are never below 0.",
        f'Use `loss="{loss}"`, or end in a layer without activation.',
        why="The loss can't become small, whatever the model learns.",
    )


def _binary_of_classes(compiled: Compiled, scores: Scores, end: str | None, loss: str) -> Found | None:
    if compiled.kind != "binary" or end != "softmax" or scores.units <= 2:
        return None
    return Found(
        f"The loss is binary_crossentropy, but the last layer is a softmax over {scores.units} classes.",
        "It scores each unit as a question of its own, with two answers.",
        f'`loss="{loss}"` is the loss of a softmax.',
        why="Units that are rightly near 0 dominate the mean, so the gradient of the true class is small.",
    )


def label_form(evidence: Evidence) -> Answer:
    """The labels have a form that the loss takes for something else."""
    compiled, scores, data = given(evidence.compiled), given(evidence.scores), given(evidence.training_data)
    labels = data.labels
    values = f"The labels are between {labels.low:g} and {labels.high:g}."
    if labels.width == 1 and scores.units > 1 and compiled.kind in ("distance", "binary", "hinge"):
        return Found(
            f"The labels are class numbers, and the loss compares each with all {scores.units} scores (broadcast).",
            f"The loss is {name_of(compiled)}, which expects labels of shape (images, {scores.units}). {values}",
            'Use `loss="sparse_categorical_crossentropy"`, or one-hot labels: '
            f"`keras.utils.to_categorical(y, {scores.units})`.",
            why="Every score is drawn to the number of the class, so the largest score tells nothing.",
        )
    has_negative = labels.low < 0 and compiled.ignore_class is None
    if compiled.kind == "sparse" and labels.width == 1 and (has_negative or not labels.whole):
        return Found(
            "The labels are fractions, not whole class numbers."
            if not labels.whole
            else "The labels have class numbers below 0.",
            f"{name_of(compiled)} expects whole numbers from 0 to {scores.units - 1}. {values}",
            'Pass the class numbers as they are, without scaling: `y = y.astype("int64")`.',
            why="They are cut down to whole numbers, so images of different classes get the same label."
            if not labels.whole
            else "Such a class has no unit.",
        )
    if compiled.kind == "categorical" and labels.sums_to_one is False:
        return Found(
            "The rows of the labels don't sum to 1, as one-hot labels do.",
            f"{name_of(compiled)} expects a probability for each of {labels.width} classes. {values}",
            f"Pass one-hot labels: `keras.utils.to_categorical(y, {labels.width})`."
            if labels.high > 1 or labels.low < 0
            else "If an image may have several labels, end in a sigmoid and use "
            '`loss="binary_crossentropy"`. Otherwise, pass one-hot labels: '
            f"`keras.utils.to_categorical(y, {labels.width})`.",
            why="The loss of an image grows with the sum of its row, and has no minimum at the right prediction.",
        )
    if compiled.kind == "binary" and (labels.low < 0 or labels.high > 1) and labels.classes <= 2:
        return Found(
            f"The labels are between {labels.low:g} and {labels.high:g}, but binary_crossentropy expects 0 and 1.",
            f"The form of {plural(data.looked_at, 'training label')} was read.",
            f'Convert the labels: `y = (y > {(labels.low + labels.high) / 2:g}).astype("float32")`.',
            why="With other labels this loss has no minimum, and falls without end for one class.",
        )
    return Passed()


def metric_mismatch(evidence: Evidence, threshold: float) -> Answer:
    """A metric counts something else than the images that are classified correctly."""
    compiled, scores = evidence.compiled, evidence.scores
    if compiled is not None and scores is not None:
        labels = evidence.training_data.labels if evidence.training_data else None
        for metric in compiled.metrics:
            found = _metric_of_another_form(metric, compiled, labels, scores.units)
            if found is not None:
                return found
    if evidence.evaluation is None or evidence.training is None:
        return Passed() if compiled is not None else NotChecked(evidence.reason("compiled"))
    return _logged_accuracy(evidence, threshold)


def _metric_of_another_form(metric: str, compiled: Compiled, labels: Labels | None, units: int) -> Found | None:
    name = metric.lower().replace("_", "")
    is_one_hot = labels is not None and bool(labels.sums_to_one)
    if name == "binaryaccuracy" and units > 2 and (compiled.kind in _OF_CLASSES or is_one_hot):
        counted = f"the share of all {units} scores of an image that are on the right side of one half"
        note = f" A model that predicts no class at all reaches {percent(1 - 1 / units)}."
    elif name == "categoricalaccuracy" and units > 1 and labels is not None and labels.width == 1:
        counted, note = "the place of the largest value of one-hot labels, but the labels are class numbers", ""
    else:
        return None
    return Found(
        f"The metric {metric} counts something else than the accuracy.",
        f"It counts {counted}.{note}",
        'Compile the model with `metrics=["accuracy"]`.',
        why="Callbacks that watch this metric, and people, take it for the share of the images that are right.",
    )


def _logged_accuracy(evidence: Evidence, threshold: float) -> Answer:
    """Compares the validation accuracy that was logged, in the epoch where it is closest, with the counted one."""
    facts = evidence.facts
    logged = [epoch.val_accuracy for epoch in given(evidence.training).epochs if epoch.val_accuracy is not None]
    if facts.made_by != "callback" or not logged:
        return NotChecked("no accuracy of the evaluated images was logged")
    if evidence.training_data is not None and evidence.training_data.split:
        return NotChecked("`fit` validates on other images than those that are evaluated")
    if evidence.compiled is not None and evidence.compiled.optimizer.averages:
        return NotChecked("the optimizer has replaced the weights by their averages since")
    counted, size = facts.test.accuracy, facts.test.size
    closest = min(logged, key=lambda each: abs(each - counted))
    gap = abs(closest - counted)
    if gap <= threshold:
        return Passed(gap, threshold)
    low, _ = newcombe(*((round(each * size), size) for each in sorted((closest, counted), reverse=True)))
    if low <= 0:
        return NotChecked(f"{plural(size, 'image')} are too few", gap, threshold)
    return Found(
        f"The logged validation accuracy is {percent(closest)}, but {percent(counted)} of the images are classified "
        "correctly.",
        f"In every epoch, the metric of fit differs from the counted accuracy by {100 * gap:.1f} points or more.",
        'Compile the model with `metrics=["accuracy"]`, and give ReportCallback the validation data of `fit`.',
        gap,
        threshold,
        why="Either the metric counts something else, or it was computed on other images.",
    )


def are_probabilities(compiled: Compiled, scores: Scores) -> bool:
    """Whether the scores may be probabilities: within 0 and 1, and with a sum of 1 where the loss needs that."""
    within = scores.low >= -ROUNDING and scores.high <= 1 + ROUNDING
    is_one_by_one = compiled.kind == "binary" or scores.units == 1
    return within and (is_one_by_one or scores.largest_sum_error <= ROUNDING)


def name_of(compiled: Compiled) -> str:
    """The name of the loss as it is written in `compile`."""
    return _OF_CLASSES.get(compiled.kind, "binary_crossentropy" if compiled.kind == "binary" else compiled.loss)
