"""Accuracy, wall time, memory and page size of the main job, measured on whole processes.

    python tests/benchmarks/main_job.py --data-dir DIR [--repeats 3]

Each run is a new process with its own seed. Results are kept in `results/main_job.json` as they come. A run that is
there is not repeated: delete the file to start over.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "main_job.json"


def measure(*arguments: str) -> dict[str, float]:
    """Runs `python -m lrdiag …` and returns its wall seconds and its peak memory in MiB."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "lrdiag", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return {"seconds": time.perf_counter() - started, "peak_mib": usage.ru_maxrss / 1024}


def train(options: list[str], seed: int) -> dict[str, float]:
    """Runs one main job, then makes its page again from the run folder."""
    with tempfile.TemporaryDirectory() as folder:
        cost = measure("train-and-report", *options, "--seed", str(seed), "--out", folder, "--no-open", "-q")
        report = json.loads((Path(folder) / "report.json").read_text())
        return {
            **cost,
            "accuracy": report["test"]["accuracy"],
            "misclassified": report["misclassified"]["count"],
            "max_lr": report["range_test"]["max_lr"],
            "total_by_training": report["seconds"]["total"] / report["seconds"]["training"],
            "page_mib": (Path(folder) / "report.html").stat().st_size / 2**20,
            "page_again_seconds": measure("report", folder)["seconds"],
            **{f"{stage}_seconds": seconds for stage, seconds in report["seconds"].items()},
        }


def main() -> None:
    """Runs what is missing and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="the folder that holds CIFAR-10")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each job, each with its own seed")
    options = parser.parse_args()
    jobs = {"cifar10": ["--data", "cifar10", "--data-dir", options.data_dir], "digits": ["--data", "digits"]}
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    cores = len(os.sched_getaffinity(0))
    results["machine"] = f"{platform.machine()}, {cores} cores, Python {platform.python_version()}"
    for seed in range(options.repeats):
        for name, arguments in {**jobs, "help": []}.items():
            key = f"{name}/{seed}"
            if key not in results:
                results[key] = train(arguments, seed) if arguments else measure("--help")
                RESULTS.parent.mkdir(exist_ok=True)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    for name in (*jobs, "help"):
        runs = [results[f"{name}/{seed}"] for seed in range(options.repeats)]
        for figure in runs[0]:
            values = sorted(run[figure] for run in runs)
            print(f"{name:8} {figure:28} median {statistics.median(values):9.4g}  {values[0]:.4g}–{values[-1]:.4g}")


if __name__ == "__main__":
    main()
