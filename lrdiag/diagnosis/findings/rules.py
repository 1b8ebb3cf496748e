"""The table of rules. Only it defines the order, severity, section and threshold of each finding.

To add a rule, write a function from `Evidence` to an answer in a module of this room, and add a row here, a test and a
paragraph in docs/findings.md. `checking.py` applies the rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lrdiag.diagnosis.evidence import Need
from lrdiag.diagnosis.findings import classes, comparison, data, model, predictions, rate, signal, start, training
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


_USELESS = ("not-finite", "collapsed-predictions", "at-chance")
"""Findings after which the predicted classes have no meaning."""

_UNFIT = ("loss-mismatch",)
"""Causes of any failure: the loss, the labels or the images are not what the model needs."""
_START = ("inputs-not-scaled", "inputs-too-small", "initialization")
"""Causes of signals and gradients of the wrong size."""
_SIGNAL = ("saturated-units", "exploding-gradients", "dead-units", "vanishing-gradients")
"""Causes of layers that do not learn."""
_RATE = ("negative-rate", "rate-too-high", "clipped-gradients", "rate-too-low", "early-decay")
"""Causes of a model that has learnt nothing."""

RULES: tuple[Rule, ...] = (
    Rule("loss-mismatch", "error", "training", model.loss_mismatch, needs=("evaluation", "loss")),
    Rule(
        "inputs-not-scaled", "warning", "training", start.inputs_not_scaled, needs=("layers", "training_data", "start"),
        explained_by=_UNFIT, threshold=10.0,
    ),
    Rule(
        "inputs-too-small", "warning", "training", start.inputs_too_small, needs=("layers", "training_data", "start"),
        explained_by=_UNFIT, threshold=0.03,
    ),
    Rule(
        "initialization", "warning", "training", start.initialization, needs=("layers", "start"),
        explained_by=(*_UNFIT, *_START[:2]), threshold=2.0,
    ),
    Rule(
        "saturated-units", "warning", "training", signal.saturated_units, needs=("layers",),
        explained_by=(*_UNFIT, *_START), threshold=0.5,
    ),
    Rule(
        "exploding-gradients", "warning", "training", signal.exploding_gradients, needs=("layers", "start"),
        explained_by=(*_UNFIT, *_START), threshold=50.0,
    ),
    Rule("negative-rate", "error", "training", rate.negative_rate, needs=("rates",), explained_by=_UNFIT),
    Rule(
        "rate-too-high", "warning", "training", rate.rate_too_high,
        explained_by=(*_UNFIT, *_START, "exploding-gradients", "negative-rate"), threshold=0.2,
    ),
    Rule(
        "dead-units", "warning", "training", signal.dead_units, needs=("layers",),
        explained_by=(*_UNFIT, *_START, "negative-rate", "rate-too-high"), threshold=0.95,
    ),
    Rule(
        "vanishing-gradients", "warning", "training", signal.vanishing_gradients, needs=("layers", "start"),
        explained_by=(*_UNFIT, *_START, "saturated-units", "dead-units"), threshold=1e-3,
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
            *_UNFIT, *_START, "saturated-units", "negative-rate", "dead-units", "vanishing-gradients",
            "clipped-gradients", "early-decay",
        ),
        threshold=0.1,
    ),
    Rule("strong-augmentation", "warning", "training", start.strong_augmentation, needs=("start",), threshold=0.3),
    Rule(
        "training-stopped", "error", "training", training.training_stopped, needs=("evaluation", "training"),
        explained_by=(*_UNFIT, *_START, "exploding-gradients", "negative-rate", "rate-too-high"),
    ),
    Rule(
        "training-interrupted", "warning", "training", training.training_interrupted, needs=("evaluation", "training")
    ),
    Rule("stand-in-data", "error", "data", data.stand_in_data, needs=("evaluation",)),
    Rule("predict-mismatch", "error", "misclassified", model.predict_mismatch, needs=("evaluation", "agreement")),
    Rule("evaluate-mismatch", "error", "misclassified", model.evaluate_mismatch, needs=("evaluation", "agreement")),
    Rule(
        "not-finite", "error", "confidence", predictions.not_finite, needs=("evaluation",),
        explained_by=("training-stopped",),
    ),
    Rule(
        "lagging-statistics", "warning", "training", training.lagging_statistics,
        needs=("evaluation", "training", "train_sample"), explained_by=("not-finite",), threshold=0.10,
    ),
    Rule(
        "collapsed-predictions", "error", "confusion", predictions.collapsed_predictions, needs=("evaluation",),
        explained_by=(*_UNFIT, *_START, *_SIGNAL, *_RATE, "training-stopped", "not-finite", "lagging-statistics"),
        threshold=0.90,
    ),
    Rule(
        "at-chance", "error", "confusion", predictions.at_chance, needs=("evaluation",),
        explained_by=(*_UNFIT, *_START, *_SIGNAL, *_RATE, "training-stopped", *_USELESS[:2], "lagging-statistics"),
    ),
    Rule("regression", "warning", "comparison", comparison.regression, needs=("evaluation", "comparison")),
    Rule(
        "class-regression", "warning", "comparison", comparison.class_regression,
        needs=("evaluation", "comparison"), threshold=0.10,
    ),
    Rule("skipped-files", "warning", "data", data.skipped_files, needs=("evaluation",)),
    Rule("narrow-range", "warning", "data", data.narrow_range, needs=("evaluation",), threshold=1 / 16),
    Rule("no-heatmaps", "warning", "misclassified", model.no_heatmaps, needs=("evaluation",)),
    Rule("no-suggestion", "warning", "learning-rate", model.no_suggestion, needs=("evaluation", "range_test")),
    Rule(
        "overfitting", "warning", "training", training.overfitting, needs=("evaluation",),
        explained_by=("not-finite", "lagging-statistics"), threshold=0.10,
    ),
    Rule(
        "weak-class", "warning", "classes", classes.weak_class, needs=("evaluation",),
        explained_by=(*_USELESS, *_START, *_SIGNAL, *_RATE), threshold=0.15,
    ),
    Rule(
        "over-predicted-class", "warning", "classes", classes.over_predicted_class, needs=("evaluation",),
        explained_by=(*_USELESS, *_START, *_SIGNAL, *_RATE), threshold=2.0,
    ),
    Rule("ignored-from-logits", "note", "training", model.ignored_from_logits, needs=("evaluation", "loss")),
    Rule(
        "confused-pair", "note", "confusion", classes.confused_pair, needs=("evaluation",),
        explained_by=(*_USELESS, *_START, *_SIGNAL, *_RATE), threshold=0.10,
    ),
)  # fmt: skip
