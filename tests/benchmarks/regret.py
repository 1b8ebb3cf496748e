"""Regret: the accuracy that the automatic boundaries cost, compared with the best rate of a grid.

    python tests/benchmarks/regret.py --data-dir DIR [--problems REGEX]

Each problem is a network, an optimizer, a batch size and a small number of updates with one triangular cycle. A grid of
peaks with steps of half a decade is searched with the first seed until the best peak lies inside. The other seeds try
the best peak and its neighbours. The automatic boundaries are read from a range test of each seed with the current
rule. There are three seeds, and more for some problems with a standard error of 0.7 points or more. Results are kept in
`results/regret.json` as they come, and none is measured twice, so a changed rule needs only its own training runs.
"""

from __future__ import annotations

import argparse
import math
import re
import statistics
from dataclasses import dataclass
from typing import Any

CYCLE_RATIO = 10.0  # cycles of the grid start at a tenth of the peak
FIRST_PEAK = {"sgd": 0.1, "adam": 0.003}
MORE_SEEDS = {
    "digits fast sgd 256": 5,
    "digits fast adam 256": 6,
    "cifar10 fast adam 64": 6,
    "cifar10 fast sgd 256": 6,
    "cifar10 article sgd 64": 6,
}


@dataclass(frozen=True)
class Problem:
    """A network, its data, and how it is trained."""

    data: str
    model: str
    optimizer: str
    batch_size: int
    steps: int

    @property
    def key(self) -> str:
        """The key of its results."""
        return f"{self.data} {self.model} {self.optimizer} {self.batch_size}"


PROBLEMS = [
    Problem(data, model, optimizer, batch_size, steps)
    for data, model, batch_size, steps in (
        ("digits", "fast", 64, 100),
        ("digits", "fast", 256, 50),
        ("digits", "fast", 1024, 30),
        ("cifar10", "fast", 64, 250),
        ("cifar10", "fast", 256, 80),
        ("cifar10", "fast", 1024, 48),
        ("cifar10", "article", 64, 160),
        ("cifar10", "article", 256, 40),
        ("cifar10", "article", 1024, 48),
    )
    for optimizer in ("sgd", "adam")
]


class Bench:
    """One problem with one seed."""

    def __init__(self, problem: Problem, seed: int, data_dir: str, results: Any) -> None:
        from workbench import Workbench

        self.problem, self.results = problem, results
        self.key = f"{problem.key} | seed {seed}"
        self.workbench = Workbench(
            data=problem.data,
            model=problem.model,
            optimizer=problem.optimizer,
            batch_size=problem.batch_size,
            seed=seed,
            data_dir=data_dir,
        )

    def peak(self, peak: float) -> float:
        """Returns the test accuracy after a cycle with this peak."""
        return self._cycle(f"peak {peak:.2e}", peak / CYCLE_RATIO, peak)

    def automatic(self) -> float:
        """Returns the test accuracy after a cycle between the automatic boundaries."""
        base_lr, max_lr = self.boundaries()
        return self._cycle(f"automatic {base_lr:.3e}:{max_lr:.3e}", base_lr, max_lr)

    def boundaries(self) -> tuple[float, float]:
        """Reads the boundaries from the range test with the current rule."""
        from workbench import boundaries

        return boundaries(self.range_test(), self.problem.optimizer)

    def range_test(self) -> dict[str, list[float]]:
        """Returns the rates and losses of the range test."""
        key = f"{self.key} | range test"
        return dict(self.results.once(key, self.workbench.range_test))

    def _cycle(self, name: str, base_lr: float, max_lr: float) -> float:
        return float(self.results.once(f"{self.key} | {name}", lambda: self._train(base_lr, max_lr)))

    def _train(self, base_lr: float, max_lr: float) -> float:
        from lrdiag import CyclicLR

        steps = self.problem.steps
        return self.workbench.accuracy(steps, CyclicLR(base_lr=base_lr, max_lr=max_lr, step_size=(steps - 1) / 2))


def measure(benches: list[Bench], first_peak: float) -> float:
    """Runs the grid and the range tests of one problem. Returns the best peak of the first seed."""
    from workbench import HALF_DECADE, climb

    first, *others = benches
    best = climb(first.peak, first_peak)
    for bench in others:
        for peak in (best / HALF_DECADE, best, best * HALF_DECADE):
            bench.peak(peak)
    for bench in benches:
        bench.range_test()
    return best


def main() -> None:
    """Runs what is missing and prints the table."""
    from workbench import Results

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="the folder that holds CIFAR-10")
    parser.add_argument("--problems", default="", help="only problems whose key matches this regular expression")
    options = parser.parse_args()
    results = Results("regret")
    rows = []
    for problem in PROBLEMS:
        if re.search(options.problems, problem.key):
            seeds = range(MORE_SEEDS.get(problem.key, 3))
            benches = [Bench(problem, seed, options.data_dir, results) for seed in seeds]
            best = measure(benches, FIRST_PEAK[problem.optimizer])
            rows.append(row(problem, benches, best))
    print("\n".join(rows))


def row(problem: Problem, benches: list[Bench], best: float) -> str:
    """Returns one row of the table: means over the seeds, and the standard error of the regret of the seeds.

    The best peak of the grid is that with the best of three means.
    """
    from workbench import HALF_DECADE

    grid = {peak: [bench.peak(peak) for bench in benches] for peak in (best / HALF_DECADE, best, best * HALF_DECADE)}
    peak = max(grid, key=lambda rate: statistics.mean(grid[rate]))
    automatic = [bench.automatic() for bench in benches]
    rates = ", ".join(f"{bench.boundaries()[1]:.2g}" for bench in benches)
    regrets = [100 * (tuned - own) for tuned, own in zip(grid[peak], automatic, strict=True)]
    error = statistics.stdev(regrets) / math.sqrt(len(regrets))
    return (
        f"| {problem.key} | {problem.steps} | {peak:.2g} | {_accuracies(grid[peak])} | {rates} | "
        f"{_accuracies(automatic)} | {len(benches)} | {statistics.mean(regrets):+.1f} ± {error:.1f} |"
    )


def _accuracies(values: list[float]) -> str:
    return f"{100 * statistics.mean(values):.1f} ({100 * min(values):.1f}–{100 * max(values):.1f})"


if __name__ == "__main__":
    from lrdiag.backend.start import start_engine

    start_engine()
    main()
