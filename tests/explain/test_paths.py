"""Which layers lie on every path from the images to the scores, and whether the scores depend on a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from lrdiag.errors import ModelError
from lrdiag.explain.gradcam import GradCAM

L = keras.layers
SHAPE = (8, 8, 3)
IMAGES = np.random.default_rng(0).uniform(size=(5, *SHAPE)).astype("float32")
pytestmark = pytest.mark.usefixtures("eager_passes")


def convolution(name: str, **arguments: Any) -> L.Conv2D:
    """A convolution that is active everywhere."""
    return L.Conv2D(4, 3, padding="same", kernel_initializer="random_normal", name=name, **arguments)


def pooled(features: Any) -> Any:
    return L.GlobalAveragePooling2D()(features)


def model_of(build: Callable[[Any], Any]) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, L.Dense(3, name="head")(build(inputs)))


def two_backbones(image: Any) -> Any:
    return L.Concatenate()([pooled(convolution(name)(image)) for name in ("left", "right")])


def two_sizes(image: Any) -> Any:
    early = convolution("early")(image)
    late = convolution("late", strides=2)(early)
    return L.Concatenate()([pooled(early), pooled(late)])


def branches_that_a_sum_joins_before(image: Any) -> Any:
    """Like InceptionV3 at 75 pixels, where each branch of the last block ends in one pixel."""
    joined = L.Add(name="joined")([convolution("one")(image), convolution("other")(image)])
    ends = [L.Conv2D(2, 8)(convolution("last")(joined)), L.Conv2D(2, 8)(joined)]
    return L.Flatten()(L.Concatenate()(ends))


def pixels_around(image: Any) -> Any:
    return L.Concatenate()([pooled(convolution("features")(image)), L.Flatten()(image)])


@pytest.mark.parametrize(
    ("build", "layer", "is_whole"),
    [
        (two_backbones, {"left", "right"}, True),
        (two_sizes, {"early", "late"}, True),
        (branches_that_a_sum_joins_before, {"joined"}, True),
        (pixels_around, {"features"}, False),
    ],
)
def test_the_last_layers_of_all_paths_are_explained(
    build: Callable[[Any], Any], layer: set[str], is_whole: bool
) -> None:
    explainer = GradCAM(model_of(build), images=IMAGES)
    assert set(str(explainer.layer).split(" + ")) == layer
    assert explainer.notes == () if is_whole else "only the part of the model" in explainer.notes[0]


def test_the_maps_of_two_backbones_are_added() -> None:
    model = model_of(two_backbones)
    parts = [GradCAM(model, name).maps(IMAGES, [0, 1, 2, 0, 1], signed=True) for name in ("left", "right")]
    maps = GradCAM(model).maps(IMAGES, [0, 1, 2, 0, 1], signed=True)
    np.testing.assert_allclose(maps, sum(parts), atol=1e-7)
    assert min(np.abs(each).max() for each in parts) > 1e-4


def test_no_path_is_counted_twice() -> None:
    """With a linear head, the signed maps sum to the logit: the part after `late` and the part around it."""
    model = model_of(two_sizes)
    maps = GradCAM(model).maps(IMAGES, [1] * 5, signed=True)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), keras.ops.convert_to_numpy(model(IMAGES))[:, 1], rtol=0.05)
    assert maps.shape == (5, 8, 8)


def test_only_the_path_around_a_later_call_is_added() -> None:
    """A layer that is called three times in a row is explained at its last call."""
    shared = L.Conv2D(3, 3, padding="same", name="shared")
    explainer = GradCAM(model_of(lambda image: pooled(shared(shared(shared(image))))))
    assert explainer.plan is not None
    assert [each.calls for each in explainer.plan.maps] == [(2,)]


# --- dependence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tail",
    [
        lambda: [L.Dense(3, activation="relu", bias_initializer=keras.initializers.Constant(-50))],
        lambda: [L.Dense(3, kernel_initializer=keras.initializers.RandomNormal(stddev=1e4), activation="softmax")],
        lambda: [L.Dense(3, kernel_initializer=keras.initializers.RandomNormal(stddev=1e4)), L.Lambda(halved_softmax)],
        lambda: [L.Dense(3, activation="relu6", bias_initializer=keras.initializers.Constant(90))],
    ],
    ids=["relu-of-zeros", "saturated-softmax", "saturated-hidden-softmax", "saturated-relu6"],
)
@pytest.mark.filterwarnings("ignore:The model returns probabilities")
@pytest.mark.parametrize("images", [IMAGES, None], ids=["images", "noise"])
def test_an_output_that_hides_small_changes_depends_on_the_last_map(tail: Callable[[], Any], images: Any) -> None:
    keras.utils.set_random_seed(0)
    layers = [convolution("earlier"), convolution("last"), L.GlobalAveragePooling2D(), *tail()]
    model = keras.Sequential([keras.Input(SHAPE), *layers])
    assert GradCAM(model, images=images).layer == "last"


def halved_softmax(logits: Any) -> Any:
    return ops.softmax(logits / 2)


def test_a_dead_path_is_refused() -> None:
    dead = L.Dense(3, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input(SHAPE), convolution("last"), L.GlobalAveragePooling2D(), dead])
    with pytest.raises(ModelError, match="must depend on a feature map"):
        GradCAM(model, images=IMAGES)
    with pytest.raises(ModelError, match="do not depend on the layer 'last'"):
        GradCAM(model, "last", images=IMAGES)
