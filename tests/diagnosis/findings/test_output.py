"""Rules about the last activation, the number of units and the way of the scores."""

from __future__ import annotations

import pytest
from fixtures.diagnoses import finding, result
from fixtures.observed import LOGITS, ONE_HOT, compiled, conv, dense, images, labels, plain, scores, seen

from lrdiag.record.observed import UNKNOWN, Compiled, Labels, Layer, Scores

SOFTMAX = plain("Softmax", "softmax")
LOGIT_LOSS = compiled(takes_logits=True)
SIGMOIDS = scores(low=0.2, high=0.8, error=4.0)


@pytest.mark.parametrize(
    ("last", "given", "of", "severity", "title"),
    [
        ([dense(10, "relu")], scores(low=0, high=2, error=3), compiled(), "error", "ends in a ReLU, but its loss exp"),
        ([dense(10), plain("ReLU", "relu")], LOGITS, compiled("categorical"), "error", "ends in a ReLU, but its loss"),
        ([dense(1, "tanh")], scores(1, -0.5, 0.5), compiled("binary"), "error", "ends in a tanh, but its loss expects"),
        ([dense(1, "relu")], scores(1, 0, 0.7), compiled("binary"), "error", "ends in a ReLU, but its loss expects"),
        ([dense(1, "softmax")], scores(1, 1, 1), compiled("binary"), "error", "is a softmax over one unit"),
        ([dense(10, "relu"), SOFTMAX], scores(), compiled(), "error", "ends in a ReLU before the softmax."),
        ([dense(10, "sigmoid"), SOFTMAX], scores(), compiled(), "warning", "ends in a sigmoid before the softmax."),
        ([dense(10, "relu")], scores(low=0, high=2, error=3), LOGIT_LOSS, "error", "a ReLU before the softmax."),
        ([dense(10, "sigmoid")], SIGMOIDS, compiled(), "warning", "ends in a sigmoid, but sparse_categorical_crossent"),
        ([dense(10, "softmax")], scores(error=0.9), compiled(), "error", "ends in a softmax over the wrong axis."),
    ],
)  # fmt: skip
def test_an_unsuitable_last_activation(
    last: list[Layer], given: Scores, of: Compiled, severity: str, title: str
) -> None:
    found = finding(seen(conv(16), plain("Flatten"), *last, scores=given, compiled=of), "last-activation")
    assert title in found.title
    assert found.severity == severity
    assert "`keras.layers." in found.advice


@pytest.mark.parametrize(
    ("last", "given", "of"),
    [
        ([dense(10, "softmax")], scores(), compiled()),
        ([dense(10, "softmax")], scores(error=0.04), compiled()),  # 16 bits
        ([dense(10)], LOGITS, LOGIT_LOSS),
        ([dense(10)], LOGITS, compiled()),  # loss-mismatch names it
        ([dense(10, "sigmoid")], SIGMOIDS, compiled("binary")),
        ([dense(1, "sigmoid")], scores(1), compiled("binary")),
        ([dense(1, "tanh")], scores(1, -0.5, 0.5), compiled("hinge")),
        ([conv(10, "relu"), plain("GlobalAveragePooling2D"), SOFTMAX], scores(), compiled()),  # SqueezeNet
        ([dense(10), plain("BatchNormalization"), SOFTMAX], scores(), compiled()),
        ([dense(10, "log_softmax")], scores(low=-3, high=-2, error=20), LOGIT_LOSS),
    ],
)
def test_a_suitable_last_activation(last: list[Layer], given: Scores, of: Compiled) -> None:
    evidence = seen(conv(16, "relu"), plain("Flatten"), *last, scores=given, compiled=of)
    assert result(evidence, "last-activation").status == "passed"


def test_the_last_activation_is_not_checked_if_the_last_layer_is_not_known() -> None:
    two = seen(plain("Flatten"), dense(3), plain("Dense", "relu", (10,), sources=(0,)))
    assert result(two, "last-activation").reason == "the layer that returns the scores is not known"


def test_two_softmaxes_in_a_row() -> None:
    found = finding(seen(dense(10, "softmax"), SOFTMAX), "softmax-twice")
    assert found.title == "The scores go through a softmax twice."
    assert "more than 0.23" in found.why, "e / (e + 9)"
    assert result(seen(dense(10, "softmax"), plain("Reshape"), SOFTMAX), "softmax-twice").status == "found"
    for sound in ([dense(10), SOFTMAX], [dense(10, "softmax")], [dense(8, "softmax"), dense(10, "softmax")]):
        assert result(seen(*sound), "softmax-twice").status == "passed"


@pytest.mark.parametrize(
    ("units", "of", "severity", "title"),
    [
        (9, labels(*[10] * 10), "error", "The model has fewer units than classes: 9 units for labels up to 9."),
        (1, labels(*[30] * 3), "error", "The model has fewer units than classes: 1 unit for labels up to 2."),
        (21, labels(*[10] * 10), "warning", "The model has more units than classes: 21 for 10 classes."),
        (1000, labels(*[10] * 10, *[0] * 990, width=1000), "warning", "more units than classes: 1000 for 10 classes."),
        (4, labels(0, 9, 9, 9), "note", "The class numbers begin at 1, so one of 4 units is never used."),
    ],
)
def test_units_that_do_not_fit_the_classes(units: int, of: Labels, severity: str, title: str) -> None:
    evidence = seen(dense(units, "softmax"), scores=scores(units), training_data=images(of))
    found = finding(evidence, "output-units")
    assert found.title.endswith(title)
    assert found.severity == severity


@pytest.mark.parametrize(
    ("units", "of", "size"),
    [
        (10, labels(*[10] * 10), 100),
        (10, ONE_HOT, 100),
        (20, labels(*[10] * 10), 100),
        (1, labels(50, 50), 100),
        (2, labels(50, 50), 100),
        (1, labels(50, *[0] * 254, 50), 100),  # 0 and 255: label-form
        (100, labels(*[10] * 10), 5000),  # not all labels were read
        (4, labels(0, 9, 0, 9), 100),
    ],
)
def test_units_that_fit_the_classes(units: int, of: Labels, size: int) -> None:
    evidence = seen(dense(units, "softmax"), scores=scores(units), training_data=images(of, size))
    assert result(evidence, "output-units").status == "passed"


def test_a_class_that_occurs_only_in_validation_has_a_unit_too() -> None:
    training, validation = images(labels(*[10] * 4)), images(labels(*[10] * 5))
    evidence = seen(dense(10, "softmax"), training_data=training, validation_data=validation)
    assert result(evidence, "output-units").status == "passed", "10 units for 5 classes"
    assert result(seen(dense(10), training_data=training), "output-units").status == "found", "10 units for 4 classes"


def test_dropout_on_the_scores() -> None:
    dropout = plain("Dropout", rate=0.5)
    for last in ([dense(10), dropout, SOFTMAX], [dense(10, "softmax"), dropout]):
        found = finding(seen(conv(16), plain("Flatten"), *last), "dropout-on-scores")
        assert found.title == "A dropout of 0.5 after the last layer sets scores to 0."
    before = [dropout, dense(10), SOFTMAX]
    averaged = [conv(10), dropout, plain("GlobalAveragePooling2D"), SOFTMAX]
    off = [dense(10), plain("Dropout", rate=0.0)]
    unknown = [plain("Dropout", rate=0.5, sources=(UNKNOWN,), shape=(10,))]
    for sound in (before, averaged, off, unknown):
        assert result(seen(conv(16), plain("Flatten"), *sound), "dropout-on-scores").status == "passed"
