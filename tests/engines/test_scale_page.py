"""The programs of docs/scale.md that evaluate parts: they run as they are, and give the report of one process."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
from fixtures.same_report import differences_in_json

from lrdiag.cli.app import main
from lrdiag.record.reading import load_baseline

pytestmark = pytest.mark.slow
PAGE = (Path(__file__).parents[2] / "docs/scale.md").read_text(encoding="utf-8")
GIVEN = """
import numpy as np

def read_test_set():
    with np.load("test.npz") as arrays:
        return arrays["images"], arrays["labels"]
"""
L = keras.layers


def program(language: str, word: str) -> str:
    """The program of the page that contains a word."""
    (found,) = [each for each in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if word in each]
    return str(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    keras.utils.set_random_seed(0)
    head = [L.GlobalAveragePooling2D(), L.Dense(3)]
    keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3, activation="relu"), *head]).save(tmp_path / "model.keras")
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 256, (150, 8, 8, 3), "uint8"), generator.integers(0, 3, 150)
    np.savez(tmp_path / "test.npz", images=images, labels=labels)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        file = tmp_path / f"test/class-{label}/{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(file, image, scale=False)
    return tmp_path


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_shell_loop_gives_the_report_of_one_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = f'lrdiag() {{ "{sys.executable}" -m lrdiag "$@"; }}\nset -e\n'
    run(folder, "bash", "-c", command + program("bash", "--part"))
    monkeypatch.chdir(folder)
    main(["diagnose", "model.keras", "--data", "test/", "--out", "whole"], standalone_mode=False)
    merged, whole = (json.loads((folder / name / "report.json").read_text()) for name in ("run", "whole"))
    for name in ("command", "files"):  # the second are digests of the page and of what has the command too
        assert merged.pop(name) != whole.pop(name)
    assert differences_in_json(whole, merged) == []


@pytest.mark.skipif(find_spec("dask") is None, reason="dask is not installed")
def test_the_program_for_dask_gives_a_report_of_all_images(folder: Path) -> None:
    run(folder, sys.executable, "-c", GIVEN + program("python", "import dask"))
    assert load_baseline(folder / "dask-run").diagnosis.test.size == 150


@pytest.mark.skipif(find_spec("pyspark") is None, reason="pyspark is not installed")
@pytest.mark.skipif(shutil.which("java") is None, reason="there is no Java runtime")
def test_the_program_for_spark_gives_a_report_of_all_images(folder: Path) -> None:
    function = program("python", "import dask").partition("parts = ")[0].replace("import dask\n", "")
    run(folder, sys.executable, "-c", GIVEN + function + program("python", "pyspark") + 'report.save("spark-run")\n')
    assert load_baseline(folder / "spark-run").diagnosis.test.size == 150
