"""The explanations of the findings on the page."""

from __future__ import annotations

from lrdiag.diagnosis.findings.rules import RULES
from lrdiag.report.documentation import how_detected


def test_every_rule_has_an_explanation_in_plain_text() -> None:
    explained = how_detected()
    assert {rule.code for rule in RULES} <= explained.keys()
    for text in explained.values():
        assert text.endswith(".")
        assert "](" not in text
        assert "**" not in text
