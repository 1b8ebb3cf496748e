"""What the examples and the benchmarks import: only public names, and only names that exist."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

import lrdiag

ROOT = Path(__file__).parents[1]
EXAMPLES, BENCHMARKS = (sorted((ROOT / folder).glob("*.py")) for folder in ("examples", "tests/benchmarks"))


def imported(script: Path) -> set[tuple[str, str]]:
    """The modules of lrdiag and the names that a script imports from them, also inside functions."""
    nodes = ast.walk(ast.parse(script.read_text()))
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lrdiag")]
    return {(str(node.module), name.name) for node in froms for name in node.names}


def exists(module: str, name: str) -> bool:
    if hasattr(importlib.import_module(module), name):
        return True
    return importlib.util.find_spec(f"{module}.{name}") is not None


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda script: script.stem)
def test_a_benchmark_imports_names_that_exist(script: Path) -> None:
    assert [each for each in imported(script) if not exists(*each)] == []


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_an_example_uses_public_names_only(script: Path) -> None:
    assert imported(script) <= {("lrdiag.testing", "assert_no_regression")}
    used = {
        node.attr
        for node in ast.walk(ast.parse(script.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "lrdiag"
    }
    assert used
    assert used <= set(lrdiag.__all__)
