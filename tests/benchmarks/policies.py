"""Updates that each schedule needs for the accuracy of the best constant rate: the claim of the article.

    python tests/benchmarks/policies.py --data-dir DIR [--nets fast,article] [--figure FILE.png]

The best constant rate is searched on a grid with steps of half a decade, with the first seed. The cyclic schedules take
their boundaries from a range test of each seed and are trained again for each number of steps, so that each training
run ends with its cycle. Batches and augmentation are the same. Results are kept in `results/policies.json` as they
come. A result that is there is not measured again.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """A network on CIFAR-10, and the number of steps with a constant rate."""

    net: str
    batch_size: int
    steps: int


PROBLEMS = {"fast": Problem("fast", 128, 480), "article": Problem("article", 64, 240)}
POLICIES = ("triangular", "one-cycle")

Table = dict[str, dict[int, list[float]]]


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
        """Returns the accuracy after all steps at one rate. The result also stores the accuracy after every quarter."""
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
        """Returns the accuracy of a schedule after `quarters` quarters of the steps."""
        return float(self.results.once(self.policy_key(name, quarters), lambda: self._train_cyclically(name, quarters)))

    def policy_key(self, name: str, quarters: int) -> str:
        """The key of the result, which contains the boundaries that the current rule reads."""
        base_lr, max_lr = self._boundaries()
        return f"{self.problem.net} | seed {self.seed} | {name} {base_lr:.3e}:{max_lr:.3e} | {quarters}/4"

    def _train_cyclically(self, name: str, quarters: int) -> float:
        from lrdiag import CyclicLR, OneCycleLR

        steps = self.problem.steps * quarters // 4
        base_lr, max_lr = self._boundaries()
        if name == "triangular":
            return self.workbench.accuracy(steps, CyclicLR(base_lr=base_lr, max_lr=max_lr, step_size=(steps - 1) / 2))
        return self.workbench.accuracy(steps, OneCycleLR(max_lr=max_lr, total_steps=steps, div_factor=max_lr / base_lr))

    def _boundaries(self) -> tuple[float, float]:
        from workbench import boundaries

        key = f"{self.problem.net} | seed {self.seed} | range test"
        measured = self.results.once(key, self.workbench.range_test)
        return boundaries(measured, self.workbench.optimizer)


def measure(benches: list[Bench], quarters: list[int]) -> float:
    """Runs what is missing and returns the best constant rate."""
    from workbench import climb

    best = climb(benches[0].constant, 0.03)
    for bench in benches:
        bench.constant(best)
    for number in quarters:
        for bench in benches:
            for name in POLICIES:
                bench.policy(name, number)
    return best


def main() -> None:
    """Runs what is missing and prints the table."""
    from workbench import SEEDS, Results

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="the folder that holds CIFAR-10")
    parser.add_argument("--nets", default="fast,article", help="the networks, in order")
    parser.add_argument("--quarters", default="2,1,4,3", help="the quarters of the steps, in order")
    parser.add_argument("--figure", help="draw the accuracies to this PNG file")
    options = parser.parse_args()
    results = Results("policies")
    tables: dict[str, Table] = {}
    quarters = [int(number) for number in options.quarters.split(",")]
    for net in options.nets.split(","):
        problem = PROBLEMS[net]
        benches = [Bench(problem, seed, options.data_dir, results) for seed in SEEDS]
        best = measure(benches, quarters)
        tables[net] = tabulate(benches, best, results)
        show(problem, best, tables[net])
    if options.figure:
        draw(tables, options.figure)


def tabulate(benches: list[Bench], best: float, results: Any) -> Table:
    """Returns the measured accuracies of all seeds by schedule and number of quarters."""
    measured = results.values
    constants = [measured[f"{bench.problem.net} | seed {bench.seed} | constant {best:.2e}"] for bench in benches]
    table: Table = {"constant": {number: [scores[number - 1] for scores in constants] for number in (1, 2, 3, 4)}}
    for name in POLICIES:
        rows = {number: [measured.get(bench.policy_key(name, number)) for bench in benches] for number in (1, 2, 3, 4)}
        table[name] = {number: row for number, row in rows.items() if None not in row}
    return table


def show(problem: Problem, best: float, table: Table) -> None:
    """Prints the medians of the seeds with their ranges, and the steps that each schedule needs."""
    print(f"\n{problem.net}: best constant rate {best:.3g}, {problem.steps} steps of {problem.batch_size} images")
    goal = statistics.median(table["constant"][4])
    for name, row in table.items():
        cells = {
            number: f"{statistics.median(each):.3f} ({min(each):.3f}–{max(each):.3f})" for number, each in row.items()
        }
        print(f"{name:10}", *(cells.get(number, "–") for number in (1, 2, 3, 4)), sep=" | ")
        print(f"{'':10} reaches {goal:.3f} {needed(row, goal)}")


def needed(row: dict[int, list[float]], goal: float) -> str:
    """Returns the share of the steps at which the medians, interpolated linearly, reach the goal."""
    points = [(number / 4, statistics.median(each)) for number, each in row.items()]
    if points[0][1] >= goal:
        return f"in {points[0][0]:.0%} of the steps or less"
    for (before, low), (after, high) in itertools.pairwise(points):
        if high >= goal:
            return f"in {before + (after - before) * (goal - low) / (high - low):.0%} of the steps"
    return f"not in {points[-1][0]:.0%} of the steps"


def draw(tables: dict[str, Table], file: str) -> None:
    """Draws the accuracy over the steps: medians as lines, every seed as a point."""
    from matplotlib import pyplot

    figure, charts = pyplot.subplots(
        1, len(tables), figsize=(4.6 * len(tables), 3.4), layout="constrained", squeeze=False
    )
    for axes, (net, table) in zip(charts.flat, tables.items(), strict=True):
        for colour, (name, row) in zip(("0.4", "C0", "C1"), table.items(), strict=True):
            steps = [PROBLEMS[net].steps * number // 4 for number in row]
            medians = [100 * statistics.median(each) for each in row.values()]
            axes.plot(steps, medians, "o-", color=colour, label=name)
            for step, each in zip(steps, row.values(), strict=True):
                axes.plot([step] * len(each), [100 * accuracy for accuracy in each], ".", color=colour)
        axes.set(title=net, xlabel="updates", ylabel="test accuracy, %")
        axes.legend(loc="lower right")
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    from lrdiag.backend.start import start_engine

    start_engine()
    main()
