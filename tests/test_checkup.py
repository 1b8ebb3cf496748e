"""`lrdiag.check`: findings without training."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as kl

import lrdiag
from lrdiag.errors import DataError, ModelError, SettingsError

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.random((120, 8, 8, 1), "float32")
LABELS = np.arange(120) % 3


def network(rate: float = 0.003, last: str | None = "softmax") -> keras.Model:
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), kl.Conv2D(8, 3, activation="relu"), kl.Flatten(), kl.Dense(3, activation=last)]
    )
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_a_sound_model_has_no_findings() -> None:
    validation = IMAGES[:60] + 1e-3, LABELS[:60]
    checked = lrdiag.check(network(), (IMAGES, LABELS), validation_data=validation, batch_size=16, epochs=10)
    assert checked.errors == checked.warnings == []
    assert str(checked) == "No findings."
    assert sum(check.status == "passed" for check in checked.checks) > 20


def test_faults_are_found_before_training() -> None:
    checked = lrdiag.check(network(last="relu"), (255 * IMAGES, LABELS), epochs=10)
    assert {"last-activation", "inputs-not-scaled"} <= {each.code for each in (*checked.errors, *checked.warnings)}
    assert all(each.known == "before training" for each in checked.findings)
    assert "last-activation" in str(checked)


def test_a_loss_of_the_wrong_sign_and_one_without_weight() -> None:
    model, labels = network(), np.eye(3)[LABELS]
    model.compile("adam", lambda truth, given: -keras.losses.categorical_crossentropy(truth, given))
    assert [each.code for each in lrdiag.check(model, (IMAGES, labels), batch_size=16).errors] == ["wrong-loss"]
    model.compile("adam", "categorical_crossentropy", loss_weights=[0.0])
    (found,) = lrdiag.check(model, (IMAGES, labels), batch_size=16).errors
    assert found.title == "No weight has a gradient: the loss does not depend on the model."


def test_losses_and_penalties_that_cannot_work() -> None:
    def codes(model: keras.Model, labels: np.ndarray) -> list[str]:
        found = lrdiag.check(model, (IMAGES, labels), batch_size=16, epochs=20)
        return [each.code for each in (*found.errors, *found.warnings)]

    one_hot = np.eye(3, dtype="float32")[LABELS]
    model = network()
    model.compile("adam", "hinge")
    assert codes(model, one_hot) == ["wrong-loss"]
    model.compile("adam", lambda truth, given: keras.ops.log(truth) * given)
    assert codes(model, one_hot) == ["wrong-loss"]
    model = network()
    model.layers[0].activity_regularizer = keras.regularizers.L1(1.0)
    model.compile("adam", "categorical_crossentropy")
    assert codes(model, one_hot) == ["strong-regularization"]


def test_accepted_and_skipped_checks() -> None:
    checked = lrdiag.check(
        network(),
        (255 * IMAGES, LABELS),
        batch_size=16,
        checks={"rate-too-high": False},
        accept={"inputs-not-scaled": "as it is"},
    )
    assert checked.warnings == []
    assert [each.accepted for each in checked.findings] == ["as it is"]


def test_a_model_that_is_not_built() -> None:
    model = keras.Sequential([kl.Flatten(), kl.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    assert lrdiag.check(model, (IMAGES, LABELS)).errors == []


def test_bad_arguments() -> None:
    with pytest.raises(DataError, match="more than once"):
        lrdiag.check(network(), iter([(IMAGES, LABELS)]))
    with pytest.raises(SettingsError, match="epochs"):
        lrdiag.check(network(), (IMAGES, LABELS), epochs=0)
    with pytest.raises(ModelError):
        lrdiag.check("a model", (IMAGES, LABELS))
