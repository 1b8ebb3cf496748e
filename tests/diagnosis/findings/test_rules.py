"""The table of rules."""

from __future__ import annotations

import re
from pathlib import Path

from lrdiag.diagnosis.findings.rules import RULES
from lrdiag.record.facts import SEVERITIES
from lrdiag.report.page import SECTIONS

DOCS = Path(__file__).parents[3] / "docs" / "findings.md"


def test_the_table_is_consistent() -> None:
    codes = [rule.code for rule in RULES]
    assert len(set(codes)) == len(codes)
    keys = {section.key for section in SECTIONS}
    for place, rule in enumerate(RULES):
        assert rule.severity in SEVERITIES
        assert rule.section in keys
        assert set(rule.explained_by) <= set(codes[:place])
        assert rule.check.__doc__


def test_every_rule_has_a_paragraph_in_the_documentation() -> None:
    documented = re.findall(r"^### `(.+)`$", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(documented) == sorted(rule.code for rule in RULES)
