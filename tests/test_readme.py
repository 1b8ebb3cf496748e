"""README.md and docs/: their code runs, their commands are valid, their links lead somewhere."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, create_autospec

import click
import keras
import numpy as np
import pytest

import lrdiag
from lrdiag.cli.app import main

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples/README.md"]
NUMBER_OF_CLASSES = 10


def blocks(page: Path, language: str = "") -> list[str]:
    """The contents of the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


# the code of the first is run by another test, that of the second is a whole main job, the third needs several machines
RUN_ELSEWHERE = ("learning-rate", "command-line", "scale")
SLOW = ("fine-tuning", "experiment-trackers")
RUN_HERE = [
    pytest.param(page, marks=pytest.mark.slow if page.stem in SLOW else (), id=page.stem)
    for page in PAGES[1:]
    if blocks(page, "python") and page.stem not in RUN_ELSEWHERE
]


def rows(page: Path) -> list[list[str]]:
    """The cells of every table row that contains code."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("|") and "`" in line]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def make_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(NUMBER_OF_CLASSES, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01), loss="sparse_categorical_crossentropy")
    return model


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The variables that the pages leave to the user: one step for each epoch, one cycle for the training run."""
    import mlflow
    import tensorflow as tf

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    generator = np.random.default_rng(0)
    labels = np.arange(96) % NUMBER_OF_CLASSES
    images = (generator.random((96, 8, 8, 3)) * 60 + labels[:, None, None, None] * 19).astype("uint8")
    files = [f"a/{number:04}.png" for number in range(96)]
    rows = [f"{file},{'north' if place % 3 else 'south'},p{place}" for place, file in enumerate(files)]
    (tmp_path / "images.csv").write_text("\n".join(["file,site,patient", *rows]))
    return {
        "lrdiag": lrdiag,
        "model": make_model(),
        "files": files,
        "names": [f"class {number}" for number in range(NUMBER_OF_CLASSES)],
        **{"x": images, "images": images, "x_test": images, "x_val": images, "test_images": images},
        **{"y": labels, "labels": labels, "y_test": labels, "y_val": labels, "test_labels": labels},
        "val_images": images + 1,
        "val_labels": labels,
        **{"cat": labels, "dog": (labels + 1) % NUMBER_OF_CLASSES},
        "keras": keras,
        "mlflow": mlflow,
        "wandb": MagicMock(),
        "datasets": MagicMock(
            **{"load_dataset.return_value": tf.data.Dataset.from_tensor_slices((images, labels)).batch(32)}
        ),
        "tuner": MagicMock(
            **{"get_best_models.return_value": [make_model()], "hypermodel.build.return_value": make_model()}
        ),
        "keras_hub": MagicMock(**{"models.ImageClassifier.from_preset.return_value": make_model()}),
        "loader": tf.data.Dataset.from_tensor_slices((images, labels)).batch(32),
        "steps_per_epoch": 1,
        "epochs": 7,
    }


def run(code: str, names: dict[str, Any]) -> None:
    exec(compile(code.replace("epochs=20", "epochs=4"), code, "exec"), names)


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 125


def test_the_code_of_the_readme_runs_from_top_to_bottom(names: dict[str, Any]) -> None:
    first, *others = blocks(README, "python")
    names["history"] = names["model"].fit(names["x"], names["y"], verbose=0)
    run(first, names)
    shutil.copytree("lrdiag-report", "main-run")
    for block in others:
        run(block, names | {"model": make_model()})
    assert len(others) == 4
    assert Path("lrdiag-report/report.html").is_file()


def test_the_arguments_of_a_main_job_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    job = create_autospec(lrdiag.train_and_report)
    monkeypatch.setattr(lrdiag, "train_and_report", job)
    run(blocks(ROOT / "docs/command-line.md", "python")[0], {"lrdiag": lrdiag})
    job.assert_called_once()


@pytest.mark.parametrize("page", RUN_HERE)
def test_the_code_of_a_page_runs_from_top_to_bottom(names: dict[str, Any], page: Path) -> None:
    names["report"] = lrdiag.diagnose(names["model"], names["x"], names["y"])
    names["report"].save("main-run")
    for block in blocks(page, "python"):
        run(block, names | {"model": make_model()})


def test_the_lines_for_your_own_training_train_one_cycle(names: dict[str, Any]) -> None:
    (block,) = blocks(ROOT / "docs/learning-rate.md", "python")
    run(block, names)
    assert int(names["model"].optimizer.iterations) == 7
    assert names["cyclic"].summary(1, 7).endswith("Training ends with a cycle.")


def test_the_calls_for_users_of_other_tools_run(names: dict[str, Any]) -> None:
    table = rows(ROOT / "docs/coming-from.md")
    assert len(table) == 25
    names["steps_per_epoch"] = 3  # in batches of 32
    for _, _, here in table:
        run(here.strip("`"), names)


def test_the_calls_of_the_table_about_learning_rates_run(names: dict[str, Any]) -> None:
    page = ROOT / "docs/learning-rate.md"
    run(blocks(page, "python")[0], names)
    base_lr, max_lr = names["test"].bounds()
    names |= {name: getattr(lrdiag, name) for name in lrdiag.__all__} | {
        "model": make_model(),
        "compile": functools.partial(make_model().compile, loss="sparse_categorical_crossentropy"),
        "curve": names["cyclic"].curve,
        **{"base_lr": base_lr, "max_lr": max_lr, "step_size": 3, "total_steps": 7},
    }
    omitted = {
        "find_lr(…": "find_lr(model, x, y, batch_size=128",
        "fit(…": "fit(x, y",
        "Cyclic(…": "Cyclic(base_lr, max_lr, step_size",
    }
    written = " ".join(cells[1] for cells in rows(page))
    calls = [span for span in re.findall("`([^`]+)`", written) if not span.startswith(("lrdiag ", "--"))]
    assert len(calls) == 17
    for call in calls:
        run(functools.reduce(lambda text, each: text.replace(*each), omitted.items(), call), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_every_name_is_public(page: Path) -> None:
    public = {*lrdiag.__all__, "explain"}  # the module `lrdiag.explain.trust`
    assert set(re.findall(r"(?<!tool\.)\blrdiag\.(?!fish)(\w+)", page.read_text())) <= public


def commands() -> list[str]:
    """Every command line of the pages, without its comment and what it is piped into."""
    written = "".join(block for page in PAGES for block in blocks(page)).splitlines()
    written += [span for page in PAGES for span in re.findall("`(lrdiag [a-z-]+ [^`\n]+)`", page.read_text())]
    lines = {re.split("[#|]", line)[0].strip() for line in written}
    return sorted(line for line in lines if line.startswith("lrdiag "))


@pytest.mark.parametrize("command", commands())
def test_every_command_is_valid(command: str) -> None:
    name, *arguments = shlex.split(command)[1:]
    whole = click.Context(main, info_name="lrdiag", **main.context_settings)
    with main.commands[name].make_context(name, arguments, parent=whole) as context:
        assert context.params


def test_the_commands_are_found() -> None:
    assert {command.split()[1] for command in commands()} == set(main.commands)


def test_the_options_file_is_valid(tmp_path: Path) -> None:
    from click.testing import CliRunner

    (example,) = blocks(ROOT / "docs/command-line.md", "toml")
    (tmp_path / "pyproject.toml").write_text(example)
    for command, line in (("train-and-report", r"epochs +20"), ("find-lr", r"iterations +200")):
        result = CliRunner().invoke(main, ["config", command, "--config", str(tmp_path / "pyproject.toml")])
        assert result.exit_code == 0, result.output
        assert re.search(line, result.output)


def anchors(page: Path) -> set[str]:
    """The anchors that the headings of a page get, as GitHub forms them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [README]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}
        waiting += [target for target in targets if target.suffix == ".md" and target not in reached]
    generated = {ROOT / "docs" / name for name in ("changelog.md", "reference/commands.md", "reference/python.md")}
    assert set(PAGES) - generated <= reached
