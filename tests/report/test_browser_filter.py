"""The form that filters and sorts the mistakes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from fixtures.browser import NEEDS_BROWSER, Keys, choose, count_shown, find, open_page, shown

from lrdiag.record.facts import Misclassified, Run
from lrdiag.report.page import render_page

pytestmark = NEEDS_BROWSER


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

    def test_counts_one_mistake_as_one(self, browser: Any, runs: dict[str, Run], tmp_path: Path) -> None:
        run = runs["two classes"]
        only = Misclassified(1, run.diagnosis.misclassified.items[:1])
        diagnosis = dataclasses.replace(run.diagnosis, misclassified=only)
        sheets = {name: dataclasses.replace(sheet, count=1, items=None) for name, sheet in run.pictures.sheets.items()}
        pictures = dataclasses.replace(run.pictures, sheets=sheets)
        open_page(browser, render_page(dataclasses.replace(run, diagnosis=diagnosis, pictures=pictures)), tmp_path)
        assert count_shown(browser) == "1 mistake"
        find(browser, ".filter [name=text]").send_keys("no such file")
        assert count_shown(browser) == "0 of 1 mistake"

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
