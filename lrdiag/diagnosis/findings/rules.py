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
    data,
    loss,
    model,
    output,
    predictions,
    regularization,
    structure,
    trained_weights,
    training,
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


_USELESS = ("not-finite", "collapsed-predictions", "at-chance")
"""Findings after which the predicted classes have no meaning."""
_WIRING: tuple[Need, ...] = ("compiled", "layers", "scores")
"""How the model is built and compiled."""
_MISBUILT = (
    "label-form", "output-units", "softmax-twice", "last-activation", "loss-mismatch", "wrong-loss",
    "dropout-on-scores", "hidden-activation", "bottleneck", "lost-resolution", "frozen-layers", "disconnected-weights",
    "strong-dropout", "strong-regularization", "small-batches", "slow-statistics",
)  # fmt: skip
"""Findings about how the model is built and compiled that explain why it has learned nothing."""

RULES: tuple[Rule, ...] = (
    Rule("training-stopped", "error", "training", training.training_stopped, needs=("training",)),
    Rule("training-interrupted", "warning", "training", training.training_interrupted, needs=("training",)),
    Rule("stand-in-data", "error", "data", data.stand_in_data),
    Rule("predict-mismatch", "error", "misclassified", model.predict_mismatch, needs=("agreement",)),
    Rule("evaluate-mismatch", "error", "misclassified", model.evaluate_mismatch, needs=("agreement",)),
    Rule("label-form", "error", "data", loss.label_form, needs=("compiled", "scores", "training_data")),
    Rule("output-units", "error", "data", output.output_units, needs=("compiled", "scores", "training_data")),
    Rule("softmax-twice", "error", "training", output.softmax_twice, needs=_WIRING[1:]),
    Rule(
        "last-activation", "error", "training", output.last_activation, needs=_WIRING, explained_by=("softmax-twice",)
    ),
    Rule("loss-mismatch", "error", "training", loss.loss_mismatch, explained_by=("softmax-twice",)),
    Rule(
        "wrong-loss", "warning", "training", loss.wrong_loss, needs=("compiled", "scores"), explained_by=("label-form",)
    ),
    Rule("dropout-on-scores", "error", "training", output.dropout_on_scores, needs=_WIRING[1:]),
    Rule("hidden-activation", "error", "training", structure.hidden_activation, needs=("layers",)),
    Rule("bottleneck", "warning", "training", structure.bottleneck, needs=_WIRING[1:]),
    Rule("lost-resolution", "warning", "training", structure.lost_resolution, needs=("layers",)),
    Rule("frozen-layers", "error", "training", trained_weights.frozen_layers, needs=("layers",)),
    Rule(
        "disconnected-weights", "error", "training", trained_weights.disconnected_weights, needs=("layers", "start"),
        explained_by=("frozen-layers",),
    ),
    Rule(
        "strong-dropout", "warning", "training", regularization.strong_dropout, needs=("layers",),
        explained_by=("dropout-on-scores",), threshold=0.7,
    ),
    Rule(
        "strong-regularization", "warning", "training", regularization.strong_regularization, needs=("layers", "start"),
        threshold=1.0,
    ),
    Rule(
        "small-batches", "warning", "training", regularization.small_batches, needs=("layers", "training_data"),
        threshold=4.0,
    ),
    Rule(
        "slow-statistics", "warning", "training", regularization.slow_statistics, needs=("layers", "rates"),
        threshold=0.1,
    ),
    Rule(
        "metric-mismatch", "warning", "training", loss.metric_mismatch, threshold=0.1,
        explained_by=("label-form", "output-units"),
    ),
    Rule("not-finite", "error", "confidence", predictions.not_finite, explained_by=("training-stopped",)),
    Rule(
        "lagging-statistics", "warning", "training", training.lagging_statistics, needs=("training", "train_sample"),
        explained_by=("not-finite", "slow-statistics", "small-batches"), threshold=0.10,
    ),
    Rule(
        "collapsed-predictions", "error", "confusion", predictions.collapsed_predictions,
        explained_by=("training-stopped", *_MISBUILT, "not-finite", "lagging-statistics"), threshold=0.90,
    ),
    Rule(
        "at-chance", "error", "confusion", predictions.at_chance,
        explained_by=("training-stopped", *_MISBUILT, *_USELESS[:2], "lagging-statistics"),
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
        explained_by=("not-finite", "lagging-statistics"), threshold=0.10,
    ),
    Rule("weak-class", "warning", "classes", classes.weak_class, explained_by=_USELESS, threshold=0.15),
    Rule(
        "over-predicted-class", "warning", "classes", classes.over_predicted_class, explained_by=_USELESS, threshold=2.0
    ),
    Rule("ignored-from-logits", "note", "training", loss.ignored_from_logits),
    Rule("confused-pair", "note", "confusion", classes.confused_pair, explained_by=_USELESS, threshold=0.10),
)  # fmt: skip
