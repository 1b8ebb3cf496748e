"""What each section says of an ordinary run, and of those that are not."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from bs4 import BeautifulSoup, Tag

from lrdiag.records import Run
from lrdiag.report.page import SECTIONS


def section(page: str, key: str) -> Tag:
    return BeautifulSoup(page, "html.parser").find(id=key)


def words(page: str, key: str) -> str:
    return " ".join(section(page, key).get_text(" ").split())


@pytest.mark.parametrize("key", [section.key for section in SECTIONS])
def test_section_is_as_it_was(pages: dict[str, str], gold: Callable[[str, str], None], key: str) -> None:
    found = re.search(rf'<section id="{key}".*?</section>\n', pages["ordinary"], flags=re.DOTALL)
    assert found
    gold(f"{key}.html", re.sub(r"<svg.*?</svg>", "<svg></svg>", found[0], flags=re.DOTALL))


def test_header_is_as_it_was(pages: dict[str, str], gold: Callable[[str, str], None]) -> None:
    gold("header.html", re.search(r"<header>.*</header>\n", pages["ordinary"], flags=re.DOTALL)[0])


class TestVerdict:
    def test_says_the_result_as_a_person_would(self, pages: dict[str, str]) -> None:
        heading = BeautifulSoup(pages["ordinary"], "html.parser").h1.text
        assert heading == "80.0\u00a0% on 200 cifar10 test images; cat and dog are the most confused pair."

    def test_says_that_there_is_no_mistake(self, pages: dict[str, str]) -> None:
        heading = BeautifulSoup(pages["no mistakes"], "html.parser").h1.text
        assert heading == "100.0\u00a0% on 200 cifar10 test images; not one mistake."

    def test_of_two_classes_the_pair_goes_without_saying(self, pages: dict[str, str]) -> None:
        assert BeautifulSoup(pages["two classes"], "html.parser").h1.text.endswith("; 3 mistakes between cat and dog.")

    @pytest.mark.parametrize(
        ("variant", "said"),
        [
            ("fallback", "Stand-in data: CIFAR-10 could not be had."),
            ("diverged", "Training stopped after 0 of 3 epochs: the loss was not finite at step 5 of epoch 1."),
        ],
    )
    def test_says_first_what_spoils_the_run(self, pages: dict[str, str], variant: str, said: str) -> None:
        first = BeautifulSoup(pages[variant], "html.parser").header.find(True)
        assert first.text == said

    def test_says_what_spoils_the_run_once(self, pages: dict[str, str]) -> None:
        assert pages["diverged"].count('class="caution"') == 1

    def test_has_no_caution_to_give_of_an_ordinary_run(self, pages: dict[str, str]) -> None:
        assert 'class="caution"' not in pages["ordinary"]


class TestFindings:
    def test_come_worst_first(self, pages: dict[str, str]) -> None:
        assert [item["class"] for item in section(pages["ordinary"], "findings")("li")] == [["warning"], ["note"]]

    def test_are_counted(self, pages: dict[str, str]) -> None:
        assert "1 warning, 1 note." in words(pages["ordinary"], "findings")

    def test_nothing_found_is_said(self, pages: dict[str, str]) -> None:
        assert "Every check passed; nothing stands out." in words(pages["no range test"], "findings")


class TestLearningRate:
    def test_says_what_was_read(self, pages: dict[str, str]) -> None:
        said = "The loss falls fastest at a rate of 5.0e-2; the descent runs from 1.0e-2 to 2.5e-1."
        assert said in words(pages["ordinary"], "learning-rate")

    def test_says_where_the_axis_is_cut(self, pages: dict[str, str]) -> None:
        assert "The vertical axis is cut at 3.000" in words(pages["ordinary"], "learning-rate")

    def test_says_why_there_is_none(self, pages: dict[str, str]) -> None:
        assert "The learning rate was given" in words(pages["no range test"], "learning-rate")
        assert section(pages["no range test"], "learning-rate").svg is None

    def test_shows_a_test_that_could_not_be_read(self, pages: dict[str, str]) -> None:
        said = words(pages["unread range test"], "learning-rate")
        assert "No learning rate can be read off this range test. The loss never descends clearly." in said
        assert section(pages["unread range test"], "learning-rate").svg


class TestTraining:
    def test_names_the_best_epoch(self, pages: dict[str, str]) -> None:
        assert "epoch 2 was the best epoch, with 68.8 %" in words(pages["ordinary"], "training").replace("\u00a0", " ")

    def test_shows_steps_that_never_became_an_epoch(self, pages: dict[str, str]) -> None:
        assert "Not one of 3 epochs was completed." in words(pages["diverged"], "training")
        assert section(pages["diverged"], "training").svg


class TestConfusion:
    def test_a_cell_names_both_classes_and_leads_to_its_images(self, pages: dict[str, str]) -> None:
        cell = section(pages["ordinary"], "confusion").find("a", href="#pair-3-5")
        assert (cell.text, cell["aria-label"]) == ("14", "14 cat taken for dog, 70.0\u00a0%")

    def test_heat_is_relative_to_the_largest_error(self, pages: dict[str, str]) -> None:
        table = section(pages["ordinary"], "confusion")
        assert table.find("a", href="#pair-3-5").parent["style"] == "--heat:1.00"
        assert table.find("a", href="#pair-1-9").parent["style"] == "--heat:0.43"

    def test_right_answers_have_no_heat(self, pages: dict[str, str]) -> None:
        cells = section(pages["ordinary"], "confusion")("td", class_="right")
        assert len(cells) == 10
        assert all("style" not in cell.attrs for cell in cells)

    def test_many_classes_give_a_list_instead(self, pages: dict[str, str]) -> None:
        rows = section(pages["many classes"], "confusion").tbody("tr")
        assert [row.find("a")["href"] for row in rows] == ["#pair-0-41", "#pair-7-8"]

    def test_says_that_nothing_is_confused(self, pages: dict[str, str]) -> None:
        assert "No class is taken for another." in words(pages["no mistakes"], "confusion")


class TestClasses:
    def test_names_best_and_worst(self, pages: dict[str, str]) -> None:
        said = words(pages["ordinary"], "classes").replace("\u00a0", " ")
        assert "Found most often: frog, 100.0 % of its images; least often: cat, 30.0 %." in said

    def test_says_what_each_is_taken_for(self, pages: dict[str, str]) -> None:
        assert section(pages["ordinary"], "classes").find("a", href="#pair-3-5").text == "dog, 14"


class TestMisclassified:
    def test_shows_every_item_with_its_map(self, runs: dict[str, Run], page: str, variant: str) -> None:
        diagnosis = runs[variant].diagnosis
        tiles = section(page, "misclassified").select("ul.tiles > li")
        shown = sorted(int(re.search(r"#(\d+)$", tile.p.text)[1]) for tile in tiles)
        assert shown == sorted(item.index for item in diagnosis.misclassified.items)
        maps = 0 if diagnosis.heatmaps.unavailable else len(tiles)
        assert len(section(page, "misclassified").select(".map")) == maps

    def test_a_tile_says_what_happened(self, pages: dict[str, str]) -> None:
        tile = section(pages["ordinary"], "misclassified").find("li")
        assert " ".join(tile.p.get_text(" ").split()) == "cat → dog 90.0 % #0"
        assert [picture["aria-label"] for picture in tile("i")] == ["Test image 0", "Its heatmap"]

    def test_a_tile_stands_at_its_place_in_the_sheet(self, runs: dict[str, Run], pages: dict[str, str]) -> None:
        columns = runs["ordinary"].diagnosis.sheets.photographs.columns
        places = [tile["style"] for tile in section(pages["ordinary"], "misclassified").select("ul.tiles > li")]
        assert sorted(places) == sorted(f"--x:{place % columns};--y:{place // columns}" for place in range(40))

    def test_the_worst_pair_comes_first_and_open(self, pages: dict[str, str]) -> None:
        groups = section(pages["ordinary"], "misclassified")("details")
        assert groups[0].ul["id"] == "pair-3-5"
        assert groups[0].has_attr("open")

    def test_later_pairs_are_folded(self, crowded_page: str) -> None:
        opened = [group.has_attr("open") for group in section(crowded_page, "misclassified")("details")]
        assert opened == [True, True] + [False] * 88

    def test_says_why_there_are_no_maps(self, pages: dict[str, str]) -> None:
        assert "There are no heatmaps: The network has no convolution." in words(pages["no heatmaps"], "misclassified")
        assert "image/png" not in pages["no heatmaps"]

    def test_says_that_there_is_no_mistake(self, pages: dict[str, str]) -> None:
        assert "There is no mistake to show" in words(pages["no mistakes"], "misclassified")


class TestData:
    def test_shows_samples_and_counts_of_every_class(self, pages: dict[str, str]) -> None:
        rows = section(pages["ordinary"], "data").tbody("tr")
        assert len(rows) == 10
        assert rows[3].get_text(" ", strip=True) == "cat 450 20"
        assert len(rows[3].select(".sample")) == 2


class TestReproduce:
    def test_has_command_commit_settings_and_versions(self, pages: dict[str, str]) -> None:
        said = words(pages["ordinary"], "reproduce")
        assert "lrdiag train-and-report --data cifar10" in said
        assert "Git commit 3f2a91c" in said
        assert "mixed precision no limit train not set" in said
        assert "keras 3.15.1" in said

    def test_says_that_there_was_no_command(self, pages: dict[str, str]) -> None:
        assert "This run was started from Python" in words(pages["from python"], "reproduce")
