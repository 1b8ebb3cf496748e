"""How far the heatmaps can be trusted, in words."""

from __future__ import annotations

from dataclasses import dataclass

from lrdiag import formats
from lrdiag.record.facts import HeatmapFacts, HeatmapTrust, IndependentCheck

_MOSTLY = 0.5
"""Share of empty heatmaps from which the page says so beside the images."""
_DELETION = {
    "better": "Removing the regions with the highest values first lowers the probability of that class faster than "
    "removing random regions",
    "worse": "Removing the regions with the highest values first lowers the probability of that class more slowly than "
    "removing random regions, so do not rely on these heatmaps",
    "cannot be told": "Whether removing the regions with the highest values first lowers the probability of that class "
    "faster than removing random regions cannot be told from these images",
    None: "Removing the regions with the highest values first was compared with removing random regions",
}
_RELIABILITY = {
    "better": "better than random regions",
    "worse": "worse than random regions; do not rely on them",
    "cannot be told": "not measurably better than random regions",
    None: "compared with random regions",
}


@dataclass(frozen=True)
class Trust:
    """How far the heatmaps can be trusted.

    Attributes:
        line: In one line.
        details: With the numbers.
        warns: Whether they are worse than random ones.
        empty: That most of them are empty, or `None`.
    """

    line: str
    details: str
    warns: bool
    empty: str | None


def build(heatmaps: HeatmapFacts) -> Trust | None:
    """How far the heatmaps can be trusted; `None` if nothing was measured or compared."""
    measured = trust_sentence(heatmaps.trust) if heatmaps.trust else None
    if heatmaps.not_measured:
        measured = f"How far the heatmaps can be trusted was not measured: {heatmaps.not_measured}."
    compared = independent_sentence(heatmaps.independent) if heatmaps.independent else None
    details = " ".join(filter(None, (measured, compared)))
    if not details:
        return None
    warns = heatmaps.trust is not None and heatmaps.trust.verdict == "worse"
    return Trust(f"Reliability of the heatmaps: {_in_a_line(heatmaps)}", details, warns, empty_sentence(heatmaps.trust))


def _in_a_line(heatmaps: HeatmapFacts) -> str:
    if heatmaps.not_measured or heatmaps.trust is None:
        return "not measured"
    return f"{_RELIABILITY[heatmaps.trust.verdict]}, on {formats.plural(heatmaps.trust.images, 'mistake')}"


def empty_sentence(trust: HeatmapTrust | None) -> str | None:
    """That most heatmaps are empty, so that a page without colours does not look broken; else `None`."""
    if trust is None or trust.empty_share < _MOSTLY:
        return None
    empty = formats.percent(trust.empty_share)
    return (
        f"Of the heatmaps of {formats.plural(trust.images, 'mistake')}, {empty} are empty: "
        "no region supported the predicted class, so the image is shown without colours."
    )


def independent_sentence(check: IndependentCheck) -> str:
    """How many heatmaps an independent implementation reproduces."""
    if check.skipped:
        return f"The heatmaps were not compared with an independent implementation (tf-keras-vis): {check.skipped}."
    largest = check.largest_difference or 0.0
    return (
        f"tf-keras-vis, an independent implementation of Grad-CAM, draws the same heatmap for {check.same} of "
        f"{formats.plural(check.images, 'mistake')} (largest difference "
        f"{'below 0.001' if largest < 0.001 else f'{largest:.3f}'} after scaling both to 0–1; up to 0.01 counts as "
        "the same)."
    )


def trust_sentence(trust: HeatmapTrust) -> str:
    """How far the heatmaps can be trusted, in words and numbers."""
    fewer = f", of {formats.count(trust.of)} because more would take longer than the evaluation" if trust.of else ""
    areas = f"area under the deletion curve {trust.deletion_auc:.3f}, random {trust.random_deletion_auc:.3f}"
    if trust.advantage_low is not None and trust.advantage_high is not None:
        areas += f", 95\u00a0% interval of the difference {trust.advantage_low:.3f} to {trust.advantage_high:.3f}"
    return (
        f"Measured on {formats.plural(trust.images, 'mistake')}{fewer}. {formats.percent(trust.empty_share)} of the "
        f"heatmaps are empty: no region supported the predicted class. {_DELETION[trust.verdict]} ({areas}; lower is "
        "better)."
    )
