"""`Engine`: all that differs between TensorFlow, JAX and PyTorch, in one interface."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

Delta = Callable[[Any], Any]
"""Returns the zero tensor to add to an output, of the output's shape."""
Forward = Callable[[Any, Delta], tuple[Any, list[Any]]]
"""Takes inputs and `Delta`; returns scores `(n, classes)`, or a nest of tensors, and the output of a layer at each of
its calls. It adds `delta` to each of these outputs."""
Gradients = tuple[Any, list[Any], list[list[Any]]]
"""Scores, features, and for each target the gradient at each call and for each variable."""

MeasuredStep = Callable[..., tuple[tuple[Any, ...], list[Any], list[float]]]
"""Takes the arguments of `model.train_function`; returns what that returns, as a tuple, the sums of the step alone, and
the values of `Measures` before its update."""


class Number:
    """Reads and writes a variable that holds one number, between two steps of training.

    Args:
        variable: A variable of shape `()`.
        model: The model that is trained.
    """

    def __init__(self, variable: keras.Variable, model: keras.Model) -> None:
        self.variable, self._model = variable, model

    def read(self) -> Any:
        """Returns the number as a numpy scalar of the variable's dtype."""
        return ops.convert_to_numpy(self.variable.value)[()]

    def write(self, value: float) -> Any:
        """Assigns `value`, and returns it rounded to the variable's dtype."""
        self.variable.assign(value)
        return self.read()


class Waits:
    """Measures how long the steps of an epoch wait for their data inside `model.train_function`.

    This one is for an engine whose `fit` fetches the data before it calls that function, so the steps never wait.

    Attributes:
        are_between_steps: Whether `fit` fetches the data between two steps.

    Args:
        model: The model that is trained.
    """

    are_between_steps = True

    def __init__(self, model: keras.Model) -> None:
        self._model = model

    def begin_epoch(self) -> None:
        """Call at the beginning of each epoch."""

    def watch(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Call before each step with its arguments. Returns the arguments to run it with."""
        return arguments

    def of_steps(self, seconds: Sequence[float], are_compiled: Sequence[bool]) -> list[float] | None:
        """Returns how many seconds each step of the epoch waited, or `None` if that is not known.

        Args:
            seconds: How long each step took.
            are_compiled: Whether it was compiled in this step.
        """
        return [0.0] * len(seconds)


@dataclass(frozen=True)
class Measures:
    """What to measure of each training step.

    Attributes:
        sums: The sum of the losses and their number, as Keras's loss tracker holds them.
        values: Returns the learning rate of the next update, and the momentum if the optimizer has one, as numbers.
        tensors: Returns the same as tensors, inside a function that is being compiled.
        is_worth_compiling: Whether the run is so long that it is worth compiling the step together with what is
            measured.
    """

    sums: Sequence[Number]
    values: Callable[[], list[float]]
    tensors: Callable[[], list[Any]]
    is_worth_compiling: bool


def added(before: Sequence[Any], own: Sequence[Any]) -> list[Any]:
    """Returns the sums of numbers, which are infinite if the loss of a diverging run exceeds float32."""
    with np.errstate(over="ignore"):
        return [one + other for one, other in zip(before, own, strict=True)]


class Engine(ABC):
    """What lrdiag needs of an engine beside `keras.ops`.

    The methods that are not abstract are those of an engine that changes variables in place and has no state of its
    own.

    Attributes:
        number: Gives access to a single number inside Keras.
        waits: Measures how long the training steps wait for data.
    """

    number: type[Number] = Number
    waits: type[Waits] = Waits

    @abstractmethod
    def compiled(self, function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
        """Compiles a function of nests of arrays.

        It is compiled once for each type and shape of its inputs, whatever the size of the batch, and always computes
        with the current weights. A batch may be filled up with copies of its first example, and is divided among the
        devices of a model that is distributed over several. The outputs have its size nevertheless.

        Args:
            function: Takes nests of arrays and returns a nest of tensors. The first axis of each is the batch, and no
                example depends on another.
            model: The model that the function calls. Its state changes as if the function were called.
        """

    @abstractmethod
    def compiled_whole(self, function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
        """Compiles a function of a whole batch, such as its mean loss: the batch is neither filled up nor divided.

        Args:
            function: Takes nests of arrays and returns a nest of tensors.
            model: The model that the function calls. Its state changes as if the function were called.
        """

    def for_few_calls(self, function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
        """Returns a function of nests of arrays in the form that takes the least time if it is called a few times.

        It may be traced: then it runs only once for all inputs of one shape and type.

        Args:
            function: Takes nests of arrays and returns a nest of tensors.
            model: The model that the function calls. Its state changes as if the function were called.
        """
        return function

    @abstractmethod
    def with_gradients(
        self,
        forward: Forward,
        inputs: Any,
        targets: Callable[[Any], list[Any]],
        variables: Sequence[keras.Variable] = (),
    ) -> Gradients:
        """Runs `forward` and differentiates the targets with respect to `delta`, and to variables.

        The gradient with respect to what a layer returns is taken with respect to `delta`, at `delta = 0`. So the layer
        stays unchanged, and one formula works for every engine.

        Args:
            forward: The model, see `Forward`. It may be called twice.
            inputs: A batch of inputs.
            targets: Takes the scores; returns the tensors to differentiate. The sum of each is differentiated.
            variables: Variables that `forward` computes with.

        Returns:
            The scores, the features of each call of the layer, and for each target the gradient at each call and then
            for each variable: a tensor of its shape, or `None` if the target does not depend on it.
        """

    @abstractmethod
    def is_computed(self, tensor: Any) -> bool:
        """Returns whether a tensor has values. Inside a function that is compiled or vectorized, it has none.

        Those of `only_shapes` count as computed.
        """

    @abstractmethod
    def in_float64(self, function: Callable[[Any, Any], Any], step: Any) -> Any:
        """Computes a function of the step in float64, inside the training step.

        In float32, a step divided by the length of a cycle may be just below a whole number, and the restart is missed.

        Args:
            function: Takes the step and the numpy-like module to compute with.
            step: A number, an array, or a variable of whole numbers.

        Returns:
            A float32 tensor of the shape of `step`.
        """

    @abstractmethod
    def accelerator(self) -> str | None:
        """Returns the GPU or other accelerator that the engine computes on, in words; `None` for a CPU."""

    @abstractmethod
    def rounds_to_ten_bits(self) -> bool:
        """Returns whether matrices of 32 bits are multiplied with 10 bits, as on NVIDIA GPUs by default."""

    @abstractmethod
    def is_out_of_memory(self, error: BaseException) -> bool:
        """Returns whether an error of the engine says that memory ran out."""

    def only_shapes(self, function: Callable[[], Any]) -> Any:
        """Returns what a function returns, or tensors of the same shapes without values if these take less time."""
        return function()

    def predict_step(self, model: keras.Model, data: Any) -> Any:
        """Returns the outputs of the model's `predict_step` for a batch as `model.predict` passes it."""
        return model.predict_step(data)

    def inferring(self, model: keras.Model) -> AbstractContextManager[None]:
        """Runs the model as `model.predict` does inside a block: nothing is recorded for gradients."""
        return nullcontext()

    def times_compiled(self, function: Any) -> int | None:
        """Returns how many times a function was compiled, or `None` if it is not one that the engine compiles."""
        return None

    def set_seed(self, seed: int) -> None:  # noqa: B027 – nothing to do by default
        """Sets the random seed of the engine itself."""

    def random_state(self) -> list[bytes]:
        """Returns the random state of the engine.

        Also that of PyTorch, which its data loaders draw from with any engine.
        """
        torch = sys.modules.get("torch")
        return [] if torch is None else [torch.get_rng_state().numpy().tobytes()]

    def set_random_state(self, state: Sequence[bytes]) -> None:
        """Sets the random state to one that `random_state` returned, perhaps in another process."""
        torch = sys.modules.get("torch")
        if torch is not None and state:
            torch.set_rng_state(torch.frombuffer(bytearray(state[0]), dtype=torch.uint8))

    def keep_mode(self, model: keras.Model) -> Callable[[], None]:
        """Returns a function that undoes what `fit` and `evaluate` change about a model beside its variables."""
        return lambda: None

    def synchronize(self, model: keras.Model) -> None:  # noqa: B027 – nothing to do by default
        """Lets the variables of a model have the values of the training step that `fit` has just made."""

    def require_trainable(self, model: keras.Model) -> None:  # noqa: B027 – nothing to do by default
        """Raises if Keras can't train a model as it is distributed.

        Raises:
            ModelError: If it can't.
        """

    def processes(self) -> int:
        """Returns the number of processes that train a model together."""
        return 1

    def is_first_process(self) -> bool:
        """Returns whether this process is the one of them that writes files and lines."""
        return True

    def by_first_process(self, model: keras.Model, work: Callable[[], None]) -> None:
        """Lets the first process do something with the model, while the others wait.

        Args:
            model: The model. What `work` assigns to its variables is undone if there are several processes.
            work: Is called in the first process only.
        """
        work()

    def measured(self, train: Callable[..., Any], measures: Measures, model: keras.Model) -> MeasuredStep:
        """Returns the next training step in a form that measures it.

        Args:
            train: `model.train_function`.
            measures: What to measure.
            model: The model, at the beginning of a batch.
        """
        values = measures.values()  # only now: in a step of JAX, the variables have no values

        def run(*arguments: Any) -> tuple[tuple[Any, ...], list[Any], list[float]]:
            (logs, *state), own, (total, count) = self.run_from_zero(train, measures.sums, model, *arguments)
            if count and "loss" in logs:
                logs = {**logs, "loss": total / count}
            return (logs, *state), own, values

        return run

    def run_from_zero(
        self, train: Callable[..., Any], sums: Sequence[Number], model: keras.Model, *arguments: Any
    ) -> tuple[tuple[Any, ...], list[Any], list[Any]]:
        """Runs a training step with sums that are zero before it, and adds what they were after it.

        Args:
            train: `model.train_function`.
            sums: The sums, of metrics of the model.
            model: The model.
            *arguments: The arguments of the step.

        Returns:
            What the step returns, as a tuple; the sums of the step alone; and the sums in all.
        """
        before = [each.read() for each in sums]
        for each in sums:
            each.write(0.0)
        try:
            logs = train(*arguments)
        finally:  # also at the end of data of unknown length
            own = [each.read() for each in sums]
            totals = added(before, own)
            for each, total in zip(sums, totals, strict=True):
                each.write(total)
        return (logs,), own, totals
