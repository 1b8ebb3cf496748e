"""`diagnose`: every form of data gives the same facts, and unusable data gives one clear message."""

from __future__ import annotations

import dataclasses
import functools
import html
import json
import weakref
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from PIL import Image

import lrdiag
from lrdiag import Report, diagnose
from lrdiag.data.preprocessing import preprocess
from lrdiag.diagnosis.findings.answers import Found, Shown
from lrdiag.diagnosis.findings.checking import check_all
from lrdiag.diagnosis.findings.rules import Rule
from lrdiag.errors import ComparisonError, DataError, ModelError, RunFolderError, SettingsError, TemplateError
from lrdiag.explain import independent
from lrdiag.rate.range_test import Sweep
from lrdiag.record import reading
from lrdiag.record.data_facts import Exhibit, ImageRef
from lrdiag.record.facts import RangeTestFacts, TrainingRun

L = keras.layers
CLASSES, SHAPE, COUNT = 3, (8, 8, 3), 23
generator = np.random.default_rng(0)
IMAGES = generator.integers(0, 256, (COUNT, *SHAPE), dtype="uint8")
LABELS = generator.integers(0, CLASSES, COUNT)
ONE_HOT = np.eye(CLASSES)[LABELS]


@pytest.fixture(autouse=True)
def time_for_the_independent_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine tf-keras-vis would be too slow for some reports and not for others."""
    monkeypatch.setattr(independent, "SECONDS", 60.0)


def layers(units: int = CLASSES, activation: str | None = None) -> list[Any]:
    return [
        L.Conv2D(4, 3, activation="relu", name="features"),
        L.GlobalAveragePooling2D(),
        L.Dense(units, activation=activation, kernel_initializer="random_normal"),
    ]


def network(
    shape: tuple[int, ...] = SHAPE, units: int = CLASSES, activation: str | None = None, *first: Any
) -> keras.Sequential:
    """A convolutional net with the same weights for every head. `first` scales its input to 0–1."""
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input(shape), *(first or [L.Rescaling(1 / 255)]), *layers(units, activation)])


@pytest.fixture(scope="module")
def net() -> keras.Sequential:
    return network()


@pytest.fixture(scope="module")
def report(net: keras.Model) -> Report:
    return diagnose(net, IMAGES, LABELS)


def batches(images: Any = IMAGES, labels: Any = LABELS, size: int = 5) -> list[tuple[Any, Any]]:
    """Four of five, and one of three."""
    return [(images[start : start + size], labels[start : start + size]) for start in range(0, COUNT, size)]


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return len(batches())

    def __getitem__(self, place: int) -> tuple[Any, Any]:
        return batches()[place]


class Generator:
    """A generator with a length."""

    def __init__(self) -> None:
        self._batches = iter(batches())

    def __len__(self) -> int:
        return len(batches())

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._batches)


def facts(report: Report) -> dict[str, Any]:
    """The facts except the times and the commit, which may change while the tests run."""
    return {name: value for name, value in report.to_dict().items() if name not in ("seconds", "git_commit", "created")}


def pixels(report: Report, file: str = "misclassified.webp") -> np.ndarray:
    return np.asarray(Image.open(BytesIO(report.run.pictures.files[file]))).astype(int)


# --- forms of a test set ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        lambda: tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(5),
        Batches,
        Generator,
        batches,
    ],
    ids=["tf.data", "PyDataset", "generator-with-length", "list"],
)
def test_every_form_of_test_set_gives_the_same_report(
    net: keras.Model, report: Report, given: Callable[[], Any]
) -> None:
    other = diagnose(net, given())
    _assert_alike(other, report)
    assert other.run.pictures == report.run.pictures


def test_pictures_of_findings_are_on_a_sheet_and_in_the_run_folder(
    net: keras.Model, report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = [Shown(ImageRef("test", 3), "a tiny image", (IMAGES[3], IMAGES[4]))]
    rule = Rule("shown", "note", "data", lambda _: Found("A title.", "", "", why="The reason.", exhibits=shown))
    monkeypatch.setattr("lrdiag.report.report.check_all", functools.partial(check_all, rules=[rule]))
    monkeypatch.setattr(independent, "SECONDS", 0.0)
    shown_report = diagnose(net, IMAGES, LABELS)
    assert shown_report.findings[0].exhibits == [Exhibit(ImageRef("test", 3), "a tiny image", [0, 1])]
    shown_report.save(tmp_path)
    assert reading.load(tmp_path).pictures.sheets["findings"].count == 2
    report.save(tmp_path)
    assert not (tmp_path / "findings.webp").exists()


def _assert_alike(given: Report, expected: Report, *, but: tuple[str, ...] = ()) -> None:
    """The same facts, up to the rounding of figures."""
    _compare({name: value for name, value in facts(given).items() if name not in but}, facts(expected), "")


def _compare(given: Any, expected: Any, place: str) -> None:
    if isinstance(given, dict):
        for name, value in given.items():
            _compare(value, expected[name], f"{place}.{name}")
    elif isinstance(given, list):
        assert len(given) == len(expected), place
        for number, (mine, theirs) in enumerate(zip(given, expected, strict=True)):
            _compare(mine, theirs, f"{place}[{number}]")
    elif isinstance(given, float) and isinstance(expected, float):
        assert given == pytest.approx(expected, abs=2e-5), place
    else:
        assert given == expected, place


@pytest.mark.parametrize(
    "labels",
    [LABELS[:, None], ONE_HOT, LABELS.tolist()],
    ids=["(n, 1)", "one-hot", "list"],
)
def test_labels_may_be_indices_or_rows(net: keras.Model, report: Report, labels: Any) -> None:
    assert facts(diagnose(net, IMAGES, labels)) == facts(report)


UNDOING = {
    "0..1": L.Identity,
    "-1..1": lambda: L.Rescaling(0.5, offset=0.5),
    "torch": lambda: L.Normalization(
        mean=[-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], variance=[0.229**-2, 0.224**-2, 0.225**-2]
    ),
}


@pytest.mark.parametrize(("how", "given"), [("0..1", True), ("0..1", False), ("-1..1", False), ("torch", True)])
def test_scaled_images_give_the_same_report_as_raw_images(report: Report, how: Any, given: bool) -> None:
    scaled = preprocess(IMAGES, how)
    other = diagnose(network(SHAPE, CLASSES, None, UNDOING[how]()), scaled, LABELS, preprocess=how if given else None)
    # rounding may change the order of removed pixels, and each scale has other corrections
    but = ("model", "value_range", "settings", "heatmaps", "parameters", "findings", "data", "checks")
    _assert_alike(other, report, but=but)
    np.testing.assert_array_equal(other.mistakes, report.mistakes)
    assert other.diagnosis.value_range == (scaled.min(), scaled.max())
    assert other.diagnosis.settings.get("preprocess") == (how if given else None)


def test_caffe_images_are_shown_in_their_original_colours(net: keras.Model, report: Report) -> None:
    other = diagnose(net, preprocess(IMAGES, "caffe"), LABELS, preprocess="caffe")
    shown = dict(zip(other.predictions.misclassified, other.mistakes, strict=True))
    np.testing.assert_array_equal(shown[other.predictions.misclassified[0]], IMAGES[other.predictions.misclassified[0]])


def test_images_of_unknown_scaling_are_shown_between_their_extremes_with_a_note(net: keras.Model) -> None:
    standardized = preprocess(IMAGES, "standardized")
    unknown = diagnose(net, standardized, LABELS)
    (note,) = unknown.diagnosis.notes
    assert note.startswith("Images are shown between the minimum and maximum of the first batch, -")
    assert unknown.mistakes.min() < 20
    assert unknown.mistakes.max() > 235
    other = diagnose(net, standardized, LABELS, preprocess="standardized")
    assert other.mistakes.min(axis=(1, 2, 3)).max() == 0
    assert other.mistakes.max(axis=(1, 2, 3)).min() == 255
    assert not other.diagnosis.notes


def test_a_first_batch_of_black_images_does_not_decide_how_the_others_are_shown(net: keras.Model) -> None:
    images = IMAGES.astype("float32")
    images[:8] = 0
    report = diagnose(net, images, LABELS, batch_size=8)
    place = int(np.searchsorted(report.predictions.misclassified, 8))
    assert place < len(report.predictions.misclassified)
    np.testing.assert_array_equal(report.mistakes[place:], IMAGES[report.predictions.misclassified[place:]])


def test_an_unknown_preprocessing_is_refused(net: keras.Model) -> None:
    with pytest.raises(SettingsError, match=r"`preprocess` must be one of raw.*Received: 'vgg'"):
        diagnose(net, IMAGES, LABELS, preprocess="vgg")  # type: ignore[arg-type]


@pytest.mark.parametrize("display", [255 - IMAGES, lambda batch: 255 - batch], ids=["array", "callable"])
@pytest.mark.parametrize("size", [5, 256])
def test_display_gives_the_images_to_show(net: keras.Model, report: Report, display: Any, size: int) -> None:
    other = diagnose(net, IMAGES, LABELS, display=display, batch_size=size)
    np.testing.assert_array_equal(other.mistakes, 255 - IMAGES[report.predictions.misclassified])
    assert other.diagnosis.dataset.test_fingerprint != report.diagnosis.dataset.test_fingerprint
    assert other.diagnosis.test.accuracy == report.accuracy


@pytest.mark.parametrize(
    ("display", "received"),
    [
        (IMAGES[:9], r"uint8 of shape \(9, 8, 8, 3\) for images 0 to 22"),
        (np.concatenate([IMAGES, IMAGES]), "46 images for 23 inputs"),
        (IMAGES / 255, "float64"),
        (lambda batch: batch[:4], r"\(4, 8, 8, 3\)"),
    ],
)
def test_display_images_of_another_number_or_dtype_are_refused(net: keras.Model, display: Any, received: str) -> None:
    with pytest.raises(DataError, match=rf"`display` must.*Received: .*{received}"):
        diagnose(net, IMAGES, LABELS, display=display)


@pytest.mark.parametrize("channel_axis", [True, False])
def test_grey_images_with_and_without_a_channel_axis(channel_axis: bool) -> None:
    net, grey = network((8, 8, 1)), IMAGES[..., :1]
    other = diagnose(net, grey if channel_axis else grey[..., 0], LABELS)
    np.testing.assert_array_equal(other.mistakes, grey[other.predictions.misclassified])
    assert other.diagnosis.dataset.image_shape == [8, 8, 1]
    assert other.accuracy == diagnose(net, grey, LABELS).accuracy
    assert other.heatmaps is not None
    assert other.diagnosis.heatmaps.trust is not None


def test_images_of_two_channels_are_shown_by_display() -> None:
    net, radar = network((8, 8, 2)), IMAGES[..., :2]
    with pytest.raises(DataError, match=r"display=.*Received: shape \(23, 8, 8, 2\)"):
        diagnose(net, radar, LABELS)
    other = diagnose(net, radar, LABELS, display=lambda batch: batch[..., :1])
    np.testing.assert_array_equal(other.mistakes, radar[other.predictions.misclassified][..., :1])


def test_large_images_are_kept_at_the_size_of_the_page() -> None:
    large = np.kron(IMAGES, np.ones((1, 30, 30, 1), "uint8"))
    other = diagnose(network((240, 240, 3)), large, LABELS)
    assert other.mistakes.shape[1:] == (94, 94, 3)
    assert other.diagnosis.dataset.image_shape == [240, 240, 3]


def test_batches_are_not_kept() -> None:
    """Only small pictures of the mistakes stay in memory."""
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def stream() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        nonlocal most
        for images, labels in batches(size=2) * 4:
            batch = images.copy()
            alive.append(weakref.ref(batch))
            yield batch, labels
            del batch
            most = max(most, sum(each() is not None for each in alive))

    report = diagnose(network(), stream())
    assert report.diagnosis.test.size == 4 * COUNT
    assert len(alive) == 48
    assert most <= 3
    assert len(report.mistakes) == report.diagnosis.misclassified.count


# --- models -----------------------------------------------------------------------------------------------------------


def branches(named: bool) -> tuple[keras.Model, Any]:
    """A net that takes an image and a number, and its inputs."""
    picture, number = keras.Input(SHAPE, name="picture"), keras.Input((2,), name="number")
    keras.utils.set_random_seed(1)
    pooled = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(L.Rescaling(1 / 255)(picture)))
    scores = L.Dense(CLASSES)(L.Concatenate()([pooled, number]))
    numbers = np.random.default_rng(1).normal(size=(COUNT, 2)).astype("float32")
    if named:
        return keras.Model({"number": number, "picture": picture}, scores), {"number": numbers, "picture": IMAGES}
    return keras.Model([number, picture], scores), [numbers, IMAGES]


@pytest.mark.parametrize("named", [False, True], ids=["list", "dict"])
def test_the_image_among_several_inputs_is_shown(named: bool) -> None:
    net, inputs = branches(named)
    other = diagnose(net, inputs, LABELS, batch_size=7)
    np.testing.assert_array_equal(other.mistakes, IMAGES[other.predictions.misclassified])
    np.testing.assert_array_equal(other.predictions.predicted, net.predict(inputs, verbose=0).argmax(axis=1))
    assert other.diagnosis.value_range == (0, 255)


@pytest.fixture(scope="module")
def two_outputs() -> keras.Model:
    inputs = keras.Input(SHAPE)
    keras.utils.set_random_seed(1)
    pooled = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(L.Rescaling(1 / 255)(inputs)))
    return keras.Model(inputs, {"kind": L.Dense(CLASSES)(pooled), "sex": L.Dense(2)(pooled)})


def test_one_of_two_outputs_must_be_named(two_outputs: keras.Model) -> None:
    with pytest.raises(ModelError, match=r"`output=` must name.*'kind', 'sex'.*Received: output=None"):
        diagnose(two_outputs, IMAGES, LABELS)
    kind = diagnose(two_outputs, IMAGES, LABELS, output="kind")
    sex = diagnose(two_outputs, IMAGES, LABELS % 2, output="sex")
    assert (len(kind.confusion), len(sex.confusion)) == (CLASSES, 2)
    assert kind.diagnosis.settings["output"] == "kind"
    expected = two_outputs.predict(IMAGES, verbose=0)["kind"].argmax(axis=1)
    np.testing.assert_array_equal(kind.predictions.predicted, expected)


class Subclassed(keras.Model):  # type: ignore[misc]
    """Its sigmoid, if any, is not a layer, and it states no input shape."""

    def __init__(self, units: int, sigmoid: bool) -> None:
        super().__init__()
        self.stack, self.sigmoid = layers(units), sigmoid

    def call(self, images: Any) -> Any:
        x = ops.cast(images, "float32") / 255
        for layer in self.stack:
            x = layer(x)
        return ops.sigmoid(20 * (x - 0.02)) if self.sigmoid else x


def test_a_subclassed_model_gives_the_same_report_as_a_functional_one(net: keras.Model, report: Report) -> None:
    model = Subclassed(CLASSES, sigmoid=False)
    model(IMAGES[:1])
    model.set_weights(net.get_weights())
    _assert_alike(diagnose(model, IMAGES, LABELS), report, but=("model", "heatmaps"))


def test_a_subclassed_model_may_be_unbuilt() -> None:
    assert diagnose(Subclassed(CLASSES, sigmoid=False), IMAGES, LABELS).heatmaps is not None


def test_a_nested_backbone_is_explained_inside() -> None:
    backbone = keras.applications.MobileNet(input_shape=(32, 32, 3), alpha=0.25, include_top=False, weights=None)
    backbone.trainable = False
    inputs = keras.Input((32, 32, 3))
    features = backbone(keras.applications.mobilenet.preprocess_input(inputs))
    pooled = L.GlobalAveragePooling2D()(features)
    net = keras.Model(inputs, L.Dense(CLASSES, kernel_initializer="random_normal")(pooled))
    enlarged = np.kron(IMAGES, np.ones((1, 4, 4, 1), "uint8"))
    other = diagnose(net, enlarged.astype("float32"), LABELS)
    assert other.heatmaps is not None
    assert other.heatmaps.layer.startswith(f"{backbone.name}/")
    assert other.diagnosis.parameters == net.count_params()


BINARY = LABELS % 2


def binary(activation: str | None) -> keras.Sequential:
    """A net of one unit, some of whose probabilities are above one half and some below."""
    net = network(SHAPE, 1, activation)
    logits = network(SHAPE, 1).predict(IMAGES, verbose=0)
    net.layers[-1].bias.assign([-float(np.median(logits))])
    return net


def test_one_unit_gives_the_same_report_as_logit_and_as_probability() -> None:
    """Recognised by the layer or, for the logit, by the compiled loss."""
    logit, sigmoid = binary(None), binary("sigmoid")
    logit.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
    expected = diagnose(logit, IMAGES, BINARY)
    probabilities = sigmoid.predict(IMAGES, verbose=0)[:, 0]
    assert 0 < expected.confusion[:, 0].sum() < COUNT
    np.testing.assert_array_equal(expected.predictions.predicted, probabilities > 0.5)
    np.testing.assert_allclose(np.exp(expected.predictions.log_probabilities[:, 1]), probabilities, rtol=1e-5)
    _assert_alike(diagnose(sigmoid, IMAGES, BINARY), expected, but=("model", "checks"))


def test_a_probability_computed_in_call_is_recognised_by_the_compiled_loss() -> None:
    model = Subclassed(1, sigmoid=True)
    model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=False))
    with pytest.warns(UserWarning, match="none of its layers computes them"):
        other = diagnose(model, IMAGES, BINARY)
    probabilities = model.predict(IMAGES, verbose=0)[:, 0]
    np.testing.assert_allclose(np.exp(other.predictions.log_probabilities[:, 1]), probabilities, rtol=1e-4)
    assert "loss-mismatch" not in codes(other)


@pytest.mark.parametrize("activation", ["softmax", None])
def test_softmax_and_logits_give_the_same_report(report: Report, activation: str | None) -> None:
    _assert_alike(diagnose(network(SHAPE, CLASSES, activation), IMAGES, LABELS), report, but=("model",))


def codes(report: Report) -> list[str]:
    return [finding.code for finding in report.findings]


@pytest.mark.parametrize(
    ("activation", "from_logits", "mismatch"),
    [
        ("softmax", True, "ignored-from-logits"),
        ("softmax", False, None),
        (None, True, None),
        (None, False, "loss-mismatch"),
        (None, None, None),
    ],
)
def test_a_mismatched_loss_is_a_finding(activation: str | None, from_logits: bool | None, mismatch: str | None) -> None:
    """Keras takes the logits before a softmax, so that only the other mismatch is an error."""
    model = network(SHAPE, CLASSES, activation)
    if from_logits is not None:
        model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits))
    rules = ("loss-mismatch", "ignored-from-logits")
    found = [finding for finding in diagnose(model, IMAGES, LABELS).findings if finding.code in rules]
    assert [finding.code for finding in found] == ([mismatch] if mismatch else [])
    if mismatch:
        assert f"from_logits={not from_logits}" in found[0].advice


def test_half_precision_is_supported(report: Report) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        other = diagnose(network(), IMAGES, LABELS)
    finally:
        keras.config.set_dtype_policy(before)
    assert other.diagnosis.heatmaps.count == other.diagnosis.misclassified.count
    np.testing.assert_allclose(
        other.predictions.log_probabilities, report.predictions.log_probabilities, atol=5e-3, rtol=0
    )
    assert not np.array_equal(other.predictions.log_probabilities, report.predictions.log_probabilities)


def test_a_dense_net_has_no_heatmaps_and_the_page_gives_the_reason(tmp_path: Path) -> None:
    dense = keras.Sequential([keras.Input(SHAPE), L.Rescaling(1 / 255), L.Flatten(), L.Dense(CLASSES)])
    other = diagnose(dense, IMAGES, LABELS)
    assert other.heatmaps is None
    assert other.diagnosis.heatmaps.count == 0
    assert "no-heatmaps" in codes(other)
    assert "needs a convolution" in str(other.diagnosis.heatmaps.unavailable)
    np.testing.assert_array_equal(other.predictions.predicted, dense.predict(IMAGES, verbose=0).argmax(axis=1))
    assert "needs a convolution" in other.save(tmp_path).read_text()


def test_the_model_is_not_changed(net: keras.Model) -> None:
    before = [weight.copy() for weight in net.get_weights()]
    diagnose(net, IMAGES, LABELS)
    for mine, theirs in zip(net.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


# --- two to a thousand classes ----------------------------------------------------------------------------------------


def test_a_thousand_classes_most_without_images(tmp_path: Path) -> None:
    labels = np.random.default_rng(2).integers(0, 1000, COUNT)
    other = diagnose(network(SHAPE, 1000), IMAGES, labels)
    page = other.save(tmp_path)
    assert other.confusion.shape == (1000, 1000)
    assert other.diagnosis.test.top5_accuracy is not None
    assert page.stat().st_size < 3e6


def test_classes_without_images_or_correct_predictions_are_supported(net: keras.Model, tmp_path: Path) -> None:
    predicted = diagnose(net, IMAGES, LABELS).predictions.predicted
    never = next(label for label in range(CLASSES) if label != predicted[0])
    missed = np.full(COUNT, never)  # one class has all images, so other predictions are wrong
    other = diagnose(net, IMAGES, missed)
    absent = [each.name for each in other.diagnosis.per_class if each.recall is None]
    assert len(absent) == CLASSES - 1
    assert other.accuracy == np.mean(predicted == never)
    assert other.save(tmp_path).stat().st_size > 10_000


def test_a_perfect_model_has_a_page(net: keras.Model, report: Report, tmp_path: Path) -> None:
    other = diagnose(net, IMAGES, report.predictions.predicted)
    assert other.accuracy == 1
    assert other.mistakes.shape == (0, *SHAPE)
    assert other.save(tmp_path).exists()


# --- every argument ---------------------------------------------------------------------------------------------------


def test_class_names_are_shown(net: keras.Model, report: Report) -> None:
    named = diagnose(net, IMAGES, LABELS, class_names=["ant", "bee", "cow"])
    assert [each.name for each in named.diagnosis.per_class] == ["ant", "bee", "cow"]
    assert report.diagnosis.dataset.classes == ["0", "1", "2"]


@pytest.mark.parametrize(("names", "received"), [(["ant"], "1 names"), ({"ant": 0, "bee": 1}, "2 names")])
def test_class_names_of_another_number_are_refused(net: keras.Model, names: Any, received: str) -> None:
    with pytest.raises(DataError, match=rf"`class_names` must name each of the 3 classes.*Received: {received}$"):
        diagnose(net, IMAGES, LABELS, class_names=names)


def test_class_names_without_an_order_are_refused(net: keras.Model) -> None:
    with pytest.raises(DataError, match=r"in the order of the model's outputs.*a set, which has no order"):
        diagnose(net, IMAGES, LABELS, class_names={"ant", "bee", "cow"})


def test_labels_may_be_names(net: keras.Model, report: Report) -> None:
    names = {"cow": 2, "ant": 0, "bee": 1}
    named = diagnose(net, IMAGES, [["ant", "bee", "cow"][label] for label in LABELS], class_names=names)
    assert [each.name for each in named.diagnosis.per_class] == ["ant", "bee", "cow"]
    np.testing.assert_array_equal(named.confusion, report.confusion)


@pytest.mark.parametrize("form", ["arrays", "batches"])
def test_labels_of_minus_one_and_one_are_those_of_a_hinge_loss(form: str) -> None:
    model = keras.Sequential([keras.Input(SHAPE), L.Flatten(), L.Dense(1, activation="tanh")])
    model.compile("sgd", "hinge")
    labels = LABELS % 2
    signs = 2 * labels - 1
    found = diagnose(model, IMAGES, signs) if form == "arrays" else diagnose(model, batches(IMAGES, signs))
    np.testing.assert_array_equal(found.predictions.labels, labels)
    assert found.accuracy == np.mean((model.predict(IMAGES, verbose=0)[:, 0] > 0) == labels)
    model.compile("sgd", "binary_crossentropy")
    with pytest.raises(DataError, match=r"classes -1 to 1\. A cross-entropy takes the labels 0 and 1"):
        diagnose(model, IMAGES, signs)


def test_ignored_weights_are_said(net: keras.Model, report: Report) -> None:
    weighted = diagnose(net, [(*batch, np.ones(len(batch[1]))) for batch in batches()])
    assert weighted.diagnosis.notes == ["Sample weights are ignored: every image counts equally."]
    _assert_alike(weighted, report, but=("notes",))


def test_steps_end_the_evaluation(net: keras.Model) -> None:
    endless = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(5).repeat()
    few = diagnose(net, endless, steps=3)
    np.testing.assert_array_equal(few.predictions.labels, LABELS[:15])
    assert few.diagnosis.settings["steps"] == 3
    with pytest.raises(SettingsError, match="`steps` must be a whole number, 1 or more"):
        diagnose(net, endless, steps=0)


class OfFolder(Batches):
    """Carries names and files, as `image_dataset_from_directory` does."""

    def __init__(self, shuffled: bool = False) -> None:
        super().__init__()
        self.class_names = ["ant", "bee", "cow"]
        self.file_paths = [f"/data/{self.class_names[label]}/{number}.png" for number, label in enumerate(LABELS)]
        if shuffled:
            self.file_paths.reverse()


def test_names_and_files_that_data_carries_are_used(net: keras.Model) -> None:
    carried = diagnose(net, OfFolder())
    assert carried.diagnosis.dataset.classes == ["ant", "bee", "cow"]
    assert carried.files == tuple(file.removeprefix("/data/") for file in OfFolder().file_paths)
    given = diagnose(net, OfFolder(), class_names=[*"abc"], files=[f"{number}.png" for number in range(COUNT)])
    assert given.diagnosis.dataset.classes == [*"abc"]
    assert given.files[0] == "0.png"


def test_files_of_shuffled_data_are_left_out_or_refused(net: keras.Model) -> None:
    data = OfFolder(shuffled=True)
    left_out = diagnose(net, data)
    assert left_out.files == ()
    assert "File names are left out" in left_out.diagnosis.notes[0]
    with pytest.raises(DataError, match=r"`files` must be in the order of the images.*shuffle=False"):
        diagnose(net, data, files=data.file_paths)


def test_history_and_range_test_are_on_the_page() -> None:
    model = network()
    logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss=logits, metrics=["accuracy"])
    history = model.fit(IMAGES, LABELS, epochs=2, validation_split=0.2, verbose=0)
    test = lrdiag.find_lr(model, IMAGES, LABELS, iterations=20, batch_size=8)
    complete = diagnose(model, IMAGES, LABELS, history=history, range_test=test)
    assert complete.diagnosis.training is not None
    assert [epoch.loss for epoch in complete.diagnosis.training.epochs] == pytest.approx(history.history["loss"])
    assert complete.diagnosis.range_test == test.facts()
    by_facts = diagnose(model, IMAGES, LABELS, history=history.history, range_test=test.facts())
    assert by_facts.diagnosis.range_test == test.facts()
    assert by_facts.diagnosis.training == complete.diagnosis.training
    assert "no-range-test" not in codes(complete)
    plain = diagnose(model, IMAGES, LABELS)
    assert (plain.diagnosis.training, plain.diagnosis.range_test) == (None, None)


def test_a_recorded_training_run_is_used_unchanged(net: keras.Model) -> None:
    training = TrainingRun([], [0.1], [1.0], 1, 1, "SGD", "", None, None)
    assert diagnose(net, IMAGES, LABELS, history=training).diagnosis.training is training


def test_the_history_of_another_model_is_refused(net: keras.Model) -> None:
    other = network()
    other.compile("sgd", "sparse_categorical_crossentropy")
    history = other.fit(IMAGES, LABELS, verbose=0)
    with pytest.raises(DataError, match=r"`history` must come from training this model.*Received: the history of"):
        diagnose(net, IMAGES, LABELS, history=history)


def test_name_and_files_are_shown(net: keras.Model, report: Report) -> None:
    files = [Path(f"photo-{number}.png") for number in range(COUNT)]
    named = diagnose(net, IMAGES, LABELS, name="creatures", files=files)
    assert named.diagnosis.dataset.name == "creatures"
    first = named.diagnosis.misclassified.items[0]
    assert first.file == f"photo-{first.index}.png"
    assert report.diagnosis.misclassified.items[0].file is None


def test_metadata_names_a_group_that_fails() -> None:
    """The model predicts the colour of an image, and the labels of one site are those of other colours."""
    images = np.random.default_rng(1).integers(0, 200, (160, *SHAPE), dtype="uint8")
    colours, north = np.arange(160) % CLASSES, np.arange(160) % 5 == 0
    images[np.arange(160), ..., colours] += 55
    colour = keras.Sequential([keras.Input(SHAPE), L.Conv2D(3, 1, use_bias=False), L.GlobalAveragePooling2D()])
    colour.set_weights([np.eye(3)[None, None]])
    files = [f"{number}.png" for number in range(160)]
    table = {"file": files[::-1], "site": np.where(north, "north", "south")[::-1], "patient": range(160)}
    seen = diagnose(colour, images, (colours + north) % CLASSES, files=files, metadata=table, groups="patient")
    slices = seen.diagnosis.data.slices
    assert slices is not None
    assert [(each.name, each.size, each.wrong) for each in slices] == [("site = north", 32, 32)]
    assert seen.diagnosis.settings["groups"] == "patient"


def test_files_of_another_number_are_refused(net: keras.Model) -> None:
    with pytest.raises(DataError, match=r"`files` must name one file for each image.*Received: 2 names for 23"):
        diagnose(net, IMAGES, LABELS, files=["a", "b"])


def test_the_batch_size_is_used(report: Report) -> None:
    sizes: list[int] = []

    def show(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        return batch

    other = diagnose(network(), IMAGES, LABELS, batch_size=5, display=show)
    assert sizes == [5, 5, 5, 5, 3]
    _assert_alike(other, report, but=("model",))


def test_a_batch_size_below_one_is_refused(net: keras.Model) -> None:
    with pytest.raises(SettingsError, match=r"`batch_size` must be a whole number, 1 or more. Received: 0"):
        diagnose(net, IMAGES, LABELS, batch_size=0)


def test_the_seed_chooses_the_sample_of_the_heatmap_check() -> None:
    many = np.random.default_rng(3).integers(0, 256, (400, *SHAPE), dtype="uint8")
    net, labels = network(), np.random.default_rng(4).integers(0, CLASSES, 400)
    trusts = [diagnose(net, many, labels, seed=seed).diagnosis.heatmaps.trust for seed in (0, 1)]
    assert trusts[0] != trusts[1]
    assert trusts[0] is not None
    assert trusts[0].images == 200
    in_batches = diagnose(net, many, labels, batch_size=64).diagnosis.heatmaps.trust
    assert in_batches is not None
    assert in_batches.deletion_auc == pytest.approx(trusts[0].deletion_auc, abs=1e-5)


def test_progress_counts_the_images(net: keras.Model) -> None:
    from contextlib import contextmanager

    events: list[Any] = []

    class Listener:
        @contextmanager
        def stage(self, name: str, total: int | None = None, unit: str = "") -> Iterator[Any]:
            events.append((name, total))
            yield self

        def advance(self, count: int, *_: Any) -> None:
            events.append(count)

        def say(self, *_: Any) -> None: ...

        def warn(self, *_: Any) -> None: ...

    diagnose(net, IMAGES, LABELS, batch_size=20, progress=Listener())  # type: ignore[arg-type]
    assert events[:3] == [("Predicting and explaining", COUNT), 20, 3]


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dense", [False, True], ids=["convolutional", "dense"])
@pytest.mark.parametrize("images", [IMAGES[..., :1], IMAGES.reshape(COUNT, -1), IMAGES[:, :4]], ids=str)
def test_images_of_another_shape_are_refused_with_both_shapes(dense: bool, images: np.ndarray) -> None:
    tail = [L.Flatten(), L.Dense(CLASSES)] if dense else layers()
    inputs = outputs = keras.Input(SHAPE)
    for layer in tail:
        outputs = layer(outputs)
    if not dense and images.shape[1:] == (4, 8, 3):
        return  # this net pools images of any size
    received = str(("n", *images.shape[1:])).replace("'", "")
    with pytest.raises(ModelError) as error:
        diagnose(keras.Model(inputs, outputs), images, LABELS)
    assert f"Received: {received} for the model" in str(error.value)
    assert "takes (n, 8, 8, 3)" in str(error.value)
    assert "\x1b" not in str(error.value)
    assert "Arguments received" not in str(error.value)


def test_a_subclassed_model_that_rejects_the_images_gives_the_same_error() -> None:
    model = Subclassed(CLASSES, sigmoid=False)
    model(IMAGES[:1])
    with pytest.raises(ModelError, match=r"Received: \(n, 8, 8, 1\) for .* does not state its input shape"):
        diagnose(model, IMAGES[..., :1], LABELS)


def test_labels_that_exceed_the_outputs_are_refused(net: keras.Model) -> None:
    with pytest.raises(DataError, match=r"0 to 2: the model scores 3. Received: classes 1 to 3\. If .*labels - 1"):
        diagnose(net, IMAGES, LABELS + 1)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (IMAGES[:0], LABELS[:0], "at least one image"),
        ([], None, "at least one image"),
        (tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).take(0).batch(5), None, "at least one image"),
        (IMAGES, None, "needs labels. Pass `y`"),
        (IMAGES, LABELS[:5], "one label for each.*23 and 5"),
        (IMAGES, np.array([*"abc"] * 8)[:COUNT], "need `class_names`"),
        (tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(5).repeat(), None, r"take\(batches\)"),
        ([(IMAGES[:4], LABELS[:4]), (IMAGES[:4, :6], LABELS[:4])], None, r"one size.*\(8, 8, 3\) and \(6, 8, 3\)"),
    ],
    ids=["no-images", "no-batches", "empty-tf.data", "no-labels", "fewer-labels", "names", "endless", "sizes"],
)
def test_unusable_data_is_refused(net: keras.Model, x: Any, y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        diagnose(net, x, y)


def test_other_objects_than_models_are_refused(net: keras.Model) -> None:
    with pytest.raises(ModelError, match=r"must be a keras.Model, and this is a function. .* Received: method"):
        diagnose(net.predict, IMAGES, LABELS)


def test_nan_images_are_refused_and_named(net: keras.Model) -> None:
    spoilt = IMAGES.astype("float32")
    spoilt[7, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match=r"must be finite.*Received: NaN or infinite values in images 5 to 9"):
        diagnose(net, spoilt, LABELS, batch_size=5)


def test_nan_outputs_give_a_report(tmp_path: Path) -> None:
    broken = network()
    broken.layers[-1].bias.assign([np.nan] * CLASSES)
    other = diagnose(broken, IMAGES, LABELS)
    assert other.diagnosis.test.loss is None
    assert other.accuracy == np.mean(LABELS == 0)
    assert other.findings[0].severity == "error"
    assert other.save(tmp_path).exists()


def test_checks_are_turned_off_and_findings_accepted(better: Report) -> None:
    broken = network()
    broken.layers[-1].bias.assign([np.nan] * CLASSES)
    checks = {"at-chance": False, "not-finite": "warning", "collapsed-predictions": False, "class-regression": False}
    report = diagnose(broken, IMAGES, LABELS, checks=checks, accept={"not-finite": "a broken model"})
    found = {finding.code: finding for finding in report.findings}
    assert (found["not-finite"].severity, found["not-finite"].accepted) == ("warning", "a broken model")
    compared = {check.code: check.reason for check in report.compared_with(better).diagnosis.checks}
    assert compared["at-chance"] == compared["class-regression"] == "turned off"
    with pytest.raises(SettingsError, match="Did you mean 'not-finite'"):
        diagnose(broken, IMAGES, LABELS, checks={"not-finit": False})


def _trained(scaled: bool) -> keras.Model:
    """A net that separates bright from dark images, if they are scaled as in training."""
    inputs = keras.Input(SHAPE)
    pooled = L.GlobalAveragePooling2D()(L.Conv2D(1, 1, kernel_initializer="ones", use_bias=False)(inputs))
    dense = L.Dense(2)
    net = keras.Model(inputs, dense(pooled))
    middle = 1.5 if scaled else 1.5 * 255
    dense.set_weights([np.array([[-1.0, 1.0]]), np.array([middle, -middle])])
    return net


@pytest.mark.parametrize(
    ("scaled", "given", "values"),
    [(False, "0..1", "values from 0 to 1."), (True, "raw", "values from 0 to 255.")],
    ids=["scaled-for-raw", "raw-for-scaled"],
)
def test_images_scaled_differently_than_in_training_are_a_finding(
    scaled: bool, given: Any, values: str, tmp_path: Path
) -> None:
    bright = np.arange(COUNT) % 2
    images = np.random.default_rng(5).integers(5, 100, (COUNT, *SHAPE), dtype="uint8") + 150 * bright[
        :, None, None, None
    ].astype("uint8")
    images[0, 0, 0], images[1, 0, 0] = 0, 255
    model = _trained(scaled)
    right = diagnose(model, preprocess(images, "0..1" if scaled else "raw").astype("float32"), bright)
    assert right.accuracy == 1
    assert "at-chance" not in codes(right)
    wrong = diagnose(model, preprocess(images, given).astype("float32"), bright)
    finding = wrong.findings[0]
    assert finding.code == "collapsed-predictions"
    assert values in finding.evidence
    assert "scaled" in finding.advice
    page = wrong.save(tmp_path).read_text()
    assert page.index(html.escape(finding.title)) < page.index("<h2")


def test_the_range_test_of_an_uncompiled_model_gives_advice(net: keras.Model) -> None:
    with pytest.raises(ModelError, match=r"call model.compile\(optimizer, loss\)"):
        lrdiag.find_lr(network(), IMAGES, LABELS)


# --- the report -------------------------------------------------------------------------------------------------------


def test_a_report_has_attributes(report: Report, net: keras.Model) -> None:
    predicted = net.predict(IMAGES, verbose=0).argmax(axis=1)
    assert report.accuracy == np.mean(predicted == LABELS)
    for true, named in ((0, 0), (1, 2), (2, 1)):
        assert report.confusion[true, named] == np.sum((true == LABELS) & (predicted == named))
    np.testing.assert_array_equal(report.mistakes, IMAGES[predicted != LABELS])
    assert report.findings == report.diagnosis.findings
    assert (
        repr(report) == f"Report(accuracy={report.accuracy:.4f}, images=23, misclassified={sum(predicted != LABELS)})"
    )


def test_a_report_converts_to_plain_data(report: Report) -> None:
    plain = report.to_dict()
    assert plain == json.loads(json.dumps(plain))
    assert plain["test"]["accuracy"] == report.accuracy
    assert msgspec.convert(plain, type(report.diagnosis)) == report.diagnosis


def test_a_saved_report_is_a_run_folder(report: Report, tmp_path: Path) -> None:
    page = report.save(tmp_path / "new" / "folder")
    assert page == tmp_path / "new" / "folder" / "report.html"
    loaded = reading.load(page.parent)
    assert loaded.diagnosis == report.diagnosis
    saved = json.loads((page.parent / "report.json").read_text())
    assert saved.pop("files")
    assert saved == report.to_dict()
    assert {"summary.md", "summary.png"} <= {path.name for path in page.parent.iterdir()}
    assert not (page.parent / "assets").exists()
    report.save(tmp_path, assets="folder")
    assert list((tmp_path / "assets").iterdir())


def test_a_seed_below_zero_is_refused(net: keras.Model) -> None:
    with pytest.raises(SettingsError, match=r"`seed` must be a whole number, 0 or more. Received: -1"):
        diagnose(net, IMAGES, LABELS, seed=-1)


def test_a_report_without_training_and_range_test_writes_no_empty_tables(report: Report, tmp_path: Path) -> None:
    report.save(tmp_path)
    tables = {path.name for path in tmp_path.glob("*.csv")}
    assert tables == {"predictions.csv"}


def test_a_folder_that_is_used_again_keeps_no_file_of_the_earlier_run(
    net: keras.Model, report: Report, tmp_path: Path
) -> None:
    history = {"loss": [1.0, 0.5], "accuracy": [0.25, 0.5]}
    rates = np.geomspace(1e-4, 1, 30)
    test = RangeTestFacts(rates.tolist(), [1.0] * 30, [1.0] * 30, "the last learning rate was reached")
    (tmp_path / "model.keras").write_bytes(b"the model of the first run")
    (tmp_path / "weights.h5").write_bytes(b"the user's own")
    first = diagnose(net, IMAGES, LABELS, history=history, range_test=test)
    first.save(tmp_path, own=["model.keras"])
    assert {"history.csv", "range_test.csv", "heatmaps.npz", "model.keras"} <= {
        file.name for file in tmp_path.iterdir()
    }
    report.save(tmp_path)
    left = {file.name for file in tmp_path.iterdir()}
    assert not {"history.csv", "range_test.csv", "model.keras"} & left
    assert {"heatmaps.npz", "predictions.csv", "weights.h5"} <= left
    assert reading.load(tmp_path) == report.run


def test_tables_of_a_report_whose_page_failed_are_not_left_beside_the_next(
    net: keras.Model, report: Report, tmp_path: Path
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "report.html.j2").write_text("{{ missing }}")
    first = diagnose(net, IMAGES, LABELS, history={"loss": [1.0, 0.5]})
    with pytest.raises(TemplateError):
        first.save(tmp_path / "run", templates=tmp_path / "templates")
    assert (tmp_path / "run" / "history.csv").exists()
    report.save(tmp_path / "run")
    assert not (tmp_path / "run" / "history.csv").exists()


def test_a_table_of_a_sweep_without_smoothed_losses_is_written(net: keras.Model, tmp_path: Path) -> None:
    sweep = lrdiag.RangeTest((Sweep(np.geomspace(1e-4, 1, 30), np.ones(30)),))
    diagnose(net, IMAGES, LABELS, range_test=sweep).save(tmp_path)
    assert (tmp_path / "range_test.csv").read_text().splitlines()[1] == "0,0.0001,1.0,"


def test_custom_templates_are_used(report: Report, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "report.html.j2").write_text("mine")
    assert report.save(tmp_path / "run", templates=tmp_path / "templates").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_refused(report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written"):
        report.save(tmp_path / "file" / "run")


def test_a_notebook_shows_the_page_on_demand_in_an_iframe(report: Report) -> None:
    from bs4 import BeautifulSoup

    frame = BeautifulSoup(report.show()._repr_html_(), "html.parser")
    (only,) = frame.find_all(True)
    assert only.name == "iframe"
    page = BeautifulSoup(only["srcdoc"], "html.parser")
    assert page.find("html") is not None
    assert page.find("h1") is not None


@pytest.fixture(scope="module")
def better(net: keras.Model, report: Report) -> Report:
    """A report on the same images, with one more correct prediction."""
    other = network()
    other.set_weights(net.get_weights())
    other.layers[-1].bias.assign_add([0.0, 0.01, 0.0])
    return diagnose(other, IMAGES, LABELS)


@pytest.mark.parametrize("kind", ["report", "folder", "report.json"])
def test_a_report_is_compared_with_an_earlier_one(
    net: keras.Model, report: Report, better: Report, tmp_path: Path, kind: str
) -> None:
    report.save(tmp_path)
    baseline = {"report": report, "folder": tmp_path, "report.json": tmp_path / "report.json"}[kind]
    compared = better.compared_with(baseline)
    assert compared.diagnosis.comparison is not None
    assert compared.diagnosis.comparison.difference == pytest.approx(better.accuracy - report.accuracy)
    assert better.diagnosis.comparison is None
    at_once = diagnose(net, IMAGES, LABELS, baseline=baseline)
    assert at_once.diagnosis.comparison is not None
    assert at_once.diagnosis.comparison.difference == 0


def test_other_images_are_not_compared(net: keras.Model, report: Report) -> None:
    with pytest.raises(ComparisonError, match="same"):
        diagnose(net, IMAGES[::-1], LABELS, baseline=report)
    with pytest.raises(ComparisonError):
        report.compared_with(dataclasses.replace(diagnose(net, IMAGES, LABELS, class_names=[*"abc"])))


def test_a_baseline_that_cannot_be_read_is_refused_before_the_images_are(net: keras.Model, tmp_path: Path) -> None:
    read = []
    batches = ((read.append(1) or IMAGES, LABELS) for _ in range(1))  # type: ignore[func-returns-value]
    with pytest.raises(RunFolderError, match="nowhere"):
        diagnose(net, batches, baseline=tmp_path / "nowhere")
    assert not read
