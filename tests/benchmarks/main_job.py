"""Accuracy, wall time, memory and page size of the main job, beside the network and recipe of version 0.1.

    python tests/benchmarks/main_job.py --data-dir DIR [--seeds 3] [--jobs default epochs10 digits folder96 own_model]

Each run is a new process. `before` is `recipe_before.py`: network, batch size, epochs, schedule and threads of version
0.1, and all else as it is now. Both run one after the other, for each seed. Results are kept in `results/recipe.json`
as they come. A run that is there is not repeated: delete the file to start over.
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
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "recipe.json"
VARIANTS = {"before": [str(HERE / "recipe_before.py")], "after": ["-m", "lrdiag"]}
OWN = ["--limit-train", "10000", "--model", "recipe_before:own_network"]
JOBS: dict[str, list[str]] = {
    "default": ["--data", "cifar10"],
    "epochs10": ["--data", "cifar10", "--epochs", "10"],
    "digits": ["--data", "digits"],
    "folder96": ["--image-size", "96"],
    "own_model": ["--data", "cifar10", *OWN],
}
AGAINST = {"epochs10": "default"}
"""Jobs that are divided by another job of the other variant."""
PER_CLASS = {"train": 500, "test": 100}


def run(program: list[str], arguments: list[str]) -> dict[str, float]:
    """Runs a command, and returns its wall seconds and its peak memory in MiB."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *program, *arguments], stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return {"seconds": time.perf_counter() - started, "peak_mib": usage.ru_maxrss / 1024}


def measure(variant: str, job: str, seed: int, data_dir: str) -> dict[str, Any]:
    """Runs one main job."""
    with tempfile.TemporaryDirectory() as folder:
        data = (
            ["--data", str(enlarged_folder(data_dir, Path(folder)))] if job == "folder96" else ["--data-dir", data_dir]
        )
        out = Path(folder) / "run"
        options = [*JOBS[job], *data, "--seed", str(seed), "--out", str(out), "--no-open", "-q"]
        cost = run(VARIANTS[variant], ["train-and-report", *options])
        report = json.loads((out / "report.json").read_text())
        return {
            "job": job,
            "variant": variant,
            "seed": seed,
            **cost,
            "accuracy": report["test"]["accuracy"],
            "max_lr": report["range_test"]["max_lr"],
            "page_mib": (out / "report.html").stat().st_size / 2**20,
            **{f"{stage}_seconds": seconds for stage, seconds in report["seconds"].items()},
        }


def enlarged_folder(data_dir: str, folder: Path) -> Path:
    """Writes a folder of images: 5,000 training and 1,000 test images of CIFAR-10."""
    import cv2

    from lrdiag.data.loading import load_dataset
    from lrdiag.progress import SILENCE
    from lrdiag.settings import Settings

    sizes = {f"limit_{part}": 10 * count for part, count in PER_CLASS.items()}
    dataset = load_dataset(Settings(data="cifar10", data_dir=Path(data_dir), **sizes), SILENCE)
    for part, images in (("train", dataset.train), ("train", dataset.validation), ("test", dataset.test)):
        for place, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
            path = folder / "images" / part / dataset.classes[label] / f"{len(images)}-{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image[..., ::-1])
    return folder / "images"


def main() -> None:
    """Runs what is missing and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="the folder that holds CIFAR-10")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", nargs="+", default=list(JOBS), choices=JOBS)
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": []}
    results["machine"] = (
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    )
    for seed, job, variant in product(range(options.seeds), options.jobs, VARIANTS):
        known = {(each["job"], each["seed"], each["variant"]) for each in results["runs"]}
        if (job, seed, variant) not in known and not (job in AGAINST and variant == "before"):
            results["runs"].append(measure(variant, job, seed, options.data_dir))
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            print(results["runs"][-1], flush=True)
    show(results["runs"])


def show(runs: list[dict[str, Any]]) -> None:
    """Prints medians, ranges, and the ratios of the times."""
    for job, variant, figure in product(JOBS, VARIANTS, ("seconds", "training_seconds", "accuracy", "max_lr")):
        of_these = [each[figure] for each in runs if (each["job"], each["variant"]) == (job, variant)]
        values = sorted(each for each in of_these if each is not None)  # a range test may give no rate
        if values:
            median = statistics.median(values)
            print(f"{job:10} {variant:7} {figure:17} {median:8.4g}  {values[0]:.4g}–{values[-1]:.4g}  n={len(values)}")
    for job in JOBS:
        after, before = (
            {each["seed"]: each["seconds"] for each in runs if (each["job"], each["variant"]) == pair}
            for pair in ((job, "after"), (AGAINST.get(job, job), "before"))
        )
        ratios = sorted(after[seed] / before[seed] for seed in after if seed in before)
        if ratios:
            print(f"{job:10} ratio {statistics.median(ratios):.3f}  {ratios[0]:.3f}–{ratios[-1]:.3f}")


if __name__ == "__main__":
    main()
