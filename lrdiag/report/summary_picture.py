"""The run as one picture, for places that show pictures but no HTML."""

from __future__ import annotations

import dataclasses
import hashlib
from functools import cached_property
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from lrdiag import formats
from lrdiag.errors import RunFolderError
from lrdiag.palette import LIGHT
from lrdiag.record.facts import Comparison, Diagnosis, Run, Seconds
from lrdiag.record.files import read_file
from lrdiag.record.picture_files import MOST_BYTES
from lrdiag.report.gates import failed_gates
from lrdiag.report.pictures.cutting import Cells
from lrdiag.report.sections import comparison as beside
from lrdiag.report.sections.verdict import Caution, cautions, problem, verdict_sentence
from lrdiag.report.telling import telling

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

WIDTH, HEIGHT = 1200, 675
_MARGIN = 56
_TOP = 212  # of the three columns
_FIGURES, _CONFUSION, _MISTAKES = _MARGIN, 352, 738  # where each column begins
_SIDE = 96  # of an image
_COLUMNS, _GAP = 2, 16  # of the images
_SMALLEST = 10  # size of text
_MATRIX_LIMIT = 20  # classes
_PAPER, _INK, _QUIET, _LINE, _WASH = (LIGHT[name] for name in ("paper", "ink", "quiet", "line", "wash"))
_MARK = LIGHT["validation-text"]
_HEAT = tuple(int(channel) for channel in LIGHT["heat-rgb"].split())


def summary_picture(run: Run) -> bytes:
    """Draws the run as a PNG file, 1200 pixels wide and 675 high. The same run gives the same bytes."""
    return _encode(_draw(run), _origin(run))


def shows(file: Path, run: Run) -> bool:
    """Returns whether the file is the picture that this version of lrdiag draws of the run."""
    try:
        return _origin(run).encode() in read_file(file, MOST_BYTES)[:1000]
    except (OSError, RunFolderError):
        return False


def _origin(run: Run) -> str:
    """Identifies the version of lrdiag and everything that the picture shows."""
    facts = dataclasses.replace(run.diagnosis, seconds=Seconds(), created="")
    pictures = run.pictures.only(("mistakes", "mistakes-predicted"))
    files = [hashlib.sha256(content).hexdigest() for content in pictures.files.values()]
    shown = repr((facts, pictures.sheets, files)).encode(errors="replace")
    return f"lrdiag {version('lrdiag')} {hashlib.sha256(shown).hexdigest()}"


def _encode(picture: Image, origin: str) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    information, encoded = PngInfo(), BytesIO()
    information.add_text("Source", origin)
    picture.save(encoded, "PNG", pnginfo=information)
    return encoded.getvalue()


def _draw(run: Run) -> Image:
    from PIL import Image

    picture = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    pen = _Pen(picture)
    _head(pen, run.diagnosis)
    pen.draw.line([(_MARGIN, _TOP - 26), (WIDTH - _MARGIN, _TOP - 26)], _LINE)
    _figures(pen, run.diagnosis)
    _confusion(pen, run.diagnosis)
    _mistakes(pen, run)
    return picture


class _Pen:
    """Draws on a picture. Text fits into the available width."""

    def __init__(self, picture: Image) -> None:
        self.picture = picture
        self._fonts: dict[tuple[int, bool], FreeTypeFont] = {}

    @cached_property
    def draw(self) -> ImageDraw:
        from PIL.ImageDraw import Draw

        return Draw(self.picture)

    def font(self, size: int, bold: bool = False) -> FreeTypeFont:
        """DejaVu Sans, which comes with matplotlib and has the letters of most alphabets."""
        from matplotlib import get_data_path
        from PIL.ImageFont import truetype

        if (size, bold) not in self._fonts:
            file = f"{get_data_path()}/fonts/ttf/DejaVuSans{'-Bold' if bold else ''}.ttf"
            self._fonts[size, bold] = truetype(file, size)
        return self._fonts[size, bold]

    def text(
        self,
        place: tuple[float, float],
        text: str,
        size: int,
        *,
        width: float,
        colour: str = _INK,
        anchor: str = "ls",
        bold: bool = False,
    ) -> None:
        """Writes one line, smaller if it does not fit; cut if the smallest size does not. `place` is its baseline."""
        legible = str(formats.legible(text))
        sizes = range(size, min(size, _SMALLEST) - 1, -1)
        size = next((each for each in sizes if self.font(each, bold).getlength(legible) <= width), sizes[-1])
        font = self.font(size, bold)
        while legible and font.getlength(legible) > width:
            legible = legible.removesuffix("…")[:-1].rstrip() + "…" if len(legible) > 2 else ""
        self.draw.text(place, legible, fill=colour, font=font, anchor=anchor)

    def lines(self, text: str, size: int, width: float) -> list[str]:
        """The text, broken between words, in bold."""
        lines = [""]
        for word in text.split(" "):
            longer = f"{lines[-1]} {word}".strip()
            if self.font(size, bold=True).getlength(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines


def _head(pen: _Pen, diagnosis: Diagnosis) -> None:
    width = WIDTH - 2 * _MARGIN
    found = [Caution("Gate failed", gate.title) for gate in failed_gates(diagnosis)] + cautions(diagnosis)
    on = f" on {formats.short(diagnosis.dataset.name)}" if diagnosis.dataset.name else ""
    subject = f"{formats.short(diagnosis.model)}{on}"
    pen.text((_MARGIN, 62), subject, 20, width=width - 120, colour=_QUIET)
    pen.text((WIDTH - _MARGIN, 62), "lrdiag", 20, width=100, colour=_QUIET, anchor="rs")
    sentence = f"{verdict_sentence(diagnosis)}."
    colour = _MARK if problem(diagnosis) else _INK
    sizes = (28, 24) if found else (36, 32, 28, 24)
    size = next((size for size in sizes if len(pen.lines(sentence, size, width)) <= 2), 20)
    for number, line in enumerate(pen.lines(sentence, size, width)[:3]):
        pen.text((_MARGIN, 72 + 1.2 * size + 1.25 * size * number), line, size, width=width, colour=colour, bold=True)
    if found:
        pen.draw.rectangle([(_MARGIN, 154), (_MARGIN + 3, 174)], fill=_MARK)
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        warning = f"{found[0].title}: {formats.short(found[0].text, 200)}{more}"
        pen.text((_MARGIN + 14, 170), warning, 17, width=width - 14, colour=_MARK)


def _figures(pen: _Pen, diagnosis: Diagnosis) -> None:
    score, compared = diagnosis.test, diagnosis.comparison
    size = formats.plural(score.size, "image")
    interval = f"95 % interval {100 * score.accuracy_low:.1f}–{100 * score.accuracy_high:.1f}"
    figures = [("Accuracy", formats.percent(score.accuracy), f"{interval} on {size}")]
    if compared:
        figures.append(("Change", f"{formats.points(compared.difference, digits=2)} points", ""))
    sides = f"{compared.all_fixed:,} fixed, {compared.all_broken:,} broken" if compared else f"of {size}"
    figures.append(("Mistakes", formats.count(diagnosis.misclassified.count), sides))
    error = diagnosis.calibration.error
    sure = "" if error is None else f"calibration error {formats.percent(error)}"
    figures.append(("Test loss", formats.loss(score.loss, score.loss_name is not None), sure))
    width = _CONFUSION - _FIGURES - 40
    for number, (name, value, detail) in enumerate(figures):
        top = _TOP + 96 * number
        pen.text((_FIGURES, top + 12), name, 15, width=width, colour=_QUIET)
        pen.text((_FIGURES, top + 44), value, 28, width=width)
        pen.text((_FIGURES, top + 66), detail, 13, width=width, colour=_QUIET)
        if name == "Change" and compared:
            _interval(pen, compared, top + 60, width)


def _interval(pen: _Pen, compared: Comparison, middle: float, width: float) -> None:
    """Draws the change and its interval on a line; a tick marks zero."""
    low, high, text_width = compared.difference_low, compared.difference_high, 116
    reach = 1.1 * max(abs(low), abs(high), 1e-9)
    line = width - text_width - 14

    def x(change: float) -> float:
        return _FIGURES + line * (change + reach) / (2 * reach)

    pen.draw.line([(_FIGURES, middle), (_FIGURES + line, middle)], _LINE)
    pen.draw.line([(x(0), middle - 8), (x(0), middle + 8)], _QUIET)
    pen.draw.line([(x(low), middle), (x(high), middle)], _INK, width=3)
    pen.text((x(compared.difference), middle), "●", 16, width=20, anchor="mm")
    place = (_FIGURES + line + 14, middle + 5)
    pen.text(place, beside.interval_text(compared), 14, width=text_width, colour=_QUIET)


def _confusion(pen: _Pen, diagnosis: Diagnosis) -> None:
    if len(diagnosis.dataset.classes) > _MATRIX_LIMIT:
        _worst_pairs(pen, diagnosis)
        return
    names = [formats.short(name) for name in diagnosis.dataset.classes]
    right = _MISTAKES - 44
    pen.text((_CONFUSION, _TOP + 12), "Confusion", 15, width=right - _CONFUSION, colour=_QUIET)
    count, label = len(names), 84
    cell = min(56, (right - _CONFUSION - label) // count)
    left, top = _CONFUSION + label, _TOP + 28
    counts = diagnosis.confusion
    shares = [[each / max(sum(row), 1) for each in row] for row in counts]
    most = max((share for i, row in enumerate(shares) for j, share in enumerate(row) if i != j), default=0) or 1
    size = max(9, min(13, cell - 6))
    for i, row in enumerate(shares):
        y = top + cell * i
        pen.text((left - 8, y + cell / 2), names[i], size, width=label - 8, colour=_QUIET, anchor="rm")
        for j, share in enumerate(row):
            fill = _WASH if i == j else _mixed(0.75 * share / most)
            box = [(left + cell * j, y), (left + cell * (j + 1) - 2, y + cell - 2)]
            pen.draw.rectangle(box, fill=fill)
            if counts[i][j] and i != j and cell >= 22:
                middle = (left + cell * (j + 0.5) - 1, y + cell / 2 - 1)
                pen.text(middle, formats.count(counts[i][j]), 10, width=cell - 3, anchor="mm")
    below = top + cell * count + 18
    pen.text((left, below), "rows: true class", 13, width=right - left, colour=_QUIET)
    pen.text((left, below + 18), "columns: predicted class", 13, width=right - left, colour=_QUIET)


def _mixed(share: float) -> tuple[int, int, int]:
    """Returns the colour of a heatmap of this opacity over the background."""
    red, green, blue = (round(255 + share * (colour - 255)) for colour in _HEAT)
    return red, green, blue


def _worst_pairs(pen: _Pen, diagnosis: Diagnosis) -> None:
    width = _MISTAKES - _CONFUSION - 44
    names = diagnosis.dataset.classes
    pen.text((_CONFUSION, _TOP + 12), "Most confused", 15, width=width, colour=_QUIET)
    pairs = diagnosis.confused_pairs[:8]
    largest = max((pair.count for pair in pairs), default=1)
    for number, pair in enumerate(pairs):
        y = _TOP + 46 + 40 * number
        between = f"{formats.short(names[pair.true])} → {formats.short(names[pair.predicted])}"
        pen.text((_CONFUSION, y), between, 15, width=width - 60)
        pen.text((_CONFUSION + width, y), formats.count(pair.count), 15, width=56, anchor="rs", colour=_QUIET)
        pen.draw.rectangle([(_CONFUSION, y + 8), (_CONFUSION + width * pair.count / largest, y + 11)], fill=_HEAT)


def _mistakes(pen: _Pen, run: Run) -> None:
    diagnosis, sheets = run.diagnosis, run.pictures.sheets
    images, heatmaps = sheets.get("mistakes"), sheets.get("mistakes-predicted")
    width = WIDTH - _MARGIN - _MISTAKES
    shown = images or heatmaps
    if shown is None:
        nothing = "Images were left out" if diagnosis.misclassified.count else "No mistakes"
        pen.text((_MISTAKES, _TOP + 12), nothing, 15, width=width, colour=_QUIET)
        return
    pictures = Cells(run.pictures, images) if images else None
    maps = Cells(run.pictures, heatmaps) if heatmaps else None
    title = "Look at these first, with heatmaps" if maps else "Look at these first"
    if pictures is None:
        title = "Heatmaps; images were left out"
    pen.text((_MISTAKES, _TOP + 12), title, 15, width=width, colour=_QUIET)
    tile = 2 * _SIDE + 2
    cells = {item: cell for cell, item in enumerate(shown.shown)}
    for number, each in enumerate(telling(diagnosis, cells)):
        left = _MISTAKES + number % _COLUMNS * (tile + _GAP)
        top = _TOP + 28 + number // _COLUMNS * (_SIDE + 42)
        image = _fitting(pictures.at(cells[each.place])) if pictures else _ground(diagnosis)
        if pictures:
            pen.picture.paste(image, (left, top))
        if maps:
            aside = _SIDE + 2 if pictures else 0
            pen.picture.paste(_warmed(image, maps.at(cells[each.place])), (left + aside, top))
        classes = each.mistake.true, each.mistake.predicted
        names = (formats.short(diagnosis.dataset.classes[index]) for index in classes)
        pen.text((left, top + _SIDE + 14), " → ".join(names), 13, width=tile)
        pen.text((left, top + _SIDE + 29), each.reason, 11, width=tile, colour=_QUIET)


def _ground(diagnosis: Diagnosis) -> Image:
    """A plain ground of the shape of the images, for heatmaps without them."""
    from PIL.Image import new

    height, width = diagnosis.dataset.image_shape[:2]
    return _fitting(new("RGB", (width, height), _WASH))


def _fitting(image: Image) -> Image:
    """The image enlarged or reduced to its place. Small images are shown pixel by pixel."""
    from PIL.Image import Resampling

    zoom = _SIDE / max(image.size)
    width, height = (max(1, round(zoom * side)) for side in image.size)
    return image.convert("RGB").resize((width, height), Resampling.NEAREST if zoom >= 2 else Resampling.LANCZOS)


def _warmed(image: Image, heatmap: Image) -> Image:
    """The image with its heatmap over it."""
    from PIL.Image import Resampling

    warm = image.convert("RGBA")
    warm.alpha_composite(heatmap.convert("RGBA").resize(image.size, Resampling.BILINEAR))
    return warm.convert("RGB")
