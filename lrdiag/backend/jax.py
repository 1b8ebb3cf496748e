"""JAX: `jax.jit` and `jax.linearize`. `compiler`, `scalar`, `seeds` and `device` describe the functions.

A compiled function has no state: the variables of the model are its arguments, and those that it changes are among its
outputs. `keras.StatelessScope` holds their values while it is traced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp
from jax.extend.core import Var
from keras import tree
from keras.src.backend.common.stateless_scope import get_stateless_scope

_EXACT = ("highest", "float32", "F32_F32_F32")


def compiled(function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
    """Compiles a function for one size of batch. Smaller batches are filled up with copies of their first example."""
    sizes: dict[str, int] = {}
    variables: list[keras.Variable] = []

    @jax.jit  # type: ignore[untyped-decorator]
    def stateless(values: list[Any], arrays: Any) -> tuple[Any, dict[int, Any]]:
        with keras.StatelessScope(list(zip(variables, values, strict=True))) as scope:
            before = dict(scope.state_mapping)
            outputs = function(*arrays)
            places = (place for place, each in enumerate(variables) if before[id(each)] is not each.value)
            return outputs, {place: variables[place].value for place in places}

    def run(*arrays: Any) -> Any:
        model.jax_state_sync()
        variables[:] = {id(each): each for each in model.variables}.values()
        kind = repr(tree.map_structure(lambda array: (array.shape[1:], array.dtype), arrays))
        size = len(tree.flatten(arrays)[0])
        if size > sizes.get(kind, 0):
            sizes[kind] = 1 << (size - 1).bit_length() if kind in sizes else size
        outputs, changed = stateless([each.value for each in variables], _filled_up(arrays, sizes[kind] - size))
        for place, value in changed.items():
            variables[place].assign(value)
        return tree.map_structure(lambda output: output[:size], outputs) if sizes[kind] > size else outputs

    return run


def _filled_up(arrays: Any, missing: int) -> Any:
    if not missing:
        return arrays
    return tree.map_structure(lambda array: np.concatenate([array, np.repeat(array[:1], missing, axis=0)]), arrays)


def with_gradients(
    forward: Callable[[Any, Callable[[Any], Any]], tuple[Any, list[Any]]],
    inputs: Any,
    targets: Callable[[Any], list[Any]],
    variables: Sequence[keras.Variable] = (),
) -> tuple[Any, list[Any], list[list[Any]]]:
    """Differentiates by linearizing at zeros, whose shapes are those of the layer's outputs."""
    zeros: list[Any] = []

    def measure(output: Any) -> Any:
        zeros.append(jax.ShapeDtypeStruct(output.shape, output.dtype))
        return jnp.zeros_like(output)

    with _variables_plus([(variable, 0) for variable in variables]):
        jax.eval_shape(lambda: forward(inputs, measure)[0])
    zeros = [jnp.zeros(each.shape, each.dtype) for each in [*zeros, *variables]]
    calls = len(zeros) - len(variables)

    def differentiable(given: list[Any]) -> tuple[list[Any], Any]:
        deltas = iter(given)
        with _variables_plus(list(zip(variables, given[calls:], strict=True))) as scope:
            scores, features = forward(inputs, lambda output: next(deltas))
            return targets(scores), (scores, features, scope.state_mapping)

    values, linear, (scores, features, state) = jax.linearize(differentiable, zeros, has_aux=True)
    if (outer := get_stateless_scope()) is not None and not variables:
        outer.state_mapping.update(state)
    reached = _dependences(jax.make_jaxpr(linear)(zeros).jaxpr)
    gradients_of = jax.linear_transpose(linear, zeros)
    gradients = []
    for place, depends in enumerate(reached):
        (found,) = gradients_of([jnp.full_like(each, other == place) for other, each in enumerate(values)])
        gradients.append([each if is_reached else None for each, is_reached in zip(found, depends, strict=True)])
    return scores, features, gradients


@contextmanager
def _variables_plus(added: Sequence[tuple[keras.Variable, Any]]) -> Iterator[keras.StatelessScope]:
    """Keeps what is assigned inside the block from the variables, and adds tensors to the values of some."""
    outer = get_stateless_scope()
    values = [(variable, variable.value + tensor) for variable, tensor in added]
    with keras.StatelessScope(values, collect_losses=True) as scope:
        scope.state_mapping = {**(outer.state_mapping if outer else {}), **scope.state_mapping}
        yield scope


def _dependences(jaxpr: Any) -> list[list[bool]]:
    """For each output of a linear function, which inputs it depends on. JAX gives zeros for the others."""

    def depends(output: Any) -> list[bool]:
        live = {output} if isinstance(output, Var) else set()
        for equation in reversed(jaxpr.eqns):
            if any(each in live for each in equation.outvars):
                live |= {each for each in equation.invars if isinstance(each, Var)}
        return [each in live for each in jaxpr.invars]

    return [depends(output) for output in jaxpr.outvars]


def inferring(model: keras.Model) -> AbstractContextManager[None]:
    """Does nothing: gradients are recorded only where a function is linearized."""
    return nullcontext()


def is_computed(tensor: Any) -> bool:
    """Whether a tensor is not being traced."""
    return not isinstance(tensor, jax.core.Tracer)


def predict_step(model: keras.Model, data: Any) -> Any:
    """Calls `predict_step(state, data)`."""
    state = [[each.value for each in some] for some in (model.trainable_variables, model.non_trainable_variables)]
    return model.predict_step(tuple(state), data)[0]


def rounds_to_ten_bits() -> bool:
    """Whether matrices are multiplied in TensorFloat-32, the default on NVIDIA GPUs."""
    return jax.default_backend() != "cpu" and jax.config.jax_default_matmul_precision not in _EXACT


def in_float64(function: Callable[[Any, Any], Any], step: Any) -> Any:
    """Computes with 64 bits, which JAX has only inside such a block. Keras's operations round to 32 bits also there."""
    with jax.enable_x64(True):
        return jnp.asarray(function(jnp.asarray(keras.ops.convert_to_tensor(step), "float64"), jnp), "float32")


def accelerator() -> str | None:
    """The name of the first device, if it is not a CPU."""
    device = jax.devices()[0]
    return None if device.platform == "cpu" else f"{device.platform.upper()}: {device.device_kind}"


def synchronize(model: keras.Model) -> None:
    """Writes the state of the running step back, and lets `fit` read the variables before the next one."""
    model.jax_state_sync()


def keep_mode(model: keras.Model) -> Callable[[], None]:
    """Writes the state of a step back. The restored model has none, also if a step was interrupted."""
    synchronize(model)
    return lambda: setattr(model, "_jax_state_synced", True)


def run_from_zero(
    train: Callable[..., Any], sums: Sequence[Number], model: keras.Model, state: Any, iterator: Any
) -> tuple[tuple[Any, Any], list[Any], list[Any]]:
    """Exchanges the sums in the state that goes into the step, and in the one that comes out of it."""
    *others, metrics = state
    places = {id(each): place for place, each in enumerate(model.metrics_variables)}
    chosen = [places[id(each.variable)] for each in sums]
    before = [np.asarray(metrics[place])[()] for place in chosen]
    logs, (*others, metrics) = train((*others, _with(metrics, chosen, [each * 0 for each in before])), iterator)
    own = [np.asarray(metrics[place])[()] for place in chosen]
    totals = [was + added for was, added in zip(before, own, strict=True)]
    return (logs, (*others, _with(metrics, chosen, totals))), own, totals


def _with(values: list[Any], places: list[int], others: list[Any]) -> list[Any]:
    exchanged = dict(zip(places, others, strict=True))
    return [exchanged.get(place, value) for place, value in enumerate(values)]


def set_seed(seed: int) -> None:
    """Does nothing: JAX has no random state."""


def keep_random_state() -> Callable[[], None]:
    """Nothing is kept: JAX has no random state."""
    return lambda: None


class Number:
    """Reads and writes a variable, whose value may be in the state of the running training step."""

    def __init__(self, variable: keras.Variable, model: keras.Model) -> None:
        self.variable, self._model = variable, model

    def read(self) -> Any:
        """Returns the number. An optimizer's is read from the state, because writing all of it back takes long."""
        model = self._model
        values = None if model._jax_state_synced else (model._jax_state or {}).get("optimizer_variables")
        if values:
            for variable, value in zip(model.optimizer.variables, values, strict=True):
                if variable is self.variable:
                    return np.asarray(value)[()]
        synchronize(model)
        return np.asarray(self.variable.value)[()]

    def write(self, value: float) -> Any:
        """Assigns `value`."""
        synchronize(self._model)
        self.variable.assign(value)
        return np.asarray(self.variable.value)[()]
