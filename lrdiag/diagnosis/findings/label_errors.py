"""Rules about wrong labels, which the predictions of a trained model show."""

from __future__ import annotations

from math import lgamma, log

import numpy as np

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed
from lrdiag.diagnosis.findings.predictions import FEWEST_IMAGES, chance
from lrdiag.formats import percent, plural
from lrdiag.intervals import mcnemar, newcombe
from lrdiag.record.data_facts import LabelSignal
from lrdiag.record.image_table import Part

FEWEST = 100
"""Fewest validation images that show that labels are mixed up."""
CERTAIN = 0.001
"""Probability that the best renaming of the classes gains so much by chance."""
CONTRADICTED = 0.01
"""Probability that correct labels of a set are contradicted so much by chance."""
LEARNT = 0.5
"""How much of the gain of a renaming the accuracy on training images must confirm."""
CHANCE = 3.0
"""Standard deviations by which accuracy may be above chance by chance."""
NOTHING_OF_IT = 0.25
"""Gain over chance on validation images, relative to that on training images, at most, if labels are mixed up. Sound
models that overfit keep half or more."""
NEVER_FELL = 0.99
"""Lowest validation loss, relative to that of a model that knows only how frequent the classes are. If it is higher,
nothing was learned that holds for the validation images."""
NO_SIGNAL = 0.05
"""Gain over chance of a classifier of pictures, at most, if labels of all images are mixed up."""
_MOST_NAMED = 5
_LOOK = (
    "Show a few images with their labels: `for i in range(9): plt.subplot(3, 3, i + 1); plt.imshow(x[i]); "
    "plt.title(y[i])`. Shuffle images and labels together, "
    "`order = np.random.permutation(len(x)); x, y = x[order], y[order]`, and sort files and labels alike."
)
_NOTHING_HOLDS = "Nothing that a model learns from such labels holds for other images."


def class_order(evidence: Evidence, threshold: float) -> Answer:
    """Renaming classes raises their accuracy by more than `threshold`: validation numbers them differently."""
    facts, sample = evidence.facts, evidence.train_sample
    confusion = np.asarray(facts.confusion)
    if confusion.sum() < FEWEST_IMAGES:
        return NotChecked(f"{plural(int(confusion.sum()), 'test image')} are too few")
    if _largest_gain(confusion) <= threshold:
        return Passed(threshold=threshold)
    names = best_names(confusion)
    moved = np.flatnonzero(names != np.arange(len(names)))
    images = int(confusion[moved].sum())
    before, after = int(confusion[moved, moved].sum()), int(confusion[moved, names[moved]].sum())
    gain = (after - before) / images if images else 0.0
    accuracy, renamed = facts.test.accuracy, facts.test.accuracy + (after - before) / facts.test.size
    if gain <= threshold:
        return Passed(gain, threshold)
    if isinstance(_by_pictures(evidence), Found):
        return NotChecked("the labels do not belong to their images", gain, threshold)
    if log(max(mcnemar(before, after), 1e-300)) + _log_choices(len(names), len(moved)) > log(CERTAIN):
        return NotChecked(f"{plural(images, 'test image')} are too few", gain, threshold)
    if sample is not None and sample.accuracy < accuracy + LEARNT * (renamed - accuracy):
        return Passed(gain, threshold)  # the model confuses these classes on its training images too
    return Found(
        "Training and validation labels have the classes in another order.",
        f"Accuracy is {percent(accuracy)}. If the predicted classes are renamed, it is {percent(renamed)}: "
        f"{_renamed(names, moved)}.",
        "Give both the same list of class names, such as `class_names=names` of `image_dataset_from_directory`, or "
        f"renumber the validation labels: `y_val = np.array({_numbers(names)})[y_val]`.",
        gain,
        threshold,
        why="The accuracy and the figures of the classes compare predictions with the names of other classes.",
    )


def _largest_gain(confusion: np.ndarray) -> float:
    """The most that any renaming can gain on the images of a class. Mostly it decides without an assignment."""
    sizes = np.maximum(confusion.sum(axis=1), 1)
    return float(((confusion.max(axis=1) - confusion.diagonal()) / sizes).max())


def best_names(confusion: np.ndarray) -> np.ndarray:
    """Returns, for each true class, the predicted class that makes the accuracy highest if each is used once.

    Example:
        >>> best_names(np.array([[1, 8, 0], [9, 0, 1], [0, 1, 7]]))
        array([1, 0, 2])
    """
    from scipy.optimize import linear_sum_assignment

    return np.asarray(linear_sum_assignment(-confusion)[1])


def _log_choices(classes: int, moved: int) -> float:
    """Logarithm of the number of ways to move so many classes, at most."""
    return lgamma(classes + 1) - lgamma(classes - moved + 1)


def _renamed(names: np.ndarray, moved: np.ndarray) -> str:
    pairs = [f"images of class {true} are predicted as class {names[true]}" for true in moved[:_MOST_NAMED].tolist()]
    return ", ".join(pairs) + (f", and so on for {len(moved)} classes" if len(moved) > _MOST_NAMED else "")


def _numbers(names: np.ndarray) -> str:
    return str(names.tolist()) if len(names) <= 2 * FEWEST_IMAGES else "numbers"


def wrong_labels(evidence: Evidence) -> Answer:
    """Labels don't belong to their images: nothing that holds for training images holds for others."""
    if (answer := _by_pictures(evidence)) is not None:
        return answer
    if evidence.train_sample is None:
        return NotChecked(evidence.reason("train_sample"))
    facts, sample = evidence.facts, evidence.train_sample
    size = facts.test.size
    if size < FEWEST:
        return NotChecked(f"{plural(size, 'test image')} are too few")
    share = largest_share(evidence)
    if sample.accuracy_low <= share:
        return NotChecked("the model has not learned its training images")
    expected, deviation = chance(np.asarray(facts.confusion))
    chance_high = expected + CHANCE * deviation
    if facts.test.accuracy > chance_high:
        return Passed(facts.test.accuracy, chance_high)
    rest = facts.test.accuracy + CHANCE * deviation - expected
    unlike = rest < NOTHING_OF_IT * (sample.accuracy_low - share)
    if not unlike and not (_gap_is_certain(evidence) and _loss_never_fell(evidence)):
        return NotChecked(f"{plural(size, 'test image')} are too few", facts.test.accuracy, chance_high)
    return Found(
        "Labels do not belong to their images, in the training or in the validation data.",
        f"{percent(sample.accuracy)} of {plural(sample.size, 'training image')} are classified correctly, and "
        f"{percent(facts.test.accuracy)} of {plural(size, 'validation image')}. If the predictions were assigned at "
        f"random, {percent(expected)} would be correct.",
        _LOOK,
        facts.test.accuracy,
        chance_high,
        why=_NOTHING_HOLDS,
    )


def _by_pictures(evidence: Evidence) -> Answer | None:
    """In one set, pictures say nothing about the labels: labels are predicted no better than by chance.

    `None` if the training images were not examined, or if the images are too few to tell.
    """
    signals = evidence.data.signals or []
    own = {each.part: each for each in signals if each.part == each.learned_from}
    if "train" not in own:
        return None
    training, test = own["train"], own.get("test", signals[-1])
    if test.gain >= CHANCE * test.deviation and training.gain >= CHANCE * training.deviation:
        return Passed(test.accuracy, test.chance)
    if "test" not in own:
        return None
    expected, _ = chance(np.asarray(evidence.facts.confusion))
    learned = evidence.facts.test.accuracy - expected
    for mine, other in ((training, test), (test, training)):
        most = mine.gain + CHANCE * mine.deviation
        neither = max(most, other.gain + CHANCE * other.deviation, learned) < NO_SIGNAL
        if neither or (mine.gain < CHANCE * mine.deviation and max(most, learned) < NOTHING_OF_IT * other.gain):
            return _shuffled(evidence, mine, other)
    return None


def _shuffled(evidence: Evidence, mine: LabelSignal, other: LabelSignal) -> Found:
    words: dict[Part, str] = {"test": "test", "train": "training"}
    return Found(
        f"Labels do not belong to their images in the {words[mine.part]} data.",
        f"A simple classifier of pictures that learns from some of the {words[mine.part]} images agrees with "
        f"{percent(mine.accuracy)} of the labels of the others. Chance is {percent(mine.chance)}. For "
        f"{words[other.part]} images it is {percent(other.accuracy)}. The accuracy of the model is "
        f"{percent(evidence.facts.test.accuracy)}.",
        _LOOK,
        mine.accuracy,
        mine.chance + CHANCE * mine.deviation,
        why=_NOTHING_HOLDS,
    )


def largest_share(evidence: Evidence) -> float:
    """The accuracy of a model that names the most frequent class for every training image."""
    data, test_counts = evidence.training_data, evidence.facts.dataset.test_counts
    counts = data.labels.counts if data is not None and data.labels.counts else test_counts
    return max(counts) / sum(counts)


def _gap_is_certain(evidence: Evidence) -> bool:
    """Whether the accuracy on training images is above that on validation images, beyond chance."""
    sample, test = given(evidence.train_sample), evidence.facts.test
    return newcombe(_hits(sample.accuracy, sample.size), _hits(test.accuracy, test.size))[0] > 0


def _loss_never_fell(evidence: Evidence) -> bool:
    """Whether no epoch had a validation loss below that of a model that knows only how frequent the classes are."""
    training, compiled = evidence.training, evidence.compiled
    losses = [each.val_loss for each in training.epochs if each.val_loss is not None] if training is not None else []
    if not losses or compiled is None or compiled.kind not in ("sparse", "categorical"):
        return False
    shares = np.array([each for each in evidence.facts.dataset.test_counts if each], float)
    shares /= shares.sum()
    return min(losses) > NEVER_FELL * float(-(shares * np.log(shares)).sum())


def label_noise(evidence: Evidence, threshold: float) -> Answer:
    """More than the share `threshold` of the training labels is wrong, as the model contradicts them more often.

    Both accuracies are measured in inference mode, so that neither dropout nor augmentation by the model matters.
    """
    if any(each.part == "train" and each.p_value < CONTRADICTED for each in evidence.data.noise or []):
        return NotChecked("training-label-errors names the images with wrong labels")
    test, sample = evidence.facts.test, given(evidence.train_sample)
    expected, _ = chance(np.asarray(evidence.facts.confusion))
    if test.accuracy <= expected:
        return NotChecked("the model is no better than chance")
    share = 1 - (sample.accuracy - expected) / (test.accuracy - expected)
    if share <= threshold:
        return Passed(share, threshold)
    low, _ = newcombe(_hits(test.accuracy, test.size), _hits(sample.accuracy, sample.size))
    if low <= 0:
        return NotChecked(
            f"{plural(sample.size, 'training image')} and {plural(test.size, 'test image')} are too few",
            share,
            threshold,
        )
    augmented = may_be_augmented(evidence)
    return Found(
        f"About {100 * min(share, 1):.0f} % of the training labels are wrong"
        f"{', or the dataset augments its images strongly' if augmented else ''}.",
        f"In inference mode, the model agrees with the labels of {percent(sample.accuracy)} of "
        f"{plural(sample.size, 'training image')}, and with those of {percent(test.accuracy)} of "
        f"{plural(test.size, 'validation image')}, which it has never seen.",
        "Look at the training images whose label the model contradicts: "
        "`wrong = np.flatnonzero(model.predict(x).argmax(axis=1) != y)`. Correct or remove wrong labels.",
        share,
        threshold,
        why="Wrong labels cost accuracy, most of all in a long training run, which learns them by heart.",
        severity="note" if augmented else None,
    )


def may_be_augmented(evidence: Evidence) -> bool:
    """Whether the training images come from a dataset, which may change them."""
    return evidence.training_data is None or bool(evidence.training_data.draw_seconds)


def _hits(share: float, size: int) -> tuple[int, int]:
    return round(share * size), size
