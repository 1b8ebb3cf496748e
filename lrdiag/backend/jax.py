"""JAX: `jax.jit` and `jax.linearize`, which take functions without state."""

from __future__ import annotations

import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp
from jax.experimental import multihost_utils
from jax.extend.core import Var
from keras import ops, tree
from keras.src.backend.common import global_state
from keras.src.backend.common.stateless_scope import get_stateless_scope
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

from lrdiag.backend import base
from lrdiag.backend.filling import CompiledSizes, filled_up
from lrdiag.backend.jax_devices import devices_of_batch, divided, on_this_host
from lrdiag.errors import ModelError

_QUICKLY = {"xla_backend_optimization_level": 1}
"""Compiles in half the time. At level 0, the gradient through maximum and mean of the same maps is NaN (JAX 0.10)."""
_EXACT = ("highest", "float32", "F32_F32_F32")


class Number(base.Number):
    """Reads an optimizer's number from the state of the training step, and writes that state back for all else."""

    def read(self) -> Any:
        model = self._model
        values = None if model._jax_state_synced else (model._jax_state or {}).get("optimizer_variables")
        if values:
            for variable, value in zip(model.optimizer.variables, values, strict=True):
                if variable is self.variable:
                    return np.asarray(value)[()]
        model.jax_state_sync()
        return super().read()

    def write(self, value: float) -> Any:
        self._model.jax_state_sync()
        return super().write(value)


class Waits(base.Waits):
    """Times each batch that the train function draws from the iterator."""

    are_between_steps = False

    def begin_epoch(self) -> None:
        self._waits: list[float] = []

    def watch(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        state, iterator = arguments
        self._waits.append(0.0)
        return state, self._timed(iterator)

    def _timed(self, iterator: Iterator[Any]) -> Iterator[Any]:
        while True:
            started = time.perf_counter()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self._waits[-1] += time.perf_counter() - started
            yield batch

    def of_steps(self, seconds: Sequence[float], are_compiled: Sequence[bool]) -> list[float] | None:
        return self._waits[: len(seconds)] if len(self._waits) >= len(seconds) else None


class Engine(base.Engine):
    """The variables of a model are arguments of a compiled function, and those that it changes are among its outputs.

    `keras.StatelessScope` holds their values while the function is traced.
    """

    number = Number
    waits = Waits
    _shapes: Callable[[], Any] = staticmethod(lambda: None)

    def compiled(self, function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
        """Compiles for a few sizes of batch, which all devices share evenly."""
        sizes: dict[str, CompiledSizes] = defaultdict(CompiledSizes)
        run = _stateless(function, model)

        def run_filled(*arrays: Any) -> Any:
            kind = repr(tree.map_structure(lambda array: (array.shape[1:], array.dtype), arrays))
            size, devices = len(tree.flatten(arrays)[0]), devices_of_batch()
            full = -(-sizes[kind].for_batch_of(size) // devices) * devices
            outputs = run(*divided(filled_up(arrays, full)))
            return tree.map_structure(lambda output: output[:size], outputs) if full > size else outputs

        return run_filled

    def compiled_whole(self, function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
        return _stateless(function, model)

    def for_few_calls(self, function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
        """Compiles the function as a whole. JAX would compile each of its operations, which takes several times longer.

        A model that its user runs eagerly may do what can't be compiled.
        """
        return function if model.run_eagerly else _stateless(function, model, _QUICKLY)

    def with_gradients(
        self,
        forward: base.Forward,
        inputs: Any,
        targets: Callable[[Any], list[Any]],
        variables: Sequence[keras.Variable] = (),
    ) -> base.Gradients:
        shapes: list[Any] = []

        def measure(output: Any) -> Any:
            shapes.append(jax.ShapeDtypeStruct(output.shape, output.dtype))
            return jnp.zeros_like(output)

        with _variables_plus([(variable, 0) for variable in variables]):
            jax.eval_shape(lambda: forward(inputs, measure)[0])
        zeros = [jnp.zeros(each.shape, each.dtype) for each in [*shapes, *variables]]

        def differentiable(given: list[Any]) -> tuple[list[Any], Any]:
            deltas = iter(given)
            with _variables_plus(list(zip(variables, given[len(shapes) :], strict=True))) as scope:
                scores, features = forward(inputs, lambda output: next(deltas))
                return targets(scores), (scores, features, scope.state_mapping)

        values, linear, (scores, features, state) = jax.linearize(differentiable, zeros, has_aux=True)
        if (outer := get_stateless_scope()) is not None and not variables:
            outer.state_mapping.update(state)
        gradients_of = jax.linear_transpose(linear, zeros)
        gradients = []
        for place, depends in enumerate(_dependences(jax.make_jaxpr(linear)(zeros).jaxpr)):
            (found,) = gradients_of([jnp.full_like(each, other == place) for other, each in enumerate(values)])
            gradients.append([each if is_reached else None for each, is_reached in zip(found, depends, strict=True)])
        return scores, features, gradients

    def is_computed(self, tensor: Any) -> bool:
        return not isinstance(tensor, jax.core.Tracer) or tensor._trace is self._shapes()

    def in_float64(self, function: Callable[[Any, Any], Any], step: Any) -> Any:
        with jax.enable_x64(True):  # Keras's operations round to 32 bits also there
            return jnp.asarray(function(jnp.asarray(ops.convert_to_tensor(step), "float64"), jnp), "float32")

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)

    def accelerator(self) -> str | None:
        device = jax.devices()[0]
        return None if device.platform == "cpu" else f"{device.platform.upper()}: {device.device_kind}"

    def rounds_to_ten_bits(self) -> bool:
        return jax.default_backend() != "cpu" and jax.config.jax_default_matmul_precision not in _EXACT

    def only_shapes(self, function: Callable[[], Any]) -> Any:
        """Traces the function. Running it would compile each operation, which takes seconds and half a gigabyte."""
        returned: list[Any] = []

        def traced(zero: Any) -> None:
            self._shapes = weakref.ref(zero._trace)  # private: nothing public tells it from the trace of a loop inside
            returned.append(function())

        with _variables_plus(()):
            jax.eval_shape(traced, 0.0)
        return returned[0]

    def predict_step(self, model: keras.Model, data: Any) -> Any:
        state = [[each.value for each in some] for some in (model.trainable_variables, model.non_trainable_variables)]
        return model.predict_step(tuple(state), data)[0]

    def keep_mode(self, model: keras.Model) -> Callable[[], None]:
        self.synchronize(model)
        return lambda: setattr(model, "_jax_state_synced", True)  # also if a step was interrupted

    def times_compiled(self, function: Any) -> int | None:
        size = getattr(function, "_cache_size", None)  # private: JAX has no public counter
        return None if size is None else int(size())

    def synchronize(self, model: keras.Model) -> None:
        model.jax_state_sync()

    def processes(self) -> int:
        return int(jax.process_count())

    def is_first_process(self) -> bool:
        return int(jax.process_index()) == 0

    def by_first_process(self, model: keras.Model, work: Callable[[], None]) -> None:
        if self.processes() == 1:
            work()
            return
        self.synchronize(model)  # in all processes, because it assigns to variables that they share
        if self.is_first_process():
            with on_this_host(_all_variables(model)):
                work()
        multihost_utils.sync_global_devices("lrdiag")

    def run_from_zero(
        self, train: Callable[..., Any], sums: Sequence[base.Number], model: keras.Model, *arguments: Any
    ) -> tuple[tuple[Any, ...], list[Any], list[Any]]:
        """Exchanges the sums in the state that goes into the step, and in the one that comes out of it."""
        (*others, metrics), iterator = arguments
        places = {id(each): place for place, each in enumerate(model.metrics_variables)}
        chosen = [places[id(each.variable)] for each in sums]
        before = [np.asarray(metrics[place])[()] for place in chosen]
        logs, (*others, metrics) = train((*others, _with(metrics, chosen, [each * 0 for each in before])), iterator)
        own = [np.asarray(metrics[place])[()] for place in chosen]
        totals = base.added(before, own)
        return (logs, (*others, _with(metrics, chosen, totals))), own, totals


def _stateless(
    function: Callable[..., Any], model: keras.Model, options: dict[str, Any] | None = None
) -> Callable[..., Any]:
    """Compiles a function that reads and changes the variables of a model."""
    variables: list[keras.Variable] = []

    @partial(jax.jit, compiler_options=options)
    def stateless(values: list[Any], arrays: Any) -> tuple[Any, dict[int, Any]]:
        with keras.StatelessScope(list(zip(variables, values, strict=True)), collect_losses=True) as scope:
            before = dict(scope.state_mapping)
            outputs = function(*arrays)
            changed = [place for place, each in enumerate(variables) if before[id(each)] is not each.value]
            return outputs, {place: variables[place].value for place in changed}

    def run(*arrays: Any) -> Any:
        model.jax_state_sync()
        variables[:] = {id(each): each for each in model.variables}.values()
        values = [each.value for each in variables]
        if not all(value.is_fully_addressable for value in values[:1]):
            raise _shared_by_processes()
        outputs, changed = stateless(values, arrays)
        for place, value in changed.items():
            variables[place].assign(value)
        return outputs

    return run


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


def _shared_by_processes() -> ModelError:
    return ModelError(
        "lrdiag evaluates a model in one process. Let `lrdiag.ReportCallback` evaluate it in `fit`, or save it and "
        "evaluate it in a program of its own, with `lrdiag diagnose`. "
        f"Received: a model that {jax.process_count()} processes train"
    )


def _all_variables(model: keras.Model) -> list[keras.Variable]:
    """Returns the variables of a model, its metrics and its optimizer, and the seed of operations without one."""
    variables = [*model.variables, *model.metrics_variables]
    if model.optimizer is not None:
        variables += model.optimizer.variables
    generator = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    if generator is not None:
        variables.append(generator.state)
    return list({id(each): each for each in variables}.values())


def _with(values: list[Any], places: list[int], others: list[Any]) -> list[Any]:
    exchanged = dict(zip(places, others, strict=True))
    return [exchanged.get(place, value) for place, value in enumerate(values)]
