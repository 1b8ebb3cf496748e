"""How faithful heatmaps are to the network: three measures of every method, each compared with chance.

    python tests/benchmarks/truth.py --data-dir DIR [--model FILE.keras] [--methods gradcam,hirescam]

1. Does the network use what the map marks? Deletion and insertion (Petsiuk et al., 2018) on CIFAR-10, for the predicted
   class. Chance is a random map of the same resolution, and the map of another image, which only shows where objects
   usually are. Areas for maps of different resolutions are not comparable, because chance differs.
2. Does the map depend on the learned weights? Weights are randomised from the logits downwards (Adebayo et al., 2018),
   and the maps' rank correlation with the original maps must fall to chance: to that with a map of another image by an
   untrained network.
3. Does the map point at the object? Two handwritten digits are pasted on each image: one of 0–4, which the network was
   trained to classify, and one of 5–9, an equally conspicuous decoy. The peak must lie on the former.

`edges` is a control: a map that uses the image only and ignores the network. There is one network for CIFAR-10, and
three for the digits, whose figures are averaged. Intervals are 95 % bootstrap intervals over the images; `scorecam` and
`smoothgrad` are measured on 100 images, the others on 300. Results are saved in `results/truth.json` and not measured
again.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lrdiag.explain import trust

METHODS = ("gradcam", "hirescam", "gradcam++", "layercam", "scorecam", "saliency", "smoothgrad", "edges")
IMAGES, FEW_IMAGES = 300, 100
SLOW = ("scorecam", "smoothgrad")  # they run the network many times for each map, so they get fewer images
SEEDS = (0, 1, 2)
BATCH_SIZE, MAX_LR = 128, 0.1
STEPS, PLANTED_STEPS = 480, 120

PLANTED_IMAGES = 8_000
PICTURE, TILE = 48, 16  # pixels
NAMED = 5  # digits from this one on are decoys

Explain = Callable[[np.ndarray, np.ndarray], np.ndarray]


# --- what is explained ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Planted:
    """Images with two digits on each, and the positions of the digits."""

    images: Any
    named: np.ndarray
    decoys: np.ndarray


class Nets:
    """The networks and their images, created when they are first needed."""

    def __init__(self, data_dir: str, file: str | None) -> None:
        self.name = Path(file).stem if file else "fast"
        self._data_dir, self._file = data_dir, file

    @cached_property
    def workbench(self) -> Any:
        """CIFAR-10, and its network before training."""
        from workbench import Workbench

        workbench = Workbench(
            data="cifar10",
            model=self._file or "fast",
            optimizer="sgd",
            batch_size=BATCH_SIZE,
            seed=0,
            data_dir=self._data_dir,
            augment=("flip",),
        )
        workbench.set_up()
        return workbench

    @cached_property
    def trained(self) -> Any:
        """The network for CIFAR-10."""
        from lrdiag import OneCycleLR

        if self._file is None:
            self.workbench.accuracy(STEPS, OneCycleLR(max_lr=MAX_LR, total_steps=STEPS))
        return self.workbench.model

    def accuracy(self) -> float:
        """The accuracy of the network on the test images."""
        test = self.workbench.dataset.test
        return float((scores(self.trained, test.images).argmax(axis=1) == test.labels).mean())

    def sample(self, size: int) -> np.ndarray:
        """Test images, the same number of each class."""
        from lrdiag.data.sampling import subset

        dataset = self.workbench.dataset
        return subset(dataset.test, size, dataset.classes, seed=0).images

    @cached_property
    def planted(self) -> list[Any]:
        """The networks that classify digits, one for each seed."""
        return [self._name_digits(seed) for seed in SEEDS]

    def _name_digits(self, seed: int) -> Any:
        import keras

        from lrdiag import OneCycleLR
        from lrdiag.data.batches import training_batches
        from lrdiag.models import build_network
        from lrdiag.training.fit import compile_network

        keras.utils.set_random_seed(seed)
        train = self._plant("train", PLANTED_IMAGES, seed).images
        network = build_network("fast", train, NAMED)
        compile_network(network, "sgd", MAX_LR)
        network.model.fit(
            training_batches(train, batch_size=BATCH_SIZE, augment=(), seed=seed),
            steps_per_epoch=PLANTED_STEPS,
            shuffle=False,
            verbose=0,
            callbacks=[OneCycleLR(max_lr=MAX_LR, total_steps=PLANTED_STEPS)],
        )
        return network.model

    @cached_property
    def pictures(self) -> Planted:
        """Images and digits that no network was trained on."""
        return self._plant("test", IMAGES, len(SEEDS))

    def _plant(self, split: str, count: int, seed: int) -> Planted:
        from lrdiag.data.sources.digits import Digits
        from lrdiag.progress import Silence

        images, digits = (getattr(data, split) for data in (self.workbench.dataset, Digits().load(Silence())))
        return plant(images.images, digits, count, seed)


def plant(images: np.ndarray, digits: Any, count: int, seed: int) -> Planted:
    """Pastes a digit and a decoy on each of `count` images, so that they do not overlap."""
    from lrdiag.record.arrays import LabelledImages

    random = np.random.default_rng(seed)
    named, decoys = (
        random.choice(np.flatnonzero(each), count) for each in (digits.labels < NAMED, digits.labels >= NAMED)
    )
    chosen = images[random.choice(len(images), count)]
    images = np.stack([cv2.resize(each, (PICTURE, PICTURE), interpolation=cv2.INTER_LINEAR) for each in chosen])
    masks = np.zeros((2, count, PICTURE, PICTURE), bool)
    for picture in range(count):
        for mask, digit, (top, left) in zip(masks, (named, decoys), two_places(random), strict=True):
            place = (picture, slice(top, top + TILE), slice(left, left + TILE))
            mask[place] = True
            images[place] = cv2.resize(digits.images[digit[picture]], (TILE, TILE), interpolation=cv2.INTER_AREA)
    return Planted(LabelledImages(images, digits.labels[named]), *masks)


def two_places(random: np.random.Generator) -> np.ndarray:
    """The top left corners of two tiles that do not overlap."""
    while True:
        places = random.integers(0, PICTURE - TILE, (2, 2), endpoint=True)
        if abs(places[0] - places[1]).max() >= TILE:
            return places


def explainer(method: str, model: Any) -> Explain:
    """The function from images and classes to maps."""
    from lrdiag import GradCAM

    return edges if method == "edges" else GradCAM(model, method=method).maps


def edges(images: np.ndarray, _classes: np.ndarray) -> np.ndarray:
    """The gradient of the brightness: a map that ignores the network."""
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in images]
    return np.stack([np.hypot(*(cv2.Sobel(each, cv2.CV_32F, *axes) for axes in ((1, 0), (0, 1)))) for each in grey])


def scores(model: Any, images: np.ndarray) -> np.ndarray:
    """The scores of the network."""
    return np.asarray(model.predict(images, batch_size=500, verbose=0))


# --- what is measured -------------------------------------------------------------------------------------------------


def faithfulness(method: str, nets: Nets) -> dict[str, Any]:
    """Areas under the curves, and their differences from chance, image by image."""
    from measures import insertion_curve

    model, images = nets.trained, nets.sample(number(method))
    classes = scores(model, images).argmax(axis=1)
    maps = explainer(method, model)(images, classes)
    measured: dict[str, Any] = {"images": len(maps), "map": maps.shape[1:], "empty": trust.share_of_empty(maps)}
    for name, curve in (("deletion", trust.deletion_curve), ("insertion", insertion_curve)):
        areas, random, others = (
            trust.area_under(curve(lambda shown: scores(model, shown), images, each, classes))
            for each in (maps, trust.random_maps(maps), of_others(maps))
        )
        measured[name] = interval(areas)
        measured[f"{name}, random map"] = interval(random)
        measured[f"{name}, minus random map"] = interval(areas - random)
        measured[f"{name}, minus another image's map"] = interval(areas - others)
    return measured


def randomisation(method: str, nets: Nets) -> dict[str, Any]:
    """The similarity to the original maps after each stage, and by chance."""
    from measures import similarity

    model, images = nets.trained, nets.sample(number(method))
    before = scores(model, images)
    classes = before.argmax(axis=1)
    explain = explainer(method, model)
    original = explain(images, classes)
    stages: dict[str, list[np.ndarray]] = {}
    for seed in SEEDS:
        with randomised(model, seed) as draw:
            for stage in draw:
                stages.setdefault(stage, []).append(explain(images, classes))
    if not np.array_equal(scores(model, images), before):
        raise SystemExit("The weights of the network were not restored.")
    *_, untrained = stages.values()
    chance = mean_similarity(original, map(of_others, untrained))
    return {
        "images": len(images),
        "stages": {stage: interval(mean_similarity(original, each)) for stage, each in stages.items()},
        "chance": interval(chance),
        "all randomised, minus chance": interval(mean_similarity(original, untrained) - chance),
        "two images": interval(similarity(original, of_others(original))),
        "two untrained nets": interval(mean_similarity(untrained[0], untrained[1:])),
        "empty, untrained": trust.share_of_empty(np.concatenate(untrained)),
    }


@contextmanager
def randomised(model: Any, seed: int) -> Iterator[Iterator[str]]:
    """Yields the stages in which weights are randomised, from the logits downwards, and restores them."""
    import keras

    keras.utils.set_random_seed(seed)
    untrained = keras.models.clone_model(model)
    layers = [layer for layer in reversed(model.layers) if layer.trainable_weights]
    learnt = [layer.get_weights() for layer in layers]

    def draw() -> Iterator[str]:
        for stage, block in itertools.groupby(layers, key=lambda layer: layer.name.split("_")[0]):
            for layer in block:
                layer.set_weights(untrained.get_layer(layer.name).get_weights())
            yield stage

    try:
        yield draw()
    finally:
        for layer, weights in zip(layers, learnt, strict=True):
            layer.set_weights(weights)


def pointing(method: str, nets: Nets) -> dict[str, Any]:
    """How often the peak lies on the digit, on the decoy, and on the digit by chance."""
    from measures import pointing_game

    pictures, size = nets.pictures, number(method)
    shown, classes = pictures.images.images[:size], pictures.images.labels[:size]
    named, decoys = pictures.named[:size], pictures.decoys[:size]
    maps = [explainer(method, model)(shown, classes) for model in nets.planted]
    hits = [pointing_game(each, named) for each in maps]
    random = [pointing_game(trust.random_maps(each, seed), named) for seed, each in enumerate(maps)]
    return {
        "images": size,
        "map": maps[0].shape[1:],
        "empty": trust.share_of_empty(np.concatenate(maps)),
        "accuracy": [float((scores(model, shown).argmax(axis=1) == classes).mean()) for model in nets.planted],
        "digit": interval(np.mean(hits, axis=0)),
        "digit, each net": [float(each.mean()) for each in hits],
        "decoy": interval(np.mean([pointing_game(each, decoys) for each in maps], axis=0)),
        "digit, random map": interval(np.mean(random, axis=0)),
        "digit, centre": float(named[:, PICTURE // 2, PICTURE // 2].mean()),
        "digit, share of the picture": float(named.mean()),
    }


def number(method: str) -> int:
    """The number of images for a method."""
    return FEW_IMAGES if method in SLOW else IMAGES


def of_others(maps: np.ndarray) -> np.ndarray:
    """The same maps, each assigned to another image at random."""
    order = np.random.default_rng(0).permutation(len(maps))
    others = np.empty_like(maps)
    others[order] = maps[np.roll(order, 1)]
    return others


def mean_similarity(original: np.ndarray, others: Iterable[np.ndarray]) -> np.ndarray:
    """The mean similarity of each image's map to its maps in `others`."""
    from measures import similarity

    return np.mean([similarity(original, each) for each in others], axis=0)


def interval(values: np.ndarray) -> list[float]:
    """The mean, and the bounds of 95 % of the means of bootstrap samples."""
    samples = np.random.default_rng(0).choice(values.astype(float), (10_000, len(values))).mean(axis=1)
    return [round(float(each), 4) for each in (values.mean(), *np.quantile(samples, [0.025, 0.975]))]


# --- what is shown ----------------------------------------------------------------------------------------------------

QUESTIONS = {"deletion and insertion": faithfulness, "randomisation": randomisation, "pointing game": pointing}

COLUMNS = (
    "method", "map", "images", "empty maps",
    "deletion AUC", "− random map", "− another image’s", "insertion AUC", "− random map", "− another image’s",
    "similarity, logits randomised", "all randomised", "− chance",
    "peak on the digit", "on the decoy", "random map", "centre",
)  # fmt: skip


def main() -> None:
    """Measures what is missing and prints the table."""
    from workbench import Results

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="where CIFAR-10 lies")
    parser.add_argument("--model", help="a network trained on CIFAR-10, a .keras file; one is trained by default")
    parser.add_argument("--methods", default=",".join(METHODS), help="which methods, in their order")
    options = parser.parse_args()
    results, nets = Results("truth"), Nets(options.data_dir, options.model)
    accuracy = results.once(f"{nets.name} | accuracy", nets.accuracy)
    rows = []
    for method in options.methods.split(","):
        answers = [
            results.once(f"{nets.name} | {question} | {method}", lambda: measure(method, nets))  # noqa: B023 – at once
            for question, measure in QUESTIONS.items()
        ]
        rows.append(row(method, *answers))
    print(f"\n{nets.name}: test accuracy {accuracy:.3f}\n")
    for cells in (COLUMNS, ["---"] * len(COLUMNS), *rows):
        print("|", " | ".join(cells), "|")


def row(method: str, curves: dict[str, Any], similar: dict[str, Any], peaks: dict[str, Any]) -> list[str]:
    """The cells of a method; they state if it is no better than chance."""
    first, *_, last = similar["stages"].values()
    left = similar["all randomised, minus chance"]
    chance = max(peaks["digit, random map"][2], peaks["digit, centre"])
    return [
        method,
        "×".join(map(str, curves["map"])),
        str(curves["images"]),
        f"{curves['empty']:.1%}",
        f"{curves['deletion'][0]:.3f}",
        gain(curves["deletion, minus random map"], -1),
        gain(curves["deletion, minus another image's map"], -1),
        f"{curves['insertion'][0]:.3f}",
        gain(curves["insertion, minus random map"], 1),
        gain(curves["insertion, minus another image's map"], 1),
        figure(first),
        figure(last),
        figure(left, "+") + (" (above chance)" if left[1] > 0 else ""),
        share(peaks["digit"]) + ("" if peaks["digit"][1] > chance else " (no better)"),
        share(peaks["decoy"]),
        share(peaks["digit, random map"]),
        f"{peaks['digit, centre']:.0%}",
    ]


def gain(difference: list[float], sign: int) -> str:
    """A difference from chance, of which `sign` is the good direction."""
    better = min(sign * difference[1], sign * difference[2]) > 0
    return figure(difference, "+") + ("" if better else " (no better)")


def figure(measured: list[float], sign: str = "") -> str:
    mean, low, high = (f"{each:{sign}.3f}".replace("-", "−") for each in measured)
    return f"{mean} [{low}, {high}]"


def share(measured: list[float]) -> str:
    mean, low, high = measured
    return f"{mean:.0%} [{100 * low:.0f}, {100 * high:.0f}]"


if __name__ == "__main__":
    from lrdiag.backend.start import start_engine

    start_engine()
    main()
