"""The page in a real browser: quiet, narrow enough for a phone, legible at night."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

webdriver = pytest.importorskip("selenium.webdriver")

CHROMIUM, CHROMEDRIVER = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")

pytestmark = pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="needs chromium and chromedriver")

CONTRAST = """
const parse = text => { const c = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  c.fillStyle = text; c.fillRect(0, 0, 1, 1); return [...c.getImageData(0, 0, 1, 1).data]; };
const over = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] / 255 + under[i] * (1 - top[3] / 255));
const luminance = rgb => rgb.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const ground = e => { const stack = [];
  for (; e; e = e.parentElement) stack.unshift(getComputedStyle(e).backgroundColor);
  return stack.reduce((under, top) => over(parse(top), under), [255, 255, 255]); };
const weak = [];
for (const e of document.querySelectorAll('body *')) {
  if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || e.tagName === 'title') continue;
  const style = getComputedStyle(e), back = ground(e);
  const front = over(parse(e.namespaceURI.endsWith('svg') ? style.fill : style.color), back);
  const [light, dark] = [luminance(front), luminance(back)].sort((a, b) => b - a);
  if ((light + .05) / (dark + .05) < 4.5) weak.push(e.outerHTML.slice(0, 200));
}
return weak;
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ARGUMENTS:
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    yield driver
    driver.quit()


def resize(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@pytest.fixture
def opened(browser: Any, page: str, tmp_path: Path) -> Any:
    return open_page(browser, page, tmp_path)


def open_page(browser: Any, page: str, folder: Path, anchor: str = "") -> Any:
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    browser.get(f"{file.as_uri()}{anchor}")
    return browser


def test_fits_a_phone_and_reports_no_error(opened: Any) -> None:
    resize(opened, 360)
    assert opened.execute_script("return document.documentElement.scrollWidth") <= 360
    assert opened.get_log("browser") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(browser: Any, pages: dict[str, str], tmp_path: Path, scheme: str) -> None:
    resize(browser, 1280)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    open_page(browser, pages["ordinary"], tmp_path)
    assert browser.execute_script(CONTRAST) == []


def test_is_printed_light(browser: Any, pages: dict[str, str], tmp_path: Path) -> None:
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": features})
    open_page(browser, pages["ordinary"], tmp_path)
    ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert ground == "rgb(255, 255, 255)"


def test_a_link_of_the_matrix_opens_the_folded_group(browser: Any, crowded_page: str, tmp_path: Path) -> None:
    resize(browser, 1280)
    open_page(browser, crowded_page, tmp_path)
    browser.find_element("css selector", '.confusion a[href="#pair-9-8"]').click()
    group = "document.getElementById('pair-9-8')"
    assert browser.execute_script(f"return {group}.closest('details').open")
    assert 0 <= browser.execute_script(f"return {group}.getBoundingClientRect().top") < 800


def test_a_crowded_page_can_be_photographed(browser: Any, crowded_page: str, tmp_path: Path) -> None:
    resize(browser, 1280)
    open_page(browser, crowded_page, tmp_path)
    assert len(browser.get_screenshot_as_png()) > 10_000
    assert browser.get_log("browser") == []
