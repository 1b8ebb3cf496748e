"""Error of every suggestion rule on range tests with a known answer.

    python tests/benchmarks/suggestions.py

The curves come from `synthetic.py`, which also computes their true answers. All errors are in decades; a decade is a
factor of ten. For the real range tests of `regret.py` the true answer is not known. For these the script measures the
distance between the answers for three seeds of one problem, also in decades. Results are kept in
`results/suggestions.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lrdiag.errors import NoSuggestion
from lrdiag.rate.other_tools import RULES
from lrdiag.rate.reading import read

RESULTS = Path(__file__).parent / "results" / "suggestions.json"
MEASURED = RESULTS.with_name("regret.json")
SEEDS = ("seed 0", "seed 1", "seed 2")


def errors(rule: Callable[..., float], curves: list[Any], truth: str = "suggestion") -> np.ndarray:
    """Returns the error of `rule` on each curve in decades: positive if it is too high, NaN if it gives no answer."""

    def error(curve: Any) -> float:
        try:
            return float(np.log10(rule(curve.learning_rates, curve.losses) / curve.truth[truth]))
        except NoSuggestion:
            return np.nan

    return np.array([error(curve) for curve in curves])


def summary(off: np.ndarray) -> dict[str, float | int]:
    """Returns the figures of one row. Curves without an answer count only for `unanswered`."""
    return {
        "curves": len(off),
        "median_error": round(float(np.nanmedian(abs(off))), 3),
        "p90_error": round(float(np.nanquantile(abs(off), 0.9)), 3),
        "signed_median": round(float(np.nanmedian(off)), 3),
        "unanswered": int(np.isnan(off).sum()),
    }


def spreads(rule: Callable[..., float]) -> np.ndarray:
    """Returns the decades between the lowest and the highest answer of three seeds, for every real problem."""
    measured = json.loads(MEASURED.read_text())
    problems = sorted({key.split(" | ")[0] for key in measured if key.endswith("range test")})
    sweeps = [[measured[f"{problem} | {seed} | range test"] for seed in SEEDS] for problem in problems]
    return np.array([np.ptp([np.log10(rule(*sweep.values())) for sweep in each]) for each in sweeps])


def show(name: str, line: dict[str, float | int]) -> None:
    figures = "{median_error:8.3f}{p90_error:8.3f}{signed_median:+8.3f}{unanswered:12d}{curves:8d}".format(**line)
    print(f"{name:28}{figures}")


def main() -> None:
    """Measures, prints and stores the table."""
    import synthetic  # pytest imports this file too, without this folder on its path

    curves = synthetic.family()
    ours = {
        name: lambda *test, name=name: getattr(read(*test), name)
        for name in ("suggestion", "onset", "base_lr", "max_lr")
    }
    off = {f"lrdiag {name}": errors(rule, curves, truth=name) for name, rule in ours.items()}
    off |= {name: errors(rule, curves) for name, rule in RULES.items()}
    print(f"{'':28}{'median':>8}{'90 %':>8}{'signed':>8}{'unanswered':>12}{'curves':>8}")
    results: dict[str, Any] = {"unit": "decades", "seed": 0, "rules": {}}
    for name, values in off.items():
        results["rules"][name] = {"all": summary(values)}
        show(name, results["rules"][name]["all"])
    print(f"\nreal range tests, three seeds{'median':>7}{'most':>8}{'problems':>12}")
    for name, rule in {"lrdiag suggestion": ours["suggestion"], **RULES}.items():
        apart = spreads(rule)
        spread = {"median": round(float(np.median(apart)), 2), "most": round(float(apart.max()), 2)}
        results["rules"][name]["seeds_apart"] = {**spread, "problems": len(apart)}
        print(f"{name:28}{spread['median']:8.2f}{spread['most']:8.2f}{len(apart):12d}")
    for kind, levels in (("iterations", synthetic.ITERATIONS), ("noise", synthetic.NOISE)):
        for level in levels:
            print(f"\n{kind} = {level}")
            which = np.array([getattr(curve, kind) == level for curve in curves])
            for name, values in off.items():
                line = summary(values[which])
                results["rules"][name].setdefault(kind, {})[str(level)] = line
                show(name, line)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
