"""Several devices and several processes with JAX, as `keras.distribution` describes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import keras
from keras import tree

from lrdiag.errors import ModelError


def devices_of_batch() -> int:
    """Returns the number of devices that share a batch."""
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else int(distribution.num_model_replicas)


def divided(arrays: Any) -> Any:
    """Returns a nest of arrays, each divided among the devices that share a batch."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return arrays

    def placed(array: Any) -> jax.Array:
        return jax.device_put(array, distribution.get_data_layout(array.shape).backend_layout)

    return tree.map_structure(placed, arrays)


@contextmanager
def on_this_host(variables: Iterable[keras.Variable]) -> Iterator[None]:
    """Lets one process of several compute with variables that all of them share, on its own devices.

    Inside the block, the variables are arrays of these devices alone: the copies that are there already. What is
    assigned to them is undone after the block, so that all processes have the same values.

    Raises:
        ModelError: If a variable is divided among the processes, as with `ModelParallel`.
    """
    own = keras.distribution.DataParallel(devices=jax.local_devices(), auto_shard_dataset=False)
    own_layout = jax.sharding.NamedSharding(own.device_mesh.backend_mesh, jax.sharding.PartitionSpec())
    before = [(each, each.value, each._layout) for each in variables]
    for variable, value, _ in before:
        if not value.is_fully_replicated:
            raise ModelError(
                "The report of several processes needs the whole model in each: use `keras.distribution.DataParallel`. "
                f"Received: {variable.path!r}, which is divided among the processes"
            )
    distribution = keras.distribution.distribution()
    try:
        for variable, value, _ in before:
            if not value.is_fully_addressable:
                copies = [shard.data for shard in value.addressable_shards]
                local = jax.make_array_from_single_device_arrays(value.shape, own_layout, copies)
                variable._value, variable._layout = local, own_layout  # private: `assign` would ask all processes
        keras.distribution.set_distribution(own)
        yield
    finally:
        keras.distribution.set_distribution(distribution)
        for variable, value, layout in before:
            variable._value, variable._layout = value, layout
