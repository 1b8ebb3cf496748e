"""The table of rules. Only it defines the order, severity, section and threshold of each finding.

To add a rule, write a function from `Evidence` to an answer in a module of this room, and add a row here, a test and a
paragraph in docs/findings.md. `checking.py` applies the rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lrdiag.diagnosis.evidence import Need
from lrdiag.diagnosis.findings import (
    augmentation,
    classes,
    comparison,
    confidence,
    copies,
    course,
    data,
    image_quality,
    label_errors,
    label_suspects,
    loss,
    model,
    output,
    predictions,
    rate,
    regularization,
    shift,
    shortcuts,
    signal,
    slices,
    start,
    structure,
    time,
    trained_weights,
    training,
    training_images,
    training_labels,
    validation,
)
from lrdiag.diagnosis.findings.answers import Answer
from lrdiag.images.shift import DIFFERENT
from lrdiag.record.facts import Severity


@dataclass(frozen=True)
class Rule:
    """A check with its place in the report.

    Attributes:
        code: Stable name.
        severity: How severe its finding is, unless the answer or the settings say otherwise.
        section: Key of the section of the page that shows the evidence.
        check: Pure function from the evidence to the answer. If the rule has a threshold, it is the second argument.
        needs: Evidence that the check cannot do without. The rule is not checked if any is missing.
        explained_by: Codes of rules that name the cause. If one of them found an error or a warning, the problem is
            shown as its effect. They come earlier in the table.
        threshold: The number that decides, if there is one that users may set.
    """

    code: str
    severity: Severity
    section: str
    check: Callable[..., Answer]
    needs: tuple[Need, ...] = ()
    explained_by: tuple[str, ...] = ()
    threshold: float | None = None


# Groups of causes, in the order in which they explain each other.
_IMAGES = ("nan-input", "constant-input")
_LABELS = ("single-class", "label-form", "output-units")
_LOSS = ("softmax-twice", "last-activation", "loss-mismatch", "wrong-loss", "dropout-on-scores")
_UNFIT = (*_IMAGES, *_LABELS, *_LOSS)
"""Images, labels, outputs and loss don't fit each other: nothing that follows can be right."""
_SETS = (
    "not-shuffled", "missing-class", "leak", "input-mismatch", "correctable-inputs", "shifted-test-set", "imbalance",
    "little-data", "large-batches",
)  # fmt: skip
"""What is wrong with the training set as a whole, or beside the validation set."""
_UNEVEN = ("not-shuffled", "missing-class", "imbalance", "little-data")
"""What keeps a model from learning some classes."""
_STRUCTURE = (
    "hidden-activation", "bottleneck", "lost-resolution", "frozen-layers", "disconnected-weights", "strong-dropout",
    "strong-regularization",
)  # fmt: skip
_NORMALIZATION = ("small-batches", "slow-statistics", "lagging-statistics")
_SCALE = ("inputs-not-scaled", "inputs-too-small")
_START = (*_SCALE, "initialization")
"""Causes of signals and gradients of the wrong size."""
_SIGNAL = ("saturated-units", "exploding-gradients", "dead-units", "vanishing-gradients")
"""Causes of layers that do not learn."""
_RATE = ("negative-rate", "rate-too-high", "clipped-gradients", "rate-too-low", "early-decay")
_AUGMENTATION = ("strong-augmentation", "destructive-augmentation")
_NAMED = (
    *_UNFIT, *_SETS, *_STRUCTURE, *_NORMALIZATION, *_START, *_SIGNAL, *_RATE, *_AUGMENTATION,
)  # fmt: skip
"""All causes. The course of training and the predictions show their effects."""
_BROKEN = ("training-stopped", "not-finite", "unstable-loss")
"""Findings after which the model is not one that was trained to its end."""
_MEANINGLESS = ("input-mismatch", "correctable-inputs", "class-order", "wrong-labels")
"""Findings after which the labels have no meaning for the predictions."""
_NOISE = ("test-label-errors", "training-label-errors", "label-noise")
_USELESS = ("class-order", "wrong-labels", "not-learning", "not-finite", "collapsed-predictions", "at-chance")
"""Findings after which the predicted classes have no meaning."""
_OF_CLASSES = (
    *_UNFIT, *_SETS, *_START, *_SIGNAL, *_RATE, *_USELESS, "correctable-inputs", "sorted-validation", "shortcut",
)  # fmt: skip
"""Findings that explain that a class is predicted badly."""

_WIRING: tuple[Need, ...] = ("compiled", "layers", "scores")
"""How the model is built and compiled."""

RULES: tuple[Rule, ...] = (
    Rule("stand-in-data", "error", "data", data.stand_in_data, needs=("evaluation",)),
    # Images, labels, outputs and loss.
    Rule("nan-input", "error", "data", training_images.nan_input, needs=("training_data",)),
    Rule("constant-input", "error", "data", training_images.constant_input, needs=("training_data",)),
    Rule("single-class", "error", "data", training_labels.single_class, needs=("training_data",)),
    Rule("label-form", "error", "data", loss.label_form, needs=("compiled", "scores", "training_data")),
    Rule("output-units", "error", "data", output.output_units, needs=("compiled", "scores", "training_data")),
    Rule("softmax-twice", "error", "training", output.softmax_twice, needs=("layers", "scores")),
    Rule(
        "last-activation", "error", "training", output.last_activation, needs=_WIRING,
        explained_by=("nan-input", "softmax-twice", "output-units"),
    ),
    Rule(
        "loss-mismatch", "error", "training", loss.loss_mismatch,
        explained_by=("nan-input", "softmax-twice", "last-activation"),
    ),
    Rule(
        "wrong-loss", "warning", "training", loss.wrong_loss, needs=("compiled", "scores"),
        explained_by=(*_IMAGES, "label-form"),
    ),
    Rule("dropout-on-scores", "error", "training", output.dropout_on_scores, needs=("layers", "scores")),
    Rule(
        "metric-mismatch", "warning", "training", loss.metric_mismatch, threshold=0.1,
        explained_by=("label-form", "output-units"),
    ),
    # The training set as a whole.
    Rule(
        "not-shuffled", "error", "data", training_labels.not_shuffled, needs=("training_data",),
        explained_by=("single-class",), threshold=0.5,
    ),
    Rule(
        "missing-class", "error", "data", training_labels.missing_class,
        needs=("training_data", "validation_data"), explained_by=("single-class", "not-shuffled"),
    ),
    Rule(
        "leak", "error", "data", training_images.leak, needs=("shared", "validation_data"),
        explained_by=("constant-input",), threshold=0.01,
    ),
    Rule(
        "leaked-groups", "warning", "data", copies.leaked_groups, needs=("copies", "shared_groups", "test_images"),
        threshold=0.02,
    ),
    Rule(
        "leaked-copies", "warning", "data", copies.leaked_copies, needs=("copies", "test_images", "training_images"),
        explained_by=("leak", "leaked-groups"), threshold=0.02,
    ),
    Rule(
        "copies-with-other-labels", "warning", "data", copies.copies_with_other_labels, needs=("copies",),
        threshold=0.001,
    ),
    Rule("repeated-images", "warning", "data", copies.repeated_images, needs=("copies",), threshold=0.05),
    Rule(
        "input-mismatch", "error", "data", training_images.input_mismatch,
        needs=("training_data", "validation_data"), explained_by=_IMAGES, threshold=0.5,
    ),
    Rule(
        "blank-images", "warning", "data", image_quality.blank_images, needs=("test_images",),
        explained_by=("constant-input", "input-mismatch"), threshold=0.002,
    ),
    Rule(
        "damaged-images", "warning", "data", image_quality.damaged_images, needs=("test_images",), threshold=0.002
    ),
    Rule(
        "dark-or-bright-images", "warning", "data", image_quality.dark_or_bright_images, needs=("test_images",),
        explained_by=("input-mismatch",), threshold=0.002,
    ),
    Rule(
        "enlarged-images", "warning", "data", image_quality.enlarged_images, needs=("test_images",), threshold=0.002
    ),
    Rule(
        "blurred-images", "warning", "data", image_quality.blurred_images, needs=("test_images",), threshold=0.002
    ),
    Rule(
        "bordered-images", "warning", "data", image_quality.bordered_images, needs=("test_images",), threshold=0.01
    ),
    Rule(
        "imbalance", "warning", "data", training_labels.imbalance, needs=("training_data",),
        explained_by=("single-class", "not-shuffled"), threshold=10.0,
    ),
    Rule("little-data", "warning", "data", training_labels.little_data, needs=("training_data",), threshold=10.0),
    Rule(
        "large-batches", "warning", "data", course.large_batches, needs=("training_data",),
        explained_by=("little-data",), threshold=0.25,
    ),
    # How the model is built.
    Rule("hidden-activation", "error", "training", structure.hidden_activation, needs=("layers",)),
    Rule("bottleneck", "warning", "training", structure.bottleneck, needs=("layers", "scores")),
    Rule("lost-resolution", "warning", "training", structure.lost_resolution, needs=("layers",)),
    Rule(
        "frozen-layers", "error", "training", trained_weights.frozen_layers, needs=("layers",), explained_by=_IMAGES
    ),
    Rule(
        "strong-dropout", "warning", "training", regularization.strong_dropout, needs=("layers",),
        explained_by=("dropout-on-scores",), threshold=0.7,
    ),
    Rule(
        "strong-regularization", "warning", "training", regularization.strong_regularization, needs=("layers", "start"),
        explained_by=_UNFIT, threshold=1.0,
    ),
    Rule(
        "small-batches", "warning", "training", regularization.small_batches, needs=("layers", "training_data"),
        threshold=4.0,
    ),
    Rule(
        "slow-statistics", "warning", "training", regularization.slow_statistics, needs=("layers", "rates"),
        explained_by=("large-batches", "little-data"), threshold=0.1,
    ),
    # The start: scale, signals and gradients.
    Rule(
        "inputs-not-scaled", "warning", "training", start.inputs_not_scaled, needs=("layers", "training_data", "start"),
        explained_by=_IMAGES, threshold=10.0,
    ),
    Rule(
        "inputs-too-small", "warning", "training", start.inputs_too_small, needs=("layers", "training_data", "start"),
        explained_by=_IMAGES, threshold=0.03,
    ),
    Rule(
        "initialization", "warning", "training", start.initialization, needs=("layers", "start"),
        explained_by=(*_UNFIT, *_SCALE, "frozen-layers"), threshold=2.0,
    ),
    Rule(
        "disconnected-weights", "error", "training", trained_weights.disconnected_weights, needs=("layers", "start"),
        explained_by=(*_IMAGES, "frozen-layers", *_START),
    ),
    Rule(
        "saturated-units", "warning", "training", signal.saturated_units, needs=("layers",),
        explained_by=(*_UNFIT, *_START), threshold=0.5,
    ),
    Rule(
        "exploding-gradients", "warning", "training", signal.exploding_gradients, needs=("layers", "start"),
        explained_by=(*_UNFIT, *_START), threshold=50.0,
    ),
    # The learning rate.
    Rule("negative-rate", "error", "training", rate.negative_rate, needs=("rates",)),
    Rule(
        "rate-too-high", "warning", "training", rate.rate_too_high,
        explained_by=(*_UNFIT, "not-shuffled", *_START, "exploding-gradients", "negative-rate"), threshold=0.2,
    ),
    Rule(
        "dead-units", "warning", "training", signal.dead_units, needs=("layers",),
        explained_by=(*_UNFIT, *_START, "negative-rate", "rate-too-high"), threshold=0.95,
    ),
    Rule(
        "vanishing-gradients", "warning", "training", signal.vanishing_gradients, needs=("layers", "start"),
        explained_by=(*_UNFIT, *_STRUCTURE, *_START, "saturated-units", "dead-units"), threshold=1e-3,
    ),
    Rule(
        "clipped-gradients", "warning", "training", rate.clipped_gradients, needs=("compiled", "rates", "trial"),
        explained_by=_UNFIT, threshold=0.1,
    ),
    Rule(
        "early-decay", "warning", "training", rate.early_decay, needs=("rates",),
        explained_by=(*_UNFIT, *_START, "dead-units", "vanishing-gradients", "clipped-gradients"), threshold=0.5,
    ),
    Rule(
        "rate-too-low", "warning", "training", rate.rate_too_low,
        explained_by=(
            *_UNFIT, *_STRUCTURE, *_START, "saturated-units", "negative-rate", "dead-units", "vanishing-gradients",
            "clipped-gradients", "early-decay",
        ),
        threshold=0.1,
    ),
    Rule("strong-augmentation", "warning", "training", start.strong_augmentation, needs=("start",), threshold=0.3),
    # The course of training.
    Rule(
        "unstable-loss", "warning", "training", course.unstable_loss, needs=("training",),
        explained_by=(*_UNFIT, "not-shuffled", *_START, *_SIGNAL, *_RATE), threshold=3.0,
    ),
    Rule(
        "training-stopped", "error", "training", training.training_stopped, needs=("training",),
        explained_by=(*_UNFIT, *_START, *_SIGNAL, *_RATE),
    ),
    Rule("training-interrupted", "warning", "training", training.training_interrupted, needs=("training",)),
    Rule("predict-mismatch", "error", "misclassified", model.predict_mismatch, needs=("agreement",)),
    Rule(
        "evaluate-mismatch", "error", "misclassified", model.evaluate_mismatch, needs=("agreement",),
        explained_by=("nan-input", "last-activation", "metric-mismatch"),
    ),
    Rule(
        "not-finite", "error", "confidence", predictions.not_finite, needs=("evaluation", "predictions"),
        explained_by=(*_IMAGES, "training-stopped"),
    ),
    Rule(
        "destructive-augmentation", "warning", "training", augmentation.destructive_augmentation,
        needs=("evaluation", "turned"), explained_by=(*_UNFIT, "strong-augmentation", *_BROKEN[:2]), threshold=0.10,
    ),
    Rule(
        "lagging-statistics", "warning", "training", training.lagging_statistics,
        needs=("evaluation", "training", "train_sample"),
        explained_by=("not-finite", "metric-mismatch", *_AUGMENTATION, *_NORMALIZATION[:2]), threshold=0.10,
    ),
    # Test images and validation images that are not like the training images.
    Rule(
        "correctable-inputs", "error", "data", shift.correctable_inputs, needs=("corrections",),
        explained_by=(*_UNFIT, "not-shuffled", "input-mismatch", *_BROKEN, "lagging-statistics"), threshold=0.10,
    ),
    Rule(
        "shifted-test-set", "warning", "data", shift.shifted_test_set, needs=("test_images", "training_images"),
        explained_by=(*_IMAGES, "input-mismatch", "correctable-inputs"), threshold=DIFFERENT,
    ),
    Rule(
        "class-order", "error", "confusion", label_errors.class_order, needs=("evaluation",),
        explained_by=("single-class", "not-shuffled", "input-mismatch", "correctable-inputs"), threshold=0.30,
    ),
    Rule(
        "wrong-labels", "error", "training", label_errors.wrong_labels, needs=("evaluation",),
        explained_by=(*_NAMED, *_BROKEN, "class-order"),
    ),
    Rule(
        "no-class", "warning", "data", label_suspects.no_class, needs=("evaluation", "suspects", "test_images"),
        explained_by=(*_IMAGES, "input-mismatch"),
    ),
    Rule(
        "same-class-twice", "warning", "confusion", label_suspects.same_class_twice,
        needs=("evaluation", "suspects", "test_images"), explained_by=(*_UNFIT, *_BROKEN, *_MEANINGLESS),
    ),
    Rule(
        "contradicting-annotators", "warning", "confusion", label_suspects.contradicting_annotators,
        needs=("evaluation", "suspects", "test_images"),
        explained_by=(*_UNFIT, *_BROKEN, *_MEANINGLESS, "same-class-twice"), threshold=0.15,
    ),
    Rule(
        "shortcut", "error", "misclassified", shortcuts.shortcut, needs=("evaluation", "shortcuts"),
        explained_by=(*_UNFIT, *_BROKEN, *_MEANINGLESS),
    ),
    Rule(
        "test-label-errors", "warning", "misclassified", label_suspects.test_label_errors,
        needs=("evaluation", "suspects", "test_images"),
        explained_by=(
            *_UNFIT, *_UNEVEN, *_BROKEN, *_MEANINGLESS, "no-class", "same-class-twice", "contradicting-annotators",
            "shortcut",
        ),
        threshold=0.002,
    ),
    Rule(
        "training-label-errors", "warning", "training", label_suspects.training_label_errors,
        needs=("evaluation", "suspects", "training_images"),
        explained_by=(*_UNFIT, *_UNEVEN, *_MEANINGLESS, "same-class-twice", "contradicting-annotators"), threshold=0.02,
    ),
    Rule(
        "label-noise", "warning", "training", label_errors.label_noise, needs=("evaluation", "train_sample"),
        explained_by=(*_NAMED, *_BROKEN, "contradicting-annotators", "training-label-errors"), threshold=0.15,
    ),
    Rule(
        "sorted-validation", "warning", "data", validation.sorted_validation, needs=("evaluation", "training"),
        explained_by=(*_NAMED, *_BROKEN, "metric-mismatch", *_NOISE), threshold=0.15,
    ),
    # Symptoms.
    Rule(
        "not-learning", "error", "training", course.not_learning, needs=("evaluation", "train_sample"),
        explained_by=(*_NAMED, *_BROKEN, "wrong-labels"),
    ),
    Rule(
        "collapsed-predictions", "error", "confusion", predictions.collapsed_predictions, needs=("evaluation",),
        explained_by=(*_NAMED, *_BROKEN, *_USELESS[:4]), threshold=0.90,
    ),
    Rule(
        "at-chance", "error", "confusion", predictions.at_chance, needs=("evaluation",),
        explained_by=(*_NAMED, *_BROKEN, *_USELESS[:5]),
    ),
    Rule("regression", "warning", "comparison", comparison.regression, needs=("comparison",)),
    Rule(
        "class-regression", "warning", "comparison", comparison.class_regression, needs=("comparison",), threshold=0.10
    ),
    Rule(
        "slice-regression", "warning", "comparison", comparison.slice_regression, needs=("comparison",), threshold=0.10
    ),
    Rule(
        "pair-regression", "warning", "comparison", comparison.pair_regression, needs=("comparison",),
        explained_by=("class-regression",), threshold=0.05,
    ),
    Rule("skipped-files", "warning", "data", data.skipped_files, needs=("evaluation",)),
    Rule("narrow-range", "warning", "data", data.narrow_range, needs=("evaluation",), threshold=1 / 16),
    Rule("no-heatmaps", "warning", "misclassified", model.no_heatmaps, needs=("evaluation",)),
    Rule("no-suggestion", "warning", "learning-rate", model.no_suggestion, needs=("evaluation", "range_test")),
    Rule(
        "overfitting", "warning", "training", training.overfitting, needs=("evaluation",),
        explained_by=(
            *_NAMED, *_BROKEN, "metric-mismatch", "class-order", "wrong-labels", *_NOISE, "sorted-validation",
        ),
        threshold=0.20,
    ),
    Rule(
        "past-best-epoch", "warning", "training", course.past_best_epoch, needs=("training",),
        explained_by=(
            *_NAMED, *_BROKEN, "class-order", "wrong-labels", *_NOISE, "sorted-validation", "overfitting",
        ),
        threshold=1.1,
    ),
    Rule(
        "overconfident", "warning", "confidence", confidence.overconfident, needs=("evaluation", "predictions"),
        explained_by=(
            *_NAMED, *_BROKEN, *_USELESS, "metric-mismatch", *_NOISE, "sorted-validation", "overfitting",
            "past-best-epoch",
        ),
        threshold=0.15,
    ),
    Rule(
        "underconfident", "warning", "confidence", confidence.underconfident, needs=("evaluation", "predictions"),
        explained_by=(*_NAMED, *_BROKEN, *_USELESS, *_NOISE), threshold=0.15,
    ),
    Rule(
        "one-threshold", "warning", "confidence", confidence.one_threshold, needs=("evaluation", "predictions"),
        explained_by=_OF_CLASSES, threshold=0.05,
    ),
    Rule(
        "never-predicted-class", "warning", "classes", confidence.never_predicted_class, needs=("evaluation",),
        explained_by=(*_OF_CLASSES, *_NAMED, *_BROKEN),
    ),
    Rule(
        "weak-slice", "warning", "misclassified", slices.weak_slice, needs=("evaluation", "slices"),
        explained_by=(*_USELESS, "input-mismatch", "correctable-inputs", "shifted-test-set"), threshold=0.15,
    ),
    Rule(
        "weak-class", "warning", "classes", classes.weak_class, needs=("evaluation",),
        explained_by=(*_OF_CLASSES, "never-predicted-class"), threshold=0.15,
    ),
    Rule(
        "over-predicted-class", "warning", "classes", classes.over_predicted_class, needs=("evaluation",),
        explained_by=_OF_CLASSES, threshold=2.0,
    ),
    Rule(
        "too-few-updates", "note", "training", course.too_few_updates,
        explained_by=(*_NAMED, *_BROKEN, *_USELESS), threshold=60.0,
    ),
    # Time.
    Rule(
        "idle-between-epochs", "note", "training", time.idle_between_epochs, needs=("training", "time"),
        threshold=1 / 3,
    ),
    Rule("input-bound", "note", "training", time.input_bound, needs=("training", "time"), threshold=0.30),
    Rule("slow-validation", "note", "training", time.slow_validation, needs=("training", "time"), threshold=1.0),
    Rule("recompilation", "note", "training", time.recompilation, needs=("training", "time"), threshold=0.20),
    Rule("ignored-from-logits", "note", "training", loss.ignored_from_logits),
    Rule(
        "confused-pair", "note", "confusion", classes.confused_pair, needs=("evaluation",),
        explained_by=_OF_CLASSES, threshold=0.10,
    ),
)  # fmt: skip
