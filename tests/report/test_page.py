"""The page as a whole: well-formed, complete in itself, the same every time, whatever the run."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import html5lib
import pytest
from bs4 import BeautifulSoup

from lrdiag.errors import RunFolderError
from lrdiag.records import Run
from lrdiag.report.page import SECTIONS, render_page


def test_is_strictly_well_formed_html(page: str) -> None:
    html5lib.HTMLParser(strict=True).parse(page)


def test_can_be_written_as_utf8(page: str) -> None:
    page.encode("utf-8")


def test_is_the_same_every_time(runs: dict[str, Run], pages: dict[str, str]) -> None:
    assert render_page(runs["ordinary"]) == pages["ordinary"]


def test_has_every_section_under_its_heading(page: str) -> None:
    document = BeautifulSoup(page, "html.parser")
    assert [section["id"] for section in document.find_all("section")] == [section.key for section in SECTIONS]
    for section in document.find_all("section"):
        assert document.find(id=section["aria-labelledby"]).name == "h2"


def test_headings_descend_in_order(page: str) -> None:
    levels = [int(heading.name[1]) for heading in BeautifulSoup(page, "html.parser").find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_ids_are_unique(page: str) -> None:
    ids = Counter(element["id"] for element in BeautifulSoup(page, "html.parser").find_all(id=True))
    assert [name for name, number in ids.items() if number > 1] == []


def test_every_link_leads_to_a_place_on_the_page(page: str) -> None:
    document = BeautifulSoup(page, "html.parser")
    ids = {element["id"] for element in document.find_all(id=True)}
    assert {link["href"] for link in document.find_all("a")} <= {f"#{name}" for name in ids}


def test_asks_for_nothing_and_runs_nothing(page: str) -> None:
    document = BeautifulSoup(page, "html.parser")
    policy = document.find("meta", {"http-equiv": "Content-Security-Policy"})
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert document.find_all(["script", "link", "iframe", "object", "embed", "img", "base", "form"]) == []
    for element in document.find_all(True):
        assert not [name for name in element.attrs if name.startswith("on") or name == "src"]
        for name, value in element.attrs.items():
            assert name in ("title", "aria-label") or not re.search(r"(https?|wss?):|^//|javascript:", str(value))
    for style in document.find_all("style"):
        assert not re.search(r"@import|url\((?!data:image/(webp|png);base64,[A-Za-z0-9+/=]*\))", style.text)


def test_every_picture_file_is_in_the_page_once(pages: dict[str, str]) -> None:
    assert pages["ordinary"].count("data:image/webp;base64,") == 2
    assert pages["ordinary"].count("data:image/png;base64,") == 1


def test_every_picture_and_chart_has_a_name(page: str) -> None:
    pictures = BeautifulSoup(page, "html.parser").find_all(role="img")
    assert pictures
    assert all(picture["aria-label"] for picture in pictures)


def test_every_table_has_a_caption_and_heads_with_a_scope(page: str) -> None:
    for table in BeautifulSoup(page, "html.parser").find_all("table"):
        assert table.caption.text.strip()
        assert {head.get("scope") for head in table.find_all("th")} <= {"row", "col"}


def test_everything_that_scrolls_can_be_reached_by_keyboard(page: str) -> None:
    for scrolling in BeautifulSoup(page, "html.parser").find_all(class_="scroll"):
        assert scrolling["tabindex"] == "0"
        assert scrolling["aria-label"]


def test_hostile_names_stay_text(pages: dict[str, str]) -> None:
    document = BeautifulSoup(pages["hostile names"], "html5lib")
    assert document.find("script") is None
    assert "</script><script>" in document.find(id="classes").text
    assert "{{ 7 * 7 }}" in document.find(id="reproduce").text
    assert "\x00" not in pages["hostile names"]


def test_a_long_name_is_not_repeated_in_full(pages: dict[str, str]) -> None:
    assert len(pages["hostile names"]) < 600_000


def test_an_ordinary_page_is_light_without_its_pictures(pages: dict[str, str]) -> None:
    assert len(re.sub(r"base64,[\w+/=]+", "", pages["ordinary"]).encode()) <= 150 * 1024


def test_a_crowded_page_is_light_enough_to_attach(crowded_page: str) -> None:
    assert len(crowded_page.encode()) <= 2 * 1024 * 1024


def test_a_missing_picture_file_is_an_error(runs: dict[str, Run]) -> None:
    with pytest.raises(RunFolderError, match=r"Received: no such file"):
        render_page(dataclasses.replace(runs["ordinary"], pictures={}))


def test_a_picture_file_of_another_kind_is_an_error(runs: dict[str, Run]) -> None:
    run = runs["ordinary"]
    with pytest.raises(RunFolderError, match=r"as WebP or PNG. Received: another format"):
        render_page(dataclasses.replace(run, pictures=dict.fromkeys(run.pictures, b"GIF89a")))


def test_rendering_needs_neither_keras_nor_an_image_library() -> None:
    script = (
        "import sys, lrdiag.report.page, lrdiag.report.summary, lrdiag.report.sheets\n"
        "heavy = {'keras', 'tensorflow', 'sklearn', 'scipy', 'cv2', 'matplotlib', 'PIL'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
