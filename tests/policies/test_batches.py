"""Batches of a range test: every sweep has its own, and what cannot be swept is said."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.errors import DataError, NoSuggestion, SettingsError
from lrdiag.policies.finder import LRFinder, find_lr

STILL = {"start_lr": 1e-12, "end_lr": 1e-11, "diverge_factor": math.inf}
INPUTS = np.arange(12.0)[:, None] + np.zeros(2)
TARGETS = np.zeros((12, 1))


class Numbered(keras.utils.PyDataset):
    """Twelve batches, each of one example that equals its number."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return INPUTS[index : index + 1], TARGETS[index : index + 1]


def dataset() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS)).batch(1)


def numbers(test: Any) -> list[list[int]]:
    """Which examples each sweep saw: a loss is the square of its number."""
    return [[round(math.sqrt(loss)) for loss in sweep.losses] for sweep in test.sweeps]


@pytest.mark.parametrize("make", [Numbered, dataset])
@pytest.mark.parametrize("iterations", [4, 12, 24])
def test_repeated_sweeps_begin_at_different_places(
    make_line: Callable[..., keras.Model], make: Callable[[], Any], iterations: int
) -> None:
    """Also where a whole number of passes makes a sweep: going on would begin at the same batch again."""
    seen = numbers(find_lr(make_line(), make(), **STILL, iterations=iterations, repeats=3))
    assert [sweep[0] for sweep in seen] == [0, 4, 8]
    assert seen[1] == [(4 + step) % 12 for step in range(iterations)]


@pytest.mark.parametrize("make", [Numbered, dataset, lambda: Loader()])
def test_where_the_data_last_sweeps_follow_one_another(make_line: Callable[..., keras.Model], make: Any) -> None:
    """To spread them, the batches between would be read to be left out."""
    seen = numbers(find_lr(make_line(), make(), **STILL, iterations=3, repeats=3))
    assert seen == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


class Loader:
    """Gives batches each time that it is iterated over, in lists as PyTorch's loaders do."""

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        return ([inputs[None], targets[None]] for inputs, targets in zip(INPUTS, TARGETS, strict=True))


def test_a_loader_begins_anew_and_a_generator_does_not(make_line: Callable[..., keras.Model]) -> None:
    seen = numbers(find_lr(make_line(), Loader(), **STILL, iterations=30))
    assert seen == [[step % 12 for step in range(30)]]
    assert find_lr(make_line(), iter(Loader()), **STILL, iterations=30).iterations == 12


def test_a_batch_size_is_for_arrays(make_line: Callable[..., keras.Model]) -> None:
    for size, passes in ((None, 1), (12, 1), (4, 3)):
        losses = find_lr(make_line(), INPUTS, TARGETS, **STILL, iterations=2 * passes, batch_size=size).losses
        assert np.mean(losses[:passes]) == pytest.approx(np.mean(np.square(INPUTS[:, 0])))
        assert len({round(loss, 3) for loss in losses}) == (1 if passes == 1 else len(losses))
    with pytest.raises(DataError, match="`batch_size` belongs to arrays"):
        find_lr(make_line(), dataset(), batch_size=4)


def test_under_accumulation_a_sweep_goes_on_after_all_batches_of_the_last(
    make_line: Callable[..., keras.Model],
) -> None:
    model = make_line(keras.optimizers.SGD(0.1, gradient_accumulation_steps=3))
    arrays = find_lr(model, INPUTS, TARGETS, **STILL, iterations=2, repeats=2, batch_size=2)
    whole_pass = find_lr(make_line(), INPUTS, TARGETS, **STILL, iterations=12, batch_size=2)
    means = np.reshape(whole_pass.losses, (4, 3)).mean(axis=1)
    np.testing.assert_allclose([sweep.losses for sweep in arrays.sweeps], means.reshape(2, 2), rtol=1e-5)


def test_sweeps_on_the_same_batches_give_no_interval(make_line: Callable[..., keras.Model]) -> None:
    everything = dataset().unbatch().batch(12)
    test = find_lr(make_line(), everything, end_lr=1e-2, iterations=30, repeats=3)
    with pytest.raises(NoSuggestion, match=r"different batches.*Received: 3 sweeps with the very same losses"):
        test.interval()


WEIGHTS = np.ones(12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param((dataset, TARGETS), "`y` belongs to arrays.*Received: y of type ndarray", id="targets"),
        pytest.param((dataset, None, WEIGHTS), "`sample_weight` belongs to arrays", id="weights"),
        pytest.param((Numbered, TARGETS), "`y` belongs to arrays", id="targets-of-a-PyDataset"),
        pytest.param((lambda: INPUTS, None, WEIGHTS), "weighs targets.*Received: y=None", id="weights-alone"),
        pytest.param((lambda: None,), "must be arrays, .*Received: NoneType", id="nothing"),
        pytest.param((lambda: 3,), "must be arrays, .*Received: int", id="a-number"),
        pytest.param((lambda: INPUTS, [0.0] * 12), "as many examples.*Received: x of 12; y of 0 examples", id="a-list"),
        pytest.param((lambda: INPUTS, TARGETS[1:], WEIGHTS), "x of 12; y of 11; sample_weight of 12", id="lengths"),
    ],
)
def test_data_that_would_be_misread_is_refused(
    make_line: Callable[..., keras.Model], arguments: tuple[Any, ...], message: str
) -> None:
    make, y, weights = (*arguments, None, None)[:3]
    with pytest.raises(DataError, match=message):
        find_lr(make_line(), make(), y, sample_weight=weights)


class Endless(Numbered):
    """Goes on."""

    @property
    def num_batches(self) -> None:
        return None


class Empty(Numbered):
    """Has nothing."""

    def __len__(self) -> int:
        return 0


def test_a_dataset_without_a_batch_is_refused(make_line: Callable[..., keras.Model]) -> None:
    with pytest.raises(DataError, match="one batch or more"):
        find_lr(make_line(), Empty())


@pytest.mark.parametrize("make", [lambda: dataset().repeat(), lambda: iter([(INPUTS, TARGETS)]), Endless])
def test_validation_data_that_does_not_end_and_begin_anew_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(DataError, match="must end and begin anew"):
        LRFinder(validation_data=make())


@pytest.mark.parametrize(("name", "value"), [("iterations", 20.5), ("repeats", "3"), ("batch_size", 1.5)])
def test_counts_are_whole_numbers(make_line: Callable[..., keras.Model], name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=rf"`{name}` must be a whole number, \d or more. Received: "):
        find_lr(make_line(), INPUTS, TARGETS, **{name: value})


def test_class_weights_are_a_dict(make_line: Callable[..., keras.Model]) -> None:
    with pytest.raises(SettingsError, match=r"`class_weight` must be a dict.*Received: list"):
        find_lr(make_line(), INPUTS, TARGETS, class_weight=[1.0, 2.0])
