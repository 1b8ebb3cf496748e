"""Grad-CAM's formula, in `keras.ops`: shared by every backend."""

from __future__ import annotations

from typing import Any

from keras import ops


def grad_cam(features: Any, gradients: Any) -> Any:
    """Weights feature maps by their mean gradients: `relu(sum_k mean_ij(dy/dA_k) A_k)`.

    Source: Selvaraju et al., "Grad-CAM" (2017), equations 1 and 2, with `y` the score before the softmax.

    Args:
        features: `A`, a float tensor of shape `(n, h, w, channels)`.
        gradients: `dy/dA`, of the same shape.

    Returns:
        Maps, a float32 tensor of shape `(n, h, w)`, not rescaled.
    """
    weights = ops.mean(ops.cast(gradients, "float32"), axis=(1, 2))
    return ops.relu(ops.einsum("nhwc,nc->nhw", ops.cast(features, "float32"), weights))
