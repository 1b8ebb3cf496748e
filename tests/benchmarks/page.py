"""Size of the page, time and memory to make it, and time until a browser has painted it.

    python tests/benchmarks/page.py [--data-dir DIR] [--repeats 3]

Two runs are made from arrays, without training: `cifar` has 2,500 mistakes of 10,000 images of 32 pixels, `imagenet`
20,000 of 50,000 images of 224 pixels in 1,000 classes. The images of `cifar` are CIFAR-10 from `--data-dir`, or crops
of the two sample images of scikit-learn; those of `imagenet` are always such crops. The time to make the page from the
arrays is measured in a process of its own. Results are kept in `results/page.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pickle
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

RESULTS = Path(__file__).parent / "results" / "page.json"


class Size(NamedTuple):
    """The size of a test set, of its mistakes and of their heatmaps."""

    images: int
    mistakes: int
    classes: int
    side: int
    map_side: int


SIZES = {"cifar": Size(10_000, 2_500, 10, 32, 4), "imagenet": Size(50_000, 20_000, 1_000, 224, 7)}


def crops(count: int, side: int) -> np.ndarray:
    """Returns `count` crops of two images, as a view that takes no additional memory."""
    from sklearn.datasets import load_sample_images

    pixels = np.concatenate(load_sample_images().images)
    height, width, channels = pixels.shape
    step = (height - side) * width // count  # in pixels; a crop may start in one row and end in the next
    row, pixel, channel = pixels.strides
    return np.lib.stride_tricks.as_strided(
        pixels, (count, side, side, channels), (step * pixel, row, pixel, channel), writeable=False
    )


def shown_images(size: Size, data_dir: str | None) -> np.ndarray:
    """Returns the test images."""
    if data_dir is None or size.side != 32:
        return crops(size.images, size.side)
    batch = pickle.loads((Path(data_dir) / "cifar-10-batches-py" / "test_batch").read_bytes(), encoding="bytes")
    return np.array(batch[b"data"]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)[: size.images]


def scores(size: Size, labels: np.ndarray) -> np.ndarray:
    """Returns logits with `size.mistakes` mistakes. Nine in ten predict one of five neighbours of the true class."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (size.images, size.classes)).astype(np.float32)
    everything = np.arange(size.images)
    logits[everything, labels] = 9
    wrong = rng.choice(everything, size.mistakes, replace=False)
    near = rng.choice([1, 2, 3, 5, 8], size.mistakes, p=[0.4, 0.25, 0.15, 0.1, 0.1])
    far = rng.integers(1, size.classes, size.mistakes)
    away = np.where(rng.random(size.mistakes) < 0.9, near, far)
    logits[wrong, (labels[wrong] + away) % size.classes] = 9 + rng.exponential(2, size.mistakes)
    return logits


def heatmaps(size: Size, indices: np.ndarray) -> Any:
    """Returns heatmaps with two peaks each and some noise."""
    from lrdiag.record.arrays import Heatmaps, MeanHeatmaps

    rng = np.random.default_rng(1)
    y, x = np.mgrid[0 : size.map_side, 0 : size.map_side]

    def maps(count: int) -> np.ndarray:
        centres = rng.uniform(0, size.map_side - 1, (2, 2, count, 1, 1))
        bumps = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / size.map_side) for cx, cy in centres]
        return (bumps[0] - 0.5 * bumps[1] + rng.normal(0, 0.05, bumps[0].shape)).astype(np.float32)

    means = MeanHeatmaps(*(np.abs(maps(size.classes)) for _ in range(2)))
    return Heatmaps("Grad-CAM", "conv", indices, maps(len(indices)), maps(len(indices)), means)


def kept(images: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Returns the misclassified images, scaled down to the size on the page, as the evaluation keeps them."""
    import cv2

    from lrdiag.record.pictures import LARGEST_SIDE, shrunk

    height, width = shrunk(*images.shape[1:3], LARGEST_SIDE)
    return np.stack([cv2.resize(images[index], (width, height), interpolation=cv2.INTER_AREA) for index in wrong])


def make_run(size: Size, folder: Path, data_dir: str | None) -> dict[str, float]:
    """Makes a run folder from arrays and returns the seconds of each step."""
    from lrdiag.diagnosis.assemble import assemble, dataset_facts
    from lrdiag.record.arrays import Dataset, LabelledImages, Predictions
    from lrdiag.record.facts import Epoch, HeatmapFacts, HeatmapTrust, RangeTestFacts, Run, RunFacts, TrainingRun
    from lrdiag.report.pictures.layout import lay_out
    from lrdiag.report.write import write_page

    labels = np.arange(size.images) % size.classes
    test = LabelledImages(shown_images(size, data_dir), labels)
    classes = tuple(f"a class with a name of some length {index}" for index in range(size.classes))
    if size.classes == 10:
        classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    dataset = Dataset("benchmark", "arrays", classes, LabelledImages(test.images, labels), test)
    predictions = Predictions.from_scores(scores(size, labels), labels)
    maps = heatmaps(size, predictions.misclassified)
    rates = np.geomspace(1e-5, 10, 100)
    range_test = RangeTestFacts(rates.tolist(), (2 + np.sin(rates)).tolist(), [2.0] * 100, "it ended")
    epochs = [Epoch(2 / number, 1 - 1 / number, 2 / number, 1 - 1 / number, 1.0) for number in range(1, 31)]
    steps = np.linspace(0, 1, 3000)
    training = TrainingRun(epochs, steps.tolist(), (2 - steps).tolist(), 100, 30, "SGD", "one cycle", None, 60.0)
    run_facts = RunFacts("fast", 1, "CPU", "tensorflow", "benchmark", None, {}, {}, (0.0, 255.0))
    # the digest of the test images is not a part of the page, and takes most of the time for seven gigabytes
    emptied = dataclasses.replace(dataset, test=LabelledImages(np.zeros((size.images, 1, 1, 3), np.uint8), labels))

    mistakes = kept(test.images, predictions.misclassified)
    seconds, started = {}, time.perf_counter()
    pictures = lay_out(mistakes, predictions, maps, dataset.train, seed=0)
    seconds["lay_out"] = time.perf_counter() - started
    diagnosis = assemble(
        dataset_facts(emptied),
        predictions,
        files=(),
        range_test=range_test,
        range_test_note=None,
        training=training,
        heatmaps=HeatmapFacts("Grad-CAM", "conv", size.mistakes, trust=HeatmapTrust(200, 0.02, 0.3, 0.4)),
        run=run_facts,
    )
    facts = dataclasses.replace(diagnosis.dataset, image_shape=[size.side, size.side, 3])
    diagnosis = dataclasses.replace(diagnosis, dataset=facts)
    seconds["assemble"] = time.perf_counter() - started - seconds["lay_out"]
    run = Run(diagnosis, pictures)
    write_page(folder, run)
    seconds["write"] = time.perf_counter() - started - seconds["lay_out"] - seconds["assemble"]
    return seconds


def measure(*command: str) -> tuple[dict[str, float], str]:
    """Runs a process. Returns its time in seconds, its peak memory in MiB, and its output."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    cost = {
        "seconds": time.perf_counter() - started,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }
    return cost, printed


def browse(page: Path) -> dict[str, float]:
    """Measures the seconds that a browser takes to open and paint the page, to show the mistakes, and to sort them."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.set_script_timeout(120)
        metrics = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.get(page.as_uri())
        opened = driver.execute_async_script(
            "const tell = arguments[0]; requestAnimationFrame(() => setTimeout(() => tell(["
            "performance.getEntriesByName('first-contentful-paint')[0].startTime,"
            "performance.getEntriesByType('navigation')[0].loadEventEnd,"
            "performance.getEntriesByType('resource').length, document.documentElement.scrollWidth])))"
        )
        sort = (
            "const {order} = document.querySelector('.filter').elements; order.value = 'confidence';"
            "order.dispatchEvent(new Event('input', {bubbles: true}));"
        )
        return {
            "painted": opened[0] / 1000,
            "loaded": opened[1] / 1000,
            "requests": opened[2],
            "width_at_360": opened[3],
            "to_the_mistakes": _painted(driver, "document.querySelector('#misclassified').scrollIntoView();"),
            "to_sort_all": _painted(driver, sort),
        }
    finally:
        driver.quit()


def _painted(driver: Any, action: str) -> float:
    return float(
        driver.execute_async_script(
            f"const tell = arguments[0], started = performance.now(); {action}"
            "requestAnimationFrame(() => setTimeout(() => tell((performance.now() - started) / 1000)))"
        )
    )


def main() -> None:
    """Measures both sizes and prints the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="the folder that holds CIFAR-10")
    parser.add_argument("--repeats", type=int, default=3, help="how often the page is made again and opened")
    parser.add_argument("--size", choices=SIZES, action="append", help="measure only this size")
    parser.add_argument("--make", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        print(json.dumps(make_run(SIZES[options.size[0]], Path(options.make), options.data_dir)))
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    cores = len(os.sched_getaffinity(0))
    results["machine"] = f"{platform.machine()}, {cores} cores, Python {platform.python_version()}"
    for name in options.size or SIZES:
        results[name] = evaluate(name, options)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        for figure, value in results[name].items():
            print(f"{name:9} {figure:24} {value:.6g}")


def evaluate(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Makes the run of a size, makes its page again, and opens it."""
    with tempfile.TemporaryDirectory() as folder:
        data = ["--data-dir", options.data_dir] if options.data_dir else []
        made, printed = measure(__file__, "--size", name, "--make", folder, *data)
        page = Path(folder) / "report.html"
        text = page.read_text(encoding="utf-8")
        again = [measure("-m", "lrdiag", "report", folder)[0] for _ in range(options.repeats)]
        opened = [browse(page) for _ in range(options.repeats)]
        in_browser = {f"browser_{figure}": statistics.median(each[figure] for each in opened) for figure in opened[0]}
        return {
            "page_mib": page.stat().st_size / 2**20,
            "without_images_kib": len(re.sub(r"base64,[\w+/=]+", "", text).encode()) / 1024,
            "tiles": len(re.findall("<details id=i", text)),
            **{f"{step}_seconds": seconds for step, seconds in json.loads(printed).items()},
            **{f"made_{figure}": value for figure, value in made.items()},
            **{f"again_{figure}": statistics.median(each[figure] for each in again) for figure in made},
            **in_browser,
        }


if __name__ == "__main__":
    main()
