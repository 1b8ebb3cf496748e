"""Every example runs, and what it says holds together."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
FIGURES = ("samples", "range-test-four", "range-test", "trainings", "mistakes")
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
    """The numbers at each `#` of the pattern."""
    found = re.search(pattern.replace("#", NUMBER), text)
    assert found, f"{pattern!r} is not in:\n{text}"
    return [float(number.replace(",", "")) for number in found.groups()]


def test_every_example_is_tested_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"article", "own_training"}


def test_a_training_of_ones_own() -> None:
    story = run("own_training")
    base_lr, max_lr, constant = numbers(r"boundaries # to #, constant rate #\n", story)
    assert base_lr < constant < max_lr
    assert 50 < numbers(r"test accuracy #%", story)[0] <= 100


@pytest.fixture(scope="module")
def article(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("article") / "figures"
    return out, run("article", "--data", "digits", "--net", "fast", "--out", out)


def test_the_article_writes_its_figures_and_nothing_else(article: tuple[Path, str]) -> None:
    assert {path.name for path in article[0].iterdir()} == {f"{name}.png" for name in FIGURES}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_the_article_is_a_picture_of_something(article: tuple[Path, str], name: str) -> None:
    with Image.open(article[0] / f"{name}.png") as picture:
        assert picture.format == "PNG"
        assert 400 <= min(picture.size) <= max(picture.size) <= 2000
        colours = np.unique(np.asarray(picture.convert("L")))
    assert len(colours) > 50


def test_the_quick_article_takes_few_images(article: tuple[Path, str]) -> None:
    assert numbers("Digits: # training and # test images", article[1]) == [540, 200]


def test_the_article_reads_a_suggestion_between_its_boundaries(article: tuple[Path, str]) -> None:
    updates, seconds = numbers("range test: # updates, # s, ", article[1])
    assert 40 <= updates <= 100
    assert 0 < seconds < 120
    suggestion, base_lr, max_lr = numbers("suggestion #, boundaries # to #\n", article[1])
    assert 1e-5 < base_lr < suggestion < max_lr < 10


@pytest.mark.parametrize("name", ["constant", "cyclic"])
def test_both_trainings_of_the_article_learn(article: tuple[Path, str], name: str) -> None:
    accuracy, seconds = numbers(f"{name} rate: test accuracy #, # s\n", article[1])
    assert 0.5 < accuracy <= 1  # by chance it would be 0.1
    assert 0 < seconds < 120


def test_the_article_explains_the_mistakes_of_the_cyclic_training(article: tuple[Path, str]) -> None:
    mistakes = numbers("misclassified: # images", article[1])[0]
    accuracy = numbers("cyclic rate: test accuracy #, ", article[1])[0]
    assert mistakes == round((1 - accuracy) * 200)
