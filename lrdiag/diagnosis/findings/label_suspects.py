"""Rules about wrong labels that single images show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lrdiag.diagnosis.class_pairs import certain
from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import MOST_EXHIBITS, MOST_IMAGES, Answer, Found, NotChecked, Passed, Shown
from lrdiag.diagnosis.findings.label_errors import CONTRADICTED, may_be_augmented
from lrdiag.diagnosis.labels import MOST_SUSPECTS
from lrdiag.formats import count, percent, plural, probability, short
from lrdiag.record.data_facts import ImageRef, LabelNoise, MixedClasses, Suspect
from lrdiag.record.image_table import Part

UNMISTAKABLE = 1e-6
"""Probability of the contradictions by chance from which on they are only a note. Few images that a weak model knows
badly reach smaller ones than they should, because two opinions on an image are not quite independent."""
FEWEST_FOREIGN = 3
"""Fewest images of no class."""
_WORDS: dict[Part, str] = {"test": "test", "train": "training"}


def test_label_errors(evidence: Evidence, threshold: float) -> Answer:
    """Beyond chance, more than the share `threshold` of the test labels is wrong."""
    why = "A wrong test label counts a correct prediction as an error, and the other way around."
    return _label_errors(evidence, "test", threshold, why)


def training_label_errors(evidence: Evidence, threshold: float) -> Answer:
    """Beyond chance, more than the share `threshold` of the training labels is wrong."""
    why = "Wrong labels cost accuracy, most of all in a long training run, which learns them by heart."
    return _label_errors(evidence, "train", threshold, why)


def _label_errors(evidence: Evidence, part: Part, threshold: float, why: str) -> Answer:
    noise = next((each for each in evidence.data.noise or [] if each.part == part), None)
    if noise is None:
        return NotChecked(f"the labels of the {_WORDS[part]} images were not examined")
    if noise.low <= threshold:
        return Passed(noise.share, threshold)
    if noise.p_value >= CONTRADICTED:
        return NotChecked("chance may explain the contradictions", noise.share, threshold)
    suspects = [each for each in given(evidence.suspects) if each.image.part == part]
    size = given(evidence.images(part)).size
    augmented = part == "train" and may_be_augmented(evidence)
    return Found(
        f"About {percent(noise.share)} of the {_WORDS[part]} labels are wrong"
        f"{', or the dataset augments its images strongly' if augmented else ''}.",
        f"Between {percent(noise.low)} and {percent(noise.high)} of the labels of "
        f"{plural(size, f'{_WORDS[part]} image')} are wrong (95 % interval). {_listed(suspects)} "
        f"{_by_chance(noise)}",
        "Look at the suspects, the most probable errors first, and correct or remove wrong labels.",
        noise.share,
        threshold,
        [each.image.index for each in suspects[:MOST_IMAGES]] if part == "test" else (),
        why=why,
        severity="note" if augmented or noise.p_value >= UNMISTAKABLE else None,
        exhibits=_suspected(evidence, suspects),
    )


def _listed(suspects: Sequence[Suspect]) -> str:
    number = f"{count(len(suspects))}{' or more' if len(suspects) >= MOST_SUSPECTS else ''}"
    return (
        f"The model and a simple classifier of pictures contradict the labels of {number} so clearly that they are "
        "more likely wrong than right."
    )


def _by_chance(noise: LabelNoise) -> str:
    return f"With correct labels, so many contradictions would have a probability of {probability(noise.p_value)}."


def _suspected(evidence: Evidence, suspects: Sequence[Suspect]) -> list[Shown]:
    names = evidence.facts.dataset.classes
    return [
        _shown(
            evidence,
            each.image,
            f"given {short(names[each.given])}"
            + ("" if each.suggested is None else f", suggested {short(names[each.suggested])}"),
        )
        for each in suspects[:MOST_EXHIBITS]
    ]


def _shown(evidence: Evidence, image: ImageRef, caption: str) -> Shown:
    table = given(evidence.images(image.part))
    return Shown(image, caption, (table.pictures[table.row(image.index)],))


def contradicting_annotators(evidence: Evidence, threshold: float) -> Answer:
    """More than the share `threshold` of the images of two classes has the label of the other one."""
    if evidence.data.mixed_classes is None:
        return NotChecked(evidence.reason("suspects"))
    mixed = certain(evidence.data.mixed_classes)
    found = [each for each in mixed if each.share > threshold]
    if not found:
        return Passed(max((each.share for each in mixed), default=0.0), threshold)
    worst = found[0]
    first, second = (f"“{short(evidence.facts.dataset.classes[each])}”" for each in (worst.first, worst.second))
    suspects = _between(evidence, worst)
    return Found(
        f"The labels of {first} and {second} are mixed up in the {_WORDS[worst.part]} set.",
        f"About {percent(worst.share)} of {plural(worst.images, 'image')} that look like one of the two classes have "
        f"the label of the other one. The model does not explain it, because it tells other classes apart. If it were "
        f"chance, the probability would be {probability(worst.p_value)}.{_further(evidence, found[1:])}",
        f"Agree on what distinguishes {first} from {second}, and label the images of both classes again.",
        worst.share,
        threshold,
        [each.image.index for each in suspects if each.image.part == "test"][:MOST_IMAGES],
        why="Annotators who contradict each other limit the accuracy on both classes.",
        exhibits=_suspected(evidence, suspects),
    )


def _between(evidence: Evidence, mixed: MixedClasses) -> list[Suspect]:
    pair = {mixed.first, mixed.second}
    return [
        each
        for each in given(evidence.suspects)
        if each.image.part == mixed.part and {each.given, each.suggested} == pair
    ]


def _further(evidence: Evidence, found: Sequence[MixedClasses]) -> str:
    names = evidence.facts.dataset.classes
    pairs = [f"{short(names[each.first])} and {short(names[each.second])} ({_WORDS[each.part]})" for each in found[:3]]
    return f" The same holds for {', '.join(pairs)}." if pairs else ""


def same_class_twice(evidence: Evidence) -> Answer:
    """Two classes can't be told apart, although other classes can."""
    twins = evidence.data.same_classes
    if twins is None:
        return NotChecked(evidence.reason("suspects"))
    if not twins:
        return Passed()
    worst = min(twins, key=lambda each: each.high)
    first, second = (f"“{short(evidence.facts.dataset.classes[each])}”" for each in (worst.first, worst.second))
    return Found(
        f"{first} and {second} seem to be the same class.",
        f"For {plural(worst.images, 'test image')} of the two classes, the model names the right one no more often "
        f"than by chance: AUC {worst.auc:.2f}, interval {max(worst.low, 0):.2f} to {min(worst.high, 1):.2f}. "
        f"A simple classifier of pictures does not tell them apart either (AUC {worst.pictures_auc:.2f}). Other pairs "
        f"that are hard to tell apart reach {worst.usual:.2f}.",
        "Look at images of both classes. If they show the same, give them one label, and train again.",
        worst.auc,
        worst.usual,
        why="Half of the predictions for such images are wrong, and no training can change that.",
        exhibits=_examples(evidence, (worst.first, worst.second)),
    )


def _examples(evidence: Evidence, pair: tuple[int, int]) -> list[Shown]:
    """The first test images of two classes, in turn."""
    table, names = given(evidence.test_images), evidence.facts.dataset.classes
    rows = [np.flatnonzero(table.labels == each)[: MOST_EXHIBITS // 4] for each in pair]
    return [
        Shown(
            ImageRef("test", int(table.indices[row]), table.file(int(row))),
            f"given {short(names[int(table.labels[row])])}",
            (table.pictures[row],),
        )
        for both in zip(*rows, strict=False)
        for row in both
    ]


def no_class(evidence: Evidence) -> Answer:
    """Some test images resemble no training image."""
    foreign = evidence.data.foreign
    if foreign is None:
        return NotChecked(evidence.reason("suspects"))
    if evidence.training_images is None:
        return NotChecked(evidence.reason("training_images"))
    if len(foreign) < FEWEST_FOREIGN:
        return Passed(float(len(foreign)), float(FEWEST_FOREIGN))
    table, names = given(evidence.test_images), evidence.facts.dataset.classes
    share = len(foreign) / len(table)
    return Found(
        f"{plural(len(foreign), 'test image')} seem to belong to no class.",
        f"{percent(share)} of the test images resemble no training image: their gradients and colours are farther from "
        f"those of the training images than 1.5 times the distance of the most unusual one.",
        "Look at these images, and remove those that show something else.",
        float(len(foreign)),
        float(FEWEST_FOREIGN),
        [each.image.index for each in foreign[:MOST_IMAGES]],
        why="The model has to name a class for each of them, which is wrong whatever it names.",
        exhibits=[
            _shown(
                evidence,
                each.image,
                f"given {short(names[int(table.labels[table.row(each.image.index)])])}",
            )
            for each in foreign[:MOST_EXHIBITS]
        ],
    )
