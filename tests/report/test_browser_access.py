"""The page for every reader: contrast in light and dark, the keyboard, print, and axe-core."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from fixtures.browser import CONTRAST, EACH, NEEDS_BROWSER, Keys, axe, emulate, open_page

pytestmark = NEEDS_BROWSER


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


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", EACH)
def test_axe_finds_nothing(browser: Any, pages: dict[str, str], tmp_path: Path, scheme: str, name: str) -> None:
    emulate(browser, scheme)
    open_page(browser, pages[name], tmp_path)
    browser.execute_script("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    violations = axe(browser)
    emulate(browser)
    assert violations == []
