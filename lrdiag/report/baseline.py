"""A run set beside its baseline: what changed, and the pictures of what was fixed."""

from __future__ import annotations

import dataclasses
from itertools import islice

from lrdiag.diagnosis.compare import compare, with_comparison
from lrdiag.errors import RunFolderError
from lrdiag.record.facts import Comparison, Diagnosis, Run
from lrdiag.report.pictures.cutting import Cells
from lrdiag.report.pictures.tiles import places_shown
from lrdiag.report.sections.comparison import SHOWN

PHOTOGRAPHS, HEATMAPS = "fixed.webp", "fixed-maps.png"


def set_beside(base: Run, head: Run) -> Run:
    """The run with its comparison, and with the pictures of what it fixed, cut out of the sheets of the earlier run.

    Args:
        base: The earlier run; pictures that it does not hold are left out.
        head: This run.

    Raises:
        ComparisonError: If their test images or their classes differ.
        RunFolderError: If a picture file of the earlier run is broken.
    """
    comparison = compare(base.diagnosis, head.diagnosis)
    photographs, heatmaps = base.diagnosis.sheets.photographs, base.diagnosis.sheets.heatmaps
    cells = _cells_of_fixed(base.diagnosis, comparison)
    pictures = dict(head.pictures)
    if cells and photographs and photographs.file in base.pictures:
        sheet, pictures[PHOTOGRAPHS] = Cells(base, photographs).rearranged(list(cells), PHOTOGRAPHS)
        comparison = dataclasses.replace(comparison, fixed_shown=list(cells.values()), fixed_photographs=sheet)
        if heatmaps and heatmaps.predicted.file in base.pictures:
            sheet, pictures[HEATMAPS] = Cells(base, heatmaps.predicted).rearranged(list(cells), HEATMAPS)
            comparison = dataclasses.replace(comparison, fixed_heatmaps=sheet)
    return Run(with_comparison(head.diagnosis, comparison), pictures)


def _cells_of_fixed(base: Diagnosis, comparison: Comparison) -> dict[int, int]:
    """Where pictures of what was fixed stand in the sheets of the earlier run, and which of `fixed` each is."""
    items, places = base.misclassified.items, places_shown(base.sheets)
    if base.sheets.photographs and (len(places) != base.sheets.photographs.count or max(places) >= len(items)):
        raise RunFolderError(
            "In a baseline there must be a photograph for each mistake that is shown. Make the baseline again. "
            f"Received: {len(places)} of {len(items)} mistakes and {base.sheets.photographs.count} photographs"
        )
    fixed = {mistake.index: place for place, mistake in enumerate(comparison.fixed)}
    shown = [items[place].index for place in places]
    return dict(islice(((cell, fixed[index]) for cell, index in enumerate(shown) if index in fixed), SHOWN))
