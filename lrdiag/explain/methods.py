"""The methods by name."""

from __future__ import annotations

from typing import Literal

from lrdiag.errors import ModelError
from lrdiag.explain import weighting
from lrdiag.explain.engine import Method
from lrdiag.explain.model import OpenedModel
from lrdiag.explain.of_image import Saliency, SmoothGrad
from lrdiag.explain.of_layer import LayerGradients
from lrdiag.explain.plan import Plan
from lrdiag.explain.score_cam import ScoreCam

MethodName = Literal["gradcam", "hirescam", "gradcam++", "layercam", "scorecam", "saliency", "smoothgrad"]
SIGNED = ("gradcam", "hirescam")
"""The methods whose maps are linear in the score, so that negative values are evidence against the class."""

_OF_A_LAYER = {
    "gradcam": weighting.grad_cam,
    "hirescam": weighting.hires_cam,
    "gradcam++": weighting.grad_cam_plus_plus,
    "layercam": weighting.layer_cam,
}
_OF_TOKENS = {"gradcam": weighting.from_mean_token, "hirescam": weighting.hires_cam}
_OF_THE_IMAGE = {"saliency": Saliency, "smoothgrad": SmoothGrad}
OF_THE_IMAGE = tuple(_OF_THE_IMAGE)
"""The methods that explain the image itself and take no layer."""


def method_of(name: MethodName, opened: OpenedModel, plan: Plan, batch_size: int) -> Method:
    """Prepares a method for a model.

    Args:
        name: Its name.
        opened: The model.
        plan: The maps that are made, with layers unless the method is one of `OF_THE_IMAGE`.
        batch_size: Number of images in one pass.

    Raises:
        ModelError: If the method does not support the model.
    """
    if name in _OF_THE_IMAGE:
        return _OF_THE_IMAGE[name](opened, plan)
    if plan.of_tokens and name not in _OF_TOKENS:
        raise ModelError(
            f"{name!r} explains the feature maps of convolutions. Received: a model in which the output of "
            f'{plan.layers[0].name!r} becomes tokens. Use "gradcam" or "hirescam", or "saliency" or "smoothgrad" for '
            "the image itself."
        )
    if name == "scorecam":
        return ScoreCam(opened, plan, batch_size)
    formula = (_OF_TOKENS if plan.of_tokens else _OF_A_LAYER)[name]
    return LayerGradients(opened, plan, formula, signed=name in SIGNED)
