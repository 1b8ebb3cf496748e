"""The learning-rate policy, the optimizer, and `fit`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, assert_never

import keras

from lrdiag.backend.device import has_gpu
from lrdiag.backend.seeds import set_seeds
from lrdiag.formats import rate
from lrdiag.models import Network
from lrdiag.policies.schedules import CyclicSchedule, InverseTimeDecaySchedule, OneCycleSchedule
from lrdiag.rate.curves import Cyclic, CyclicMode
from lrdiag.record.facts import Rates
from lrdiag.vocabulary import OPTIMIZERS, OptimizerName, ScheduleName

EXP_RANGE_LAST = 0.1  # amplitude at the end of training, as a share of the first
MAX_RESTARTS = 3  # cycles, each twice as long as the previous one
MOMENTUM = 0.9
PLATEAU_FACTOR = 0.2
PLATEAU_PATIENCE = 2  # epochs without a lower validation loss

# Keras's defaults, used if a range test gives no suggestion.
DEFAULT_RATES: dict[str, float] = {"sgd": 0.01, **dict.fromkeys(OPTIMIZERS[1:], 0.001)}


@dataclass(frozen=True)
class Policy:
    """How the learning rate changes during a training run.

    Attributes:
        rate: A number, or a Keras schedule.
        callbacks: Callbacks that change the rate.
        description: The policy in words, with its numbers.
    """

    rate: float | keras.optimizers.schedules.LearningRateSchedule
    callbacks: tuple[keras.callbacks.Callback, ...]
    description: str


@contextmanager
def numerics(seed: int, *, mixed_precision: bool) -> Iterator[None]:
    """Sets the random seeds and, until the end of the block, the precision."""
    set_seeds(seed)
    before = keras.config.dtype_policy()
    if mixed_precision:
        half = "float16" if has_gpu() else "bfloat16"  # float16 is slow on CPUs
        keras.config.set_dtype_policy(f"mixed_{half}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def plan(schedule: ScheduleName, rates: Rates, steps_per_epoch: int, epochs: int) -> Policy:
    """Returns a policy that ends with the last step of a training run.

    Args:
        schedule: Name of the schedule.
        rates: Its boundaries and its single rate.
        steps_per_epoch: Number of updates in an epoch.
        epochs: Number of epochs in the run.
    """
    static_lr = rates.static_lr
    match schedule:
        case "cyclic" | "triangular2" | "exp-range":
            return _cycles(schedule, rates, steps_per_epoch, epochs)
        case "one-cycle":
            return _one_cycle(rates, steps_per_epoch, epochs)
        case "cosine-restarts":
            return _cosine_restarts(rates.max_lr, steps_per_epoch, epochs)
        case "decay":
            decay = InverseTimeDecaySchedule(initial_lr=static_lr, steps_per_epoch=steps_per_epoch)
            return Policy(decay, (), f"{rate(static_lr)} / (1 + 0.1 · epoch)")
        case "plateau":
            plateau = keras.callbacks.ReduceLROnPlateau(factor=PLATEAU_FACTOR, patience=PLATEAU_PATIENCE)
            wait = f"{PLATEAU_PATIENCE} epochs without a lower validation loss"
            return Policy(static_lr, (plateau,), f"{rate(static_lr)}, times {PLATEAU_FACTOR} after {wait}")
        case "constant":
            return Policy(static_lr, (), f"constant {rate(static_lr)}")
        case _:
            assert_never(schedule)


def _last_step(steps_per_epoch: int, epochs: int) -> int:
    return max(steps_per_epoch * epochs - 1, 1)


def _one_cycle(rates: Rates, steps_per_epoch: int, epochs: int) -> Policy:
    base_lr, max_lr = rates.base_lr, rates.max_lr
    steps = _last_step(steps_per_epoch, epochs)
    # Straight lines: with `fast` on CIFAR-10, 0.3 points better than cosines
    one_cycle = OneCycleSchedule(max_lr, steps, div_factor=max_lr / base_lr, anneal="linear")
    words = f"one cycle from {rate(base_lr)} up to {rate(max_lr)} and down to {rate(max_lr / 1e5)}"
    return Policy(one_cycle, (), words)


def _cosine_restarts(max_lr: float, steps_per_epoch: int, epochs: int) -> Policy:
    cycles = min(MAX_RESTARTS, int(math.log2(epochs + 1)))  # the first cycle lasts at least one epoch
    restarts = keras.optimizers.schedules.CosineDecayRestarts(
        max_lr, steps_per_epoch * epochs / (2**cycles - 1), t_mul=2.0
    )
    number = "one cosine cycle" if cycles == 1 else f"{cycles} cosine cycles, each twice as long as the previous one,"
    return Policy(restarts, (), f"{number} from {rate(max_lr)} down to 0")


def _cycles(schedule: ScheduleName, rates: Rates, steps_per_epoch: int, epochs: int) -> Policy:
    last_step = _last_step(steps_per_epoch, epochs)
    mode: CyclicMode = "triangular"
    gamma, change = 1.0, ""
    if schedule == "triangular2":
        mode, change = "triangular2", ", each half as high as the previous one"
    if schedule == "exp-range":
        mode, gamma = "exp_range", EXP_RANGE_LAST ** (1 / last_step)
        change = f", decaying to {EXP_RANGE_LAST:.0%} of their height"
    curve = Cyclic.over(rates.base_lr, rates.max_lr, steps_per_epoch * epochs, epochs, mode, gamma)
    cycles = max(1, round(last_step / (2 * curve.step_size)))
    number = "one triangular cycle" if cycles == 1 else f"{cycles} triangular cycles"
    words = f"{number} between {rate(rates.base_lr)} and {rate(rates.max_lr)}{change}"
    return Policy(CyclicSchedule(curve.base_lr, curve.max_lr, curve.step_size, mode, gamma), (), words)


def compile_network(network: Network, optimizer: OptimizerName, rate: Any) -> None:
    """Compiles the network for classification.

    Args:
        network: The network to train.
        optimizer: Name of the optimizer.
        rate: A number, or a Keras schedule.
    """
    network.model.compile(
        _make_optimizer(optimizer, rate, network.recipe.weight_decay),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=network.from_logits),
        metrics=["accuracy"],
    )


def _make_optimizer(name: OptimizerName, rate: Any, weight_decay: float | None) -> keras.Optimizer:
    if name == "sgd":
        return keras.optimizers.SGD(rate, momentum=MOMENTUM, nesterov=True, weight_decay=weight_decay)
    adaptive = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "nadam": keras.optimizers.Nadam,
        "adamax": keras.optimizers.Adamax,
        "rmsprop": keras.optimizers.RMSprop,
        "adagrad": keras.optimizers.Adagrad,
        "adadelta": keras.optimizers.Adadelta,
    }
    # AdamW keeps its default weight decay unless the network has one
    return adaptive[name](rate, **({} if weight_decay is None else {"weight_decay": weight_decay}))


def train(
    network: Network,
    training: Any,
    validation: Any,
    *,
    steps_per_epoch: int,
    optimizer: OptimizerName,
    policy: Policy,
    epochs: int,
    first_epoch: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Trains the network in place.

    Args:
        network: The network to train.
        training: Random batches without end.
        validation: Batches that are evaluated after each epoch.
        steps_per_epoch: Number of updates in a pass over the training images.
        optimizer: Name of the optimizer.
        policy: How its learning rate changes.
        epochs: Number of passes.
        first_epoch: The epoch to begin with, counted from 0.
        callbacks: Called after those of the policy.
    """
    compile_network(network, optimizer, policy.rate)
    network.model.fit(
        training,
        validation_data=validation,
        steps_per_epoch=steps_per_epoch,
        epochs=epochs,
        initial_epoch=first_epoch,
        verbose=0,
        shuffle=False,  # the batches are random
        callbacks=[*policy.callbacks, *callbacks],
    )
