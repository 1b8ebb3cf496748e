"""Which pictures of the model's inputs the page shows, and which heatmaps belong to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from keras import tree

from lrdiag.errors import ModelError
from lrdiag.evaluation.lookout import Display, is_shown
from lrdiag.explain.engine import Explained
from lrdiag.explain.pictures import Picture, evenly_spaced
from lrdiag.explain.plan import Plan


@dataclass(frozen=True)
class View:
    """The pictures that are shown for each example, one below the other, and their heatmaps.

    Attributes:
        pictures: The pictures. None if `display` gives the images, or if there are no heatmaps.
        maps: For each of them its place among the heatmaps that are made.
        made: Number of heatmaps that are made.
        notes: Sentences for the reader about what is shown.
    """

    pictures: tuple[Picture, ...]
    maps: tuple[int, ...]
    made: int
    notes: tuple[str, ...] = ()

    def of(self, batch: Explained) -> Explained:
        """The batch with the heatmaps that are shown."""
        if len(self.maps) == self.made:
            return batch
        every = None if batch.every_map is None else self._chosen(batch.every_map)
        return batch._replace(
            predicted_maps=self._chosen(batch.predicted_maps), true_maps=self._chosen(batch.true_maps), every_map=every
        )

    def _chosen(self, maps: np.ndarray) -> np.ndarray:
        count, height, width = maps.shape
        parts = maps.reshape(count, self.made, height // self.made, width)[:, list(self.maps)]
        return parts.reshape(count, -1, width)


NO_MAPS = View((), (), 0)
"""The view of a model without heatmaps."""


def drawn_by(display: Display | None, inputs: object, pictures: Sequence[Picture]) -> list[Picture]:
    """The pictures that a function `display` draws: its images change with them."""
    if not callable(display) or len(pictures) < 2:
        return []
    few = tree.map_structure(lambda array: np.asarray(array[:2]), inputs)
    before = np.asarray(display(few))
    return [
        each for each in pictures if not np.array_equal(before, np.asarray(display(each.replaced(few))), equal_nan=True)
    ]


def view_of(
    plan: Plan | None,
    pictures: Sequence[Picture],
    drawn: Sequence[Picture],
    inputs: object,
    display: Display | None,
) -> View:
    """Chooses what is shown.

    Args:
        plan: The heatmaps that are made, or `None`.
        pictures: Every picture of the inputs.
        drawn: Those that `display` draws, as far as it is known. The plan is made for them, or else for all.
        inputs: The first batch of inputs.
        display: The images to show, or `None`.

    Raises:
        ModelError: If no heatmap belongs to the images that `display` gives.
    """
    if plan is None:
        return NO_MAPS
    if display is not None:
        return _beside_display(plan, pictures, drawn)
    explained = evenly_spaced(pictures)
    shown, maps = [], []
    for place, each in enumerate(plan.maps):
        visible = [picture for picture in each.pictures if _can_be_shown(picture.of(inputs))]
        if visible:
            shown.append(visible[0])
            maps.append(place)
    if not shown:
        return View((), tuple(range(len(plan.maps))), len(plan.maps))
    return View(tuple(shown), tuple(maps), len(plan.maps), tuple(_notes(plan, pictures, explained, shown, maps)))


def _beside_display(plan: Plan, pictures: Sequence[Picture], drawn: Sequence[Picture]) -> View:
    of_all = len(plan.maps) == 1 and set(plan.maps[0].pictures) == set(pictures)
    if not drawn and not of_all:
        raise ModelError(
            "A heatmap belongs to one of several pictures, so lrdiag must know which one is shown. Pass a function of "
            "the inputs that draws one of them as `display`, or leave it out. Received: images for a model that takes "
            f"{_listed(pictures)}"
        )
    if len(plan.maps) > 1:
        raise ModelError(
            "Each picture has its own heatmap, so `display` must draw one of them, or be left out to show several. "
            f"Received: a function that draws {_listed(drawn)}"
        )
    note = () if of_all else (f"The heatmaps belong to {_listed(drawn)}, which `display` draws.",)
    return View((), (0,), 1, note)


def _notes(
    plan: Plan,
    pictures: Sequence[Picture],
    explained: Sequence[Picture],
    shown: Sequence[Picture],
    maps: Sequence[int],
) -> list[str]:
    notes = []
    if len(shown) > 1:
        of_all = f" of its {len(pictures)}" if len(explained) < len(pictures) else ""
        notes.append(
            f"Each example is shown as {len(shown)}{of_all} pictures, one below the other, each with its own heatmap: "
            f"{_listed(shown)}."
        )
    for place, picture in zip(maps, shown, strict=True):
        together = plan.maps[place].pictures
        if len(together) > 1:
            names = f"all {len(pictures)} pictures" if len(together) == len(explained) else _listed(together)
            notes.append(
                f"One heatmap belongs to {names} together, because the explained layer combines them; {picture.name} "
                "is shown."
            )
    covered = {picture for place in maps for picture in plan.maps[place].pictures}
    if not covered.issuperset(explained):
        notes.append(f"The heatmaps cover {_listed([each for each in pictures if each in covered])} only.")
    return notes


def _can_be_shown(images: np.ndarray) -> bool:
    return is_shown(images[..., np.newaxis] if images.ndim == 3 else images)


def _listed(pictures: Sequence[Picture]) -> str:
    names = [picture.name for picture in pictures]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
