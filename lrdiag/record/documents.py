"""The two documents of a run folder: report.json has the facts, pictures.json the positions of the pictures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from lrdiag.formats import encodable_record
from lrdiag.record.facts import Diagnosis
from lrdiag.record.pictures import Sheet

PICTURES_VERSION: Literal[4] = 4
"""Schema version of pictures.json, which has not changed since version 4 of report.json."""


@dataclass(frozen=True)
class PictureIndex:
    """The positions of the pictures of a run: the content of pictures.json.

    Attributes:
        report: Identifies the report.json that the pictures belong to.
        sheets: The sheets, by what they show.
    """

    report: str
    sheets: dict[str, Sheet]
    schema_version: Literal[4] = PICTURES_VERSION


@dataclass(frozen=True)
class _Version:
    schema_version: int


def schema_version(content: bytes) -> int:
    """Returns the schema version that a document states.

    Raises:
        msgspec.MsgspecError: If it is no JSON, or states none.
    """
    return msgspec.json.decode(content, type=_Version).schema_version


def to_json(diagnosis: Diagnosis) -> bytes:
    """Returns the content of report.json. NaN and infinite numbers become null."""
    return encode(diagnosis)


def encode(record: object) -> bytes:
    """Returns a record as indented JSON. Text is `formats.encodable`."""
    try:
        content = msgspec.json.encode(record)
    except UnicodeEncodeError:
        content = msgspec.json.encode(encodable_record(msgspec.to_builtins(record)))
    return msgspec.json.format(content, indent=1) + b"\n"


def identity(diagnosis: Diagnosis) -> str:
    """Identifies a run by its test images and its mistakes."""
    facts = diagnosis.dataset.test_fingerprint, [mistake.index for mistake in diagnosis.misclassified.items]
    return hashlib.sha256(repr(facts).encode(errors="replace")).hexdigest()


def schema() -> dict[str, Any]:
    """Returns the JSON Schema of report.json, published in `lrdiag/report.schema.json`."""
    return _schema(Diagnosis)


def pictures_schema() -> dict[str, Any]:
    """Returns the JSON Schema of pictures.json, published in `lrdiag/pictures.schema.json`."""
    return _schema(PictureIndex)


def _schema(record: type) -> dict[str, Any]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(record)}
