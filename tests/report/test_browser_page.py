"""The page in a browser: no errors, fits a phone; its tables, contents, pictures and links.

Every variant of a run is opened by the slow tests; by default only `VARIANTS` are.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.browser import (
    EACH,
    NEEDS_BROWSER,
    OTHERS,
    VARIANTS,
    Keys,
    find,
    focused,
    open_page,
    pixels,
    press,
    resize,
    settle,
    viewed,
)
from fixtures.variants import without_sheets
from PIL import Image

from lrdiag.record.facts import Run
from lrdiag.report.page import render_page

pytestmark = NEEDS_BROWSER


def test_every_variant_is_opened(runs: dict[str, Run]) -> None:
    assert runs.keys() == {*VARIANTS, *OTHERS}


@pytest.mark.parametrize("name", EACH)
def test_fits_every_screen_and_reports_no_error(browser: Any, pages: dict[str, str], tmp_path: Path, name: str) -> None:
    open_page(browser, pages[name], tmp_path, width=1280)
    for width in (1280, 390, 360):
        resize(browser, width)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.get_log("browser") == []


def test_an_open_tile_fits_a_phone(browser: Any, pages: dict[str, str], tmp_path: Path) -> None:
    for name in ("ordinary", "hostile names", "from files"):
        open_page(browser, pages[name], tmp_path, width=360)
        browser.execute_script("document.querySelectorAll('details').forEach(fold => fold.open = true)")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360


def test_the_names_of_followed_images_leave_room_for_them(browser: Any, pages: dict[str, str], tmp_path: Path) -> None:
    """The first column stays in sight; the longest name must not cover the others on a phone."""
    open_page(browser, pages["hostile and followed"], tmp_path, width=360)
    heads = browser.find_elements("css selector", ".evolution tbody th")
    assert max(head.rect["width"] for head in heads) <= 180


def test_an_option_is_not_broken_and_can_be_copied(ordinary: Any) -> None:
    option = find(ordinary, "main .whole")
    ordinary.execute_script("arguments[0].parentElement.style.width = '1px'", option)
    lines = ordinary.execute_script("return arguments[0].getClientRects().length", option)
    script = "getSelection().selectAllChildren(arguments[0]); return getSelection().toString()"
    copied = ordinary.execute_script(script, option)
    assert lines == 1
    assert copied.isascii()
    assert copied.startswith("--")


def test_makes_no_request(ordinary: Any) -> None:
    assert ordinary.execute_script("return performance.getEntriesByType('resource').map(each => each.name)") == []


def test_an_injected_script_does_not_run(browser: Any, pages: dict[str, str], tmp_path: Path) -> None:
    open_page(browser, pages["ordinary"].replace("<main>", "<main><script>window.ran = 1</script>"), tmp_path)
    assert browser.execute_script("return window.ran") is None
    assert "Content Security Policy" in browser.get_log("browser")[0]["message"]


class TestTables:
    @pytest.mark.parametrize(
        ("head", "first", "second"),
        [
            ("Class", ["airplane", "automobile"], ["truck", "ship"]),
            ("Recall", ["bird", "deer"], ["cat", "dog"]),
            ("Mistakes", ["cat", "dog"], ["frog", "horse"]),
        ],
    )
    def test_a_header_sorts(self, ordinary: Any, head: str, first: list[str], second: list[str]) -> None:
        button = ordinary.find_element("xpath", f"//section[@id='classes']//th/button[text()='{head}']")
        orders = []
        for _ in range(2):
            button.send_keys(Keys.ENTER)
            rows = ordinary.find_elements("css selector", "#classes tbody th")
            orders.append([row.text for row in rows])
        numbers = head != "Class"
        sorts = ["descending", "ascending"] if numbers else ["ascending", "descending"]
        assert find(ordinary, "#classes [aria-sort]").get_attribute("aria-sort") == sorts[1]
        assert len(ordinary.find_elements("css selector", "[aria-sort]")) == 1
        assert sorted(orders[0]) == sorted(orders[1])
        if head != "Recall":
            assert orders[0][:2] == first
        assert orders[1][:2] == second

    def test_units_signs_and_missing_values_are_sorted_as_numbers(self, ordinary: Any) -> None:
        """Missing values stay last in both directions; a text makes the column one of texts."""
        values = ["3 min 12 s", "4.0 s", "–", "1 h 05 min", "not finite", "0.5 s"]
        sizes = ["1,234", "−0.5", "+0.4", "< 0.1 %", "0.0 %", "> 99.9 %", "12"]
        script = """
        return arguments[0].map(text => { const cell = document.createElement('td'); cell.textContent = text;
          return sortValue(cell); });
        """
        times, numbers = (ordinary.execute_script(script, each) for each in (values[:4] + values[5:], sizes))
        assert times == [192, 4, None, 3900, 0.5]
        assert [round(number, 5) for number in numbers] == [1234, -0.5, 0.4, 0.1, 0, 99.9, 12]
        assert numbers[3] < 0.1
        assert numbers[5] > 99.9

    def test_the_whole_matrix_can_be_enlarged_without_the_script(
        self, without_script: Any, pages: dict[str, str], tmp_path: Path
    ) -> None:
        open_page(without_script, pages["many classes"], tmp_path)
        before = find(without_script, ".matrix").rect["width"]
        find(without_script, ".overview [value='4']").click()
        assert find(without_script, ".matrix").rect["width"] == pytest.approx(4 * before, abs=2)


class TestContents:
    def test_stays_in_sight_on_a_wide_screen(self, ordinary: Any) -> None:
        find(ordinary, "nav [href='#classes']").click()
        assert 0 <= ordinary.execute_script("return document.querySelector('nav li').getBoundingClientRect().top") < 100
        text, column = find(ordinary, "main").rect, find(ordinary, "nav ol").rect
        assert column["x"] + column["width"] <= text["x"]
        assert not find(ordinary, "nav button").is_displayed()

    @pytest.mark.parametrize("scripted", [True, False])
    def test_is_a_button_on_a_phone(
        self, browser: Any, request: pytest.FixtureRequest, pages: dict[str, str], tmp_path: Path, scripted: bool
    ) -> None:
        if not scripted:
            request.getfixturevalue("without_script")
        open_page(browser, pages["ordinary"], tmp_path, width=390)
        assert not find(browser, "nav ol").is_displayed()
        find(browser, "nav button").click()
        link = find(browser, "nav [href='#classes']")
        assert link.is_displayed()
        link.click()
        assert find(browser, "nav ol").is_displayed() is not scripted


def test_the_first_screen_has_verdict_change_finding_and_images(
    browser: Any, pages: dict[str, str], tmp_path: Path
) -> None:
    open_page(browser, pages["compared"], tmp_path)
    for selector in ("h1", ".change", ".figures div:last-child", "#findings li h3", "#first a"):
        rect = find(browser, selector).rect
        assert rect["y"] + rect["height"] <= 800


class TestPictures:
    def test_a_tile_shows_its_image_and_a_map_over_it(self, ordinary: Any, runs: dict[str, Run]) -> None:
        image, mapped = (pixels(each) for each in ordinary.find_elements("css selector", "#i0 summary i"))
        assert image.shape == mapped.shape == (96, 96, 3)
        sheet = Image.open(BytesIO(runs["ordinary"].pictures.files["misclassified.webp"])).convert("RGB")
        expected = np.asarray(sheet.crop((0, 0, 32, 32)).resize((96, 96), Image.Resampling.NEAREST)).astype(int)
        assert np.abs(image - expected).mean() < 2
        assert np.abs(mapped - image).mean() > 20

    def test_an_open_tile_shows_four_pictures(self, ordinary: Any) -> None:
        ordinary.execute_script("document.getElementById('i7').open = true")
        views = [pixels(each) for each in ordinary.find_elements("css selector", "#i7 p i")]
        assert [view.shape for view in views] == [(192, 192, 3)] * 4
        assert all(np.abs(one - other).mean() > 5 for i, one in enumerate(views) for other in views[:i])

    def test_a_followed_image_shows_its_picture_and_the_map_of_each_epoch(
        self, browser: Any, runs: dict[str, Run], tmp_path: Path
    ) -> None:
        run = runs["followed"]
        open_page(browser, render_page(without_sheets(run, "evolution-maps")), tmp_path)
        images = [pixels(each) for each in browser.find_elements("css selector", ".watched")]
        open_page(browser, render_page(run), tmp_path)
        mapped = [pixels(each) for each in browser.find_elements("css selector", ".watched:has(s)")]
        sheets = [Image.open(BytesIO(run.pictures.files[name])) for name in ("watched.webp", "watched-maps.png")]
        for place, (image, warm) in enumerate(zip(images, mapped, strict=True)):
            y, x = divmod(place // 2, 3)  # two epochs of each image, five images in three columns
            expected = sheets[0].convert("RGB").crop((32 * x, 32 * y, 32 * x + 32, 32 * y + 32)).resize((64, 64), 0)
            assert np.abs(image - np.asarray(expected)).mean() < 2
            y, x = divmod(place, 4)  # ten maps of eight pixels and a padding of one, in four columns
            heat = sheets[1].convert("RGBA").crop((10 * x, 10 * y, 10 * x + 10, 10 * y + 10))
            over = heat.resize((80, 80), Image.Resampling.BILINEAR).crop((8, 8, 72, 72))
            expected = Image.alpha_composite(expected.convert("RGBA"), over).convert("RGB")
            assert np.abs(warm - np.asarray(expected)).mean() < 8
        assert len(images) == 10

    def test_pictures_have_names_for_screen_readers(self, ordinary: Any) -> None:
        tree = ordinary.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        names = [node["name"]["value"] for node in tree if node.get("role", {}).get("value") == "DisclosureTriangle"]
        assert "image with heatmap 90.0\u00a0% #0" in names


class TestLinks:
    @pytest.mark.parametrize("scripted", [True, False])
    def test_a_link_of_the_matrix_opens_the_folded_group(
        self, browser: Any, request: pytest.FixtureRequest, crowded_page: str, tmp_path: Path, scripted: bool
    ) -> None:
        if not scripted:
            request.getfixturevalue("without_script")
        open_page(browser, crowded_page, tmp_path)
        find(browser, '.confusion a[href="#pair-9-8"]').click()
        tile = find(browser, "#pair-9-8 summary")
        assert tile.is_displayed()
        assert (
            0
            <= tile.rect["y"] - browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssVisualViewport"]["pageY"]
            < 800
        )

    def test_an_address_with_an_image_opens_it(self, browser: Any, crowded_page: str, tmp_path: Path) -> None:
        open_page(browser, crowded_page, tmp_path, anchor="#i17493")
        assert viewed(browser) == (17493, "2,500 of 2,500")
        press(browser, Keys.ESCAPE)
        settle(browser)
        assert focused(browser) == "i17493"
        assert 0 <= browser.execute_script("return document.getElementById('i17493').getBoundingClientRect().top") < 800


def test_a_screenshot_of_a_crowded_page_can_be_taken(browser: Any, crowded_page: str, tmp_path: Path) -> None:
    open_page(browser, crowded_page, tmp_path)
    assert len(browser.get_screenshot_as_png()) > 10_000
    assert browser.get_log("browser") == []
