"""How many images go through a model at once: by the sizes of its outputs, never by an experiment."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.diagnosing import diagnose
from lrdiag.evaluation.gathering import Gathering
from lrdiag.evaluation.lookout import Shown
from lrdiag.explain import batch_size
from lrdiag.explain.batch_size import images_at_once
from lrdiag.explain.engine import Explained
from lrdiag.explain.model import OpenedModel
from lrdiag.models import build_network
from lrdiag.record.arrays import LabelledImages

L = keras.layers
MIB = 2**20


def network(side: int, filters: int) -> keras.Model:
    """Its largest output has `side * side * filters` numbers; after it there are maps of 2×2."""
    layers = [L.Conv2D(filters, 1, activation="relu"), L.MaxPooling2D(side // 2), L.Conv2D(3, 1, name="last")]
    return keras.Sequential([keras.Input((side, side, 3)), *layers, L.GlobalAveragePooling2D(), L.Dense(2)])


def opened(model: keras.Model, side: int) -> tuple[OpenedModel, np.ndarray]:
    images = np.random.default_rng(0).random((1, side, side, 3), "float32")
    return OpenedModel.of(model, images), images


@pytest.mark.parametrize(
    ("side", "filters", "expected"),
    [
        (32, 64, 256),  # 256 KiB for an image, 1 MiB with inputs and copies, of 256 MiB
        (32, 65, 128),
        (16, 64, 512),
        (160, 64, 32),  # as many as `model.predict`, although they take more
    ],
)
def test_a_batch_takes_no_more_memory_than_predict_or_256_mib(side: int, filters: int, expected: int) -> None:
    assert images_at_once(*opened(network(side, filters), side)) == expected


def test_images_of_32_pixels_fill_a_batch_of_512_in_the_default_network() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    model = build_network("fast", LabelledImages(images, np.arange(4)), 10).model
    assert images_at_once(*opened(model, 32)) == 512


def test_what_is_kept_for_the_gradient_counts() -> None:
    layers = [L.Conv2D(64, 1, name=f"conv_{place}") for place in range(9)]
    model = keras.Sequential([keras.Input((64, 64, 3)), *layers, L.GlobalAveragePooling2D(), L.Dense(2)])
    model, images = opened(model, 64)
    # 1 MiB for each output: 4 MiB for the scores, 18 MiB if all nine are kept with their gradients
    assert images_at_once(model, images) == images_at_once(model, images, [layers[-1]]) == 64
    assert images_at_once(model, images, [layers[0]]) == images_at_once(model, images, []) == 8


class Opaque(L.Layer):  # type: ignore[misc]
    """Returns scores, and shows none of what it computes, as the layer of a SavedModel does."""

    def call(self, images: Any) -> Any:
        return keras.ops.mean(images, axis=(1, 2))


@pytest.mark.parametrize(("side", "expected"), [(32, 256), (160, 32)])
def test_a_model_that_shows_no_layer_is_assumed_to_have_64_channels(side: int, expected: int) -> None:
    model = keras.Sequential([keras.Input((side, side, 3)), Opaque()])
    assert images_at_once(*opened(model, side)) == expected


def test_a_gpu_takes_more_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size, "has_gpu", lambda: True)
    assert images_at_once(*opened(network(160, 64), 160)) == 64


@pytest.mark.parametrize(("given_as", "given", "at_once"), [("arrays", 40, [40, 30]), ("batches", None, [32, 32, 6])])
def test_large_batches_are_cut_and_give_the_same_report(
    given_as: str, given: int | None, at_once: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    images, labels = generator.random((70, 8, 8, 3), "float32"), generator.integers(0, 2, 70)
    data: Any = (images, labels) if given_as == "arrays" else ([(images, labels)],)
    keras.utils.set_random_seed(0)
    model = network(8, 4)
    whole = diagnose(model, images, labels).run
    monkeypatch.setattr(batch_size, "_FREE", 0)  # as many images as `model.predict` takes
    sizes: list[int] = []
    add = Gathering.add

    def watched(self: Gathering, shown: Shown, batch: Explained, *more: Any) -> None:
        sizes.append(len(batch.scores))
        add(self, shown, batch, *more)

    monkeypatch.setattr(Gathering, "add", watched)
    cut = diagnose(model, *data, batch_size=given).run
    assert sizes == at_once
    assert cut.diagnosis.confusion == whole.diagnosis.confusion
    assert cut.diagnosis.test.loss == pytest.approx(whole.diagnosis.test.loss, rel=1e-6)
    assert cut.diagnosis.heatmaps.count == whole.diagnosis.heatmaps.count
