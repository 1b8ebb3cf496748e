"""Cost of Grad-CAM for every mistake, as ratios of neighbouring measurements. Run it on an idle machine.

    python tests/benchmarks/explain.py --data-dir DIR [--nets fast,article] [--xplique ENVIRONMENT/bin/python] [--quick]

The data are the 10,000 test images of CIFAR-10, shuffled. The time does not depend on what a network has learned, so
the networks are not trained: their own predictions are the labels, except for a random quarter of the images, which get
another label and thereby become mistakes.

The job of lrdiag is `predict_and_explain`: the scores of all images, and two heatmaps of each mistake, for the
predicted and for the true class. It is compared with

- the forward pass without heatmaps: the model as one `tf.function`, compiled once, with the same batch size;
- `model.predict` with the same batch size;
- tf-keras-vis at its best batch size, in three steps: the forward pass to find the mistakes, then their heatmaps for
  each of the two classes. It gets floating-point images, logits, and the same layer, and does not have to enlarge or
  rescale heatmaps or to average the heatmaps of all images, which lrdiag does too. Two more rows are about the mistakes
  only: both heatmaps of each, which lrdiag computes while it predicts them again, and one heatmap of each;
- the loop of the article, eager, over single images: the time for one heatmap;
- Xplique, if `--xplique` names the Python of an environment that has it: the same three steps, with the forward pass of
  that environment. It always enlarges its heatmaps.

The heatmaps of every tool are compared with those of lrdiag before its time is measured. The order within a pair
alternates. `streamed` runs the job on a `tf.data` pipeline with ten times the images (the same images repeated) and on
one with the images once, each in a process of its own that has done the job before. The memory of the results
themselves is subtracted from the peak. `traced` counts how often TensorFlow traces the network in two passes with
incomplete last batches.

Pairs of seconds are kept in `results/explain.json` as they come. A pair that is there is not measured again. `--quick`
uses a fifth of the images and three pairs, and keeps nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

BATCH_SIZE = 256
WRONG = 0.25  # share of the images that are mistakes
LOOPED = 100  # images that the loop of the article explains
STREAMS, TIMES = 3, 10  # processes of each length, and the ratio of the lengths
RAGGED = (BATCH_SIZE + 7, BATCH_SIZE + 100)  # images in a pass


# --- a network and its mistakes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A network, and images of which it misclassifies some.

    Attributes:
        model: The network.
        images: `uint8` array of shape `(n, height, width, channels)`.
        labels: `int64` array of shape `(n,)`: the true classes.
        batch_size: Number of images in one pass.
    """

    model: Any
    images: np.ndarray
    labels: np.ndarray
    batch_size: int = BATCH_SIZE

    @cached_property
    def logits(self) -> Any:
        """The network without a softmax at its end."""
        import keras

        last = self.model.layers[-1]
        return keras.Model(self.model.inputs, last.input) if isinstance(last, keras.layers.Softmax) else self.model

    @cached_property
    def explainer(self) -> Any:
        """The explainer of lrdiag."""
        import lrdiag

        return lrdiag.GradCAM(self.model, batch_size=self.batch_size)

    @cached_property
    def bare(self) -> Callable[[], np.ndarray]:
        """One forward pass over the images, without heatmaps."""
        from peers import forward

        return partial(forward(self.model, self.batch_size), self.images)

    @cached_property
    def predicted(self) -> np.ndarray:
        """The predicted classes."""
        return self.bare().argmax(axis=1)

    @cached_property
    def wrong(self) -> np.ndarray:
        """The indices of the mistakes."""
        return np.flatnonzero(self.predicted != self.labels)

    @cached_property
    def mistakes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The misclassified images as floating-point numbers, and their predicted and true classes."""
        return self.images[self.wrong].astype(np.float32), self.predicted[self.wrong], self.labels[self.wrong]

    def job(self) -> None:
        """Runs the whole job of lrdiag."""
        self.explainer.predict_and_explain(self.images, self.labels)

    def predict(self) -> None:
        """Runs `model.predict` of Keras."""
        self.model.predict(self.images, batch_size=self.batch_size, verbose=0)

    def maps(self) -> np.ndarray:
        """Returns the heatmaps of the mistakes for their predicted classes."""
        return np.asarray(self.explainer.maps(self.images[self.wrong], self.predicted[self.wrong]))


def make_case(net: str, dataset: Any, count: int) -> Case:
    """Builds the network and takes the first `count` of the shuffled test images."""
    import keras

    from lrdiag.models import build_network

    keras.utils.set_random_seed(0)
    classes = len(dataset.classes)
    images = dataset.test.images[np.random.default_rng(0).permutation(len(dataset.test))[:count]]
    return with_mistakes(build_network(net, dataset.train, classes).model, images, classes)


def with_mistakes(
    model: Any, images: np.ndarray, classes: int, batch_size: int = BATCH_SIZE, wrong: float = WRONG
) -> Case:
    """Labels the images as the model predicts them, except for a random share of them."""
    from peers import forward

    generator, count = np.random.default_rng(1), len(images)
    predicted = forward(model, batch_size)(images).argmax(axis=1)
    mistaken = generator.permutation(count) < wrong * count
    others = (predicted + generator.integers(1, classes, count)) % classes
    return Case(model, images, np.where(mistaken, others, predicted), batch_size)


# --- measurements -----------------------------------------------------------------------------------------------------


def by_bare_pass(case: Case, count: int) -> list[list[float]]:
    """Measures the job of lrdiag and one forward pass over the same images."""
    from peers import pairs

    return pairs(case.job, case.bare, count)


def by_predict(case: Case, count: int) -> list[list[float]]:
    """Measures the job of lrdiag and `model.predict`."""
    from peers import pairs

    return pairs(case.job, case.predict, count)


def tf_keras_vis(case: Case, count: int) -> dict[str, Any]:
    """Measures tf-keras-vis and lrdiag: the whole job, both heatmaps of each mistake, and one heatmap of each."""
    from peers import best_batch_size, pairs, same
    from peers import tf_keras_vis as peer

    images, predicted, true = case.mistakes
    of_size = partial(peer, case.logits, case.explainer.layer)
    batch_size = best_batch_size(of_size, images, predicted)
    maps = of_size(batch_size)
    assert same(maps(images, predicted), case.maps())

    def both() -> None:
        maps(images, predicted), maps(images, true)

    def whole() -> None:
        case.bare(), both()

    def ours_of_both() -> None:
        case.explainer.predict_and_explain(case.images[case.wrong], true)

    return {
        "batch_size": batch_size,
        "whole": pairs(whole, case.job, count),
        "both": pairs(both, ours_of_both, count),
        "maps": pairs(lambda: maps(images, predicted), case.maps, count),
    }


def loop(case: Case, count: int) -> list[list[float]]:
    """Measures the seconds for one heatmap with the loop of the article and with lrdiag."""
    from peers import one_by_one, pairs, same

    images, predicted, _ = case.mistakes
    maps = one_by_one(case.logits, case.explainer.layer)
    some = images[:LOOPED], predicted[:LOOPED]
    ours = case.maps()[:LOOPED]
    peaks = ours.max(axis=(1, 2), keepdims=True)
    assert same(maps(*some), ours / np.where(peaks > 0, peaks, 1))
    measured = pairs(lambda: maps(*some), case.maps, count)
    return [[alone / LOOPED, together / len(images)] for alone, together in measured]


def xplique(case: Case, count: int, python: str) -> Any:
    """Measures the same three steps with Xplique, and the forward pass of its environment."""
    with put_down(case) as folder:
        return answer(python, str(Path(__file__).with_name("peers.py")), folder, str(count))


def streams(case: Case, _count: int) -> list[list[Any]]:
    """Measures the job on a long and on a short stream of images, each in its own process."""
    with put_down(case) as folder:
        command = (sys.executable, __file__, "--stream", folder)
        return [[answer(*command, str(times)) for times in (TIMES, 1)] for _ in range(STREAMS)]


def traces(case: Case, _count: int) -> int:
    """Counts how often TensorFlow traces the network while it explains batches of several sizes."""
    import lrdiag
    from lrdiag.backend.tap import tapped

    explainer, calls = lrdiag.GradCAM(case.model, batch_size=BATCH_SIZE), []

    def count(output: Any) -> Any:
        calls.append(output)
        return output

    with tapped(case.model.layers[0], count):  # Python calls a layer only while the pass is traced
        for images in RAGGED:
            explainer.predict_and_explain(case.images[:images], case.labels[:images])
    return len(calls)


# --- separate processes -----------------------------------------------------------------------------------------------


@contextmanager
def put_down(case: Case) -> Iterator[str]:
    """Writes everything that another process needs to a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        case.model.save(f"{folder}/model.keras")
        case.logits.save(f"{folder}/logits.keras")
        np.savez(
            f"{folder}/job.npz",
            images=case.images,
            labels=case.labels,
            wrong=case.wrong,
            predicted=case.predicted[case.wrong],
            true=case.labels[case.wrong],
            maps=case.maps(),
            layer=case.explainer.layer,
            batch_size=BATCH_SIZE,
        )
        yield folder


def answer(*command: str) -> Any:
    """Returns the last line that a process prints, parsed as JSON."""
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(printed.splitlines()[-1])


def stream(folder: str, times: int) -> dict[str, float]:
    """Runs the job on the images, repeated `times` times. Returns time, peak memory, and the memory of the results."""
    import keras
    import tensorflow as tf
    from peers import seconds

    import lrdiag

    job = np.load(f"{folder}/job.npz")
    explainer = lrdiag.GradCAM(keras.models.load_model(f"{folder}/model.keras", compile=False), batch_size=BATCH_SIZE)
    data = tf.data.Dataset.from_tensor_slices((job["images"], job["labels"]))
    explainer.predict_and_explain(data.batch(BATCH_SIZE))
    results: list[Any] = []
    wall = seconds(lambda: results.extend(explainer.predict_and_explain(data.repeat(times).batch(BATCH_SIZE))))
    predictions, heatmaps = results
    kept = [predictions.log_probabilities, predictions.labels, heatmaps.indices]
    kept += [heatmaps.signed_predicted, heatmaps.signed_true]
    return {
        "images": len(predictions.labels),
        "mistakes": len(heatmaps.indices),
        "seconds": wall,
        "peak_mib": peak_memory() / 2**20,
        "kept_mib": sum(array.nbytes for array in kept) / 2**20,
    }


def peak_memory() -> int:
    """Returns the peak resident memory in bytes. `getrusage` would include that of the parent process."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


# --- the table --------------------------------------------------------------------------------------------------------


def line(net: str, what: str, goal: str, values: list[float]) -> str:
    """Returns one row: median and quartiles."""
    low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return f"| {net} | {what} | {goal} | {statistics.median(values):.3g} | {low:.3g}–{high:.3g} | {len(values)} |"


def quotients(measured: list[list[float]]) -> list[float]:
    """Returns each pair as a ratio."""
    return [work / other for work, other in measured]


def table(net: str, found: dict[str, Any]) -> Iterator[str]:
    """Yields the rows of one network."""
    by_bare, theirs = quotients(found["ours, bare"]), found["tf-keras-vis"]
    yield line(net, "ours ÷ bare pass", "≤ 1.10", by_bare)
    yield line(net, "ours ÷ `model.predict`", "< 1", quotients(found["ours, predict"]))
    name = f"tf-keras-vis, batches of {theirs['batch_size']}"
    yield line(net, f"{name} ÷ ours, whole job", "≥ 5", quotients(theirs["whole"]))
    yield line(net, f"{name} ÷ ours, both maps of each mistake", "≥ 5", quotients(theirs["both"]))
    yield line(net, f"{name} ÷ ours, one map of each mistake", "≥ 5", quotients(theirs["maps"]))
    yield line(net, "the article's loop ÷ ours, per map", "≥ 80", quotients(found["loop"]))
    if "Xplique" in found:
        name = f"Xplique, batches of {found['Xplique']['batch_size']}"
        theirs_by_bare = quotients(found["Xplique"]["pairs"])
        yield line(net, f"{name} ÷ its bare pass, whole job", "", theirs_by_bare)
        by_ours = [ratio / statistics.median(by_bare) for ratio in theirs_by_bare]
        yield line(net, f"{name} ÷ ours, each by its bare pass", "", by_ours)
    beyond = [[each["peak_mib"] - each["kept_mib"] for each in both] for both in found["streamed"]]
    yield line(net, f"streamed, {TIMES} × the images: memory", "≤ 1.10", quotients(beyond))
    growth = [long - short for long, short in beyond]
    yield line(net, f"streamed, {TIMES} × the images: memory, MiB more", "", growth)
    per_image = [[each["seconds"] / each["images"] for each in both] for both in found["streamed"]]
    yield line(net, f"streamed, {TIMES} × the images: time per image", "1", quotients(per_image))
    yield line(net, "traced, times", "1", [found["traced"]])


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="the folder that holds CIFAR-10")
    parser.add_argument("--nets", default="fast,article", help="the networks")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--xplique", metavar="PYTHON", help="the Python of an environment that has Xplique")
    parser.add_argument("--quick", action="store_true", help="a fifth of the images, three pairs, no stored results")
    parser.add_argument("--stream", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stream:
        folder, times = options.stream
        print(json.dumps(stream(folder, int(times))))
    elif options.quick:
        with tempfile.TemporaryDirectory() as folder:  # an absolute path leads out of the folder of results
            measure(options, f"{folder}/explain", images=2_000, count=3)
    else:
        measure(options, "explain", images=10_000, count=options.pairs)


def measure(options: argparse.Namespace, name: str, *, images: int, count: int) -> None:
    """Measures all networks, one after the other."""
    from workbench import Results, machine

    from lrdiag.data import load_dataset
    from lrdiag.progress import Silence
    from lrdiag.settings import Settings

    measurements: dict[str, Callable[[Case, int], Any]] = {
        "ours, bare": by_bare_pass,
        "ours, predict": by_predict,
        "tf-keras-vis": tf_keras_vis,
        "loop": loop,
        "streamed": streams,
        "traced": traces,
    }
    if options.xplique:
        measurements["Xplique"] = partial(xplique, python=options.xplique)
    warnings.filterwarnings("ignore", message="The structure of `inputs`")  # tf-keras-vis passes a list
    dataset = load_dataset(Settings(data="cifar10", data_dir=Path(options.data_dir)), Silence())
    results = Results(name)
    results.once("machine", machine)
    rows = ["| Net | What | Goal | Median | Quartiles | n |", "|---|---|---:|---:|---:|---:|"]
    for net in options.nets.split(","):
        case = cache(partial(make_case, net, dataset, images))
        found = {
            what: results.once(f"{net} | {what}", lambda work=work, case=case: work(case(), count))
            for what, work in measurements.items()
        }
        rows += table(net, found)
    print("\n".join(rows))


if __name__ == "__main__":
    from lrdiag.backend.start import start_engine

    start_engine()
    main()
