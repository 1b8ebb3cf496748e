"""Grad-CAM of every mistake at 224 pixels, beside tf-keras-vis, pytorch-grad-cam and captum. Run it on an idle machine.

    python tests/benchmarks/large_images.py [--networks MobileNetV2] [--measures pass,memory]

MobileNetV2, ResNet-50 and EfficientNet-B0 of `keras.applications` and of torchvision have random weights. 200 images of
noise are either all mistakes, or a quarter of them is. The measures are

- `pass`, `quarter`: `GradCAM.predict_and_explain`, the predictions of all images and both heatmaps of each mistake,
  divided by one compiled forward pass with the same batch size. All images are mistakes, or a quarter;
- `keras-vis`: the same job with tf-keras-vis, divided by lrdiag, for 64 images. All are mistakes from here on;
- `torch`: pytorch-grad-cam and captum on torchvision's network, each divided by lrdiag and by PyTorch's forward pass,
  for 64 images. pytorch-grad-cam always enlarges its heatmaps;
- `memory`: the peak memory of a process that does the job, and of one that runs the whole of `lrdiag.diagnose`, divided
  by that of one that runs `model.predict`. All three have imported lrdiag and have the images in memory;
- `reading`: 2,000 JPEG files of 500 × 375 pixels, once for all networks but measured with MobileNetV2: reading and
  scaling them, evaluating them, and both at once, in wall seconds and in seconds of both cores.

The peers need torchvision, grad-cam and captum. Pairs of seconds are kept in `results/large_images.json` as they come.
A measure that is there is not repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

IMAGES, PEER_IMAGES, SIDE, CLASSES = 200, 64, 224, 1000
PAIRS, PEER_PAIRS, PROCESSES = 9, 3, 2
FILES, FILE_SIZE = 2_000, (500, 375)
NETWORKS = {  # the function of torchvision, and its last feature map
    "MobileNetV2": ("mobilenet_v2", lambda model: model.features[-1]),
    "ResNet50": ("resnet50", lambda model: model.layer4[-1]),
    "EfficientNetB0": ("efficientnet_b0", lambda model: model.features[-1]),
}


def network(name: str) -> Any:
    """The network with random weights. It returns logits."""
    import keras

    keras.utils.set_random_seed(0)
    return getattr(keras.applications, name)(weights=None, classifier_activation=None)


def noise(count: int) -> np.ndarray:
    """Images without meaning."""
    return np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


@cache
def case_of(name: str, wrong: float = 1.0, count: int = PEER_IMAGES) -> Any:
    """The network with its images, of which this share is mistaken."""
    from explain import with_mistakes

    return with_mistakes(network(name), noise(count), CLASSES, BATCH_SIZE, wrong)


BATCH_SIZE = 32  # what lrdiag chooses for these networks, and the default of `model.predict`


def of_pass(name: str, wrong: float) -> list[list[float]]:
    """Measures the job of lrdiag and one forward pass over the same images."""
    from peers import pairs

    case = case_of(name, wrong, IMAGES)
    return pairs(case.job, case.bare, PAIRS)


def of_keras_vis(name: str) -> list[list[float]]:
    """Measures the job with tf-keras-vis, and that of lrdiag."""
    from peers import pairs, same, tf_keras_vis

    case = case_of(name)
    images, predicted, true = case.mistakes
    maps = tf_keras_vis(case.logits, case.explainer.layer, BATCH_SIZE)
    few = slice(0, BATCH_SIZE)
    assert same(maps(images[few], predicted[few]), case.maps()[few])

    def theirs() -> None:
        case.bare(), maps(images, predicted), maps(images, true)

    return pairs(theirs, case.job, PEER_PAIRS)


def of_torch(name: str) -> dict[str, list[list[float]]]:
    """Measures the job of each tool on torchvision's network, that of lrdiag, and PyTorch's forward pass."""
    from peers import captum, pytorch_grad_cam, torch_forward, torchvision_network

    model, layer = torchvision_network(*NETWORKS[name])
    case = case_of(name)
    images = np.ascontiguousarray((case.images / np.float32(255)).transpose(0, 3, 1, 2))
    bare = partial(torch_forward(model, BATCH_SIZE), images)
    predicted = bare().argmax(axis=1)
    true = (predicted + 1) % CLASSES
    measured = {}
    for tool, make in {"pytorch-grad-cam": pytorch_grad_cam, "captum": captum}.items():
        maps = make(model, layer, BATCH_SIZE)

        def theirs(maps: Any = maps) -> None:
            bare(), maps(images, predicted), maps(images, true)

        measured[tool] = in_turn(theirs, case.job, bare)
    return measured


def in_turn(*works: Callable[[], Any]) -> list[list[float]]:
    """Seconds of each work, `PEER_PAIRS` times one after the other, after a warm-up."""
    from peers import seconds

    for work in works:
        work()
    return [[seconds(work) for work in works] for _ in range(PEER_PAIRS)]


def of_memory(name: str) -> dict[str, list[float]]:
    """Measures the peak memory of processes, in MiB."""
    from explain import answer

    return {
        job: [answer(sys.executable, __file__, "--process", name, job) for _ in range(PROCESSES)]
        for job in ("predict", "explain", "diagnose")
    }


def process(name: str, job: str) -> float:
    """Does one job, and returns the peak memory of this process in MiB."""
    from explain import peak_memory

    import lrdiag

    model, images = network(name), noise(IMAGES)
    labels = np.random.default_rng(1).integers(0, CLASSES, IMAGES)
    if job == "predict":
        model.predict(images, batch_size=BATCH_SIZE, verbose=0)
    elif job == "explain":
        lrdiag.GradCAM(model).predict_and_explain(images, labels)
    else:
        lrdiag.diagnose(model, images, labels)
    return peak_memory() / 2**20


def of_reading(name: str) -> list[dict[str, list[float]]]:
    """Measures wall seconds and seconds of all cores: reading alone, the pass alone, and both at once."""
    import lrdiag

    explainer = lrdiag.GradCAM(network(name))
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))

        def evaluate(batches: Any) -> Any:
            return explainer.predict_and_explain(batches)

        test = reading(folder)
        images = [(batch.images, batch.labels) for batch in test]
        works = {
            "reading": lambda: [None for _ in reading(folder)],
            "pass": lambda: evaluate(images),
            "both": lambda: evaluate((batch.images, batch.labels) for batch in reading(folder)),
        }
        for work in works.values():
            work()
        return [{what: wall_and_cpu(work) for what, work in works.items()} for _ in range(PEER_PAIRS)]


def reading(folder: str) -> Any:
    """The images in a folder, as `lrdiag diagnose --data` reads them."""
    from lrdiag.data.loading import list_test_images
    from lrdiag.progress import SILENCE

    return list_test_images(folder, None, (SIDE, SIDE), 3, SILENCE).read(SILENCE)


def write_files(folder: Path) -> None:
    """Writes JPEG files of two classes, each with other noise and gradients, of about the size of a photograph."""
    import cv2

    generator = np.random.default_rng(0)
    width, height = FILE_SIZE
    for number in range(FILES):
        coarse = generator.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        image += generator.integers(-12, 13, image.shape, dtype=np.int16)
        path = folder / "test" / f"class {number % 2}" / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])


def wall_and_cpu(work: Callable[[], Any]) -> list[float]:
    """Seconds on the clock, and seconds of computing on all cores together."""
    wall, computed = time.perf_counter(), time.process_time()
    work()
    return [time.perf_counter() - wall, time.process_time() - computed]


def main() -> None:
    """Runs what is missing."""
    from workbench import Results, machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measures: dict[str, Callable[[str], Any]] = {
        "pass": partial(of_pass, wrong=1.0),
        "quarter": partial(of_pass, wrong=0.25),
        "keras-vis": of_keras_vis,
        "torch": of_torch,
        "memory": of_memory,
        "reading": of_reading,
    }
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--measures", default=",".join(measures))
    parser.add_argument("--process", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.process:
        print(json.dumps(process(*options.process)))
        return
    warnings.filterwarnings("ignore", message="The structure of `inputs`")  # tf-keras-vis passes a list
    results = Results("large_images")
    results.once("machine", machine)
    for name in options.networks.split(","):
        for measure in options.measures.split(","):
            if measure != "reading" or name == "MobileNetV2":
                results.once(f"{name} | {measure}", partial(measures[measure], name))


if __name__ == "__main__":
    from lrdiag.backend.start import start_engine

    start_engine()
    main()
