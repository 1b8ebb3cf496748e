"""The article's claim: how many steps each policy needs for the accuracy that the best constant rate reaches.

    python tests/benchmarks/policies.py --data-dir DIR [--nets fast,article] [--figure FILE.png]

The best constant rate is searched on a grid, half a decade apart, on the first seed. The cyclic policies take their
boundaries from a range test of each seed and are trained anew for each number of steps, so that each ends with its
cycle. Same batches, same augmentation. Results are kept in `results/policies.json` as they come; none is made twice.
"""

from __future__ import annotations

import argparse
import math
import statistics
from dataclasses import dataclass
from typing import Any

SEEDS = (0, 1, 2)
HALF_DECADE = math.sqrt(10)
RANGE_TEST_STEPS = {"fast": 100, "article": 60}


@dataclass(frozen=True)
class Problem:
    """A net on CIFAR-10 and the steps that the constant rates have."""

    net: str
    batch_size: int
    steps: int


PROBLEMS = {"fast": Problem("fast", 128, 480), "article": Problem("article", 64, 96)}
POLICIES = ("triangular", "one-cycle")


class Bench:
    """One problem with one seed."""

    def __init__(self, problem: Problem, seed: int, data_dir: str, results: Any) -> None:
        from workbench import Workbench

        self.problem, self.seed, self.results = problem, seed, results
        self.workbench = Workbench(
            data="cifar10",
            model=problem.net,
            optimizer="sgd",
            batch_size=problem.batch_size,
            seed=seed,
            data_dir=data_dir,
            augment=("flip",),
        )

    def constant(self, rate: float) -> float:
        """Accuracy after all steps at one rate; the accuracies on the way are kept beside it."""
        key = f"{self.problem.net} | seed {self.seed} | constant {rate:.2e}"
        return float(self.results.once(key, lambda: self._train_constantly(rate))[-1])

    def _train_constantly(self, rate: float) -> list[float]:
        import keras

        quarter, scores = self.problem.steps // 4, []

        def score(batch: int, logs: Any) -> None:
            if (batch + 1) % quarter == 0:
                kept = [(variable, variable.numpy()) for variable in self.workbench.model.metrics_variables]
                scores.append(self.workbench.evaluate())
                for variable, value in kept:
                    variable.assign(value)

        callback = keras.callbacks.LambdaCallback(on_train_batch_end=score)
        last = self.workbench.accuracy(self.problem.steps, callback, learning_rate=rate)
        return [*scores[:3], last]

    def policy(self, name: str, quarters: int) -> float:
        """Accuracy of a policy that is given so many quarters of the steps."""
        key = f"{self.problem.net} | seed {self.seed} | {name} | {quarters}/4"
        return float(self.results.once(key, lambda: self._train_cyclically(name, quarters)))

    def _train_cyclically(self, name: str, quarters: int) -> float:
        from lrdiag import CyclicLR, OneCycleLR

        steps = self.problem.steps * quarters // 4
        base_lr, max_lr = self._boundaries()
        if name == "triangular":
            return self.workbench.accuracy(steps, CyclicLR(base_lr=base_lr, max_lr=max_lr, step_size=(steps - 1) / 2))
        return self.workbench.accuracy(steps, OneCycleLR(max_lr=max_lr, total_steps=steps, div_factor=max_lr / base_lr))

    def _boundaries(self) -> tuple[float, float]:
        from lrdiag.rate.result import RangeTest, Sweep

        key = f"{self.problem.net} | seed {self.seed} | range test"
        measured = self.results.once(key, lambda: self.workbench.range_test(RANGE_TEST_STEPS[self.problem.net]))
        return RangeTest((Sweep(**measured),)).bounds()


def measure(problem: Problem, quarters: list[int], data_dir: str, results: Any) -> float:
    """Trains what is missing and returns the best constant rate."""
    first = Bench(problem, SEEDS[0], data_dir, results)
    best = 0.03
    while True:
        scores = {rate: first.constant(rate) for rate in (best / HALF_DECADE, best, best * HALF_DECADE)}
        if max(scores, key=scores.__getitem__) == best:
            break
        best = max(scores, key=scores.__getitem__)
    benches = [first, *(Bench(problem, seed, data_dir, results) for seed in SEEDS[1:])]
    for bench in benches:
        bench.constant(best)
    for number in quarters:
        for bench in benches:
            for name in POLICIES:
                bench.policy(name, number)
    return best


def main() -> None:
    """Measures what is missing and prints the table."""
    from workbench import Results

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="where CIFAR-10 lies")
    parser.add_argument("--nets", default="fast,article", help="which nets, in their order")
    parser.add_argument("--quarters", default="2,1,4,3", help="which shares of the steps, in their order")
    options = parser.parse_args()
    results = Results("policies")
    quarters = [int(number) for number in options.quarters.split(",")]
    for net in options.nets.split(","):
        problem = PROBLEMS[net]
        show(
            problem, sorted(quarters), measure(problem, quarters, options.data_dir, results), options.data_dir, results
        )


def show(problem: Problem, quarters: list[int], best: float, data_dir: str, results: Any) -> None:
    """One table: accuracy by the share of the steps, the median of the seeds and their range."""
    benches = [Bench(problem, seed, data_dir, results) for seed in SEEDS]
    constants = [results.values[f"{problem.net} | seed {seed} | constant {best:.2e}"] for seed in SEEDS]
    print(f"\n{problem.net}: best constant rate {best:.3g}, {problem.steps} steps of {problem.batch_size} images")
    rows = {"constant": [[scores[number - 1] for scores in constants] for number in quarters]}
    for name in POLICIES:
        rows[name] = [[bench.policy(name, number) for bench in benches] for number in quarters]
    for name, columns in rows.items():
        cells = [f"{statistics.median(each):.3f} ({min(each):.3f}–{max(each):.3f})" for each in columns]
        print(f"{name:12}", *cells)
    goal = statistics.median(scores[-1] for scores in constants)
    for name in POLICIES:
        reached = [q for q, each in zip(quarters, rows[name], strict=True) if statistics.median(each) >= goal]
        print(f"{name} reaches {goal:.3f} in {f'{reached[0]}/4' if reached else 'none of these shares'} of the steps")


if __name__ == "__main__":
    from lrdiag.startup import start_tensorflow

    start_tensorflow()
    main()
