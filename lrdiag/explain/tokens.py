"""Transformers: where the image becomes tokens, and what is held constant while their tokens are explained.

After the first block, a token holds more than its own patch, and it is no longer known which patch its evidence comes
from. So tokens are explained where they enter. From there to the scores, the gradient passes all blocks. It is noisy
unless the weights of attention and the scales of layer normalization are held constant.

Measured by `tests/benchmarks/tokens.py`. Source: Ali et al., "XAI for transformers: better explanations through
conservative propagation" (2022).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import keras
from keras import ops

from lrdiag.backend.constants import held_constant, queries_and_keys
from lrdiag.backend.engine import engine
from lrdiag.backend.graph import parts
from lrdiag.backend.tap import Call, all_calls
from lrdiag.explain.model import OpenedModel, Step
from lrdiag.explain.paths import cover

_TRIED = 8  # layers, from the last one
_SUMS = 1e-2  # largest difference of a sum of weights from 1, in half precision


def last_tokens(opened: OpenedModel) -> Step | None:
    """The last tokens on every path from the image to the scores; `None` if there are none."""
    return next((step for step in reversed(_tokens(opened)[-_TRIED:]) if _decides(opened, step)), None)


def where_tokens_enter(opened: OpenedModel, last: Step, maps: list[Step]) -> Step:
    """The step at which the image becomes the tokens: a map of their resolution before them, or the first of them.

    If tokens are merged on the way, as in a Swin Transformer, the first layer after the last merging is returned.

    Args:
        opened: The model.
        last: The last tokens.
        maps: The feature maps that lie over the image.
    """
    tokens, size = _tokens(opened), opened.grids[last].size
    of_size = [step for step in tokens[: tokens.index(last) + 1] if opened.grids[step].size == size]
    deciding = (step for step in of_size if step is last or _decides(opened, step))
    first = next(deciding)
    before = opened.steps[: opened.steps.index(first)]
    if any(step in before and opened.grids[step].size != size for step in tokens):
        return next(deciding, first)
    before_tokens = [step for step in maps if step in before and opened.grids[step].size == size]
    return next((step for step in reversed(before_tokens) if cover(opened, [step.layer])), first)


def become_tokens(opened: OpenedModel, layer: keras.Operation) -> bool:
    """Whether the output of the layer is or becomes tokens, which all paths to the scores lead through."""
    last = last_tokens(opened)
    return last is not None and layer in [step.layer for step in opened.steps[: opened.steps.index(last) + 1]]


def held_constant_in(opened: OpenedModel) -> Callable[[], AbstractContextManager[None]]:
    """Returns a function that makes a block in which the attention and the scales of normalization are constant."""
    layers = [layer for _, layer in parts(opened.model)]
    weights: list[keras.Operation] = []

    def collect(call: Call) -> None:
        if _are_weights(call) and not any(call.layer is each for each in weights):
            weights.append(call.layer)

    with all_calls(layers, collect):
        opened.scores(opened.sample)
    return partial(held_constant, [*queries_and_keys(layers), *weights], layers)


def _are_weights(call: Call) -> bool:
    """Whether a layer without weights of its own returns rows of positive numbers whose sum is 1, in several heads."""
    shape: Any = getattr(call.output, "shape", ())
    if len(shape) != 4 or shape[-1] == 1 or getattr(call.layer, "weights", ()) or not engine().is_computed(call.output):
        return False
    values = ops.convert_to_numpy(ops.cast(call.output, "float32"))
    return bool((values >= 0).all() and (abs(values.sum(axis=-1) - 1) <= _SUMS).all())


def _tokens(opened: OpenedModel) -> list[Step]:
    return [step for step, grid in opened.grids.items() if grid.tokens and step.is_new]


def _decides(opened: OpenedModel, step: Step) -> bool:
    """Whether the scores depend on the step, and on the image through it alone."""
    return cover(opened, [step.layer]) and opened.depends_on(step.layer)
