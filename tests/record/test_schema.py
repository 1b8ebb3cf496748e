"""report.json and its published schema.

After a wanted change: `LRDIAG_UPDATE_GOLD=1 python -m pytest tests/test_schema.py`.
"""

from __future__ import annotations

import json
import os
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from lrdiag.record import folder as run_folder

PUBLISHED = files("lrdiag") / "report.schema.json"


def test_the_published_schema_is_that_of_the_records() -> None:
    if os.environ.get("LRDIAG_UPDATE_GOLD"):
        Path(str(PUBLISHED)).write_text(json.dumps(run_folder.schema(), indent=1) + "\n")
    assert json.loads(PUBLISHED.read_text()) == run_folder.schema()


def test_the_schema_refuses_what_is_not_a_report() -> None:
    with pytest.raises(jsonschema.ValidationError, match="required"):
        jsonschema.validate({"schema_version": 1}, run_folder.schema())
