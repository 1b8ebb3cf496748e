"""The Markdown summary: short, and safe in a pull request for any names."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest
from bs4 import BeautifulSoup, Comment
from markdown_it import MarkdownIt

from lrdiag.errors import SettingsError
from lrdiag.record.facts import Finding, GateFacts, Run
from lrdiag.report.summary import LIMIT, MARKER, markdown, render_summary


@pytest.fixture(scope="module")
def summaries(runs: dict[str, Run]) -> dict[str, str]:
    return {name: render_summary(run.diagnosis) for name, run in runs.items()}


def after_marker(summary: str) -> str:
    return summary.removeprefix(f"{MARKER}\n\n")


@pytest.mark.parametrize(("variant", "file"), [("ordinary", "summary.md"), ("compared", "summary-compared.md")])
def test_equals_its_gold_file(
    summaries: dict[str, str], gold: Callable[[str, str], None], variant: str, file: str
) -> None:
    gold(file, summaries[variant])


def test_begins_with_the_marker_for_bots(summaries: dict[str, str], variant: str) -> None:
    assert re.fullmatch(r"<!-- [a-z ]+ -->", MARKER)
    assert summaries[variant].startswith(f"{MARKER}\n\n")
    assert summaries[variant].count(MARKER) == 1


def test_continues_with_the_verdict(summaries: dict[str, str]) -> None:
    expected = "### 80.0 % on 200 cifar10 test images; the most confused pair: cat predicted as dog\n"
    assert after_marker(summaries["ordinary"]).startswith(expected)


def test_begins_with_the_error_of_the_run(summaries: dict[str, str]) -> None:
    lines = after_marker(summaries["fallback"]).splitlines()
    assert lines[0] == "### ❌ CIFAR-10 was not available. The digits data was used instead."
    assert lines[2] == "*What to do:* …"
    assert lines[4].startswith("Do not trust the result: 80.0 % on 200 cifar10 test images; ")


def test_a_failed_gate_comes_first(runs: dict[str, Run]) -> None:
    gates = [
        GateFacts("fail-under", "recall.cat", 0.6, 0.3, False),
        GateFacts("fail-under", "accuracy", 0.7, 0.8, True),
    ]
    summary = render_summary(dataclasses.replace(runs["fallback"].diagnosis, gates=gates))
    expected = "### ❌ 1 gate failed. Recall of cat: 30.0 %, required: at least 60.0 %\n\n**CIFAR-10 was not available."
    assert after_marker(summary).startswith(expected)
    assert "\n- **failed**: Recall of cat: 30.0 %, required: at least 60.0 %. Recall of cat is the share " in summary
    assert "\n- passed: Accuracy: 80.0 %, required: at least 70.0 %. " in summary


def test_lists_effects_and_accepted_findings(runs: dict[str, Run]) -> None:
    effect = Finding("at-chance", "error", "It *guesses*.", "10 %.", "Train it.")
    cause = Finding("not-scaled", "error", "Not scaled.", "0 to 255.", "Use `x / 255`.", why="Why.", effects=[effect])
    known = Finding("overfitting", "warning", "It overfits.", "10 points.", "Augment.", accepted="a `demo`")
    summary = render_summary(dataclasses.replace(runs["ordinary"].diagnosis, findings=[cause, known]))
    assert "**Findings.** 1 error. Accepted: 1 finding.\n" in summary
    urgent, folded = summary.split("<details><summary>1 more finding</summary>")
    assert (
        "- **error**: Not scaled. 0 to 255. Why. *What to do:* Use `x / 255`.\n  - explains: It \\*guesses\\*.\n"
    ) in urgent
    assert "- **accepted warning**: It overfits. 10 points. *Accepted:* a `demo`\n" in folded


def test_lists_the_checks_in_one_expandable_line(summaries: dict[str, str]) -> None:
    folded = summaries["ordinary"].split("<details><summary>Checks and settings</summary>")[1]
    assert "- 2 checks passed, 1 not checked\n" in folded
    assert "  - not checked: regression (the run was not compared with a baseline)\n" in folded
    assert "  - passed: at-chance, no-heatmaps\n" in folded


def test_contains_the_worst_pairs(summaries: dict[str, str]) -> None:
    assert "| cat | dog | 14 | 70.0 % |" in summaries["ordinary"]


def test_states_the_effect_of_the_change(summaries: dict[str, str]) -> None:
    summary = summaries["compared"]
    assert after_marker(summary).startswith("### ✅ No detectable difference from the baseline: +0.50 points\n")
    assert (
        "**No detectable difference:** +0.50 points, 95 % interval −2.7 to +3.7; 5 images fixed, 4 broken. "
        "`base@3f2a91c → head@3f2a91c`\n"
    ) in summary
    assert "\n80.0 % on 200 cifar10 test images; the most confused pair: cat predicted as dog.\n" in summary
    assert "| Accuracy | 79.5 % | 80.0 % | **+0.50 points** (−2.7 to +3.7) |" in summary
    assert "| Misclassified of 200 | 41 | 40 | 5 fixed, 4 broken |" in summary
    assert "McNemar's mid-p test: p = 0.75" in summary
    assert "**Recall fell:** cat 75.0 % → 30.0 % (−45.00)," in summary
    assert "**Recall rose:** frog 75.0 % → 100.0 % (+25.00)," in summary
    assert "- Changed since the baseline: epochs 2 → 3; fast fast → not set\n" in summary


def test_names_the_images_to_look_at_first(summaries: dict[str, str]) -> None:
    assert "- test image 0: cat → dog, 90.0 % (highest loss)\n- test image " in summaries["ordinary"]
    assert summaries["ordinary"].count("\n- test image ") == 6
    assert "ook at first" not in summaries["no mistakes"]


def test_links_to_the_page_if_its_address_is_known(runs: dict[str, Run]) -> None:
    diagnosis = runs["ordinary"].diagnosis
    address = "https://example.org/runs/7?a=b#top"
    assert f"[Open the page]({address}) shows the misclassified images with their heatmaps.\n" in (
        render_summary(diagnosis, address)
    )
    assert "report.html" not in render_summary(diagnosis, address)
    with pytest.raises(SettingsError, match=r"must begin with http:// or https://. Received: 'https://a\) \[x'"):
        render_summary(diagnosis, "https://a) [x")


def test_mentions_no_images_and_no_heatmaps_that_are_not_there(summaries: dict[str, str]) -> None:
    assert "The page: `report.html`.\n" in summaries["no mistakes"]
    assert "`report.html` shows the misclassified images.\n" in summaries["no heatmaps"]
    assert not [name for name, summary in summaries.items() if "below" in summary]


def test_a_commit_that_is_something_else_is_not_shown(runs: dict[str, Run]) -> None:
    run = dataclasses.replace(runs["compared"].diagnosis, git_commit="`@octocat")
    assert "`base@3f2a91c → head@unknown`" in render_summary(run)


def test_without_a_baseline_does_not_mention_one(summaries: dict[str, str]) -> None:
    assert summaries["ordinary"].count("aseline") == 1
    assert "(the run was not compared with a baseline)" in summaries["ordinary"]


def test_states_how_to_get_the_page(summaries: dict[str, str], variant: str) -> None:
    assert "`report.html`" in summaries[variant]


def test_states_the_known_facts_without_training_or_a_name(summaries: dict[str, str]) -> None:
    summary = summaries["without training"]
    assert after_marker(summary).startswith(
        "### 80.0 % on 200 test images; the most confused pair: cat predicted as dog\n"
    )
    assert "- The model: fast, 1,218,346 parameters on CPU\n" in summary
    assert "(no name)" not in summary
    assert "Range test" not in summary


def test_wall_time_is_stated_if_it_was_measured(summaries: dict[str, str]) -> None:
    assert "parameters, 3 epochs of cifar10 on CPU\n" in summaries["epochs only"]
    assert "parameters, 3 epochs of cifar10 in 12.0 s on CPU\n" in summaries["ordinary"]


@pytest.mark.parametrize(
    ("before", "now", "row"),
    [
        (0.05, 0.0625, "| 5.0 % | 6.2 % | +1.25 points |"),
        (None, 0.0625, "| – | 6.2 % | – |"),
        (0.05, None, "| 5.0 % | – | – |"),
        (None, None, "| – | – | – |"),
    ],
)
def test_a_calibration_error_that_is_not_known_has_no_change(
    runs: dict[str, Run], before: float | None, now: float | None, row: str
) -> None:
    diagnosis = runs["compared"].diagnosis
    assert diagnosis.comparison
    summary = render_summary(
        dataclasses.replace(
            diagnosis,
            calibration=dataclasses.replace(diagnosis.calibration, error=now),
            comparison=dataclasses.replace(diagnosis.comparison, base_calibration_error=before),
        )
    )
    assert f"| Calibration error {row}\n" in summary


def test_every_row_of_a_table_has_as_many_cells_as_its_header(summaries: dict[str, str], variant: str) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", summaries[variant], flags=re.MULTILINE)
    assert bool(tables) == (variant != "no mistakes")
    for table in tables:
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(cells) == 1


def test_fits_into_a_pull_request(summaries: dict[str, str], variant: str) -> None:
    assert len(summaries[variant]) <= LIMIT < 65_536


def test_is_short(summaries: dict[str, str]) -> None:
    assert len(summaries["ordinary"].splitlines()) <= 56
    assert len(summaries["compared"].splitlines()) <= 70


def with_findings(run: Run, number: int) -> str:
    findings = [Finding(f"code-{place}", "note", "|" * 300, "@" * 400, "*" * 400) for place in range(number)]
    return render_summary(dataclasses.replace(run.diagnosis, findings=findings))


def test_a_section_without_room_is_left_out_and_named(runs: dict[str, Run]) -> None:
    summary = with_findings(runs["compared"], 200)
    assert len(summary) <= LIMIT
    assert "**note**" not in summary
    assert "200 notes." in summary
    assert "Left out because the size of a comment is limited: findings. The page shows them." in summary
    for kept in ("| Accuracy |", "**Recall fell:**", "**Look at first**", "| True |", "The model:"):
        assert kept in summary


def test_a_section_that_fits_is_complete(runs: dict[str, Run]) -> None:
    summary = with_findings(runs["compared"], 20)
    assert summary.count("**note**") == 20
    assert "Left out" not in summary


ALLOWED = {
    "p",
    "strong",
    "em",
    "code",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "blockquote",
    "ul",
    "li",
    "details",
    "summary",
    "h3",
}


def test_hostile_names_stay_text(summaries: dict[str, str], variant: str) -> None:
    summary = summaries[variant]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\ud800-\udfff\u202a-\u202e]", summary)
    commits = r"`base@[0-9a-f]+ → head@\w+`"
    assert not re.search(r"@(?=\w)|://|#\d|:[\w+-]+:(?=\W)", re.sub(commits, "", summary))
    assert max(len(line) for line in summary.splitlines()) < 3_000
    rendered = BeautifulSoup(MarkdownIt().enable("table").render(summary), "html.parser")
    assert {tag.name for tag in rendered(True)} <= ALLOWED
    assert rendered.find_all(string=lambda text: isinstance(text, Comment)) == [" lrdiag summary "]
    known = r"report\.html|3f2a91c|base@3f2a91c → head@(3f2a91c|unknown)"
    assert all(re.fullmatch(known, code.text) for code in rendered("code"))


def test_a_hostile_name_is_still_legible(summaries: dict[str, str]) -> None:
    rendered = BeautifulSoup(MarkdownIt().enable("table").render(summaries["hostile and compared"]), "html.parser")
    cells = {cell.text for cell in rendered("td")}
    assert """</script><script>alert("1")</script>""" in cells
    assert {"👩🏽‍🚀 | pipe `tick` *star* @\u200boctocat #\u200b1 h…", "W" * 39 + "…"} <= cells


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("`code`", r"\`code\`"),
        ("<b>", r"\<b\>"),
        ("two\nlines", "two lines"),
        ("*x* _y_ ~z~", r"\*x\* \_y\_ \~z\~"),
        ("@octocat", "@\u200boctocat"),
        ("[x](https://y)", "\\[x\\](https:\u200b//y)"),
        ("#12", "\\#\u200b12"),
        ("$x$", r"\$x\$"),
        ("owner/repo#12", "owner/repo\\#\u200b12"),
        ("GH-12", "GH-\u200b12"),
        (":tada:", ":\u200btada:"),
        ("at 3:45", "at 3:45"),
        ("www.example.org", "www\u200b.example.org"),
        ("![x](y)", r"\!\[x\](y)"),
        ("<!-- lrdiag summary -->", r"\<\!-- lrdiag summary --\>"),
        ("&lt;", r"\&lt;"),
        ("back\\slash", r"back\\slash"),
        ("", "(no name)"),
        ("x" * 50, "x" * 39 + "…"),
        ("|" * 10_000, r"\|" * 39 + "…"),
    ],
)
def test_no_character_is_markup(text: str, escaped: str) -> None:
    assert markdown(text) == escaped
