"""Findings about planted defects of data, and about sound runs: what is named, and false alarms.

    LRDIAG_DATA_DIR=DIR python tests/benchmarks/data_findings.py [--only REGEX] [--family NAME] [--jobs N] [--markdown]

The scenarios are in `defects/`: a data set, a planted defect, its strength, a small network and a way to call lrdiag.
Each is measured in a process of its own, and kept as a line of `results/data_findings.jsonl` as it comes. None is
measured twice: delete the file, or lines of it, to measure again. Networks that are trained on the same images are
trained once; they are kept in a temporary folder.

- A defect is *named* if a finding has one of the codes that the scenario expects and points at the defect. A finding
  that another one explains (one of its `effects`) does not count.
- A finding *points* at the defect if at least half of the images that it shows, if it shows any, are planted ones, if
  it names the planted classes, and if its title or evidence says what was changed; each as far as the scenario defines
  it.
- *Precision* is the share of planted images among the first 50 that the finding shows, in its order. *Recall* is the
  share of the planted images that the finding shows.
- A *false alarm* is an error or a warning on a sound run, except findings about single classes and missing heatmaps,
  and `overfitting` where the accuracy on the training images ends more than ten points above that on the test images.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import shutil
import statistics
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "data_findings.jsonl"
OVERFITTING = 0.10  # accuracy on the training images less that on the test images
LONGEST = 900  # seconds
FIRST = 50  # images of a finding
TRUE = 0.5  # share of planted ones among them


@dataclass(frozen=True)
class Result:
    """What lrdiag says about one scenario.

    Attributes:
        scenario: Its name.
        findings: `code`, `severity`, `title` and `evidence` of each finding, the codes of its `effects`, and how it
            points at what was planted: `precision` and `recall` of its images, and whether it names the `classes` and
            has the `words`. What the scenario does not define is missing.
        accuracy: Accuracy on the test images.
        gap: Accuracy on training images less that on the test images, or `None`.
        seconds: Duration of the diagnosis, without training unless it was a part of it.
    """

    scenario: str
    findings: list[dict[str, Any]] = field(default_factory=list)
    accuracy: float | None = None
    gap: float | None = None
    seconds: float = 0.0

    @property
    def alarms(self) -> list[dict[str, Any]]:
        """Errors and warnings about the whole run."""
        from workbench import ABOUT_CLASSES

        true = ABOUT_CLASSES | ({"overfitting"} if self.gap is not None and self.gap > OVERFITTING else set())
        return [each for each in self.findings if each["severity"] != "note" and each["code"] not in true]

    def naming(self, codes: Iterable[str]) -> list[dict[str, Any]]:
        """Returns the findings with one of these codes that point at what was planted."""
        return [each for each in self.findings if each["code"] in codes and points(each)]

    @property
    def said(self) -> str:
        """The codes of the findings, with how they point, and those of their effects in brackets."""
        return ", ".join(map(described, self.findings)) or "nothing"


def points(finding: dict[str, Any]) -> bool:
    """Returns whether a finding points at what was planted."""
    return finding.get("precision", 1.0) >= TRUE and finding.get("classes", True) and finding.get("words", True)


def described(finding: dict[str, Any]) -> str:
    """Returns a finding in a few words."""
    keys = ("precision", "recall", "classes", "words")
    how = " ".join(f"{key} {finding[key]:.2g}" for key in keys if key in finding)
    effects = " ".join(finding["effects"])
    return finding["code"] + (f" ({how})" if how else "") + (f" [{effects}]" if effects else "")


# --- one scenario, in its process -------------------------------------------------------------------------------------


def measure(name: str, answer: Connection) -> None:
    """Plants, trains and diagnoses one scenario, and sends the result."""
    import keras
    from defects import SCENARIOS
    from defects.doors import Diagnosed, diagnosed

    from lrdiag.errors import LrdiagError

    warnings.filterwarnings("ignore")
    keras.utils.set_random_seed(0)
    scenario = SCENARIOS[name]
    folder = Path(tempfile.mkdtemp(prefix="lrdiag-data-findings-"))
    outcome: Diagnosed | Exception
    try:
        outcome = diagnosed(scenario, folder)
    except LrdiagError as refusal:
        outcome = refusal
    except Exception as failure:  # an error of Keras is an answer as well
        outcome = failure
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if isinstance(outcome, Exception):
        result = Result(name, [of_failure("refused" if isinstance(outcome, LrdiagError) else "crashed", outcome)])
    else:
        result = judged(name, outcome)
    answer.send(asdict(result))


def of_failure(code: str, error: Exception) -> dict[str, Any]:
    """Returns an error that ended the scenario in the form of a finding."""
    title = f"{type(error).__name__}: {error}"[:500]
    return {"code": code, "severity": "error", "title": title, "evidence": "", "effects": []}


def judged(name: str, outcome: Any) -> Result:
    """Compares the findings with what was planted."""
    report = outcome.report
    sample = report["train_sample"]
    accuracy = report["test"]["accuracy"]
    return Result(
        name,
        [
            {key: each[key] for key in ("code", "severity", "title", "evidence")}
            | {"effects": [effect["code"] for effect in each["effects"]]}
            | pointing(each, outcome)
            for each in report["findings"]
        ],
        accuracy,
        None if sample is None else round(sample["accuracy"] - accuracy, 4),
        round(outcome.seconds, 1),
    )


def pointing(finding: dict[str, Any], outcome: Any) -> dict[str, Any]:
    """Returns how a finding points at what was planted."""
    planted, result = outcome.planted, {}
    text = " ".join([finding["title"], finding["evidence"], *(each["caption"] for each in finding["exhibits"])])
    for part, places in (("test", planted.test), ("train", planted.train)):
        if places is not None:
            shown, wanted = outcome.images_of(finding, part), set(places.tolist())
            hits = [place in wanted for place in shown]
            if hits:
                result["precision"] = round(statistics.mean(hits[:FIRST]), 3)
                result["recall"] = round(sum(hits) / len(places), 3)
    if planted.classes:
        result["classes"] = all(_names(text, label, planted.data.names[label]) for label in planted.classes)
    if planted.words:
        result["words"] = bool(re.search(planted.words, text, re.IGNORECASE))
    return result


def _names(text: str, label: int, name: str) -> bool:
    """Returns whether a text names a class, or its number if the names are not known yet."""
    number = rf"\b(?:[Cc]lass|[Cc]lasses|numbers)\b[^.]*\b{label}\b"
    return bool(re.search(rf"\b{re.escape(name)}\b|{number}", text))


# --- all scenarios ----------------------------------------------------------------------------------------------------


def measured_alone(started: Any, name: str) -> Result:
    """Measures a scenario in a fork of a process that has imported everything and computed nothing."""
    from findings import answer_of

    answer = answer_of(started, measure, (name,), LONGEST)
    return Result(name, [of_failure("crashed", answer)]) if isinstance(answer, Exception) else Result(**answer)


def stored(path: Path) -> dict[str, Result]:
    """Reads the results that are there."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {each.scenario: each for each in (Result(**json.loads(line)) for line in lines)}


def measure_missing(wanted: list[str], path: Path, jobs: int) -> None:
    """Measures what is missing, `jobs` scenarios at a time."""
    started = multiprocessing.get_context("forkserver")
    started.set_forkserver_preload(["keras", "lrdiag", "sklearn.datasets"])
    done = stored(path)
    path.parent.mkdir(exist_ok=True)
    with ThreadPoolExecutor(jobs) as pool, path.open("a") as file:
        missing = [pool.submit(measured_alone, started, name) for name in wanted if name not in done]
        for result in (each.result() for each in as_completed(missing)):
            file.write(json.dumps(asdict(result)) + "\n")
            file.flush()
            print(f"{result.scenario} ({result.accuracy}, {result.seconds:.0f} s): {result.said}", flush=True)


# --- tables -----------------------------------------------------------------------------------------------------------


def family_table(results: Iterable[Result]) -> Iterator[str]:
    """Yields a Markdown table with a row for each family."""
    from defects import SCENARIOS

    results = list(results)
    planted = [each for each in results if SCENARIOS[each.scenario].plant]
    yield "| Family | Scenarios | A code is found | It points at the defect | Precision, median | Recall, median |"
    yield "|---|---:|---:|---:|---:|---:|"
    families = dict.fromkeys(SCENARIOS[each.scenario].family for each in planted)
    for family in families:
        yield _row(family, [each for each in planted if SCENARIOS[each.scenario].family == family])
    yield _row("**all**", planted)
    sound = [each for each in results if not SCENARIOS[each.scenario].plant]
    alarmed = sum(bool(each.alarms) for each in sound)
    yield ""
    yield f"{len(sound)} sound runs, {alarmed} with a false alarm."


def _row(name: str, results: list[Result]) -> str:
    from defects import SCENARIOS

    found = named = 0
    pointing: list[dict[str, Any]] = []
    for result in results:
        expected = SCENARIOS[result.scenario].expected
        naming = result.naming(expected)
        found += any(each["code"] in expected for each in result.findings)
        named += bool(naming)
        pointing += [each for each in naming[:1] if "precision" in each]
    medians = [
        f"{statistics.median(each[key] for each in pointing):.2f}" if pointing else ""
        for key in ("precision", "recall")
    ]
    return f"| {name} | {len(results)} | {found} | {named} | {' | '.join(medians)} |"


def code_table(results: Iterable[Result]) -> Iterator[str]:
    """Yields a Markdown table with a row for each code that a scenario expects or that alarms on a sound run."""
    from defects import SCENARIOS

    results = list(results)
    planted = [each for each in results if SCENARIOS[each.scenario].plant]
    alarms = [alarm["code"] for each in results if not SCENARIOS[each.scenario].plant for alarm in each.alarms]
    expected = {code for each in planted for code in SCENARIOS[each.scenario].expected}
    yield "| Code | Scenarios that expect it | It names the defect | On other defects | False alarms |"
    yield "|---|---:|---:|---:|---:|"
    for code in sorted(expected | set(alarms)):
        fits = [each for each in planted if code in SCENARIOS[each.scenario].expected]
        elsewhere = [each for each in planted if each not in fits and any(a["code"] == code for a in each.alarms)]
        named = sum(bool(each.naming({code})) for each in fits)
        yield f"| `{code}` | {len(fits)} | {named} | {len(elsewhere)} | {alarms.count(code)} |"


def details(results: Iterable[Result]) -> Iterator[str]:
    """Yields what was missed, and every alarm on a sound run or beside a planted defect, with its evidence."""
    from defects import SCENARIOS

    for result in results:
        scenario = SCENARIOS[result.scenario]
        if scenario.plant and not result.naming(scenario.expected):
            yield f"missed: {result.scenario} ({', '.join(sorted(scenario.expected))}); said: {result.said}"
        for alarm in result.alarms:
            if alarm["code"] not in scenario.expected:
                state = "also said" if scenario.plant else "false alarm"
                yield f"{state}: {result.scenario}: {alarm['code']}: {alarm['title']} {alarm['evidence']}"


def main() -> None:
    """Measures what is missing and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only scenarios whose name matches this regular expression")
    parser.add_argument("--family", default="", help="only this family, or `clean`")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the file of results")
    parser.add_argument("--jobs", type=int, default=1, help="scenarios at a time")
    parser.add_argument(
        "--markdown", action="store_true", help="print the tables only, from the results that are there"
    )
    options = parser.parse_args()
    os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTEROP_THREADS": "1"}
    from defects import SCENARIOS

    wanted = [
        each.name
        for each in SCENARIOS.values()
        if re.search(options.only, each.name) and options.family in ("", each.family)
    ]
    if not options.markdown:
        measure_missing(wanted, options.out, options.jobs)
    done = stored(options.out)
    results = [done[name] for name in wanted if name in done]
    print("\n".join([*family_table(results), "", *code_table(results)]))
    if not options.markdown:
        print("\n".join(details(results)))


if __name__ == "__main__":
    main()
