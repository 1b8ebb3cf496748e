"""Changes of a model's inputs: plausible corrections, and shifts that make training images like test images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np

from lrdiag.data.preprocessing import inferred
from lrdiag.images.shift import Difference, kind, main_differences, noise_level, relative_sharpness
from lrdiag.images.statistics import grey
from lrdiag.record.data_facts import LIKE_TRAINING

_TINY = 0.1  # of a range: images that have it have values beyond this
_RARE = 0.005  # share of the values that noise and interpolation may carry beyond a range
_ALIKE = 0.05  # difference of means and of deviations, in deviations, below which images are scaled alike
_OVERSHOT = 0.05  # of the range: how far interpolation and noise go beyond it
_WITHIN_TORCH, _WITHIN_CAFFE = (-2.3, 2.8), (-125.0, 155.0)  # the ranges that these ways of scaling give
_WIDTHS = (0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0, 4.0, 6.0)  # of blurs that are compared
_PIXELS = 2**18  # values that show how images are scaled
_FEW = 64  # images that they are compared on
_MEAN_RGB = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION_RGB = np.array([0.229, 0.224, 0.225], np.float32)
_MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)


class Change(NamedTuple):
    """A change of the inputs of a model.

    Attributes:
        name: What is changed, so that "if `name`" ends a sentence: `"divided by 255"`.
        code: The line that does it for images `x`.
        apply: From inputs of shape `(n, height, width, channels)` to `float32` of the same shape.
    """

    name: str
    code: str
    apply: Callable[[np.ndarray], np.ndarray]

    def then(self, other: Change) -> Change:
        """Returns this change followed by another one."""
        name = f"{self.name} and {other.name}"
        return Change(name, f"{self.code}; {other.code}", lambda images: other.apply(self.apply(images)))


REVERSED = Change("channels reversed", "x = x[..., ::-1]", lambda x: x[..., ::-1])


def corrections(test: np.ndarray, training: np.ndarray | None, *, is_learned: bool) -> list[Change]:
    """Returns the changes that may correct test images.

    Args:
        test: Inputs of the model, of shape `(n, height, width, channels)`.
        training: The same of training images, or `None`. If their scale is another one, only the changes to it are
            plausible.
        is_learned: Whether the model classifies these training images well, so that their scale is the right one.
    """
    scales, others = _scales(test), orders(test)
    if training is None:
        return [*scales, *others]
    if (like := _like(test, training)) is None:
        return [*([] if is_learned else scales), *others]
    few = _some_pixels(test)
    fitting = [each for each in scales if _like(each.apply(few), training) is None]
    return [*(fitting or [like]), *others]


def orders(test: np.ndarray) -> list[Change]:
    """Returns the changes of the order of channels and pixels, and of the direction of brightness."""
    low, high = _ends(test)
    ends = f"{low + high:.4g}"
    found = [Change("inverted", f"x = {ends} - x", lambda x: np.float32(low + high) - x)]
    if test.shape[-1] == 3:
        found.append(REVERSED)
    if test.shape[1] == test.shape[2]:
        found.append(Change("rows and columns exchanged", "x = x.swapaxes(1, 2)", lambda x: x.swapaxes(1, 2)))
    found.append(Change("turned upside down", "x = x[:, ::-1]", lambda x: x[:, ::-1]))
    return found


def _ends(images: np.ndarray) -> tuple[float, float]:
    """The range that images are scaled to: a usual one, or that of their values."""
    usual = {"raw": (0.0, 255.0), "0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}
    return usual.get(inferred(images) or "", (float(images.min()), float(images.max())))


def _like(test: np.ndarray, training: np.ndarray) -> Change | None:
    """The change that gives each channel the mean and the deviation of training images; `None` if it has them."""
    (mean, deviation), (wanted, spread) = _moments(test), _moments(training)
    tolerance = _ALIKE + 3 * sqrt(1 / len(test) + 1 / len(training))  # images of one set differ by chance too
    if (np.maximum(np.abs(mean - wanted), np.abs(deviation - spread)) <= tolerance * spread).all():
        return None
    factor = spread / np.maximum(deviation, np.float32(1e-12))
    return Change(
        LIKE_TRAINING,
        "x = (x - x.mean((0, 1, 2))) / x.std((0, 1, 2)) * x_train.std((0, 1, 2)) + x_train.mean((0, 1, 2))",
        lambda x: (x - mean) * factor + wanted,
    )


def _moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, `float32`."""
    pixels = _some_pixels(images).astype(np.float32)
    return np.asarray(pixels.mean(axis=(0, 1, 2))), np.asarray(pixels.std(axis=(0, 1, 2)))


def _some_pixels(images: np.ndarray) -> np.ndarray:
    """Pixels of every image, evenly spaced, of shape `(n, k, 1, channels)`."""
    pixels = images.reshape(len(images), -1, 1, images.shape[-1])
    step = max(1, pixels.size // _PIXELS) | 1  # an odd number meets all columns
    return np.asarray(pixels[:, ::step])


def _scales(test: np.ndarray) -> list[Change]:
    """The usual ways to scale images, apart from the one that the values show."""
    low, high = float(test.min()), float(test.max())
    changes = [each for each in _FROM.get(_scale(test), ()) if test.shape[-1] == 3 or "ImageNet" not in each.name]
    if _scale(test) in ("", "torch"):
        changes += _stretched(low, high)
    if low >= 0 and high <= _TINY:
        changes.append(Change("multiplied by 65,025", "x = 255 * 255 * x", lambda x: np.float32(255**2) * x))
    mean, deviation = _moments(test)
    if (np.abs(mean) > _ALIKE * deviation).any() or (np.abs(deviation - 1) > _ALIKE).any():
        changes.append(
            Change(
                "standardized",
                "x = (x - x.mean((0, 1, 2))) / x.std((0, 1, 2))",
                lambda x: (x - mean) / np.maximum(deviation, np.float32(1e-12)),
            )
        )
        changes.append(Change("with the mean subtracted", "x = x - x.mean((0, 1, 2))", lambda x: x - mean))
    return changes


def _stretched(low: float, high: float) -> list[Change]:
    """The changes that give standardized images the usual ranges."""
    unit = "(x - x.min()) / (x.max() - x.min())"
    start, width = np.float32(low), np.float32(max(high - low, 1e-12))
    return [
        Change("stretched to 0..1", f"x = {unit}", lambda x: (x - start) / width),
        Change("stretched to 0..255", f"x = 255 * {unit}", lambda x: 255 * (x - start) / width),
        Change("stretched to −1..1", f"x = 2 * {unit} - 1", lambda x: 2 * (x - start) / width - 1),
    ]


def _scale(images: np.ndarray) -> str:
    """How images are scaled, or `""` if the values do not tell."""
    low, high = (float(each) for each in np.quantile(images[:64], (_RARE, 1 - _RARE)))
    if low >= -_OVERSHOT and high <= 1 + _OVERSHOT:
        return "0..1"
    if low >= -_OVERSHOT * 255 and high > _TINY * 255:
        return "0..255" if high <= (1 + _OVERSHOT) * 255 else "large"
    if low >= -1 - _OVERSHOT and high <= 1 + _OVERSHOT:
        return "-1..1"
    if images.shape[-1] != 3:
        return ""
    if _WITHIN_TORCH[0] <= low and high <= _WITHIN_TORCH[1]:
        return "torch"
    is_wide = high - low > _TINY * 255
    return "caffe" if is_wide and _WITHIN_CAFFE[0] <= low and high <= _WITHIN_CAFFE[1] else ""


def _torch(unit: np.ndarray) -> np.ndarray:
    return (unit - _MEAN_RGB) / _DEVIATION_RGB


def _caffe(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., ::-1] - _MEAN_BGR


_PREPARED = "keras.applications.imagenet_utils.preprocess_input"
_IN_TORCH, _IN_CAFFE = "prepared for a network of ImageNet (torch)", "prepared for a network of ImageNet (caffe)"
_FROM_255 = (
    Change("divided by 255", "x = x / 255", lambda x: x / np.float32(255)),
    Change("scaled to −1..1", "x = x / 127.5 - 1", lambda x: x / np.float32(127.5) - 1),
    Change(_IN_TORCH, f'x = {_PREPARED}(x, mode="torch")', lambda x: _torch(x / np.float32(255))),
    Change(_IN_CAFFE, f'x = {_PREPARED}(x, mode="caffe")', _caffe),
)
_FROM_1 = (
    Change("multiplied by 255", "x = 255 * x", lambda x: np.float32(255) * x),
    Change("scaled to −1..1", "x = 2 * x - 1", lambda x: 2 * x - 1),
    Change(_IN_TORCH, f'x = {_PREPARED}(255 * x, mode="torch")', _torch),
    Change(_IN_CAFFE, f'x = {_PREPARED}(255 * x, mode="caffe")', lambda x: _caffe(np.float32(255) * x)),
)
_FROM_SIGNED = (
    Change("scaled to 0..255", "x = 127.5 * (x + 1)", lambda x: np.float32(127.5) * (x + 1)),
    Change("scaled to 0..1", "x = (x + 1) / 2", lambda x: (x + 1) / 2),
    Change(_IN_TORCH, f'x = {_PREPARED}(127.5 * (x + 1), mode="torch")', lambda x: _torch((x + 1) / 2)),
    Change(
        _IN_CAFFE,
        f'x = {_PREPARED}(127.5 * (x + 1), mode="caffe")',
        lambda x: _caffe(np.float32(127.5) * (x + 1)),
    ),
)
_UNTORCHED, _UNCAFFED = (
    "x * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406]",
    "(x + [103.939, 116.779, 123.68])[..., ::-1]",
)
_FROM_TORCH = (
    Change("scaled to 0..255", f"x = 255 * ({_UNTORCHED})", lambda x: 255 * (x * _DEVIATION_RGB + _MEAN_RGB)),
    Change("scaled to 0..1", f"x = {_UNTORCHED}", lambda x: x * _DEVIATION_RGB + _MEAN_RGB),
)
_FROM_CAFFE = (
    Change("scaled to 0..255", f"x = {_UNCAFFED}", lambda x: (x + _MEAN_BGR)[..., ::-1]),
    Change("scaled to 0..1", f"x = {_UNCAFFED} / 255", lambda x: (x + _MEAN_BGR)[..., ::-1] / np.float32(255)),
)
_FROM_LARGE = (
    Change("divided by 255", "x = x / 255", lambda x: x / np.float32(255)),
    Change("divided by 65,025", "x = x / (255 * 255)", lambda x: x / np.float32(255**2)),
)
_FROM = {
    "0..255": _FROM_255,
    "0..1": _FROM_1,
    "-1..1": _FROM_SIGNED,
    "torch": _FROM_TORCH,
    "caffe": _FROM_CAFFE,
    "large": _FROM_LARGE,
}
"""The changes from each way to scale images to the others."""


def shifts(found: Sequence[Difference], test: np.ndarray, training: np.ndarray) -> list[Change]:
    """Returns the change that makes training images differ as the test images do, if there is one.

    Args:
        found: What differs between both.
        test: Inputs of the model, of shape `(n, height, width, channels)`.
        training: The same of training images.
    """
    kinds = {kind(each): each for each in main_differences(found)}
    low, high = float(test.min()), float(test.max())
    if "noisy" in kinds:
        level = noise_level(test, training)
        return [Change("noise", "", lambda x: np.clip(x + _noise(x.shape, level), low, high))]
    if "blurred" in kinds:
        width = _blur_width(kinds["blurred"], training)
        return [Change("blur", "", lambda x: _blurred(x, width))]
    if "grey" in kinds:
        share = kinds["grey"].test[1] / max(kinds["grey"].train[1], 1e-12)
        return [Change("without colour", "", lambda x: _paler(x, share))]
    like = _like(training, test) if kinds else None
    return [] if like is None else [Change("brightness and contrast", "", lambda x: np.clip(like.apply(x), low, high))]


def _noise(shape: tuple[int, ...], level: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, level, shape).astype(np.float32)


def _blurred(images: np.ndarray, width: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(images.astype(np.float32), (0, width, width, 0)))


def _blur_width(sharpness: Difference, training: np.ndarray) -> float:
    """The standard deviation of the blur, in pixels, that makes training images as sharp as test images."""
    few = training[:: max(1, len(training) // _FEW)]
    return min(_WIDTHS, key=lambda width: abs(relative_sharpness(_blurred(few, width)) - sharpness.test[1]))


def _paler(images: np.ndarray, share: float) -> np.ndarray:
    middle = grey(images.astype(np.float32))[..., np.newaxis]
    return np.asarray(middle + np.float32(share) * (images - middle))
