"""Does the heatmap tell the truth? Ask the network, by taking away what the map calls important.

A map is believed where it does better than chance, so every figure here has its chance beside it: `random_maps` are the
control, and whatever a map leaves undecided is drawn by lot.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from lrdiag import opencv
from lrdiag.errors import DataError, ModelError, require_count
from lrdiag.record.arrays import Predictions
from lrdiag.record.facts import HeatmapTrust

STEPS = 10  # of equal size, from the whole image to none of it

ScoreFunction = Callable[[np.ndarray], np.ndarray]


def measure_trust(
    score: ScoreFunction,
    images: np.ndarray,
    maps: np.ndarray,
    classes: np.ndarray,
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> HeatmapTrust:
    """Compares maps with chance, on a sample of images.

    Example:
        ```python
        maps = explainer.maps(images, classes)
        trust = measure_trust(model.predict_on_batch, images, maps, classes)
        print(trust.deletion_auc, "against", trust.random_deletion_auc)
        ```

    Args:
        score: As `deletion_curve` takes it.
        images: As `deletion_curve` takes them; a random sample, for a data set may be sorted by class.
        maps: One map for each image.
        classes: The class that each map explains.
        steps: In how many steps the pixels are removed.
        seed: Of the random maps.

    Raises:
        LrdiagError: As `deletion_curve` does.
    """
    informed, uninformed = (
        area_under(deletion_curve(score, images, each, classes, steps=steps, seed=seed))
        for each in (maps, random_maps(maps, seed))
    )
    return HeatmapTrust(len(images), share_of_empty(maps), float(informed.mean()), float(uninformed.mean()))


def deletion_curve(
    score: ScoreFunction,
    images: np.ndarray,
    maps: np.ndarray,
    classes: np.ndarray,
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> np.ndarray:
    """The probability of a class while the pixels are removed, the most important first; a good map makes it fall fast.

    A removed pixel takes the mean colour of its image. Maps are enlarged bilinearly. Where a map is undecided, a random
    map of the same granularity decides, so that an empty map scores as `random_maps` do.

    Source: Petsiuk et al., "RISE" (2018), section 4.2.

    Example:
        A network that looks at the left half alone, a picture that is white there, and a map that knows:

        >>> def score(images):
        ...     left = images[:, :, :2].mean(axis=(1, 2, 3))
        ...     return np.stack([left, 1 - left], axis=1)
        >>> images, maps = np.zeros((1, 4, 4, 1)), np.zeros((1, 4, 4))
        >>> images[:, :, :2] = maps[:, :, :2] = 1
        >>> deletion_curve(score, images, maps, np.array([0]), steps=4).tolist()
        [[1.0, 0.75, 0.5, 0.5, 0.5]]

    Args:
        score: Takes images like `images` and returns their probabilities or logits, of shape `(n, all classes)`. It is
            called once for each step, with all images, and divides them into batches itself.
        images: Array of shape `(n, height, width, channels)`, as the network takes them.
        maps: Array of shape `(n, h, w)`; the higher, the more important.
        classes: Integer array of shape `(n,)`: the class that each map explains.
        steps: In how many steps of equal size the pixels are removed.
        seed: Of the lots that decide where maps do not.

    Returns:
        `float64` array of shape `(n, steps + 1)`, from the whole image to its mean colour alone.

    Raises:
        DataError: If the arrays do not belong together or a map holds NaN or infinite values.
        SettingsError: If there are no steps.
        ModelError: If `score` does not return one row for each image and one column for each class.
    """
    ranks = _ranks(images, maps, seed)
    return _curve(score, images, classes, steps, lambda pixels: ranks >= pixels)


def insertion_curve(
    score: ScoreFunction,
    images: np.ndarray,
    maps: np.ndarray,
    classes: np.ndarray,
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> np.ndarray:
    """The probability of a class while the pixels are put in, the most important first; a good map makes it rise fast.

    It starts from the mean colour of the image rather than from a blurred image: that keeps the outlines of large
    objects, how well depends on the strength of the blur, and the two curves would no longer end in the same picture.

    Example:
        See `deletion_curve`, of which this is the counterpart.

    Args:
        score: As for `deletion_curve`, and so are all others.
        images: Array of shape `(n, height, width, channels)`.
        maps: Array of shape `(n, h, w)`.
        classes: Integer array of shape `(n,)`.
        steps: In how many steps of equal size the pixels are put in.
        seed: Of the lots that decide where maps do not.

    Returns:
        `float64` array of shape `(n, steps + 1)`, from the mean colour alone to the whole image.

    Raises:
        LrdiagError: As `deletion_curve` does.
    """
    ranks = _ranks(images, maps, seed)
    return _curve(score, images, classes, steps, lambda pixels: ranks < pixels)


def area_under(curves: np.ndarray) -> np.ndarray:
    """The area under each curve by the trapezoid rule, over the share of pixels from 0 to 1.

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
    """Noise in the shape of `maps`, the control of every figure here.

    It is as coarse as the maps and is enlarged as they are. Single pixels in random order would be no fair control:
    removed all over a picture, they destroy it faster than a patch of as many pixels does.

    Example:
        >>> random_maps(np.zeros((100, 4, 4)), seed=1).shape
        (100, 4, 4)

    Args:
        maps: Array of shape `(n, h, w)`.
        seed: Of the noise.

    Returns:
        `float32` array of shape `(n, h, w)`, values from 0 to 1.
    """
    return np.random.default_rng(seed).random(maps.shape, np.float32)


def share_of_empty(maps: np.ndarray) -> float:
    """The share of maps that say nothing: those without a value above zero.

    Example:
        >>> share_of_empty(np.array([[[0.0, 0.0]], [[0.0, 0.1]]]))
        0.5

    Args:
        maps: Array of shape `(n, h, w)`.
    """
    return float((maps.max(axis=(1, 2)) <= 0).mean())


def pointing_game(maps: np.ndarray, masks: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Whether the peak of each map, enlarged bilinearly, lies inside the object; no pixel beside it is good enough.

    Of equal peaks one is drawn by lot, so that an empty map scores as chance does.

    Source: Zhang et al., "Top-down neural attention by excitation backprop" (2018), section 4.1, there with a tolerance
    of 15 pixels.

    Example:
        >>> masks = np.zeros((1, 8, 8), bool)
        >>> masks[:, :4, :4] = True
        >>> maps = np.array([[[0.9, 0.1], [0.2, 0.3]]])
        >>> pointing_game(maps, masks).tolist(), pointing_game(-maps, masks).tolist()
        ([True], [False])

    Args:
        maps: Array of shape `(n, h, w)`.
        masks: Boolean array of shape `(n, height, width)`, true on the object.
        seed: Of the lots.

    Returns:
        Boolean array of shape `(n,)`.

    Raises:
        DataError: If the arrays do not belong together or a map holds NaN or infinite values.
    """
    if masks.ndim != 3 or masks.dtype != np.bool_:
        raise DataError(
            "Masks must be a boolean array of shape (n, height, width). "
            f"Received: shape={masks.shape}, dtype={masks.dtype}"
        )
    peaks = _ranks(masks[..., np.newaxis], maps, seed) == 0
    return np.asarray((peaks[..., 0] & masks).any(axis=(1, 2)))


def similarity(maps_a: np.ndarray, maps_b: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of each two maps; 0 where one of them is constant and says nothing.

    A map that hardly changes when the network's weights are drawn anew explains the picture, not the network.

    Source: Adebayo et al., "Sanity checks for saliency maps" (2018).

    Example:
        >>> rising = np.array([[[1.0, 2.0, 3.0]]])
        >>> similarity(rising, rising**2).tolist(), similarity(rising, -rising).tolist()
        ([1.0], [-1.0])

    Args:
        maps_a: Array of shape `(n, h, w)`.
        maps_b: Array of the same shape.

    Returns:
        `float64` array of shape `(n,)`, values from −1 to 1.

    Raises:
        DataError: If the shapes differ or a map holds NaN or infinite values.
    """
    _require_maps(maps_a, len(maps_a))
    _require_maps(maps_b, len(maps_b))
    if maps_a.shape != maps_b.shape:
        raise DataError(
            f"Maps to compare must have the same shape. Received: {maps_a.shape} and {maps_b.shape}. "
            "Take both from the same layer and images"
        )
    a, b = (_centred_ranks(maps) for maps in (maps_a, maps_b))
    norms = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray(np.divide((a * b).sum(axis=1), norms, out=np.zeros(len(a)), where=norms > 0))


def _centred_ranks(maps: np.ndarray) -> np.ndarray:
    ranks = rankdata(maps.reshape(len(maps), -1), axis=1)
    return np.asarray(ranks - ranks.mean(axis=1, keepdims=True))


def _ranks(images: np.ndarray, maps: np.ndarray, seed: int) -> np.ndarray:
    """The place of each pixel in the order of importance: integers of shape `(n, height, width, 1)`, 0 the highest."""
    if images.ndim != 4:
        raise DataError(f"Images must have the shape (n, height, width, channels). Received: {images.shape}")
    _require_maps(maps, len(images))
    shape = images.shape[:3]
    by_map, by_lot = (_enlarge(each, shape[1:]).reshape(len(maps), -1) for each in (maps, random_maps(maps, seed)))
    by_pixel = np.random.default_rng([seed, 1]).random(by_map.shape)  # bilinear maps are level along the border
    order = np.lexsort((by_pixel, -by_lot, -by_map), axis=1)
    return np.asarray(order.argsort(axis=1).reshape(*shape, 1))


def _enlarge(maps: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
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


def _curve(
    score: ScoreFunction,
    images: np.ndarray,
    classes: np.ndarray,
    steps: int,
    kept: Callable[[int], np.ndarray],
) -> np.ndarray:
    """The probability of each image's class where only the pixels of `kept(pixels touched so far)` are left."""
    require_count("steps", steps)
    if classes.shape != (len(images),) or not np.issubdtype(classes.dtype, np.integer):
        raise DataError(
            "There must be one class for each image, an integer. "
            f"Received: {len(images)} images and classes of shape {classes.shape}, dtype={classes.dtype}"
        )
    touched = np.linspace(0, images.shape[1] * images.shape[2], steps + 1).round().astype(int)
    blank = _mean_colour(images)
    return np.stack([_probability(score, np.where(kept(each), images, blank), classes) for each in touched], axis=1)


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
