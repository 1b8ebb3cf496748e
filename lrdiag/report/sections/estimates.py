"""The accuracy without some of the test images, in words."""

from __future__ import annotations

from lrdiag import formats
from lrdiag.diagnosis.estimates import WITHOUT_LABEL_ERRORS
from lrdiag.record.data_facts import Estimate
from lrdiag.record.facts import Diagnosis

_SELECTED = (
    "Without suspected label errors it is optimistic, because they are chosen with the help of the model's predictions."
)


def sentence(diagnosis: Diagnosis) -> str | None:
    """The estimates of the accuracy, or `None` without any."""
    estimates = diagnosis.data.estimates
    if not estimates:
        return None
    listed = "; ".join(_in_words(each) for each in estimates)
    selected = any(each.without == WITHOUT_LABEL_ERRORS for each in estimates)
    return f"Estimated accuracy {listed}.{f' {_SELECTED}' if selected else ''}"


def _in_words(estimate: Estimate) -> str:
    interval = f"{100 * estimate.low:.1f}–{100 * estimate.high:.1f}"
    return (
        f"without {estimate.without} ({formats.plural(estimate.images, 'image')}): "
        f"{formats.percent(estimate.accuracy)} (95\u00a0% interval {interval})"
    )
