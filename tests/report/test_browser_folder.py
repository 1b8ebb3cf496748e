"""The page without its script, and as a folder of files, from disk and from servers with a policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.browser import (
    NEEDS_BROWSER,
    Keys,
    choose,
    count_shown,
    find,
    open_page,
    pixels,
    resize,
    shown,
    shows_noise,
)

from lrdiag.record.facts import Run
from lrdiag.report.page import render_page
from lrdiag.report.templates import templates_root
from lrdiag.report.write import write_page

pytestmark = NEEDS_BROWSER

JENKINS_POLICY = "sandbox allow-same-origin; default-src 'none'; img-src 'self'; style-src 'self';"


class TestWithoutScript:
    def test_the_controls_are_hidden(self, without_script: Any, pages: dict[str, str], tmp_path: Path) -> None:
        open_page(without_script, pages["ordinary"], tmp_path)
        assert not find(without_script, ".filter").is_displayed()

    def test_a_tile_opens(self, without_script: Any, grouped_page: str, tmp_path: Path) -> None:
        open_page(without_script, grouped_page, tmp_path)
        find(without_script, "#i14 summary").click()
        for selector in ("#i14 ol", "#i14 em", "#i14 code"):
            assert find(without_script, selector).is_displayed()
        assert shows_noise(find(without_script, "#i14 p i"))
        for selector in (".viewer", ".show"):
            assert not find(without_script, selector).is_displayed()


class TestFolder:
    def test_is_complete_if_the_server_forbids_inline_content(
        self, browser: Any, runs: dict[str, Run], tmp_path: Path, serve: Callable[[Path, str], str]
    ) -> None:
        write_page(tmp_path, runs["ordinary"], assets="folder")
        resize(browser, 1280)
        browser.get(f"{serve(tmp_path, JENKINS_POLICY)}/report.html")
        for selector in ("#i0 summary i", ".sample"):
            assert shows_noise(find(browser, selector))
        assert pixels(find(browser, ".confusion .p100")).mean(axis=(0, 1))[2] < 200  # it is coloured
        assert len(np.unique(pixels(find(browser, "#training .chart")).reshape(-1, 3), axis=0)) > 50
        assert not find(browser, ".filter").is_displayed()
        find(browser, "#i7 summary").click()
        assert shows_noise(find(browser, "#i7 p i"))
        messages = [entry["message"] for entry in browser.get_log("browser")]
        assert all("script" in message or "favicon" in message for message in messages), messages

    @pytest.mark.parametrize("served", [True, False])
    def test_works_from_a_server_and_from_disk(
        self, browser: Any, runs: dict[str, Run], tmp_path: Path, serve: Callable[[Path, str], str], served: bool
    ) -> None:
        write_page(tmp_path, runs["ordinary"], assets="folder")
        resize(browser, 360)
        address = serve(tmp_path, "default-src 'self'") if served else tmp_path.as_uri()
        browser.get(f"{address}/report.html")
        assert shows_noise(find(browser, "#i0 summary i"))
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
        choose(browser, "true", "cat")
        assert count_shown(browser) == "14 of 40 mistakes"
        find(browser, "#i7 summary").click()
        assert shows_noise(find(browser, ".viewer .stage"))
        find(browser, ".viewer [name=opacity]").send_keys(Keys.HOME)
        assert browser.execute_script("return document.querySelector('.viewer').style.cssText") == "--opacity: 0;"
        assert [entry for entry in browser.get_log("browser") if "favicon" not in entry["message"]] == []


class TestTemplatesOfOthers:
    """A user's `sections/misclassified.html.j2` may leave out parts that the script would use."""

    @pytest.fixture
    def opened(self, browser: Any, runs: dict[str, Run], tmp_path: Path) -> Callable[..., Any]:
        def open_without(*parts: str, anchor: str = "") -> Any:
            section = (templates_root() / "sections" / "misclassified.html.j2").read_text(encoding="utf-8")
            for part in parts:
                assert part in section
                section = section.replace(part, "")
            folder = tmp_path / "templates" / "sections"
            folder.mkdir(parents=True)
            (folder / "misclassified.html.j2").write_text(section, encoding="utf-8")
            return open_page(browser, render_page(runs["ordinary"], templates=folder.parent), tmp_path, anchor)

        return open_without

    def test_without_the_dialog_a_tile_opens_in_its_place(self, opened: Callable[..., Any]) -> None:
        browser = opened("{{ viewer(facts.images, facts.maps, facts.filters) -}}", anchor="#i7")
        assert shows_noise(find(browser, "#i7 p i"))
        find(browser, "#i7 summary").click()
        assert not find(browser, "#i7 p").is_displayed()
        choose(browser, "true", "cat")
        assert count_shown(browser) == "14 of 40 mistakes"
        assert browser.get_log("browser") == []

    def test_without_other_parts_the_form_filters(self, opened: Callable[..., Any]) -> None:
        browser = opened(
            '<button type="button" name="clear">Show all</button>',
            '<output name="shown" aria-live="polite"></output>',
            '<div class="tiles flat"></div>',
            '<label>Predicted <select name="predicted"><option value="">any class</option></select></label>',
        )
        choose(browser, "true", "cat")
        assert len(shown(browser)) == 14
        choose(browser, "order", "loss")  # needs the list that is missing
        assert len(shown(browser)) == 14
        assert browser.get_log("browser") == []
