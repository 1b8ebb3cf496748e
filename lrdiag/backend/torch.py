"""PyTorch: eager, with autograd."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import torch
from keras import ops, tree
from keras.src.backend.torch.core import get_device

from lrdiag.backend import base


class Engine(base.Engine):
    """Nothing is compiled: PyTorch's compiler needs a C++ compiler, and seconds for each model."""

    def compiled(self, function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
        return self.compiled_whole(function, model)

    def compiled_whole(self, function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
        def run(*arrays: Any) -> Any:
            with self.inferring(model):
                return function(*tree.map_structure(_tensor, arrays))

        return run

    def with_gradients(
        self,
        forward: base.Forward,
        inputs: Any,
        targets: Callable[[Any], list[Any]],
        variables: Sequence[keras.Variable] = (),
    ) -> base.Gradients:
        watched: list[Any] = []
        weights = [variable.value for variable in variables]

        def delta(output: Any) -> Any:
            torch.set_grad_enabled(True)  # only now, and until the end of the block below
            watched.append(torch.zeros_like(output, requires_grad=True))
            return watched[-1]

        with torch.set_grad_enabled(bool(weights)):
            scores, features = forward(tree.map_structure(_tensor, inputs), delta)
            gradients = [_gradients(target, [*watched, *weights]) for target in targets(scores)]
        return *tree.map_structure(lambda tensor: tensor.detach(), (scores, features)), gradients

    def is_computed(self, tensor: Any) -> bool:
        if not isinstance(tensor, torch.Tensor) or tensor.device.type == "meta":
            return False
        return not torch._C._functorch.is_batchedtensor(tensor)  # there is no public function for it

    def in_float64(self, function: Callable[[Any, Any], Any], step: Any) -> Any:
        return _computed_by_numpy(function, step)

    def is_out_of_memory(self, error: BaseException) -> bool:
        on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
        return on_cpu or isinstance(error, torch.OutOfMemoryError)

    def accelerator(self) -> str | None:
        device = get_device()
        if device == "cpu":
            return None
        return f"GPU: {torch.cuda.get_device_name() if device == 'cuda' else device.upper()}"

    def rounds_to_ten_bits(self) -> bool:
        precisions = (torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision)
        return get_device() == "cuda" and "tf32" in precisions

    @contextmanager
    def inferring(self, model: keras.Model) -> Iterator[None]:
        restore_mode = self.keep_mode(model)
        model.eval()  # for modules of PyTorch inside the model
        try:
            with torch.no_grad():
                yield
        finally:
            restore_mode()

    def set_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def random_state(self) -> list[bytes]:
        states = torch.get_rng_state(), *torch.cuda.get_rng_state_all()  # dropout draws from them
        return [each.numpy().tobytes() for each in states]

    def set_random_state(self, state: Sequence[bytes]) -> None:
        on_cpu, *on_gpus = (torch.frombuffer(bytearray(each), dtype=torch.uint8) for each in state)
        torch.set_rng_state(on_cpu)
        for device, each in zip(range(torch.cuda.device_count()), on_gpus, strict=False):  # another machine has others
            torch.cuda.set_rng_state(each, device)

    def keep_mode(self, model: keras.Model) -> Callable[[], None]:
        modes = [(module, module.training) for module in model.modules()]

        def restore() -> None:
            for module, is_training in modes:
                module.training = is_training

        return restore


def _tensor(array: Any) -> Any:
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        array = array.copy()  # PyTorch shares the memory of arrays, and warns of those that are read-only
    return ops.convert_to_tensor(array)


def _gradients(target: Any, tensors: list[Any]) -> list[Any]:
    if not target.requires_grad:
        return [None] * len(tensors)
    return list(torch.autograd.grad(target.sum(), tensors, retain_graph=True, allow_unused=True))


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _computed_by_numpy(function: Callable[[Any, Any], Any], step: Any) -> Any:
    """Some devices have no float64, and a dozen operations of PyTorch on single numbers take longer."""
    return ops.convert_to_tensor(np.asarray(function(np.asarray(ops.convert_to_numpy(step), "float64"), np), "float32"))
