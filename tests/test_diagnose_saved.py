"""`lrdiag diagnose`: a saved model, evaluated on data from disk."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from fixtures.runs import FinishedRun
from PIL import Image

from lrdiag.cli.app import main
from lrdiag.diagnosing import diagnose as diagnose_in_python
from lrdiag.errors import ModelError, SettingsError
from lrdiag.pipeline import diagnose_saved
from lrdiag.record import reading
from lrdiag.settings import DiagnoseSettings

L = keras.layers
NAMES = ("ant", "bee", "cow")
SIDE = 12
generator = np.random.default_rng(0)
IMAGES = generator.integers(0, 256, (18, SIDE, SIDE, 3), dtype="uint8")
LABELS = np.repeat(np.arange(3), 6)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images sorted into classes, in the order of `IMAGES`."""
    folder = tmp_path_factory.mktemp("data") / "creatures"
    for number, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        (folder / NAMES[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / NAMES[label] / f"{number:02}.png")
    return folder


def network(
    units: int = 3,
    *,
    scaled: bool = False,
    channels: int = 3,
    activation: str | None = "softmax",
    side: int | None = SIDE,
) -> keras.Model:
    keras.utils.set_random_seed(1)
    first = [] if scaled else [L.Rescaling(1 / 255)]
    dense = L.Dense(units, activation=activation, kernel_initializer="random_normal")
    return keras.Sequential(
        [keras.Input((side, side, channels)), *first, L.Conv2D(4, 3), L.GlobalAveragePooling2D(), dense]
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "mine.keras"
    network().save(path)
    return path


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Any:
    """Runs the command on the folder of images, in this process."""

    def run(*options: Any, folder: Path = data) -> Result:
        arguments = ["diagnose", *options, "--data", folder, "--out", tmp_path / "run", "--no-open"]
        return CliRunner().invoke(main, [str(each) for each in arguments])

    return run


def outcome(result: Result, tmp_path: Path) -> Any:
    assert result.exit_code == 0, result.output + result.stderr
    return reading.load(tmp_path / "run").diagnosis


def test_a_keras_file_is_evaluated(run: Any, model: Path, tmp_path: Path) -> None:
    result = run(model)
    diagnosis = outcome(result, tmp_path)
    expected = diagnose_in_python(network(), IMAGES, LABELS).diagnosis
    assert diagnosis.test.accuracy == expected.test.accuracy
    assert diagnosis.confusion == expected.confusion
    assert diagnosis.dataset.classes == list(NAMES)
    assert diagnosis.dataset.test_fingerprint == expected.dataset.test_fingerprint
    assert diagnosis.heatmaps.count == diagnosis.misclassified.count > 0
    assert diagnosis.misclassified.items[0].file.endswith(f"{diagnosis.misclassified.items[0].index:02}.png")
    assert diagnosis.training is None
    assert diagnosis.model == str(model)
    assert diagnosis.seconds.total > diagnosis.seconds.predict_and_explain > 0
    assert diagnosis.command.startswith("lrdiag")
    assert str(tmp_path / "run" / "report.html") in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("kind", ["h5", "SavedModel", "module:function"])
def test_other_kinds_of_models_give_the_same_result(
    run: Any, model: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = outcome(run(model), tmp_path)
    if kind == "module:function":
        (tmp_path / "diagnosed_module.py").write_text(
            f"import keras\ndef mine():\n    return keras.models.load_model({str(model)!r})"
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", list(sys.path))
        spec: Any = "diagnosed_module:mine"
    elif kind == "h5":
        spec = tmp_path / "mine.h5"
        network().save(spec)
    else:
        spec = tmp_path / "saved"
        network().export(spec, verbose=False)
    if kind == "SavedModel":
        refused = run(spec)
        assert refused.exit_code == 2
        assert "--trust" in refused.stderr
    diagnosis = outcome(run(spec, *(["--trust"] if kind == "SavedModel" else [])), tmp_path)
    assert diagnosis.confusion == expected.confusion
    assert diagnosis.test.loss == pytest.approx(expected.test.loss, rel=1e-5)
    if kind == "SavedModel":
        assert diagnosis.heatmaps.count == 0
        assert "no-heatmaps" in [finding.code for finding in diagnosis.findings]
    else:
        assert diagnosis.heatmaps.count == expected.heatmaps.count


def test_code_in_a_file_runs_only_if_it_is_trusted(run: Any, tmp_path: Path) -> None:
    images = keras.Input((SIDE, SIDE, 3))
    net = keras.Model(images, network()(L.Lambda(lambda pixels: 255 - pixels)(images)))
    net.save(tmp_path / "lambda.keras")
    refused = run(tmp_path / "lambda.keras")
    assert refused.exit_code == 2
    assert "--trust" in refused.stderr
    diagnosis = outcome(run(tmp_path / "lambda.keras", "--trust"), tmp_path)
    expected = diagnose_in_python(network(), 255 - IMAGES, LABELS).diagnosis
    assert diagnosis.confusion == expected.confusion


def test_pixels_are_scaled_by_preprocess(run: Any, tmp_path: Path) -> None:
    network(scaled=True).save(tmp_path / "scaled.keras")
    right = outcome(run(tmp_path / "scaled.keras", "--preprocess", "0..1"), tmp_path)
    assert right.confusion == diagnose_in_python(network(), IMAGES, LABELS).diagnosis.confusion
    assert right.value_range == (0, 1)
    assert right.settings["preprocess"] == "0..1"
    raw = outcome(run(tmp_path / "scaled.keras"), tmp_path)
    assert raw.value_range == (0, 255)
    assert raw.test.loss != pytest.approx(right.test.loss)
    assert run(tmp_path / "scaled.keras", "--preprocess", "vgg").exit_code == 2


def test_one_of_several_outputs_is_chosen_by_name(run: Any, tmp_path: Path) -> None:
    inputs = keras.Input((SIDE, SIDE, 3))
    features = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(inputs))
    keras.Model(inputs, {"kind": L.Dense(3)(features), "sex": L.Dense(2)(features)}).save(tmp_path / "two.keras")
    refused = run(tmp_path / "two.keras")
    assert refused.exit_code == 2
    assert "'kind', 'sex'" in refused.stderr
    assert outcome(run(tmp_path / "two.keras", "--output", "kind"), tmp_path).settings["output"] == "kind"


@pytest.mark.parametrize(
    ("channels", "side", "options", "shape"),
    [
        (1, 9, [], [9, 9, 1]),
        (3, None, ["--image-size", "10x8"], [10, 8, 3]),
    ],
)
def test_images_have_the_size_that_the_model_takes(
    run: Any, tmp_path: Path, channels: int, side: int | None, options: list[str], shape: list[int]
) -> None:
    network(channels=channels, side=side).save(tmp_path / "other.keras")
    assert outcome(run(tmp_path / "other.keras", *options), tmp_path).dataset.image_shape == shape


def test_a_model_of_any_size_gets_images_of_their_own_size(run: Any, data: Path, tmp_path: Path) -> None:
    network(side=None).save(tmp_path / "any.keras")
    diagnosis = outcome(run(tmp_path / "any.keras"), tmp_path)
    assert diagnosis.dataset.image_shape == [SIDE, SIDE, 3]
    assert diagnosis.confusion == diagnose_in_python(network(), IMAGES, LABELS).diagnosis.confusion
    mixed = shutil.copytree(data, tmp_path / "mixed")
    Image.new("RGB", (30, 20)).save(mixed / "bee" / "99.png")
    refused = run(tmp_path / "any.keras", folder=mixed)
    assert refused.exit_code == 2
    assert "--image-size" in refused.stderr
    assert "bee/99.png of 30 × 20" in refused.stderr


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_the_page_says_how_images_were_resized(run: Any, tmp_path: Path, resize: str) -> None:
    network(side=8).save(tmp_path / "small.keras")
    diagnosis = outcome(run(tmp_path / "small.keras", "--resize", resize, "--image-size", "8x8"), tmp_path)
    assert diagnosis.notes == ["Images of other sizes (18 of 18) were scaled to 8 × 8 pixels."]
    assert diagnosis.settings["resize"] == resize
    network(side=None).save(tmp_path / "any.keras")
    diagnosis = outcome(run(tmp_path / "any.keras", "--resize", resize, "--image-size", "8x10"), tmp_path)
    done = {
        "stretch": "stretched to 10 × 8",
        "crop": "cropped to the proportions of 10 × 8",
        "pad": "scaled into 10 × 8",
    }
    assert done[resize] in diagnosis.notes[0]
    assert done[resize] in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_another_number_of_classes_is_refused_with_both(run: Any, tmp_path: Path) -> None:
    network(units=4).save(tmp_path / "four.keras")
    refused = run(tmp_path / "four.keras")
    assert refused.exit_code == 2
    assert "Received: 3 classes in" in refused.stderr
    assert "scores 4" in refused.stderr
    network(units=2).save(tmp_path / "two.keras")
    refused = run(tmp_path / "two.keras")
    assert refused.exit_code == 2
    assert "Received: 3 classes in" in refused.stderr
    assert "scores 2" in refused.stderr


@pytest.mark.parametrize("saved_model", [False, True])
def test_one_sigmoid_scores_two_classes(run: Any, tmp_path: Path, saved_model: bool) -> None:
    net = network(units=1, activation="sigmoid")
    logits = network(units=1, activation=None).predict(IMAGES[:12], verbose=0)
    net.layers[-1].bias.assign([-float(np.median(logits))])
    path = tmp_path / ("binary" if saved_model else "binary.keras")
    net.export(path, verbose=False) if saved_model else net.save(path)
    folder = tmp_path / "two"
    for number, (image, label) in enumerate(zip(IMAGES[:12], LABELS[:12], strict=True)):
        (folder / NAMES[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / NAMES[label] / f"{number:02}.png")
    diagnosis = outcome(run(path, *(["--trust"] if saved_model else []), folder=folder), tmp_path)
    predicted = (net.predict(IMAGES[:12], verbose=0)[:, 0] > 0.5).astype(int)
    assert 0 < predicted.sum() < 12
    assert diagnosis.test.accuracy == pytest.approx(np.mean(predicted == LABELS[:12]))


def test_a_mismatched_loss_is_found(run: Any, tmp_path: Path) -> None:
    net = network()
    net.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    net.save(tmp_path / "mismatched.keras")
    diagnosis = outcome(run(tmp_path / "mismatched.keras"), tmp_path)
    assert "ignored-from-logits" in {finding.code for finding in diagnosis.findings}


def test_only_json_is_printed(run: Any, model: Path) -> None:
    summary = json.loads(run(model, "--json").stdout)
    assert summary["test_size"] == 18
    assert summary["dataset"] == "creatures"
    assert summary["suggestion"] is None
    assert summary["gates"] == []


def test_gates_and_a_baseline_decide_the_exit_code(run: Any, model: Path, tmp_path: Path) -> None:
    assert run(model, "--fail-under", "accuracy=1").exit_code == 3
    (tmp_path / "run").rename(tmp_path / "base")
    held = run(model, "--baseline", tmp_path / "base", "--fail-if-worse", "accuracy=0")
    assert held.exit_code == 0, held.stderr
    assert reading.load(tmp_path / "run").diagnosis.comparison.difference == 0  # type: ignore[union-attr]
    unknown = run(model, "--fail-under", "recall.cowe=0.5")
    assert unknown.exit_code == 2
    assert "recall.cow" in unknown.stderr


@pytest.mark.parametrize("how", ["no-model", "no-data", "no-baseline"])
def test_missing_files_are_refused(run: Any, model: Path, tmp_path: Path, how: str) -> None:
    result = {
        "no-model": lambda: run(tmp_path / "absent.keras"),
        "no-data": lambda: run(model, folder=tmp_path / "absent"),
        "no-baseline": lambda: run(model, "--baseline", tmp_path / "absent"),
    }[how]()
    assert result.exit_code == 2
    assert "absent" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_seed_the_gates_and_the_assets_are_used(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seed chooses the misclassified images whose heatmaps are checked: here a single one of many."""
    monkeypatch.setattr("lrdiag.evaluation.gathering.TRUST_SAMPLE", 1)
    reports = [
        diagnose_saved(
            DiagnoseSettings(str(model), data=str(data), out=tmp_path / str(place), seed=seed, assets="folder")
        )
        for place, seed in enumerate([3, 3, 4, 5, 6])
    ]
    assert (tmp_path / "0" / "assets").is_dir()
    assert reports[0].run == reading.load(tmp_path / "0")
    trust = [each.diagnosis.heatmaps.trust for each in reports]
    assert trust[0] == trust[1]
    assert any(each != trust[0] for each in trust[2:])


def test_the_settings_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"`preprocess`.*'vgg'"):
        DiagnoseSettings("absent.keras", preprocess="vgg")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"`resize` must be one of stretch, crop, pad. Received: 'fit'"):
        DiagnoseSettings("absent.keras", resize="fit")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"`assets`.*'cdn'"):
        DiagnoseSettings("absent.keras", assets="cdn")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="no such model file"):
        diagnose_saved(DiagnoseSettings("absent.keras", out=tmp_path / "unused"))
    assert not (tmp_path / "unused").exists()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives each test its own current folder."""
    monkeypatch.chdir(tmp_path)


def test_the_model_of_an_earlier_run_is_removed(finished: FinishedRun, model: Path, run: Any, tmp_path: Path) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    outcome(run(model), tmp_path)
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert not left & {"model.keras", "history.csv", "range_test.csv"}


def test_the_model_of_a_run_folder_stays_when_it_is_diagnosed_there(
    finished: FinishedRun, run: Any, tmp_path: Path
) -> None:
    shutil.copytree(finished.folder, tmp_path / "run")
    own = tmp_path / "run" / "model.keras"
    saved = own.read_bytes()
    arguments = ["diagnose", own, "--data", "digits", "--limit-test", "50", "--out", tmp_path / "run", "--no-open"]
    CliRunner().invoke(main, [str(each) for each in arguments])
    assert own.read_bytes() == saved


def test_the_model_of_a_run_is_evaluated_with_its_data_and_keeps_its_training_record(
    finished: FinishedRun, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    model, earlier = (folder / "model.keras").read_bytes(), reading.load(folder).diagnosis
    result = CliRunner().invoke(main, ["diagnose", str(folder), "--out", str(folder), "--no-open"])
    diagnosis = outcome(result, tmp_path)
    assert diagnosis.dataset.name == earlier.dataset.name
    assert diagnosis.dataset.test_size > earlier.dataset.test_size  # it was limited
    assert (diagnosis.training, diagnosis.range_test) == (earlier.training, earlier.range_test)
    assert diagnosis.settings["data"] == "digits"
    assert f"From the run in {folder}: the model, the record of its training, data digits." in diagnosis.notes
    assert (folder / "model.keras").read_bytes() == model


def test_the_model_of_a_run_runs_no_code(finished: FinishedRun, tmp_path: Path) -> None:
    folder, ran = shutil.copytree(finished.folder, tmp_path / "run"), tmp_path / "ran"
    code = L.Lambda(lambda pixels, path: (open(path, "w").close(), pixels)[1], (8, 8, 1), arguments={"path": str(ran)})
    keras.Sequential([keras.Input((8, 8, 1)), code, L.Flatten(), L.Dense(10)]).save(folder / "model.keras")
    ran.unlink(missing_ok=True)
    report = json.loads((folder / "report.json").read_text())
    report["files"]["model.keras"] = hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest()
    (folder / "report.json").write_text(json.dumps(report))
    refused = CliRunner().invoke(main, ["diagnose", str(folder), "--out", str(tmp_path / "out"), "--no-open"])
    assert refused.exit_code == 2
    assert "The model contains" in refused.stderr
    assert "`lrdiag diagnose --trust`" in refused.stderr
    assert not ran.exists()


def test_a_run_without_a_model_is_refused_with_the_model_that_it_evaluated(
    finished: FinishedRun, run: Any, tmp_path: Path
) -> None:
    shutil.copytree(finished.folder, tmp_path / "earlier")
    (tmp_path / "earlier" / "model.keras").unlink()
    refused = run(tmp_path / "earlier")
    assert refused.exit_code == 2
    assert "contains no model" in refused.stderr
    assert "a run of the model 'fast'" in refused.stderr
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    assert "neither a SavedModel nor a run folder" in run(tmp_path / "other").stderr


PEAK = "import resource, sys\nusage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nprint(usage, file=sys.stderr)"


@pytest.mark.slow
def test_the_evaluation_takes_about_as_much_memory_as_predict(tmp_path: Path) -> None:
    side = 160
    keras.applications.MobileNetV2(weights=None, input_shape=(side, side, 3), classes=2).save(tmp_path / "m.keras")
    np.savez(tmp_path / "d.npz", x=generator.integers(0, 256, (256, side, side, 3), "uint8"), y=np.arange(256) % 2)
    predict = "import keras, numpy\nkeras.models.load_model('m.keras').predict(numpy.load('d.npz')['x'], verbose=0)"
    ours = (
        "from lrdiag.cli.app import main\n"
        "main(['diagnose', 'm.keras', '--data', 'd.npz', '--no-open', '-q'], standalone_mode=False)"
    )
    peaks = []
    for script in (predict, ours):
        done = subprocess.run([sys.executable, "-c", f"{script}\n{PEAK}"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stderr.split()[-1]))
    assert peaks[1] < 1.5 * peaks[0]
