"""Which modules know an engine or OpenCV."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import lrdiag

PACKAGE = Path(lrdiag.__file__).parent
MAY_IMPORT_TENSORFLOW = ("backend/", "explain/keras_vis.py")
MAY_IMPORT_OPENCV = ("opencv.py",)


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imported(nodes: Iterator[ast.AST] | list[ast.stmt]) -> set[str]:
    """The top-level packages that statements import."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


def test_only_the_backend_imports_tensorflow_at_module_level() -> None:
    importing = [name for name, module in modules() if {"tensorflow", "jax", "torch"} & imported(module.body)]
    assert [name for name in importing if not name.startswith(MAY_IMPORT_TENSORFLOW)] == []
    assert "backend/tensorflow.py" in importing, "the check itself works"


def test_only_one_module_imports_opencv() -> None:
    assert [name for name, module in modules() if "cv2" in imported(ast.walk(module))] == list(MAY_IMPORT_OPENCV)
