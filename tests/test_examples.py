"""Every example runs, and the figures that it prints are plausible."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"
FIGURES = ("samples", "range-test-four", "range-test", "trainings", "mistakes")
SHORT = (
    "own_training",
    "callback",
    "image_folder",
    "transfer_learning",
    "binary_sigmoid",
    "label_errors",
    "shortcut",
    "shifted_test_set",
    "tensorboard_log",
    "mlflow_artifacts",
    "mixed_precision",  # last: it sets the precision of the process
)
RUN_ALL = r"""
import contextlib, io, json, pathlib, runpy, sys, traceback, warnings
warnings.filterwarnings("error", module=r"(lrdiag\b.*|__main__)$")
examples, out, *names = sys.argv[1:]
printed = {}
for name in names:
    sys.argv = [name, "--quick", "--out", f"{out}/{name}"]
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            runpy.run_path(f"{examples}/{name}.py", run_name="__main__")
        except Exception:
            print(traceback.format_exc())
    printed[name] = output.getvalue()
pathlib.Path(out, "printed.json").write_text(json.dumps(printed))
"""
NUMBER = r"(\d[\d.,]*(?:e-?\d+)?)"


def run(name: str, *arguments: str | Path) -> str:
    process = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), "--quick", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "LRDIAG_DATA_DIR": "", "MPLBACKEND": "agg"},
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert "UserWarning" not in process.stderr
    return process.stdout


def numbers(pattern: str, text: str) -> list[float]:
    """Returns the numbers at each `#` of the pattern."""
    found = re.search(pattern.replace("#", NUMBER), text)
    assert found, f"{pattern!r} is not in:\n{text}"
    return [float(number.replace(",", "")) for number in found.groups()]


def test_every_example_is_tested_here() -> None:
    made_by_hand = {"gallery"}  # it trains eight networks; its parts are tested as examples of their own
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"article", *SHORT, *made_by_hand}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Runs the short examples in one process, because starting TensorFlow takes longer than most of them."""
    out = tmp_path_factory.mktemp("short")
    process = subprocess.run(
        [sys.executable, "-c", RUN_ALL, str(EXAMPLES), str(out), *SHORT],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "MPLBACKEND": "agg",
            "MLFLOW_TRACKING_URI": (out / "mlruns").as_uri(),
            "MLFLOW_ALLOW_FILE_STORE": "true",
        },
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return out, json.loads((out / "printed.json").read_text())


@pytest.mark.parametrize("name", SHORT)
def test_a_short_example_writes_a_report(short: tuple[Path, dict[str, str]], name: str) -> None:
    out, printed = short
    assert "Traceback" not in printed[name], printed[name]
    facts = json.loads((out / name / "report.json").read_text())
    assert (out / name / "report.html").stat().st_size > 10_000
    assert 0 < facts["test"]["accuracy"] <= 1
    assert facts["heatmaps"]["count"] == facts["misclassified"]["count"] > 0
    assert facts["training"]["epochs"]


def test_your_own_training_reads_the_rates(short: tuple[Path, dict[str, str]]) -> None:
    output = short[1]["own_training"]
    base_lr, max_lr, constant = numbers(r"boundaries # to #, constant rate #\n", output)
    assert max(base_lr, constant) < max_lr
    assert 50 < numbers(r"test accuracy #%", output)[0] <= 100


def test_the_callback_evaluates_every_second_epoch(short: tuple[Path, dict[str, str]]) -> None:
    facts = json.loads((short[0] / "callback" / "report.json").read_text())
    assert facts["evolution"]["epochs"] == [2, 4]


def test_images_of_a_folder_keep_their_file_names(short: tuple[Path, dict[str, str]]) -> None:
    facts = json.loads((short[0] / "image_folder" / "report.json").read_text())
    for mistake in facts["misclassified"]["items"]:
        assert Path(mistake["file"]).parent.name == facts["dataset"]["classes"][mistake["true"]]


def test_transfer_learning_explains_the_backbone(short: tuple[Path, dict[str, str]]) -> None:
    assert re.search(r"explained at mobilenet\S*/\S+", short[1]["transfer_learning"])
    assert len(re.findall(": learning rate ", short[1]["transfer_learning"])) == 2


def test_one_sigmoid_gives_two_classes(short: tuple[Path, dict[str, str]]) -> None:
    even, odd = numbers(r"even: recall #% of \d+\nodd: recall #%", short[1]["binary_sigmoid"])
    assert numbers(r"balanced accuracy #%", short[1]["binary_sigmoid"])[0] == pytest.approx((even + odd) / 2, abs=0.1)


def codes(out: Path, name: str) -> set[str]:
    """Returns the codes of the findings of an example."""
    return {finding["code"] for finding in json.loads((out / name / "report.json").read_text())["findings"]}


def test_most_suspects_have_a_wrong_label(short: tuple[Path, dict[str, str]]) -> None:
    assert "test-label-errors" in codes(short[0], "label_errors")
    wrong, suspects = numbers("# of the first # suspects have a wrong label", short[1]["label_errors"])
    assert wrong >= 0.8 * suspects > 0


def test_the_shortcut_is_found(short: tuple[Path, dict[str, str]]) -> None:
    assert "shortcut" in codes(short[0], "shortcut")
    assert re.search("shortcut: A mark .* of images of 8 ", short[1]["shortcut"])


def test_the_best_correction_of_the_shifted_test_set_inverts_it(short: tuple[Path, dict[str, str]]) -> None:
    before, after = numbers("^inverted: accuracy #% before, #% after", short[1]["shifted_test_set"])
    assert after > before + 20


def test_tensorboard_has_steps_and_pictures(short: tuple[Path, dict[str, str]]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(short[0] / "tensorboard_log" / "tensorboard"))
    tags = {tag for kind in events.Reload().Tags().values() if isinstance(kind, list) for tag in kind}
    names = ("learning_rate", "batch_loss", "accuracy", "confusion", "mistakes")
    assert {f"lrdiag/{name}" for name in names} <= tags


def test_mlflow_keeps_the_page(short: tuple[Path, dict[str, str]]) -> None:
    assert list(short[0].rglob("artifacts/lrdiag-report/report.html"))


def test_the_notebook_shows_the_report() -> None:
    import nbclient
    import nbformat

    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    notebook.cells[1].source = notebook.cells[1].source.replace("10", "2")
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output["text"] for output in outputs if output.get("name") == "stderr" and "lrdiag" in output["text"]]
    shown = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert len(shown) == 2  # the range test and the report
    assert "report.show()" in shown[1]
    assert "Digits test images" in shown[1]


@pytest.fixture(scope="module", params=["digits", "real_images"])
def article(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The figures and the output of the article: on digits, and on real images as in the article."""
    out = tmp_path_factory.mktemp("article") / "figures"
    if request.param == "digits":
        return out, run("article", "--data", "digits", "--out", out)
    return out, run("article", "--data-dir", request.getfixturevalue("real_images"), "--out", out)


def test_the_article_writes_its_figures_and_nothing_else(article: tuple[Path, str]) -> None:
    assert {path.name for path in article[0].iterdir()} == {f"{name}.png" for name in FIGURES}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_the_article_is_not_empty(article: tuple[Path, str], name: str) -> None:
    with Image.open(article[0] / f"{name}.png") as picture:
        assert picture.format == "PNG"
        assert 400 <= min(picture.size) <= max(picture.size) <= 2000
        colours = np.unique(np.asarray(picture.convert("L")))
    assert len(colours) > 50


def test_the_quick_article_takes_few_images(article: tuple[Path, str]) -> None:
    assert numbers("^(?:Digits|CIFAR-10): # training and # test images", article[1]) == [540, 200]


def test_the_article_reads_a_suggestion_and_boundaries(article: tuple[Path, str]) -> None:
    updates, seconds = numbers("range test: # updates, # s, ", article[1])
    assert 40 <= updates <= 100
    assert 0 < seconds < 120
    suggestion, base_lr, max_lr = numbers("suggestion #, boundaries # to #\n", article[1])
    assert 1e-5 < suggestion < max_lr < 10
    assert max_lr / 10.1 < base_lr < max_lr


@pytest.mark.parametrize("name", ["constant", "cyclic"])
def test_both_training_runs_of_the_article_learn(article: tuple[Path, str], name: str) -> None:
    accuracy, seconds = numbers(f"{name} rate: test accuracy #, # s\n", article[1])
    least = 0.3 if article[1].startswith("Digits") else 0.12  # 0.1 by chance; there are only a few hundred images
    assert least < accuracy <= 1
    assert 0 < seconds < 120


def test_the_article_explains_the_mistakes_of_the_cyclic_run(article: tuple[Path, str]) -> None:
    mistakes = numbers("misclassified: # images", article[1])[0]
    accuracy = numbers("cyclic rate: test accuracy #, ", article[1])[0]
    assert mistakes == round((1 - accuracy) * 200)
