"""Many small pictures in one file: the photographs and the heatmaps of the page.

A page with two thousand mistakes would weigh twenty megabytes if each picture were a file of its own. The maps stay as
small as the layer that they come from; the browser scales them up, so they cost a few bytes each.
"""

from __future__ import annotations

from io import BytesIO
from math import ceil, sqrt

import numpy as np

from lrdiag.records import Sheet

_WEBP_LIMIT = 16_383
_LARGEST_SIDE = 96
_QUALITY = 78
# One repeated pixel halves the error that WebP makes at the edge of a tile beside a foreign one (RMSE 8.8 → 5.0 of 255
# on CIFAR-10, no more than inside a tile) for an eighth more bytes.
_PADDING = 1
_LEVELS = 64
_MOST_OPAQUE = 205
_FOR, _AGAINST = (230, 97, 0), (0, 90, 181)


def photograph_sheet(images: np.ndarray, file: str) -> tuple[Sheet, bytes]:
    """Lays photographs side by side in one WebP file.

    Photographs of more than 96 pixels are scaled down to that, and further where the file could not hold them all.

    Args:
        images: `uint8` array of shape `(n, height, width, channels)`, one image or more, grey or RGB.
        file: The name of the file.

    Returns:
        Where each picture stands, and the bytes of the file.
    """
    from PIL import Image

    columns = _columns(len(images))
    small = _shrink(images, min(_LARGEST_SIDE, _WEBP_LIMIT // columns - 2 * _PADDING))
    if small.shape[3] == 1:
        small = np.repeat(small, 3, axis=3)
    encoded = BytesIO()
    Image.fromarray(_lay_out(small, columns)).save(encoded, "WEBP", quality=_QUALITY, method=4)
    return Sheet(file, len(small), columns, small.shape[2], small.shape[1], _PADDING), encoded.getvalue()


def heatmap_sheet(maps: np.ndarray, peaks: np.ndarray, file: str) -> tuple[Sheet, bytes]:
    """Lays heatmaps side by side in one PNG file, the hotter the more opaque.

    Args:
        maps: `float32` array of shape `(n, h, w)`, one map or more; what is not above 0 stays transparent.
        peaks: Array of shape `(n,)`: what counts as hottest in each map. Where it is 0, the map stays transparent.
        file: The name of the file.

    Returns:
        Where each map stands, and the bytes of the file.
    """
    return _palette_sheet(np.rint(_scaled(maps, peaks).clip(0, 1) * (_LEVELS - 1)), _heat_palette(), file)


def difference_sheet(maps: np.ndarray, peaks: np.ndarray, file: str) -> tuple[Sheet, bytes]:
    """Lays signed maps side by side in one PNG file: orange above zero, blue below, the farther the more opaque.

    Args:
        maps: `float32` array of shape `(n, h, w)`, one map or more.
        peaks: Array of shape `(n,)`: what counts as farthest from 0 in each map.
        file: The name of the file.

    Returns:
        Where each map stands, and the bytes of the file.
    """
    middle = _LEVELS // 2 - 1
    return _palette_sheet(np.rint((_scaled(maps, peaks).clip(-1, 1) + 1) * middle), _difference_palette(), file)


def _scaled(maps: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    peaks = peaks[:, None, None]
    return np.asarray(np.where(peaks > 0, maps / np.where(peaks > 0, peaks, 1), 0))


def _palette_sheet(levels: np.ndarray, palette: tuple[bytes, bytes], file: str) -> tuple[Sheet, bytes]:
    from PIL import Image

    columns = _columns(len(levels))
    image = Image.fromarray(_lay_out(levels.astype(np.uint8)[..., None], columns)[..., 0])
    colours, opacity = palette
    image.putpalette(colours)
    encoded = BytesIO()
    image.save(encoded, "PNG", transparency=opacity, optimize=True)
    return Sheet(file, len(levels), columns, levels.shape[2], levels.shape[1], _PADDING), encoded.getvalue()


def _heat_palette() -> tuple[bytes, bytes]:
    """The colours of all levels, and how opaque each is: the photograph stays visible where the map is cold."""
    import cv2

    heat = np.linspace(0, 1, _LEVELS)
    # The last tenth of TURBO turns dark again, which reads as less.
    colours = cv2.applyColorMap(np.rint(0.9 * 255 * heat[:, None]).astype(np.uint8), cv2.COLORMAP_TURBO)[:, 0, ::-1]
    return colours.tobytes(), _opacity(heat)


def _difference_palette() -> tuple[bytes, bytes]:
    """Two hues that the colour-blind tell apart, and nothing between them."""
    distance = np.linspace(-1, 1, _LEVELS - 1)
    colours = np.where(distance[:, None] < 0, _AGAINST, _FOR).astype(np.uint8)
    return colours.tobytes(), _opacity(np.abs(distance))


def _opacity(heat: np.ndarray) -> bytes:
    return np.rint(_MOST_OPAQUE * heat**0.75).astype(np.uint8).tobytes()


def _columns(count: int) -> int:
    # From the count alone, so that photographs and heatmaps lie in the same places.
    return ceil(sqrt(count))


def _shrink(images: np.ndarray, side: int) -> np.ndarray:
    """Scales the images so that neither side is longer than `side` pixels; never up."""
    height, width = images.shape[1:3]
    factor = side / max(height, width)
    if factor >= 1:
        return images
    import cv2

    size = (max(1, round(factor * width)), max(1, round(factor * height)))
    small = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images])
    return small.reshape(*small.shape[:3], images.shape[3])


def _lay_out(cells: np.ndarray, columns: int) -> np.ndarray:
    """Pads each cell with its own edge and sets them row by row; what stays empty is 0.

    Args:
        cells: `uint8` array of shape `(n, height, width, channels)`.
        columns: Cells in a row.

    Returns:
        `uint8` array of shape `(rows * padded height, columns * padded width, channels)`.
    """
    padded = np.pad(cells, ((0, 0), (_PADDING, _PADDING), (_PADDING, _PADDING), (0, 0)), mode="edge")
    count, height, width, channels = padded.shape
    rows = ceil(count / columns)
    grid = np.zeros((rows * columns, height, width, channels), dtype=np.uint8)
    grid[:count] = padded
    grid = grid.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, channels)
