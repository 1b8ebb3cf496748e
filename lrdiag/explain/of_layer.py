"""Maps from the feature maps of layers and their gradients, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
from keras import ops

from lrdiag.backend.engine import engine
from lrdiag.explain.arranging import arranged
from lrdiag.explain.engine import Explanation, scores_of
from lrdiag.explain.grids import grid_of
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.paths import forward_of
from lrdiag.explain.plan import Plan, no_gradient
from lrdiag.explain.tokens import held_constant_in


class LayerGradients:
    """Grad-CAM, HiResCAM, Grad-CAM++ and LayerCAM.

    Args:
        opened: The model.
        plan: The layers whose feature maps are weighted, and the pictures that the maps belong to.
        weigh: One of the formulas of `lrdiag.explain.weighting`.
        signed: Whether negative values are evidence against the class. Then every image is explained, for the mean maps
            of the classes. Otherwise they are set to 0.
    """

    def __init__(self, opened: OpenedModel, plan: Plan, weigh: Callable[[Any, Any], Any], *, signed: bool) -> None:
        self._opened, self._plan, self._weigh, self._signed = opened, plan, weigh, signed
        self.in_one_pass = signed
        self._held = held_constant_in(opened) if plan.of_tokens else nullcontext
        self._grids = [grid_of(layer, opened) for layer in plan.called]
        self._run = engine().compiled(self._explained, opened.model)

    def explain(self, inputs: Any, classes: np.ndarray) -> Explanation:
        """Scores, maps and features, as `Method.explain` describes."""
        return Explanation(*map(ops.convert_to_numpy, self._run(inputs, classes)))

    def _explained(self, inputs: Any, classes: Any) -> tuple[Any, Any, Any]:
        forward = forward_of(self._opened.scores_and_features, self._plan.layers)
        with self._held():
            (scores, of_image), of_layer, gradients = engine().with_gradients(
                forward, inputs, lambda outputs: scores_of(outputs[0], classes)
            )
        return scores, ops.stack([self._map(of_layer, of_class) for of_class in gradients], axis=1), of_image

    def _map(self, features: list[Any], gradients: list[Any]) -> Any:
        of_call = {}
        for call in {call for each in self._plan.maps for call in each.calls}:
            if gradients[call] is None:
                raise no_gradient(self._plan.layers)
            of_call[call] = self._weigh(*(self._grids[call](each[call]) for each in (features, gradients)))
        maps = arranged(self._plan, of_call)
        return maps if self._signed else ops.relu(maps)
