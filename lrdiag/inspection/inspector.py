"""`Inspector`: observes a model before training, after each epoch, and at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from lrdiag.backend.graph import kernel_of
from lrdiag.backend.inference import overrides, prepared, unnoticed
from lrdiag.backend.probe import probe
from lrdiag.explain.loss import compiled_loss, takes_logits, values_of
from lrdiag.inspection.images import GivenImages, NotReadable, Sample, look_at, picture_of, search, shared_images
from lrdiag.inspection.labels import classes_of
from lrdiag.inspection.likeness import likeness, turned_shares
from lrdiag.inspection.network import Observer, leaves, to_numpy
from lrdiag.inspection.trial import NoTrial, try_updates
from lrdiag.inspection.wiring import compiled, planned_rates, recovers
from lrdiag.record.observed import NOTHING, EpochState, Inspection, Layer, Scores, Start, Trial, Turned

MOST_IMAGES = 64
"""Images of a pass, at most."""
_FEWEST = 8
_VALUES = 2**20  # in the images of a pass
_SURE = 0.9


class Inspector:
    """Observes a model and what it is trained on. It never changes the model.

    What can't be observed is left out, with the reason in `Inspection.reasons`.

    Attributes:
        seen: What was observed so far.
        training: A sample of the training images, or `None`.
        is_searched: Whether `search_not_finite` was called.

    Args:
        model: A Keras model.
        output: The output to look at if the model has several: its name or its index.
    """

    def __init__(self, model: keras.Model, output: str | int | None = None) -> None:
        self._model, self._output = model, output
        self.seen: Inspection = NOTHING
        self.training: Sample | None = None
        self.is_searched = False
        self._validation: Sample | None = None
        self._before: list[np.ndarray] = []
        self._given: GivenImages | None = None

    def look_at_model(self) -> None:
        """Observes how the model is compiled."""
        self._attempt("compiled", lambda: compiled(self._model, self._output))

    def look_at_data(self, training: GivenImages | None, validation: GivenImages | None) -> None:
        """Observes training and validation data. `None` leaves one out."""
        for name, given in (("training", training), ("validation", validation)):
            if given is None:
                continue
            try:
                sample, facts = look_at(given)
            except NotReadable as reason:
                self._miss(f"{name}_data", str(reason))
                continue
            except Exception as error:  # a dataset of the user may raise anything
                self._miss(f"{name}_data", f"reading the data failed ({type(error).__name__}: {error})")
                continue
            if name == "training":
                self.training, self._given = sample, given
                self._note(training_data=facts)
            else:
                self._validation = sample
                self._note(validation_data=facts)
        self._attempt("shared", lambda: _shared(training, validation))

    def continue_from(self, seen: Inspection, *, is_searched: bool) -> None:
        """Continues the observation of the same model and data in another process, at the end of an epoch.

        Args:
            seen: What was observed so far.
            is_searched: Whether `search_not_finite` was called.
        """
        self.seen, self.is_searched = seen, is_searched
        self.remember_weights()

    def search_not_finite(self) -> None:
        """Reads the whole training data in search of NaN, if a part of it was not checked. For a run that is ruined."""
        given, facts = None if self.is_searched else self._given, self.seen.training_data
        self.is_searched = True
        if given is not None and facts is not None:
            self._attempt("training_data", lambda: search(given, facts))

    def look_at_layers(self, sample: Sample | None = None) -> None:
        """Observes the layers and what the model returns, without gradients.

        Args:
            sample: Images to run the model on. Defaults to the training or validation images.
        """
        self._pass(sample or self.training or self._validation, with_gradients=False)

    def look_at_start(self, updates: int | None, callbacks: Sequence[keras.callbacks.Callback] = ()) -> None:
        """Observes a forward and a backward pass before the first update, and tries the optimizer.

        Args:
            updates: Number of updates of the run, if it is known.
            callbacks: The other callbacks of `fit`.
        """
        if getattr(self._model, "optimizer", None) is not None:
            self._attempt("rates", lambda: planned_rates(self._model.optimizer, updates, callbacks))
        self._pass(self.training, with_gradients=True)
        self.remember_weights()

    def remember_weights(self) -> None:
        """Keeps the weights at the beginning of the first epoch, to measure how far it moves them."""
        self._before = [to_numpy(each.value) for each in self._model.trainable_variables]

    def look_at_epoch(self, epoch: int, updates: int) -> None:
        """Observes what an epoch did. The first one compares with `remember_weights`.

        Args:
            epoch: Its number, counted from 1.
            updates: Number of its updates.
        """
        before, self._before = self._before, [to_numpy(each.value) for each in self._model.trainable_variables]
        if len(before) == len(self._before):
            state = self._epoch(epoch, updates, before)
            self._note(epochs=(*self.seen.epochs, state))
            self._attempt("epochs", lambda: (*self.seen.epochs[:-1], self._with_pass(state)))

    def _pass(self, sample: Sample | None, *, with_gradients: bool) -> None:
        if sample is None:
            return self._miss("layers", self.seen.reasons.get("training_data", "no images were available"))
        if overrides(self._model, "predict_step"):
            return self._miss("layers", "the model has its own `predict_step`, which may prepare the images")
        few = self._few(sample)
        try:
            few = Sample(*prepared(self._model, few.inputs, few.labels))
            if not self._model.built:
                self._model(tree.map_structure(ops.convert_to_tensor, few.inputs))
            gradients, loss = self._gradients(few) if with_gradients else ({}, None)
            observer = self._observer
            with unnoticed(self._model, training=True):
                inputs = tree.map_structure(ops.convert_to_tensor, few.inputs)
                returned, plain = observer.infer(inputs)
                observed = observer.observe(inputs, gradients)
                scores = self._chosen(returned)
                recovered = self._recovers(inputs, few.labels, scores) if with_gradients else None
        except Exception as error:  # a layer, a loss or an optimizer of the user may raise anything
            reason = f"a pass over {len(few)} images failed ({type(error).__name__})"
            return self._miss("layers", reason)
        self._note(layers=observed.layers, scores=_scores(scores))
        if observed.augmented is not None and plain is not None:
            self._note(turned=Turned(len(few), turned_shares(observed.augmented, plain)))
        if loss is not None:
            changed = observed.augmented
            start = Start(
                images=len(few),
                loss=loss - observed.penalty,
                penalty=observed.penalty,
                activity_penalty=max(0.0, observed.penalty - self._penalty_of_weights()),
                augmentation=None if changed is None or plain is None else likeness(changed, plain),
                recovers=recovered,
                outputs=len(tree.flatten(returned)),
            )
            if_right, if_wrong = self._losses_if(few.labels, scores.shape)
            self._note_start(replace(start, loss_if_right=if_right, loss_if_wrong=if_wrong), gradients)

    def _penalty_of_weights(self) -> float:
        regularized = [each for each in self._model.trainable_variables if getattr(each, "regularizer", None)]
        return float(sum(float(ops.convert_to_numpy(each.regularizer(each))) for each in regularized))

    def _losses_if(self, labels: Any, shape: tuple[int, ...]) -> tuple[float | None, float | None]:
        """The loss if the model were right about each image, and if it were wrong."""
        loss, classes = compiled_loss(self._model, self._output), classes_of(labels)
        known = max(2, shape[-1])
        if loss is None or classes is None or len(shape) != 2 or classes.min() < 0 or classes.max() >= known:
            return None, None
        right, wrong = (
            values_of(loss, np.asarray(labels), scores_for(given, shape[1], logits=bool(takes_logits(loss))))
            for given in (classes, (classes + 1) % known)
        )
        return (None, None) if right is None or wrong is None else (float(right.mean()), float(wrong.mean()))

    @cached_property
    def _observer(self) -> Observer:
        """Runs the model, which is built. On some engines it is compiled, so there is only one."""
        return Observer(self._model)

    def _few(self, sample: Sample) -> Sample:
        """The images of a pass. If they are large, they are no more than a batch of `fit`, which fits into memory."""
        facts = self.seen.training_data
        fewest = _FEWEST if facts is None else min(_FEWEST, max(2, facts.batch_size or _FEWEST))
        return sample.first(_pass_size(sample.inputs, fewest))

    def _recovers(self, inputs: Any, labels: Any, scores: np.ndarray) -> bool | None:
        """Whether Keras computes the right loss although the model returns probabilities and the loss takes logits."""
        loss = compiled_loss(self._model, self._output)
        if not takes_logits(loss) or not isinstance(labels, np.ndarray) or scores.min() < 0 or scores.max() > 1:
            return None
        return recovers(
            self._model, loss, lambda given: self._chosen(self._model(given, training=False)), inputs, labels, scores
        )

    def _gradients(self, few: Sample) -> tuple[dict[int, np.ndarray | None], float | None]:
        if not (self._model.compiled and self._model.trainable_variables):
            self._miss("start", "the model isn't compiled" if not self._model.compiled else "no weight is trained")
            return {}, None
        try:
            probed = probe(self._model, few.inputs, few.labels, {})
        except Exception as error:  # the labels may not fit the loss
            self._miss("start", f"the loss of {len(few)} images failed ({type(error).__name__})")
            return {}, None
        variables = self._model.trainable_variables
        return {id(each): grad for each, grad in zip(variables, probed.weight_gradients, strict=True)}, probed.loss

    def _note_start(self, start: Start, gradients: dict[int, np.ndarray | None]) -> None:
        named = [(each.path, gradients[id(each)]) for each in self._model.trainable_variables]
        self._note(
            start=replace(
                start,
                weights=len(named),
                unreached=tuple(name for name, gradient in named if gradient is None),
                without_gradient=tuple(name for name, grad in named if grad is not None and not grad.any()),
            )
        )
        try:
            self._note(trial=self._trial(gradients))
        except NoTrial as reason:
            self._miss("trial", str(reason))

    def _trial(self, gradients: dict[int, np.ndarray | None]) -> Trial:
        tried = [
            (path, to_numpy(kernel.value), gradient)
            for path, kernel in self._kernels()
            if (gradient := gradients.get(id(kernel))) is not None
        ]
        if not tried:
            raise NoTrial("no kernel has a gradient")
        return try_updates(self._model.optimizer, *zip(*tried, strict=True))

    def _kernels(self) -> list[tuple[str, keras.Variable]]:
        """The kernel of each layer, with the path of the layer."""
        named = [(path, kernel_of(layer)) for layer, (path, _) in leaves(self._model).items()]
        return [(path, kernel) for path, kernel in named if kernel is not None]

    def _epoch(self, epoch: int, updates: int, before: list[np.ndarray]) -> EpochState:
        variables = list(self._model.trainable_variables)
        moves = {
            id(each): float(np.sqrt(np.mean(np.square(new - old)) / max(float(np.mean(np.square(old))), 1e-24)))
            for each, new, old in zip(variables, self._before, before, strict=True)
        }
        others = [each for each in self._model.non_trainable_variables if "float" in str(each.dtype)]
        values = [*zip(variables, self._before, strict=True), *((each, to_numpy(each.value)) for each in others)]
        return EpochState(
            epoch=epoch,
            updates=updates,
            moved={path: moves[id(kernel)] for path, kernel in self._kernels() if id(kernel) in moves},
            unchanged=tuple(each.path for each in variables if moves[id(each)] == 0),
            not_finite=tuple(each.path for each, value in values if not np.isfinite(value).all()),
            silent={},
            penalty=0.0,
            accuracy=None,
            accuracy_in_training_mode=None,
            images=0,
        )

    def _with_pass(self, state: EpochState) -> EpochState:
        if self.training is None or self.seen.layers is None:
            return state
        few = self._few(self.training)
        few = Sample(*prepared(self._model, few.inputs, few.labels))
        labels = classes_of(few.labels)
        with unnoticed(self._model, training=True):
            inputs = tree.map_structure(ops.convert_to_tensor, few.inputs)
            inferred, _ = self._observer.infer(inputs)
            observed = self._observer.observe(inputs)
        scores = [self._chosen(each) for each in (inferred, observed.returned)]
        right = [None if labels is None else float(np.mean(_classes(each) == labels)) for each in scores]
        return replace(
            state,
            silent={each.name: each.activity.silent for each in observed.layers if _ends_in_relu(each)},
            penalty=observed.penalty,
            accuracy=right[0],
            accuracy_in_training_mode=right[1],
            images=len(few),
        )

    def _chosen(self, outputs: Any) -> Any:
        if isinstance(outputs, dict):
            return outputs[self._output] if self._output in outputs else next(iter(outputs.values()))
        if isinstance(outputs, list | tuple):
            names = list(getattr(self._model, "output_names", None) or ())
            place = names.index(self._output) if self._output in names else self._output
            return outputs[place if isinstance(place, int) else 0]
        return outputs

    def _attempt(self, name: str, observation: Callable[[], Any]) -> None:
        try:
            self._note(**{name: observation()})
        except Exception as error:  # a schedule of the user may raise anything
            self._miss(name, f"{type(error).__name__}: {error}")

    def _note(self, **pieces: Any) -> None:
        self.seen = replace(self.seen, **pieces)

    def _miss(self, name: str, reason: str) -> None:
        self._note(reasons={**self.seen.reasons, name: reason})


def _pass_size(inputs: Any, fewest: int = _FEWEST) -> int:
    values = int(np.prod(picture_of(inputs).shape[1:]))
    return max(fewest, min(MOST_IMAGES, _VALUES // max(1, values)))


def _scores(scores: np.ndarray) -> Scores:
    rows = scores.reshape(len(scores), -1)
    return Scores(
        images=len(rows),
        units=rows.shape[1],
        low=float(rows.min()),
        high=float(rows.max()),
        largest_sum_error=float(np.abs(rows.sum(axis=1) - 1).max()),
        spread=float(rows.std(axis=0).mean()),
    )


def _classes(scores: np.ndarray) -> np.ndarray:
    """The predicted classes. A single unit decides at one half, or at 0 if it returns logits."""
    rows = scores.reshape(len(scores), -1)
    if rows.shape[1] > 1:
        return np.asarray(rows.argmax(axis=1))
    return np.asarray((rows[:, 0] > (0.5 if 0 <= rows.min() <= rows.max() <= 1 else 0.0)).astype(np.int64))


def scores_for(classes: np.ndarray, units: int, *, logits: bool) -> np.ndarray:
    """Returns scores that give these classes a probability of 0.9, an array of shape `(n, units)`.

    Example:
        >>> scores_for(np.array([1]), 2, logits=False).round(2).tolist()
        [[0.1, 0.9]]

    Args:
        classes: Class of each image, integers of shape `(n,)`.
        units: Number of scores. A single one is the probability of the second of two classes.
        logits: Whether to return logits.
    """
    if units == 1:
        scores = np.where(classes == 1, _SURE, 1 - _SURE)[:, np.newaxis]
        return np.log(scores / (1 - scores)) if logits else scores
    scores = np.full((len(classes), units), (1 - _SURE) / (units - 1))
    scores[np.arange(len(classes)), classes] = _SURE
    return np.asarray(np.log(scores) if logits else scores)


def _ends_in_relu(layer: Layer) -> bool:
    return layer.activation in ("relu", "relu6")


def _shared(training: GivenImages | None, validation: GivenImages | None) -> float | None:
    if training is None or validation is None:
        return None
    arrays = [getattr(given.x, "images", given.x) for given in (training, validation)]
    if any(not isinstance(each, np.ndarray) for each in arrays):
        return None
    return shared_images(*arrays)
