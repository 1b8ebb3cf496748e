"""`tf.data` pipelines without autotuning."""

from __future__ import annotations

import time

import numpy as np
import tensorflow as tf

from lrdiag.backend.pipelines import is_infinite, length_of, steady, without_autotuning


def tuned(enabled: bool | None = None) -> tf.data.Dataset:
    """A dataset with autotuned parallel calls, as users write it."""
    options = tf.data.Options()
    if enabled is not None:
        options.autotune.enabled = enabled
    numbers = tf.data.Dataset.range(1000).map(lambda number: number + 1, num_parallel_calls=tf.data.AUTOTUNE)
    return numbers.prefetch(tf.data.AUTOTUNE).with_options(options)


def test_autotuning_is_turned_off_unless_the_user_chose_it() -> None:
    assert without_autotuning(tuned()).options().autotune.enabled is False
    assert without_autotuning(tuned(enabled=True)).options().autotune.enabled is True
    assert steady(tuned()).options().autotune.enabled is False


def test_the_elements_stay_the_same() -> None:
    np.testing.assert_array_equal(list(steady(tuned().repeat().skip(999).take(3))), [1000, 1, 2])


def test_an_iterator_is_destroyed_at_once() -> None:
    """With autotuning it takes as long again as the iterator has lived, here 0.6 s."""
    iterator = iter(steady(tuned().repeat()))
    end = time.perf_counter() + 0.7
    while time.perf_counter() < end:
        next(iterator)
    begun = time.perf_counter()
    del iterator
    assert time.perf_counter() - begun < 0.3


def test_lengths() -> None:
    assert (length_of(tuned()), length_of(tuned().repeat()), length_of(tuned().filter(lambda _: True))) == (
        1000,
        None,
        None,
    )
    assert is_infinite(tuned().repeat())
    assert not is_infinite(tuned())
    assert not is_infinite([1])
