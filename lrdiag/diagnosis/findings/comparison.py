"""Rules about the comparison with a baseline."""

from __future__ import annotations

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import MOST_IMAGES, Answer, Found, NotChecked, Passed, images_where
from lrdiag.diagnosis.findings.classes import FEWEST_OF_CLASS, Candidate, decisive
from lrdiag.formats import count, percent, plural, points, probability, short
from lrdiag.intervals import SIGNIFICANCE, mcnemar


def regression(evidence: Evidence) -> Answer:
    """The accuracy is lower than that of the baseline."""
    comparison, facts = given(evidence.comparison), evidence.facts
    if comparison.conclusion != "worse":
        return Passed(comparison.p_value, SIGNIFICANCE)
    fall = points(-comparison.difference, digits=2)[1:]
    return Found(
        f"The model is worse than the baseline: accuracy fell by {fall} points.",
        f"It was {percent(comparison.base.accuracy)} and is {percent(facts.test.accuracy)}. "
        f"{plural(comparison.all_broken, 'image')} became misclassified and {count(comparison.all_fixed)} became "
        f"correct (McNemar's mid-p test: p\u00a0=\u00a0{probability(comparison.p_value)}).",
        "Look at the changed settings and at the broken images in the report. Train both versions with several seeds "
        "to see whether the change is the cause.",
        comparison.p_value,
        SIGNIFICANCE,
        [facts.misclassified.items[place].index for place in comparison.broken][:MOST_IMAGES],
        why="The model is worse on these images than the baseline, by more than chance explains. A change of the "
        "settings or another seed may be the cause.",
    )


def class_regression(evidence: Evidence, threshold: float) -> Answer:
    """The recall of one class is far lower than in the baseline: by more than `threshold`."""
    comparison, facts = given(evidence.comparison), evidence.facts
    broken = [facts.misclassified.items[place] for place in comparison.broken]
    candidates = []
    for change in comparison.classes:
        if change.base is None or change.head is None or facts.per_class[change.index].support < FEWEST_OF_CLASS:
            continue
        p_value = mcnemar(given(change.broken), given(change.fixed))
        clear = p_value < SIGNIFICANCE / len(comparison.classes)
        candidates.append(Candidate(change.index, change.base - change.head, clear))
    worst = decisive(candidates, threshold)
    if worst is None:
        return NotChecked(f"no class has {FEWEST_OF_CLASS} test images")
    if worst.value <= threshold:
        return Passed(worst.value, threshold)
    weak = facts.per_class[worst.index]
    if not worst.clear:
        return NotChecked(f"{plural(weak.support, 'image')} of a class are too few", worst.value, threshold)
    change = next(each for each in comparison.classes if each.index == worst.index)
    return Found(
        f"“{short(weak.name)}” is worse than in the baseline: recall fell by {100 * worst.value:.2f} points.",
        f"Of its {plural(weak.support, 'image')}, {percent(change.base)} were classified correctly before and "
        f"{percent(change.head)} are now: {count(given(change.broken))} became misclassified and "
        f"{count(given(change.fixed))} became correct.",
        "Look at its broken images in the comparison, and at what changed in the data or the settings.",
        worst.value,
        threshold,
        [each.index for each in broken if each.true == worst.index][:MOST_IMAGES],
        why="One class can become much worse although the overall accuracy hardly changes.",
    )


def slice_regression(evidence: Evidence, threshold: float) -> Answer:
    """The error on one slice of the baseline is far higher than it was: by more than `threshold`."""
    changes = given(evidence.comparison).slices
    if not changes:
        return NotChecked("the baseline has no slices")
    candidates = [
        Candidate(index, (each.head - each.base) / each.size, _is_clear(each.broken, each.fixed, len(changes)))
        for index, each in enumerate(changes)
    ]
    worst = decisive(candidates, threshold)
    if worst is None or worst.value <= threshold:
        return Passed(None if worst is None else worst.value, threshold)
    change = changes[worst.index]
    if not worst.clear:
        return NotChecked(f"{plural(change.size, 'image')} are too few", worst.value, threshold)
    return Found(
        f"One group of images is worse than in the baseline: {short(change.name, 80)}.",
        f"Of its {plural(change.size, 'image')}, {percent(change.base / change.size)} were misclassified before and "
        f"{percent(change.head / change.size)} are now: {count(change.broken)} became misclassified and "
        f"{count(change.fixed)} became correct.",
        "Look at its broken images in the comparison, and at what changed in the data or the settings.",
        worst.value,
        threshold,
        change.images,
        why="A group on which the model was weak already can become much worse although the accuracy hardly changes.",
    )


def pair_regression(evidence: Evidence, threshold: float) -> Answer:
    """One class is predicted as another one more often than in the baseline: more by a share above `threshold`."""
    comparison, facts = given(evidence.comparison), evidence.facts
    candidates = []
    for index, each in enumerate(comparison.pairs):
        support = facts.per_class[each.true].support
        if support >= FEWEST_OF_CLASS:
            clear = _is_clear(each.gained, each.lost, comparison.pairs_compared)
            candidates.append(Candidate(index, (each.head - each.base) / support, clear))
    worst = decisive(candidates, threshold)
    if worst is None or worst.value <= threshold:
        return Passed(None if worst is None else worst.value, threshold)
    change = comparison.pairs[worst.index]
    support = facts.per_class[change.true].support
    if not worst.clear:
        return NotChecked(f"{plural(support, 'image')} of a class are too few", worst.value, threshold)
    names = facts.dataset.classes
    return Found(
        f"“{short(names[change.true])}” is predicted as “{short(names[change.predicted])}” more often than in the "
        "baseline.",
        f"{count(change.head)} of {plural(support, 'image')} are confused so, and {count(change.base)} were before: "
        f"{count(change.gained)} were added and {count(change.lost)} are no longer.",
        "Look at these images in the report, and at what changed in the training images or labels of the two classes.",
        worst.value,
        threshold,
        images_where(evidence, lambda wrong: (wrong.true == change.true) & (wrong.predicted == change.predicted)),
        why="The model tells two classes apart less well than before, which the accuracy alone does not show.",
    )


def _is_clear(worse: int, better: int, compared: int) -> bool:
    """Whether chance does not explain a change, if so many were compared."""
    return mcnemar(worse, better) < SIGNIFICANCE / compared
