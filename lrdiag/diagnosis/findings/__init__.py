"""Findings: rules over the evidence of a run."""
