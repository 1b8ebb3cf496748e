"""What the shell offers when Tab is pressed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.shell_completion import CompletionItem, ShellComplete

from lrdiag.cli.app import main
from lrdiag.vocabulary import OPTIMIZERS, PREPROCESSINGS, RULES, SCHEDULES


def items(line: str) -> list[CompletionItem]:
    """Completes the last word of a line."""
    *before, begun = line.split(" ")
    return ShellComplete(main, {}, "lrdiag", "_LRDIAG_COMPLETE").get_completions(before, begun)


def offered(line: str) -> list[str]:
    return [item.value for item in items(line) if item.type == "plain"]


def offers_files(line: str) -> bool:
    return any(item.type == "file" for item in items(line))


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("f", ["find-lr"]),
        ("train-and-report --model ", ["fast", "article"]),
        ("find-lr --model a", ["article"]),
        ("train-and-report --data ", ["cifar10", "digits"]),
        ("diagnose m.keras --data Ci", ["cifar10"]),
        ("train-and-report --schedule ", list(SCHEDULES)),
        ("train-and-report --schedule one", ["one-cycle"]),
        ("train-and-report --optimizer ", list(OPTIMIZERS)),
        ("find-lr --rule ", list(RULES)),
        ("find-lr --mode ", ["exponential", "linear"]),
        ("diagnose m.keras --preprocess ", list(PREPROCESSINGS)),
        ("report run --assets ", ["inline", "folder"]),
        ("train-and-report --augment ", ["flip", "crop", "erase", "none"]),
        ("train-and-report --augment flip,", ["flip,crop", "flip,erase"]),
        ("train-and-report --augment flip,c", ["flip,crop"]),
        ("train-and-report --learning-rate ", ["auto"]),
        ("train-and-report --fail-", ["--fail-under", "--fail-if-worse", "--fail-on"]),
        ("config find", ["find-lr"]),
        ("config find-lr --r", ["--resize", "--repeats", "--rule"]),
        ("config find-lr --rule s", ["steepest"]),
        ("config --sched", ["--schedule"]),
        ("config --schedule tri", ["triangular2"]),
        ("config --j", ["--json"]),
    ],
)
def test_names_are_offered(line: str, names: list[str]) -> None:
    assert offered(line) == names


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("train-and-report --data ", True),
        ("train-and-report --model my", True),
        ("diagnose ", True),
        ("report ", True),
        ("compare base ", True),
        ("config --data ", True),
        ("train-and-report --schedule ", False),
        ("config ", False),
    ],
)
def test_files_are_offered_where_a_path_is_expected(line: str, files: bool) -> None:
    assert offers_files(line) == files


def test_completion_imports_nothing_slow() -> None:
    code = (
        "import sys\nfrom lrdiag.cli.app import main\n"
        "try:\n    main(prog_name='lrdiag')\n"
        "except SystemExit:\n    print(sorted({'tensorflow', 'keras', 'numpy', 'rich'} & set(sys.modules)))"
    )
    words = {"COMP_WORDS": "lrdiag config --model a", "COMP_CWORD": "3", "_LRDIAG_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **words}
    )
    assert done.stdout.splitlines() == ["file,a", "plain,article", "[]"]
