"""The dialog that shows one mistake after the other, and the address that follows it."""

from __future__ import annotations

import dataclasses
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.browser import (
    CONTRAST,
    NEEDS_BROWSER,
    Keys,
    address,
    axe,
    choose,
    close,
    count_shown,
    emulate,
    find,
    focused,
    open_page,
    pixels,
    press,
    returned,
    settle,
    shown,
    state,
    travel,
    viewed,
)
from fixtures.variants import changed
from PIL import Image

from lrdiag.record.facts import Run
from lrdiag.report.page import render_page

pytestmark = NEEDS_BROWSER


@pytest.mark.usefixtures("own_tab")
class TestViewer:
    def test_opens_by_click_and_by_key_and_gives_the_focus_back(self, ordinary: Any) -> None:
        find(ordinary, "#i7 summary").click()
        assert viewed(ordinary) == (7, "2 of 40")
        assert not find(ordinary, "#i7 ol").is_displayed()
        returned(ordinary, find(ordinary, ".viewer [name=close]").click)
        assert (viewed(ordinary), focused(ordinary), address(ordinary)) == (None, "i7", "")
        press(ordinary, Keys.ENTER, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        close(ordinary)
        assert (viewed(ordinary), focused(ordinary), address(ordinary)) == (None, "i21", "")

    def test_steps_through_the_order_that_is_shown(self, ordinary: Any) -> None:
        choose(ordinary, "order", "index")
        choose(ordinary, "predicted", "truck")
        find(ordinary, "#i161 summary").click()
        seen = []
        for key in (Keys.ARROW_RIGHT, Keys.END, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.HOME, Keys.ARROW_LEFT):
            press(ordinary, key)
            seen.append(viewed(ordinary))
        assert seen == [
            (168, "2 of 6"), (196, "6 of 6"), (196, "6 of 6"), (189, "5 of 6"), (161, "1 of 6"), (161, "1 of 6"),
        ]  # fmt: skip
        assert find(ordinary, ".viewer [name=previous]").get_attribute("aria-disabled") == "true"
        find(ordinary, ".viewer [name=next]").click()
        assert viewed(ordinary) == (168, "2 of 6")

    def test_shows_what_its_tile_holds(self, browser: Any, grouped_page: str, tmp_path: Path) -> None:
        open_page(browser, grouped_page, tmp_path, anchor="#i14")
        assert find(browser, "#viewer-title").text == "cat → dog"
        rows = [row.text.replace("\n", " ") for row in browser.find_elements("css selector", ".viewer dl > div")]
        assert [row.replace("\u00a0", " ") for row in rows if row] == [
            "Loss 1.667",
            "Index 14",
            "Label suspect probably dog, 90.0 % that the label is wrong",
            "Slices 1: dark images (2) 2: a cluster (2)",
        ]
        guesses = browser.find_elements("css selector", ".viewer ol li")
        assert [guess.text.split()[-1] for guess in guesses] == ["dog", "cat", "airplane", "automobile", "bird"]
        find(browser, ".viewer [data-show=slices] a").click()
        assert state(browser) == (["i0", "i14"], {"slice": "1"})
        assert viewed(browser) is None

    def test_shows_the_image_large_and_each_of_its_maps(self, ordinary: Any, runs: dict[str, Run]) -> None:
        find(ordinary, "#i7 summary").click()
        stage = find(ordinary, ".viewer .stage")
        views = [pixels(stage)]
        for key in ("2", "3", "o"):
            press(ordinary, key)
            views.append(pixels(stage))
        side = len(views[0])
        assert side % 32 == 0
        assert side > 200
        assert all(np.abs(one - other).mean() > 5 for i, one in enumerate(views) for other in views[:i])
        sheet = Image.open(BytesIO(runs["ordinary"].pictures.files["misclassified.webp"])).convert("RGB")
        expected = np.asarray(sheet.crop((32, 0, 64, 32)).resize((side, side), Image.Resampling.NEAREST)).astype(int)
        assert np.abs(views[3] - expected).mean() < 2

    @pytest.mark.slow
    def test_the_slider_fades_the_map_and_keeps_its_arrow_keys(self, ordinary: Any) -> None:
        find(ordinary, "#i7 summary").click()
        press(ordinary, "o")
        bare = pixels(find(ordinary, ".viewer .stage"))
        press(ordinary, "o")
        slider = find(ordinary, ".viewer [name=opacity]")
        slider.send_keys(Keys.HOME)
        assert np.abs(pixels(find(ordinary, ".viewer .stage")) - bare).max() <= 1
        slider.send_keys(Keys.ARROW_RIGHT)
        assert slider.get_attribute("value") == "1"
        assert viewed(ordinary) == (7, "2 of 40")

    @pytest.mark.slow
    def test_keeps_the_focus_inside(self, ordinary: Any) -> None:
        find(ordinary, "#i7 summary").click()
        for _ in range(12):
            ordinary.switch_to.active_element.send_keys(Keys.TAB)
            assert ordinary.execute_script(
                "return document.activeElement === document.body || document.activeElement.closest('.viewer') !== null"
            )

    def test_offers_a_link_to_what_is_shown(self, ordinary: Any) -> None:
        choose(ordinary, "true", "cat")
        find(ordinary, "#i7 summary").click()
        press(ordinary, Keys.ARROW_RIGHT)
        refuse = "navigator.clipboard.writeText = () => Promise.reject(new DOMException('no', 'NotAllowedError'))"
        copied = "window.copied = null; navigator.clipboard.writeText = async text => { window.copied = text; }"
        for script in (copied, refuse):
            ordinary.execute_script(script)
            find(ordinary, ".viewer [name=copy]").click()
        link = find(ordinary, ".viewer [name=link]").get_attribute("value")
        ordinary.execute_async_script("setTimeout(arguments[0], 300)")  # the address follows
        assert link == ordinary.execute_script("return copied") == ordinary.current_url
        assert link.endswith("#mistakes?true=cat&image=14")

    @pytest.mark.slow
    @pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (390, "light"), (1280, "light")])
    def test_fits_every_screen_and_axe_finds_nothing(
        self, browser: Any, grouped_page: str, tmp_path: Path, width: int, scheme: str
    ) -> None:
        emulate(browser, scheme)
        open_page(browser, grouped_page, tmp_path, anchor="#i14", width=width)
        overflow = browser.execute_script(
            "const box = document.querySelector('.viewer'); return [box.scrollWidth - box.clientWidth, box.offsetWidth]"
        )
        small = browser.execute_script(
            "return [...document.querySelectorAll('.viewer button')].filter(each => each.offsetHeight < 44).length"
        )
        violations, weak = axe(browser), browser.execute_script(CONTRAST)
        emulate(browser)
        assert overflow[0] <= 0
        assert overflow[1] <= width
        assert (small, violations, weak) == (0, [], [])
        assert browser.get_log("browser") == []


@pytest.mark.usefixtures("own_tab")
class TestAddress:
    """A link shows the view that it was copied from, and Back and Forward show it again."""

    def test_back_and_forward_show_form_and_tiles_together(self, ordinary: Any) -> None:
        views = [state(ordinary)]
        for name, value in (("true", "cat"), ("order", "index"), ("true", "dog"), ("confidence", "50-75")):
            choose(ordinary, name, value)
            views.append(state(ordinary))
        assert views[-1][1] == {"true": "dog", "order": "index", "confidence": "50-75"}
        assert len({tuple(tiles) for tiles, _ in views}) == 3  # the order of cats stays, and all dogs match the range
        for step, places in ((-1, (3, 2, 1, 0)), (1, (1, 2, 3, 4))):
            for place in places:
                travel(ordinary, step)
                assert state(ordinary) == views[place]

    def test_back_closes_the_viewer_and_forward_opens_it(self, ordinary: Any) -> None:
        find(ordinary, "#i7 summary").click()
        press(ordinary, Keys.ARROW_RIGHT)
        travel(ordinary, -1)
        assert (viewed(ordinary), focused(ordinary)) == (None, "i14")
        travel(ordinary, 1)
        assert viewed(ordinary) == (7, "2 of 40")  # the address had not followed the step yet

    def test_what_is_typed_is_one_step_of_the_history(self, ordinary: Any) -> None:
        before = state(ordinary)
        find(ordinary, ".filter [name=text]").send_keys("25")
        assert (shown(ordinary), address(ordinary)) == (["i252", "i259"], "#mistakes?text=25")
        travel(ordinary, -1)
        assert state(ordinary) == before

    def test_a_shared_link_shows_the_same_view(self, browser: Any, grouped_page: str, tmp_path: Path) -> None:
        open_page(browser, grouped_page, tmp_path, anchor="#mistakes?slice=2")
        assert 0 <= find(browser, ".filter").rect["y"] - browser.execute_script("return scrollY") < 800
        for anchor, tiles, chosen in (
            ("?slice=2", ["i14", "i21"], {"slice": "2"}),
            ("?finding=confused-pair", ["i0", "i7"], {"finding": "confused-pair"}),
            ("?suspects=only", ["i14"], {"suspects": "only"}),
            ("?slice=2&suspects=only", ["i14"], {"slice": "2", "suspects": "only"}),
            ("?true=cat&predicted=truck", [], {"true": "cat", "predicted": "truck"}),
            ("?confidence=80-95", ["i0"], {"confidence": "80-95"}),
            ("?true=cat&confidence=60-70", ["i14", "i21"], {"true": "cat", "confidence": "60-70"}),
            ("?text=%2325&order=index", ["i252", "i259"], {"text": "#25", "order": "index"}),
        ):
            browser.execute_script("location.hash = arguments[0]", f"#mistakes{anchor}")
            assert state(browser) == (tiles, chosen)
            assert count_shown(browser) == f"{len(tiles)} of 40 mistakes"

    def test_a_shared_image_has_its_place_in_the_filtered_view(
        self, browser: Any, pages: dict[str, str], tmp_path: Path
    ) -> None:
        open_page(browser, pages["ordinary"], tmp_path, anchor="#mistakes?true=cat&order=index&image=14")
        assert viewed(browser) == (14, "3 of 14")
        press(browser, Keys.ESCAPE)
        settle(browser)
        assert (focused(browser), address(browser)) == ("i14", "#mistakes?true=cat&order=index")

    def test_what_the_page_does_not_have_is_stated(self, browser: Any, pages: dict[str, str], tmp_path: Path) -> None:
        asked = "#mistakes?true=zebra&predicted=dog&colour=red&image=5"
        open_page(browser, pages["ordinary"], tmp_path, anchor=asked)
        assert state(browser)[1] == {"predicted": "dog"}
        assert count_shown(browser) == (
            "14 of 40 mistakes. The address also asks for true “zebra”, colour “red”, image 5, which this page does "
            "not have."
        )
        assert browser.get_log("browser") == []

    def test_a_finding_leads_to_its_images(self, ordinary: Any) -> None:
        find(ordinary, '.show a[href="#mistakes?finding=confused-pair"]').click()
        assert state(ordinary) == (["i0", "i7"], {"finding": "confused-pair"})
        assert find(ordinary, ".filter").rect["y"] - ordinary.execute_script("return scrollY") < 800

    def test_classes_of_the_same_name_stay_apart(self, browser: Any, runs: dict[str, Run], tmp_path: Path) -> None:
        facts = dataclasses.replace(runs["two classes"].diagnosis.dataset, classes=["cat", "cat"])
        open_page(
            browser,
            render_page(changed(runs["two classes"], dataset=facts)),
            tmp_path,
            anchor="#mistakes?true=cat+(class+1)",
        )
        assert state(browser) == (["i14"], {"true": "cat (class 1)"})
