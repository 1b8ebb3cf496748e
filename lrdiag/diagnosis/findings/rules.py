"""The table of rules. Only it defines the order, severity, section and threshold of each finding.

To add a rule, write a function from `Evidence` to an answer in a module of this room, and add a row here, a test and a
paragraph in docs/findings.md. `checking.py` applies the rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lrdiag.diagnosis.evidence import Need
from lrdiag.diagnosis.findings import (
    classes,
    comparison,
    course,
    data,
    label_errors,
    model,
    predictions,
    training,
    training_images,
    training_labels,
)
from lrdiag.diagnosis.findings.answers import Answer
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


_USELESS = (
    "single-class", "not-shuffled", "input-mismatch", "class-order", "wrong-labels", "not-learning", "not-finite",
    "collapsed-predictions", "at-chance",
)  # fmt: skip
"""Findings after which the predicted classes have no meaning."""

_DATA_AT_FAULT = (
    "nan-input", "constant-input", "single-class", "not-shuffled", "missing-class", "imbalance", "leak",
    "input-mismatch", "little-data",
)  # fmt: skip
"""Findings about the data that explain a model that learns nothing, or that others than its training images mislead."""
_BROKEN = ("training-stopped", "loss-mismatch", "not-finite", "unstable-loss")
"""Findings after which the model is not one that was trained."""
_SYMPTOMS = ("lagging-statistics", "class-order", "wrong-labels", "not-learning")
"""Findings that explain that the model is no better than chance on validation images."""

RULES: tuple[Rule, ...] = (
    Rule("nan-input", "error", "data", training_images.nan_input, needs=("training_data",)),
    Rule("constant-input", "error", "data", training_images.constant_input, needs=("training_data",)),
    Rule("single-class", "error", "data", training_labels.single_class, needs=("training_data",)),
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
        "input-mismatch", "error", "data", training_images.input_mismatch,
        needs=("training_data", "validation_data"), explained_by=("constant-input",), threshold=0.5,
    ),
    Rule(
        "imbalance", "warning", "data", training_labels.imbalance, needs=("training_data",),
        explained_by=("not-shuffled",), threshold=10.0,
    ),
    Rule("little-data", "warning", "data", training_labels.little_data, needs=("training_data",), threshold=10.0),
    Rule(
        "large-batches", "warning", "data", course.large_batches, needs=("training_data",),
        explained_by=("little-data",), threshold=0.25,
    ),
    Rule(
        "unstable-loss", "warning", "training", course.unstable_loss, needs=("training",),
        explained_by=("nan-input", "constant-input", "not-shuffled"), threshold=3.0,
    ),
    Rule(
        "training-stopped", "error", "training", training.training_stopped, needs=("training",),
        explained_by=("nan-input",),
    ),
    Rule("training-interrupted", "warning", "training", training.training_interrupted, needs=("training",)),
    Rule("stand-in-data", "error", "data", data.stand_in_data),
    Rule("predict-mismatch", "error", "misclassified", model.predict_mismatch, needs=("agreement",)),
    Rule("evaluate-mismatch", "error", "misclassified", model.evaluate_mismatch, needs=("agreement",)),
    Rule("loss-mismatch", "error", "training", model.loss_mismatch, needs=("loss",)),
    Rule("not-finite", "error", "confidence", predictions.not_finite, explained_by=("training-stopped",)),
    Rule(
        "lagging-statistics", "warning", "training", training.lagging_statistics, needs=("training", "train_sample"),
        explained_by=("not-finite",), threshold=0.10,
    ),
    Rule(
        "class-order", "error", "confusion", label_errors.class_order, needs=("evaluation",),
        explained_by=("single-class", "not-shuffled", "input-mismatch"), threshold=0.30,
    ),
    Rule(
        "wrong-labels", "error", "training", label_errors.wrong_labels, needs=("evaluation", "train_sample"),
        explained_by=(*_DATA_AT_FAULT, *_BROKEN, "lagging-statistics", "class-order"),
    ),
    Rule(
        "label-noise", "warning", "training", label_errors.label_noise, needs=("evaluation", "train_sample"),
        explained_by=(*_DATA_AT_FAULT, *_BROKEN), threshold=0.15,
    ),
    Rule(
        "not-learning", "error", "training", course.not_learning, needs=("evaluation", "train_sample"),
        explained_by=(*_DATA_AT_FAULT, "large-batches", *_BROKEN, "lagging-statistics"),
    ),
    Rule(
        "collapsed-predictions", "error", "confusion", predictions.collapsed_predictions,
        explained_by=(*_DATA_AT_FAULT, *_BROKEN, *_SYMPTOMS), threshold=0.90,
    ),
    Rule(
        "at-chance", "error", "confusion", predictions.at_chance,
        explained_by=(*_DATA_AT_FAULT, *_BROKEN, *_SYMPTOMS, "collapsed-predictions"),
    ),
    Rule("regression", "warning", "comparison", comparison.regression, needs=("comparison",)),
    Rule(
        "class-regression", "warning", "comparison", comparison.class_regression, needs=("comparison",), threshold=0.10
    ),
    Rule("skipped-files", "warning", "data", data.skipped_files),
    Rule("narrow-range", "warning", "data", data.narrow_range, threshold=1 / 16),
    Rule("no-heatmaps", "warning", "misclassified", model.no_heatmaps),
    Rule("no-suggestion", "warning", "learning-rate", model.no_suggestion, needs=("range_test",)),
    Rule(
        "overfitting", "warning", "training", training.overfitting,
        explained_by=(*_DATA_AT_FAULT, *_BROKEN, "lagging-statistics", "class-order", "wrong-labels"), threshold=0.20,
    ),
    Rule(
        "past-best-epoch", "warning", "training", course.past_best_epoch, needs=("training",),
        explained_by=(*_DATA_AT_FAULT, *_BROKEN, "class-order", "wrong-labels", "overfitting"), threshold=1.1,
    ),
    Rule(
        "weak-class", "warning", "classes", classes.weak_class,
        explained_by=("missing-class", "imbalance", *_USELESS), threshold=0.15,
    ),
    Rule(
        "over-predicted-class", "warning", "classes", classes.over_predicted_class,
        explained_by=("missing-class", "imbalance", *_USELESS), threshold=2.0,
    ),
    Rule(
        "too-few-updates", "note", "training", course.too_few_updates, needs=("evaluation", "training"),
        explained_by=(*_DATA_AT_FAULT, *_BROKEN, *_SYMPTOMS, "large-batches", *_USELESS[-2:]),
        threshold=60.0,
    ),
    Rule("ignored-from-logits", "note", "training", model.ignored_from_logits, needs=("loss",)),
    Rule("confused-pair", "note", "confusion", classes.confused_pair, explained_by=_USELESS, threshold=0.10),
)  # fmt: skip
