"""Findings: rules over the evidence of a run. `rules.py` has the table; each other module has one family of rules."""
