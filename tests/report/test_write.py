"""The files of a page: which are written, and which of an earlier page are removed."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures.variants import changed

from lrdiag.record.facts import Run
from lrdiag.report.page import render_page
from lrdiag.report.write import write_page

MAPS = {"maps-difference.png", "maps-mean.png", "maps-predicted.png", "maps-true.png"}
ASSETS = {"report.css", "report.js", "misclassified.webp", "samples.webp", *MAPS}


@pytest.fixture
def run(runs: dict[str, Run]) -> Run:
    return runs["ordinary"]


RUN = {"report.json", "pictures.json", "misclassified.webp", "samples.webp", *MAPS}


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_a_page_is_one_file(run: Run, tmp_path: Path) -> None:
    write_page(tmp_path, run)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_page(run)
    assert names(tmp_path) == {"report.html", "summary.md", "summary.png", *RUN}


def test_a_page_has_a_folder_beside_it(run: Run, tmp_path: Path) -> None:
    write_page(tmp_path, run, assets="folder")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_page(run, assets="folder")
    assert names(tmp_path / "assets") == ASSETS


def test_the_same_run_gives_the_same_files(run: Run, tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_page(tmp_path / name, run, assets="folder")
        contents.append({file: (tmp_path / name / "assets" / file).read_bytes() for file in ASSETS})
    assert contents[0] == contents[1]


def test_a_page_in_one_file_leaves_no_assets_behind(run: Run, tmp_path: Path) -> None:
    write_page(tmp_path, run, assets="folder")
    write_page(tmp_path, run)
    assert not (tmp_path / "assets").exists()


def test_files_of_the_user_stay(run: Run, tmp_path: Path) -> None:
    write_page(tmp_path, run, assets="folder")
    (tmp_path / "assets" / "mine.png").write_bytes(b"")
    write_page(tmp_path, run)
    assert names(tmp_path / "assets") == {"mine.png"}


def test_a_folder_of_the_user_stays(run: Run, tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "report.css").write_text("mine")
    write_page(tmp_path, run)
    assert names(tmp_path / "assets") == {"report.css"}


def test_pictures_that_the_page_no_longer_has_are_removed(runs: dict[str, Run], run: Run, tmp_path: Path) -> None:
    write_page(tmp_path, run, assets="folder")
    write_page(tmp_path, runs["no mistakes"], assets="folder")
    assert names(tmp_path / "assets") == {"report.css", "report.js", "samples.webp"}


def test_a_list_with_paths_outside_of_the_folder_is_not_followed(run: Run, tmp_path: Path) -> None:
    write_page(tmp_path, run, assets="folder")
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "assets" / "contents.txt").write_text("report.css\n../precious\n..\n")
    write_page(tmp_path, run)
    assert (tmp_path / "precious").exists()


def test_templates_and_assets_are_passed_on(run: Run, tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    (templates / "sections").mkdir(parents=True)
    (templates / "sections" / "data.html.j2").write_text("<p>mine</p>")
    write_page(tmp_path, run, assets="folder", templates=templates)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_page(
        run, assets="folder", templates=templates
    )


def test_charts_of_lrdiag_0_1_are_removed(run: Run, tmp_path: Path) -> None:
    for name in ("range-test", "training", "reliability", "confidence"):
        (tmp_path / f"{name}.chart.html").write_text("<svg></svg>")
    (tmp_path / "mine.chart.html").write_text("<svg></svg>")
    write_page(tmp_path, run)
    assert names(tmp_path) == {"report.html", "summary.md", "summary.png", "mine.chart.html", *RUN}


def test_the_summary_picture_is_drawn_again_only_if_the_run_changed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_page(tmp_path, run)
    monkeypatch.setattr("lrdiag.report.write.summary_picture", lambda run: b"drawn")
    write_page(tmp_path, run)
    assert (tmp_path / "summary.png").read_bytes() != b"drawn"
    write_page(tmp_path, changed(run, model="other"))
    assert (tmp_path / "summary.png").read_bytes() == b"drawn"
