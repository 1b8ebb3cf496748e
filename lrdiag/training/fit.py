"""Training: compile, fit, record."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import keras

from lrdiag.formats import rate
from lrdiag.models import Network
from lrdiag.policies.schedules import CyclicSchedule, InverseTimeDecaySchedule, OneCycleSchedule
from lrdiag.progress import Stage
from lrdiag.rate.curves import CyclicMode
from lrdiag.record.facts import Rates, TrainingRun
from lrdiag.training.history import describe_optimizer
from lrdiag.training.recorder import TrainingRecorder
from lrdiag.vocabulary import OPTIMIZERS, OptimizerName, ScheduleName

EPOCHS_PER_CYCLE = 16  # Smith: a cycle of four to twenty epochs
FEWEST_DECAYING_CYCLES = 3  # one cycle alone would not decay
EXP_RANGE_LAST = 0.1  # what is left of the amplitude at the end of training
MOST_RESTARTS = 3  # cycles, each twice as long as the one before
MOMENTUM = 0.9
PLATEAU_FACTOR = 0.2
PLATEAU_PATIENCE = 2  # epochs without a lower validation loss

# Where no better is known: the defaults of Keras.
DEFAULT_RATES: dict[str, float] = {"sgd": 0.01, **dict.fromkeys(OPTIMIZERS[1:], 0.001)}


@dataclass(frozen=True)
class Policy:
    """How the learning rate moves during a training.

    Attributes:
        rate: A number, or a Keras schedule.
        callbacks: What Keras needs besides.
        description: In words, with its numbers.
    """

    rate: float | keras.optimizers.schedules.LearningRateSchedule
    callbacks: tuple[keras.callbacks.Callback, ...]
    description: str


def plan(schedule: ScheduleName, rates: Rates, steps_per_epoch: int, epochs: int) -> Policy:
    """Lays a policy over a training, so that its last step is the end of the policy.

    Args:
        schedule: Which policy.
        rates: Its boundaries, or its one rate.
        steps_per_epoch: Updates in one epoch.
        epochs: Epochs in the training.
    """
    base_lr, max_lr, static_lr = rates.base_lr, rates.max_lr, rates.static_lr
    last_step = max(steps_per_epoch * epochs - 1, 1)
    if schedule in ("cyclic", "triangular2", "exp-range"):
        return _cycles(schedule, rates, last_step, epochs)
    if schedule == "one-cycle":
        one_cycle = OneCycleSchedule(max_lr=max_lr, total_steps=last_step, div_factor=max_lr / base_lr)
        return Policy(
            one_cycle, (), f"one cycle from {rate(base_lr)} up to {rate(max_lr)} and down to {rate(max_lr / 1e5)}"
        )
    if schedule == "cosine-restarts":
        cycles = min(MOST_RESTARTS, int(math.log2(epochs + 1)))  # the first lasts an epoch or more
        restarts = keras.optimizers.schedules.CosineDecayRestarts(
            max_lr, steps_per_epoch * epochs / (2**cycles - 1), t_mul=2.0
        )
        number = "one cosine cycle" if cycles == 1 else f"{cycles} cosine cycles, each twice as long as the last,"
        return Policy(restarts, (), f"{number} from {rate(max_lr)} down to 0")
    if schedule == "decay":
        decay = InverseTimeDecaySchedule(initial_lr=static_lr, steps_per_epoch=steps_per_epoch)
        return Policy(decay, (), f"{rate(static_lr)} / (1 + 0.1 · epoch)")
    if schedule == "plateau":
        plateau = keras.callbacks.ReduceLROnPlateau(factor=PLATEAU_FACTOR, patience=PLATEAU_PATIENCE)
        wait = f"{PLATEAU_PATIENCE} epochs without a lower validation loss"
        return Policy(static_lr, (plateau,), f"{rate(static_lr)}, times {PLATEAU_FACTOR} after {wait}")
    return Policy(static_lr, (), f"constant {rate(static_lr)}")


def _cycles(schedule: ScheduleName, rates: Rates, last_step: int, epochs: int) -> Policy:
    wanted = max(1 if schedule == "cyclic" else FEWEST_DECAYING_CYCLES, round(epochs / EPOCHS_PER_CYCLE))
    cycles = max(min(wanted, last_step // 2), 1)  # up and down is two steps
    number = "one triangular cycle" if cycles == 1 else f"{cycles} triangular cycles"
    words = f"{number} between {rate(rates.base_lr)} and {rate(rates.max_lr)}"
    mode: CyclicMode = "triangular"
    gamma = 1.0
    if schedule == "triangular2":
        mode = "triangular2"
        words += ", each half as high as the last"
    if schedule == "exp-range":
        mode, gamma = "exp_range", EXP_RANGE_LAST ** (1 / last_step)
        words += f", decaying to {EXP_RANGE_LAST:.0%} of their height"
    step_size = max(last_step / (2 * cycles), 1)
    cyclic = CyclicSchedule(rates.base_lr, rates.max_lr, step_size, mode, gamma)
    return Policy(cyclic, (), words)


def compile_network(network: Network, optimizer: OptimizerName, rate: Any) -> None:
    """Compiles the network for classification.

    Args:
        network: What is to be trained.
        optimizer: Which optimizer.
        rate: A number, or a Keras schedule.
    """
    network.model.compile(
        _make_optimizer(optimizer, rate, network.weight_decay),
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
    # AdamW has a weight decay of its own, unless the network asks for another
    return adaptive[name](rate, **({} if weight_decay is None else {"weight_decay": weight_decay}))


def train(
    network: Network,
    training: Any,
    validation: Any,
    *,
    optimizer: OptimizerName,
    policy: Policy,
    epochs: int,
    batch_size: int,
    stage: Stage,
) -> TrainingRun:
    """Trains the network in place.

    A loss that is not finite ends the training; the network is then as it was at the beginning of that epoch.

    Args:
        network: What is trained.
        training: A `tf.data.Dataset` of batches, of known length.
        validation: The same, evaluated after each epoch.
        optimizer: Which optimizer.
        policy: How its rate moves.
        epochs: Passes over `training`.
        batch_size: Images in a full batch, for the progress bar.
        stage: Is told of each step.
    """
    compile_network(network, optimizer, policy.rate)
    recorder = TrainingRecorder(epochs, batch_size, stage)
    started = time.perf_counter()
    network.model.fit(
        training,
        validation_data=validation,
        epochs=epochs,
        verbose=0,
        shuffle=False,  # the dataset shuffles itself
        callbacks=[recorder, *policy.callbacks],
    )
    return TrainingRun(
        epochs=recorder.epochs,
        learning_rate_per_step=recorder.learning_rates,
        loss_per_step=recorder.loss_per_step,
        steps_per_epoch=int(training.cardinality()),
        epochs_planned=epochs,
        optimizer=describe_optimizer(network.model, recorder.momentum_per_step),
        schedule=policy.description,
        stop_reason=recorder.stop_reason,
        seconds=time.perf_counter() - started,
        momentum_per_step=recorder.momentum_per_step,
    )
