"""GitHub's step summary."""

from __future__ import annotations

import os
from pathlib import Path

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
_STEP_SUMMARY_LIMIT = 1024 * 1024  # bytes; GitHub rejects a larger summary as a whole


def append_step_summary(summary: Path) -> str | None:
    """Appends the summary of a run to GitHub's step summary, if the environment names one.

    Args:
        summary: A Markdown file.

    Returns:
        Why the summary could not be appended, or `None`. This is a warning: the run itself has succeeded.
    """
    name = os.environ.get(STEP_SUMMARY)
    if not name:
        return None
    try:
        content = b"\n" + summary.read_bytes()
        with Path(name).open("ab") as file:
            held = file.tell()
            if held + len(content) > _STEP_SUMMARY_LIMIT:
                return (
                    f"The summary was not appended to {STEP_SUMMARY}: GitHub allows 1 MiB per step, and {held:,} bytes "
                    f"are used. Received: {len(content):,} more"
                )
            file.write(content)
    except OSError as error:
        return f"The summary can't be appended to {STEP_SUMMARY}. Received: {name} ({error.strerror or error})"
    return None
