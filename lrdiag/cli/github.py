"""What a run tells the machine that started it: GitHub's summary of the step."""

from __future__ import annotations

import os
from pathlib import Path

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
_STEP_SUMMARY_LIMIT = 1024 * 1024  # bytes; beyond it GitHub shows nothing of the whole step


def append_step_summary(summary: Path) -> str | None:
    """Appends the summary of a run to the file that GitHub shows below the job, where it names one.

    Args:
        summary: A Markdown file.

    Returns:
        Why it could not be appended, for a warning: a finished run must not fail for its announcement.
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
                    f"The summary was not appended to {STEP_SUMMARY}: GitHub takes 1 MiB of one step, and {held:,} "
                    f"bytes are there already. Received: {len(content):,} more"
                )
            file.write(content)
    except OSError as error:
        return f"The summary cannot be appended to {STEP_SUMMARY}. Received: {name} ({error.strerror or error})"
    return None
