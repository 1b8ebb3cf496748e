"""Options from a file: which file is read, its content, its precedence, and the output of `lrdiag config`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lrdiag.cli.app import main
from lrdiag.data import load_dataset
from lrdiag.diagnosis.check_settings import CheckSettings
from lrdiag.diagnosis.gates import Gate
from lrdiag.progress import SILENCE
from lrdiag.recipes import recipe_of
from lrdiag.settings import LearningRate, Settings
from lrdiag.training.budget import Budget
from lrdiag.vocabulary import DATA_NAMES

COMMANDS = ("train-and-report", "diagnose", "find-lr", "report", "compare")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a repository without files, none of whose parents contains a pyproject.toml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".git").mkdir()
    monkeypatch.delenv("LRDIAG_DATA_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "cache"))
    return tmp_path


def write(table: str, file: str = "pyproject.toml") -> Path:
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[tool.lrdiag]\n{table}" if path.name == "pyproject.toml" else table, "utf-8")
    return path


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def values_of(*arguments: str) -> dict[str, tuple[Any, str]]:
    result = invoke("config", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return {each["name"]: (each["value"], each["source"]) for each in json.loads(result.stdout)["options"]}


def refusal(*arguments: str) -> str:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    return result.stderr


def settings_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Settings:
    """The settings that a command would start with."""
    made: list[Settings] = []

    class Started(Exception):
        pass

    def start(settings: Settings) -> None:
        made.append(settings)
        raise Started

    monkeypatch.setattr("lrdiag.cli.app.refuse_mistyped", start)
    result = invoke(*arguments)
    assert isinstance(result.exception, Started), result.output
    return made[0]


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("epochs = 3", "epochs", 3),
        ("batch-size = 32", "batch_size", 32),
        ("batch_size = 32", "batch_size", 32),
        ("optimizer = 'adam'", "optimizer", "adam"),
        ("optimizer = 'Adam'", "optimizer", "adam"),
        ("schedule = 'Exp_Range'", "schedule", "exp-range"),
        ("progressive = false", "progressive", False),
        ("data = 'CIFAR-10'", "data", "cifar10"),
        ("model = 'Article'", "model", "article"),
        ("augment = 'Flip,ERASE'", "augment", ("flip", "erase")),
        ("augment = ['flip', 'crop']", "augment", ("flip", "crop")),
        ("augment = 'flip, crop'", "augment", ("flip", "crop")),
        ("augment = []", "augment", ()),
        ("augment = 'none'", "augment", ()),
        ("learning-rate = 0.25", "learning_rate", LearningRate(0.25)),
        ("learning-rate = 1", "learning_rate", LearningRate(1.0)),
        ("learning-rate = '0.1:0.4'", "learning_rate", LearningRate(0.4, 0.1)),
        ("learning-rate = [0.1, 0.4]", "learning_rate", LearningRate(0.4, 0.1)),
        ("image-size = 64", "image_size", (64, 64)),
        ("image-size = '48x64'", "image_size", (48, 64)),
        ("image-size = [48, 64]", "image_size", (48, 64)),
        ("mixed-precision = true", "mixed_precision", True),
        ("data = 'digits'", "data", "digits"),
        ("model = 'nets:build'", "model", "nets:build"),
        ("out = 'run'", "out", Path("run")),
    ],
)
def test_a_line_of_the_file_is_an_option(monkeypatch: pytest.MonkeyPatch, line: str, name: str, value: object) -> None:
    write(line)
    assert getattr(settings_of(monkeypatch, "train-and-report"), name) == value != getattr(Settings(), name)


def test_gates_of_the_file_are_overridden_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    write("fail-under = {accuracy = 0.78, recall.cat = 0.6}\nfail_if_worse = {accuracy = 0.01}")
    assert set(settings_of(monkeypatch, "train-and-report", "--fail-under", "accuracy=0.5").gates) == {
        Gate("fail-under", "accuracy", 0.5),
        Gate("fail-under", "recall.cat", 0.6),
        Gate("fail-if-worse", "accuracy", 0.01),  # no baseline is given, and the file does not require one
    }
    assert "name it with --baseline" in refusal("train-and-report", "--fail-if-worse", "accuracy=0.01")


def test_a_share_alone_is_one_of_the_accuracy() -> None:
    write("fail-under = 0.78\nfail-if-worse = '1%'")
    assert values_of()["fail-under.accuracy"] == (0.78, "pyproject.toml")
    assert values_of()["fail-if-worse.accuracy"] == (0.01, "pyproject.toml")
    assert values_of("--fail-under", "80%")["fail-under.accuracy"] == (0.8, "command line")


def test_settings_of_the_checks_are_overridden_by_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        "fail-on = 'warning'\n"
        "[tool.lrdiag.checks]\nweak-class = false\noverfitting = {severity = 'error', threshold = 0.2}\n"
        "regression = 'error'\n[tool.lrdiag.accept]\nno-heatmaps = 'no convolutions'"
    )
    for command in (("train-and-report",), ("diagnose", "m.keras")):
        settings = settings_of(monkeypatch, *command, "--skip-check", "overfitting", "--fail-on", "error")
        assert settings.gates == (Gate("fail-on", "error", 0),)
        assert settings.check_settings == CheckSettings(
            frozenset({"weak-class", "overfitting"}),
            {"overfitting": "error", "regression": "error"},
            {"overfitting": 0.2},
            {"no-heatmaps": "no convolutions"},
        )
    values = values_of("report", "--skip-check", "at-chance")
    assert values["fail-on"] == ("warning", "pyproject.toml")
    assert values["checks.at-chance"] == (False, "command line")
    assert values["checks.weak-class"] == (False, "pyproject.toml")
    assert values["checks.overfitting.threshold"] == (0.2, "pyproject.toml")
    assert values["accept.no-heatmaps"] == ("no convolutions", "pyproject.toml")
    assert "skip-check" not in values
    assert "Did you mean 'weak-class'?" in refusal("diagnose", "m.keras", "--skip-check", "weak-clas")


def test_gates_of_one_command_do_not_apply_to_others() -> None:
    write("fail-under = {accuracy = 0.7, recall.cat = 0.6}\n[tool.lrdiag.report.fail-under]\naccuracy = 0.8")
    assert values_of("report")["fail-under.accuracy"] == (0.8, "pyproject.toml")
    assert values_of("report")["fail-under.recall.cat"] == (0.6, "pyproject.toml")
    assert values_of("compare")["fail-under.accuracy"] == (0.7, "pyproject.toml")
    assert not [name for name in values_of("find-lr") if name.startswith("fail-")]


@pytest.mark.parametrize("name", ["find-lr", "find_lr"])
def test_the_table_of_a_command_has_precedence_and_applies_only_to_it(name: str) -> None:
    write(f"batch-size = 8\nseed = 1\n[tool.lrdiag.{name}]\nbatch-size = 16\nmode = 'linear'")
    assert values_of("find-lr")["batch-size"] == (16, "pyproject.toml")
    assert values_of("find-lr")["seed"] == (1, "pyproject.toml")
    assert values_of("find-lr")["mode"] == ("linear", "pyproject.toml")
    assert values_of("train-and-report")["batch-size"] == (8, "pyproject.toml")
    assert "batch-size" not in values_of("report")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_reads_the_file(command: str) -> None:
    write("verbose = true")
    assert values_of(command)["verbose"] == (True, "pyproject.toml")
    assert values_of(command, "--config", str(write("verbose = true", "own.toml")))["verbose"] == (True, "own.toml")


def test_every_option_except_trust_can_be_in_the_file() -> None:
    values = {
        "repeats": 3,
        "iterations": 7,
        "epochs": 7,
        "seed": 7,
        "batch-size": 7,
        "limit-train": 7,
        "limit-test": 7,
        "workers": 7,
    }
    rates = {"start-lr": 0.5, "end-lr": 0.5, "learning-rate": 0.5}
    choices = {
        "assets": "folder",
        "optimizer": "adam",
        "schedule": "cyclic",
        "progressive": True,
        "mode": "linear",
        "rule": "fastai-steep",
    }
    choices |= {"resize": "pad", "preprocess": "torch", "augment": "erase", "image-size": "48x48"}
    for command in COMMANDS:
        for name, (default, _) in values_of(command).items():
            if name in ("trust", "part", "engine"):  # see below; the others are for one call
                continue
            value = not default if isinstance(default, bool) else {**values, **rates, **choices}.get(name, "x")
            write(f"[tool.lrdiag.{command}]\n{name} = {json.dumps(value)}")
            value, source = values_of(command)[name]
            assert value != default
            assert source == "pyproject.toml"


def test_the_nearest_pyproject_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("epochs = 3")
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert values_of()["epochs"] == (3, str(folder / "pyproject.toml"))
    write("epochs = 4")
    assert values_of()["epochs"] == (4, "pyproject.toml")
    Path("pyproject.toml").write_text("[project]\nname = 'x'")
    assert values_of()["epochs"] == (None, "default")


def test_the_option_config_selects_another_file() -> None:
    write("epochs = 3\nseed = 5")
    own = str(write("epochs = 4\n[find-lr]\nseed = 6", "settings/own.toml"))
    assert values_of("--config", own)["epochs"] == (4, own)
    assert values_of("--config", own)["seed"] == (0, "default")
    assert values_of("find-lr", "--config", own)["seed"] == (6, own)
    headed = str(write("[tool.ruff]\nline-length = 1\n[tool.lrdiag]\nepochs = 5", "headed.toml"))
    assert values_of("--config", headed)["epochs"] == (5, headed)
    not_ours = str(write("epochs = 5\n[tool.ruff]\nline-length = 1", "not_ours.toml"))
    assert "`tool` in not_ours.toml is not an option of lrdiag" in refusal("config", "--config", not_ours)
    elsewhere = str(write("epochs = 6", "elsewhere/pyproject.toml"))
    assert values_of("--config", elsewhere)["epochs"] == (6, elsewhere)


def test_command_line_before_environment_before_file_before_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert values_of()["data-dir"] == (None, "default")
    write("data-dir = 'of-the-file'")
    assert values_of()["data-dir"] == ("of-the-file", "pyproject.toml")
    monkeypatch.setenv("LRDIAG_DATA_DIR", "of-the-environment")
    assert values_of()["data-dir"] == ("of-the-environment", "environment LRDIAG_DATA_DIR")
    assert values_of("--data-dir", "of-the-line")["data-dir"] == ("of-the-line", "command line")


@pytest.mark.parametrize(
    ("line", "is_open"),
    [("open = true", True), ("open = false", False), ("no-open = true", False), ("no_open = false", True)],
)
def test_a_switch_has_two_names(line: str, is_open: bool) -> None:
    write(line)
    assert values_of()["open"] == (is_open, "pyproject.toml")
    assert values_of("--no-open")["open"] == (False, "command line")
    assert values_of("--open")["open"] == (True, "command line")


@pytest.mark.parametrize("name", ["data", "data-dir", "baseline", "templates", "out", "plot"])
def test_paths_start_from_the_folder_of_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    command = "find-lr" if name == "plot" else "train-and-report"
    own = str(write(f"{name} = 'x/y'", "settings/own.toml"))
    assert values_of(command, "--config", own)[name][0] == os.path.join("settings", "x", "y")
    write(f"{name} = '{folder.as_posix()}/z'", own)
    assert values_of(command, "--config", own)[name][0] == f"{folder.as_posix()}/z"
    write(f"{name} = '~/z'", own)
    assert values_of(command, "--config", own)[name][0] == f"{os.path.expanduser('~')}/z"
    write(f"{name} = 'x'")
    assert values_of(command)[name][0] == "x"
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert values_of(command)[name][0] == str(folder / "x")
    assert values_of(command, f"--{name}", "x")[name][0] == "x"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        *((f"data = '{name}'", name) for name in DATA_NAMES),
        ("data = './digits'", "settings/./digits"),
        ("model = 'article'", "article"),
        ("model = 'nets:build'", "nets:build"),
        ("model = 'best.keras'", "settings/best.keras"),
    ],
)
def test_names_are_not_converted_to_paths(line: str, value: str) -> None:
    own = str(write(line, "settings/own.toml"))
    assert values_of("--config", own)[line.split()[0]][0] == value


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("epoch = 3", "`epoch` in [tool.lrdiag] of pyproject.toml is not an option of lrdiag. Did you mean 'epochs'?"),
        ("batch_sise = 3", "Did you mean 'batch-size'?"),
        ("fail_undr = {accuracy = 1}", "Did you mean 'fail-under'?"),
        ("[tool.lrdiag.find-lrr]\nseed = 1", "`find-lrr` in [tool.lrdiag] of pyproject.toml is not an option "
         "of lrdiag. Did you mean 'find-lr'?"),
        ("[tool.lrdiag.find-lr]\nsed = 1", "`sed` in [tool.lrdiag.find-lr] of pyproject.toml is not an "
         "option of find-lr. Did you mean 'seed'?"),
        ("[tool.lrdiag.find-lr]\nepochs = 1", "`epochs` in [tool.lrdiag.find-lr] of pyproject.toml is not an "),
        ("config = 'x.toml'", "`config` in [tool.lrdiag] of pyproject.toml is not an option"),
        ("help = true", "`help` in [tool.lrdiag]"),
        ("q = true", "`q` in [tool.lrdiag]"),
        ("xyzzy = 1", "`xyzzy` in [tool.lrdiag] of pyproject.toml is not an option of lrdiag\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", [["report", "run"], ["config"]])
def test_an_unknown_key_is_refused_by_every_command(command: list[str], table: str, words: str) -> None:
    write(table)
    assert words in refusal(*command)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("epochs = 'three'", "`epochs` in [tool.lrdiag] of pyproject.toml: 'three' is not a valid integer"),
        ("epochs = 3.5", "`epochs` in [tool.lrdiag] of pyproject.toml: '3.5' is not a valid integer"),
        ("epochs = true", "`epochs` in [tool.lrdiag] of pyproject.toml: It must be text or a number. Received: True"),
        ("epochs = 0", "`epochs` in [tool.lrdiag] of pyproject.toml: 0 is not in the range x>=1"),
        ("epochs = [3]", "Received: [3]"),
        ("epochs = {cat = 3}", "Received: {'cat': 3}"),
        ("seed = -1", "-1 is not in the range"),
        ("seed = 2147483648", "2147483648 is not in the range"),
        ("out = 2001-01-01", "`out` in [tool.lrdiag] of pyproject.toml: It must be text or a number"),
        (r"out = 'a'" + "\n" + r'templates = "a\u0000b"', "`templates` in [tool.lrdiag] of pyproject.toml: It must be"),
        ("optimizer = 'lion'", "`optimizer` in [tool.lrdiag] of pyproject.toml: 'lion' is not one of"),
        ("optimizer = 'adma'", "Did you mean 'adam'?"),
        ("schedule = 'cosine'", "Did you mean 'cosine-restarts'?"),
        ("augment = ['flip', 'spin']", "`augment` in [tool.lrdiag] of pyproject.toml: `augment` takes flip, "
         "crop, erase or none. Received: 'spin'"),
        ("augment = [['flip']]", "Received: [['flip']]"),
        ("learning-rate = -1", "`learning-rate` in [tool.lrdiag] of pyproject.toml: The learning rate must be"),
        ("learning-rate = [0.4, 0.1]", "Received: '0.4:0.1'"),
        ("image-size = 0", "`image-size` in [tool.lrdiag] of pyproject.toml: The image size must be"),
        ("quiet = 1", "`quiet` in [tool.lrdiag] of pyproject.toml: It must be true or false. Received: 1"),
        ("quiet = 'yes'", "It must be true or false. Received: 'yes'"),
        ("fail-under = 78", "`fail-under` in [tool.lrdiag] of pyproject.toml: `fail-under` takes a share between 0"),
        ("fail-under = {acuracy = 1}", "Did you mean 'accuracy'?"),
        ("fail-under = {accuracy = 1" + 400 * "0" + "}", "`fail-under` in [tool.lrdiag]"),
        ("epochs = 0x" + 9999 * "f", "`epochs` in [tool.lrdiag]"),
        ("find-lr = 3", "`find-lr` in [tool.lrdiag] of pyproject.toml must be a table of options. Received: 3"),
        ("[tool.lrdiag.find-lr]\niterations = 1", "`iterations` in [tool.lrdiag.find-lr] of pyproject.toml: 1 is not"),
        ("batch-size = 3\nbatch_size = 3", "`batch_size` in [tool.lrdiag] of pyproject.toml sets what `batch-size`"),
        ("open = true\nno-open = true", "`no-open` in [tool.lrdiag] of pyproject.toml sets what `open` sets"),
        ("fail-on = 'note'", "`fail-on` in [tool.lrdiag] of pyproject.toml: `fail-on` takes error, warning. Rec"),
        ("skip-check = 'weak-class'", "`skip-check` in [tool.lrdiag] of pyproject.toml is not an option"),
        ("checks = 3", "`checks` in [tool.lrdiag] of pyproject.toml must be a table"),
        ("[tool.lrdiag.checks]\nweak-clas = false", "[tool.lrdiag] of pyproject.toml: `checks` must have codes"),
        ("[tool.lrdiag.accept]\nweak-class = ''", "[tool.lrdiag] of pyproject.toml: `accept` takes the reason"),
        ("fail-under = {}\nfail_under = {}", "`fail_under` in [tool.lrdiag] of pyproject.toml sets what"),
    ],
)  # fmt: skip
def test_an_invalid_value_is_refused_with_file_and_key(table: str, words: str) -> None:
    write(table)
    assert words in refusal("train-and-report", "--epochs", "1")


@pytest.mark.parametrize("file", ["own.toml", "settings/pyproject.toml"])
def test_an_error_names_the_file_as_given(file: str) -> None:
    write("sed = 1", file)
    table = "[tool.lrdiag] of settings/pyproject.toml" if "/" in file else "own.toml"
    assert f"`sed` in {table} is not an option" in refusal("report", "run", "--config", file)
    write("[find-lr]\nsed = 1", "own.toml")
    assert "`sed` in [find-lr] of own.toml is not an option of find-lr" in refusal("find-lr", "--config", "own.toml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[tool.lrdiag", "Received: pyproject.toml"),
        (b"x = '\xff'", "Received: pyproject.toml"),
        (b"x = " + 5000 * b"[" + 5000 * b"]", "Received: pyproject.toml"),
        (b"tool = 3", "`tool` in pyproject.toml must be a table"),
        (b"[tool]\nlrdiag = 3", "`lrdiag` in [tool] of pyproject.toml must be a table"),
    ],
)
def test_an_unreadable_file_gives_one_message(content: bytes, words: str) -> None:
    Path("pyproject.toml").write_bytes(content)
    assert words in refusal("train-and-report")


def test_a_value_named_tool_must_be_a_table() -> None:
    write("tool = 3", "own.toml")
    assert "`tool` in own.toml must be a table of options. Received: 3" in refusal("config", "--config", "own.toml")


def test_a_file_may_begin_with_a_byte_order_mark() -> None:
    Path("own.toml").write_bytes(b"\xef\xbb\xbfseed = 3")
    assert values_of("--config", "own.toml")["seed"] == (3, "own.toml")


@pytest.mark.parametrize("file", ["missing.toml", "folder"])
def test_a_config_that_is_not_a_file_is_refused(file: str) -> None:
    Path("folder").mkdir()
    assert "--config" in refusal("find-lr", "--config", file)
    assert file in refusal("config", "--config", file)


def test_a_folder_named_pyproject_is_ignored() -> None:
    Path("pyproject.toml").mkdir()
    assert values_of()["epochs"] == (None, "default")


def columns(*arguments: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line) for line in invoke("config", *arguments).stdout.splitlines()]


def test_config_prints_aligned_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", "cache")
    write("augment = ['flip', 'crop']\nlearning-rate = 0.1\nopen = false\nfail-under = {recall.cat = 0.6}")
    lines = invoke("config", "--image-size", "48", "--augment", "none").stdout.splitlines()
    assert len({line.rindex("  ") for line in lines}) == 1
    assert columns("--image-size", "48", "--augment", "none") == [
        ["data", "cifar10, or digits if it is not available", "default"],
        ["data-dir", os.path.join("cache", "datasets"), "default"],
        ["image-column", "detected", "default"],
        ["label-column", "detected", "default"],
        ["image-size", "48x48", "command line"],
        ["resize", "stretch", "default"],
        ["model", "fast", "default"],
        ["batch-size", "depends on the data", "default"],
        ["seed", "0", "default"],
        ["limit-train", "all images", "default"],
        ["augment", "none", "command line"],
        ["progressive", "with the network fast", "default"],
        ["optimizer", "sgd", "default"],
        ["mixed-precision", "false", "default"],
        ["epochs", "depends on the data", "default"],
        ["limit-test", "all images", "default"],
        ["schedule", "one-cycle", "default"],
        ["learning-rate", "0.1", "pyproject.toml"],
        ["out", "lrdiag-report", "default"],
        ["metadata", "none", "default"],
        ["groups", "none", "default"],
        ["baseline", "none", "default"],
        ["assets", "inline", "default"],
        ["templates", "those of lrdiag", "default"],
        ["images", "true", "default"],
        ["file-names", "true", "default"],
        ["open", "false", "pyproject.toml"],
        ["json", "false", "default"],
        ["quiet", "false", "default"],
        ["verbose", "false", "default"],
        ["fail-under.recall.cat", "0.6", "pyproject.toml"],
    ]
    assert ["augment", "flip,crop", "pyproject.toml"] in columns()


@pytest.mark.parametrize(
    ("options", "batch_size", "epochs"),
    [
        (["--data", "digits"], 64, 12),
        (["--data", "Digits", "--limit-train", "500"], 64, 32),
        (["--data", "digits", "--batch-size", "16"], 16, 4),
        (["--data", "digits", "--epochs", "3"], 64, 3),
        (["--data", "cifar10"], 256, 3),
        (["--data", "my_images/"], None, None),
    ],
)
def test_config_shows_the_length_of_a_training_run_where_the_data_is_known(
    options: list[str], batch_size: int | None, epochs: int | None
) -> None:
    values = values_of(*options)
    assert (values["batch-size"][0], values["epochs"][0]) == (batch_size, epochs)


def test_config_shows_cifar10_if_it_is_on_disk(folder: Path) -> None:
    assert values_of()["data"][0] is None
    assert values_of("diagnose")["data"][0] == "cifar10"
    (folder / "photos" / "cifar-10-batches-py").mkdir(parents=True)
    values = values_of("--data-dir", "photos")
    assert [values[name][0] for name in ("data", "batch-size", "epochs")] == ["cifar10", 256, 3]


def test_the_shown_length_is_the_real_one() -> None:
    settings = Settings(data="digits")
    budget = Budget.of(None, None, len(load_dataset(settings, SILENCE).train), recipe_of(settings.model))
    values = values_of("--data", "digits")
    assert (values["batch-size"][0], values["epochs"][0]) == (budget.batch_size, budget.epochs)


@pytest.mark.parametrize("command", COMMANDS)
def test_config_shows_a_value_or_words_for_every_option(command: str) -> None:
    shown = {name: text for name, text, _ in columns(command)}
    assert not [name for name, text in shown.items() if text in ("-", "", "None", "not set")]


def test_config_shows_the_effective_values() -> None:
    write("epochs = 3\nfail-under = {accuracy = 0.7}")
    values = values_of("train-and-report", "--epochs", "4", "--fail-under", "accuracy=0.5", "-v")
    assert values["epochs"] == (4, "command line")
    assert values["fail-under.accuracy"] == (0.5, "command line")
    assert values["verbose"] == (True, "command line")
    assert values_of("--epochs", "4") == values_of("train-and-report", "--epochs", "4")
    shown = json.loads(invoke("config", "find_lr", "--json").stdout)
    assert shown["command"] == "find-lr"
    assert {"name": "limit-train", "value": None, "source": "default", "text": "all images"} in shown["options"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["find"], "No such command 'find'. Did you mean 'find-lr'?"),
        (["--epochs", "x"], "--epochs"),
        (["--epoch", "3"], "--epoch"),
        (["report", "run"], "run"),
        (["--augment", "spin"], "'spin'"),
    ],
)
def test_config_refuses_the_same_values_as_the_command(arguments: list[str], words: str) -> None:
    assert words in refusal("config", *arguments)


def test_verbose_of_the_file_shows_the_traceback() -> None:
    assert "Traceback" not in invoke("report", "nowhere").stderr
    write("verbose = true")
    assert "Traceback" in invoke("report", "nowhere").stderr
    write("verbose = false")
    assert "Traceback" in invoke("report", "nowhere", "-v").stderr


def process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def test_help_reads_no_file() -> None:
    Path("pyproject.toml").write_text("[tool.lrdiag")
    for command in ("", "'find-lr', ", "'config', "):
        code = f"import sys\nfrom lrdiag.cli.app import main\nmain([{command}'--help'], standalone_mode=False)"
        result = process(f"{code}\nprint('tomllib' in sys.modules)")
        assert result.stdout.splitlines()[-1] == "False", result.stderr


def test_help_shows_the_defaults_of_the_file_that_is_named() -> None:
    write("seed = 12345", "own.toml")
    assert "12345" in invoke("find-lr", "--config", "own.toml", "--help").stdout


LRDIAG = "from lrdiag.cli.app import main\nmain(prog_name='lrdiag')"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_can_be_installed(shell: str) -> None:
    result = process(LRDIAG, _LRDIAG_COMPLETE=f"{shell}_source")
    assert result.returncode == 0, result.stderr
    assert "_LRDIAG_COMPLETE" in result.stdout
    assert f"{shell}_complete" in result.stdout


def test_completion_ignores_a_broken_file() -> None:
    Path("pyproject.toml").write_text("[tool.lrdiag")
    words = {"COMP_WORDS": "lrdiag train-and-report --epo", "COMP_CWORD": "2"}
    result = process(LRDIAG, _LRDIAG_COMPLETE="bash_complete", **words)
    assert (result.stdout, result.stderr) == ("plain,--epochs\n", "")


def test_trust_is_read_only_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.lrdiag.diagnose]\ntrust = true\n")
    result = CliRunner().invoke(main, ["diagnose", "model.keras"])
    assert result.exit_code == 2
    assert "`trust` in [tool.lrdiag.diagnose] of pyproject.toml: It works only on the command line" in result.output


def test_fail_on_of_check_is_an_ordinary_option() -> None:
    assert values_of("check")["fail-on"] == ("error", "default")
    write('fail-on = "warning"')
    assert values_of("check")["fail-on"] == ("warning", "pyproject.toml")
    assert values_of("check", "--fail-on", "never")["fail-on"] == ("never", "command line")
    write('fail-on = "sometimes"')
    assert "`fail-on` in" in refusal("config", "check")
