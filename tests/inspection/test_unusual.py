"""Sound programs of unusual habits: an inspection leaves them as they were, and finds no fault in them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.checking import check_early
from lrdiag.inspection.images import GivenImages, NotReadable, _some_pixels, look_at, values_of
from lrdiag.inspection.inspector import Inspector
from lrdiag.inspection.network import Observer

L = keras.layers
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.random((64, 8, 8, 1), "float32")
LABELS = np.arange(64) % 4


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Draws batches from the global random state of NumPy."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = np.random.randint(0, len(IMAGES), 8)  # noqa: NPY002
        return IMAGES[chosen], LABELS[chosen]


def compiled(model: keras.Model, loss: str = "sparse_categorical_crossentropy") -> keras.Model:
    model.compile("adam", loss)
    return model


def inspector_of(model: keras.Model, x: Any = IMAGES, y: Any = LABELS) -> Inspector:
    inspector = Inspector(model)
    inspector.look_at_model()
    inspector.look_at_data(GivenImages("arrays", x, y), None)
    inspector.look_at_start(100)
    return inspector


def test_a_layer_that_changes_its_kernel_in_training_mode_keeps_it() -> None:
    layer = L.SpectralNormalization(L.Conv2D(4, 3))
    model = compiled(keras.Sequential([keras.Input((8, 8, 1)), layer, L.Flatten(), L.Dense(4, activation="softmax")]))
    layer.trainable = False
    before = model.get_weights()
    inspector = inspector_of(model)
    inspector.look_at_epoch(1, 2)
    assert inspector.seen.layers
    assert inspector.seen.start
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


def test_a_dataset_that_draws_from_the_global_state_gives_the_same_images_afterwards() -> None:
    np.random.seed(3)  # noqa: NPY002
    expected = Batches()[0][0]
    np.random.seed(3)  # noqa: NPY002
    look_at(GivenImages("batches", Batches()))
    np.testing.assert_array_equal(Batches()[0][0], expected)


def test_large_images_are_described_by_some_of_their_pixels() -> None:
    images = np.repeat(GENERATOR.integers(0, 256, (60, 112, 112, 3), dtype="uint8"), 2, 1).repeat(2, 2)
    images[3] = 7
    images[5, 100, 50, 1], images[5, 0, 0, 0] = 255, 0
    assert _some_pixels(images).size <= 2**21 < images.size
    values = values_of(images)
    assert (values.low, values.high, values.blank) == (0, 255, 1 / 60)
    assert values.mean == pytest.approx(images.mean(), rel=0.01)
    assert values.deviation == pytest.approx(images.std(), rel=0.01)
    assert values.between == pytest.approx(images.std(axis=0).mean(), rel=0.01)


def test_few_large_images_run_at_once() -> None:
    images = GENERATOR.random((9, 400, 400, 3), "float32")
    model = compiled(
        keras.Sequential([keras.Input((400, 400, 3)), L.GlobalAveragePooling2D(), L.Dense(2, activation="softmax")])
    )
    inspector = Inspector(model)
    inspector.look_at_data(GivenImages("arrays", images, np.arange(9) % 2, batch_size=3), None)
    inspector.look_at_start(None)
    assert inspector.seen.start is not None
    assert inspector.seen.start.images == 3


def test_an_epoch_whose_pass_fails_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    model = compiled(keras.Sequential([keras.Input((8, 8, 1)), L.Flatten(), L.Dense(4, activation="softmax")]))
    inspector = inspector_of(model)

    def without_memory(*args: Any, **kwargs: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(model.layers[-1], "call", without_memory)
    inspector.look_at_epoch(1, 2)
    assert [each.images for each in inspector.seen.epochs] == [0]
    assert "MemoryError" in inspector.seen.reasons["epochs"]


def test_the_bias_of_both_branches_of_a_difference_is_no_fault() -> None:
    encoder = keras.Sequential([keras.Input((8, 8, 1)), L.Flatten(), L.Dense(8)])
    one, other = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    scores = L.Dense(1, activation="sigmoid")(keras.ops.abs(encoder(one) - encoder(other)))
    model = compiled(keras.Model([one, other], scores), "binary_crossentropy")
    x, y = [IMAGES, IMAGES[::-1]], LABELS % 2
    inspector = inspector_of(model, x, y)
    start = inspector.seen.start
    assert start is not None
    assert [each.rpartition("/")[2] for each in start.without_gradient] == ["bias"]
    assert "disconnected-weights" not in str(_after_an_epoch(inspector, x, y))


def _after_an_epoch(inspector: Inspector, x: Any, y: Any) -> Any:
    inspector._model.fit(x, y, epochs=1, verbose=0)
    inspector.look_at_epoch(1, 2)
    return check_early(Evidence(inspection=inspector.seen, maker="callback"), "during training")


def test_channels_first_are_observed_as_channels_last() -> None:
    padding = L.ZeroPadding2D(1, data_format="channels_first")
    model = keras.Sequential([keras.Input((4, 8, 6)), padding])
    layers = Observer(model).observe(keras.ops.ones((2, 4, 8, 6))).layers
    assert (layers[0].input_shape, layers[0].shape) == ((8, 6, 4), (10, 8, 4))
    assert layers[0].activity.silent == 0


class Preparing(keras.Sequential):  # type: ignore[misc]
    """Scales images before they are batched, as the models of KerasHub do."""

    preprocessor = L.Rescaling(1 / 255)

    def preprocess_samples(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        return keras.utils.pack_x_y_sample_weight(self.preprocessor(x), y, sample_weight)


class Stepping(keras.Sequential):  # type: ignore[misc]
    """Scales images in its steps."""

    def train_step(self, data: Any) -> Any:
        return super().train_step((data[0] / 255, data[1]))

    def predict_step(self, data: Any) -> Any:
        return super().predict_step((data[0] / 255,))


def test_a_model_that_prepares_its_images_receives_prepared_ones() -> None:
    layers = [keras.Input((8, 8, 1)), L.Flatten(), L.Dense(4, activation="softmax")]
    model = compiled(Preparing(layers))
    observed = inspector_of(model, 255 * IMAGES).seen.layers
    assert observed is not None
    assert observed[0].activity.rms == pytest.approx(np.sqrt(np.square(IMAGES).mean()), rel=1e-3)
    with pytest.raises(NotReadable, match="train_data"):
        look_at(GivenImages("data", IMAGES, LABELS, prepared=True))
    seen = inspector_of(compiled(Stepping(layers)), 255 * IMAGES).seen
    assert (seen.layers, seen.start) == (None, None)
    assert "predict_step" in seen.reasons["layers"]
