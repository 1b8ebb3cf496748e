"""Rules about test images that are not like the images that the model was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import MOST_EXHIBITS, Answer, Found, NotChecked, Passed, Shown
from lrdiag.formats import percent, plural
from lrdiag.images.shift import Difference, differences, kind, main_differences, typical
from lrdiag.record.data_facts import Correction, ImageRef
from lrdiag.record.image_table import ImageTable

UNLIKELY = 6.3e-5
"""Probability of a change of the accuracy by chance: 4 standard deviations."""
HARMFUL, CERTAIN = 0.05, 0.001
"""Accuracy on training images that a difference costs at least if it matters, and the probability of that by chance."""
WORKS = 0.15
"""Accuracy above that of naming the most frequent class, relative to the most that is possible, of a model that works.
Otherwise it was hardly trained, and a change of its inputs shows nothing."""
_SHOWN = MOST_EXHIBITS // 4  # images of each set
_MOST_NAMED = 3


def correctable_inputs(evidence: Evidence, threshold: float) -> Answer:
    """A simple change of the test images raises their accuracy by more than `threshold`."""
    best = next(iter(_of(evidence, "test")), None)
    if best is None or best.gain <= threshold:
        return Passed(0.0 if best is None else max(best.gain, 0.0), threshold)
    if best.after < (least := _works(evidence)):
        return NotChecked(
            f"the model is hardly better than chance ({percent(least)}) after it too", best.gain, threshold
        )
    if best.p_value >= UNLIKELY:
        return NotChecked(f"{plural(best.images, 'test image')} are too few", best.gain, threshold)
    return Found(
        f"The test images are not prepared as the model expects them. Accuracy rises from {percent(best.before)} to "
        f"{percent(best.after)} after this change: {best.name}.",
        f"Both were measured on {plural(best.images, 'test image')}.{_others(evidence, best)}{_differing(evidence)}",
        f"Prepare the test images as the training images, with one function for both: `{best.code}`.",
        best.gain,
        threshold,
        why="The model receives other values than in training, so this accuracy is not that of the model in use.",
        exhibits=shown_changes(evidence, best),
    )


def shown_changes(evidence: Evidence, correction: Correction) -> list[Shown]:
    """Images before and after a correction."""
    changed = evidence.changed.get(correction.name, ())
    return [Shown(each.image, each.caption, (each.before, each.after)) for each in changed]


def _works(evidence: Evidence) -> float:
    """The accuracy from which on a model does more than to name the most frequent class."""
    counts = evidence.facts.dataset.test_counts
    share = max(counts) / max(1, sum(counts))
    return share + WORKS * (1 - share)


def best_correction(evidence: Evidence) -> Correction | None:
    """The change of the test images that raises their accuracy most, beyond chance; `None` if there is none."""
    return next((each for each in _of(evidence, "test")[:1] if each.low > 0), None)


def measured(correction: Correction) -> str:
    """The sentence that states what a correction of the test images gives."""
    return (
        f"On {plural(correction.images, 'image')}, accuracy is {percent(correction.before)}, and "
        f"{percent(correction.after)} after this change: {correction.name}."
    )


def _of(evidence: Evidence, part: str) -> list[Correction]:
    return [each for each in evidence.corrections or () if each.part == part]


def _others(evidence: Evidence, best: Correction) -> str:
    tried = [each for each in _of(evidence, "test") if each.name != best.name][:_MOST_NAMED]
    return f" Other changes: {', '.join(f'{each.name} {percent(each.after)}' for each in tried)}." if tried else ""


def _differing(evidence: Evidence) -> str:
    """The sentence that says how test images differ, if they do."""
    if evidence.test_images is None or evidence.training_images is None:
        return ""
    main = main_differences(differences(evidence.test_images, evidence.training_images) or [])
    return f" Test images are {_words(main)} than training images." if main else ""


def shifted_test_set(evidence: Evidence, threshold: float) -> Answer:
    """A statistic of the images is distributed otherwise in the test set, with a distance of more than `threshold`."""
    test, training = given(evidence.test_images), given(evidence.training_images)
    found = differences(test, training)
    if found is None:
        return NotChecked("the inputs are not images, or too few")
    largest = found[0].distance if found else 0.0
    main = main_differences(found, threshold)
    if not main:
        return Passed(largest, threshold)
    costs = [each for each in _of(evidence, "train") if each.gain < -HARMFUL and each.p_value < CERTAIN]
    if not costs and _may_be_augmented(evidence):
        return NotChecked("the training dataset may augment its images", largest, threshold)
    return Found(
        f"Test images are {_words(main)} than training images.",
        f"{' '.join(_figures(each) for each in found if each.distance > threshold)}{_cost(evidence, costs)}",
        "Prepare test and training images with the same function, and record them in the same way. If the model will "
        "be used on such images, add some to the training images, or augment these in the same way.",
        largest,
        threshold,
        why="A model is less accurate on images that differ from those that it was trained on.",
        severity="warning" if costs else "note",
        exhibits=_exhibits(test, training, main[0]),
    )


def _may_be_augmented(evidence: Evidence) -> bool:
    """Whether the training images come from a dataset, which may change them at random."""
    data = evidence.training_data
    return data is None or bool(data.draw_seconds)


_WORDS = {
    ("brightness", True): "brighter",
    ("brightness", False): "darker",
    ("contrast", True): "higher in contrast",
    ("contrast", False): "lower in contrast",
    ("saturation", True): "more colourful",
    ("saturation", False): "less colourful",
    ("red minus blue", True): "redder",
    ("red minus blue", False): "bluer",
    ("sharpness", True): "sharper",
    ("sharpness", False): "more blurred",
    ("noise", True): "noisier",
    ("noise", False): "smoother",
}


def _word(difference: Difference) -> str:
    return "greyer" if kind(difference) == "grey" else _WORDS[difference.name, difference.is_higher]


def _words(main: Sequence[Difference]) -> str:
    words = [_word(each) for each in main[:_MOST_NAMED]]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _figures(difference: Difference) -> str:
    (low, middle, high), (low_train, middle_train, high_train) = difference.test, difference.train
    return (
        f"{difference.name.capitalize()}: {middle:.3g} in the median of the test images (90\u00a0% from {low:.3g} to "
        f"{high:.3g}) and {middle_train:.3g} in that of the training images ({low_train:.3g} to {high_train:.3g}), a "
        f"distance of {difference.distance:.2f} between the distributions."
    )


def _cost(evidence: Evidence, costs: Sequence[Correction]) -> str:
    if costs:
        worst = min(costs, key=lambda each: each.gain)
        return (
            f" If {plural(worst.images, 'training image')} are changed in the same way ({worst.name}), their accuracy "
            f"falls from {percent(worst.before)} to {percent(worst.after)}."
        )
    tried = _of(evidence, "train")
    if not tried:
        return ""
    one = tried[0]
    return (
        f" Training images that are changed in the same way ({one.name}) are recognized about as well: "
        f"{percent(one.before)} before and {percent(one.after)} after."
    )


def _exhibits(test: ImageTable, training: ImageTable, difference: Difference) -> list[Shown]:
    """Images of both sets that are typical in a statistic, one of each in turn."""
    shown = []
    for table, number in ((test, difference.test[1]), (training, difference.train[1])):
        name = "test" if table.part == "test" else "training"
        shown.append(
            [
                Shown(
                    ImageRef(table.part, int(table.indices[row]), table.file(row)),
                    f"typical {name} image ({difference.name} {number:.3g})",
                    (table.pictures[row],),
                )
                for row in typical(table, difference.name, number, _SHOWN).tolist()
            ]
        )
    return [each for pair in zip(*shown, strict=False) for each in pair]
