"""Leaves images or file names out of a run, for pages that strangers see. Heatmaps stay."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from lrdiag.record.arrays import SkippedFile
from lrdiag.record.data_facts import DataFacts, Exhibit, ImageRef, Slice
from lrdiag.record.facts import Comparison, Diagnosis, Finding, LeftOut, Mistake, Run, SliceChange
from lrdiag.record.pictures import HEATMAPS
from lrdiag.vocabulary import DATA_NAMES, canonical

HIDDEN = "(left out)"
"""Stands in the place of a name or a path."""
_OPTIONS = ("--data", "--data-dir", "--metadata")
"""Options whose values are paths of images, or of a table that names them."""
_SETTINGS = ("data", "data_dir", "metadata")
_RECEIVED = re.compile(r"Received: .*", re.DOTALL)
"""What a message quotes from outside."""
_FOLDER = re.compile(r"(?<=files in the folder ).*")
_FILE = re.compile(
    r"[^\s'\"`“”()]+\.(?:png|jpe?g|webp|bmp|gif|tiff?|dcm|npz|npy|csv|parquet|tfrecord\S*|tar|zip)\b", re.IGNORECASE
)


def sentence(diagnosis: Diagnosis) -> str | None:
    """Says what was left out of a run and by which option, or returns `None`."""
    words = {
        "images": "Images were left out with --no-images.",
        "file names": "File names and paths were left out with --no-file-names.",
    }
    return " ".join(words[each] for each in diagnosis.left_out) or None


def reduced(run: Run, *, images: bool = True, file_names: bool = True) -> Run:
    """Returns the run without images or without file names. What was left out of it before stays left out.

    Args:
        run: The run.
        images: Whether images stay.
        file_names: Whether names and paths of files stay.
    """
    wanted: dict[LeftOut, bool] = {"images": images, "file names": file_names}
    before = run.diagnosis.left_out
    left_out = [each for each in get_args(LeftOut) if each in before or not wanted[each]]
    diagnosis, pictures = run.diagnosis, run.pictures
    if "images" in left_out:
        diagnosis, pictures = _without_exhibited_pictures(diagnosis), pictures.only(HEATMAPS)
    if "file names" in left_out:
        diagnosis = _without_names(diagnosis)
    return dataclasses.replace(run, diagnosis=dataclasses.replace(diagnosis, left_out=left_out), pictures=pictures)


def _without_exhibited_pictures(diagnosis: Diagnosis) -> Diagnosis:
    def bare(finding: Finding) -> Finding:
        exhibits = [dataclasses.replace(each, cells=[]) for each in finding.exhibits]
        return dataclasses.replace(finding, exhibits=exhibits, effects=[bare(each) for each in finding.effects])

    return dataclasses.replace(diagnosis, findings=[bare(each) for each in diagnosis.findings])


def _without_names(diagnosis: Diagnosis) -> Diagnosis:
    names = _Names(diagnosis)
    dataset, comparison = diagnosis.dataset, diagnosis.comparison
    return dataclasses.replace(
        diagnosis,
        dataset=dataclasses.replace(names.off(dataset), name=_name_of(diagnosis), source=""),
        misclassified=names.off(diagnosis.misclassified),
        comparison=None if comparison is None else names.off_comparison(comparison),
        findings=names.off(diagnosis.findings),
        checks=[dataclasses.replace(each, reason=names.off_reason(each.reason)) for each in diagnosis.checks],
        data=names.off_data(diagnosis.data),
        command=_command(diagnosis.command),
        settings=_settings(diagnosis.settings),
        notes=[names.off_reason(note) for note in diagnosis.notes],
        range_test_note=names.off_reason(diagnosis.range_test_note),
    )


def _name_of(diagnosis: Diagnosis) -> str:
    """The name of the data, unless lrdiag took it from a path."""
    return "" if _is_path(diagnosis.settings.get("data")) else diagnosis.dataset.name


def _is_path(data: object) -> bool:
    return isinstance(data, str) and canonical(data, DATA_NAMES) not in DATA_NAMES


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: HIDDEN if name in _SETTINGS and _is_path(value) else value for name, value in settings.items()}


def _command(command: str) -> str:
    """The command line with `PATH` in the place of each path of images."""
    parts = shlex.split(command)
    for place, part in enumerate(parts):
        option, given, value = part.partition("=")
        if option.replace("_", "-") not in _OPTIONS:
            continue
        if given:
            parts[place] = f"{option}={_shown(value)}"
        elif place + 1 < len(parts):
            parts[place + 1] = _shown(parts[place + 1])
    return shlex.join(parts)


def _shown(value: str) -> str:
    return "PATH" if _is_path(value) else value


class _Names:
    """The names and paths that a run has, to remove them from its texts.

    Records have them in fields of their own. Sentences have those of files that could not be read, of the data, and of
    folders that are slices.
    """

    def __init__(self, diagnosis: Diagnosis) -> None:
        known = {each.file for each in diagnosis.dataset.skipped}
        known |= {str(value) for name, value in _all_settings(diagnosis) if name in _SETTINGS and _is_path(value)}
        folders = [each.name for each in diagnosis.data.slices or [] if each.source == "folder"]
        known |= {found[0] for name in folders if (found := _FOLDER.search(name))}
        shown = sorted(map(re.escape, filter(None, known)), key=len, reverse=True)
        self._known = re.compile(rf"(?<!\w)(?:{'|'.join(shown)})(?!\w)") if shown else None

    def off_text(self, text: str) -> str:
        """Returns a sentence without the known names and without what it quotes from outside."""
        text = _RECEIVED.sub(f"Received: {HIDDEN}", text)
        return text if self._known is None else self._known.sub(HIDDEN, text)

    def off_reason(self, text: Any) -> Any:
        """Returns a reason, which may quote the error of a reader, without anything that looks like a file."""
        return None if text is None else _FILE.sub(HIDDEN, self.off_text(text))

    def off(self, record: Any) -> Any:
        """Returns a record or a list of records without names."""
        match record:
            case list() | tuple():
                return type(record)(self.off(each) for each in record)
            case Mistake() | ImageRef():
                return dataclasses.replace(record, file=None)
            case SkippedFile():
                return SkippedFile(HIDDEN, self.off_reason(record.reason))
            case Finding() | Exhibit():
                texts = {name: self.off_reason(text) for name, text in vars(record).items() if name in _TEXTS}
                return dataclasses.replace(self._fields_off(record), **texts)
            case Slice() if record.source == "folder":
                return dataclasses.replace(record, name=_FOLDER.sub(HIDDEN, record.name))
            case _ if dataclasses.is_dataclass(record):
                return self._fields_off(record)
        return record

    def _fields_off(self, record: Any) -> Any:
        return dataclasses.replace(record, **{name: self.off(value) for name, value in vars(record).items()})

    def off_data(self, data: DataFacts) -> DataFacts:
        """Returns what was measured on the images without names."""
        reasons = {name: self.off_reason(reason) for name, reason in data.reasons.items()}
        off: DataFacts = self.off(data)
        return dataclasses.replace(off, reasons=reasons)

    def off_comparison(self, comparison: Comparison) -> Comparison:
        """Returns the comparison without names, also without those of the baseline."""
        changes = [
            dataclasses.replace(each, base=_hidden(each.name, each.base), head=_hidden(each.name, each.head))
            for each in comparison.changes
        ]
        slices: list[SliceChange] = [
            dataclasses.replace(each, name=_FOLDER.sub(HIDDEN, each.name)) for each in comparison.slices
        ]
        off: Comparison = self.off(comparison)
        return dataclasses.replace(off, changes=changes, slices=slices)


_TEXTS = ("title", "evidence", "advice", "why", "accepted", "caption")


def _hidden(name: str, value: Any) -> Any:
    return HIDDEN if name.replace(" ", "_") in _SETTINGS and _is_path(value) else value


def _all_settings(diagnosis: Diagnosis) -> Iterator[tuple[str, Any]]:
    yield from diagnosis.settings.items()
    for each in diagnosis.comparison.changes if diagnosis.comparison else []:
        yield each.name, each.base
