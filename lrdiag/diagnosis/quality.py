"""Finds images of poor quality: those that differ from the habit of their set in a way that a defect explains.

An image counts if its value is beyond an absolute limit and beyond what the other images let expect: half an image in a
set of this size, if the logarithms of the values were distributed normally around their median. The spread is that of
the half of the images on the same side, up to the most unusual fifth, so that defects do not widen it.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from lrdiag.record.image_table import ImageStatistics

Defect = Literal["blank", "damaged", "dark or bright", "enlarged", "blurred", "bordered"]

_EXPECTED = 0.5
_MARGIN = 1.1
"""Widens the spread, because distributions of photographs have heavier tails than the normal one."""
FEWEST = 50
"""Fewest images that show a habit."""
_BLANK = 2.0
"""Standard deviation of each channel, in grey levels."""
_NOISE, _ROUGH = 1.15, 3.0
"""Fineness, and sharpness relative to contrast. White noise has 2.0 and 4.5."""
_CUT = 0.3
"""Share of the picture that has one colour at one side."""
_DARK, _BRIGHT = 100.0, 120.0
"""Highest value of a dark image, and lowest of a bright one."""
_BLURRED = 0.45
"""Fineness."""
_REPEATED = 0.3
"""Share of repeated lines."""
_BORDER = 0.015
"""Share of the picture at two opposite sides."""
_HABIT, _OTHER = 0.3, 16
"""Share of the images whose side has one colour, from which on it is the background of the set; and grey levels by
which the colour of a border differs from it."""


def defects(statistics: ImageStatistics) -> dict[Defect, np.ndarray]:
    """Returns the rows with each defect, most severe first: `int64` arrays. An image has one defect at most.

    Args:
        statistics: Statistics of the images of a set.
    """
    size = len(statistics.contrast)
    found: dict[Defect, np.ndarray] = {}
    if size < FEWEST:
        return found
    left = np.ones(size, bool)
    for defect, score in _scores(statistics).items():
        rows = np.flatnonzero((score > 0) & left)
        left[rows] = False
        found[defect] = rows[np.argsort(-score[rows], kind="stable")]
    return found


def _scores(statistics: ImageStatistics) -> dict[Defect, np.ndarray]:
    """How far each image is beyond the limit of each defect, 0 if it is not. The first defect of an image counts."""
    fineness, margins = statistics.fineness, np.where(_background(statistics.sides), 0, statistics.margins)
    rough = statistics.sharpness / np.maximum(statistics.contrast, 1)
    spread = statistics.deviations.max(axis=1)
    blank = np.where(spread < _BLANK, _beyond(-spread, -_BLANK), 0)
    seen = spread >= _BLANK
    cut = margins.max(axis=1)
    is_cut = (cut > _CUT) & (_opposite(margins) < _BORDER)
    noise = np.maximum(
        _unusual(np.log(np.maximum(fineness, 0.01)), np.log(_NOISE), seen),
        _unusual(np.log(np.maximum(rough, 0.01)), np.log(_ROUGH), seen),
    )
    dark = _unusual(-np.log(statistics.high + 1), -np.log(_DARK + 1), seen)
    bright = _unusual(statistics.low, _BRIGHT, seen)
    return {
        "blank": blank,
        "damaged": np.maximum(noise, np.where(is_cut & seen, cut, 0)),
        "dark or bright": np.maximum(dark, bright / 255),
        "enlarged": _unusual(statistics.repeats, _REPEATED, seen),
        "blurred": _unusual(-np.log(np.maximum(fineness, 0.01)), -np.log(_BLURRED), seen),
        "bordered": _beyond(_opposite(margins), _BORDER),
    }


def _beyond(values: np.ndarray, limit: float) -> np.ndarray:
    return np.asarray(np.maximum(values - limit, 0))


def _unusual(values: np.ndarray, limit: float, seen: np.ndarray) -> np.ndarray:
    """How far values are above the limit and above what the set lets expect, 0 if they are not.

    If half of the images are above the limit, it is the habit of the set.
    """
    from scipy.stats import norm

    middle, high = np.quantile(values[seen], (0.5, 0.8)) if seen.any() else (0.0, 0.0)
    if middle > limit:
        return np.zeros(len(values))
    deviations = norm.isf(_EXPECTED / len(values)) / norm.isf(0.2)
    reach = middle + _MARGIN * deviations * (high - middle)
    return np.where(seen, _beyond(values, max(limit, float(reach))), 0)


def _opposite(margins: np.ndarray) -> np.ndarray:
    """The smaller one of two opposite margins, for the pair in which it is larger."""
    return np.asarray(np.maximum(np.minimum(margins[:, 0], margins[:, 1]), np.minimum(margins[:, 2], margins[:, 3])))


def _background(sides: np.ndarray) -> np.ndarray:
    """Where a side has the colour that this side has in many images, as that of digits on black: `bool` of `(n, 4)`."""
    is_plain = sides >= 0
    usual = np.array(
        [np.median(side[plain]) if plain.any() else 0 for side, plain in zip(sides.T, is_plain.T, strict=True)]
    )
    is_usual = is_plain & (np.abs(sides - usual) <= _OTHER)
    return np.asarray(is_usual & (is_usual.mean(axis=0) > _HABIT))
