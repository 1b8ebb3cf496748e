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
    return {(module, name) for module, name in imports(script) if module.partition(".")[0] == "lrdiag"}


def imports(script: Path) -> set[tuple[str, str]]:
    froms = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.ImportFrom)]
    return {(str(node.module), name.name) for node in froms for name in node.names}


def defined(script: Path) -> set[str]:
    """The names of functions, classes and constants."""
    nodes = ast.parse(script.read_text()).body
    stored = [node for each in nodes for node in ast.walk(each) if isinstance(each, ast.Assign | ast.AnnAssign)]
    names = {node.id for node in stored if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return names | {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def exists(module: str, name: str) -> bool:
    if hasattr(importlib.import_module(module), name):
        return True
    return importlib.util.find_spec(f"{module}.{name}") is not None


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda script: script.stem)
def test_a_benchmark_imports_names_that_exist(script: Path) -> None:
    assert [each for each in imported(script) if not exists(*each)] == []


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda script: script.stem)
def test_a_benchmark_imports_what_other_benchmarks_define(script: Path) -> None:
    others = {each.stem: each for each in BENCHMARKS}
    wanted = {(module, name) for module, name in imports(script) if module in others}
    assert [each for each in wanted if each[1] not in defined(others[each[0]])] == []


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
