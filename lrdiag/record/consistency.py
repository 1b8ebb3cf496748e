"""Checks that the facts of a run agree with each other, when they are read.

A report.json may have been edited, cut or written by someone else. What follows relies on its numbers: that an index
exists, that lists have the same length, that counts add up. These rules are checked once, so that nothing else has to.
The limits of single values are those of `lrdiag.record.ranges`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from math import isclose
from typing import NamedTuple

import numpy as np

from lrdiag.errors import RunFolderError
from lrdiag.limits import MOST_MISTAKES
from lrdiag.record.data_facts import bits_of
from lrdiag.record.facts import Diagnosis, Finding, Mistake
from lrdiag.vocabulary import FAIL_ON

_ROUNDING = 1e-6
"""Largest difference of two figures that are the same."""


class Rule(NamedTuple):
    """A rule that the facts of every run follow.

    Attributes:
        requirement: The rule in words, as the message has it.
        contradictions: Returns what contradicts it.
    """

    requirement: str
    contradictions: Callable[[Diagnosis], Iterable[str]]


def require_consistent(diagnosis: Diagnosis) -> None:
    """Raises unless the facts agree with each other.

    Raises:
        RunFolderError: With the first rule that they break.
    """
    for rule in RULES:
        for received in rule.contradictions(diagnosis):
            raise contradiction("report.json", rule.requirement, received)


def contradiction(file: str, requirement: str, received: str) -> RunFolderError:
    """The error for facts that break a rule."""
    return RunFolderError(
        f"The facts in {file} must agree with each other: {requirement}. Make the run again. Received: {received}"
    )


# --- parts of rules ---------------------------------------------------------------------------------------------------


def _differ(*named: tuple[str, float]) -> Iterable[str]:
    """What contradicts the rule that some numbers are the same."""
    if any(not isclose(value, named[0][1], abs_tol=_ROUNDING, rel_tol=_ROUNDING) for _, value in named[1:]):
        yield ", ".join(f"{name} {value:g}" for name, value in named)


def outside(indices: Iterable[int | None], size: int, name: str) -> Iterable[str]:
    """What contradicts the rule that each index is one of a list of `size` entries."""
    largest = max((-1 if index is None else index for index in indices), default=-1)
    if largest >= size:
        yield f"{name} {largest} of {size}"


def _repeated(values: Sequence[object], name: str) -> Iterable[str]:
    if len(set(values)) < len(values):
        value, times = Counter(values).most_common(1)[0]
        yield f"{name} {str(value)[:40]} {times} times"


def _not_around(low: float | None, value: float | None, high: float | None, name: str) -> Iterable[str]:
    """What contradicts the rule that an interval contains its value. What is not known contradicts nothing."""
    known = [each for each in (low, value, high) if each is not None]
    if any(first > second + _ROUNDING for first, second in pairwise(known)):
        yield f"{name} with the interval {low} to {high}"


# --- classes and counts -----------------------------------------------------------------------------------------------


def _lists_of_classes(run: Diagnosis) -> Iterable[str]:
    data, classes = run.dataset, len(run.dataset.classes)
    lengths = {len(data.train_counts), len(data.test_counts), len(run.per_class), len(run.confusion)}
    for other in lengths.union(map(len, run.confusion)) - {classes}:
        yield f"{classes} classes and a list of {other}"
    if not classes:
        yield "no classes"


def _names_of_classes(run: Diagnosis) -> Iterable[str]:
    for name, facts in zip(run.dataset.classes, run.per_class, strict=True):
        if name != facts.name:
            yield f"the class {name[:40]!r} with the figures of {facts.name[:40]!r}"


def _sizes(run: Diagnosis) -> Iterable[str]:
    data, counted = run.dataset, sum(map(sum, run.confusion))
    yield from _differ(
        ("images in the confusion matrix", counted),
        ("`test.size`", run.test.size),
        ("`test_size`", data.test_size),
        ("the sum of `test_counts`", sum(data.test_counts)),
    )
    yield from _differ(("`train_size`", data.train_size), ("the sum of `train_counts`", sum(data.train_counts)))
    if run.test.not_finite > run.test.size:
        yield f"{run.test.not_finite} images without finite scores of {run.test.size}"


def _supports(run: Diagnosis) -> Iterable[str]:
    for facts, row, count in zip(run.per_class, run.confusion, run.dataset.test_counts, strict=True):
        yield from _differ(("`support`", facts.support), ("row of the matrix", sum(row)), ("`test_counts`", count))


def _right(run: Diagnosis) -> int:
    return sum(row[index] for index, row in enumerate(run.confusion))


def _figures(run: Diagnosis) -> Iterable[str]:
    test = run.test
    yield from _differ(("`accuracy`", test.accuracy), ("the share in the matrix", _right(run) / test.size))
    yield from _not_around(test.accuracy_low, test.accuracy, test.accuracy_high, f"accuracy {test.accuracy}")
    if test.top5_accuracy is not None and test.top5_accuracy < test.accuracy - _ROUNDING:
        yield f"top-5 accuracy {test.top5_accuracy} and accuracy {test.accuracy}"
    if sample := run.train_sample:
        yield from _not_around(sample.accuracy_low, sample.accuracy, sample.accuracy_high, "accuracy of the sample")


def _figures_of_classes(run: Diagnosis) -> Iterable[str]:
    named = np.asarray(run.confusion, dtype=object).sum(axis=0)
    for index, (facts, row) in enumerate(zip(run.per_class, run.confusion, strict=True)):
        for name, figure, low, high, all_images in (
            ("recall", facts.recall, facts.recall_low, facts.recall_high, sum(row)),
            ("precision", facts.precision, facts.precision_low, facts.precision_high, named[index]),
        ):
            if (figure is None) != (all_images == 0):
                yield f"{name} {figure} of {all_images} images of class {index}"
            elif figure is not None:
                yield from _differ((f"{name} of class {index}", figure), ("the matrix", row[index] / all_images))
            yield from _not_around(low, figure, high, f"{name} {figure} of class {index}")


def _pairs(run: Diagnosis) -> Iterable[str]:
    classes, pairs = len(run.dataset.classes), run.confused_pairs
    yield from outside(chain.from_iterable((pair.true, pair.predicted) for pair in pairs), classes, "class")
    for pair in pairs:
        row = run.confusion[pair.true]
        if pair.true == pair.predicted or not pair.count or pair.count != row[pair.predicted]:
            yield f"{pair.count} images of class {pair.true} predicted as {pair.predicted}"
        yield from _differ(("`share`", pair.share), ("the matrix", pair.count / sum(row)))
    yield from _repeated([(pair.true, pair.predicted) for pair in pairs], "the pair")
    counted = sum(pair.count for pair in pairs)
    yield from _differ(("images in confused pairs", counted), ("misclassified images", run.test.size - _right(run)))


# --- mistakes ---------------------------------------------------------------------------------------------------------


def _mistakes(run: Diagnosis) -> Iterable[str]:
    items = run.misclassified.items
    count = run.misclassified.count
    yield from _differ(("`count`", count), ("misclassified images in the matrix", run.test.size - _right(run)))
    if len(items) != count and (len(items) != MOST_MISTAKES or count < MOST_MISTAKES):
        yield f"{len(items)} entries of {count} mistakes"
    yield from _invalid_mistakes(items, run)
    counts = Counter((mistake.true, mistake.predicted) for mistake in items)
    for (true, predicted), listed in counts.items():
        counted = run.confusion[true][predicted]
        if listed > counted or (len(items) == count and listed < counted):
            yield f"{listed} mistakes of class {true} as {predicted}, and {counted} in the matrix"


def _invalid_mistakes(items: Sequence[Mistake], run: Diagnosis) -> Iterable[str]:
    yield from outside((mistake.index for mistake in items), run.test.size, "image")
    yield from _repeated([mistake.index for mistake in items], "image")
    for mistake in items:
        if len(mistake.top_classes) != len(mistake.top_probabilities):
            yield f"{len(mistake.top_classes)} classes and {len(mistake.top_probabilities)} probabilities"
        if mistake.true == mistake.predicted:
            yield f"image {mistake.index}, which is classified correctly"
    named = ((mistake.true, mistake.predicted, *mistake.top_classes) for mistake in items)
    yield from outside(chain.from_iterable(named), len(run.dataset.classes), "class")


# --- confidence, learning rate and training ---------------------------------------------------------------------------


def _bins(run: Diagnosis) -> Iterable[str]:
    bins = run.calibration.bins
    for each in bins:
        if each.right > each.count or (each.confidence is None) != (each.count == 0) or each.low >= each.high:
            yield f"{each.right} of {each.count} images with a confidence of {each.low} to {each.high}"
        yield from _not_around(each.accuracy_low, None, each.accuracy_high, "accuracy")
    known, right = sum(each.count for each in bins), sum(each.right for each in bins)
    if known > run.test.size or right > _right(run):
        yield f"{right} of {known} images in the bins, and {_right(run)} of {run.test.size}"
    if (run.calibration.error is None) != (known == 0):
        yield f"error {run.calibration.error} of {known} images"


def _range_test(run: Diagnosis) -> Iterable[str]:
    test = run.range_test
    if test is None:
        return
    updates = len(test.losses)
    for name in ("learning_rates", "smoothed_losses", "trend", "accuracies", "val_losses"):
        length = len(getattr(test, name))
        if length != updates and (length or name == "learning_rates"):
            yield f"{updates} losses and {length} values of `{name}`"
    read = [rate for rate in (test.suggestion, test.base_lr, test.max_lr) if rate is not None]
    read += [rate for rate in (test.suggestion_low, test.suggestion_high) if rate is not None]
    if read and (min(read) <= 0 or max(test.learning_rates, default=0.0) <= 0):
        yield f"a rate of {min(read)}"
    if test.suggestion is not None and not (test.trend or test.smoothed_losses):
        yield "a suggestion without smoothed losses"
    if read and any(first > second for first, second in pairwise(test.learning_rates)):
        yield "a suggestion from rates that do not rise"


def _training(run: Diagnosis) -> Iterable[str]:
    training = run.training
    if training is None:
        return
    rates, momenta = training.learning_rate_per_step, training.momentum_per_step or []
    lengths = {len(rates), len(training.loss_per_step), len(momenta)} - {0}
    if len(lengths) > 1:
        yield f"lists of {' and '.join(map(str, sorted(lengths)))} updates"


def _evolution(run: Diagnosis) -> Iterable[str]:
    facts = run.evolution
    if facts is None:
        return
    epochs = len(facts.epochs)
    if not epochs or any(first >= second for first, second in pairwise(facts.epochs)):
        yield f"the epochs {facts.epochs[:10]}"
    for other in {len(facts.accuracies), *(len(image.moments) for image in facts.images)} - {epochs}:
        yield f"{epochs} epochs and a list of {other}"
    yield from outside((image.index for image in facts.images), run.test.size, "image")
    shown = ((image.true, *(moment.predicted for moment in image.moments)) for image in facts.images)
    yield from outside(chain.from_iterable(shown), len(run.dataset.classes), "class")


# --- comparison -------------------------------------------------------------------------------------------------------


def _comparison(run: Diagnosis) -> Iterable[str]:
    facts, items = run.comparison, run.misclassified.items
    if facts is None:
        return
    classes = [change.index for change in facts.classes]
    if classes != list(range(len(run.dataset.classes))):
        yield f"changes of the classes {classes[:10]} of {len(run.dataset.classes)}"
    yield from _differ(("images of the baseline", facts.base.size), ("images", run.test.size))
    yield from outside(facts.broken, len(items), "mistake")
    yield from _repeated(facts.broken, "mistake")
    yield from _invalid_mistakes(facts.fixed, run)
    wrong = {mistake.index for mistake in items}
    yield from (f"image {each.index}, which is misclassified" for each in facts.fixed if each.index in wrong)
    for name, listed, every in (("broken", facts.broken, facts.all_broken), ("fixed", facts.fixed, facts.all_fixed)):
        if len(listed) > every:
            yield f"{len(listed)} entries of {every} {name} images"
        of_classes = [getattr(change, name) for change in facts.classes]
        if None not in of_classes and sum(of_classes) != every:
            yield f"{every} {name} images, and {sum(of_classes)} in the classes"
    difference = (facts.all_fixed - facts.all_broken) / run.test.size
    yield from _differ(("`difference`", facts.difference), ("fixed minus broken images", difference))
    yield from _not_around(facts.difference_low, None, facts.difference_high, "difference")


def _changes(run: Diagnosis) -> Iterable[str]:
    facts = run.comparison
    if facts is None:
        return
    pairs = chain.from_iterable((pair.true, pair.predicted) for pair in facts.pairs)
    yield from outside(pairs, len(run.dataset.classes), "class")
    for each in facts.slices:
        if max(each.base, each.head, each.broken, each.fixed) > each.size or each.size > run.test.size:
            yield f"{each.base}, {each.head}, {each.broken} and {each.fixed} of {each.size} images"
        yield from outside(each.images, run.test.size, "image")


# --- findings and data ------------------------------------------------------------------------------------------------


def all_findings(run: Diagnosis) -> list[Finding]:
    """The findings and their effects."""
    return [each for finding in run.findings for each in (finding, *finding.effects)]


def _findings(run: Diagnosis) -> Iterable[str]:
    found = all_findings(run)
    yield from _repeated([finding.code for finding in found], "the finding")
    yield from _repeated([check.code for check in run.checks], "the check")
    yield from (f"effects of {each.code[:40]}" for cause in run.findings for each in cause.effects if each.effects)
    yield from outside(chain.from_iterable(each.images for each in found), run.test.size, "image")
    shown = (exhibit.image for finding in found for exhibit in finding.exhibits if exhibit.image)
    yield from outside((image.index for image in shown if image.part == "test"), run.test.size, "image")


def _gates(run: Diagnosis) -> Iterable[str]:
    for gate in run.gates:
        if gate.rule == "fail-on" and (gate.name not in FAIL_ON or gate.actual is None):
            yield f"{gate.actual} findings of the severity {gate.name[:40]!r}"


def _labels(run: Diagnosis) -> Iterable[str]:
    data, classes = run.data, len(run.dataset.classes)
    suspects = data.suspects or []
    named: Iterable[int | None] = chain(
        chain.from_iterable((each.given, each.suggested) for each in suspects),
        chain.from_iterable((each.first, each.second) for each in data.mixed_classes or []),
        chain.from_iterable((each.first, each.second) for each in data.same_classes or []),
        (each.label for each in data.shortcuts or []),
        (each.label for each in data.slices or []),
    )
    yield from outside(named, classes, "class")
    images = chain((each.image for each in suspects), (each.image for each in data.foreign or []))
    yield from outside((image.index for image in images if image.part == "test"), run.test.size, "image")


def _two_classes(run: Diagnosis) -> Iterable[str]:
    facts = run.binary
    if facts is None:
        return
    if len(run.confusion) != 2 or facts.positive > 1:
        yield f"curves with the positive class {facts.positive} of {len(run.confusion)}"
        return
    known = [facts.decision, facts.auc, facts.average_precision, *facts.curve]
    if facts.reason is not None or None in known or not facts.curve:
        if facts.reason is None or any(known):
            yield "curves that are incomplete"
        return
    supports = sum(run.confusion[facts.positive]), sum(run.confusion[1 - facts.positive])
    points = [*filter(None, [facts.decision]), *facts.curve, *(each.point for each in facts.wishes)]
    for each in points:
        counted = each.true_positives + each.false_negatives, each.true_negatives + each.false_positives
        if counted != supports or not all(supports):
            yield f"a threshold for {counted[0]} and {counted[1]} images of {supports[0]} and {supports[1]}"
    if not any(each.true_positives + each.false_positives for each in facts.curve):
        yield "a curve without an image that is called positive"
    for area in filter(None, [facts.auc, facts.average_precision]):
        yield from _not_around(area.low, area.value, area.high, f"the area {area.value}")


def _slices(run: Diagnosis) -> Iterable[str]:
    for each in run.data.slices or []:
        if each.wrong > each.size or each.rest_wrong > each.rest_size or each.size > run.test.size:
            yield f"{each.wrong} of {each.size} and {each.rest_wrong} of {each.rest_size} images"
        if each.members and not _is_subset(each.members, each.size, run.test.size):
            yield f"the members of {each.name[:40]!r}"


def _is_subset(members: str, size: int, all_images: int) -> bool:
    """Returns whether a text of `lrdiag.record.data_facts.packed` names `size` of all images."""
    try:
        bits = np.unpackbits(bits_of(members, all_images))
    except ValueError:
        return False
    return bool(bits.sum() == bits[:all_images].sum() == size)


_OF_A_RUN = (
    *((name, str) for name in ("data", "resize", "image_column", "label_column", "preprocess")),
    ("output", str | int),
)


def _settings(run: Diagnosis) -> Iterable[str]:
    """`lrdiag diagnose RUN` takes some settings of the run."""
    for name, kinds in _OF_A_RUN:
        value = run.settings.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
            yield f"`{name}` {str(value)[:80]!r}"


def _heatmaps(run: Diagnosis) -> Iterable[str]:
    compared = run.heatmaps.independent
    if compared and compared.same > compared.images:
        yield f"{compared.same} same heatmaps of {compared.images}"
    low, high = run.value_range
    if low > high:
        yield f"values from {low} to {high}"


RULES = (
    Rule("each list of classes has one entry for each class", _lists_of_classes),
    Rule("a class has the same name everywhere", _names_of_classes),
    Rule("the images of a set are counted once", _sizes),
    Rule("the images of a class are counted once", _supports),
    Rule("the accuracy is that of the confusion matrix, inside its interval", _figures),
    Rule("recall and precision are those of the confusion matrix, inside their intervals", _figures_of_classes),
    Rule("the confused pairs are those of the confusion matrix", _pairs),
    Rule("the mistakes are different images, as the confusion matrix counts them", _mistakes),
    Rule("the bins of the confidence count images of the test set", _bins),
    Rule("the range test has one value for each update, and rates above 0", _range_test),
    Rule("the training run has one value for each update", _training),
    Rule("the evolution has one value for each epoch, of existing images and classes", _evolution),
    Rule("the comparison is of the same images and classes", _comparison),
    Rule("the changes are of existing images and classes", _changes),
    Rule("each rule has one result, of existing images", _findings),
    Rule("a gate on findings counts errors or warnings", _gates),
    Rule("what was measured on labels is of existing images and classes", _labels),
    Rule("the curves of two classes count the images of the confusion matrix", _two_classes),
    Rule("a slice has as many images as it names", _slices),
    Rule("a setting has a value of its type", _settings),
    Rule("heatmaps and values are in order", _heatmaps),
)
"""The rules for report.json. A rule may rely on those before it."""
