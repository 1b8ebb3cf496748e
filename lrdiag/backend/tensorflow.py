"""TensorFlow: `tf.function` and the gradient tape."""

from __future__ import annotations

import operator
import statistics
import time
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, cast

import keras
import tensorflow as tf
from keras import ops, tree

from lrdiag.backend import base
from lrdiag.backend.filling import filled_up
from lrdiag.errors import ModelError

_FIRST_READING = 4
"""Number of steps in an epoch before the first reading of `tf.data`'s measurements."""
_ITERATORS = (tf.data.Iterator, tf.distribute.DistributedIterator)
"""What Keras's own compiled step draws its batches from."""
_REMEMBERED = 100
"""Number of measurements that `tf.data` keeps."""


class Number(base.Number):
    """Reads and writes a variable in a third of the time that Keras takes.

    It calls TensorFlow's operations on the variable's handles, without the checks and conversions of `keras.Variable`.
    With `MirroredStrategy` each device has a copy of the variable, or a part of the sum if it belongs to a metric.
    """

    def __init__(self, variable: keras.Variable, model: keras.Model) -> None:
        super().__init__(variable, model)
        self._dtype = tf.as_dtype(variable.dtype)
        self._handles = [each.handle for each in getattr(variable.value, "values", [variable.value])]
        self._is_summed = variable.aggregation == "sum"

    def read(self) -> Any:
        return self.tensor().numpy()

    def write(self, value: float) -> Any:
        number = tf.constant(value, self._dtype)
        self.assign(number)
        return number.numpy()

    def tensor(self) -> Any:
        """Returns the number as a tensor."""
        handles = self._handles if self._is_summed else self._handles[:1]
        return reduce(operator.add, (tf.raw_ops.ReadVariableOp(resource=each, dtype=self._dtype) for each in handles))

    def assign(self, number: Any) -> None:
        """Assigns a tensor of the variable's dtype."""
        first, *others = self._handles
        tf.raw_ops.AssignVariableOp(resource=first, value=number)
        for handle in others:
            tf.raw_ops.AssignVariableOp(resource=handle, value=tf.zeros_like(number) if self._is_summed else number)


class Waits(base.Waits):
    """Estimates the waits from what `tf.data` measures: the time from each batch to the request for the next one.

    The train function draws its batch itself, so no clock in Python can tell waiting from computing. `tf.data` measures
    while autotuning is on, and remembers the last 100 times. They are read a few times in an epoch, in steps that are
    twice as far apart each time: a reading takes some milliseconds. The iterator is not kept, because its end is part
    of what is timed.
    """

    are_between_steps = False

    def __init__(self, model: keras.Model) -> None:
        super().__init__(model)
        self._batches = int(model.steps_per_execution)
        self.begin_epoch()

    def begin_epoch(self) -> None:
        self._starts: list[float] = []
        self._windows: list[tuple[slice, float]] = []

    def watch(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        made = len(self._starts)
        if made >= _FIRST_READING and made & (made - 1) == 0:
            self._read(arguments[0])
        self._starts.append(time.perf_counter())
        return arguments

    def _read(self, iterator: Any) -> None:
        """Adds the waits of the steps since the last reading. Leaves out the first step, which starts the pipeline."""
        gaps, last = _seconds_between_batches(iterator), len(self._starts) - 1
        if len(gaps) < min(_REMEMBERED, self._batches * (last + 1) - 1):
            return  # `tf.data` left out long ones
        since = self._windows[-1][0].stop if self._windows else 1
        first = max(since, last - len(gaps) // self._batches)
        computed = sum(gaps[-self._batches * (last - first) :])
        self._windows.append((slice(first, last), max(0.0, self._starts[last] - self._starts[first] - computed)))

    def of_steps(self, seconds: Sequence[float], are_compiled: Sequence[bool]) -> list[float] | None:
        measured = sum(sum(seconds[steps]) for steps, _ in self._windows)
        if not measured:
            return None
        share = min(1.0, sum(waited for _, waited in self._windows) / measured)
        waits = [share * each for each in seconds]
        waits[0] = max(0.0, seconds[0] - (1 - share) * statistics.median(seconds[1:]))  # the pipeline starts
        return [0.0 if compiled else wait for wait, compiled in zip(waits, are_compiled, strict=True)]


def _seconds_between_batches(iterator: Any) -> list[float]:
    """Returns the last times from a batch to the request for the next one. Empty if `tf.data` doesn't measure them."""
    if not isinstance(iterator, tf.data.Iterator):  # that of a generator in eager mode, or of several devices
        return []
    dataset = iterator._dataset  # private: without autotuning, the question below would write to stderr
    if dataset is None or dataset.options().autotune.enabled is False:
        return []
    try:
        return [gap / 1e6 for gap in tf.data.experimental.get_model_proto(iterator).gap_times]
    except tf.errors.OpError:
        return []


class Engine(base.Engine):
    """Variables are part of a graph by reference, so a compiled function needs no model."""

    number = Number
    waits = Waits

    def compiled(self, function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
        """With `MirroredStrategy`, each device computes the same number of examples."""
        strategy = model.distribute_strategy
        if not isinstance(strategy, tf.distribute.MirroredStrategy):
            return self.compiled_whole(function, model)
        devices = int(strategy.num_replicas_in_sync)
        run = self.compiled_whole(_divided(function, strategy, devices), model)

        def run_filled(*arrays: Any) -> Any:
            size = len(tree.flatten(arrays)[0])
            outputs = run(*filled_up(arrays, -(-size // devices) * devices))
            return tree.map_structure(lambda output: output[:size], outputs)

        return run_filled

    def compiled_whole(self, function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
        traced: dict[str, Any] = {}

        def run(*arrays: Any) -> Any:
            tensors = tree.map_structure(tf.convert_to_tensor, arrays)
            specs = tree.map_structure(lambda tensor: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype), tensors)
            kind = repr(specs)
            if kind not in traced:
                traced[kind] = tf.function(function, input_signature=specs, autograph=False)  # as in `Model.predict`
            return traced[kind](*tensors)

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
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            for weight in weights:
                tape.watch(weight)

            def delta(output: Any) -> Any:
                zero = tf.zeros_like(output)
                tape.watch(zero)
                watched.append(zero)
                return zero

            scores, features = forward(inputs, delta)
            differentiated = targets(scores)
        return scores, features, [tape.gradient(target, [*watched, *weights]) for target in differentiated]

    def is_computed(self, tensor: Any) -> bool:
        return not tf.is_symbolic_tensor(tensor)

    def in_float64(self, function: Callable[[Any, Any], Any], step: Any) -> Any:
        return ops.cast(function(ops.cast(step, "float64"), ops), "float32")

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, tf.errors.ResourceExhaustedError)

    def accelerator(self) -> str | None:
        for gpu in tf.config.list_physical_devices("GPU"):
            return f"GPU: {tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name)}"
        return None

    def rounds_to_ten_bits(self) -> bool:
        enabled = tf.config.experimental.tensor_float_32_execution_enabled()
        return enabled and self.accelerator() is not None

    def times_compiled(self, function: Any) -> int | None:
        count = getattr(function, "experimental_get_tracing_count", None)
        return None if count is None else int(count())

    def set_seed(self, seed: int) -> None:
        tf.random.set_seed(seed)

    def require_trainable(self, model: keras.Model) -> None:
        strategy = model.distribute_strategy
        if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return
        workers = strategy.cluster_resolver.cluster_spec().num_tasks("worker")
        if workers > 1:  # `fit` of Keras 3.15 takes the batch of a replica for a tensor
            raise ModelError(
                "Keras 3 cannot train with `tf.distribute.MultiWorkerMirroredStrategy`: its `fit` fails. Use "
                "`keras.distribution` on JAX for several machines, or `MirroredStrategy` on one. "
                f"Received: a strategy of {workers} workers"
            )

    def measured(self, train: Callable[..., Any], measures: base.Measures, model: keras.Model) -> base.MeasuredStep:
        """Returns the step compiled together with the measuring, or as on other engines if that isn't possible."""
        otherwise = super().measured
        step = _measured_step(train, measures, model)
        if step is None:
            return otherwise(train, measures, model)

        def run(iterator: Any) -> tuple[tuple[Any, ...], list[Any], list[float]]:
            if not isinstance(iterator, _ITERATORS):
                return otherwise(train, measures, model)(iterator)
            logs, numbers = step(iterator)
            total, count, *values = numbers.numpy().tolist()
            return (logs,), [total, count], values

        return run


def _divided(function: Callable[..., Any], strategy: Any, devices: int) -> Callable[..., Any]:
    """Returns a function of a batch in which each device of a strategy computes one part of it."""

    def of_part(parts: Any) -> Any:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        return function(*tree.map_structure(lambda array: array[number], parts))

    def of_batch(*arrays: Any) -> Any:
        parts = tree.map_structure(lambda array: tf.reshape(array, (devices, -1, *array.shape[1:])), arrays)
        outputs = strategy.run(of_part, (parts,))
        return tree.map_structure(lambda each: tf.concat(strategy.experimental_local_results(each), axis=0), outputs)

    return of_batch


def _measured_step(train: Any, measures: base.Measures, model: keras.Model) -> Any:
    """Returns the training step compiled together with the measuring, or `None` if that isn't possible or worth it.

    Reading and writing the sums between two steps takes a dozen eager operations, a fifth of the time of a step of a
    small network. Inside the function they take no time that can be measured, and `fit` saves the two operations that
    unpack what the step returns. The function is kept with the step that it replaces: it was traced with the same
    optimizer and the same metrics, so it is valid as long as that one.
    """
    found = getattr(train, "lrdiag_measured", None)
    if found is not None or not measures.is_worth_compiling:
        return found
    code, cells = getattr(train, "__code__", None), getattr(train, "__closure__", None) or ()
    inner = dict(zip(code.co_freevars if code else (), cells, strict=False))
    if not inner.keys() >= {"one_step_on_data", "multi_step_on_iterator"}:  # not a function of Keras, but of a user
        return None
    if model.run_eagerly or model.steps_per_execution != 1:
        return None
    train.lrdiag_measured = _compiled_with(inner["one_step_on_data"].cell_contents, measures)
    return train.lrdiag_measured


def _compiled_with(one_step: Callable[[Any], Any], measures: base.Measures) -> Any:
    """Compiles a step together with the measuring.

    Args:
        one_step: Takes a batch and returns the logs.
        measures: What to measure.

    Returns:
        A function that takes an iterator over batches. It returns the logs, and one tensor with the sums of the step
        alone and the values of `measures`.
    """
    sums = cast("Sequence[Number]", measures.sums)

    def step(iterator: Any) -> tuple[Any, Any]:
        batch = iterator.get_next()
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):  # at the end of the data, nothing
            before = [each.tensor() for each in sums]  # has been written yet
            values = measures.tensors()
            for each, total in zip(sums, before, strict=True):
                each.assign(tf.zeros_like(total))
        logs = one_step(batch)
        own = [each.tensor() for each in sums]
        totals = [one + other for one, other in zip(before, own, strict=True)]
        for each, total in zip(sums, totals, strict=True):
            each.assign(total)
        if "loss" in logs:
            logs = {**logs, "loss": tf.math.divide_no_nan(*totals)}
        return logs, tf.stack([_in_float64(each) for each in (*own, *values)])

    return tf.function(step, reduce_retracing=True, autograph=False)


def _in_float64(number: Any) -> Any:
    return tf.constant(number, tf.float64) if isinstance(number, float) else tf.cast(number, tf.float64)
