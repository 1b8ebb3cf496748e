"""The Markdown summary: short, and safe to put into a pull request whatever the names are."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from lrdiag.records import Run
from lrdiag.report.summary import markdown, render_summary


@pytest.fixture(scope="module")
def summaries(runs: dict[str, Run]) -> dict[str, str]:
    return {name: render_summary(run.diagnosis) for name, run in runs.items()}


def test_is_as_it_was(summaries: dict[str, str], gold: Callable[[str, str], None]) -> None:
    gold("summary.md", summaries["ordinary"])


def test_begins_with_the_verdict(summaries: dict[str, str]) -> None:
    assert summaries["ordinary"].startswith("**80.0 % on 200 cifar10 test images; cat and dog are the most")


def test_says_first_what_spoils_the_run(summaries: dict[str, str]) -> None:
    assert summaries["fallback"].startswith("> **Stand-in data:** CIFAR-10 could not be had.")


def test_holds_the_worst_pairs(summaries: dict[str, str]) -> None:
    assert "| cat | dog | 14 | 70.0\u00a0% |" in summaries["ordinary"]


def test_every_row_of_a_table_has_as_many_cells_as_its_head(summaries: dict[str, str], variant: str) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", summaries[variant], flags=re.MULTILINE):
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(cells) == 1


def test_fits_into_the_text_of_a_pull_request(summaries: dict[str, str], variant: str) -> None:
    assert len(summaries[variant]) < 65_536


def test_is_short(summaries: dict[str, str]) -> None:
    assert len(summaries["ordinary"].splitlines()) <= 30


def test_hostile_names_stay_text(summaries: dict[str, str]) -> None:
    summary = summaries["hostile names"]
    assert not re.search(r"(?<!\\)<", summary)
    assert not re.search(r"@(?=\w)|://|#\d", summary)
    assert summary.isprintable() or not re.search(r"[\x00-\x08\x0b-\x1f\ud800-\udfff]", summary)


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
        ("back\\slash", r"back\\slash"),
        ("", "(no name)"),
        ("x" * 50, "x" * 39 + "…"),
    ],
)
def test_no_mark_has_a_meaning(text: str, escaped: str) -> None:
    assert markdown(text) == escaped
