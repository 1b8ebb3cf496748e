"""Rules about the training images: whether their values can be learned from, and how they compare to the others."""

from __future__ import annotations

from math import isfinite, sqrt

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed
from lrdiag.diagnosis.findings.shift import best_correction, measured, shown_changes
from lrdiag.formats import count, percent, plural
from lrdiag.record.data_facts import LIKE_TRAINING, Correction
from lrdiag.record.observed import MOST_NOT_FINITE, ImageSet, Values

ALIKE = 1e-3
"""Standard deviation over the images at one place, relative to the range of values. Sound images have 0.1 or more."""
MOSTLY_BLANK = 0.5
"""Share of images with the same value everywhere, from which on too little is left to learn from."""
OTHER_SPREAD = 1.4
"""Ratio of the standard deviations of training and validation images, in either direction."""
OTHER_SCALE = 2.0
"""The same, and difference of the means in half deviations, from which on the scale is another one for certain."""
FEWEST_IMAGES = 20
_MARGIN, _LEAST_RANGE = 0.05, 0.1
"""How far the values of validation images may go beyond the range of training images, and how much of it they fill at
least if they are scaled alike. Both are relative to the width of the range."""
MOSTLY_SHARED = 0.05
"""Share of the validation images that are training images, from which on the accuracy can't be trusted."""


def nan_input(evidence: Evidence) -> Answer:
    """Training images have NaN or infinite values."""
    data = given(evidence.training_data)
    found = data.not_finite
    if not found:
        return Passed(0.0, 0.0)
    number = f"At least {count(len(found))}" if len(found) >= MOST_NOT_FINITE else count(len(found))
    return Found(
        f"{number} of {plural(data.checked, 'training image')} {'has' if len(found) == 1 else 'have'} NaN or infinite "
        "values.",
        f"The first has the index {count(found[0])}. "
        + ("All training images were checked." if data.checked == data.size else _the_others(data)),
        "Remove or repair them: `keep = np.isfinite(x).all(axis=(1, 2, 3)); x, y = x[keep], y[keep]`. Look for a "
        "division by zero in the preparation of the images.",
        float(len(found)),
        0.0,
        why="One such image is enough to make the weights NaN, or to silence units for good, also if the loss stays "
        "finite.",
    )


def _the_others(data: ImageSet) -> str:
    return f"Of {plural(data.size, 'training image')}, the others were not checked." if data.size else ""


def constant_input(evidence: Evidence) -> Answer:
    """All training images are the same, or most are blank."""
    data = given(evidence.training_data)
    values = data.values
    if data.sampled < 2:
        return NotChecked("a single image was looked at")
    if not isfinite(values.low):
        return NotChecked("no value is finite")
    span = values.high - values.low
    difference = values.between / span if span else 0.0
    if difference > ALIKE and values.blank <= MOSTLY_BLANK:
        return Passed(difference, ALIKE)
    if difference > ALIKE:
        title = f"{percent(values.blank)} of the training images are constant: they have the same value everywhere."
        shown = f"all values are {_range(values)}."
    elif span:
        title = "The training images are all alike."
        shown = f"their values differ by {values.between:.2g} from image to image, in a range {_range(values)}."
    else:
        title = f"The training images are constant: all values are {values.low:.4g}."
        shown = "they have no other value."
    return Found(
        title,
        f"In a random sample of {plural(data.sampled, 'image')}, {shown}",
        "Look at the images as the model receives them: `plt.imshow(x[0])`. Often they are divided as integers, "
        "`x // 255`, multiplied by 0, or a single image is repeated.",
        difference,
        ALIKE,
        why="A model can't learn anything from images that do not differ.",
    )


def leak(evidence: Evidence, threshold: float) -> Answer:
    """More than `threshold` of the validation images are training images too."""
    shared, size = given(evidence.shared), given(evidence.validation_data).size
    if shared <= threshold:
        return Passed(shared, threshold)
    number = f" ({count(round(shared * size))} of {count(size)})" if size else ""
    return Found(
        f"{percent(shared)} of the validation images are also in the training images{number}.",
        "Images count if all their values are equal. Copies that were changed are not counted.",
        "Remove copies, and divide the images before anything changes them: "
        "`x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.2, stratify=y)`.",
        shared,
        threshold,
        why="The model is evaluated on images that it has learned by heart, so its accuracy on new images is lower.",
        severity="error" if shared > MOSTLY_SHARED else "warning",
    )


def input_mismatch(evidence: Evidence, threshold: float) -> Answer:
    """Training and validation images differ in scale: their means by more than `threshold` standard deviations."""
    training, validation = given(evidence.training_data), given(evidence.validation_data)
    ours, theirs = training.values, validation.values
    if not ours.deviation or not theirs.deviation:
        return NotChecked("the images are constant")
    shift = _shift(ours, theirs)
    ratio = max(ours.deviation / theirs.deviation, theirs.deviation / ours.deviation)
    if shift <= threshold and ratio <= OTHER_SPREAD:
        return Passed(shift, threshold)
    chance = 3 * sqrt(1 / training.sampled + 1 / validation.sampled)  # of a difference between two small samples
    if shift <= threshold + chance and ratio <= OTHER_SPREAD + chance:
        return NotChecked(f"{_sizes(training, validation)} are too few", shift, threshold)
    certain = shift > OTHER_SCALE * threshold or ratio > OTHER_SCALE
    best = best_correction(evidence)
    if not certain and evidence.corrections is not None and best is None:
        return Passed(shift, threshold)  # the difference does no harm, as that of an augmentation
    return Found(
        _difference(ours, theirs, threshold) if best is None else _corrected(ours, theirs, threshold, best),
        f"Training images have values {_range(ours)} with a mean of {ours.mean:.3g} and a standard deviation of "
        f"{ours.deviation:.3g}, validation images {_range(theirs)} with {theirs.mean:.3g} and {theirs.deviation:.3g}."
        f"{'' if best is None else f' {measured(best)}'}",
        _scaling(evidence, best),
        shift,
        threshold,
        why="The model receives other values than in training, so this accuracy is not that of the model in use.",
        severity="error" if certain else "warning",
        exhibits=[] if best is None else shown_changes(evidence, best),
    )


def _corrected(ours: Values, theirs: Values, threshold: float, best: Correction) -> str:
    return f"{_difference(ours, theirs, threshold).removesuffix('.')}. This change corrects it: {best.name}."


def _sizes(training: ImageSet, validation: ImageSet) -> str:
    return f"{plural(training.sampled, 'training image')} and {plural(validation.sampled, 'validation image')}"


def _range(values: Values) -> str:
    return f"from {values.low:.4g} to {values.high:.4g}"


def _difference(ours: Values, theirs: Values, threshold: float) -> str:
    """The title: how validation images differ, or that their range is another one."""
    margin = _MARGIN * (ours.high - ours.low)
    is_inside = theirs.low >= ours.low - margin and theirs.high <= ours.high + margin
    is_wide = theirs.high - theirs.low > _LEAST_RANGE * (ours.high - ours.low)
    if not (is_inside and is_wide and _scale(theirs) in ("", _scale(ours))):
        return "Training and validation images differ in scale."
    words = [
        *(["brighter" if theirs.mean > ours.mean else "darker"] if _shift(ours, theirs) > threshold else []),
        *(["higher in contrast"] if theirs.deviation > OTHER_SPREAD * ours.deviation else []),
        *(["lower in contrast"] if ours.deviation > OTHER_SPREAD * theirs.deviation else []),
    ]
    return f"Validation images are {' and '.join(words)} than training images."


def _shift(ours: Values, theirs: Values) -> float:
    """Difference of the means, in standard deviations of the training images."""
    return abs(theirs.mean - ours.mean) / ours.deviation


_LINES = {
    ("[0, 1]", "[0, 255]"): "x_val = x_val / 255",
    ("[-1, 1]", "[0, 255]"): "x_val = x_val / 127.5 - 1",
    ("[0, 255]", "[0, 1]"): "x_val = 255 * x_val",
    ("[0, 255]", "[-1, 1]"): "x_val = 127.5 * (x_val + 1)",
    ("[0, 1]", "[-1, 1]"): "x_val = (x_val + 1) / 2",
    ("[-1, 1]", "[0, 1]"): "x_val = 2 * x_val - 1",
}
"""What gives validation images the scale of training images, by both scales."""
_SCALED_BY_THE_MODEL = ("Rescaling", "Normalization")


def _scaling(evidence: Evidence, best: Correction | None) -> str:
    ours, theirs = given(evidence.training_data).values, given(evidence.validation_data).values
    scales = _scale(ours), _scale(theirs)
    if scales[0] == "[0, 255]" and scales[1] in ("[0, 1]", "[-1, 1]") and not _model_scales(evidence):
        back = "x_train / 255" if scales[1] == "[0, 1]" else "x_train / 127.5 - 1"
        return (
            "The training images were not scaled. Scale them as the validation images and train again: "
            f"`x_train = {back}`."
        )
    if scales in _LINES:
        return f"Scale the validation images from {scales[1]} to {scales[0]}, as the others: `{_LINES[scales]}`."
    if best is not None and best.name != LIKE_TRAINING:
        return f"Prepare the validation images as the training images, with one function for both: `{best.code}`."
    divisor = theirs.deviation / ours.deviation
    return (
        "Prepare both with the same function and the same numbers. Validation images would have the mean and the "
        f"deviation of the training images after `x_val = (x_val - {theirs.mean - ours.mean * divisor:.3g}) / "
        f"{divisor:.3g}`."
    )


def _model_scales(evidence: Evidence) -> bool:
    return any(layer.kind in _SCALED_BY_THE_MODEL for layer in evidence.layers or ())


def _scale(values: Values) -> str:
    """The usual scale that the values have; empty if none fits."""
    if values.low >= 0:
        return "[0, 1]" if 0.5 < values.high <= 1 else "[0, 255]" if 128 < values.high <= 255 else ""
    return "[-1, 1]" if -1 <= values.low < -0.5 and 0.5 < values.high <= 1 else ""
