"""Custom templates: they replace the built-in ones file by file, and their errors have clear messages."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import html5lib
import pytest
from bs4 import BeautifulSoup

from lrdiag.errors import TemplateError
from lrdiag.record.facts import Run
from lrdiag.report.page import lay_out_page, render_page
from lrdiag.report.templates import html_environment, unbroken

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom-report"

WriteTemplates = Callable[[dict[str, str]], Path]


@pytest.fixture
def templates(tmp_path: Path) -> WriteTemplates:
    def write(files: dict[str, str]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def run(runs: dict[str, Run], pages: dict[str, str]) -> Run:
    return runs["ordinary"]  # its charts are drawn


def test_the_example_adds_a_section_after_the_built_in_ones(run: Run, pages: dict[str, str]) -> None:
    page = render_page(run, templates=EXAMPLE)
    html5lib.HTMLParser(strict=True).parse(page)
    document, ours = BeautifulSoup(page, "html.parser"), BeautifulSoup(pages["ordinary"], "html.parser")
    added = document.find(id="release").extract()
    document.find("a", href="#release").parent.extract()
    assert [row.get_text("|") for row in added.tbody("tr")] == [
        "Accuracy|75.0\u00a0%|80.0\u00a0%|yes",
        "Recall of cat, the weakest class|50.0\u00a0%|30.0\u00a0%|no",
    ]
    assert document.main.get_text().split() == ours.main.get_text().split()
    assert document.nav.get_text().split() == ours.nav.get_text().split()


def test_the_example_adds_a_style_in_both_kinds_of_page(run: Run) -> None:
    rule = ".release td:last-child { font-weight: 600; }"
    assert rule in render_page(run, templates=EXAMPLE)
    assert rule in lay_out_page(run, assets="folder", templates=EXAMPLE).assets["report.css"].decode()


def test_a_file_replaces_the_built_in_one_of_the_same_name(run: Run, templates: WriteTemplates) -> None:
    page = render_page(run, templates=templates({"sections/data.html.j2": "<p>{{ facts.source }} & mine</p>"}))
    section = BeautifulSoup(page, "html.parser").find(id="data")
    assert section.get_text(" ", strip=True) == "Data a folder & mine"


def test_custom_templates_are_escaped_like_built_in_ones(run: Run, templates: WriteTemplates) -> None:
    page = render_page(run, templates=templates({"sections/data.html.j2": """{{ "<script>" }}"""}))
    assert "&lt;script&gt;" in page


def test_every_template_escapes_whatever_it_is_called(templates: WriteTemplates) -> None:
    names = [name for name in html_environment().list_templates() if not name.endswith(".md.j2")]
    assert {"report.css", "report.js"} < set(names)
    environment = html_environment(templates({name: "{{ '<script>' }}" for name in names if "lrdiag/" not in name}))
    assert {environment.get_template(name).render() for name in names if "lrdiag/" not in name} == {"&lt;script&gt;"}


def test_a_custom_script_is_allowed_by_the_policy(run: Run, templates: WriteTemplates) -> None:
    page = render_page(run, templates=templates({"report.js": "document.title = 'mine';"}))
    digest = b64encode(hashlib.sha256(b"document.title = 'mine';").digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


def test_the_next_page_uses_the_built_in_templates(run: Run, pages: dict[str, str], templates: WriteTemplates) -> None:
    render_page(run, templates=templates({"sections/data.html.j2": ""}))
    assert render_page(run) == pages["ordinary"]


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        ("<p>\n{% if %}", 2, "TemplateSyntaxError"),
        ("<p>\n\n{{ facts.sauce }}", 3, "UndefinedError: .*sauce"),
        ("{{ 1 // 0 }}", 1, "ZeroDivisionError"),
        ("""{% include "none.html" %}""", 1, "TemplateNotFound: none.html"),
    ],
)
def test_a_broken_template_is_an_error_that_names_its_line(
    run: Run, templates: WriteTemplates, content: str, place: int, message: str
) -> None:
    folder = templates({"sections/data.html.j2": content})
    with pytest.raises(TemplateError, match=rf"Received: .*data\.html\.j2:{place}: {message}"):
        render_page(run, templates=folder)


def test_a_template_that_is_not_text_is_an_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "report.css").write_bytes(b"\xff\xfe")
    with pytest.raises(TemplateError, match=r"Received: .*UnicodeDecodeError"):
        render_page(run, templates=tmp_path)


def test_a_missing_folder_is_an_error(run: Run, tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"Received: .*absent, which is not a folder"):
        render_page(run, templates=tmp_path / "absent")


def test_a_folder_that_replaces_nothing_is_an_error(run: Run, templates: WriteTemplates) -> None:
    with pytest.raises(TemplateError, match=r"at least one of: .*report\.html\.j2.*Received: .*[^r]$"):
        render_page(run, templates=templates({"report.html": "mine"}))


@pytest.mark.parametrize(
    "expression",
    [
        "cycler.__init__.__globals__.os.system",
        "''.__class__.__mro__[1].__subclasses__()",
        "palette.np.savetxt",
        "palette.difference.__globals__",
        "sections[0].build.__globals__",
        "diagnosis.__init__.__globals__",
        "'{0.__class__.__mro__}'.format(palette)",
        "'{0.np.savetxt}'.format(palette)",
        "diagnosis.dataset.classes.append('x')",
        "self.__init__.__globals__",
        "lipsum|attr('__globals__')",
    ],
)
@pytest.mark.parametrize("file", ["report.css", "report.js", "report.html.j2"])
def test_a_template_runs_no_code_and_changes_nothing(
    run: Run, templates: WriteTemplates, file: str, expression: str
) -> None:
    with pytest.raises(TemplateError, match=f"{re.escape(file)}:1: SecurityError"):
        render_page(run, templates=templates({file: f"{{{{ {expression} }}}}"}))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a rate of 3.1e-2.", 'a rate of <span class="whole">3.1e-2</span>.'),
        ("1e-05 to 2.5e-1", '<span class="whole">1e-05</span> to <span class="whole">2.5e-1</span>'),
        ("1e5, e-2, test-2", "1e5, e-2, test-2"),
        ("with --fail-if-worse, not", 'with <span class="whole">--fail-if-worse</span>, not'),
        ("a--seed, ---seed, --seed-a-b-c", "a--seed, ---seed, --seed-a-b-c"),
        ("<b>1e-2</b>", '&lt;b&gt;<span class="whole">1e-2</span>&lt;/b&gt;'),
        ("\x00", "\ufffd"),
    ],
)
def test_a_rate_or_an_option_is_not_broken_and_the_rest_is_text(text: str, written: str) -> None:
    assert unbroken(text) == written
