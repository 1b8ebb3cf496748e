"""Precision and recall of the search for copies, for each kind of change and several sets of images.

    LRDIAG_DATA_DIR=DIR python tests/benchmarks/copies.py [--each N] [--only NAME]

Changed copies of random images are searched for among the whole set. CIFAR-10 has copies of its own. They are found
first, in the set as it is, and images that show the same count as one: a pair of two of them is right.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from lrdiag import opencv
from lrdiag.data.loading import load_dataset
from lrdiag.images.copies import Pairs, copied
from lrdiag.progress import Silence
from lrdiag.settings import Settings

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=50, help="copies of each kind")
    parser.add_argument("--only", default="", help="a part of the name of a set")
    arguments = parser.parse_args()
    for name, images in sets():
        if arguments.only in name:
            measure(name, images, arguments.each)


def sets() -> Iterator[tuple[str, np.ndarray]]:
    from sklearn.datasets import load_digits

    data = load_dataset(Settings(data="cifar10", data_dir=Path(os.environ["LRDIAG_DATA_DIR"])), Silence())
    images = np.concatenate([part.images for part in (data.test, data.train, data.validation)])
    yield "CIFAR-10, 60,000", images
    yield "CIFAR-10, 10,000, grey", images[:10_000].mean(axis=3, keepdims=True).round().astype(np.uint8)
    yield "CIFAR-10, 300", images[:300]
    yield "mosaics, 4,000 of 96 px", mosaics(images[:36_000])
    yield "digits, 1,797 of 8 px", np.round(load_digits().images * 255 / 16).astype(np.uint8)[..., None]
    yield "squares, 3,000", squares(3_000)


def mosaics(images: np.ndarray) -> np.ndarray:
    return images.reshape(-1, 3, 3, 32, 32, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 96, 96, 3)


def squares(number: int) -> np.ndarray:
    """Drawings of one colour, of which many are equal but for their place."""
    generator, images = np.random.default_rng(0), np.zeros((number, 32, 32, 3), np.uint8)
    for image in images:
        (down, right), side = generator.integers(2, 20, 2), generator.integers(6, 11)
        image[down : down + side, right : right + side] = generator.choice([80, 160, 255], 3)
    return images


def mirrored(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return image[:, ::-1]


def shifted(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Moved by up to a tenth of the size; the edge is repeated."""
    most = max(1, image.shape[0] // 10)
    down, right = generator.integers(0, 2 * most + 1, 2)
    padded = np.pad(image, ((most, most), (most, most), (0, 0)), mode="edge")
    return padded[down : down + image.shape[0], right : right + image.shape[1]]


def scaled(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A part of 87 to 95 % of each side, enlarged to the whole size."""
    size = round(image.shape[0] * generator.uniform(0.87, 0.95))
    down, right = generator.integers(0, image.shape[0] - size + 1, 2)
    part = np.ascontiguousarray(image[down : down + size, right : right + size])
    return np.asarray(opencv.resize(part, image.shape[1::-1])).reshape(image.shape)


def compressed(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    quality = [opencv.IMWRITE_JPEG_QUALITY, int(generator.integers(50, 91))]
    coded = opencv.imencode(".jpg", np.ascontiguousarray(image), quality)[1]
    return np.asarray(opencv.imdecode(coded, opencv.IMREAD_UNCHANGED)).reshape(image.shape)


def brighter(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return np.clip(image * generator.uniform(0.8, 1.25) + generator.uniform(-15, 15), 0, 255).astype(np.uint8)


CHANGES: dict[str, Change] = {
    "equal": lambda image, generator: image,
    "mirrored": mirrored,
    "shifted": shifted,
    "scaled": scaled,
    "JPEG": compressed,
    "brighter": brighter,
    "mirrored, JPEG": lambda image, generator: compressed(mirrored(image, generator), generator),
    "shifted, JPEG": lambda image, generator: compressed(shifted(image, generator), generator),
}


def measure(name: str, images: np.ndarray, each: int) -> None:
    own = copied([images])
    generator = np.random.default_rng(0)
    each = min(each, len(images) // len(CHANGES) // 4)
    sources = generator.permutation(len(images))[: each * len(CHANGES)]
    changes = [change for change in CHANGES.values() for _ in range(each)]
    planted = np.stack([change(images[row], generator) for change, row in zip(changes, sources, strict=True)])
    start = time.perf_counter()
    found = copied([planted, images])
    seconds = time.perf_counter() - start
    families = families_of(own, len(images))
    families = np.concatenate([families[sources], families])
    is_true = families[found.first] == families[found.second]
    is_planted = found.first < len(planted)
    is_found = np.isin(np.arange(len(planted)), found.first[is_true & (found.second >= len(planted))])
    recall = {kind: is_found[number * each : (number + 1) * each].mean() for number, kind in enumerate(CHANGES)}
    print(f"{name}: {seconds:.1f} s, {len(own.first)} pairs of its own, tells near copies: {found.tells_near}")
    print(
        f"  precision {is_true[is_planted].mean():.3f}, recall " + ", ".join(f"{k} {v:.2f}" for k, v in recall.items())
    )


def families_of(pairs: Pairs, size: int) -> np.ndarray:
    edges = coo_matrix((np.ones(len(pairs.first)), (pairs.first, pairs.second)), (size, size))
    return np.asarray(connected_components(edges, directed=False)[1])


if __name__ == "__main__":
    main()
