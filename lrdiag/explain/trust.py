"""Measures whether the model uses what a heatmap marks, by removing it from the image.

Every figure is compared with chance: `random_maps` are the control, and a random map breaks ties between pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from lrdiag import opencv
from lrdiag.errors import DataError, ModelError, require_count
from lrdiag.intervals import mean_interval
from lrdiag.record.arrays import Predictions
from lrdiag.record.facts import HeatmapTrust

STEPS = 10  # of equal size, from the whole image to its mean colour
SECONDS = 2.0
"""A measurement may take this long, or as long as the model needs for the test set, whichever is more."""
_SCORED = 2 * (STEPS + 1)  # times that each image is scored
_BYTES_AT_ONCE = 2**26  # of images that are scored in one call

ScoreFunction = Callable[[np.ndarray], np.ndarray]


def measure_trust(
    score: ScoreFunction, images: np.ndarray, maps: np.ndarray, classes: np.ndarray, *, test_images: int | None = None
) -> HeatmapTrust | None:
    """Compares maps with random maps on a sample of images.

    The figures of all images are the same on every machine. Only if a model is so slow that all would take longer than
    allowed, their number depends on the time that the first ones take: 1, 3, 7, 15, and so on.

    Example:
        ```python
        maps = explainer.maps(images, classes)
        trust = measure_trust(model.predict_on_batch, images, maps, classes)
        print(trust.deletion_auc, "against", trust.random_deletion_auc)
        ```

    Args:
        score: As in `deletion_curve`.
        images: As in `deletion_curve`. Choose them at random, because a dataset may be sorted by class.
        maps: One map for each image, `(n, h, w)`.
        classes: The class that each map explains, integers of shape `(n,)`.
        test_images: Number of images in the test set. The measurement takes about as long as the model needs for these,
            or `SECONDS` if that is more. By default all images are measured, whatever the time.

    Returns:
        The figures, or `None` if a single image would take too long.

    Raises:
        LrdiagError: As in `deletion_curve`.
    """
    _require_maps(maps, len(images))
    if test_images is not None and _takes_too_long(score, images, test_images):
        return None
    in_random_order = np.random.default_rng(0).permutation(len(images))
    areas: list[np.ndarray] = []
    spent = 0.0
    for seed, group in enumerate(_groups(in_random_order, test_images is None)):
        score(images[group])  # JAX compiles for this number of images
        started = time.perf_counter()
        areas.append(_areas(score, images[group], maps[group], classes[group], seed))
        took = time.perf_counter() - started
        spent += took
        if test_images is not None:
            whole_set = took * test_images / (_SCORED * len(group))
            if spent + 2 * took > max(SECONDS, whole_set):
                break
    informed, random = np.concatenate(areas, axis=1)
    return _figures(informed, random, maps[in_random_order[: len(informed)]], len(images))


def _areas(score: ScoreFunction, images: np.ndarray, maps: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
    """The areas under the deletion curves of the maps and of random maps, of shape `(2, n)`."""
    both = (maps, random_maps(maps, seed))
    return np.stack([area_under(deletion_curve(score, images, each, classes, seed=seed)) for each in both])


def _takes_too_long(score: ScoreFunction, images: np.ndarray, test_images: int) -> bool:
    """Whether one image, scored at each step, takes longer than allowed. It never does in a larger test set."""
    if test_images >= _SCORED:
        return False
    score(images[:1])  # JAX compiles
    started = time.perf_counter()
    score(images[:1])
    return _SCORED * (time.perf_counter() - started) > SECONDS


def _groups(indices: np.ndarray, at_once: bool) -> Iterator[np.ndarray]:
    """Yields all indices, or groups of 1, 2, 4 and so on."""
    size = len(indices) if at_once else 1
    while len(indices):
        yield indices[:size]
        indices, size = indices[size:], 2 * size


def _figures(informed: np.ndarray, random: np.ndarray, maps: np.ndarray, wanted: int) -> HeatmapTrust:
    low, high = mean_interval(random - informed) if len(informed) > 1 else (None, None)
    return HeatmapTrust(
        images=len(informed),
        empty_share=share_of_empty(maps),
        deletion_auc=float(informed.mean()),
        random_deletion_auc=float(random.mean()),
        advantage_low=low,
        advantage_high=high,
        of=wanted if len(informed) < wanted else None,
    )


def deletion_curve(
    score: ScoreFunction,
    images: np.ndarray,
    maps: np.ndarray,
    classes: np.ndarray,
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> np.ndarray:
    """The probability of a class while the most important pixels are removed first. It falls fast for a good map.

    A removed pixel takes the mean colour of its image. Maps are enlarged bilinearly. A random map of the same
    resolution breaks ties between pixels, so an empty map scores as `random_maps` do.

    Source: Petsiuk et al., "RISE" (2018), section 4.2.

    Example:
        A model that uses the left half only, an image that is white there, and a map that marks that half:

        >>> def score(images):
        ...     left = images[:, :, :2].mean(axis=(1, 2, 3))
        ...     return np.stack([left, 1 - left], axis=1)
        >>> images, maps = np.zeros((1, 4, 4, 1)), np.zeros((1, 4, 4))
        >>> images[:, :, :2] = maps[:, :, :2] = 1
        >>> deletion_curve(score, images, maps, np.array([0]), steps=4).tolist()
        [[1.0, 0.75, 0.5, 0.5, 0.5]]

    Args:
        score: Takes images like `images` and returns their probabilities or logits, of shape `(n, all classes)`. It is
            called with every step of one or more images at once, and divides them into batches itself.
        images: Array of shape `(n, height, width, channels)`, as the model takes them.
        maps: Array of shape `(n, h, w)`; higher values are more important.
        classes: The class that each map explains, integers of shape `(n,)`.
        steps: Number of steps of equal size in which pixels are removed.
        seed: Random seed for breaking ties between pixels.

    Returns:
        `float64` array of shape `(n, steps + 1)`, from the whole image to its mean colour.

    Raises:
        DataError: If the arrays do not match, or a map contains NaN or infinite values.
        SettingsError: If `steps` is below 1.
        ModelError: If `score` does not return one row for each image and one column for each class.
    """
    require_count("steps", steps)
    if images.ndim != 4:
        raise DataError(f"Images must have the shape (n, height, width, channels). Received: {images.shape}")
    _require_maps(maps, len(images))
    if classes.shape != (len(images),) or not np.issubdtype(classes.dtype, np.integer):
        raise DataError(
            "There must be one class for each image, an integer. "
            f"Received: {len(images)} images and classes of shape {classes.shape}, dtype={classes.dtype}"
        )
    height, width = images.shape[1:3]
    ranks, blank = rank_pixels(maps, (height, width), seed)[..., np.newaxis], _mean_colour(images)
    removed = np.linspace(0, height * width, steps + 1).round().astype(int)[:, np.newaxis, np.newaxis, np.newaxis]
    at_once = max(1, _BYTES_AT_ONCE // (len(removed) * images[0].nbytes))
    curves = []
    for start in range(0, len(images), at_once):
        part = slice(start, start + at_once)
        steps_of_part = [np.where(ranks[part] >= each, images[part], blank[part]) for each in removed]
        scored = _probability(score, np.concatenate(steps_of_part), np.tile(classes[part], len(removed)))
        curves.append(scored.reshape(len(removed), -1).T)
    return np.concatenate(curves)


def area_under(curves: np.ndarray) -> np.ndarray:
    """The area under each curve over the share of pixels, from 0 to 1, by the trapezoidal rule.

    Example:
        >>> area_under(np.array([[1.0, 0.5, 0.0], [1.0, 1.0, 1.0]])).tolist()
        [0.5, 1.0]

    Args:
        curves: Array of shape `(n, steps + 1)`.

    Returns:
        `float64` array of shape `(n,)`.
    """
    return np.asarray(np.trapezoid(curves, dx=1 / (curves.shape[1] - 1), axis=1))


def random_maps(maps: np.ndarray, seed: int = 0) -> np.ndarray:
    """Random maps of the same shape, the control for every measure.

    They have the resolution of `maps` and are enlarged in the same way. Single pixels in random order would not be a
    fair control: removed all over an image, they destroy it faster than a patch of as many pixels.

    Args:
        maps: Array of shape `(n, h, w)`; its values are not used.
        seed: Random seed.

    Returns:
        `float32` array of shape `(n, h, w)`, values from 0 to 1.
    """
    return np.random.default_rng(seed).random(maps.shape, np.float32)


def share_of_empty(maps: np.ndarray) -> float:
    """The share of maps without a positive value, which explain nothing.

    Example:
        >>> share_of_empty(np.array([[[0.0, 0.0]], [[0.0, 0.1]]]))
        0.5

    Args:
        maps: Array of shape `(n, h, w)`.
    """
    return float((maps.max(axis=(1, 2)) <= 0).mean())


def rank_pixels(maps: np.ndarray, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """The rank of each pixel by importance, 0 for the most important.

    Args:
        maps: Array of shape `(n, h, w)`, enlarged bilinearly.
        size: Height and width of the images.
        seed: Random seed for breaking ties between pixels.

    Returns:
        Integers of shape `(n, height, width)`.
    """
    by_map, by_chance = (_enlarge(each, size).reshape(len(maps), -1) for each in (maps, random_maps(maps, seed)))
    by_pixel = np.random.default_rng([seed, 1]).random(by_map.shape)  # enlarged maps are constant along the border
    order = np.lexsort((by_pixel, -by_chance, -by_map), axis=1)
    return np.asarray(order.argsort(axis=1).reshape(len(maps), *size))


def _enlarge(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    maps = maps.astype(np.float32)
    return np.stack([opencv.resize(each, size[::-1], interpolation=opencv.INTER_LINEAR) for each in maps])


def _require_maps(maps: np.ndarray, images: int) -> None:
    if maps.ndim != 3 or len(maps) != images or not maps.size:
        raise DataError(
            f"There must be one map for each image, at least one, an array of shape (n, h, w). "
            f"Received: {images} images and maps of shape {maps.shape}"
        )
    if not np.isfinite(maps).all():
        broken = int((~np.isfinite(maps)).any(axis=(1, 2)).sum())
        raise DataError(
            f"Maps must be finite. Received: NaN or infinite values in {broken} of {images}. Leave those images out"
        )


def _mean_colour(images: np.ndarray) -> np.ndarray:
    mean = images.mean(axis=(1, 2), keepdims=True)
    return np.asarray(mean.round() if np.issubdtype(images.dtype, np.integer) else mean, images.dtype)


def _probability(score: ScoreFunction, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    scores = np.asarray(score(images))
    if scores.ndim != 2 or len(scores) != len(images) or not 0 <= classes.min() <= classes.max() < scores.shape[1]:
        raise ModelError(
            f"`score` must return an array of shape ({len(images)}, classes), with a column for each of `classes`. "
            f"Received: shape {scores.shape} for classes {classes.min()} to {classes.max()}"
        )
    return np.asarray(np.exp(-Predictions.from_scores(scores, classes).losses))
