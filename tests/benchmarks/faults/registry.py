"""The programs of the benchmark, and what a diagnostician may say about each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from keras import Model


class Run(NamedTuple):
    """What `fit` takes.

    Attributes:
        model: A compiled model.
        x: Training images, or a dataset of images and labels.
        y: Training labels, or `None` for a dataset.
        x_val: Validation images.
        y_val: Validation labels.
        arguments: Further arguments of `fit`.
    """

    model: Model
    x: Any
    y: np.ndarray | None
    x_val: np.ndarray
    y_val: np.ndarray
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Program:
    """A training program.

    Attributes:
        make: Returns the run. It takes whether the fault is present.
        code: The code that it is a variant of. Empty for a sound program.
        expected: Codes of which each names the fault.
        also_true: Codes that are true beside it.
        mild: Whether the fault costs less than most do, or is harder to see.
        repaired: Whether `make(False)` is a sound program.
    """

    make: Callable[[bool], Run]
    code: str
    expected: frozenset[str]
    also_true: frozenset[str]
    mild: bool
    repaired: bool

    @property
    def name(self) -> str:
        return self.make.__name__


PROGRAMS: dict[str, Program] = {}


def fault(
    expected: str, also_true: str = "", *, mild: bool = False, repaired: bool = True
) -> Callable[[Callable[[bool], Run]], Callable[[bool], Run]]:
    """Registers a faulty program. Codes are separated by spaces; the first one is the one that it is a variant of."""

    def register(make: Callable[[bool], Run]) -> Callable[[bool], Run]:
        codes = expected.split()
        _add(Program(make, codes[0], frozenset(codes), frozenset(also_true.split()), mild, repaired))
        return make

    return register


def sound(make: Callable[[], Run]) -> Callable[[], Run]:
    """Registers a sound program."""

    def sound_run(broken: bool) -> Run:
        assert not broken
        return make()

    sound_run.__name__ = make.__name__
    _add(Program(sound_run, "", frozenset(), frozenset(), mild=False, repaired=True))
    return make


def _add(program: Program) -> None:
    if program.name in PROGRAMS:
        raise ValueError(f"Two programs are called {program.name}.")
    PROGRAMS[program.name] = program
