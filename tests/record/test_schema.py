"""report.json, pictures.json and their published schemas.

After a wanted change: `LRDIAG_UPDATE_GOLD=1 python -m pytest tests/record/test_schema.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lrdiag.record import documents


@pytest.mark.parametrize(
    ("file", "schema"),
    [("report.schema.json", documents.schema), ("pictures.schema.json", documents.pictures_schema)],
)
def test_the_published_schema_is_that_of_the_records(file: str, schema: Callable[[], dict[str, Any]]) -> None:
    published = Path(str(files("lrdiag") / file))
    if os.environ.get("LRDIAG_UPDATE_GOLD"):
        published.write_text(json.dumps(schema(), indent=1) + "\n")
    assert json.loads(published.read_text()) == schema()


@pytest.mark.parametrize("schema", [documents.schema, documents.pictures_schema])
def test_the_schema_refuses_other_content(schema: Callable[[], dict[str, Any]]) -> None:
    with pytest.raises(jsonschema.ValidationError, match="required"):
        jsonschema.validate({"schema_version": 1}, schema())
