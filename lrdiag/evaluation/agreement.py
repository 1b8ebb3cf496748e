"""Compares lrdiag's own pass with `model.predict` and `model.evaluate`, on a few images of the first batch."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from lrdiag.backend.engine import engine
from lrdiag.backend.inference import evaluate, has_loss_weights, overrides, predict
from lrdiag.errors import ModelError
from lrdiag.explain import loss as losses
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.outputs import Outputs
from lrdiag.record.agreement import Agreement, Compared
from lrdiag.record.arrays import Predictions

_MOST, _FEWEST = 32, 8  # images that are compared; 32 is the default batch of `model.predict`
_VALUES = 400_000  # in the images together, about 32 of 64 × 64 pixels
_TOLERANCE = 1e-4
_TOLERANCE_OF_16_BITS = 5e-3
_ROUNDING = 1e-6  # of a logit in 32 bits, relative to the largest
_NO_DIFFERENCE = 1e-2  # of the tolerance: two losses closer than this are the same, apart from rounding
_NUDGE = np.float32(1 + 1e-6)
_DIGITS = 6  # of the difference: rounding errors are not the same on every machine
_CLIPPED = -float(np.log(keras.config.epsilon()))  # Keras limits the cross-entropy of a probability to this value


def agree(opened: OpenedModel, inputs: Any, labels: np.ndarray, scores: np.ndarray) -> Agreement:
    """Compares a batch with what `model.predict` and `model.evaluate` return for its first images, 32 at most.

    Args:
        opened: The model.
        inputs: A batch of inputs.
        labels: Their true classes, integers of shape `(n,)`.
        scores: The scores that lrdiag computed for the batch, of shape `(n, classes)`.

    Raises:
        ModelError: If the outputs differ, although `model.predict` returns the same each time.
    """
    agreement = compare_with_predict(opened, inputs, scores)
    few, size = first_of(inputs), agreement.images
    labels, scores = labels[:size], scores[:size]
    if opened.contradicts_loss:
        agreement = dataclasses.replace(agreement, loss_recovers=_loss_recovers(opened, few, labels, scores))
    return _compare_with_evaluate(opened, few, labels, scores, agreement)


def compare_with_predict(opened: OpenedModel, inputs: Any, scores: np.ndarray) -> Agreement:
    """Compares the scores of a batch with what `model.predict` returns for it.

    Args:
        opened: The model.
        inputs: A batch of inputs. The first are compared, 32 at most.
        scores: The scores that lrdiag computed for the batch, of shape `(n, classes)`.

    Raises:
        ModelError: If they differ, although `model.predict` returns the same each time.
    """
    few = first_of(inputs)
    scores = scores[: _count(few)]
    outputs = _outputs(opened, scores)
    tolerance = _tolerance(opened, outputs)
    try:
        (theirs,) = _predicted(opened, few)
    except Exception as error:  # `predict` may take other arguments than those of Keras
        return Agreement(len(scores), 0.0, tolerance, no_predict=f"model.predict failed ({type(error).__name__})")
    agreement = Agreement(len(scores), _difference(outputs.returned, theirs, opened), tolerance)
    if agreement.difference <= tolerance:
        return dataclasses.replace(agreement, difference=round(agreement.difference, _DIGITS))
    first, second = _predicted(opened, few, times=2)
    again = _difference(first, second, opened)
    if again > tolerance:
        reason = f"the model is random at inference: two calls of model.predict differ by up to {again:.2g}"
        return dataclasses.replace(agreement, no_predict=reason)
    alone = _outputs(opened, opened.scores(few)).returned
    nudged = _outputs(opened, opened.scores(_nudged(few))).returned
    if _difference(alone, nudged, opened) > tolerance:
        reason = "rounding errors change the outputs, because the model enlarges the smallest differences"
        return dataclasses.replace(agreement, no_predict=reason)
    if _count(inputs) > len(scores) and _difference(alone, theirs, opened) <= tolerance:
        reason = "the outputs for an image depend on the other images of its batch"
        return dataclasses.replace(agreement, no_predict=reason)
    raise _refusal(opened, outputs.returned, theirs)


def _compare_with_evaluate(
    opened: OpenedModel, inputs: Any, labels: np.ndarray, scores: np.ndarray, agreement: Agreement
) -> Agreement:
    reason = agreement.no_predict or _not_comparable(opened)
    if reason is not None:
        return dataclasses.replace(agreement, no_evaluate=reason)
    for targets in losses.targets_of(opened.loss, labels, opened.units):
        metric = _accuracy(opened, targets)
        try:
            loss, extra = evaluate(opened.model, inputs, targets, metric)
        except Exception as error:  # a model or a loss of the user may raise anything
            reason = f"model.evaluate failed ({type(error).__name__})"
        else:
            return _with_figures(agreement, opened, opened.outputs(scores, labels), metric, loss - extra)
    return dataclasses.replace(agreement, no_evaluate=reason)


def _loss_recovers(opened: OpenedModel, inputs: Any, labels: np.ndarray, scores: np.ndarray) -> bool | None:
    """Whether Keras computes the right loss although `from_logits` contradicts what the model returns.

    The loss is computed in a graph, as in training, because Keras looks for the softmax or sigmoid there. Returns
    `None` if the right and the wrong loss of these images are the same, or the loss cannot be computed.
    """
    if not opened.returns_probabilities:
        return False
    outputs = opened.outputs(scores, labels)
    log_probabilities = outputs.predictions().log_probabilities
    logits = outputs.raw if losses.is_binary(opened.loss) or log_probabilities is None else log_probabilities
    (targets,) = losses.targets_of(opened.loss, labels, opened.units)
    right = losses.values_of(losses.with_from_logits(opened.loss), targets, logits)
    wrong = losses.values_of(opened.loss, targets, outputs.returned)
    if right is None or wrong is None or not np.isfinite([right.mean(), wrong.mean()]).all():
        return None
    if abs(right.mean() - wrong.mean()) <= _NO_DIFFERENCE * _loss_tolerance(opened, right.mean()):
        return None
    measure = engine().compiled_whole(
        lambda images, truth: opened.loss(truth, opened.chosen(opened.inference(images)))[None], opened.model
    )
    with warnings.catch_warnings():  # Keras warns of the contradiction
        warnings.simplefilter("ignore")
        measured = float(measure(inputs, targets)[0]) / (1 if losses.takes_the_mean(opened.loss) else len(labels))
    return bool(abs(measured - right.mean()) < abs(measured - wrong.mean()))


def notes_of(agreement: Agreement | None) -> tuple[str, ...]:
    """A sentence for the page if the model does not always give an image the same output."""
    if agreement is None or agreement.no_predict is None or not agreement.difference:
        return ()
    return (f"{agreement.no_predict[0].upper()}{agreement.no_predict[1:]}. The figures are those of one pass.",)


def _nudged(inputs: Any) -> Any:
    """The same inputs, but for differences of the size of rounding errors. Integers stay as they are."""
    return tree.map_structure(lambda array: array * _NUDGE if "float" in str(array.dtype) else array, inputs)


def first_of(inputs: Any) -> Any:
    """The first images of a batch, as many as are compared: fewer if they are large."""
    of_one = sum(int(np.prod(array.shape[1:])) for array in tree.flatten(inputs))
    number = min(_MOST, max(_FEWEST, _VALUES // max(of_one, 1)))
    return tree.map_structure(lambda array: array[:number], inputs)


def _count(inputs: Any) -> int:
    return len(tree.flatten(inputs)[0])


def _predicted(opened: OpenedModel, inputs: Any, times: int = 1) -> list[np.ndarray]:
    returned = [np.asarray(opened.chosen(each), np.float64) for each in predict(opened.inference, inputs, times)]
    return [each.reshape(len(each), -1) for each in returned]


def _outputs(opened: OpenedModel, scores: np.ndarray) -> Outputs:
    return opened.outputs(scores, np.zeros(len(scores), np.int64))


def _difference(own: np.ndarray, theirs: np.ndarray, opened: OpenedModel) -> float:
    """The largest difference of two outputs: of probabilities, or of other numbers relative to the largest."""
    if own.shape != theirs.shape:
        return float("inf")
    if opened.activation.startswith("log"):
        own, theirs = np.exp(own), np.exp(theirs)
    same = (own == theirs) | (np.isnan(own) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        differences = np.where(same, 0.0, np.nan_to_num(np.abs(own - theirs), nan=np.inf))
    finite = np.abs(theirs[np.isfinite(theirs)])
    return float(differences.max() / max(1.0, finite.max(initial=0.0)))


def _tolerance(opened: OpenedModel, outputs: Outputs) -> float:
    largest = np.abs(outputs.raw[np.isfinite(outputs.raw)]).max(initial=0.0)
    return (_TOLERANCE_OF_16_BITS if _is_coarse(opened) else _TOLERANCE) + float(_ROUNDING * largest)


def _loss_tolerance(opened: OpenedModel, loss: float) -> float:
    return (10 * _TOLERANCE_OF_16_BITS if _is_coarse(opened) else 10 * _TOLERANCE) * (1 + abs(loss))


def _is_coarse(opened: OpenedModel) -> bool:
    """Whether the model computes with fewer bits than those of float32."""
    layers = [opened.model, *(step.layer for step in opened.steps)]
    return engine().rounds_to_ten_bits() or any(
        getattr(each, "compute_dtype", "") in ("float16", "bfloat16") for each in layers
    )


def _refusal(opened: OpenedModel, own: np.ndarray, theirs: np.ndarray) -> ModelError:
    if own.shape != theirs.shape:
        received = f"outputs of shape {own.shape} from lrdiag and {theirs.shape} from model.predict"
    else:
        worst = np.unravel_index(np.nan_to_num(np.abs(own - theirs), nan=np.inf).argmax(), own.shape)
        received = f"for image {worst[0]} and output {worst[1]}, {own[worst]:.4g} from lrdiag and {theirs[worst]:.4g} "
        received += "from model.predict"
    changed = next((each for each in ("predict", "make_predict_function") if overrides(opened.model, each)), None)
    why = f" The class {type(opened.model).__name__} has its own `{changed}`." if changed else ""
    return ModelError(
        "lrdiag must compute the outputs that `model.predict` returns. Prepare the images in `call`, in a layer, or in "
        f"`predict_step`, which lrdiag follows.{why} Received: {received}"
    )


def _not_comparable(opened: OpenedModel) -> str | None:
    """Why accuracy and loss of `model.evaluate` say nothing about the report, or `None`."""
    if not getattr(opened.model, "compiled", False) or opened.loss is None:
        return "the model was compiled without a loss" if opened.model.compiled else "the model is not compiled"
    if opened.output is not None or len(getattr(opened.model, "outputs", None) or [None]) > 1:
        return "the model has several outputs"
    return None


def _accuracy(opened: OpenedModel, targets: np.ndarray) -> keras.Metric:
    """A metric of the predicted class for labels of this form."""
    if opened.units == 1:
        threshold = opened.threshold
        if opened.returns_probabilities:
            threshold = 1 / (1 + np.exp(-threshold))
        return keras.metrics.BinaryAccuracy(threshold=float(threshold))
    return keras.metrics.SparseCategoricalAccuracy() if targets.ndim == 1 else keras.metrics.CategoricalAccuracy()


def _with_figures(
    agreement: Agreement, opened: OpenedModel, outputs: Outputs, metric: keras.Metric, loss: float
) -> Agreement:
    """Adds the figures that can be compared, and names those that differ."""
    predictions = outputs.predictions()
    size, differs = len(predictions.labels), []
    accuracy = None
    count = float(ops.convert_to_numpy(metric.count))  # a distribution strategy may have divided it
    if count == size:  # a `test_step` of the user's own may not update the metrics
        accuracy = Compared(1 - len(predictions.misclassified) / size, float(metric.result()))
        if abs(accuracy.own - accuracy.theirs) * size > _undecided(outputs, agreement.tolerance) + 0.5:
            differs.append("accuracy")
    reason, compared = _other_loss(opened, outputs, predictions), None
    if reason is None:
        compared = Compared(float(predictions.losses.mean()), loss)
        clipped = float(np.minimum(predictions.losses, _CLIPPED).mean())
        if min(abs(loss - compared.own), abs(loss - clipped)) > _loss_tolerance(opened, loss):
            if any(overrides(opened.model, each) for each in ("compute_loss", "test_step", "predict_step")):
                reason, compared = "the model computes its loss itself", None
            else:
                differs.append("loss")
    return dataclasses.replace(agreement, accuracy=accuracy, loss=compared, no_evaluate=reason, differs=tuple(differs))


def _other_loss(opened: OpenedModel, outputs: Outputs, predictions: Predictions) -> str | None:
    """Why the loss of the report is not the loss of `model.evaluate`, or `None` if it is."""
    if not outputs.has_compiled_loss(predictions):
        return "the report does not give the compiled loss"
    if opened.contradicts_loss:
        return "from_logits contradicts what the model returns"
    if not losses.takes_the_mean(opened.loss) or has_loss_weights(opened.model):
        return "the loss of a batch is not the mean of the losses of its images"
    return None if np.isfinite(predictions.losses).all() else "the loss is not finite"


def _undecided(outputs: Outputs, tolerance: float) -> int:
    """Number of images whose two highest outputs differ by no more than the rounding errors of both."""
    values = outputs.raw if outputs.units == 1 else outputs.returned
    rounding = tolerance * max(1.0, np.abs(values[np.isfinite(values)]).max(initial=0.0))  # relative, as the difference
    if outputs.units == 1:
        return int((np.abs(values - outputs.threshold) <= rounding).sum())
    highest = np.sort(values, axis=1)
    return int((highest[:, -1] - highest[:, -2] <= 2 * rounding).sum())
