"""The formulas that make maps from feature maps and gradients, in `keras.ops`, for every backend."""

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


def grad_cam_plus_plus(features: Any, gradients: Any) -> Any:
    """Weights feature maps by a sum of their positive gradients, in which small and large objects count alike.

    The weight of a map is `sum_ij alpha_ij relu(g_ij)`, where `g = dy/dA_k` and `alpha = g² / (2 g² + g³ sum_ij A_k)`,
    divided by the sum of all `alpha` of the map. The gradients in the paper are those of `exp(y)`. Then every map has
    the factor `exp(y)`, which overflows for high scores and is left out.

    Source: Chattopadhay et al., "Grad-CAM++" (2018), equations 5, 10 and 19.

    Args:
        features: `A`, a float tensor of shape `(n, h, w, channels)`.
        gradients: `dy/dA`, of the same shape.

    Returns:
        Maps before their positive part is taken, a float32 tensor of shape `(n, h, w)`, not rescaled.
    """
    features, gradients = (ops.cast(each, "float32") for each in (features, gradients))
    denominator = 2 + gradients * ops.sum(features, axis=(1, 2), keepdims=True)
    shares = ops.where(gradients == 0, 0.0, 1 / denominator)
    total = ops.sum(shares, axis=(1, 2), keepdims=True)
    shares = shares / ops.where(total == 0, 1.0, total)
    weights = ops.sum(shares * ops.relu(gradients), axis=(1, 2))
    return ops.einsum("nhwc,nc->nhw", features, weights)


def layer_cam(features: Any, gradients: Any) -> Any:
    """Weights every position of the feature maps by its own gradient where it is positive: `sum_k relu(dy/dA_k) A_k`.

    Source: Jiang et al., "LayerCAM" (2021), equations 4 and 5.

    Args:
        features: `A`, a float tensor of shape `(n, h, w, channels)`.
        gradients: `dy/dA`, of the same shape.

    Returns:
        Maps before their positive part is taken, a float32 tensor of shape `(n, h, w)`, not rescaled.
    """
    return hires_cam(features, ops.relu(gradients))
