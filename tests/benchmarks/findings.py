"""Findings about faulty training programs, their repairs and sound programs: what is named, when, and false alarms.

    LRDIAG_DATA_DIR=DIR python tests/benchmarks/findings.py [--only REGEX] [--jobs N] [--out FILE] [--markdown]

The programs are in `faults/`. Each trains in a process of its own under `ReportCallback`, as a user would train it, and
the findings of its `report.json` are kept as a line of `results/findings.jsonl` as they come. None is measured twice:
delete the file, or the lines of a program, to measure again.

- A fault is *named* if a finding has one of the codes that the program expects, whatever its severity.
  A finding that another one explains (one of its `effects`) does not count.
- It is named *before the first update* if that finding was known before training.
- An *alarm* is an error or a warning. Every alarm on a sound or repaired program is a *false alarm*, except findings
  about single classes and missing heatmaps, and `overfitting` where the accuracy on the training images ends more than
  five points above that on the validation images.
- A *wrong statement* is an alarm on a faulty program that neither names its fault nor is known to be true beside it.
  Symptoms that any failing program may show are not wrong.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "findings.jsonl"
OF_EVERY_FAILURE = {"at-chance", "collapsed-predictions", "not-finite", "not-learning"}  # true of any faulty program
OVERFITTING = 0.05  # accuracy on the training images less that on the validation images
LONGEST = 300  # seconds
BEFORE = "before training"


@dataclass(frozen=True)
class Result:
    """What lrdiag says about one training run.

    Attributes:
        program: Its name.
        broken: Whether the fault is present.
        findings: `code`, `severity`, `title`, `evidence` and `known` of each finding, and the codes of its effects.
        trained: Last accuracy on the training images, as Keras logs it.
        validated: Last accuracy on the validation images.
        seconds: Duration of training and report.
    """

    program: str
    broken: bool
    findings: list[dict[str, Any]] = field(default_factory=list)
    trained: float | None = None
    validated: float | None = None
    seconds: float = 0.0

    @property
    def overfits(self) -> bool:
        """Whether `overfitting` is true of it."""
        return self.trained is not None and self.validated is not None and self.trained - self.validated > OVERFITTING

    @property
    def alarms(self) -> list[dict[str, Any]]:
        """Errors and warnings about the whole run."""
        from workbench import ABOUT_CLASSES

        true = ABOUT_CLASSES | ({"overfitting"} if self.overfits else set())
        return [each for each in self.findings if each["severity"] != "note" and each["code"] not in true]

    @property
    def said(self) -> str:
        """The codes of the findings, with those of their effects in brackets."""
        findings = [(each["code"], " ".join(each.get("effects", ()))) for each in self.findings]
        return ", ".join(f"{code} [{effects}]" if effects else code for code, effects in findings) or "nothing"

    def naming(self, codes: Iterable[str]) -> list[dict[str, Any]]:
        """Returns the findings with one of these codes."""
        return [each for each in self.findings if each["code"] in codes]


# --- one program, in its process --------------------------------------------------------------------------------------


def measure(name: str, broken: bool, answer: Connection) -> None:
    """Trains one program under `ReportCallback` and sends the result."""
    import keras
    from faults import PROGRAMS

    from lrdiag.errors import LrdiagError

    warnings.filterwarnings("ignore")
    keras.utils.set_random_seed(0)
    started = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="lrdiag-findings-"))
    result: dict[str, Any] = {}
    try:
        result = train(PROGRAMS[name].make(broken), folder)
    except LrdiagError as refusal:
        result["findings"] = [*read(folder), of_failure("refused", refusal)]
    except Exception as failure:  # Keras's own error is an answer as well
        result["findings"] = [*read(folder), of_failure("crashed", failure)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    answer.send(asdict(Result(name, broken, seconds=round(time.perf_counter() - started, 1), **result)))


def train(run: Any, folder: Path) -> dict[str, Any]:
    """Trains a run, and returns its findings and last accuracies."""
    import lrdiag

    arguments = dict(run.arguments)
    callbacks = [*arguments.pop("callbacks", ()), lrdiag.ReportCallback(folder, (run.x_val, run.y_val))]
    validation = (run.x_val, run.y_val)
    fitted = run.model.fit(run.x, run.y, validation_data=validation, verbose=0, callbacks=callbacks, **arguments)
    accuracies = {name: values[-1] for name, values in fitted.history.items() if name.endswith("accuracy")}
    return {
        "findings": read(folder),
        "trained": next((value for name, value in accuracies.items() if not name.startswith("val_")), None),
        "validated": next((value for name, value in accuracies.items() if name.startswith("val_")), None),
    }


def read(folder: Path) -> list[dict[str, Any]]:
    """Reads the findings of a report. There are none if it was not written."""
    report = folder / "report.json"
    if not report.exists():
        return []
    return [
        {key: each.get(key) for key in ("code", "severity", "title", "evidence", "known")}
        | {"effects": [effect["code"] for effect in each.get("effects", ())]}
        for each in json.loads(report.read_text())["findings"]
    ]


def of_failure(code: str, error: Exception) -> dict[str, Any]:
    """Returns an error that ended the run in the form of a finding."""
    return {"code": code, "severity": "error", "title": f"{type(error).__name__}: {error}"[:500], "evidence": ""}


# --- all programs -----------------------------------------------------------------------------------------------------


def measured_alone(started: Any, case: tuple[str, bool]) -> Result:
    """Runs a program in a process of its own."""
    answer = answer_of(started, measure, case, LONGEST)
    return (
        Result(*case, findings=[of_failure("crashed", answer)]) if isinstance(answer, Exception) else Result(**answer)
    )


def answer_of(started: Any, target: Callable[..., None], case: tuple[Any, ...], longest: float) -> Any:
    """Returns what a function sends from a fork of a process that has imported everything and computed nothing.

    Returns:
        The answer, or the exception if none came in `longest` seconds.
    """
    receiving, sending = started.Pipe(duplex=False)
    process = started.Process(target=target, args=(*case, sending))
    process.start()
    sending.close()
    try:
        if receiving.poll(longest):
            return receiving.recv()
        return TimeoutError(f"more than {longest} s")
    except EOFError as ended:
        return ended
    finally:
        process.kill()
        process.join()


def stored(path: Path) -> dict[tuple[str, bool], Result]:
    """Reads the results that are there."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {(each.program, each.broken): each for each in (Result(**json.loads(line)) for line in lines)}


def cases(pattern: str) -> list[tuple[str, bool]]:
    """Returns the programs whose code or name matches: the faulty ones, their repairs and the sound ones."""
    from faults import PROGRAMS

    chosen = [each for each in PROGRAMS.values() if re.search(pattern, f"{each.code} {each.name}")]
    broken = [(each.name, True) for each in chosen if each.expected]
    return broken + [(each.name, False) for each in chosen if each.repaired]


def measure_missing(wanted: list[tuple[str, bool]], path: Path, jobs: int) -> None:
    """Runs what is missing, `jobs` programs at a time."""
    started = multiprocessing.get_context("forkserver")
    started.set_forkserver_preload(["keras", "lrdiag", "sklearn.datasets"])
    done = stored(path)
    path.parent.mkdir(exist_ok=True)
    with ThreadPoolExecutor(jobs) as pool, path.open("a") as file:
        for result in pool.map(partial(measured_alone, started), [case for case in wanted if case not in done]):
            file.write(json.dumps(asdict(result)) + "\n")
            file.flush()
            state = "faulty" if result.broken else "sound"
            print(f"{result.program} ({state}, {result.seconds:.0f} s): {result.said}", flush=True)


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass
class Count:
    """How many programs, how many of them named, and how many before the first update."""

    variants: int = 0
    named: int = 0
    before: int = 0

    def add(self, naming: list[dict[str, Any]]) -> None:
        """Counts one more program."""
        self.variants += 1
        self.named += bool(naming)
        self.before += any(each.get("known") == BEFORE for each in naming)

    @property
    def cells(self) -> str:
        return f"{self.variants} | {self.named} | {self.before} | {self.named - self.before}"


def table(results: Iterable[Result]) -> Iterator[str]:
    """Yields a Markdown table with a row for each code and for all programs."""
    from faults import PROGRAMS

    results = list(results)
    alarms = [each["code"] for result in results if not result.broken for each in result.alarms]
    counts = {
        code: Count() for code in sorted({PROGRAMS[each.program].code for each in results if each.broken} | set(alarms))
    }
    totals = {False: Count(), True: Count()}
    for result in results:
        program = PROGRAMS[result.program]
        if result.broken:
            naming = result.naming(program.expected)
            for count in (counts[program.code], totals[program.mild]):
                count.add(naming)
    yield "| Code | Programs | Named | Before the first update | Later | False alarms |"
    yield "|---|---:|---:|---:|---:|---:|"
    for code, count in counts.items():
        yield f"| `{code}` | {count.cells} | {alarms.count(code)} |"
    yield f"| **faults** | {totals[False].cells} | |"
    yield f"| **milder faults** | {totals[True].cells} | |"
    sound = [result for result in results if not result.broken]
    alarmed = sum(bool(result.alarms) for result in sound)
    yield f"| **sound and repaired programs** | {len(sound)} | | | | {len(alarms)}, on {alarmed} programs |"


def details(results: Iterable[Result]) -> Iterator[str]:
    """Yields what was missed, what is wrong, and every false alarm with its evidence."""
    from faults import PROGRAMS

    for result in results:
        program = PROGRAMS[result.program]
        if result.broken and not result.naming(program.expected):
            yield f"missed: {result.program} ({', '.join(sorted(program.expected))}); said: {result.said}"
        true = OF_EVERY_FAILURE | program.expected | program.also_true if result.broken else frozenset()
        for alarm in result.alarms:
            if alarm["code"] not in true:
                state = "wrong statement" if result.broken else "false alarm"
                yield f"{state}: {result.program}: {alarm['code']}: {alarm['title']} {alarm['evidence']}"


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only programs whose code or name matches this regular expression")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file of results")
    parser.add_argument("--jobs", type=int, default=1, help="programs at a time")
    parser.add_argument("--markdown", action="store_true", help="print the table only, from the results that are there")
    options = parser.parse_args()
    os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTEROP_THREADS": "1"}
    wanted = cases(options.only)
    if not options.markdown:
        measure_missing(wanted, options.out, options.jobs)
    done = stored(options.out)
    results = [done[case] for case in wanted if case in done]
    print("\n".join(table(results)))
    if not options.markdown:
        print("\n".join(details(results)))


if __name__ == "__main__":
    main()
