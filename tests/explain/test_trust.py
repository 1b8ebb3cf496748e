"""Deletion curves of a simple network, compared with closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lrdiag.errors import DataError, LrdiagError, ModelError, SettingsError
from lrdiag.explain import trust
from lrdiag.explain.trust import (
    area_under,
    deletion_curve,
    measure_trust,
    random_maps,
    share_of_empty,
)

IMAGES = 40
SIZE = (6, 6)
FIRST = np.zeros(IMAGES, "int64")


class Linear:
    """Gives class 0 the weighted mean of the pixels as its probability, class 1 the rest."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights / weights.sum()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        first = np.einsum("nhwc,hw->n", images, self.weights)
        return np.stack([first, 1 - first], axis=1)

    def influence(self, images: np.ndarray) -> np.ndarray:
        """By how much class 0 falls when a pixel is replaced by the mean."""
        return self.weights * (images - images.mean(axis=(1, 2), keepdims=True))[..., 0]


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def images(generator: np.random.Generator) -> np.ndarray:
    return generator.random((IMAGES, *SIZE, 1))


@pytest.fixture
def network(generator: np.random.Generator) -> Linear:
    return Linear(generator.random(SIZE))


def seen(curve: Callable[..., np.ndarray], images: np.ndarray, maps: np.ndarray, **options: Any) -> list[np.ndarray]:
    """The images that the network receives, step by step."""
    shown = []

    def score(images: np.ndarray) -> np.ndarray:
        shown.append(images)
        return np.zeros((len(images), 2))

    steps = curve(score, images, maps, np.zeros(len(images), "int64"), **options).shape[1]
    (only,) = shown
    return np.split(only, steps)


# one row of four pixels, their mean 0.4; the map ranks them 2, 0, 3, 1
ROW, ROW_MAP = np.array([0.8, 0.0, 0.4, 0.4]).reshape(1, 1, 4, 1), np.array([[[0.3, 0.1, 0.9, 0.2]]])
ROW_NETWORK = Linear(np.array([[0.4, 0.3, 0.2, 0.1]]))


def test_pixels_are_removed_the_most_important_first() -> None:
    curve = deletion_curve(ROW_NETWORK, ROW, ROW_MAP, np.array([0]), steps=4)
    np.testing.assert_allclose(curve, [[0.44, 0.44, 0.44 - 0.16, 0.44 - 0.16, 0.4]])


@pytest.mark.parametrize("steps", [1, 5, 10, 36])
def test_the_curve_of_a_linear_network_is_a_running_sum(network: Linear, images: np.ndarray, steps: int) -> None:
    maps = np.random.default_rng(1).random((IMAGES, *SIZE))
    influence, order = (each.reshape(IMAGES, -1) for each in (network.influence(images), maps))
    lost = np.cumsum(np.take_along_axis(influence, np.argsort(-order, axis=1), axis=1), axis=1)
    lost = np.pad(lost, ((0, 0), (1, 0)))[:, [round(36 * step / steps) for step in range(steps + 1)]]
    whole = network(images)[:, :1]
    np.testing.assert_allclose(deletion_curve(network, images, maps, FIRST, steps=steps), whole - lost)


def test_the_curve_is_that_of_the_given_class(network: Linear, images: np.ndarray) -> None:
    maps = network.influence(images)
    first, second = (deletion_curve(network, images, maps, np.full(IMAGES, name)) for name in (0, 1))
    np.testing.assert_allclose(first + second, 1)
    mixed = deletion_curve(network, images, maps, np.arange(IMAGES) % 2)
    np.testing.assert_array_equal(mixed[1::2], second[1::2])


def test_logits_and_probabilities_give_the_same_curve(network: Linear, images: np.ndarray) -> None:
    maps = network.influence(images)
    expected = deletion_curve(network, images, maps, FIRST)
    np.testing.assert_allclose(deletion_curve(lambda each: np.log(network(each)) + 3, images, maps, FIRST), expected)


def test_the_right_map_is_better_than_chance_and_the_reversed_map_is_worse(network: Linear, images: np.ndarray) -> None:
    right = network.influence(images)
    best, chance, worst = (deletion_curve(network, images, maps, FIRST) for maps in (right, random_maps(right), -right))
    assert (best <= chance + 1e-12).all()
    assert (chance <= worst + 1e-12).all()
    assert (area_under(best) < area_under(chance)).all()
    assert (area_under(chance) < area_under(worst)).all()


def test_a_coarse_map_is_enlarged_bilinearly() -> None:
    """With nearest neighbours, the first sixteenth could be any of the four pixels of the corner."""
    images = np.random.default_rng(0).random((20, 4, 4, 3))
    corner = np.tile([[0.0, 1.0], [0.0, 0.0]], (20, 1, 1))
    one_step, two_steps = (seen(deletion_curve, images, corner, steps=steps)[1] for steps in (16, 4))
    changed = (one_step != images).any(axis=3)
    assert changed[:, 0, 3].all()
    assert changed.sum() == 20
    changed = (two_steps != images).any(axis=3)
    assert changed[:, :2, 2:].all()
    assert changed.sum() == 20 * 4


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_removed_pixel_takes_the_mean_colour_of_its_own_image(dtype: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, *SIZE, 3)).astype(dtype)
    kept = images.copy()
    shown = seen(deletion_curve, images, np.random.default_rng(1).random((5, 3, 3)), steps=3)
    assert [each.dtype for each in shown] == [images.dtype] * 4
    np.testing.assert_array_equal(shown[0], kept)
    np.testing.assert_array_equal(images, kept)
    mean = kept.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(shown[-1], np.broadcast_to(mean, images.shape), atol=0.5 if dtype == "uint8" else 1e-4)
    removed = (shown[1] == shown[-1]).all(axis=3)
    np.testing.assert_array_equal(shown[1][~removed], kept[~removed])
    assert removed.sum() == 5 * 12


@pytest.mark.parametrize(("level", "resolution"), [(0.0, (2, 2)), (0.3, (3, 5)), (-7.7, SIZE)])
def test_a_constant_map_scores_exactly_as_a_random_map(
    network: Linear, images: np.ndarray, level: float, resolution: tuple[int, int]
) -> None:
    flat = np.full((IMAGES, *resolution), level)
    first, second = (deletion_curve(network, images, flat, FIRST, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(first, deletion_curve(network, images, random_maps(flat, 0), FIRST, seed=0))
    assert (first[:, 1:-1] != second[:, 1:-1]).any(axis=1).all()


def test_the_seed_changes_only_ties(network: Linear, images: np.ndarray) -> None:
    maps = network.influence(images)
    first, second = (deletion_curve(network, images, maps, FIRST, seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(first, second)


def test_the_control_has_the_resolution_of_the_maps() -> None:
    """A coarse control removes patches: the first tenth of the pixels is connected."""
    images = np.random.default_rng(0).random((50, 16, 16, 1))

    def neighbours(granularity: int) -> float:
        maps = random_maps(np.zeros((50, granularity, granularity)))
        gone = (seen(deletion_curve, images, maps, steps=10)[1] != images)[..., 0]
        return float((gone[:, 1:] & gone[:, :-1]).sum() / gone.sum())

    assert neighbours(4) > 0.6
    assert neighbours(16) < 0.2


def test_the_control_depends_only_on_its_seed() -> None:
    maps = np.zeros((3, 4, 5))
    np.testing.assert_array_equal(random_maps(maps, 1), random_maps(maps + 1, 1))
    assert (random_maps(maps, 1) != random_maps(maps, 2)).all()
    assert random_maps(maps).shape == maps.shape


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_the_area_runs_over_the_share_of_pixels(steps: int) -> None:
    falling = np.linspace(1, 0, steps + 1)
    np.testing.assert_allclose(area_under(np.stack([falling, 0 * falling + 0.7])), [0.5, 0.7])


def test_a_map_without_a_positive_value_is_empty() -> None:
    maps = np.zeros((4, 2, 2))
    maps[1, 0, 1], maps[2] = 1e-9, -1
    assert share_of_empty(maps) == 0.75


def in_random_order(*arrays: np.ndarray) -> list[np.ndarray]:
    """As images are measured."""
    return [each[np.random.default_rng(0).permutation(IMAGES)] for each in arrays]


def test_trust_compares_maps_with_random_maps(network: Linear, images: np.ndarray) -> None:
    maps = network.influence(images)
    found = measure_trust(network, images, maps, FIRST)
    images, maps = in_random_order(images, maps)
    expected, chance = (
        area_under(deletion_curve(network, images, each, FIRST)).mean() for each in (maps, random_maps(maps))
    )
    assert found is not None
    assert (found.images, found.empty_share, found.of) == (IMAGES, 0.0, None)
    assert (found.deletion_auc, found.random_deletion_auc) == (pytest.approx(expected), pytest.approx(chance))
    assert found.verdict == "better"
    assert all(type(figure) in (int, float, type(None)) for figure in vars(found).values())


def test_the_interval_is_that_of_the_paired_differences(network: Linear, images: np.ndarray) -> None:
    """Student's, of the difference of each image from its own control."""
    maps = np.random.default_rng(5).random((IMAGES, *SIZE))
    found = measure_trust(network, images, maps, FIRST)
    images, maps = in_random_order(images, maps)
    informed, chance = (area_under(deletion_curve(network, images, each, FIRST)) for each in (maps, random_maps(maps)))
    expected = stats.ttest_rel(chance, informed).confidence_interval()
    assert found is not None
    assert (found.advantage_low, found.advantage_high) == pytest.approx(tuple(expected), rel=1e-3)
    assert found.verdict == "cannot be told"
    assert measure_trust(network, images, -network.influence(images), FIRST).verdict == "worse"  # type: ignore[union-attr]
    assert measure_trust(network, images[:1], maps[:1], FIRST[:1]).verdict == "cannot be told"  # type: ignore[union-attr]


class Slow:
    """A network that takes a second of a clock for each image."""

    def __init__(self, network: Linear, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.network, self.seconds, self.now = network, seconds, 0.0
        monkeypatch.setattr(trust.time, "perf_counter", lambda: self.now)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.now += self.seconds * len(images)
        return self.network(images)


@pytest.mark.parametrize(
    ("seconds", "test_images", "measured"),
    [(1e-6, 40, 40), (1.0, 10**6, 40), (0.05, 40, 1), (0.01, 40, 7), (1.0, 500, 15), (1.0, 10, None)],
)
def test_a_slow_model_is_measured_on_fewer_images(
    seconds: float,
    test_images: int,
    measured: int | None,
    network: Linear,
    images: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At most two seconds, or the time of one pass over the test set."""
    slow, maps = Slow(network, monkeypatch, seconds), network.influence(images)
    found = measure_trust(slow, images, maps, FIRST, test_images=test_images)
    assert slow.now <= max(2.0, seconds * test_images)
    assert (None if found is None else found.images) == measured
    assert found is None or found.of == (None if measured == IMAGES else IMAGES)


def test_empty_maps_are_trusted_as_much_as_random_maps(network: Linear, images: np.ndarray) -> None:
    found = measure_trust(network, images, np.zeros((IMAGES, 3, 3)), FIRST)
    assert found is not None
    assert found.verdict == "cannot be told"
    assert found.empty_share == 1
    assert found.deletion_auc == found.random_deletion_auc


GOOD = {
    "score": lambda images: np.zeros((len(images), 3)),
    "images": np.zeros((2, 4, 4, 3), "uint8"),
    "maps": np.zeros((2, 2, 2)),
    "classes": np.array([0, 2]),
}


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ({"images": np.zeros((2, 4, 4))}, DataError, r"shape \(n, height, width, channels\).*\(2, 4, 4\)"),
        ({"maps": np.zeros((3, 2, 2))}, DataError, r"one map for each image.*2 images and maps of shape \(3, 2, 2\)"),
        ({"maps": np.zeros((2, 4))}, DataError, r"one map for each image.*\(2, 4\)"),
        ({"maps": np.array([[[0.0]], [[np.nan]]])}, DataError, r"finite.*in 1 of 2.*Leave"),
        ({"classes": np.array([0])}, DataError, r"one class for each image.*shape \(1,\)"),
        ({"classes": np.array([0.0, 1.0])}, DataError, r"an integer.*float64"),
        ({"classes": np.array([0, 3])}, ModelError, r"shape \(22, classes\).*\(22, 3\) for classes 0 to 3"),
        ({"classes": np.array([-1, 0])}, ModelError, r"for classes -1 to 0"),
        ({"score": lambda images: np.zeros((3, 3))}, ModelError, r"shape \(22, classes\).*shape \(3, 3\)"),
        ({"score": lambda images: np.zeros(2)}, ModelError, r"shape \(2,\)"),
        ({"steps": 0}, SettingsError, r"`steps` must be a whole number, 1 or more. Received: 0"),
    ],
)
def test_arguments_that_do_not_match_are_refused(wrong: dict[str, Any], kind: type[LrdiagError], message: str) -> None:
    with pytest.raises(kind, match=message):
        deletion_curve(**{**GOOD, **wrong})


def test_no_images_are_refused() -> None:
    nothing = {name: GOOD[name][:0] for name in ("images", "maps", "classes")}
    with pytest.raises(DataError, match="at least one"):
        measure_trust(GOOD["score"], **nothing)
