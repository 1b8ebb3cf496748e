"""Changes of images, `uint8` arrays of shape `(n, height, width, channels)`."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def rounded(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype("uint8")


def each(images: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Changes one image after the other."""
    return np.stack([change(image).reshape(image.shape) for image in images])


# --- colours and sharpness --------------------------------------------------------------------------------------------


def brighter(images: np.ndarray, by: float) -> np.ndarray:
    return rounded(images + np.float32(by))


def darker(images: np.ndarray, factor: float) -> np.ndarray:
    return rounded(images * np.float32(factor))


def less_contrast(images: np.ndarray, factor: float) -> np.ndarray:
    mean = images.mean(axis=(1, 2, 3), keepdims=True, dtype="float32")
    return rounded(mean + (images - mean) * np.float32(factor))


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    return each(images, lambda image: cv2.GaussianBlur(image, (0, 0), sigma))


def noisy(images: np.ndarray, deviation: float, generator: np.random.Generator) -> np.ndarray:
    return rounded(images + generator.normal(0, deviation, images.shape))


def grey(images: np.ndarray) -> np.ndarray:
    return np.repeat(rounded(images @ np.array([0.299, 0.587, 0.114]))[..., np.newaxis], 3, axis=3)


def channels_reversed(images: np.ndarray) -> np.ndarray:
    return images[..., ::-1]


def inverted(images: np.ndarray) -> np.ndarray:
    return 255 - images


def tinted(images: np.ndarray, by: float) -> np.ndarray:
    return rounded(images + np.array([by, 0, -by / 2], "float32")[: images.shape[-1]])


# --- places and sizes -------------------------------------------------------------------------------------------------


def mirrored(images: np.ndarray) -> np.ndarray:
    return images[:, :, ::-1]


def shifted(images: np.ndarray, by: int) -> np.ndarray:
    """Moves to the lower right. The border is repeated."""
    padded = np.pad(images, ((0, 0), (by, 0), (by, 0), (0, 0)), mode="edge")
    return padded[:, : images.shape[1], : images.shape[2]]


def cut(images: np.ndarray, border: int) -> np.ndarray:
    """Cuts off the border and scales to the old size."""
    height, width = images.shape[1:3]
    inner = images[:, border : height - border, border : width - border]
    scaled = [cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR) for image in inner]
    return np.stack(scaled).reshape(images.shape)


def enlarged(images: np.ndarray, factor: int) -> np.ndarray:
    """Enlarged from images that were smaller by `factor`."""
    height, width = images.shape[1:3]

    def change(image: np.ndarray) -> np.ndarray:
        small = cv2.resize(image, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)

    return each(images, change)


def shrunk(images: np.ndarray, share: float) -> np.ndarray:
    """The image at `share` of its side in the middle of a black one."""
    height, width = images.shape[1:3]
    inner = int(height * share), int(width * share)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2

    def change(image: np.ndarray) -> np.ndarray:
        result = np.zeros_like(image)
        small = cv2.resize(image, inner[::-1], interpolation=cv2.INTER_AREA).reshape(*inner, -1)
        result[top : top + inner[0], left : left + inner[1]] = small
        return result

    return each(images, change)


def bordered(images: np.ndarray, width: int, value: int = 0) -> np.ndarray:
    """A border of one colour."""
    result = images.copy()
    for side in np.s_[:, :width], np.s_[:, -width:], np.s_[:, :, :width], np.s_[:, :, -width:]:
        result[side] = value
    return result


def compressed(images: np.ndarray, quality: int) -> np.ndarray:
    """Encoded as JPEG."""

    def change(image: np.ndarray) -> np.ndarray:
        _, file = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return cv2.imdecode(file, cv2.IMREAD_UNCHANGED)

    return each(images, change)


# --- images without content -------------------------------------------------------------------------------------------


def blank(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One colour, another one in each image."""
    return np.broadcast_to(generator.integers(0, 256, (len(images), 1, 1, images.shape[-1])), images.shape).astype(
        "uint8"
    )


def noise(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return generator.integers(0, 256, images.shape).astype("uint8")


def broken_off(images: np.ndarray) -> np.ndarray:
    """The lower two thirds are grey, as in a file that was not loaded to its end."""
    result = images.copy()
    result[:, images.shape[1] // 3 :] = 128
    return result


# --- marks ------------------------------------------------------------------------------------------------------------


def patched(images: np.ndarray, share: float) -> np.ndarray:
    """A square in the upper right corner."""
    side = max(2, round(images.shape[1] * share))
    result = images.copy()
    result[:, 1 : 1 + side, -1 - side : -1] = np.array([255, 220, 0], "uint8")[: images.shape[-1]]
    return result


def watermarked(images: np.ndarray, opacity: float) -> np.ndarray:
    """Diagonal stripes over the whole image."""
    height, width = images.shape[1:3]
    stripes = (np.add.outer(np.arange(height), np.arange(width)) % 4 < 2).astype("float32") * 2 - 1
    return rounded(images + opacity * 255 * stripes[:, :, np.newaxis])


def written_on(images: np.ndarray, opacity: float) -> np.ndarray:
    """The letters "ID" at the lower left."""
    text = np.zeros(images.shape[1:3], "uint8")
    size = images.shape[1] / 64
    cv2.putText(text, "ID", (1, images.shape[1] - 2), cv2.FONT_HERSHEY_SIMPLEX, size, 255, 1)
    weight = opacity * (text / 255)[..., np.newaxis]
    return rounded(images * (1 - weight) + 255 * weight)
