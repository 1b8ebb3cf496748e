"""Rules about weights that are not trained."""

from __future__ import annotations

import dataclasses

from fixtures.diagnoses import finding, result
from fixtures.observed import ACTIVE, START, conv, dense, plain, rates, seen

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.record.observed import EpochState, Layer

DENSE = dense(10, "softmax")
GLOBAL = plain("GlobalAveragePooling2D")


def frozen(layer: Layer, fresh: bool | None) -> Layer:
    kernel = None if layer.kernel is None else dataclasses.replace(layer.kernel, trainable=False)
    return dataclasses.replace(layer, kernel=kernel, trainable=False, fresh=fresh)


def after_an_epoch(*unchanged: str, start: object = START, first: Layer | None = None) -> Evidence:
    """Evidence of an epoch that moved the dense layer."""
    epoch = EpochState(1, 30, {"dense": 0.1}, unchanged, (), {}, 0.0, None, None, 0)
    return seen(first or conv(16, "relu"), GLOBAL, DENSE, start=start, rates=rates(), epochs=(epoch,))


def test_frozen_layers_that_were_never_trained() -> None:
    found = finding(seen(frozen(conv(16, "relu"), True), GLOBAL, DENSE), "frozen-layers")
    assert found.title == "1 layer is frozen with weights that were never trained."
    assert "They have 73% of the weights" in found.evidence, "3 · 3 · 3 · 16 of 592"


def test_a_sign_of_training_in_a_frozen_layer_is_enough() -> None:
    trained = frozen(plain("BatchNormalization", momentum=0.9), False)
    blur = frozen(conv(16, kind="DepthwiseConv2D", grouped=True, identical_units=True), True)
    for layers in ([frozen(conv(16, "relu"), True), trained], [frozen(conv(16, "relu"), None)], [blur], [conv(16)]):
        assert result(seen(*layers, GLOBAL, DENSE), "frozen-layers").status == "passed"


def test_all_layers_are_frozen() -> None:
    layers = [frozen(conv(16, "relu"), False), GLOBAL, frozen(DENSE, False)]
    found = finding(seen(*layers, rates=rates()), "frozen-layers")
    assert found.title == "All layers are frozen: training changes no weight of them."
    assert result(seen(*layers), "frozen-layers").status == "passed", "it is not trained"


def test_trained_weights_that_did_not_change() -> None:
    found = finding(after_an_epoch("conv2d/kernel", "conv2d/bias"), "frozen-layers")
    assert found.title == "2 trained weights did not change in the first epoch."
    explained = dataclasses.replace(START, without_gradient=("conv2d/kernel",))
    dead = dataclasses.replace(conv(16, "relu"), activity=dataclasses.replace(ACTIVE, silent=1.0))
    still = dataclasses.replace(after_an_epoch("conv2d/kernel").inspection, rates=rates(0.0))
    for sound in (
        after_an_epoch(),
        after_an_epoch("conv2d/kernel", start=explained),  # disconnected-weights
        after_an_epoch("conv2d/kernel", first=dead),
        dataclasses.replace(after_an_epoch(), inspection=still),
    ):
        assert result(sound, "frozen-layers").status == "passed"


def test_weights_without_a_gradient() -> None:
    start = dataclasses.replace(START, unreached=("conv2d/kernel",))
    found = finding(seen(conv(16, "relu"), GLOBAL, DENSE, start=start), "disconnected-weights")
    assert found.title == "1 trained weight has no gradient: the loss does not depend on it."


def test_a_gradient_of_zero_counts_only_if_the_weights_do_not_move() -> None:
    start = dataclasses.replace(START, without_gradient=("conv2d/kernel", "conv2d/bias"))
    begins_at_zero = seen(conv(16, "relu"), GLOBAL, DENSE, start=start)
    assert result(begins_at_zero, "disconnected-weights").status == "passed"
    assert result(after_an_epoch(start=start), "disconnected-weights").status == "passed", "it moved"
    stuck = finding(after_an_epoch("conv2d/kernel", "conv2d/bias", start=start), "disconnected-weights")
    assert stuck.title == "2 trained weights have no gradient: the loss does not depend on them."
    dead = dataclasses.replace(conv(16, "relu"), activity=dataclasses.replace(ACTIVE, silent=1.0))
    explained = after_an_epoch("conv2d/kernel", start=start, first=dead)
    assert result(explained, "disconnected-weights").status == "not checked"
