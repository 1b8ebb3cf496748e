"""Compares a run with its baseline, and takes the pictures of the fixed images from the baseline."""

from __future__ import annotations

from dataclasses import replace

from lrdiag.diagnosis.check_settings import AS_IN_THE_TABLE, CheckSettings
from lrdiag.diagnosis.compare import compare, has_old_fingerprint, with_comparison
from lrdiag.record.facts import Comparison, Diagnosis, Run
from lrdiag.record.pictures import FILES, Pictures, Sheet
from lrdiag.report.pictures.cutting import Cells
from lrdiag.report.privacy import reduced
from lrdiag.report.sections.comparison import SHOWN

_NOT_COMPARED = (
    "The baseline was made by an earlier version of lrdiag. Its test images have the same size and number in each "
    "class, but whether they are the same images is not checked."
)


def set_beside(base: Run, head: Run, check_settings: CheckSettings = AS_IN_THE_TABLE) -> Run:
    """Returns the run with its comparison, and with pictures of the fixed images from the sheets of `base`.

    What was left out of the run is left out of its comparison.

    Args:
        base: The earlier run. Pictures that it does not hold are left out.
        head: This run.
        check_settings: Settings of the checks that need the comparison.

    Raises:
        ComparisonError: If their test images or their classes differ.
        RunFolderError: If a picture file of the earlier run is broken.
    """
    comparison = compare(base.diagnosis, head.diagnosis, base.wrong, head.wrong)
    others = head.pictures.without("fixed", "fixed-predicted")
    compared = with_comparison(_noted(base.diagnosis, head.diagnosis), comparison, check_settings)
    return reduced(Run(compared, others | _pictures_of_fixed(base, comparison), head.wrong))


def _noted(base: Diagnosis, head: Diagnosis) -> Diagnosis:
    """Returns the facts of the run, with a note if its images can't be compared with those of the baseline."""
    if has_old_fingerprint(base.dataset) == has_old_fingerprint(head.dataset):
        return head
    return replace(head, notes=list(dict.fromkeys([*head.notes, _NOT_COMPARED])))


def _pictures_of_fixed(base: Run, comparison: Comparison) -> Pictures:
    fixed, images = Pictures(), base.pictures.sheets.get("mistakes")
    if images is None or images.file not in base.pictures.files:
        return fixed
    chosen = _cells_of_fixed(base.diagnosis, images, comparison)
    if not chosen:
        return fixed
    cells, items = list(chosen), list(chosen.values())
    fixed.add("fixed", Cells(base.pictures, images).rearranged(cells, FILES["fixed"], items))
    maps = base.pictures.sheets.get("mistakes-predicted")
    if maps and maps.file in base.pictures.files:
        laid_out = Cells(base.pictures, maps).rearranged(cells, FILES["fixed-predicted"], items)
        fixed.add("fixed-predicted", laid_out)
    return fixed


def _cells_of_fixed(base: Diagnosis, images: Sheet, comparison: Comparison) -> dict[int, int]:
    """Returns the cells of the earlier run's sheets that show a fixed image, with its index in `Comparison.fixed`."""
    items = base.misclassified.items
    fixed = {mistake.index: place for place, mistake in enumerate(comparison.fixed)}
    shown = [items[item].index for item in images.shown]
    cells = [(cell, fixed[index]) for cell, index in enumerate(shown) if index in fixed]
    return dict(cells[:SHOWN])
