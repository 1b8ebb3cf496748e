"""Rules about the start: the scale of the inputs, the initial weights, and augmentation."""

from __future__ import annotations

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed
from lrdiag.diagnosis.findings.layers import (
    entering,
    hidden,
    is_trained,
    log_classes,
    normalization_after,
    with_kernel,
)
from lrdiag.formats import count, percent, plural
from lrdiag.formats import loss as loss_text
from lrdiag.record.observed import Kernel, Layer, Values

WEAK_SIGNAL = 1e-4
"""How much smaller the differences between images may be before the last layer than at the input. Sound networks
without normalization keep 0.002 and more."""
SMALL_KERNEL = 0.2
"""Root mean square of a kernel times the root of its number of inputs; 1 to 1.4 keeps the size of the signal."""
LEARNT_LESS = 0.15
"""Validation accuracy minus training accuracy."""
CHANGED = 0.5
"""Correlation of augmented images with the images, below which augmentation may explain such a gap."""


def inputs_not_scaled(evidence: Evidence, threshold: float) -> Answer:
    """Large values reach an untrained first layer, and no normalization follows it.

    Trained first layers expect the range that they were trained with. Batch normalization makes the scale harmless.
    """
    layers, data = given(evidence.layers), given(evidence.training_data)
    found = entering(layers)
    if found is None:
        return Passed()
    first, size = found
    if size is None:
        return NotChecked("it is not known what the first layer receives")
    if size <= threshold or is_trained(evidence) or normalization_after(layers, first) is not None:
        return Passed(size, threshold)
    return Found(
        f"The inputs are not scaled: the first layer receives values of about {_number(size)}.",
        f"`{first.name}` receives values with a root mean square of {_number(size)}. {_range(data.values)}",
        f"Begin the model with {_rescaling(data.values)}, so that training and inference scale the images alike.",
        size,
        threshold,
        why="Initial weights and usual learning rates are made for values of about 1. With larger ones, the first "
        "outputs and gradients are too large by the same factor.",
    )


def inputs_too_small(evidence: Evidence, threshold: float) -> Answer:
    """Tiny values reach an untrained first layer, and no normalization makes up for it."""
    layers, data = given(evidence.layers), given(evidence.training_data)
    found = entering(layers)
    if found is None:
        return Passed()
    first, size = found
    if size is None:
        return NotChecked("it is not known what the first layer receives")
    follows = normalization_after(layers, first)
    if size >= threshold or is_trained(evidence) or (follows is not None and follows.activity.rms > 0.1):
        return Passed(size, threshold)
    scales = any(layer.kind == "Rescaling" for layer in layers)
    return Found(
        f"The inputs are too small: the first layer receives values of about {_number(size)}.",
        f"`{first.name}` receives values with a root mean square of {_number(size)}. {_range(data.values)} "
        + ("The model has a `Rescaling` layer, so they are scaled twice." if scales else "They may be scaled twice."),
        "Scale the images once: remove the `Rescaling` layer, or pass images with values from 0 to 255."
        if scales
        else "Scale the images once, to values of about 1: divide values from 0 to 255 by 255, and no others.",
        size,
        threshold,
        why="The images hardly differ for the model, so that it learns from them very slowly or not at all.",
    )


def initialization(evidence: Evidence, threshold: float) -> Answer:
    """Initial weights are constant, or so small or large that no signal or no sensible loss comes out."""
    layers = given(evidence.layers)
    if is_trained(evidence):
        return Passed()
    found = _constant(layers) or _zero(layers) or _weak(evidence, layers) or _large(evidence, layers, threshold)
    return found or Passed(given(evidence.start).loss, threshold)


def _constant(layers: tuple[Layer, ...]) -> Found | None:
    """Constant kernels that are not 0: units that begin alike stay alike."""
    inner = with_kernel(hidden(layers))
    same = [
        (layer, kernel)
        for layer, kernel in inner
        if kernel.trainable and not kernel.grouped and kernel.identical_units and kernel.rms > 0 and _is_usual(layer)
    ]
    if not same:
        return None
    layer, kernel = same[0]
    return Found(
        f"The units of {_layers(len(same), len(inner))} are initialized with the same weights.",
        f"In `{layer.name}`, {'all weights' if kernel.deviation == 0 else 'the weights of all units'} are the same: "
        f"their root mean square is {_number(kernel.rms)}, and they do not differ between its {count(kernel.units)} "
        "units.",
        _RANDOM,
        kernel.deviation,
        0.0,
        why="Units with the same weights return the same values and receive the same gradient, so the layer is worth "
        "a single unit.",
        severity="error",
    )


def _zero(layers: tuple[Layer, ...]) -> Found | None:
    """Kernels of zeros that get no gradient. The last layer of a residual branch and a head of zeros get one."""
    kernels = with_kernel(layers)
    zero = [
        (layer, kernel)
        for layer, kernel in kernels
        if kernel.trainable and kernel.rms == 0 and not kernel.data_gradient and _is_usual(layer)
    ]
    if not zero:
        return None
    return Found(
        f"The weights of {_layers(len(zero), len(kernels))} are initialized with zeros and have no gradient.",
        f"All weights of `{zero[0][0].name}` are 0, and so is the gradient of the loss: its input or what follows it "
        "multiplies with zeros too.",
        _RANDOM,
        0.0,
        0.0,
        why="Weights without a gradient never change.",
        severity="error",
    )


_RANDOM = 'Initialize kernels at random: remove `kernel_initializer`, or write `kernel_initializer="he_normal"`.'


def _is_usual(layer: Layer) -> bool:
    """Whether its units multiply all inputs. A layer of the user may only scale with its weights."""
    return layer.kind.startswith(("Dense", "EinsumDense", "Conv", "SeparableConv"))


def _weak(evidence: Evidence, layers: tuple[Layer, ...]) -> Found | None:
    """Kernels so small that the images hardly differ before the last layer."""
    inner = [(layer, kernel) for layer, kernel in with_kernel(hidden(layers)) if kernel.rms > 0]
    before = next((layer for layer in reversed(hidden(layers)) if layer.activity.finite), None)
    data = evidence.training_data
    if not inner or before is None or data is None or not data.values.between:
        return None
    received = entering(layers)
    scale = received[1] / data.values.rms if received and received[1] and data.values.rms else 1.0
    kept = before.activity.between / (data.values.between * scale)
    layer, kernel = min(inner, key=lambda each: _spread(each[1]))
    if kept >= WEAK_SIGNAL or _spread(kernel) >= SMALL_KERNEL:
        return None
    return Found(
        f"The weights are initialized with values that are too small: {_number(kept)} of the signal remains.",
        f"Images differ by {_number(data.values.between * scale)} at the input and by "
        f"{_number(before.activity.between)} before the last layer. The weights of `{layer.name}` have a standard "
        f"deviation of {_number(kernel.deviation)}; about {_number(kernel.fan_in**-0.5)} keeps the size of the signal.",
        _RANDOM,
        kept,
        WEAK_SIGNAL,
        why="All images get the same scores, and the gradients are too small by the same factor.",
    )


def _large(evidence: Evidence, layers: tuple[Layer, ...], threshold: float) -> Found | None:
    """Values that are not finite, or a first loss far above that of a guess."""
    guess, loss = log_classes(evidence), given(evidence.start).loss
    broken = next((layer for layer in layers if not layer.activity.finite), None)
    if broken is None and (guess is None or loss <= threshold * guess + 1):
        return None
    kernels = with_kernel(layers)
    if not kernels or kernels[-1][0].fresh is False:
        return None
    layer, kernel = max(kernels, key=lambda each: _spread(each[1]))
    spread = (
        f" The weights of `{layer.name}` have a standard deviation of {_number(kernel.deviation)}; about "
        f"{_number(kernel.fan_in**-0.5)} keeps the size of the signal."
        if _spread(kernel) > 3
        else ""
    )
    title = (
        f"The weights are initialized such that `{broken.name}` returns values that are not finite."
        if broken is not None
        else f"The first loss is {loss_text(loss)}, far above that of a guess: the weights are initialized too large."
    )
    guessed = "" if guess is None else f" Equal probabilities for all classes would give {loss_text(guess)}."
    return Found(
        title,
        f"Before the first update, the loss is {loss_text(loss)}.{guessed}{spread}",
        f"{_RANDOM} If only the last layer is too large, scale what it receives, or initialize it with less.",
        None if guess is None else loss / guess,
        threshold,
        why="The model begins with confident wrong answers. The first updates are large and only undo this.",
        severity="error" if broken is not None else None,
    )


def _spread(kernel: Kernel) -> float:
    """By how much a layer enlarges random inputs."""
    return float(kernel.rms * kernel.fan_in**0.5)


def strong_augmentation(evidence: Evidence, threshold: float) -> Answer:
    """Augmentation in the model leaves little of the images, or makes training images much harder than others."""
    left = given(evidence.start).augmentation
    if left is None:
        return NotChecked("no layer of the model augments images")
    epochs = evidence.training.epochs if evidence.training else []
    last = epochs[-1] if epochs else None
    is_behind = (
        last is not None
        and last.accuracy is not None
        and last.val_accuracy is not None
        and last.val_accuracy - last.accuracy > LEARNT_LESS
        and left < CHANGED
    )
    if left >= threshold and not is_behind:
        return Passed(left, threshold)
    figures = (
        f" In the last epoch, training accuracy was {percent(last.accuracy)} and validation accuracy "
        f"{percent(last.val_accuracy)}."
        if is_behind and last is not None
        else ""
    )
    return Found(
        f"Augmentation leaves little of the images: they correlate by {left:.2f} with themselves.",
        f"The augmenting layers of the model were applied to {plural(given(evidence.start).images, 'training image')}. "
        f"Flips and turns by right angles do not count.{figures}",
        "Augment less: halve the factors of the augmenting layers, and look at a few augmented images.",
        left,
        threshold,
        why="The model trains on images that no longer show what it is asked to recognize later.",
    )


def _range(values: Values) -> str:
    return f"The images have values from {_number(values.low)} to {_number(values.high)}."


def _rescaling(values: Values) -> str:
    largest = max(abs(values.low), abs(values.high))
    divisor = next((each for each in (255, 65_535) if largest <= each), None) if values.low >= 0 else None
    return f"`keras.layers.Rescaling(1 / {divisor or _number(largest)})`"


def _layers(some: int, all_of_them: int) -> str:
    return f"{count(some)} of {plural(all_of_them, 'layer')}"


def _number(value: float) -> str:
    return f"{value:.3g}"
