"""Many small pictures in one file: the photographs and the heatmaps of the page.

A page with two thousand mistakes would weigh twenty megabytes if each picture were a file of its own. The maps stay as
small as the layer that they come from; the browser scales them up, so they cost a few bytes each.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from math import ceil, sqrt

import numpy as np

from lrdiag.palette import GROWTH, turbo
from lrdiag.record.pictures import LARGEST_SIDE, Sheet, scaled_down, shrunk

SHARP_SIDE = 48
"""Up to here a photograph is shown pixel by pixel, at twice its size or more."""
_WEBP_LIMIT = 16_383
_WEBP_BLOCK = 16
_QUALITY = 78
_MAP_PADDING = 1
_LEVELS = 64
_MOST_OPAQUE = 205
_FOR, _AGAINST = (230, 97, 0), (0, 90, 181)


def photograph_sheet(images: Sequence[np.ndarray], file: str, side: int = LARGEST_SIDE) -> tuple[Sheet, bytes]:
    """Lays photographs side by side in one WebP file.

    Larger photographs are scaled down to `side` pixels, and further where the file could not hold them all.

    Args:
        images: `uint8` arrays of one shape `(height, width, channels)`, one image or more, grey or RGB.
        file: The name of the file.
        side: The longer side of a photograph at most, in pixels.

    Returns:
        Where each picture stands, and the bytes of the file.
    """
    from PIL import Image

    columns = _columns(len(images))
    height, width = images[0].shape[:2]
    height, width = shrunk(height, width, min(side, _WEBP_LIMIT // columns - 2))
    padding = padding_of(height, width)
    cells = np.stack([np.broadcast_to(scaled_down(image, height, width), (height, width, 3)) for image in images])
    encoded = BytesIO()
    Image.fromarray(_lay_out(cells, columns, padding)).save(encoded, "WEBP", quality=_QUALITY, method=4)
    return Sheet(file, len(cells), columns, width, height, padding), encoded.getvalue()


def padding_of(height: int, width: int) -> int:
    """How many pixels around a photograph repeat its edge, so that no neighbour shines through.

    None where pixels are shown sharp and photographs lie on whole blocks of WebP. Padding would move them off: on
    CIFAR-10 that costs a seventh more bytes, and the error at the edge of a tile that it saves (RMSE 8.8 → 4.9 of 255)
    returns inside (4.6 → 5.1).
    """
    on_blocks = height % _WEBP_BLOCK == width % _WEBP_BLOCK == 0
    return 0 if on_blocks and max(height, width) <= SHARP_SIDE else 1


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
    image = Image.fromarray(_lay_out(levels.astype(np.uint8)[..., None], columns, _MAP_PADDING)[..., 0])
    colours, opacity = palette
    image.putpalette(colours)
    encoded = BytesIO()
    image.save(encoded, "PNG", transparency=opacity, optimize=True)
    return Sheet(file, len(levels), columns, levels.shape[2], levels.shape[1], _MAP_PADDING), encoded.getvalue()


def _heat_palette() -> tuple[bytes, bytes]:
    """The colours of all levels, and how opaque each is: the photograph stays visible where the map is cold."""
    heat = np.linspace(0, 1, _LEVELS)
    return turbo(heat).tobytes(), _opacity(heat)


def _difference_palette() -> tuple[bytes, bytes]:
    """Two hues that the colour-blind tell apart, and nothing between them."""
    distance = np.linspace(-1, 1, _LEVELS - 1)
    colours = np.where(distance[:, None] < 0, _AGAINST, _FOR).astype(np.uint8)
    return colours.tobytes(), _opacity(np.abs(distance))


def _opacity(heat: np.ndarray) -> bytes:
    return np.rint(_MOST_OPAQUE * heat**GROWTH).astype(np.uint8).tobytes()


def _columns(count: int) -> int:
    # From the count alone, so that photographs and heatmaps lie in the same places.
    return ceil(sqrt(count))


def _lay_out(cells: np.ndarray, columns: int, padding: int) -> np.ndarray:
    """Pads each cell with its own edge and sets them row by row; what stays empty is 0.

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
