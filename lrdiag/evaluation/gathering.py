"""Gathers what a report needs of the batches of one pass. The passes over several parts of a set can be joined."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lrdiag.evaluation.lookout import Shown
from lrdiag.evaluation.rows import LowestRows, arrays_of
from lrdiag.evaluation.table import MOST_TEST_IMAGES, SAMPLE_OF_MORE, TableBuilder
from lrdiag.explain.collector import joined
from lrdiag.explain.engine import Explained
from lrdiag.explain.means import RunningMeans
from lrdiag.images.choosing import draws
from lrdiag.record.arrays import Heatmaps, MeanHeatmaps, Predictions
from lrdiag.record.fingerprint import digests, fingerprint_of
from lrdiag.record.image_table import ImageTable
from lrdiag.record.pictures import LARGEST_SIDE, all_scaled_down, shrunk

MOST_MISTAKES = 10_000
"""Misclassified images whose pictures and maps are kept: those with the highest loss."""
TRUST_SAMPLE = 200
"""Misclassified images whose maps are measured."""
_PLAIN = ("scores", "labels", "digests")


class Gathering:
    """What a report needs of the images of a set.

    Scores, labels and a digest of every image are kept, pictures and maps of a limited number.

    Args:
        first: Place of the first image in the set.
        seed: Random seed of the sample of misclassified images whose maps are measured.
        has_fingerprint: Whether the fingerprint is known, so that no digests are needed.
        keep_every_map: Whether to keep the maps of all images too, in half precision.
    """

    def __init__(
        self, first: int = 0, *, seed: int = 0, has_fingerprint: bool = False, keep_every_map: bool = False
    ) -> None:
        self._first, self._seed, self._has_fingerprint = first, seed, has_fingerprint
        self._kept: dict[str, list[np.ndarray]] = {name: [] for name in _PLAIN}
        self._mistakes, self._sample = LowestRows(MOST_MISTAKES), LowestRows(TRUST_SAMPLE)
        self._means, self._table = RunningMeans(), TableBuilder("test", MOST_TEST_IMAGES, first, SAMPLE_OF_MORE)
        self._every_map: list[np.ndarray] | None = [] if keep_every_map else None

    def add(self, shown: Shown, batch: Explained, labels: np.ndarray, wrong: Predictions) -> None:
        """Adds a batch.

        Args:
            shown: The batch and the images that the page shows.
            batch: Its scores and maps.
            labels: Its true classes, integers of shape `(n,)`.
            wrong: The predictions for its misclassified images.

        Raises:
            DataError: If its maps have another size than those before.
        """
        self._kept["scores"].append(batch.scores)
        self._kept["labels"].append(labels)
        if not self._has_fingerprint:
            self._kept["digests"].append(digests(shown.images))
        self._means.add(batch, labels)
        if self._every_map is not None and batch.every_map is not None:
            self._every_map.append(np.maximum(batch.every_map, 0).astype(np.float16))
        self._table.add(shown.images, shown.inputs, batch.features)
        self._keep_mistakes(shown, batch, wrong)

    def _keep_mistakes(self, shown: Shown, batch: Explained, wrong: Predictions) -> None:
        places, keys = shown.first + batch.wrong, -np.nan_to_num(wrong.severity, nan=np.inf)
        kept = self._mistakes.wanted(keys)
        pictures = shown.images[batch.wrong[kept]]
        columns = {
            "pictures": all_scaled_down(pictures, *shrunk(pictures.shape[1], pictures.shape[2], LARGEST_SIDE)),
            "predicted": batch.predicted_maps[kept],
            "true": batch.true_maps[kept],
        }
        self._mistakes.add(places[kept], keys[kept], columns)
        if isinstance(shown.inputs, np.ndarray) and shown.inputs.ndim in (3, 4):
            drawn = draws(self._seed, places)
            kept = self._sample.wanted(drawn)
            chosen = {
                "inputs": shown.inputs[batch.wrong[kept]],
                "maps": np.maximum(batch.predicted_maps[kept], 0),
            }
            self._sample.add(places[kept], drawn[kept], chosen)

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns all that was gathered, by name, as `join` takes it. Empty without images."""
        if not self._kept["labels"]:
            return {}
        named = {
            "mistakes": self._mistakes.arrays(),
            "sample": self._sample.arrays(),
            "means": self._means.arrays(),
            "table": self._table.arrays(),
        }
        flat = {f"{kind}.{name}": each for kind, arrays in named.items() for name, each in arrays.items()}
        return flat | {name: np.concatenate(parts) for name, parts in self._kept.items() if parts}

    def join(self, arrays: Mapping[str, np.ndarray], shift: int = 0) -> None:
        """Adds what was gathered of the images that follow.

        Args:
            arrays: As `arrays` returns them.
            shift: What is added to the places of these images.
        """
        if not arrays:
            return
        arrays = {name: each + shift if name.endswith(".places") else each for name, each in arrays.items()}
        for name, parts in self._kept.items():
            parts.append(arrays[name])
        self._mistakes.join(arrays_of("mistakes", arrays))
        self._sample.join(arrays_of("sample", arrays))
        self._means.join(arrays_of("means", arrays))
        self._table.join(arrays_of("table", arrays))

    @property
    def size(self) -> int:
        """Number of images so far."""
        return sum(map(len, self._kept["labels"]))

    def scores_and_labels(self) -> tuple[np.ndarray, np.ndarray]:
        """The scores of every image, `float32` of shape `(n, classes)`, and the true classes."""
        return np.concatenate(self._kept["scores"]), np.concatenate(self._kept["labels"])

    def fingerprint(self) -> str:
        """The fingerprint of images and labels."""
        return fingerprint_of(np.concatenate(self._kept["digests"]), np.concatenate(self._kept["labels"]))

    def mistakes(self) -> tuple[np.ndarray, np.ndarray]:
        """The places of the misclassified images that were kept, ascending, and the images."""
        places, columns = self._mistakes.result()
        return places, columns["pictures"]

    def heatmaps(self, method: str, layer: str) -> Heatmaps:
        """The maps of the misclassified images that were kept."""
        places, columns = self._mistakes.result()
        return Heatmaps(method, layer, places, columns["predicted"], columns["true"], self.means())

    def means(self) -> MeanHeatmaps | None:
        """The mean maps of the classes."""
        return self._means.result()

    def sample(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """A random sample of the misclassified images: places, inputs and maps of the predicted class.

        `None` if the model does not take single images.
        """
        if not self._sample.arrays():
            return None
        places, columns = self._sample.result()
        return places, columns["inputs"], columns["maps"]

    def table(self, predictions: Predictions) -> ImageTable:
        """The table of the images."""
        return self._table.table(predictions)

    def every_map(self) -> np.ndarray | None:
        """The map of every image for its predicted class, `float16` of shape `(n, h, w)`, ≥ 0, or `None`."""
        return joined(self._every_map) if self._every_map else None
