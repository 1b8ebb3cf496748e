"""The table of docs/benchmarks.md."""

from __future__ import annotations

from benchmarks import table


def test_the_document_has_the_table_of_the_stored_results() -> None:
    """`python -m tests.benchmarks --table` writes it."""
    assert table.in_document() == table.table()


def test_a_row_without_results_is_not_measured() -> None:
    row = table.Row("reading", "nowhere", lambda results: results["values"], "≤ 2.6")
    assert row.line() == "| reading | ≤ 2.6 | not measured | | | | | `nowhere.py` |"


def test_a_row_shows_median_quartiles_and_whether_the_goal_is_reached(monkeypatch) -> None:
    monkeypatch.setattr(table, "read", lambda _: {"machine": "2 cores", "pairs": [[1, 1], [3, 2], [8, 4]]})
    line = table.Row("a ÷ b", "x", table.of_pairs("pairs"), "≤ 1.15").line()
    assert line == "| a ÷ b | ≤ 1.15 | 1.50 | 1.25–1.75 | 3 | **no** | 2 cores | `x.py` |"
    assert "| yes |" in table.Row("a", "x", table.of_pairs("pairs"), "≥ 1.5").line()


def test_the_seeds_of_two_versions_are_paired() -> None:
    runs = [
        {"job": "default", "variant": variant, "seed": seed, "seconds": seconds, "accuracy": accuracy}
        for variant, seed, seconds, accuracy in (("before", 0, 100, 0.7), ("after", 0, 60, 0.8), ("after", 1, 50, 0.9))
    ]
    runs.append({"job": "epochs10", "variant": "after", "seed": 0, "seconds": 250, "accuracy": 0.9})
    assert table.times("default")({"runs": runs}) == [0.6]
    assert table.times("epochs10", "default")({"runs": runs}) == [2.5]
    assert table.accuracies("default")({"runs": runs}) == [0.8, 0.9]
    assert [round(gain, 9) for gain in table.gains("default")({"runs": runs})] == [0.1]
