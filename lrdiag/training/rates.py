"""The learning rates of a training run: given ones, or those of a range test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrdiag import formats
from lrdiag.errors import NoSuggestion
from lrdiag.models import Network
from lrdiag.policies.finder import find_lr
from lrdiag.progress import Progress
from lrdiag.rate.range_test import RangeTest
from lrdiag.record.facts import Rates
from lrdiag.training.fit import DEFAULT_RATES, compile_network
from lrdiag.vocabulary import CYCLE_RATIO, OptimizerName

if TYPE_CHECKING:
    from lrdiag.settings import LearningRate

RANGE_TEST_STEPS = 100


def choose_rates(
    learning_rate: LearningRate, network: Network, batches: Any, *, optimizer: OptimizerName, progress: Progress
) -> tuple[RangeTest | None, str | None, Rates]:
    """Returns the given rates, or runs a range test. If that gives no suggestion, warns and uses the default rate.

    Args:
        learning_rate: The setting.
        network: The network to train. A range test compiles it.
        batches: Training batches without end, as `training_batches` returns them.
        optimizer: Name of the optimizer.
        progress: The listener.

    Returns:
        The range test, or `None`; why there is none or why it gave no rate, or `None`; and the rates.
    """
    if learning_rate.rate is not None:
        rate = learning_rate.rate
        note = "The learning rate was given, so no range test was run."
        return None, note, Rates(learning_rate.base_lr or rate / CYCLE_RATIO, rate, rate)
    test = sweep(network, batches, optimizer=optimizer, progress=progress, iterations=RANGE_TEST_STEPS)
    try:
        base_lr, max_lr = test.bounds()
    except NoSuggestion as error:
        rate = DEFAULT_RATES[optimizer]
        note = f"{error} The default rate of {optimizer}, {formats.rate(rate)}, was used instead."
        progress.warn(note)
        return test, note, Rates(rate / CYCLE_RATIO, rate, rate)
    return test, None, Rates(base_lr, max_lr, test.suggest())


def sweep(
    network: Network,
    batches: Any,
    *,
    optimizer: OptimizerName,
    progress: Progress,
    iterations: int,
    repeats: int = 1,
    **options: Any,
) -> RangeTest:
    """Compiles the network and runs a range test.

    Args:
        network: The network to train.
        batches: Training batches without end, as `training_batches` returns them.
        optimizer: Name of the optimizer.
        progress: The listener.
        iterations: Number of updates in a sweep.
        repeats: Number of sweeps.
        **options: Other arguments of `find_lr`.
    """
    compile_network(network, optimizer, DEFAULT_RATES[optimizer])
    with progress.stage("Range test", iterations * repeats, "steps") as stage:
        return find_lr(
            network.model,
            batches,
            iterations=iterations,
            repeats=repeats,
            on_step=lambda loss: stage.advance(1, f"loss {loss:.3g}"),
            **options,
        )
