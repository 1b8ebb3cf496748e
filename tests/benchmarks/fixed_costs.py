"""What the main job costs besides training, part by part: each job in a process of its own.

    LRDIAG_DATA_DIR=DIR python tests/benchmarks/fixed_costs.py new=. old=PATH_OF_ANOTHER_CHECKOUT --repeats 3

The versions alternate. The parts are the stages that the command prints, with the seconds between them:

- *start*: from the start of the process to the range test: importing, reading, building the network,
- *range test*, *evaluation* (the test images and the check of the heatmaps), *training images*, *study*, *page*,
- *end*: from the last page to the end of the process.

`train` is left out of the sum. `--epochs 1` is enough, because no other part depends on the number of epochs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "fixed_costs.json"
STAGES = {
    "Range test": "range test",
    "Training": "training",
    "Predicting and explaining": "evaluation",
    "Checking the heatmaps": "evaluation",
    "Predicting training images": "training images",
    "Studying images and labels": "study",
    "Writing the page": "page",
}
OF_0_1 = ("start", "range test", "evaluation", "page", "end")
"""The parts that a job of lrdiag 0.1 has besides training."""
STAGE = re.compile(r"^(.+): (\d+\.\d) s(?: · .*)?$")


def main() -> None:
    """Measures, prints and stores the seconds of each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkouts", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", default="1")
    parser.add_argument(
        "--keep", action="store_true", help=f"Write {RESULTS.name}, with the ratios of the last version to the first."
    )
    given = parser.parse_args()
    checkouts = dict(each.split("=", 1) for each in given.checkouts)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    for _ in range(given.repeats):
        for name, folder in checkouts.items():
            runs[name].append(parts_of_job(Path(folder).resolve(), given.epochs))
            print(name, {part: round(seconds, 1) for part, seconds in runs[name][-1].items()}, flush=True)
    for name, each in runs.items():
        print(name, "medians", {part: round(statistics.median(run[part] for run in each), 2) for part in each[0]})
    if given.keep:
        first, *_, last = runs.values()
        kept = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "epochs": given.epochs,
            "seconds": runs,
            "ratios": [
                sum(after[part] for part in OF_0_1) / sum(before[part] for part in OF_0_1)
                for before, after in zip(first, last, strict=True)
            ],
        }
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


def parts_of_job(checkout: Path, epochs: str) -> dict[str, float]:
    """Runs the main job of a checkout, and returns the seconds of its parts.

    The time between two stages counts for the later one, because it prepares that.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lrdiag", "train-and-report", "--data", "cifar10", "--epochs", epochs]
        started = time.perf_counter()
        job = subprocess.Popen(
            [*command, "--out", f"{folder}/run"],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        parts = dict.fromkeys(("start", *STAGES.values(), "end"), 0.0)
        last = started
        for line in job.stderr or ():
            stage = STAGE.match(line.strip())
            part = STAGES.get(stage[1]) if stage else None
            if stage and part:
                now = time.perf_counter()
                if part == "range test":
                    parts["start"] = now - started - float(stage[2])
                    last = now - float(stage[2])
                parts[part] += now - last
                last = now
        if job.wait() != 0:
            raise SystemExit(f"the job of {checkout} failed")
        parts["end"] = time.perf_counter() - last
    return {**parts, "without training": sum(parts.values()) - parts["training"]}


if __name__ == "__main__":
    main()
