"""Batches of a range test: different ones for each sweep, and clear errors for other data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrdiag.errors import DataError, NoSuggestion, SettingsError
from lrdiag.policies.batches import endless_batches, repeatable
from lrdiag.policies.finder import LRFinder, find_lr

INPUTS = np.arange(12.0)[:, None] + np.zeros(2)
TARGETS = np.zeros((12, 1))


class Numbered(keras.utils.PyDataset):
    """Twelve batches, each of one example that equals its number."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return INPUTS[index : index + 1], TARGETS[index : index + 1]


class Endless(Numbered):
    """Has no end."""

    @property
    def num_batches(self) -> None:
        return None

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return super().__getitem__(index % 12)


class Empty(Numbered):
    """Has no batch."""

    def __len__(self) -> int:
        return 0


class Loader:
    """Gives lists as batches, as PyTorch's loaders do. It can be iterated over again and again."""

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        return ([inputs[None], targets[None]] for inputs, targets in zip(INPUTS, TARGETS, strict=True))


def of_batches() -> list[list[np.ndarray]]:
    return list(Loader())


def dataset() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS)).batch(1)


def sweeps(make: Callable[[], Any], batches: int, count: int = 3) -> list[list[int]]:
    """The numbers of the batches that each sweep gets."""
    seen = []
    for sweep in range(count):
        given, _ = endless_batches(make(), None, None, batch_size=None, sweep=sweep, sweeps=count, batches=batches)
        ordered = map(given.__getitem__, itertools.count()) if isinstance(given, keras.utils.PyDataset) else given
        seen.append([round(float(inputs[0, 0])) for inputs, _ in itertools.islice(ordered, batches)])
    return seen


@pytest.mark.parametrize("make", [Numbered, dataset])
@pytest.mark.parametrize("batches", [4, 12, 24])
def test_sweeps_start_at_different_places(make: Callable[[], Any], batches: int) -> None:
    """Also if a sweep is a whole number of passes: continuing would start at the same batch again."""
    seen = sweeps(make, batches)
    assert [sweep[0] for sweep in seen] == [0, 4, 8]
    assert seen[1] == [(4 + step) % 12 for step in range(batches)]


@pytest.mark.parametrize("make", [Numbered, dataset, Loader, of_batches, Endless, lambda: dataset().repeat()])
def test_a_sweep_continues_after_the_previous_one_if_the_data_is_long_enough(make: Any) -> None:
    assert sweeps(make, 3) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_data_of_unknown_length_is_repeated() -> None:
    unknown = dataset().filter(lambda *batch: True)
    assert sweeps(lambda: unknown, 10, count=2) == [list(range(10)), [10, 11, *range(8)]]


def test_an_iterable_is_started_again_and_an_iterator_is_not() -> None:
    assert sweeps(Loader, 30, count=1) == [[step % 12 for step in range(30)]]
    assert sweeps(lambda: iter(Loader()), 30, count=1) == [list(range(12))]


def test_a_dataset_is_not_read_ahead_and_not_tuned() -> None:
    """Reading ahead would draw random numbers after they were restored, and autotuning delays the end of a sweep."""
    given, _ = endless_batches(dataset(), None, None, batch_size=None, sweep=0, sweeps=1, batches=2)
    assert given.options().autotune.enabled is False
    assert "Prefetch" not in type(given._input_dataset).__name__


@pytest.mark.parametrize(("batch_size", "sizes"), [(None, [12, 12]), (4, [4] * 6), (5, [5, 5, 2, 5, 5, 2])])
def test_arrays_give_shuffled_batches(batch_size: int | None, sizes: list[int]) -> None:
    arrays = {"sample_weight": INPUTS[:, 0], "batch_size": batch_size, "sweeps": 1, "batches": 6}
    given, steps = endless_batches(INPUTS, {"a": TARGETS}, sweep=0, **arrays)
    taken = [(x.numpy(), weights.numpy()) for x, _, weights in given.take(len(sizes))]
    assert [len(x) for x, _ in taken] == sizes
    assert all((x[:, 0] == weights).all() for x, weights in taken)
    first, second = np.split(np.concatenate([weights for _, weights in taken]), 2)
    np.testing.assert_array_equal(np.sort([first, second]), [np.arange(12)] * 2)
    assert (first != second).any()
    assert steps is not None
    one, other = (endless_batches(INPUTS, {"a": TARGETS}, sweep=sweep, **arrays)[0] for sweep in (0, 1))
    np.testing.assert_array_equal(next(iter(other))[0], next(iter(one.skip(6)))[0])


def test_with_accumulation_a_sweep_continues_after_all_batches_of_the_previous_one(
    make_line: Callable[..., keras.Model],
) -> None:
    still = {"start_lr": 1e-12, "end_lr": 1e-11, "diverge_factor": math.inf, "batch_size": 2}
    model = make_line(keras.optimizers.SGD(0.1, gradient_accumulation_steps=3), run_eagerly=True)
    arrays = find_lr(model, INPUTS, TARGETS, **still, iterations=2, repeats=2)
    whole_pass = find_lr(make_line(run_eagerly=True), INPUTS, TARGETS, **still, iterations=12)
    means = np.reshape(whole_pass.losses, (4, 3)).mean(axis=1)
    np.testing.assert_allclose([sweep.losses for sweep in arrays.sweeps], means.reshape(2, 2), rtol=1e-5)


@pytest.mark.parametrize("make", [Endless, lambda: dataset().repeat()], ids=["PyDataset", "tf.data"])
def test_validation_data_without_end_needs_steps(make: Any, make_line: Callable[..., keras.Model]) -> None:
    still = {"start_lr": 1e-12, "end_lr": 1e-11, "iterations": 2}
    with pytest.raises(DataError, match=r"must be finite and repeatable.*`validation_steps`"):
        find_lr(make_line(), INPUTS, TARGETS, **still, validation_data=make())
    found = find_lr(make_line(), INPUTS, TARGETS, **still, validation_data=make(), validation_steps=5)
    expected = make_line().evaluate(INPUTS[:5], TARGETS[:5], verbose=0, return_dict=True)["loss"]
    assert found.sweeps[0].val_losses == pytest.approx([expected] * 2)


class OfKeras(Numbered):
    """Is an iterator too, as the generators of Keras are."""

    def __next__(self) -> Any:
        raise AssertionError


def test_a_dataset_that_is_an_iterator_too_is_repeatable() -> None:
    data = OfKeras()
    assert repeatable(data) is data
    with pytest.raises(DataError, match="Received: list_iterator"):
        repeatable(iter([(INPUTS, TARGETS)]), steps=1)


def test_batches_of_validation_data_are_kept(make_line: Callable[..., keras.Model]) -> None:
    expected = make_line().evaluate(INPUTS[:5], TARGETS[:5], verbose=0, return_dict=True)["loss"]
    still = {"start_lr": 1e-12, "end_lr": 1e-11, "iterations": 2}
    for data, steps in ((of_batches()[:5], None), (Loader(), 5)):
        found = find_lr(make_line(), INPUTS, TARGETS, **still, validation_data=data, validation_steps=steps)
        assert found.sweeps[0].val_losses == pytest.approx([expected] * 2)
    with pytest.raises(DataError, match=r"`validation_steps`.*Received: Loader"):
        repeatable(Loader())


def test_sweeps_on_the_same_batches_give_no_interval(make_line: Callable[..., keras.Model]) -> None:
    everything = dataset().unbatch().batch(12)
    test = find_lr(make_line(run_eagerly=True), everything, end_lr=1e-2, iterations=5, repeats=2)
    with pytest.raises(NoSuggestion, match=r"different batches.*Received: 2 sweeps with identical losses"):
        test.interval()


WEIGHTS = np.ones(12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param((dataset, TARGETS), "`y` is only for arrays.*Received: y of type ndarray", id="targets"),
        pytest.param((dataset, None, WEIGHTS), "`sample_weight` is only for arrays", id="weights"),
        pytest.param((dataset, None, None, 4), "`batch_size` is only for arrays", id="batch-size"),
        pytest.param((Numbered, TARGETS), "`y` is only for arrays", id="targets-of-a-PyDataset"),
        pytest.param((lambda: INPUTS, None, WEIGHTS), "needs targets.*Received: y=None", id="weights-alone"),
        pytest.param((lambda: None,), "must be arrays, .*Received: NoneType", id="nothing"),
        pytest.param((lambda: 3,), "must be arrays, .*Received: int", id="a-number"),
        pytest.param((lambda: INPUTS, [0.0] * 12), "same number of .*Received: x of 12; y of 0 examples", id="a-list"),
        pytest.param((lambda: INPUTS, TARGETS[1:], WEIGHTS), "x of 12; y of 11; sample_weight of 12", id="lengths"),
        pytest.param((lambda: INPUTS[:0], TARGETS[:0]), "at least one", id="empty-arrays"),
        pytest.param((Empty,), "at least one batch", id="empty-PyDataset"),
    ],
)
def test_other_data_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    make, y, weights, batch_size = (*arguments, None, None, None)[:4]
    with pytest.raises(DataError, match=message):
        endless_batches(make(), y, weights, batch_size=batch_size, sweep=0, sweeps=1, batches=1)


FOUR = (INPUTS, TARGETS, WEIGHTS, WEIGHTS)


class FourParts(Numbered):
    """Batches of four elements."""

    def __getitem__(self, index: int) -> Any:
        return FOUR


class TakesFour(keras.Sequential):
    """Takes batches of four elements apart itself."""

    def train_step(self, data: Any) -> Any:
        return super().train_step(data[:3])


def four_parts() -> dict[str, Any]:
    generator = (FOUR for _ in range(3))
    dataset = tf.data.Dataset.from_tensors(FOUR)
    return {"tuples": [FOUR], "lists": [list(FOUR)], "generator": generator, "dataset": dataset, "indexed": FourParts()}


@pytest.mark.parametrize("kind", [*four_parts(), "single"])
def test_batches_of_four_elements_are_refused(make_line: Callable[..., keras.Model], kind: str) -> None:
    data = {**four_parts(), "single": [(1.0, 2.0, 3.0, 4.0)]}[kind]
    with pytest.raises(DataError, match=r"A batch must be .*Received: a batch of 4 elements"):
        find_lr(make_line(run_eagerly=True), data)


def test_a_model_with_its_own_step_takes_batches_of_four_elements() -> None:
    model = TakesFour([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    for data in ([FOUR], [list(FOUR)], four_parts()["dataset"]):
        assert find_lr(model, data, iterations=3, end_lr=1e-3).iterations == 3


@pytest.mark.parametrize("data", ["data.npz", iter([INPUTS])], ids=["path", "arrays"])
def test_batches_that_are_no_pairs_are_refused(make_line: Callable[..., keras.Model], data: Any) -> None:
    with pytest.raises(DataError, match=r"batches `\(inputs, targets\)`.*Received: a batch of type (str|ndarray)"):
        find_lr(make_line(run_eagerly=True), data)


@pytest.mark.filterwarnings("ignore:.*ran out of data:UserWarning")
@pytest.mark.parametrize("data", [dataset().take(0), [], iter([])], ids=["dataset", "list", "iterator"])
def test_data_without_a_batch_is_refused(make_line: Callable[..., keras.Model], data: Any) -> None:
    with pytest.raises(DataError, match="at least one batch"):
        find_lr(make_line(run_eagerly=True), data)


@pytest.mark.parametrize("make", [lambda: dataset().repeat(), lambda: iter([(INPUTS, TARGETS)]), Endless])
def test_validation_data_that_is_not_repeatable_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(DataError, match="must be finite and repeatable"):
        LRFinder(validation_data=make())


@pytest.mark.parametrize(
    ("name", "value"), [("iterations", 20.5), ("repeats", "3"), ("repeats", 0), ("batch_size", 1.5), ("batch_size", 0)]
)
def test_counts_are_whole_numbers(make_line: Callable[..., keras.Model], name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=rf"`{name}` must be a whole number, \d or more. Received: "):
        find_lr(make_line(), INPUTS, TARGETS, **{name: value})


def test_class_weights_are_a_dict(make_line: Callable[..., keras.Model]) -> None:
    with pytest.raises(SettingsError, match=r"`class_weight` must be a dict.*Received: list"):
        find_lr(make_line(), INPUTS, TARGETS, class_weight=[1.0, 2.0])
