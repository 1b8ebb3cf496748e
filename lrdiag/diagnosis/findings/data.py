"""Rules about the data."""

from __future__ import annotations

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import Answer, Found, Passed, option
from lrdiag.formats import count, plural


def stand_in_data(evidence: Evidence) -> Answer:
    """The requested data was not available, and other data was used instead."""
    facts = evidence.facts
    if facts.dataset.fallback is None:
        return Passed()
    return Found(
        f"CIFAR-10 was not available. The {facts.dataset.name} data was used instead.",
        facts.dataset.fallback,
        f"Download CIFAR-10 into a folder and name it with {option(facts, 'data-dir')}, or request the digits with "
        f"{option(facts, 'data')} digits.",
        why="Every figure on this page is of other images than those that you asked for.",
    )


def skipped_files(evidence: Evidence) -> Answer:
    """Some files of the data could not be read."""
    skipped = evidence.facts.dataset.skipped
    if not skipped:
        return Passed(0.0, 0.0)
    return Found(
        f"{plural(len(skipped), 'file')} could not be read and {'was' if len(skipped) == 1 else 'were'} left out.",
        f"The first: {skipped[0].file}: {skipped[0].reason}.",
        "Replace or remove them. The section on the data lists them all.",
        float(len(skipped)),
        0.0,
        why="The model was trained or evaluated on fewer images than the data contains.",
    )


def narrow_range(evidence: Evidence, threshold: float) -> Answer:
    """Images with 16 bits for each value use only the lower end of their range, and are almost black.

    Those of cameras with 12 bits use a share of `threshold` or less.
    """
    maximum = evidence.facts.dataset.sixteen_bit_max
    if maximum is None:
        return Passed()
    used = (maximum + 1) / 256
    if used > threshold:
        return Passed(used, threshold)
    return Found(
        "The 16-bit images use a small part of their range and are almost black.",
        f"Their values are below {count(256 * (maximum + 1))}. The range 0 to 65,535 is scaled to 0 to 255, as in "
        "Keras's loaders.",
        "Scale the values to the whole range and save the images again, with 8 bits or 16. Train the model on these "
        "images too.",
        used,
        threshold,
        why="The model receives images with few shades, in which it can see little.",
    )
