"""The page in a browser: no errors, fits a phone, enough contrast in light and dark, works without its script.

Every variant of a run is opened by the slow tests; by default only `VARIANTS` are.
"""

from __future__ import annotations

import dataclasses
import functools
import http.server
import importlib
import importlib.util
import os
import shutil
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.variants import changed, without_sheets
from PIL import Image

from lrdiag.record.facts import Misclassified, Run
from lrdiag.report.page import render_page
from lrdiag.report.write import write_page

REQUIRED = "LRDIAG_REQUIRE_BROWSER" in os.environ
if not REQUIRED:
    pytest.importorskip("selenium")
webdriver = importlib.import_module("selenium.webdriver")
Keys = importlib.import_module("selenium.webdriver.common.keys").Keys

CHROMIUM, CHROMEDRIVER = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
VARIANTS = ("ordinary", "hostile and compared", "hostile and followed", "many pairs", "losses only")
"""Together they have every section, every kind of text and the widest contents."""
OTHERS = (
    "fallback", "diverged", "no heatmaps", "no mistakes", "no range test", "unread range test", "two classes",
    "many classes", "left out", "from files", "not numbers", "hostile names", "compared", "from python",
    "without training", "epochs only", "skipped", "followed",
)  # fmt: skip
EACH = [*VARIANTS, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]

pytestmark = pytest.mark.skipif(not ((CHROMIUM and CHROMEDRIVER) or REQUIRED), reason="needs chromium and chromedriver")

CONTRAST = """
const parsed = new Map(), canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const parse = text => { if (!parsed.has(text)) { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1); parsed.set(text, [...canvas.getImageData(0, 0, 1, 1).data]); }
  return parsed.get(text); };
const over = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] / 255 + under[i] * (1 - top[3] / 255));
const luminance = rgb => rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const bar = e => getComputedStyle(e).backgroundImage.match(/^linear-gradient\\((rgb\\([^)]*\\))/)?.[1];
const ground = e => { const stack = [];
  for (; e; e = e.parentElement) stack.unshift(bar(e) ?? getComputedStyle(e).backgroundColor);
  return stack.reduce((under, top) => over(parse(top), under), [255, 255, 255]); };
document.querySelectorAll('details').forEach(fold => fold.open = true);
const weak = [];
for (const e of document.querySelectorAll('body *:not(script, option)')) {
  if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || e.tagName === 'title') continue;
  const style = getComputedStyle(e), back = ground(e);
  const front = over(parse(e.namespaceURI.endsWith('svg') ? style.fill : style.color), back);
  const [light, dark] = [luminance(front), luminance(back)].sort((a, b) => b - a);
  if ((light + .05) / (dark + .05) < 4.5) weak.push(e.outerHTML.slice(0, 200));
}
return weak;
"""
JENKINS_POLICY = "sandbox allow-same-origin; default-src 'none'; img-src 'self'; style-src 'self';"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ARGUMENTS:
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture
def without_script(browser: Any) -> Iterator[Any]:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    yield browser
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def resize(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def emulate(browser: Any, scheme: str = "light", media: str = "") -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def open_page(browser: Any, page: str, folder: Path, anchor: str = "", width: int = 1280) -> Any:
    resize(browser, width)
    browser.get("about:blank")  # otherwise a new anchor alone would not load the page again
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    browser.get(f"{file.as_uri()}{anchor}")
    return browser


@pytest.fixture
def ordinary(browser: Any, pages: dict[str, str], tmp_path: Path) -> Any:
    return open_page(browser, pages["ordinary"], tmp_path)


def find(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def pixels(element: Any) -> np.ndarray:
    """The pixels of an element, as RGB."""
    return np.asarray(Image.open(BytesIO(element.screenshot_as_png)).convert("RGB")).astype(int)


def shows_noise(element: Any) -> bool:
    """Whether an element shows an image of the synthetic run, which is noise."""
    return bool(pixels(element).std() > 30)


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


@pytest.mark.parametrize("name", ["ordinary", "hostile and followed", "losses only"])
def test_text_has_enough_contrast(browser: Any, pages: dict[str, str], tmp_path: Path, name: str) -> None:
    weak = []
    for scheme in ("dark", "light"):
        emulate(browser, scheme)
        open_page(browser, pages[name], tmp_path)
        weak += browser.execute_script(CONTRAST)
    emulate(browser)
    assert weak == []


def test_is_printed_in_light_colours(browser: Any, pages: dict[str, str], tmp_path: Path) -> None:
    emulate(browser, "dark", "print")
    open_page(browser, pages["ordinary"], tmp_path)
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    controls = browser.execute_script("return getComputedStyle(document.querySelector('.filter')).display")
    emulate(browser)
    assert (ground, controls) == ("rgb(255, 255, 255)", "none")


def test_can_be_printed_to_a_file(ordinary: Any) -> None:
    printed = b64decode(ordinary.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF")
    assert 3 <= printed.count(b"/Type /Page\n") <= 20


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
            y, x = divmod(place, 4)  # ten maps of four pixels and a padding of one, in four columns
            heat = sheets[1].convert("RGBA").crop((6 * x, 6 * y, 6 * x + 6, 6 * y + 6))
            over = heat.resize((96, 96), Image.Resampling.BILINEAR).crop((16, 16, 80, 80))
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


def shown(browser: Any) -> list[str]:
    """The ids of the mistakes that the page holds, in their order."""
    script = "return [...document.querySelectorAll('#misclassified .tiles > details')].map(tile => tile.id)"
    return list(browser.execute_script(script))


def choose(browser: Any, name: str, value: str) -> None:
    # what a click on an option does: that of the driver sends no `input`
    script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
    browser.execute_script(script, find(browser, f".filter [name={name}]"), value)


def count_shown(browser: Any) -> str:
    return str(find(browser, ".filter output").text)


class TestFilter:
    def test_offers_the_classes_with_mistakes(self, ordinary: Any) -> None:
        options = {
            name: [option.text for option in ordinary.find_elements("css selector", f"[name={name}] option")]
            for name in ("true", "predicted")
        }
        assert options["true"] == (
            ["any class", "airplane", "automobile", "bird", "cat", "deer", "dog", "ship", "truck"]
        )
        assert options["predicted"] == (
            ["any class", "airplane", "automobile", "cat", "dog", "frog", "horse", "ship", "truck"]
        )

    def test_by_true_class(self, ordinary: Any) -> None:
        choose(ordinary, "true", "cat")
        assert shown(ordinary) == [f"i{7 * place}" for place in range(14)]
        assert count_shown(ordinary) == "14 of 40 mistakes"
        groups = ordinary.find_elements("css selector", ".pair")
        assert [group.is_displayed() for group in groups] == [True] + [False] * 7

    def test_by_predicted_class(self, ordinary: Any) -> None:
        choose(ordinary, "predicted", "truck")
        assert shown(ordinary) == [f"i{7 * place}" for place in range(23, 29)]

    def test_by_keyboard(self, ordinary: Any) -> None:
        find(ordinary, ".filter [name=true]").send_keys("dog")
        assert count_shown(ordinary) == "9 of 40 mistakes"

    def test_by_both_classes(self, ordinary: Any) -> None:
        choose(ordinary, "true", "cat")
        choose(ordinary, "predicted", "truck")
        assert shown(ordinary) == []
        assert count_shown(ordinary) == "0 of 40 mistakes"

    def test_by_number(self, ordinary: Any) -> None:
        find(ordinary, ".filter [name=text]").send_keys("#25")
        assert shown(ordinary) == ["i252", "i259"]

    def test_by_file(self, browser: Any, pages: dict[str, str], tmp_path: Path) -> None:
        open_page(browser, pages["from files"], tmp_path)
        find(browser, ".filter [name=text]").send_keys("5/img")
        assert shown(browser) == [f"i{7 * place}" for place in range(14, 23)]

    def test_sorts_all_by_loss(self, ordinary: Any) -> None:
        choose(ordinary, "order", "loss")
        assert shown(ordinary) == [f"i{7 * place}" for place in range(40)]
        assert not any(group.is_displayed() for group in ordinary.find_elements("css selector", ".pair"))

    @pytest.mark.parametrize(("order", "first"), [("confidence", "i200"), ("index", "i100"), ("loss", "i300")])
    def test_sorts_by_the_chosen_order(
        self, browser: Any, runs: dict[str, Run], tmp_path: Path, order: str, first: str
    ) -> None:
        ranked = [  # the first has the highest loss, the second the highest confidence, the third the lowest index
            dataclasses.replace(item, index=index, confidence=confidence)
            for item, index, confidence in zip(
                runs["two classes"].diagnosis.misclassified.items, (300, 200, 100), (0.6, 0.9999, 0.999), strict=True
            )
        ]
        diagnosis = dataclasses.replace(runs["two classes"].diagnosis, misclassified=Misclassified(3, ranked))
        open_page(browser, render_page(dataclasses.replace(runs["two classes"], diagnosis=diagnosis)), tmp_path)
        choose(browser, "order", order)
        assert shown(browser)[0] == first
        assert len(shown(browser)) == 3

    def test_sorts_the_filtered_images(self, ordinary: Any) -> None:
        choose(ordinary, "order", "index")
        choose(ordinary, "predicted", "dog")
        assert shown(ordinary) == [f"i{7 * place}" for place in range(14)]

    def test_names_the_pair_of_each_tile_without_headings(self, ordinary: Any) -> None:
        label = "return getComputedStyle(document.querySelector('#i7 summary'), '::after').content"
        assert ordinary.execute_script(label) == "none"
        choose(ordinary, "order", "loss")
        assert ordinary.execute_script(label) == '"cat → dog"'

    def test_shows_all_again(self, ordinary: Any) -> None:
        before = shown(ordinary)
        choose(ordinary, "order", "confidence")
        choose(ordinary, "true", "automobile")
        find(ordinary, ".filter button").click()
        assert shown(ordinary) == before
        assert count_shown(ordinary) == "All 40 mistakes"
        assert all(group.is_displayed() for group in ordinary.find_elements("css selector", ".pair"))

    def test_folds_the_groups_again(self, browser: Any, crowded_page: str, tmp_path: Path) -> None:
        folded = "return [...document.querySelectorAll('.pair')].map(group => group.open)"
        open_page(browser, crowded_page, tmp_path)
        before = browser.execute_script(folded)
        choose(browser, "true", "truck")
        assert find(browser, "#pair-9-8 summary").is_displayed()
        choose(browser, "true", "")
        assert browser.execute_script(folded) == before

    def test_opens_folded_groups(self, browser: Any, pages: dict[str, str], tmp_path: Path) -> None:
        open_page(browser, pages["many pairs"], tmp_path)
        choose(browser, "true", "class 11")
        assert find(browser, "#pair-11-10 summary").is_displayed()

    def test_a_link_to_a_hidden_group_shows_it_again(self, ordinary: Any) -> None:
        choose(ordinary, "true", "cat")
        find(ordinary, '.confusion a[href="#pair-5-3"]').click()
        assert find(ordinary, "#pair-5-3 summary").is_displayed()
        assert count_shown(ordinary) == "All 40 mistakes"

    def test_informs_screen_readers(self, ordinary: Any) -> None:
        assert find(ordinary, ".filter output").get_attribute("aria-live") == "polite"

    def test_enter_does_not_leave_the_page(self, ordinary: Any) -> None:
        before = ordinary.current_url
        find(ordinary, ".filter [name=text]").send_keys("7", Keys.ENTER)
        assert ordinary.current_url == f"{before}#mistakes?text=7"
        assert ordinary.get_log("browser") == []

    def test_hostile_names_stay_text(self, browser: Any, pages: dict[str, str], tmp_path: Path) -> None:
        open_page(browser, pages["hostile names"], tmp_path)
        choose(browser, "true", find(browser, ".filter [name=true] option:nth-child(2)").text)
        choose(browser, "order", "loss")
        assert len(shown(browser)) == 3
        assert browser.execute_script("return document.scripts.length") == 1
        assert browser.get_log("browser") == []


def test_the_keyboard_reaches_everything(ordinary: Any) -> None:
    """The tab key reaches skip link, contents, matrix, controls, groups and tiles, and leaves each of them."""
    script = """
    const e = document.activeElement;
    return e === document.body ? null : [e.tagName, e.getAttribute('href') ?? e.name ?? e.parentElement.id ?? '',
      getComputedStyle(e).outlineStyle];
    """
    count = ordinary.execute_script(
        "return [...document.querySelectorAll('a, summary, select, input, button, [tabindex]')]"
        ".filter(each => each.checkVisibility()).length"  # not what is folded
    )
    reached = []
    for _ in range(count + 1):
        ordinary.switch_to.active_element.send_keys(Keys.TAB)
        if (here := ordinary.execute_script(script)) is None:
            break
        reached.append(tuple(here))
    assert len(reached) == count
    assert all(outline != "none" for *_, outline in reached)
    assert reached[0][:2] == ("A", "#findings")
    names = {name for _, name, _ in reached}
    assert names >= {"#pair-3-5", "true", "predicted", "text", "order", "clear", "i0", "i273"}


def press(browser: Any, *keys: str) -> None:
    for key in keys:
        browser.switch_to.active_element.send_keys(key)


def settle(browser: Any) -> None:
    """Waits until the events of the last key are handled."""
    browser.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0]))")


def close(browser: Any) -> None:
    """Closes the viewer with Esc and waits for the step back in the history."""
    returned(browser, lambda: press(browser, Keys.ESCAPE))


def travel(browser: Any, steps: int) -> None:
    """Back or forward. The driver's own commands skip steps that no real click made."""
    returned(browser, lambda: browser.execute_script("history.go(arguments[0])", steps))


def returned(browser: Any, act: Callable[[], None]) -> None:
    browser.execute_script("window.returned = new Promise(done => addEventListener('hashchange', done, {once: true}))")
    act()
    browser.execute_async_script("window.returned.then(() => arguments[0]())")


def address(browser: Any) -> str:
    return str(browser.execute_script("return location.hash"))


def viewed(browser: Any) -> tuple[int, str] | None:
    """Index and position of the image in the viewer; `None` if it is closed."""
    if not find(browser, ".viewer").is_displayed():
        return None
    return int(find(browser, "[data-show=index]").text), find(browser, "[data-show=position]").text


def focused(browser: Any) -> str:
    """The tile that has the focus."""
    return str(browser.execute_script("return document.activeElement.closest('.tiles > details')?.id"))


def state(browser: Any) -> tuple[list[str], dict[str, str]]:
    """The tiles, and what is chosen in the form."""
    script = """return Object.fromEntries([...document.querySelectorAll('.filter :is(select, input)')]
      .map(field => [field.name, field.type === 'checkbox' ? (field.checked ? field.value : '') : field.value])
      .filter(([, value]) => value))"""
    return shown(browser), browser.execute_script(script)


@pytest.fixture
def own_tab(browser: Any) -> Iterator[None]:
    """A tab with a history of its own: the browser drops the oldest of 50 entries, also while it steps back."""
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    yield
    browser.close()
    browser.switch_to.window(first)


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


@pytest.fixture
def serve() -> Iterator[Callable[[Path, str], str]]:
    """Serves a folder with a Content-Security-Policy and returns its address."""
    servers = []

    def start(folder: Path, policy: str) -> str:
        class Handler(http.server.SimpleHTTPRequestHandler):
            def end_headers(self) -> None:
                self.send_header("Content-Security-Policy", policy)
                super().end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


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


def test_a_screenshot_of_a_crowded_page_can_be_taken(browser: Any, crowded_page: str, tmp_path: Path) -> None:
    open_page(browser, crowded_page, tmp_path)
    assert len(browser.get_screenshot_as_png()) > 10_000
    assert browser.get_log("browser") == []


AXE = importlib.util.find_spec("axe_playwright_python")  # contains axe-core as a file; neither is imported
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def axe(browser: Any) -> list[Any]:
    """What axe-core finds on the page as it is."""
    if not (AXE or REQUIRED):
        pytest.skip("needs axe-playwright-python")
    assert AXE, "pip install --no-deps axe-playwright-python"
    assert AXE.submodule_search_locations
    browser.execute_script((Path(AXE.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8"))
    found = browser.execute_async_script(
        "const tell = arguments[arguments.length - 1];"
        "axe.run({runOnly: arguments[0]}).then(found => tell(found.violations.map("
        "each => [each.id, each.help, each.nodes.length, each.nodes[0].html.slice(0, 200)])))",
        RULES,
    )
    return list(found)


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", EACH)
def test_axe_finds_nothing(browser: Any, pages: dict[str, str], tmp_path: Path, scheme: str, name: str) -> None:
    emulate(browser, scheme)
    open_page(browser, pages[name], tmp_path)
    browser.execute_script("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    violations = axe(browser)
    emulate(browser)
    assert violations == []
