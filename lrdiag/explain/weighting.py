"""The formulas of Grad-CAM, HiResCAM and the maps of tokens in `keras.ops`, for every backend."""

from __future__ import annotations

from typing import Any

from keras import ops


def grad_cam(features: Any, gradients: Any) -> Any:
    """Weights feature maps by their mean gradients: `sum_k mean_ij(dy/dA_k) A_k`.

    Grad-CAM is its positive part. The signed map is linear in the score: the map of a difference of scores is the
    difference of their maps.

    Source: Selvaraju et al., "Grad-CAM" (2017), equations 1 and 2, with `y` the score before the softmax.

    Args:
        features: `A`, a float tensor of shape `(n, h, w, channels)`.
        gradients: `dy/dA`, of the same shape.

    Returns:
        Signed maps, a float32 tensor of shape `(n, h, w)`, not rescaled.
    """
    weights = ops.mean(ops.cast(gradients, "float32"), axis=(1, 2))
    return ops.einsum("nhwc,nc->nhw", ops.cast(features, "float32"), weights)


def hires_cam(features: Any, gradients: Any) -> Any:
    """Weights every position of the feature maps by its own gradient: `sum_k (dy/dA_k) A_k`.

    Source: Draelos and Carin, "Use HiResCAM instead of Grad-CAM" (2020), equation 4, without its positive part.

    Args:
        features: `A`, a float tensor of shape `(n, h, w, channels)`.
        gradients: `dy/dA`, of the same shape.

    Returns:
        Signed maps, a float32 tensor of shape `(n, h, w)`, not rescaled.
    """
    return ops.einsum("nhwc,nhwc->nhw", ops.cast(features, "float32"), ops.cast(gradients, "float32"))


def from_mean_token(features: Any, gradients: Any) -> Any:
    """Weights each token's difference from their mean by its own gradient: `sum_k (dy/dA_k) (A_k - mean_ij(A_k))`.

    It is how much the score would fall, to first order, if the token were replaced by the mean of all tokens. Like
    Grad-CAM, it is linear in the score.

    Args:
        features: `A`, a float tensor of shape `(n, h, w, channels)`.
        gradients: `dy/dA`, of the same shape.

    Returns:
        Signed maps, a float32 tensor of shape `(n, h, w)`, not rescaled.
    """
    features = ops.cast(features, "float32")
    return hires_cam(features - ops.mean(features, axis=(1, 2), keepdims=True), gradients)
