"""The mathematics, the facts and the page import neither Keras nor an engine."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lrdiag

PACKAGE = Path(lrdiag.__file__).parent
ROOMS = ("record", "rate", "diagnosis", "report")
HEAVY = {"keras", "tensorflow", "tf_keras_vis", "jax", "torch"}
MODULES = sorted(file for room in ROOMS for file in (PACKAGE / room).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Names of the packages that a module imports, inside functions too; those for type checkers alone are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
        else:
            yield from imported(node)


@pytest.mark.parametrize("module", MODULES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_a_module_imports_no_engine(module: Path) -> None:
    assert not HEAVY & set(imported(ast.parse(module.read_text(encoding="utf-8"))))


def test_all_of_them_together_load_no_engine() -> None:
    """Through no other module either."""
    names = [".".join(["lrdiag", *file.relative_to(PACKAGE).with_suffix("").parts]) for file in MODULES]
    script = (
        f"import sys, importlib\nfor name in {names}: importlib.import_module(name)\nprint({HEAVY} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
