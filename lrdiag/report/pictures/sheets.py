"""Many small pictures in one file: the images and the heatmaps of the page.

A page with two thousand mistakes would have twenty megabytes if each picture were a file. Heatmaps stay about as
small as the layer that they come from, because the browser scales them up; each costs a few bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from math import ceil, sqrt

import numpy as np

from lrdiag import opencv, palette
from lrdiag.record.pictures import LARGEST_SIDE, Sheet, scaled_down, shrunk

SHARP_SIDE = 48
"""Images up to this side are shown pixel by pixel, at twice their size or more."""
SMALL_SIDE = 62
"""Pixels of the longer side of an image if there are many. With its padding, it fills whole blocks of WebP."""
_WEBP_LIMIT = 16_383
_WEBP_BLOCK = 16
_QUALITY = 78
_MAP_PADDING = 1
_LEVELS = 64
_SMOOTH_SIDE = 7
"""Smaller heatmaps are enlarged. A browser mixes colours, not values: red beside nothing gives pale red, not green.

Heatmaps of 7 × 7, the usual size at 224 pixels, stay as they are, because there may be many thousands of them."""
_MOST_SMOOTH = 2_000
"""Heatmaps that are enlarged, so that a page with more of them stays small enough to attach."""


def image_sheet(
    images: Sequence[np.ndarray] | np.ndarray, file: str, side: int = LARGEST_SIDE, quality: int = _QUALITY
) -> tuple[Sheet, bytes]:
    """Lays images side by side in one WebP file.

    Larger images are scaled down to `side` pixels, and further if the file could not hold them all.

    Args:
        images: `uint8` arrays of one shape `(height, width, channels)`, or one array of all, grey or RGB; one or more.
            RGBA images keep their transparency.
        file: Name of the file.
        side: Pixels of the longer side of an image at most.
        quality: Quality of WebP, 0–100.

    Returns:
        The sheet and the content of its file.
    """
    from PIL import Image

    columns = _columns(len(images))
    height, width, channels = images[0].shape
    height, width = shrunk(height, width, min(side, _WEBP_LIMIT // columns - 2))
    padding = padding_of(height, width)
    shape = (height, width, max(channels, 3))
    cells = np.stack([np.broadcast_to(scaled_down(image, height, width), shape) for image in images])
    encoded = BytesIO()
    Image.fromarray(_lay_out(cells, columns, padding)).save(encoded, "WEBP", quality=quality, method=4)
    return Sheet(file, len(cells), columns, width, height, padding), encoded.getvalue()


ATTEMPTS = ((LARGEST_SIDE, _QUALITY), (SMALL_SIDE, _QUALITY), (SMALL_SIDE, 50), (SHARP_SIDE, 30))
"""Pixels of the longer side of a picture and the quality of WebP, best first."""


def best_sheet(images: np.ndarray, file: str, most_bytes: int) -> tuple[Sheet, bytes]:
    """Returns the best sheet whose file is small enough, as `image_sheet` does. The last attempt is kept in any case.

    Args:
        images: As in `image_sheet`.
        file: Name of the file.
        most_bytes: Most bytes that the file may have.
    """
    for side, quality in ATTEMPTS:
        sheet, content = image_sheet(images, file, side, quality)
        if len(content) <= most_bytes:
            break
    return sheet, content


def padding_of(height: int, width: int) -> int:
    """Returns how many pixels around an image repeat its edge, so that smooth scaling never shows a neighbour.

    Images that are shown pixel by pixel and lie on whole blocks of WebP have no padding. It would move them off the
    blocks: on CIFAR-10 that costs a seventh more bytes, and reduces the error at the edge of an image (RMSE 8.8 → 4.9
    of 255) but increases it inside (4.6 → 5.1).
    """
    on_blocks = height % _WEBP_BLOCK == width % _WEBP_BLOCK == 0
    return 0 if on_blocks and max(height, width) <= SHARP_SIDE else 1


def heatmap_sheet(maps: np.ndarray, peaks: np.ndarray, file: str) -> tuple[Sheet, bytes]:
    """Lays heatmaps side by side in one PNG file. Higher values are more opaque.

    Args:
        maps: `float32` array of shape `(n, h, w)`, one heatmap or more. Values of 0 and below are transparent.
        peaks: Array of shape `(n,)`: the value of each heatmap that gets the hottest colour. A heatmap with peak 0 is
            transparent.
        file: Name of the file.

    Returns:
        The sheet and the content of its file.
    """
    heat = np.linspace(0, 1, _LEVELS)
    levels = np.rint(_scaled(_smooth(maps), peaks).clip(0, 1) * (_LEVELS - 1))
    return _palette_sheet(levels, palette.turbo(heat), palette.opacity(heat), file)


def difference_sheet(maps: np.ndarray, peaks: np.ndarray, file: str) -> tuple[Sheet, bytes]:
    """Lays signed heatmaps side by side in one PNG file: red above zero, blue below. Larger values are more opaque.

    Args:
        maps: `float32` array of shape `(n, h, w)`, one heatmap or more.
        peaks: Array of shape `(n,)`: the distance from 0 that gets the strongest colour in each heatmap.
        file: Name of the file.

    Returns:
        The sheet and the content of its file.
    """
    heat = np.linspace(-1, 1, _LEVELS - 1)
    levels = np.rint((_scaled(_smooth(maps), peaks).clip(-1, 1) + 1) * (_LEVELS // 2 - 1))
    return _palette_sheet(levels, palette.difference(heat), palette.opacity(heat), file)


def _smooth(maps: np.ndarray) -> np.ndarray:
    """Heatmaps of at least `_SMOOTH_SIDE` rows or columns, enlarged as in `overlay`, unless they are many."""
    height, width = maps.shape[1:]
    factor = ceil(_SMOOTH_SIDE / max(height, width))
    if factor == 1 or max(height, width) == 1 or len(maps) > _MOST_SMOOTH:
        return maps
    size = factor * width, factor * height
    return np.stack([opencv.resize(each, size, interpolation=opencv.INTER_LINEAR) for each in maps])


def _scaled(maps: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    peaks = peaks[:, None, None]
    return np.asarray(np.where(peaks > 0, maps / np.where(peaks > 0, peaks, 1), 0))


def _palette_sheet(levels: np.ndarray, colours: np.ndarray, opacity: np.ndarray, file: str) -> tuple[Sheet, bytes]:
    """Lays out pictures of shape `(n, h, w)` whose pixels are indices into `colours` and `opacity`."""
    from PIL import Image

    columns = _columns(len(levels))
    image = Image.fromarray(_lay_out(levels.astype(np.uint8)[..., None], columns, _MAP_PADDING)[..., 0])
    image.putpalette(np.rint(colours).astype(np.uint8).tobytes())
    encoded = BytesIO()
    image.save(encoded, "PNG", transparency=np.rint(255 * opacity).astype(np.uint8).tobytes(), optimize=True)
    return Sheet(file, len(levels), columns, levels.shape[2], levels.shape[1], _MAP_PADDING), encoded.getvalue()


def _columns(count: int) -> int:
    # Depends on the count only, so that images and their heatmaps are at the same positions.
    return ceil(sqrt(count))


def _lay_out(cells: np.ndarray, columns: int, padding: int) -> np.ndarray:
    """Pads each cell with its own edge and places the cells row by row. Cells without a picture are 0.

    Args:
        cells: `uint8` array of shape `(n, height, width, channels)`.
        columns: Cells in a row.
        padding: Pixels around each cell.

    Returns:
        `uint8` array of shape `(rows * padded height, columns * padded width, channels)`.
    """
    padded = np.pad(cells, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode="edge")
    count, height, width, channels = padded.shape
    rows = ceil(count / columns)
    grid = np.zeros((rows * columns, height, width, channels), dtype=np.uint8)
    grid[:count] = padded
    grid = grid.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, channels)
