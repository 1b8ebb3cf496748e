"""Rules about the start: the scale of the inputs, the initial weights, dead and saturated units, and gradients."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from fixtures.starts import IMAGES, LAYERS, SOUND, answer, dense, found, other, run_of, state

from lrdiag.diagnosis.findings.answers import NotChecked, Passed
from lrdiag.record.observed import Inspection, Layer, Values

CODES = (
    "inputs-not-scaled", "inputs-too-small", "initialization", "dead-units", "vanishing-gradients",
    "exploding-gradients",
)  # fmt: skip


def with_layers(*layers: Layer, **others: Any) -> Inspection:
    return replace(SOUND, layers=layers, **others)


def first_receives(size: float, **values: float) -> Inspection:
    pixels = Values(**({"low": 0.0, "high": 255.0, "mean": 100.0, "deviation": 60.0, "between": 60.0} | values))
    return with_layers(dense("first", -1, received=size), *LAYERS[1:], training_data=replace(IMAGES, values=pixels))


@pytest.mark.parametrize("code", CODES)
def test_a_sound_network_passes(code: str) -> None:
    assert isinstance(answer(code, SOUND), Passed)


class TestInputs:
    def test_large_values_reach_the_first_layer(self) -> None:
        problem = found("inputs-not-scaled", first_receives(117.0))
        assert problem.title == "The inputs are not scaled: the first layer receives values of about 117."
        assert "The images have values from 0 to 255." in problem.evidence
        assert "`keras.layers.Rescaling(1 / 255)`" in problem.advice

    def test_the_divisor_suits_the_range(self) -> None:
        assert "(1 / 128)" in found("inputs-not-scaled", first_receives(64.0, low=-128.0, high=127.0)).advice
        assert "(1 / 65535)" in found("inputs-not-scaled", first_receives(9e3, high=6e4)).advice

    def test_a_rescaling_layer_counts(self) -> None:
        rescaling = other("Rescaling", -1, activity={"rms": 0.5})
        sound = replace(first_receives(0.0), layers=(rescaling, dense("first", 0), dense("head", 1)))
        assert answer("inputs-not-scaled", sound) == Passed(0.5, 10.0)

    def test_a_trained_layer_and_normalization_bear_any_scale(self) -> None:
        trained = dense("first", -1, received=117.0, fresh=False)
        linear = dense("first", -1, "linear", received=117.0)
        for layers in (
            (trained, *LAYERS[1:]),
            (linear, other("BatchNormalization", 0), other("ReLU", 1, activation="relu"), dense("head", 2)),
            (other("LayerNormalization", -1), dense("first", 0), dense("head", 1)),
        ):
            assert isinstance(answer("inputs-not-scaled", with_layers(*layers)), Passed)
        late = (linear, other("ReLU", 0, activation="relu"), other("BatchNormalization", 1), dense("head", 2))
        assert found("inputs-not-scaled", with_layers(*late))

    def test_images_that_are_scaled_twice(self) -> None:
        twice = first_receives(0.002, high=1.0)
        assert "may be scaled twice" in found("inputs-too-small", twice).evidence
        rescaling = other("Rescaling", -1, activity={"rms": 0.002})
        layers = (rescaling, dense("first", 0), dense("head", 1))
        problem = found("inputs-too-small", replace(twice, layers=layers))
        assert "so they are scaled twice" in problem.evidence
        assert "remove the `Rescaling` layer" in problem.advice

    def test_batch_normalization_makes_up_for_small_values_above_its_epsilon(self) -> None:
        def normalized(rms: float) -> Inspection:
            first = dense("first", -1, "linear", received=0.002)
            return with_layers(first, other("BatchNormalization", 0, activity={"rms": rms}), dense("head", 1))

        assert isinstance(answer("inputs-too-small", normalized(0.9)), Passed)
        assert found("inputs-too-small", normalized(0.05))


class TestInitialization:
    def test_identical_units(self) -> None:
        same = dense("second", 0, identical_units=True, deviation=0.0)
        problem = found("initialization", with_layers(LAYERS[0], same, LAYERS[2]))
        assert problem.title == "The units of 1 of 2 layers are initialized with the same weights."
        assert problem.severity == "error"
        assert 'kernel_initializer="he_normal"' in problem.advice

    def test_a_constant_head_and_frozen_or_grouped_filters_are_sound(self) -> None:
        constant = {"identical_units": True, "deviation": 0.0}
        for layers in (
            (*LAYERS[:2], dense("head", 1, "softmax", **constant)),
            (dense("first", -1, trainable=False, **constant), *LAYERS[1:]),
            (dense("first", -1, grouped=True, **constant), *LAYERS[1:]),
        ):
            assert isinstance(answer("initialization", with_layers(*layers)), Passed)

    def test_zeros_without_a_gradient(self) -> None:
        zero = {"rms": 0.0, "deviation": 0.0, "identical_units": True}
        stuck = dense("second", 0, data_gradient=0.0, **zero)
        assert "initialized with zeros" in found("initialization", with_layers(LAYERS[0], stuck, LAYERS[2])).title
        branch = dense("second", 0, data_gradient=0.01, **zero)
        assert isinstance(answer("initialization", with_layers(LAYERS[0], branch, LAYERS[2])), Passed)

    def test_weights_that_lose_the_signal(self) -> None:
        weak = dense("second", 0, activity={"between": 1e-6}, rms=1e-4, deviation=1e-4)
        problem = found("initialization", with_layers(LAYERS[0], weak, LAYERS[2]))
        assert "too small" in problem.title
        assert "about 0.1 keeps the size" in problem.evidence
        deep = dense("second", 0, activity={"between": 1e-6})  # the loss of signal has another cause
        assert isinstance(answer("initialization", with_layers(LAYERS[0], deep, LAYERS[2])), Passed)

    def test_a_first_loss_far_above_that_of_a_guess(self) -> None:
        large = dense("second", 0, rms=5.0, deviation=5.0)
        inspection = with_layers(LAYERS[0], large, LAYERS[2], start=replace(SOUND.start, loss=40.0))
        problem = found("initialization", inspection)
        assert (
            problem.title
            == "The first loss is 40.000, far above that of a guess: the weights are initialized too large."
        )
        assert "`second` have a standard deviation of 5" in problem.evidence
        trained = replace(inspection, layers=(LAYERS[0], large, dense("head", 1, "softmax", fresh=False)))
        assert isinstance(answer("initialization", trained), Passed)

    def test_values_that_are_not_finite(self) -> None:
        broken = dense("second", 0, activity={"finite": False})
        assert found("initialization", with_layers(LAYERS[0], broken, LAYERS[2])).severity == "error"


class TestUnits:
    def test_dead_before_training(self) -> None:
        dead = dense("second", 0, activity={"silent": 1.0})
        problem = found("dead-units", with_layers(LAYERS[0], dead, LAYERS[2]))
        assert problem.title == "100.0\u00a0% of the units of `second` are dead before the first update."
        assert problem.severity == "error"

    def test_trained_units_may_be_silent(self) -> None:
        first, dead = dense("first", -1, fresh=False), dense("second", 0, activity={"silent": 0.97})
        assert isinstance(answer("dead-units", with_layers(first, dead, LAYERS[2])), Passed)
        assert found("dead-units", with_layers(LAYERS[0], dead, LAYERS[2])).severity is None

    def test_dead_after_an_epoch(self) -> None:
        died, run = replace(SOUND, epochs=(state(), state(2, silent=0.96))), run_of([2.3] * 40)
        assert "dead after epoch 2" in found("dead-units", died, run).title
        assert isinstance(answer("dead-units", replace(SOUND, epochs=(state(silent=0.9),)), run), Passed)
        assert isinstance(answer("dead-units", died, run_of([0.5] * 40)), Passed)

    def test_saturated(self) -> None:
        def tanh(share: float) -> Inspection:
            return with_layers(dense("first", -1, "tanh", activity={"saturated": share}), LAYERS[2])

        assert "tanh of `first` is saturated: 80.0\u00a0%" in found("saturated-units", tanh(0.8)).title
        assert isinstance(answer("saturated-units", tanh(0.4)), Passed)
        assert isinstance(answer("saturated-units", SOUND), NotChecked)
        output = dense("head", 0, "sigmoid", activity={"saturated": 0.9})
        assert isinstance(answer("saturated-units", with_layers(LAYERS[0], output)), NotChecked)


class TestGradients:
    def test_vanish(self) -> None:
        weak = (dense("first", -1, data_gradient=1e-6), *LAYERS[1:])
        problem = found("vanishing-gradients", with_layers(*weak))
        assert problem.title == "The gradients vanish: they are 3e-05 in the first layers."
        assert "1e-05 in `first`" in problem.evidence

    def test_a_small_last_layer_explains_small_gradients(self) -> None:
        weak = (dense("first", -1, data_gradient=1e-6), LAYERS[1], dense("head", 1, "softmax", rms=1e-4))
        assert isinstance(answer("vanishing-gradients", with_layers(*weak)), Passed)
        zero = (*LAYERS[:2], dense("head", 1, "softmax", rms=0.0))
        assert isinstance(answer("vanishing-gradients", with_layers(*zero)), NotChecked)

    def test_explode(self) -> None:
        large = (dense("first", -1, data_gradient=20.0), *LAYERS[1:])
        assert "up to 200" in found("exploding-gradients", with_layers(*large)).title
        broken = (dense("first", -1, data_gradient=math.inf), *LAYERS[1:])
        problem = found("exploding-gradients", with_layers(*broken))
        assert "not finite in `first`" in problem.title
        assert problem.severity == "error"
        assert isinstance(answer("vanishing-gradients", with_layers(*broken)), NotChecked)


class TestStrongAugmentation:
    def test_little_is_left(self) -> None:
        assert isinstance(answer("strong-augmentation", SOUND), NotChecked)
        start = SOUND.start
        assert start is not None
        assert "by 0.15" in found("strong-augmentation", replace(SOUND, start=replace(start, augmentation=0.15))).title
        assert isinstance(answer("strong-augmentation", replace(SOUND, start=replace(start, augmentation=0.6))), Passed)

    def test_training_accuracy_far_below_validation_accuracy(self) -> None:
        start = SOUND.start
        assert start is not None
        inspection, run = replace(SOUND, start=replace(start, augmentation=0.4)), run_of([2.0] * 4)
        behind = replace(run, epochs=[replace(run.epochs[0], accuracy=0.4, val_accuracy=0.6)])
        assert "training accuracy was 40.0" in found("strong-augmentation", inspection, behind).evidence
        assert isinstance(answer("strong-augmentation", inspection, run), Passed)
