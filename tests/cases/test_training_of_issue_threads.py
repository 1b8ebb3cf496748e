"""Training habits of issue threads in other projects. README.md in this folder lists the threads and the outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as L

import lrdiag
from lrdiag.errors import DataError

X, Y = np.random.default_rng(0).random((32, 8, 8, 3)).astype("float32"), np.arange(32) % 2


def network(rate: Any = 0.01) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), L.Conv2D(2, 3), L.GlobalAveragePooling2D(), L.Dense(2, activation="softmax")]
    )
    model.compile(keras.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Batches(keras.utils.PyDataset):
    """Eight images in a batch, four batches in an epoch."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        return X[8 * place : 8 * place + 8], Y[8 * place : 8 * place + 8]


@pytest.mark.parametrize("missing", ["nan", "NA", ""])
def test_a_csv_log_with_missing_validation_figures(tmp_path: Path, missing: str) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        "epoch,accuracy,loss,val_accuracy,val_loss\n"
        f"0,0.5,0.9,{missing},{missing}\n1,0.6,0.7,0.55,0.75\n2,0.7,0.6,{missing},{missing}\n"
    )
    training = lrdiag.diagnose(network(), X, Y, history=log).diagnosis.training
    assert training is not None
    assert [each.loss for each in training.epochs] == [0.9, 0.7, 0.6]
    assert [each.val_loss for each in training.epochs] == [None, 0.75, None]


def test_a_csv_log_that_a_second_run_appended_to(tmp_path: Path) -> None:
    """Old versions of Keras wrote the header again. The file is refused by name, not half of it read."""
    log = tmp_path / "log.csv"
    log.write_text("epoch,accuracy,loss\n0,0.5,0.9\n1,0.6,0.7\nepoch,accuracy,loss\n2,0.7,0.6\n")
    with pytest.raises(DataError, match=r"one training run.*log\.csv"):
        lrdiag.diagnose(network(), X, Y, history=log)


def test_training_that_resumes_at_a_later_epoch(tmp_path: Path) -> None:
    report = lrdiag.ReportCallback(tmp_path, (X, Y))
    network().fit(X, Y, batch_size=8, initial_epoch=3, epochs=5, verbose=0, callbacks=[report])
    assert report.report is not None
    training = report.report.diagnosis.training
    assert training is not None
    assert len(training.epochs) == 2
    assert (training.first_epoch, training.weights_epoch) == (4, 5)
    assert "before epoch 4" in (tmp_path / "report.html").read_text()


def test_one_cycle_over_a_dataset_of_batches_takes_its_length_from_fit() -> None:
    class Rates(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[float] = []

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.seen.append(float(self.model.optimizer.learning_rate))

    rates = Rates()
    network().fit(Batches(), epochs=3, verbose=0, callbacks=[lrdiag.OneCycleLR(0.4), rates])
    assert len(rates.seen) == 12
    peak = int(np.argmax(rates.seen))
    assert max(rates.seen) == pytest.approx(0.4, rel=0.05)
    assert 0 < peak < 11
    assert rates.seen[-1] < rates.seen[0] < 0.4


def test_a_range_test_of_a_model_that_is_compiled_with_a_schedule() -> None:
    schedule = keras.optimizers.schedules.ExponentialDecay(0.05, 10, 0.9)
    model = network(schedule)
    before = [each.copy() for each in model.get_weights()]
    test = lrdiag.find_lr(model, X, Y, batch_size=8, start_lr=1e-4, end_lr=1.0, iterations=20)
    assert test.learning_rates[0] == pytest.approx(1e-4)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)  # step 0 of its schedule again
    model.fit(X, Y, batch_size=8, epochs=1, verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05 * 0.9**0.4)
    assert any((each != now).any() for each, now in zip(before, model.get_weights(), strict=True))


def test_a_sweep_over_several_epochs_ends_at_its_last_rate() -> None:
    test = lrdiag.find_lr(network(), Batches(), start_lr=1e-5, end_lr=1e-2, iterations=10)
    assert len(test.learning_rates) == 10
    assert test.learning_rates[-1] == pytest.approx(1e-2)
    assert np.ptp(np.diff(np.log(test.learning_rates))) < 1e-6
