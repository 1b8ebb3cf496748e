"""Lenient names, suggestions, and options under headings."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from lrdiag import vocabulary
from lrdiag.cli.app import main
from lrdiag.cli.parsing import HEADINGS, OTHERS, Command
from lrdiag.settings import DiagnoseSettings, LearningRate, Settings
from lrdiag.vocabulary import canonical, spelling

VOCABULARIES = {name: value for name, value in vars(vocabulary).items() if name.isupper() and type(value) is tuple}


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def started(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Settings | DiagnoseSettings:
    """The settings with which a command would start TensorFlow."""
    made: list[Any] = []

    def start(settings: Any) -> None:
        made.append(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr("lrdiag.cli.app.refuse_mistyped", start)
    result = invoke(*arguments)
    assert result.exit_code == 130, result.output
    return made[0]


@pytest.mark.parametrize("names", VOCABULARIES.values(), ids=VOCABULARIES)
def test_no_two_names_have_the_same_spelling(names: tuple[str, ...]) -> None:
    assert len({spelling(name) for name in names}) == len(names)
    for name in names:
        spellings = name.upper(), name[:1] + name[1:].replace("-", "_"), f" {name} "
        assert {canonical(each, names) for each in spellings} == {name}


def test_a_minus_is_no_hyphen() -> None:
    assert canonical("1..1", vocabulary.PREPROCESSINGS) == "1..1"
    assert canonical("-1..1", vocabulary.PREPROCESSINGS) == "-1..1"


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("schedule", "Triangular2", "triangular2"),
        ("schedule", "one_cycle", "one-cycle"),
        ("schedule", "OneCycle", "one-cycle"),
        ("schedule", "COSINE_RESTARTS", "cosine-restarts"),
        ("optimizer", "AdamW", "adamw"),
        ("assets", "Folder", "folder"),
        ("model", "Fast", "fast"),
        ("data", "CIFAR-10", "cifar10"),
        ("data", "Digits", "digits"),
        ("augment", "Flip,CROP", ("flip", "crop")),
        ("augment", "None", ()),
        ("learning-rate", "Auto", LearningRate()),
    ],
)
def test_case_hyphens_and_underscores_do_not_matter(
    monkeypatch: pytest.MonkeyPatch, option: str, text: str, value: object
) -> None:
    assert getattr(started(monkeypatch, "train-and-report", f"--{option}", text), option.replace("-", "_")) == value


def test_preprocessing_is_a_lenient_choice_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert started(monkeypatch, "diagnose", "m.keras", "--preprocess", "TORCH").preprocess == "torch"
    assert started(monkeypatch, "diagnose", "m.keras", "--preprocess", "-1..1").preprocess == "-1..1"


def test_a_folder_has_precedence_over_a_similar_name(folder: Path) -> None:
    (folder / "Digits").mkdir()
    (folder / "digits").mkdir()
    assert (Settings(data="Digits").data, Settings(data="digits").data) == ("Digits", "digits")
    assert DiagnoseSettings("m.keras", data="DIGITS").data == "digits"


def test_python_accepts_the_same_names() -> None:
    settings = Settings(schedule="One_Cycle", optimizer="Adam", model="Article", assets="Inline")  # type: ignore[arg-type]
    assert (settings.schedule, settings.optimizer, settings.model) == ("one-cycle", "adam", "article")
    assert DiagnoseSettings("m.keras", preprocess="Caffe").preprocess == "caffe"  # type: ignore[arg-type]


def test_commands_and_options_may_have_underscores(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = started(monkeypatch, "train_and_report", "--batch_size", "8", "--Schedule".lower(), "decay")
    assert isinstance(settings, Settings)
    assert (settings.batch_size, settings.schedule) == (8, "decay")


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["fnd-lr"], "find-lr"),
        (["train"], "train-and-report"),
        (["diagnos", "m.keras"], "diagnose"),
        (["find-lr", "--optimiser", "adam"], "--optimizer"),
        (["train-and-report", "--epoch", "3"], "--epochs"),
        (["train-and-report", "--schedule", "cosine"], "cosine-restarts"),
        (["train-and-report", "--schedule", "onecyle"], "one-cycle"),
        (["train-and-report", "--optimizer", "adma"], "adam"),
        (["train-and-report", "--augment", "flip,corp"], "crop"),
        (["train-and-report", "--assets", "inlien"], "inline"),
        (["find-lr", "--mode", "expnential"], "exponential"),
        (["find-lr", "--rule", "valley"], "fastai-valley"),
        (["diagnose", "m.keras", "--preprocess", "standard"], "standardized"),
        (["report", "run", "--fail-under", "accurcy=0.5"], "accuracy"),
        (["config", "find-lr", "--rule", "steepst"], "steepest"),
    ],
)
def test_what_is_mistyped_gets_a_suggestion(arguments: list[str], suggestion: str) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Did you mean {suggestion!r}?" in result.stderr


def test_nothing_similar_gets_none() -> None:
    for arguments in (["xyzzy"], ["find-lr", "--rule", "xyzzy"]):
        result = invoke(*arguments)
        assert result.exit_code == 2
        assert "Did you mean" not in result.stderr
        assert ".." not in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", main.commands)
def test_help_shows_every_option_once_under_its_heading(command: str) -> None:
    text = invoke(command, "--help").stdout
    sections = dict(re.findall(r"^(\w[^\n]*):\n((?:  [^\n]*\n|\n)+)", text, re.MULTILINE))
    headings = {name: heading for heading, names in HEADINGS.items() for name in names}
    last = OTHERS if len(sections) > 1 else "Options"
    for param in main.commands[command].params:
        if isinstance(param, click.Option):
            row = rf"^  (-\w, )?{param.opts[-1]}(?![\w-])"
            assert re.search(row, sections[headings.get(param.name or "", last)], re.MULTILINE)
            assert len(re.findall(row, text, re.MULTILINE)) == 1


def test_an_option_without_a_heading_is_shown_too() -> None:
    params = [click.Option(["--data"]), click.Option(["--brand-new"], help="Something new.")]
    text = CliRunner().invoke(Command("toy", params=params), ["--help"]).stdout  # type: ignore[arg-type]
    assert text.index("Data:") < text.index("--data") < text.index(f"{OTHERS}:") < text.index("--brand-new")


def test_a_heading_lists_no_option_twice() -> None:
    names = list(itertools.chain(*HEADINGS.values()))
    assert len(names) == len(set(names))
