"""The content of each section, for an ordinary run and for the variants."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bs4 import Tag
from fixtures.pages import parse
from fixtures.variants import changed, without_sheets

from lrdiag import palette
from lrdiag.record.arrays import SkippedFile
from lrdiag.record.facts import Check, Finding, GateFacts, HeatmapTrust, IndependentCheck, Moment, Run, TrainingRun
from lrdiag.report.page import SECTIONS, render_page
from lrdiag.report.sections import evolution, findings, training, verdict
from lrdiag.report.sections.trust import independent_sentence, trust_sentence
from lrdiag.report.sections.verdict import Caution

CLASSES = ["airplane", "automobile", "bird", "cat", "deer"]
FOLLOWED = 5


def section(page: str, key: str) -> Tag:
    return parse(page).find(id=key)


def words(page: str, key: str) -> str:
    return " ".join(section(page, key).get_text(" ").split())


@pytest.mark.parametrize("key", [section.key for section in SECTIONS if section.key not in ("comparison", "curves")])
def test_each_section_equals_its_gold_file(pages: dict[str, str], gold: Callable[[str, str], None], key: str) -> None:
    page = pages["followed" if key == "evolution" else "ordinary"]
    found = re.search(rf'<section id="{key}".*?</section>\n', page, flags=re.DOTALL)
    assert found
    gold(f"{key}.html", re.sub(r"<svg.*?</svg>", "<svg></svg>", found[0], flags=re.DOTALL))


def test_the_header_equals_its_gold_file(pages: dict[str, str], gold: Callable[[str, str], None]) -> None:
    gold("header.html", re.search(r"<header>.*</header>\n", pages["ordinary"], flags=re.DOTALL)[0])


class TestVerdict:
    def test_states_the_result(self, pages: dict[str, str]) -> None:
        heading = parse(pages["ordinary"]).h1.text
        assert heading == "80.0\u00a0% on 200 cifar10 test images"

    def test_states_that_there_are_no_mistakes(self, pages: dict[str, str]) -> None:
        heading = parse(pages["no mistakes"]).h1.text
        assert heading == "100.0\u00a0% on 200 cifar10 test images"

    def test_a_pair_of_few_images_is_not_named(self, runs: dict[str, Run]) -> None:
        assert verdict.build(runs["two classes"]).sentence.endswith("; 3 images are misclassified")
        assert "Most confused" not in figures(runs["two classes"])

    def test_names_the_worst_pair_the_weakest_class_and_the_rate(self, runs: dict[str, Run]) -> None:
        shown = figures(runs["ordinary"])
        assert shown["Most confused"] == ("14 images", "cat predicted as dog")
        assert shown["Lowest recall"] == ("30.0\u00a0%", "of cat")
        assert shown["Learning rate"] == ("0.25", "highest; lowest 0.021")

    def test_no_pair_is_named_if_a_finding_explains_it(self, runs: dict[str, Run]) -> None:
        finding = Finding("collapsed-predictions", "error", "One class.", "All of them.", "Train.")
        sentence = verdict.verdict_sentence(changed(runs["ordinary"], findings=[finding]).diagnosis)
        assert sentence.endswith("; 40 images are misclassified")

    def test_begins_with_what_is_wrong_and_what_to_do(self, pages: dict[str, str]) -> None:
        header = parse(pages["diverged"]).header
        _, heading, remedy, caution = header.find_all(True, recursive=False)[:4]
        assert heading.name == "h1"
        assert heading.text == "Training stopped early: the loss was not finite at step 5 of epoch 1."
        assert remedy.text == "What to do: Lower it. Evidence"
        assert caution.text == "Do not trust the result: 10.0\u00a0% on 200 cifar10 test images."

    def test_an_accepted_error_is_not_what_is_wrong(self, runs: dict[str, Run]) -> None:
        (error,) = runs["diverged"].diagnosis.findings
        accepted = changed(runs["diverged"], findings=[dataclasses.replace(error, accepted="it is known")])
        assert verdict.build(accepted).problem is None
        assert verdict.build(accepted).sentence.startswith("10.0\u00a0% on 200")

    def test_further_errors_are_cautions(self, runs: dict[str, Run]) -> None:
        (error,) = runs["diverged"].diagnosis.findings
        other = dataclasses.replace(error, title="Another one.")
        both = verdict.build(changed(runs["diverged"], findings=[error, other]))
        assert (both.problem, both.cautions) == (error, [Caution("Error", "Another one.")])

    def test_gates_are_explained_failed_ones_first(self, runs: dict[str, Run]) -> None:
        gates = [
            GateFacts("fail-under", "accuracy", 0.7, 0.8, True),
            GateFacts("fail-under", "recall.cat", 0.6, 0.3, False),
            GateFacts("fail-if-worse", "accuracy", 0.01, 0.02, False),
            GateFacts("fail-on", "warning", 0.0, 2.0, False),
        ]
        page = parse(render_page(changed(runs["compared"], gates=gates)))
        failed, passed = page.header.select(".gates .failed"), page.header.select(".gates > details:not(.failed)")
        texts = [gate.get_text(" ", strip=True).replace("\u00a0", " ") for gate in failed]
        assert texts[0].startswith(
            "✗ Gate failed. Recall of cat: 30.0 %, required: at least 60.0 % Recall of cat is the share of the images "
            "of this class that are classified correctly; 95 % interval 14.5 to 51.9 % on 20 images. What to do: "
        )
        assert "Accuracy: 2 points worse than the baseline, allowed: 1 point worse" in texts[1]
        assert "interval of the difference is −2.7 to +3.7 points." in texts[1]
        assert "Findings: 2 errors or warnings, allowed: none" in texts[2]
        assert [gate.a["href"] for gate in failed] == ["#classes", "#comparison", "#findings"]
        assert [gate.has_attr("open") for gate in (*failed, *passed)] == [True, True, True, False]
        assert passed[0].summary.text == "✓ 1 gate passed"
        assert "Accuracy: 80.0 %, required: at least 70.0 %" in passed[0].li.text.replace("\u00a0", " ")

    @pytest.mark.parametrize(
        ("actual", "title"),
        [
            (0.77996, "Accuracy: 77.996 %, required: at least 78.000 %"),
            (0.7796, "Accuracy: 77.96 %, required: at least 78.00 %"),
            (None, "Accuracy: not defined, required: at least 78.0 %"),
        ],
    )
    def test_a_value_just_below_its_limit_does_not_look_equal_to_it(
        self, runs: dict[str, Run], actual: float | None, title: str
    ) -> None:
        gates = [GateFacts("fail-under", "accuracy", 0.78, actual, False)]
        (gate,) = verdict.build(changed(runs["ordinary"], gates=gates)).failed
        assert gate.title.replace("\u00a0", " ") == title

    def test_states_that_the_user_stopped_training(self, runs: dict[str, Run]) -> None:
        run = runs["ordinary"]
        stop = {
            "epochs": run.diagnosis.training.epochs[:1],
            "interrupted": True,
            "stop_reason": "interrupted in epoch 2",
        }
        training = dataclasses.replace(run.diagnosis.training, **stop)
        cautions = verdict.build(changed(run, training=training)).cautions
        assert cautions == [Caution("Training stopped after 1 of 3 epochs", "interrupted in epoch 2.")]

    def test_data_without_a_name_are_not_named(self, pages: dict[str, str]) -> None:
        header = parse(pages["without training"]).header
        assert header.h1.text == "80.0\u00a0% on 200 test images"
        assert header.find(class_="subject").text == "fast, 1,218,346 parameters"

    @pytest.mark.parametrize(
        ("variant", "expected"),
        [("ordinary", ("0.25", "highest; lowest 0.021")), ("epochs only", None), ("without training", None)],
    )
    def test_states_the_learning_rate_if_it_is_known(
        self, runs: dict[str, Run], variant: str, expected: tuple[str, str] | None
    ) -> None:
        assert figures(runs[variant]).get("Learning rate") == expected

    @pytest.mark.parametrize(
        ("counts", "shown"), [([40, 20, 20], True), ([39, 20, 20], False), ([20, 0, 20], False), ([20, 0, 40], True)]
    )
    def test_states_the_balanced_accuracy_if_classes_differ_in_size(
        self, runs: dict[str, Run], counts: list[int], shown: bool
    ) -> None:
        run = runs["ordinary"]
        dataset = dataclasses.replace(run.diagnosis.dataset, test_counts=counts)
        assert figures(changed(run, dataset=dataset)).get("Balanced accuracy") == (
            ("75.0\u00a0%", "every class has the same weight") if shown else None
        )

    @pytest.mark.parametrize(
        ("classes", "share", "shown"), [(20, 0.9375, True), (19, 0.9375, False), (20, None, False)]
    )
    def test_states_the_top_five_accuracy_of_many_classes(
        self, runs: dict[str, Run], classes: int, share: float | None, shown: bool
    ) -> None:
        run = runs["ordinary"]
        dataset = dataclasses.replace(run.diagnosis.dataset, classes=[f"class {place}" for place in range(classes)])
        test = dataclasses.replace(run.diagnosis.test, top5_accuracy=share)
        assert figures(changed(run, dataset=dataset, test=test)).get("Top-5 accuracy") == (
            ("93.8\u00a0%", "true class among the five most probable") if shown else None
        )

    def test_states_no_calibration_error_without_confidences(self, runs: dict[str, Run]) -> None:
        assert "Calibration error" in figures(runs["ordinary"])
        assert "Calibration error" not in figures(runs["not numbers"])

    def test_an_ordinary_run_has_no_warning(self, pages: dict[str, str]) -> None:
        assert 'class="caution"' not in pages["ordinary"]


class TestFindings:
    def test_are_most_severe_first(self, pages: dict[str, str]) -> None:
        assert [item["class"] for item in section(pages["ordinary"], "findings").ol("li")] == [["warning"], ["note"]]

    def test_are_counted(self, pages: dict[str, str]) -> None:
        assert "1 warning, 1 note." in words(pages["ordinary"], "findings")

    def test_link_to_their_section(self, pages: dict[str, str]) -> None:
        links = section(pages["ordinary"], "findings").select("p:not([hidden]) > a")
        assert [(link.text, link["href"]) for link in links] == [("Training", "#training"), ("Confusion", "#confusion")]

    def test_do_not_link_to_a_missing_section(self, pages: dict[str, str]) -> None:
        links = section(pages["without training"], "findings").select("p:not([hidden]) > a")
        assert [link["href"] for link in links] == ["#confusion"]
        assert not re.search('"#(training|learning-rate)"', pages["without training"])

    def test_one_without_a_section_has_no_link(self, pages: dict[str, str]) -> None:
        assert section(pages["hostile names"], "findings").select("p:not([hidden]) > a") == []

    def test_one_expandable_line_lists_the_checks_and_the_reasons(self, pages: dict[str, str]) -> None:
        folded = section(pages["ordinary"], "findings").find_all("details", recursive=False)[-1]
        assert not folded.has_attr("open")
        assert folded.summary.text == "2 checks passed, 1 not checked"
        assert [item.text for item in folded("li")] == ["regression: the run was not compared with a baseline."]
        assert "Passed: at-chance (0.8; threshold 0.142), no-heatmaps." in folded.text

    def test_seven_are_open_and_the_others_folded(self, runs: dict[str, Run]) -> None:
        found = [Finding(f"code-{place}", "note", f"Title {place}.", "", "") for place in range(9)]
        items = section(render_page(changed(runs["ordinary"], findings=found)), "findings")
        first, rest = items("ol")
        assert len(first.find_all("li", recursive=False)) == 7
        assert [heading.text for heading in rest("h3")] == ["Title 7.", "Title 8."]
        assert rest.parent.name == "details"
        assert rest.parent.summary.text == "2 more findings"

    def test_effects_are_folded_under_their_cause(self, runs: dict[str, Run]) -> None:
        effect = Finding("at-chance", "error", "It guesses.", "10 %.", "Train it.")
        cause = Finding("not-scaled", "error", "Images are not scaled.", "", "Use `x / 255`.", effects=[effect])
        page = render_page(changed(runs["ordinary"], findings=[cause]))
        (item,) = section(page, "findings").ol.find_all("li", recursive=False)
        assert item.details.summary.text == "Explains 1 other problem"
        assert item.details.li.text == "It guesses. 10 %."
        assert words(page, "findings").startswith("Findings 1 error.")
        assert [code.text for code in item("code")] == ["x / 255", "not-scaled"]

    def test_accepted_ones_stand_apart_with_their_reason(self, runs: dict[str, Run]) -> None:
        overfitting, pair = runs["ordinary"].diagnosis.findings
        run = changed(runs["ordinary"], findings=[dataclasses.replace(overfitting, accepted="a demo"), pair])
        assert findings.build(run).sentence == "1 note. Accepted: 1 finding."
        first, accepted = section(render_page(run), "findings")("ol")
        assert [heading.text for heading in first("h3")] == [pair.title]
        assert accepted.parent.summary.text == "1 accepted finding"
        assert "Accepted: a demo" in accepted.text
        assert "Augment more." not in accepted.text
        alone = changed(run, findings=run.diagnosis.findings[:1])
        assert findings.build(alone).sentence.startswith("No other findings, but not every check could be made. Acc")

    def test_say_why_they_matter_and_when_they_were_known(self, runs: dict[str, Run]) -> None:
        early = Finding("a-code", "note", "T.", "E.", "A.", why="It matters.", known="before training")
        (item,) = section(render_page(changed(runs["ordinary"], findings=[early])), "findings").ol("li")
        assert [part.text for part in item("p")] == [
            "E.",
            "It matters.",
            "What to do: A.",
            "a-code, known before training",
        ]

    def test_names_cannot_leave_their_place(self, runs: dict[str, Run]) -> None:
        nasty = "`<b>x</b>` <i> `</code><script>` & `ok`"
        found = Finding(nasty, "error", nasty, nasty, nasty, why=nasty, effects=[Finding(nasty, "note", nasty, "", "")])
        page = parse(
            render_page(changed(runs["ordinary"], findings=[found, dataclasses.replace(found, accepted=nasty)]))
        )
        for part in (page.header, page.find(id="findings")):
            assert part("b") == part("i") == part("script") == []
        assert page.header.h1.text == nasty.replace("`", "")

    def test_nothing_found_is_not_called_passed_if_something_was_not_checked(self, runs: dict[str, Run]) -> None:
        run = changed(runs["ordinary"], findings=[])
        assert findings.build(run).sentence == "No findings, but not every check could be made."

    def test_states_that_all_checks_passed(self, runs: dict[str, Run]) -> None:
        passed = [Check("at-chance", "passed"), Check("overfitting", "passed", 0.01, 0.05)]
        assert findings.build(changed(runs["ordinary"], findings=[], checks=passed)).sentence == "All 2 checks passed."

    def test_a_run_of_version_01_states_that_it_recorded_no_checks(self, runs: dict[str, Run]) -> None:
        run = changed(runs["ordinary"], findings=[], checks=[])
        assert findings.build(run).sentence == "No findings, but lrdiag 0.1 did not record its checks."
        assert "lrdiag 0.1 did not record its checks" in words(render_page(run), "findings")


class TestLearningRate:
    def test_states_the_suggestion_and_the_boundaries(self, pages: dict[str, str]) -> None:
        expected = "Suggestion: 0.05, where the loss falls fastest. A cycle may run from 0.01 to 0.25."
        assert section(pages["ordinary"], "learning-rate").find(class_="answer").text == expected

    def test_an_option_is_never_broken_between_lines(self, pages: dict[str, str]) -> None:
        held = [whole.text for whole in section(pages["ordinary"], "learning-rate")("span", class_="whole")]
        assert held == ["--repeats", "--json"]

    def test_states_where_the_axis_is_cut(self, pages: dict[str, str]) -> None:
        assert "The vertical axis ends at 3.000; higher losses are not shown." in words(
            pages["ordinary"], "learning-rate"
        )

    def test_states_why_there_is_none(self, pages: dict[str, str]) -> None:
        assert "The learning rate was given" in words(pages["no range test"], "learning-rate")
        assert section(pages["no range test"], "learning-rate").svg is None

    def test_shows_a_test_without_suggestion(self, pages: dict[str, str]) -> None:
        content = words(pages["unread range test"], "learning-rate")
        assert "No learning rate can be read from this range test. The loss never descends clearly." in content
        assert section(pages["unread range test"], "learning-rate").svg


class TestTraining:
    def test_names_the_best_epoch(self, pages: dict[str, str]) -> None:
        content = words(pages["ordinary"], "training").replace("\u00a0", " ")
        assert "The best epoch was epoch 2, with a validation accuracy of 68.8 %." in content

    def test_shows_the_steps_of_an_incomplete_epoch(self, pages: dict[str, str]) -> None:
        assert "None of 3 epochs was completed." in words(pages["diverged"], "training")
        assert section(pages["diverged"], "training").svg

    def test_without_accuracy_it_states_the_losses(self, runs: dict[str, Run], pages: dict[str, str]) -> None:
        expected = "After 3 epochs: training loss 0.750, validation loss 1.000. Accuracy was not measured."
        assert expected in words(pages["losses only"], "training")
        epochs = [dataclasses.replace(each, val_loss=None) for each in runs["losses only"].diagnosis.training.epochs]
        unvalidated = dataclasses.replace(runs["losses only"].diagnosis.training, epochs=epochs)
        assert training.build(changed(runs["losses only"], training=unvalidated)).sentence == (
            "After 3 epochs: training loss 0.750. Accuracy was not measured."
        )

    def test_missing_measurements_are_dashes(self, pages: dict[str, str]) -> None:
        rows = [row.get_text("|") for row in section(pages["losses only"], "training").tbody("tr")]
        assert [row.replace("\u00a0", " ") for row in rows] == [
            "1|2.000|–|1.750|–|–",
            "2|not finite|–|–|–|–",
            "3|0.750|–|1.000|–|4.0 s",
        ]

    def test_a_validation_loss_that_is_not_finite_is_not_a_dash(self, runs: dict[str, Run]) -> None:
        run = runs["epochs only"]
        epochs = [dataclasses.replace(run.diagnosis.training.epochs[0], val_loss=None)]
        page = render_page(changed(run, training=dataclasses.replace(run.diagnosis.training, epochs=epochs)))
        assert section(page, "training").tbody.tr("td")[2].text == "not finite"

    def test_without_steps_it_shows_the_epochs(self, pages: dict[str, str]) -> None:
        shown = section(pages["epochs only"], "training")
        assert shown.svg["aria-label"].startswith("Loss and accuracy over 3 epochs; at the end training accuracy 75.0")
        assert "batch. " not in shown.figcaption.text
        assert "Each faint point is the loss of one batch." in section(pages["ordinary"], "training").figcaption.text
        assert "After 3 epochs: training accuracy 75.0" in words(pages["epochs only"], "training")

    def test_states_how_many_batches_a_window_has(self, runs: dict[str, Run]) -> None:
        run = runs["ordinary"]
        steps = dataclasses.replace(run.diagnosis.training, loss_per_step=[1.0 + step / 600 for step in range(600)])
        facts = training.build(changed(run, training=steps))
        assert facts.batches.startswith("The thin line is the median loss of 10 consecutive batches")
        assert facts.cut is None

    def test_states_where_the_axis_ends(self, runs: dict[str, Run], pages: dict[str, str]) -> None:
        run = runs["ordinary"]
        losses: list[float | None] = [*np.linspace(2, 1, 595), *[1e6] * 5]
        diverged = changed(run, training=dataclasses.replace(run.diagnosis.training, loss_per_step=losses))
        end = training.build(diverged).cut
        assert end == pytest.approx(0.75 + 1.5 * (2.0 - 0.75), rel=0.01)  # the losses of the epochs are 0.75 to 2
        assert f"The axis of the losses ends at {end:.3f}; higher losses are not shown." in render_page(diverged)
        assert "The axis of the losses ends at" not in pages["ordinary"]

    def test_a_resumed_run_has_the_numbers_of_its_epochs(self, runs: dict[str, Run]) -> None:
        run = runs["ordinary"]
        resumed = dataclasses.replace(run.diagnosis.training, first_epoch=6, earlier_updates=0)
        page = render_page(changed(run, training=resumed))
        assert [row.th.text for row in section(page, "training").tbody("tr")] == ["6", "7", "8"]
        assert "best" in section(page, "training").tbody("tr")[1].text
        content = words(page, "training")
        assert "After 3 epochs (6 to 8)" in content
        assert "The best epoch was epoch 7" in content
        assert "The optimizer had made no updates before epoch 6: its state and its schedule began again" in content
        assert {"6", "7", "8"} <= {text.text for text in section(page, "training").svg("text")}

    @pytest.mark.parametrize(
        ("facts", "remark"),
        [
            (
                {"weights": "those of epoch 3, the last", "weights_epoch": 3},
                "The weights are those of epoch 3, the last.",
            ),
            (
                {"epochs_planned": 9, "ended_by": "EarlyStopping"},
                "EarlyStopping ended training after 3 of 9 planned epochs.",
            ),
            ({"epochs_planned": 9, "ended_by": "a callback"}, "A callback ended training after 3 of 9 planned epochs."),
            ({"epochs_planned": 9}, "Training ended after 3 of 9 planned epochs."),
            ({"epochs_planned": 9, "stop_reason": "the loss was not finite"}, ""),
            ({"earlier_updates": 1}, "The optimizer had made 1 earlier update, which this section does not show."),
            ({"earlier_updates": 0}, ""),
        ],
    )
    def test_a_remark_says_what_the_figures_do_not_show(
        self, runs: dict[str, Run], facts: dict[str, Any], remark: str
    ) -> None:
        run = runs["ordinary"]
        special = dataclasses.replace(run.diagnosis.training, **facts)
        assert training.build(changed(run, training=special)).remarks == [remark] * bool(remark)

    def test_an_output_without_a_loss_has_dashes(self, runs: dict[str, Run]) -> None:
        run = runs["epochs only"]
        epochs = [dataclasses.replace(each, loss=None, val_loss=None) for each in run.diagnosis.training.epochs]
        of_output = dataclasses.replace(run.diagnosis.training, epochs=epochs, output="species")
        page = render_page(changed(run, training=of_output))
        assert {row("td")[0].text + row("td")[2].text for row in section(page, "training").tbody("tr")} == {"––"}
        assert "Loss and accuracy are those of the output species." in words(page, "training")

    def test_states_the_known_settings(self, pages: dict[str, str]) -> None:
        recipes = [section(pages[name], "training")("p")[1:] for name in ("ordinary", "epochs only", "losses only")]
        assert [[each.text for each in recipe] for recipe in recipes] == [
            ["SGD, momentum 0.9; one triangular cycle."],
            ["Adam."],
            [],
        ]

    def test_a_training_run_without_records_has_no_chart(self, runs: dict[str, Run]) -> None:
        nothing = TrainingRun([], [], [], 1, 3, "", "", "interrupted after 0 steps", None, interrupted=True)
        page = render_page(changed(runs["epochs only"], training=nothing))
        assert "None of 3 epochs was completed." in words(page, "training")
        assert section(page, "training").find(["figure", "table"]) is None


class TestConfusion:
    def test_a_cell_names_both_classes_and_links_to_its_images(self, pages: dict[str, str]) -> None:
        cell = section(pages["ordinary"], "confusion").find("a", href="#pair-3-5")
        assert (cell.text, cell["aria-label"]) == ("14", "14 cat predicted as dog, 70.0\u00a0%")

    def test_heat_is_relative_to_the_largest_error(self, pages: dict[str, str]) -> None:
        table = section(pages["ordinary"], "confusion")
        assert table.find("a", href="#pair-3-5").parent["class"] == ["p100"]
        assert table.find("a", href="#pair-1-9").parent["class"] == ["p43"]

    def test_correct_predictions_have_no_heat(self, pages: dict[str, str]) -> None:
        cells = section(pages["ordinary"], "confusion")("td", class_="right")
        assert len(cells) == 10
        assert all(cell["class"] == ["right"] for cell in cells)

    def test_many_classes_give_a_list_instead(self, pages: dict[str, str]) -> None:
        rows = section(pages["many classes"], "confusion").tbody("tr")
        assert [row.find("a")["href"] for row in rows] == ["#pair-0-41", "#pair-7-8"]

    def test_a_number_without_pictures_has_no_link(self, pages: dict[str, str]) -> None:
        table = section(pages["left out"], "confusion")
        assert [link["href"] for link in table("a")] == ["#pair-3-5", "#pair-9-1"]
        assert [cell.text for cell in table("td", class_="p64")] == ["9"]

    def test_states_that_nothing_is_confused(self, pages: dict[str, str]) -> None:
        assert "No image is misclassified." in words(pages["no mistakes"], "confusion")


class TestClasses:
    def test_names_best_and_worst(self, pages: dict[str, str]) -> None:
        content = words(pages["ordinary"], "classes").replace("\u00a0", " ")
        assert "Highest recall: frog, 100.0 %; lowest: cat, 30.0 %." in content

    def test_means_are_in_the_table_footer(self, pages: dict[str, str]) -> None:
        rows = [
            [cell.text.replace("\u00a0", " ") for cell in row(["th", "td"])]
            for row in section(pages["ordinary"], "classes").tfoot("tr")
        ]
        assert rows == [
            ["Macro average", "", "75.0 %", "81.2 %", "78.0 %", "", "", ""],
            ["Weighted average", "", "80.0 %", "84.0 %", "82.0 %", "", "", ""],
        ]

    def test_names_the_most_frequent_wrong_prediction(self, pages: dict[str, str]) -> None:
        assert section(pages["ordinary"], "classes").find("a", href="#pair-3-5").text == "dog, 14"


def tiles(page: str) -> list[Tag]:
    return parse(page, "html5lib").find(id="misclassified").select(".tiles > details")


def figures(run: Run) -> dict[str, tuple[str, str]]:
    return {each.name: (each.value, each.detail) for each in verdict.build(run).figures}


class TestMisclassified:
    def test_shows_every_item_with_its_maps(self, runs: dict[str, Run], page: str, variant: str) -> None:
        diagnosis, sheet = runs[variant].diagnosis, runs[variant].pictures.sheets.get("mistakes")
        shown = [diagnosis.misclassified.items[place].index for place in (sheet.shown if sheet else [])]
        assert sorted(tile["id"] for tile in tiles(page)) == sorted(f"i{index}" for index in shown)
        pictures = (1, 1) if diagnosis.heatmaps.unavailable else (2, 4)
        assert {(len(tile.summary("i")), len(tile.p("i"))) for tile in tiles(page)} <= {pictures}

    def test_a_tile_has_the_confidence_and_the_index_of_its_image(self, pages: dict[str, str]) -> None:
        assert tiles(pages["ordinary"])[0].summary.get_text() == "90.0\u00a0% #0"

    def test_an_open_tile_lists_the_five_most_probable_classes_and_the_loss(self, pages: dict[str, str]) -> None:
        tile = tiles(pages["ordinary"])[1]
        assert [item.text.replace("\u00a0", " ") for item in tile.ol("li")] == [
            "70.0 %\tdog",
            "6.2 %\tcat",
            "3.1 %\tairplane",
            "1.6 %\tautomobile",
            "< 0.1 %\tbird",
        ]
        assert [item.get("class") for item in tile.ol("li")] == [["p70"], ["p6"], ["p3"], ["p2"], None]
        assert [right.text for right in tile.ol("b")] == ["cat"]
        assert tile.ol.next_sibling == "loss 2.500"

    def test_with_two_classes_both_are_listed(self, pages: dict[str, str]) -> None:
        assert {len(tile.ol("li")) for tile in tiles(pages["two classes"])} == {2}

    def test_a_tile_names_its_file(self, pages: dict[str, str]) -> None:
        assert tiles(pages["from files"])[1].find_all("bdi")[-1].text == "test/3/IMG_7.png"
        assert tiles(pages["ordinary"])[1].bdi is None

    def test_a_tile_with_nan_scores_states_it(self, pages: dict[str, str]) -> None:
        tile = tiles(pages["not numbers"])[0]
        assert (tile.summary.text, tile.li.text, tile.ol.next_sibling) == ("– #0", "–\tdog", "loss not finite")

    def test_a_tile_has_its_position_in_the_sheet(self, runs: dict[str, Run], pages: dict[str, str]) -> None:
        columns = runs["ordinary"].pictures.sheets["mistakes"].columns
        places = {tile["id"]: tile["class"] for tile in tiles(pages["ordinary"])}
        assert places == {f"i{7 * place}": [f"x{place % columns}", f"y{place // columns}"] for place in range(40)}

    def test_the_worst_pair_comes_first_and_open(self, pages: dict[str, str]) -> None:
        first = section(pages["ordinary"], "misclassified").find("details", class_="pair")
        assert " ".join(first.summary.text.split()) == "cat → dog 14 of 20 images"
        assert first.find(class_="tiles")["id"] == "pair-3-5"
        assert first.has_attr("open")

    def test_inside_a_pair_the_highest_loss_comes_first(self, pages: dict[str, str]) -> None:
        indices = [int(tile["id"][1:]) for tile in tiles(pages["ordinary"])[:14]]
        assert indices == sorted(indices)  # of the synthetic run, the losses fall with the index

    def test_later_pairs_are_folded(self, crowded_page: str) -> None:
        groups = section(crowded_page, "misclassified")("details", class_="pair")
        assert [group.has_attr("open") for group in groups] == [True, True] + [False] * 88

    def test_pairs_beyond_the_limit_are_folded_together(self, pages: dict[str, str]) -> None:
        rarer = section(pages["many pairs"], "misclassified").find("details", class_="rarer")
        assert rarer.summary.text == "32 rarer pairs"
        assert len(rarer("details", class_="pair")) == 32
        assert len(section(pages["many pairs"], "misclassified")("details", class_="pair")) == 132

    def test_states_what_is_left_out_and_where_to_find_it(self, pages: dict[str, str]) -> None:
        content = words(pages["left out"], "misclassified")
        assert "40 mistakes in 8 confused pairs" in content
        assert "The page shows 3 of the 40 mistakes" in content
        assert "predictions.csv lists every prediction." in content
        assert "cat → dog 14 of 20 images, 2 shown" in content
        assert [tile["id"] for tile in tiles(pages["left out"])] == ["i0", "i14", "i266"]

    def test_if_all_are_shown_nothing_is_left_out(self, pages: dict[str, str]) -> None:
        assert "The page shows" not in words(pages["ordinary"], "misclassified")

    def test_a_tile_names_its_findings_its_slices_and_a_doubtful_label(self, grouped_page: str) -> None:
        said = {tile["id"]: [part.text for part in tile.select("em, code")] for tile in tiles(grouped_page)}
        assert {key: parts for key, parts in said.items() if parts} == {
            "i0": ["confused-pair", "slice 1"],
            "i7": ["confused-pair"],
            "i14": ["label suspect: probably dog, 90.0\u00a0% that the label is wrong", "slice 1", "slice 2"],
            "i21": ["slice 2"],
        }
        listed = [item.text for item in section(grouped_page, "misclassified").select("details > ul > li")]
        assert listed == [
            "Slice 1: dark images, 2 mistakes on this page",
            "Slice 2: a cluster, 2 mistakes on this page",
        ]

    def test_offers_only_filters_that_the_run_has(self, grouped_page: str, pages: dict[str, str]) -> None:
        def names(page: str) -> list[str]:
            return [field["name"] for field in section(page, "misclassified").form(["select", "input"])]

        every = ["true", "predicted", "confidence", "finding", "slice", "text", "order", "suspects"]
        assert names(grouped_page) == every
        assert names(pages["ordinary"]) == ["true", "predicted", "confidence", "finding", "text", "order"]
        assert names(pages["not numbers"]) == ["true", "predicted", "finding", "text", "order"]

    def test_the_legends_of_the_maps_have_the_colours_of_the_palette(self, pages: dict[str, str]) -> None:
        ends = {}
        for kind in ("heat", "signed"):
            gradient = re.search(rf"--scale-{kind}: linear-gradient\(to right, (.*?%)\);", pages["ordinary"])
            assert gradient
            stops = gradient[1].split(", ")
            ends[kind] = stops[0], stops[10], stops[20]
        assert ends["heat"] == ("rgb(48 18 59 / 0.0) 0%", "rgb(121 254 89 / 0.386) 50%", "rgb(195 37 3 / 0.65) 100%")
        assert ends["signed"] == (
            "rgb(0 80 255 / 0.65) 0%", "rgb(255 255 255 / 0.0) 50%", "rgb(255 50 0 / 0.65) 100%"
        )  # fmt: skip

    def test_states_how_reliable_the_maps_are_in_a_line(self, runs: dict[str, Run], pages: dict[str, str]) -> None:
        line = section(pages["ordinary"], "misclassified").find(class_="trust").summary.text
        assert line == "Reliability of the heatmaps: better than random regions, on 100 mistakes"
        worse = dataclasses.replace(
            runs["ordinary"].diagnosis.heatmaps, trust=HeatmapTrust(100, 0.02, 0.45, 0.42, -0.05, -0.01)
        )
        fold = section(render_page(changed(runs["ordinary"], heatmaps=worse)), "misclassified").find(class_="trust")
        assert "do not rely on them" in fold.summary.text
        assert fold["class"] == ["trust", "caution"]

    def test_says_beside_the_images_that_most_maps_are_empty(self, runs: dict[str, Run], pages: dict[str, str]) -> None:
        empty = dataclasses.replace(runs["ordinary"].diagnosis.heatmaps, trust=HeatmapTrust(100, 0.99, 0.42, 0.42))
        page = render_page(changed(runs["ordinary"], heatmaps=empty))
        for name in ("first", "misclassified"):
            assert "99.0 % are empty" in words(page, name).replace("\u00a0", " ")
            assert "are empty: no region supported the predicted class, so" not in words(pages["ordinary"], name)

    def test_states_how_reliable_the_maps_are(self, pages: dict[str, str]) -> None:
        content = words(pages["ordinary"], "misclassified").replace("\u00a0", " ")
        assert "Measured on 100 mistakes. 2.0 % of the heatmaps are empty" in content
        assert (
            "faster than removing random regions (area under the deletion curve 0.310, random 0.420, 95 % interval of"
            in content
        )

    @pytest.mark.parametrize(
        ("trust", "said", "not_said"),
        [
            (HeatmapTrust(100, 0.02, 0.31, 0.42, 0.08, 0.14), "faster than removing random", "cannot be told"),
            (HeatmapTrust(100, 0.02, 0.45, 0.42, -0.05, -0.01), "do not rely on these heatmaps", "faster"),
            (HeatmapTrust(100, 0.02, 0.41, 0.42, -0.01, 0.03), "cannot be told from these images", "do not rely"),
            (HeatmapTrust(1, 0.02, 0.1, 0.42, of=36), "cannot be told", "0.32"),
            (HeatmapTrust(7, 0.02, 0.31, 0.42, 0.08, 0.14, of=36), "on 7 mistakes, of 36 because more would", "cannot"),
            (HeatmapTrust(100, 0.02, 0.31, 0.42), "was compared with removing random regions (area", "faster"),
        ],
        ids=["better", "worse", "neither", "one-image", "fewer-images", "older-version"],
    )
    def test_maps_are_called_better_than_chance_only_if_the_interval_excludes_zero(
        self, trust: HeatmapTrust, said: str, not_said: str
    ) -> None:
        assert said in trust_sentence(trust)
        assert not_said not in trust_sentence(trust)

    def test_states_why_nothing_was_measured(self, runs: dict[str, Run]) -> None:
        heatmaps = dataclasses.replace(runs["ordinary"].diagnosis.heatmaps, trust=None, not_measured="one is too slow")
        content = words(render_page(changed(runs["ordinary"], heatmaps=heatmaps)), "misclassified")
        assert "How far the heatmaps can be trusted was not measured: one is too slow." in content

    @pytest.mark.parametrize(
        ("check", "sentence"),
        [
            (
                IndependentCheck(16, 16, 4e-7),
                "the same heatmap for 16 of 16 mistakes (largest difference below 0.001",
            ),
            (
                IndependentCheck(16, 14, 0.0312),
                "the same heatmap for 14 of 16 mistakes (largest difference 0.031 ",
            ),
            (IndependentCheck(0, 0, None, "it would take about 3.3 s"), "(tf-keras-vis): it would take about 3.3 s."),
        ],
    )
    def test_the_comparison_with_tf_keras_vis_is_stated(self, check: IndependentCheck, sentence: str) -> None:
        assert sentence in independent_sentence(check)

    def test_states_why_maps_were_not_compared_even_if_nothing_else_was_measured(self, runs: dict[str, Run]) -> None:
        check = IndependentCheck(0, 0, None, "the model does not take a single array of images")
        heatmaps = dataclasses.replace(runs["ordinary"].diagnosis.heatmaps, trust=None, independent=check)
        said = section(render_page(changed(runs["ordinary"], heatmaps=heatmaps)), "misclassified").find(class_="trust")
        assert said.p.get_text() == independent_sentence(check)

    def test_without_a_measurement_states_no_reliability(self, pages: dict[str, str]) -> None:
        assert section(pages["not numbers"], "misclassified").find(class_="trust") is None

    def test_states_why_there_are_no_maps(self, pages: dict[str, str]) -> None:
        assert "There are no heatmaps: The network has no convolution." in words(pages["no heatmaps"], "misclassified")
        assert "image/png" not in pages["no heatmaps"]

    def test_states_that_there_are_no_mistakes(self, pages: dict[str, str]) -> None:
        assert "Every test image is classified correctly." in words(pages["no mistakes"], "misclassified")
        assert section(pages["no mistakes"], "misclassified").form is None


class TestData:
    def test_shows_samples_and_counts_of_every_class(self, pages: dict[str, str]) -> None:
        rows = section(pages["ordinary"], "data").tbody("tr")
        assert len(rows) == 10
        assert rows[3].get_text(" ", strip=True) == "cat 450 20"
        assert len(rows[3].select(".sample")) == 2

    def test_without_training_images_there_are_only_test_images(self, pages: dict[str, str]) -> None:
        found = section(pages["without training"], "data")
        assert found.find(class_="answer").text == "200 test images in 10 classes, 32 × 32 pixels in colour."
        assert [head.text for head in found.thead("th")] == ["Class", "Test"]
        assert found.caption.text == "Number of images of each class."
        assert [cell.text for cell in found.tbody("tr")[3].find_all(["th", "td"])] == ["cat", "20"]
        assert "Source" not in found.text
        assert pages["without training"].count("data:image/webp;base64,") == 1

    def test_names_the_files_that_could_not_be_read(self, pages: dict[str, str]) -> None:
        folded = parse(pages["skipped"], "html5lib").find(id="data").details
        assert folded.summary.text == "8 files could not be read"
        names = [item.code.text for item in folded("li")]
        assert names[0] == """</script><script>alert("1")</script>"""
        assert names[3] == "W" * 299 + "…"
        assert folded("li")[1].text == """{0}: cannot be read: {0}""".format(names[1])
        assert "could not be read" not in pages["ordinary"]

    def test_does_not_name_thousands_of_files(self, runs: dict[str, Run]) -> None:
        run = runs["ordinary"]
        skipped = [SkippedFile(f"{place}.png", "it is cut") for place in range(501)]
        page = render_page(changed(run, dataset=dataclasses.replace(run.diagnosis.dataset, skipped=skipped)))
        folded = section(page, "data").details
        assert (folded.summary.text, len(folded("li"))) == ("501 files could not be read", 500)
        assert folded.p.text == "report.json lists all of them."


class TestEvolution:
    def test_states_how_the_accuracy_changed(self, pages: dict[str, str]) -> None:
        content = words(pages["followed"], "evolution").replace("\u00a0", " ")
        assert "Accuracy was 62.5 % after epoch 1 and 80.0 % after epoch 3. The table follows 5 images." in content

    def test_is_left_out_if_no_image_was_followed(self, pages: dict[str, str]) -> None:
        assert section(pages["ordinary"], "evolution") is None
        assert "#evolution" not in pages["ordinary"]

    def test_has_a_row_for_each_image_and_a_column_for_each_epoch(self, pages: dict[str, str]) -> None:
        table = section(pages["followed"], "evolution").table
        assert [head.text for head in table.thead.tr("th")] == ["True class", "Image", "Epoch 1", "Epoch 3"]
        rows = [row.get_text(" ", strip=True).replace("\u00a0", " ") for row in table.tbody("tr")]
        assert rows[1] == "automobile #7 bird 50.0 % automobile 75.0 %"
        assert len(rows) == FOLLOWED
        assert [[bold.text for bold in row("b")] for row in table.tbody("tr")] == [[name] for name in CLASSES]

    def test_an_image_and_its_maps_stand_at_their_places_in_the_sheets(self, pages: dict[str, str]) -> None:
        """Five images in three columns, ten maps in four."""
        rows = section(pages["followed"], "evolution").tbody("tr")
        images = [[cell["class"] for cell in row("i")] for row in rows]
        assert images[3] == [["watched", "x0", "y1"]] * 3
        assert images[4] == [["watched", "x1", "y1"]] * 3
        assert {cell.s for row in rows for cell in row("i")[:1]} == {None}
        maps = [cell.s["class"] for row in rows for cell in row("i")[1:]]
        assert maps == [[f"x{place % 4}", f"y{place // 4}"] for place in range(2 * FOLLOWED)]

    def test_without_maps_there_are_images(self, runs: dict[str, Run]) -> None:
        run = runs["followed"]
        found = section(render_page(without_sheets(run, "evolution-maps")), "evolution")
        assert found.tbody.s is None
        assert "heatmap" not in found.text
        assert found.tbody.i["aria-label"] == "image 0"
        assert [each["aria-label"] for each in section(render_page(run), "evolution").tbody("i")[:2]] == [
            "image 0",
            "image 0 with heatmap",
        ]

    def test_a_moment_without_a_confidence_has_a_dash(self, runs: dict[str, Run]) -> None:
        run = runs["followed"]
        facts = run.diagnosis.evolution
        lost = dataclasses.replace(facts.images[0], moments=[Moment(1, None), Moment(0, 0.75)])
        page = render_page(changed(run, evolution=dataclasses.replace(facts, images=[lost, *facts.images[1:]])))
        assert section(page, "evolution").tbody.tr("td")[1].get_text() == "automobile –"

    def test_without_images_it_is_left_out(self, runs: dict[str, Run]) -> None:
        run = runs["followed"]
        assert evolution.build(without_sheets(run, "evolution", "evolution-maps")) is None

    def test_hostile_names_stay_text(self, pages: dict[str, str]) -> None:
        found = parse(pages["hostile and followed"], "html5lib").find(id="evolution")
        assert found.tbody.b.text == """</script><script>alert("1")</script>"""
        assert found.tbody("tr")[3].bdi.text == "W" * 39 + "…"


class TestReproduce:
    def test_has_command_commit_settings_and_versions(self, pages: dict[str, str]) -> None:
        content = words(pages["ordinary"], "reproduce")
        assert "lrdiag train-and-report --data cifar10" in content
        assert "Git commit 3f2a91c" in content
        assert "mixed precision no limit train not set" in content
        assert "keras 3.15.1" in content

    def test_states_that_there_was_no_command(self, pages: dict[str, str]) -> None:
        assert "This run was started from Python" in words(pages["from python"], "reproduce")


def test_the_stored_colours_of_a_heatmap_are_those_of_opencv() -> None:
    stored = [list(bytes.fromhex(each.removeprefix("#"))) for each in palette.TURBO_STOPS]
    assert palette.turbo(np.linspace(0, 1, len(stored))).tolist() == stored
