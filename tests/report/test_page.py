"""The page as a whole: well-formed, complete, and the same every time, for every variant of a run."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import get_args
from urllib.parse import parse_qs

import html5lib
import pytest
from fixtures.exhibits import noisy_patches, with_findings
from fixtures.pages import parse
from fixtures.variants import with_files, with_sheet
from jinja2 import UndefinedError

from lrdiag import palette
from lrdiag.diagnosis.findings.rules import RULES
from lrdiag.errors import RunFolderError, SettingsError
from lrdiag.record.facts import Run
from lrdiag.record.pictures import SheetName
from lrdiag.report import page as page_module
from lrdiag.report.page import SECTIONS, Page, lay_out_page, render_page
from lrdiag.report.templates import html_environment


def test_is_strictly_well_formed_html(page: str) -> None:
    html5lib.HTMLParser(strict=True).parse(page)


def test_can_be_written_as_utf8(page: str) -> None:
    page.encode("utf-8")


def test_is_the_same_every_time(runs: dict[str, Run], pages: dict[str, str]) -> None:
    assert render_page(runs["ordinary"]) == pages["ordinary"]


def test_has_every_section_under_its_heading(page: str, variant: str) -> None:
    document = parse(page)
    left_out = {"without training": {"learning-rate", "training"}, "epochs only": {"learning-rate"}}.get(variant, set())
    left_out |= {"curves"}  # test_curves.py has a page with them
    left_out |= {"first"} if variant == "no mistakes" else set()
    left_out |= {
        key for key, name in {"comparison": "compared", "evolution": "followed"}.items() if name not in variant
    }
    keys = [section.key for section in SECTIONS if section.key not in left_out]
    assert [section["id"] for section in document.find_all("section")] == keys
    assert [link["href"] for link in document.nav("a")] == [f"#{key}" for key in keys]
    for section in document.find_all("section"):
        assert document.find(id=section["aria-labelledby"]).name == "h2"


def test_headings_descend_in_order(page: str) -> None:
    levels = [int(heading.name[1]) for heading in parse(page).find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_ids_are_unique(page: str) -> None:
    ids = Counter(element["id"] for element in parse(page).find_all(id=True))
    assert [name for name, number in ids.items() if number > 1] == []


def test_every_link_leads_to_a_place_on_the_page(page: str) -> None:
    document = parse(page)
    ids = {element["id"] for element in document.find_all(id=True)}
    links = [link for link in document.find_all("a") if not link.find_parent(hidden=True)]
    assert {link["href"] for link in links} <= {f"#{name}" for name in ids}


def test_links_that_need_the_script_are_hidden_and_name_a_filter_of_the_form(page: str) -> None:
    document = parse(page)
    hidden = [parse_qs(link["href"].partition("?")[2]) for link in document.select("[hidden] a")]
    assert all(asked == {"finding": [document.find("option", value=asked["finding"][0])["value"]]} for asked in hidden)


def test_makes_no_request_and_runs_only_its_own_script(page: str) -> None:
    document = parse(page)
    script = html_environment().get_template("report.js").render()
    assert [element.text for element in document("script")] == [script]
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = document.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert document.find_all(["link", "iframe", "object", "embed", "img", "base"]) == []
    for element in document.find_all(True):
        assert not [name for name in element.attrs if name.startswith("on") or name in ("src", "action")]
        for name, value in element.attrs.items():
            assert name in ("title", "aria-label") or not re.search(r"(https?|wss?):|^//|javascript:", str(value))
    for style in document.find_all("style"):
        assert not re.search(r"@import|url\((?!data:image/(webp|png);base64,[A-Za-z0-9+/=]*\))", style.text)


def test_every_picture_file_is_in_the_page_once(pages: dict[str, str]) -> None:
    assert pages["ordinary"].count("data:image/webp;base64,") == 2
    assert pages["ordinary"].count("data:image/png;base64,") == 4


FOLDERS = ("ordinary", "hostile and compared", "hostile and followed")


@pytest.fixture(scope="module")
def folders(runs: dict[str, Run]) -> dict[str, Page]:
    return {name: lay_out_page(runs[name], assets="folder") for name in FOLDERS}


@pytest.mark.parametrize("name", FOLDERS)
def test_with_a_folder_it_has_no_inline_content(folders: dict[str, Page], name: str) -> None:
    page = folders[name]
    html5lib.HTMLParser(strict=True).parse(page.html)
    document = parse(page.html)
    assert not document.find_all("style")
    assert not document.find_all(style=True)
    assert "data:image" not in page.html + page.assets["report.css"].decode()
    assert [(script["src"], script.text) for script in document("script")] == [("assets/report.js", "")]
    assert document.find("link", rel="stylesheet")["href"] == "assets/report.css"


def test_the_folder_contains_each_picture_of_its_stylesheet(runs: dict[str, Run], folders: dict[str, Page]) -> None:
    page = folders["ordinary"]
    named = re.findall(r"url\(([^)]*)\)", page.assets["report.css"].decode())
    maps = ["maps-difference.png", "maps-mean.png", "maps-predicted.png", "maps-true.png"]
    assert sorted(named) == [*maps, "misclassified.webp", "samples.webp"]
    assert set(page.assets) == {*named, "report.css", "report.js"}
    assert all(page.assets[name] == runs["ordinary"].pictures.files[name] for name in named)


def test_the_page_has_the_same_text_inline_and_with_a_folder(pages: dict[str, str], folders: dict[str, Page]) -> None:
    inline, beside = (parse(page) for page in (pages["ordinary"], folders["ordinary"].html))
    assert inline.main.decode() == beside.main.decode()


def test_the_name_of_a_picture_cannot_end_its_address(runs: dict[str, Run]) -> None:
    run, name = runs["ordinary"], """a) ; } * { background: url("x')"""
    files = run.pictures.files | {name: run.pictures.files["samples.webp"]}
    hostile = with_files(with_sheet(run, "samples", file=name), files)
    style = lay_out_page(hostile, assets="folder").assets["report.css"].decode()
    assert "url(a%29%20%3B%20%7D%20%2A%20%7B%20background%3A%20url%28%22x%27%29)" in style


def test_assets_of_another_kind_are_an_error(runs: dict[str, Run]) -> None:
    with pytest.raises(SettingsError, match=r"one of inline, folder. Received: 'cdn'"):
        render_page(runs["ordinary"], assets="cdn")


def test_without_a_folder_there_are_no_assets(runs: dict[str, Run]) -> None:
    assert lay_out_page(runs["ordinary"]).assets == {}


def test_every_picture_and_chart_has_a_name(page: str) -> None:
    pictures = parse(page).find_all(role="img")
    assert pictures
    assert all(picture["aria-label"] for picture in pictures)


def test_every_table_has_a_caption_and_headers_with_a_scope(page: str) -> None:
    for table in parse(page).find_all("table"):
        assert table.caption.text.strip()
        assert {head.get("scope") for head in table.find_all("th")} <= {"row", "col"}


def test_every_scrollable_element_can_be_reached_by_keyboard(page: str) -> None:
    for scrolling in parse(page).find_all(class_="scroll"):
        assert scrolling["tabindex"] == "0"
        assert scrolling["aria-label"]


@pytest.mark.parametrize("name", ["hostile names", "hostile and followed", "skipped"])
def test_hostile_names_run_no_code(pages: dict[str, str], name: str) -> None:
    document = parse(pages[name], "html5lib")
    assert len(document("script")) == 1
    assert document.body.find("style") is None
    assert not [element for element in document.body(True) if any(key.startswith("on") for key in element.attrs)]


def test_hostile_names_stay_text(pages: dict[str, str]) -> None:
    document = parse(pages["hostile names"], "html5lib")
    assert document.find("svg").find("script") is None
    assert "</script><script>" in document.find(id="classes").text
    assert "{{ 7 * 7 }}" in document.find(id="reproduce").text
    assert "\x00" not in pages["hostile names"]


def test_a_long_name_is_not_repeated_in_full(pages: dict[str, str]) -> None:
    assert len(pages["hostile names"]) < 600_000


def test_an_ordinary_page_without_pictures_is_small(pages: dict[str, str]) -> None:
    assert len(re.sub(r"base64,[\w+/=]+", "", pages["ordinary"]).encode()) <= 150 * 1024


def test_a_tile_is_small(crowded_page: str) -> None:
    tiles = re.findall(r"<details id=i.*</details>\n", crowded_page)
    assert len(tiles) == 2500
    assert sum(len(tile.encode()) for tile in tiles) / len(tiles) < 300


@pytest.mark.parametrize("side", [32, pytest.param(94, marks=pytest.mark.slow)])
def test_a_crowded_page_is_small_enough_to_attach(crowded: Run, side: int) -> None:
    """2,500 mistakes, and 15 findings with 24 exhibits of two pictures."""
    codes = [rule.code for rule in RULES[:15]]
    text = "A sentence of a finding that is about as long as those of the rules are, with a few numbers in it."
    run = with_findings(crowded, codes, noisy_patches(720, side), text=text)
    assert run.pictures.sheets["findings"].count == 720
    assert len(render_page(run).encode()) <= 3 * 1024 * 1024


def test_a_missing_picture_file_is_an_error(runs: dict[str, Run]) -> None:
    with pytest.raises(RunFolderError, match=r"Received: no such file"):
        render_page(with_files(runs["ordinary"], {}))


def test_a_picture_file_of_another_kind_is_an_error(runs: dict[str, Run]) -> None:
    run = runs["ordinary"]
    with pytest.raises(RunFolderError, match=r"as WebP or PNG.*Received: another format"):
        render_page(with_files(run, dict.fromkeys(run.pictures.files, b"GIF89a")))


def test_a_section_receives_only_the_pictures_that_it_declares(
    runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    received = {}

    def build(run: Run) -> None:
        received.update(run.pictures.sheets)

    sections = [section._replace(build=build) if section.key == "data" else section for section in SECTIONS]
    assert [section.pictures for section in sections if section.key == "data"] == [("samples",)]
    monkeypatch.setattr(page_module, "SECTIONS", sections)
    with suppress(UndefinedError):  # the stylesheet asks for the content of the section
        render_page(runs["ordinary"])
    assert received.keys() == {"samples"}


def test_every_sheet_is_declared_by_a_section() -> None:
    assert {name for section in SECTIONS for name in section.pictures} == set(get_args(SheetName))


def test_every_colour_of_the_page_comes_from_the_palette(folders: dict[str, Page]) -> None:
    style = folders["ordinary"].assets["report.css"].decode()
    for names in (palette.LIGHT, palette.DARK):
        assert all(f"--{name}: {value};" in style for name, value in names.items())
    rest = re.sub(r":root \{[^}]*\}", "", style)
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgb\(\d", rest)
    used = set(re.findall(r"var\(--([a-z-]+)", rest)) - {
        "k",
        "x",
        "y",
        "p",
        "cell",
        "side",
        "opacity",
        "scale-heat",
        "scale-signed",
    }
    assert used <= palette.LIGHT.keys()


def test_rendering_needs_neither_keras_nor_an_image_library() -> None:
    script = (
        "import sys, lrdiag.report.page, lrdiag.report.summary, lrdiag.report.pictures.sheets\n"
        "heavy = {'keras', 'tensorflow', 'sklearn', 'scipy', 'cv2', 'matplotlib', 'PIL'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
