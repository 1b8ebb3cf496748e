"""PyTorch: eager, with autograd. `compiler`, `scalar`, `seeds` and `device` describe the functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import torch
from keras import ops, tree
from keras.src.backend.torch.core import get_device

from lrdiag.backend.stateful import run_from_zero, synchronize

__all__ = ["run_from_zero", "synchronize"]


def compiled(function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
    """Runs the function eagerly: PyTorch's compiler needs a C++ compiler, and seconds for each model."""

    def run(*arrays: Any) -> Any:
        with inferring(model):
            return function(*tree.map_structure(_tensor, arrays))

    return run


def _tensor(array: Any) -> Any:
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        array = array.copy()  # PyTorch shares the memory of arrays, and warns of those that are read-only
    return ops.convert_to_tensor(array)


def with_gradients(
    forward: Callable[[Any, Callable[[Any], Any]], tuple[Any, list[Any]]],
    inputs: Any,
    targets: Callable[[Any], list[Any]],
    variables: Sequence[keras.Variable] = (),
) -> tuple[Any, list[Any], list[list[Any]]]:
    """Differentiates with autograd, which records nothing before the first output that `delta` is added to."""
    deltas: list[Any] = []
    weights = [variable.value for variable in variables]

    def delta(output: Any) -> Any:
        torch.set_grad_enabled(True)  # until the end of the block below
        deltas.append(torch.zeros_like(output, requires_grad=True))
        return deltas[-1]

    with torch.set_grad_enabled(bool(weights)):
        scores, features = forward(tree.map_structure(_tensor, inputs), delta)
        differentiated = targets(scores)
        gradients = [_gradients(target, [*deltas, *weights]) for target in differentiated]
    return *tree.map_structure(lambda tensor: tensor.detach(), (scores, features)), gradients


def _gradients(target: Any, tensors: list[Any]) -> list[Any]:
    if not target.requires_grad:
        return [None] * len(tensors)
    return list(torch.autograd.grad(target.sum(), tensors, retain_graph=True, allow_unused=True))


@contextmanager
def inferring(model: keras.Model) -> Iterator[None]:
    """Records no gradients, and sets the mode of modules of PyTorch inside the model, as `model.predict` does."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def is_computed(tensor: Any) -> bool:
    """Whether a tensor has values: not inside `torch.vmap`, and not on the device of shapes alone."""
    return isinstance(tensor, torch.Tensor) and tensor.device.type != "meta" and not _is_mapped(tensor)


def _is_mapped(tensor: Any) -> bool:
    return bool(torch._C._functorch.is_batchedtensor(tensor))  # there is no public function for it


def predict_step(model: keras.Model, data: Any) -> Any:
    """Calls `predict_step(data)`."""
    return model.predict_step(data)


def rounds_to_ten_bits() -> bool:
    """Whether convolutions or matrices are multiplied in TensorFloat-32, the default of convolutions on NVIDIA GPUs."""
    allowed = torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
    return get_device() == "cuda" and bool(allowed)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def in_float64(function: Callable[[Any, Any], Any], step: Any) -> Any:
    """Computes with NumPy: some devices have no float64, and a dozen operations on single numbers take longer."""
    return ops.convert_to_tensor(np.asarray(function(np.asarray(ops.convert_to_numpy(step), "float64"), np), "float32"))


def accelerator() -> str | None:
    """The name of the device, if it is not a CPU."""
    device = get_device()
    if device == "cpu":
        return None
    return f"GPU: {torch.cuda.get_device_name() if device == 'cuda' else device.upper()}"


def keep_mode(model: keras.Model) -> Callable[[], None]:
    """Keeps whether each module is training, which `fit` and `evaluate` set."""
    modes = [(module, module.training) for module in model.modules()]

    def restore() -> None:
        for module, is_training in modes:
            module.training = is_training

    return restore


def set_seed(seed: int) -> None:
    """Sets the seed that dropout draws from."""
    torch.manual_seed(seed)


def keep_random_state() -> Callable[[], None]:
    """Keeps the random states of PyTorch, which dropout draws from."""
    state, on_gpus = torch.get_rng_state(), torch.cuda.get_rng_state_all()

    def restore() -> None:
        torch.set_rng_state(state)
        torch.cuda.set_rng_state_all(on_gpus)

    return restore


class Number:
    """Reads and writes a variable."""

    def __init__(self, variable: keras.Variable, model: keras.Model) -> None:
        self._variable = variable

    def read(self) -> Any:
        """Returns the number."""
        return ops.convert_to_numpy(self._variable.value)[()]

    def write(self, value: float) -> Any:
        """Assigns `value`."""
        self._variable.assign(value)
        return self.read()
