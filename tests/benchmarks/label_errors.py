"""Precision of the suspects that lrdiag lists, and of cleanlab's ranking of the same predictions.

    LRDIAG_DATA_DIR=DIR python tests/benchmarks/label_errors.py [--seeds N]

Needs cleanlab (`pip install cleanlab`). The first 50 images of each list are counted: of lrdiag's suspects, of the
labels with the lowest self-confidence (`get_label_quality_scores`), and of the issues that `find_label_issues` finds.
A network is trained once for each setup and seed, on correct labels; only the test labels are wrong.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from defects.data import Data
from defects.labels import test_labels_wrong, test_labels_wrong_by_pairs
from defects.registry import Planted, Scenario
from defects.setups import SETUPS

FIRST = 50
SHARE = 0.05
CASES = (("cifar", 2000), ("cifar", 10000), ("cifar-resnet", 2000), ("digits28", 397))
PLANTS: dict[str, Callable[[Data, float, np.random.Generator], Planted]] = {
    "any class": test_labels_wrong,
    "next class": test_labels_wrong_by_pairs,
}


class Row(NamedTuple):
    """Precision of the first images of each list, NaN if a list is empty."""

    setup: str
    test: int
    plant: str
    seed: int
    accuracy: float
    lrdiag: float
    self_confidence: float
    issues: float


def measured(setup_name: str, test: int, seed: int) -> Iterator[Row]:
    """Trains a network, and examines its test labels with each kind of planted errors."""
    import lrdiag

    setup = SETUPS[setup_name]
    scenario = Scenario("clean", "", None, frozenset(), setup_name, seed=seed, test=test)
    data = setup.draw(scenario)
    model, _ = setup.trained(scenario, Planted(data))
    images = setup.prepare(data.x_test)
    scores = np.asarray(model.predict(images, batch_size=256, verbose=0))
    for name, plant in PLANTS.items():
        planted = plant(data, SHARE, np.random.default_rng([5, seed]))
        labels, wrong = planted.data.y_test, np.isin(np.arange(test), planted.test)
        report = lrdiag.diagnose(
            model, images, labels, class_names=list(data.names), train_data=(setup.prepare(data.x), data.y)
        ).to_dict()
        listed = [each["image"] for each in report["data"]["suspects"]]
        suspects = [each["index"] for each in listed if each["part"] == "test"]
        accuracy = float((scores.argmax(axis=1) == data.y_test).mean())
        lists = (suspects, *cleanlab_lists(labels, _probabilities(scores, setup.logits)))
        yield Row(setup_name, test, name, seed, accuracy, *(_precision(wrong, each) for each in lists))


def cleanlab_lists(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The images by cleanlab's self-confidence, and the issues that it finds, both most suspect first."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    quality = get_label_quality_scores(labels, probabilities, method="self_confidence")
    issues = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence")
    return np.argsort(quality, kind="stable"), issues


def _probabilities(scores: np.ndarray, logits: bool) -> np.ndarray:
    if not logits:
        return scores / scores.sum(axis=1, keepdims=True)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _precision(wrong: np.ndarray, images: Sequence[int] | np.ndarray) -> float:
    return float(np.mean(wrong[np.asarray(images[:FIRST], int)])) if len(images) else float("nan")


def main() -> None:
    """Prints the precision of each list as a table."""
    parser: Any = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="networks for each setup")
    seeds = parser.parse_args().seeds
    print("| setup | test images | wrong labels | seed | accuracy | lrdiag | self-confidence | find_label_issues |")
    print("|---|---|---|---|---|---|---|---|")
    for setup, test in CASES:
        for seed in range(seeds):
            for row in measured(setup, test, seed):
                cells = [f"{each:.2f}" if isinstance(each, float) else str(each) for each in row]
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
