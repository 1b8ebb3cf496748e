"""Grad-CAM with JAX and PyTorch on a GPU: time, memory, and the differences from the maps of a CPU.

    python tests/benchmarks/gpu.py --prepare FOLDER [--data-dir DIR] [--model FILE.keras] [--python 3.11 3.12]
    python tests/benchmarks/gpu.py FOLDER [--out FOLDER]

The first command runs on a machine with all of lrdiag. It collects what a machine may lack that has JAX, PyTorch and a
checkout of lrdiag, but no network: wheels of Keras for each version of Python, the test images of CIFAR-10 (noise,
without a folder of data), a trained network `fast`, and its maps on a CPU. All together take at most 64 MiB.

The second command runs on that machine, for less than six minutes. Each engine and each network has a process of its
own, and so has each measurement of memory, whose peak can't be reset in JAX. The networks are `fast`, with all test
images, and ResNet-50 with random weights, with images of noise and 224 pixels. Measured are

- `predict_and_explain`, divided by one forward pass as a user of the engine writes it, with the same batch size; and
  its seconds for all mistakes among the 10,000 images, after compilation;
- the peak memory of `predict_and_explain` and of `model.predict`, with the same batch size: that of the GPU, or the
  resident memory of the process without one;
- the largest difference between a map and the prepared one, divided by the highest peak: with the engine's default
  precision, which is TensorFloat-32 on NVIDIA GPUs, with float32, and with mixed precision.

Without a GPU it runs on the CPU with fewer images, and the first line says so. Results are kept in `results/gpu.json`
as they come, by device. A result that is there is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

LIMIT = 320  # seconds of all processes together
LARGEST = 64 * 2**20  # bytes of the prepared folder
# Keras, and what it needs that neither JAX nor PyTorch brings.
CARRIED = (
    "keras",
    "absl-py",
    "h5py",
    "markdown-it-py",
    "mdurl",
    "namex",
    "optree",
    "packaging",
    "pygments",
    "rich",
    "typing-extensions",
)
SYSTEMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
TRAIN_STEPS, MAX_LR = 200, 0.1  # of the prepared network
ENGINES, NETS = ("jax", "torch"), ("fast", "resnet50")
EXPLAIN, PREDICT = "explain", "predict"  # whose memory is measured


# --- preparing --------------------------------------------------------------------------------------------------------


def prepare(folder: Path, options: argparse.Namespace) -> None:
    """Writes everything that the other machine may lack."""
    import keras
    from workbench import noise

    import lrdiag

    folder.mkdir(parents=True, exist_ok=True)
    for python in options.python:
        collect_wheels(folder / "wheels", python)
    train, test = cifar10(options.data_dir) if options.data_dir else (noise(5_000), noise(10_000))
    model = keras.models.load_model(options.model, compile=False) if options.model else trained(*train)
    model.save(folder / "model.keras", include_optimizer=False)
    np.savez_compressed(folder / "images.npz", images=test[0], labels=test[1])
    predictions, heatmaps = lrdiag.GradCAM(model).predict_and_explain(*test)
    wrong = heatmaps.indices
    np.savez(folder / "maps.npz", wrong=wrong, classes=predictions.predicted[wrong], maps=heatmaps.signed_predicted)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    content = "test images of CIFAR-10" if options.data_dir else "images of noise, because no data folder is given"
    print(f"{content}; {len(wrong):,} mistakes; {size / 2**20:.1f} MiB in {folder}")
    if size > LARGEST:
        raise SystemExit(f"The folder must take at most {LARGEST / 2**20:.0f} MiB. Give fewer versions of Python.")


def collect_wheels(folder: Path, python: str) -> None:
    """Downloads Keras and what it needs, in the versions of this environment, for a version of Python."""
    systems = [option for system in SYSTEMS for option in ("--platform", system)]
    names = [f"{name}=={version(name)}" for name in CARRIED]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(folder),
    ]
    subprocess.run([*pip, "--python-version", python, "--implementation", "cp", *systems, *names], check=True)


def cifar10(data_dir: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images and labels of CIFAR-10, for training and for the test."""
    from lrdiag.data import load_dataset
    from lrdiag.progress import Silence
    from lrdiag.settings import Settings

    dataset = load_dataset(Settings(data="cifar10", data_dir=Path(data_dir)), Silence())
    return ((part.images, part.labels) for part in (dataset.train, dataset.test))


def trained(images: np.ndarray, labels: np.ndarray) -> Any:
    """The network `fast`, trained for a moment."""
    import keras
    from overhead import make_fast

    import lrdiag

    keras.utils.set_random_seed(0)
    model = make_fast(images, labels)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(momentum=0.9, nesterov=True), loss=loss)
    some = np.random.default_rng(0).integers(0, len(images), 128 * TRAIN_STEPS)
    model.fit(images[some], labels[some], batch_size=128, verbose=0, callbacks=[lrdiag.OneCycleLR(MAX_LR)])
    return model


# --- one engine and one network, in a process of its own --------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        images: Number of test images.
        large: Number of images of 224 pixels.
        large_batch: How many of them are in a batch.
        pairs: Number of pairs of times.
    """

    images: int
    large: int
    large_batch: int
    pairs: int


ON_GPU, ON_CPU = Sizes(10_000, 512, 64, 9), Sizes(512, 4, 2, 3)


def measure(folder: Path, out: Path, net: str, work: str) -> None:
    """Stores times and differences, or prints the bytes that one work takes at its peak."""
    from workbench import Results, block_tensorflow

    block_tensorflow()
    from lrdiag.backend.device import device, has_gpu
    from lrdiag.backend.start import start_engine

    start_engine()
    sizes = ON_GPU if has_gpu() else ON_CPU
    case = fast(folder, sizes) if net == "fast" else resnet50(sizes)
    if work == EXPLAIN:
        case.job()
    elif work == PREDICT:
        case.predict()
    else:
        timed_and_compared(
            case, folder, sizes, Results(f"{out}/gpu"), f"{device()} | {os.environ['KERAS_BACKEND']} | {net}"
        )
        return
    print(json.dumps({"device": device(), "peak": peak()}))


def fast(folder: Path, sizes: Sizes) -> Any:
    """The prepared network and images."""
    import keras
    from explain import Case

    data = np.load(folder / "images.npz")
    model = keras.models.load_model(folder / "model.keras", compile=False)
    return Case(model, data["images"][: sizes.images], data["labels"][: sizes.images])


def resnet50(sizes: Sizes) -> Any:
    """ResNet-50 with random weights. Nearly all images are mistakes, because their labels are random."""
    import keras
    from explain import Case
    from workbench import noise

    model = keras.applications.ResNet50(weights=None)
    return Case(model, *noise(sizes.large, 224, 1000), sizes.large_batch)


def timed_and_compared(case: Any, folder: Path, sizes: Sizes, results: Any, key: str) -> None:
    """Measures what is missing in the results, under the key of device, engine and network."""
    from explain import by_bare_pass

    results.once(f"{key} | ours, bare", partial(by_bare_pass, case, sizes.pairs))
    if "fast" not in key:
        return
    results.once(f"{key} | maps by default", lambda: difference(case.model, case.images, folder))
    for precision in ("mixed_float16", "mixed_bfloat16"):
        twin = in_precision(case, precision)
        results.once(f"{key} | maps in {precision}", lambda twin=twin: difference(twin, case.images, folder))
    forbid_tf32()
    results.once(f"{key} | maps in float32", lambda: difference(case.model, case.images, folder))


def difference(model: Any, images: np.ndarray, folder: Path) -> float:
    """The largest difference from the prepared maps of the mistakes among the images, by the highest peak."""
    import lrdiag

    prepared = np.load(folder / "maps.npz")
    known = prepared["wrong"] < len(images)
    wrong, classes, expected = (prepared[name][known] for name in ("wrong", "classes", "maps"))
    maps = lrdiag.GradCAM(model, batch_size=256).maps(images[wrong], classes, signed=True)
    return float(np.abs(maps - expected).max() / expected.max())


def in_precision(case: Any, policy: str) -> Any:
    """The network `fast` as it is built with a policy of Keras, with the same weights."""
    import keras
    from overhead import make_fast

    keras.config.set_dtype_policy(policy)
    twin = make_fast(case.images, case.labels)
    keras.config.set_dtype_policy("float32")
    twin.set_weights(case.model.get_weights())
    twin.layers[0].finalize_state()  # the normalization of pixels, which keeps constants made of its weights
    return twin


def forbid_tf32() -> None:
    """Multiplies with all bits of float32 from now on."""
    if os.environ["KERAS_BACKEND"] == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "highest")
    else:
        import torch

        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def peak() -> int:
    """The peak memory of the GPU in bytes, or of the process without one."""
    from lrdiag.backend.device import has_gpu

    if not has_gpu():
        from explain import peak_memory

        return peak_memory()
    if os.environ["KERAS_BACKEND"] == "jax":
        import jax

        return int(jax.devices()[0].memory_stats()["peak_bytes_in_use"])
    import torch

    return int(torch.cuda.max_memory_allocated())


# --- all of them ------------------------------------------------------------------------------------------------------


class Processes:
    """Starts the processes with what was prepared, until the time is over.

    Args:
        folder: What was prepared.
        out: The folder of the results.
        scratch: A temporary folder.
    """

    def __init__(self, folder: Path, out: Path, scratch: Path) -> None:
        self._command = [sys.executable, __file__, str(folder), "--out", str(out), "--measure"]
        self._deadline = time.monotonic() + LIMIT
        site = scratch / "site"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
        subprocess.run([*pip, "--find-links", str(folder / "wheels"), *CARRIED], check=True)
        self._environment = {
            **os.environ,
            "PYTHONPATH": f"{site}{os.pathsep}{Path(__file__).parents[2]}",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            # Kept for the processes that measure memory: to find the fastest kernels, JAX takes memory for all of them.
            "JAX_COMPILATION_CACHE_DIR": str(scratch / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }

    def run(self, engine: str, net: str, work: str) -> str:
        """Returns what the process prints; nothing if it fails or the time is over, which is printed."""
        environment = {**self._environment, "KERAS_BACKEND": engine}
        left = max(1, self._deadline - time.monotonic())
        try:
            command = [*self._command, net, work]
            return subprocess.run(
                command, env=environment, timeout=left, check=True, stdout=subprocess.PIPE, text=True
            ).stdout
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"{engine}, {net}, {work}: {error}", flush=True)
            return ""


def run(folder: Path, out: Path) -> None:
    """Measures what is missing and prints the table."""
    from workbench import Results

    print(gpus() or "No GPU: on the CPU, with fewer images", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        processes = Processes(folder, out, Path(scratch))
        for engine, net in product(ENGINES, NETS):
            print(processes.run(engine, net, "time"), end="", flush=True)
        results = Results(f"{out}/gpu")
        measured = list(product(ENGINES, NETS, (PREDICT, EXPLAIN)))
        with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 4)) as pool:
            printed = pool.map(lambda each: processes.run(*each), measured)
        for (engine, net, work), answer in zip(measured, printed, strict=True):
            if answer:
                found = json.loads(answer.splitlines()[-1])
                key = f"{found['device']} | {engine} | {net} | memory of {work}, MiB"
                results.once(key, lambda found=found: found["peak"] / 2**20)
    print("\n".join(table(results.values)))


def gpus() -> str:
    """The GPUs of the machine, as the driver names them."""
    if not shutil.which("nvidia-smi"):
        return ""
    return subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout.strip()


def table(values: dict[str, Any]) -> Iterator[str]:
    """Yields all rows."""
    from explain import line, quotients

    yield "| Device, engine, network | What | Goal | Median | Quartiles | n |\n|---|---|---:|---:|---:|---:|"
    goals = {"maps by default": "≤ 0.001", "maps in float32": "≤ 0.001"}
    goals |= {"maps in mixed_float16": "≤ 0.01", "maps in mixed_bfloat16": "≤ 0.02"}
    for key, found in values.items():
        who, what = key.rsplit(" | ", 1)
        who = who.replace(" | ", ", ")
        if what != "ours, bare":
            yield line(who, what, goals.get(what, ""), [found])
            continue
        yield line(who, "ours ÷ bare pass", "≤ 1.15", quotients(found))
        yield line(who, "seconds", "< 1" if "fast" in who else "", [pair[0] for pair in found])


def main() -> None:
    """Prepares a folder, or measures with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what is prepared")
    parser.add_argument("--prepare", action="store_true", help="write the folder instead of measuring with it")
    parser.add_argument("--data-dir", default=os.environ.get("LRDIAG_DATA_DIR"), help="the folder that holds CIFAR-10")
    parser.add_argument("--model", help="a trained network `fast`; by default it is trained for a moment")
    parser.add_argument(
        "--python", nargs="+", default=["3.11", "3.12"], help="versions of Python to collect wheels for"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the results")
    parser.add_argument("--measure", nargs=2, metavar=("NET", "WORK"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.folder, options.out, *options.measure)
    elif options.prepare:
        prepare(options.folder, options)
    else:
        run(options.folder.absolute(), options.out.absolute())


if __name__ == "__main__":
    main()
