"""The table of docs/benchmarks.md, from the stored results."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- table: written by python -m tests.benchmarks --table -->", "<!-- end of table -->"
HEAD = """| | Goal | Median | Quartiles | n | Reached | Machine | Script |
|---|---|---:|---|---:|---|---|---|"""
NOT_MEASURED = "not measured"
NETWORKS = {"MobileNetV2": "MobileNetV2", "ResNet50": "ResNet-50", "EfficientNetB0": "EfficientNet-B0"}

Results = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: What is measured, in words. "a ÷ b" is a ratio of two times that are measured directly after each other.
        script: The stem of the script, whose results have the same name unless `stored` is another one.
        values: The measured values, from the results; raises a `KeyError` if they are missing.
        goal: The limit, such as `"≤ 1.15"`; empty without one.
        stored: The stem of the file of results.
        machine: The name of the machine among the results.
    """

    what: str
    script: str
    values: Callable[[Results], list[float]]
    goal: str = ""
    stored: str = ""
    machine: str = "machine"

    def line(self) -> str:
        """Returns the row of the table."""
        script = f"`{self.script}.py`"
        try:
            results = read(self.stored or self.script)
            values = self.values(results)
        except KeyError:
            return f"| {self.what} | {self.goal} | {NOT_MEASURED} | | | | | {script} |"
        median = statistics.median(values)
        low, high = quartiles(values)
        machine = results.get(self.machine, "")
        spread = f"{shown(low)}–{shown(high)}"
        reached = self._reached(median)
        return (
            f"| {self.what} | {self.goal} | {shown(median)} | {spread} | {len(values)} | {reached} | {machine} | "
            f"{script} |"
        )

    def _reached(self, median: float) -> str:
        if not self.goal:
            return ""
        sign, limit = self.goal.split()
        return "yes" if (median <= float(limit) if sign == "≤" else median >= float(limit)) else "**no**"


def read(name: str) -> Results:
    """Returns stored results, or raises a `KeyError` if there are none."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise KeyError(name)
    results: Results = json.loads(path.read_text())
    return results


def quartiles(values: list[float]) -> tuple[float, float]:
    """Returns the first and the third quartile, within the range of the values."""
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def shown(value: float) -> str:
    """Returns a number with three digits.

    Example:
        >>> shown(0.80512), shown(14.63), shown(191.6), shown(-0.0012)
        ('0.805', '14.6', '192', '−0.001')
    """
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}".replace("-", "−")


# --- from results to values -------------------------------------------------------------------------------------------


def ratios(pairs: list[list[float]]) -> list[float]:
    """Returns each pair as a ratio."""
    return [work / other for work, other in pairs]


def runs(results: Results, job: str, variant: str) -> dict[int, Results]:
    """Returns the runs of the main job by their seed."""
    found = {run["seed"]: run for run in results["runs"] if (run["job"], run["variant"]) == (job, variant)}
    if not found:
        raise KeyError(job)
    return found


def accuracies(job: str) -> Callable[[Results], list[float]]:
    """The accuracy of each run."""
    return lambda results: [run["accuracy"] for run in runs(results, job, "after").values()]


def gains(job: str) -> Callable[[Results], list[float]]:
    """By how much the accuracy of each seed is higher than before."""

    def values(results: Results) -> list[float]:
        after, before = (runs(results, job, variant) for variant in ("after", "before"))
        return [after[seed]["accuracy"] - before[seed]["accuracy"] for seed in after.keys() & before.keys()]

    return values


def times(job: str, reference: str | None = None) -> Callable[[Results], list[float]]:
    """The seconds of each seed, divided by those before, of the same job or of another one."""

    def values(results: Results) -> list[float]:
        after, before = runs(results, job, "after"), runs(results, reference or job, "before")
        return [after[seed]["seconds"] / before[seed]["seconds"] for seed in after.keys() & before.keys()]

    return values


def of_pairs(*keys: str) -> Callable[[Results], list[float]]:
    """The ratios of stored pairs."""

    def values(results: Any) -> list[float]:
        for key in keys:
            results = results[key]
        return ratios(results)

    return values


def of_torch(network: str, tool: str, divisor: int) -> Callable[[Results], list[float]]:
    """The time of a tool of PyTorch, divided by that of lrdiag (1) or of the forward pass of PyTorch (2)."""
    return lambda results: [times[0] / times[divisor] for times in results[f"{network} | torch"][tool]]


def memory(network: str, job: str) -> Callable[[Results], list[float]]:
    """The peak memory of a job, divided by that of `model.predict`."""

    def values(results: Results) -> list[float]:
        peaks = results[f"{network} | memory"]
        return [one / other for one, other in zip(peaks[job], peaks["predict"], strict=True)]

    return values


def reading(works: Callable[[Results], float]) -> Callable[[Results], list[float]]:
    """A time, divided by the longer of reading and the pass alone."""

    def values(results: Results) -> list[float]:
        return [works(each) / max(each["reading"][0], each["pass"][0]) for each in results["MobileNetV2 | reading"]]

    return values


def xplique(results: Results) -> list[float]:
    """The whole job with Xplique, relative to its own pass, divided by the same of lrdiag."""
    ours = statistics.median(ratios(results["fast | ours, bare"]))
    return [ratio / ours for ratio in ratios(results["fast | Xplique"]["pairs"])]


def streamed(results: Results) -> list[float]:
    """The memory beyond the results of ten times the images, divided by that of one time."""
    beyond = [[each["peak_mib"] - each["kept_mib"] for each in both] for both in results["fast | streamed"]]
    return ratios(beyond)


# --- the rows ---------------------------------------------------------------------------------------------------------


def rows() -> Iterator[Row]:
    """Yields the rows in order."""
    yield from _of_recipe()
    yield from _of_fixed_costs()
    yield from _of_large_images()
    yield from _of_small_images()
    yield from _of_engines()


def _of_recipe() -> Iterator[Row]:
    def row(what: str, values: Callable[[Results], list[float]], goal: str) -> Row:
        return Row(what, "main_job", values, goal, stored="recipe")

    yield row("CIFAR-10, default settings: accuracy", accuracies("default"), "≥ 0.795")
    yield row("the same: whole time ÷ that of 0.1", times("default"), "≤ 0.70")
    yield row("CIFAR-10, `--epochs 10`: accuracy", accuracies("epochs10"), "≥ 0.85")
    yield row("the same: whole time ÷ that of the default run of 0.1", times("epochs10", "default"), "≤ 2.6")
    jobs = {"digits": "digits", "folder96": "a folder of 96-pixel images", "own_model": "`--model` of a user"}
    for job, name in jobs.items():
        yield row(f"{name}: accuracy minus that of 0.1", gains(job), "≥ 0")
        yield row("the same: whole time ÷ that of 0.1", times(job), "≤ 1.05")
    for size in ("16 px", "24 px", "32 px"):
        yield Row(
            f"training `fast` at {size}: share of the speed of matrix multiplication",
            "gemm",
            lambda results, size=size: [each[size] / each["gemm"] for each in results["gigaflops"]],
        )


def _of_fixed_costs() -> Iterator[Row]:
    yield Row(
        "CIFAR-10 job, everything besides training that 0.1 has too: time ÷ that before",
        "fixed_costs",
        lambda results: results["ratios"],
        "≤ 0.65",
    )
    for figure, name, goal in (
        ("policy and recording", "`fit` with `CyclicLR` and a record of every step ÷ `fit`", ""),
        ("report callback", "`fit` with `ReportCallback`, recording ÷ `fit`", "≤ 1.05"),
        ("range test", "a range test of 100 updates ÷ a plain Keras callback", "≤ 1.10"),
        ("train_on_batch", "a loop of `train_on_batch` ÷ `fit`", ""),
        ("steps_per_execution=4", "`steps_per_execution=4` ÷ `fit`", ""),
        ("fit on tf.data", "`fit` on an ordinary `tf.data` pipeline ÷ `fit` on the batches of lrdiag", ""),
    ):
        for network, named in (("tiny", "a tiny network"), ("fast", "`fast`")):
            yield Row(
                f"{named}: {name}",
                "overhead",
                lambda results, network=network, figure=figure: results[network][figure],
                goal if network == "tiny" else "",
            )


def _of_large_images() -> Iterator[Row]:
    def row(what: str, values: Callable[[Results], list[float]], goal: str = "") -> Row:
        return Row(what, "large_images", values, goal)

    for name, shown_name in NETWORKS.items():
        yield row(
            f"{shown_name}, 224 px, all mistakes: predictions and both heatmaps ÷ compiled pass",
            of_pairs(f"{name} | pass"),
            "≤ 1.15",
        )
        yield row("the same, a quarter are mistakes", of_pairs(f"{name} | quarter"), "≤ 1.15")
        yield row("the same, all mistakes: tf-keras-vis ÷ lrdiag", of_pairs(f"{name} | keras-vis"))
        for tool in ("pytorch-grad-cam", "captum"):
            yield row(f"the same: {tool} ÷ lrdiag", of_torch(name, tool, 1))
            yield row(f"the same: {tool} ÷ PyTorch's own pass", of_torch(name, tool, 2))
        yield row("the same: peak memory ÷ that of `model.predict`", memory(name, "explain"), "≤ 1.5")
        yield row("`lrdiag.diagnose`: peak memory ÷ that of `model.predict`", memory(name, "diagnose"), "≤ 1.5")
    yield row(
        "2,000 JPEG files, 500 × 375, and MobileNetV2: reading and pass at once ÷ the slower of the two alone",
        reading(lambda each: each["both"][0]),
        "≤ 1.1",
    )
    yield row(
        "the same if two cores did nothing but compute (limit of this machine)",
        reading(lambda each: (each["reading"][1] + each["pass"][1]) / 2),
    )


def _of_small_images() -> Iterator[Row]:
    def row(what: str, values: Callable[[Results], list[float]], goal: str = "") -> Row:
        return Row(what, "explain", values, goal)

    for net in ("fast", "article"):
        yield row(
            f"`{net}`, 32 px, a quarter are mistakes: predictions and both heatmaps ÷ compiled pass",
            of_pairs(f"{net} | ours, bare"),
            "≤ 1.10",
        )
        yield row("the same ÷ `model.predict`", of_pairs(f"{net} | ours, predict"), "≤ 1")
        yield row("the same: tf-keras-vis ÷ lrdiag", of_pairs(f"{net} | tf-keras-vis", "whole"))
        both = of_pairs(f"{net} | tf-keras-vis", "both")
        yield row("both heatmaps of each mistake: tf-keras-vis ÷ lrdiag", both, "≥ 5")
        yield row("one heatmap of each: tf-keras-vis ÷ lrdiag", of_pairs(f"{net} | tf-keras-vis", "maps"), "≥ 5")
        yield row("one heatmap: one image at a time, eagerly ÷ lrdiag", of_pairs(f"{net} | loop"), "≥ 80")
    yield row("`fast`: Xplique ÷ lrdiag, the whole job, each relative to its own pass", xplique)
    yield row("`fast`: ten times the images, streamed: memory ÷ that of one time", streamed, "≤ 1.10")


def _of_engines() -> Iterator[Row]:
    works = {
        "fast | explain": "`fast`: predictions and heatmaps ÷ its own pass",
        "fast | training": "`fast`: `fit` with a policy and a recorder ÷ `fit`",
        "fast | rate": "`fast`: a policy ÷ a callback that assigns the rate",
        "tiny | rate": "a step of one or two milliseconds: a policy ÷ a callback that assigns the rate",
    }
    for engine, name in (("tensorflow", "TensorFlow"), ("jax", "JAX"), ("torch", "PyTorch")):
        for work, what in works.items():
            values = of_pairs(f"{engine} | {work}")
            yield Row(f"{name}, {what}", "backends", values, machine=f"{engine} | machine")


# --- the document -----------------------------------------------------------------------------------------------------


def table() -> str:
    """Returns the table."""
    return "\n".join([HEAD, *(row.line() for row in rows())])


def in_document() -> str:
    """Returns the table that the document has."""
    return DOCUMENT.read_text("utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def write() -> None:
    """Writes the table into the document."""
    before, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", "utf-8")
