"""The floor plan: imports go down only, and rooms that must be fast or independent import no engine."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "lrdiag"
# From the ground up. Rooms of one floor may import each other, but not in a circle.
FLOORS = (
    {"errors", "formats", "palette", "progress", "vocabulary", "intervals", "drawing", "opencv"},
    {"record"},
    {"backend"},
    {"rate"},
    {"models", "data"},
    {"policies", "explain"},
    {"training", "evaluation"},
    {"diagnosis"},
    {"report"},
    {"settings", "pipeline", "main_job", "diagnosing", "callback", "tensorboard", "testing"},
    {"cli"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ENTRANCES = {"__init__", "__main__"}  # the public names and `python -m lrdiag`
WITHOUT_ENGINE = {"record", "rate", "diagnosis", "report"}
TENSORFLOW_ITSELF = {"data/sources/tfds.py", "explain/keras_vis.py", "tensorboard.py"}  # parts about TensorFlow
# The moments of a training run keep pictures only as finished sheets, and sheets are drawn by the report.
UPWARDS = {("evaluation/evolution.py", "lrdiag.report.pictures.sheets")}


class Import(NamedTuple):
    """A module that a file imports: when the file is imported, or later, inside a function."""

    file: str
    module: str
    later: bool

    @property
    def rooms(self) -> tuple[str, str]:
        """The room of the file and the room that it imports."""
        return self.file.split("/")[0].removesuffix(".py"), self.module.partition(".")[2].partition(".")[0]


def imports() -> Iterator[Import]:
    """Every import of the package, except those for types only."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        later, for_types = _inside(tree, _is_function), _inside(tree, _is_for_types)
        for node in ast.walk(tree):
            if node not in for_types:
                file = path.relative_to(PACKAGE).as_posix()
                yield from (Import(file, module, node in later) for module in _modules(node))


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        module = str(node.module)
        return [f"lrdiag.{alias.name}" for alias in node.names] if module == "lrdiag" else [module]
    return []


def _inside(tree: ast.AST, condition: Callable[[ast.AST], bool]) -> set[ast.AST]:
    return {inner for outer in ast.walk(tree) if condition(outer) for inner in ast.walk(outer)}


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


IMPORTS = list(imports())


def test_every_room_has_a_floor() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")}
    assert rooms - set(FLOOR) - ENTRANCES == set()


def test_imports_go_down_only() -> None:
    inside = [each for each in IMPORTS if each.module.startswith("lrdiag.") and each.rooms[0] not in ENTRANCES]
    upwards = {(each.file, each.module) for each in inside if FLOOR[each.rooms[1]] > FLOOR[each.rooms[0]]}
    assert upwards == UPWARDS


def test_rooms_do_not_import_each_other_in_a_circle() -> None:
    pairs = {each.rooms for each in IMPORTS if each.module.startswith("lrdiag.") and len(set(each.rooms)) == 2}
    assert {frozenset(pair) for pair in pairs if pair[::-1] in pairs} == set()


def test_mathematics_facts_findings_and_pages_need_no_engine() -> None:
    engines = [each for each in IMPORTS if each.module.split(".")[0] in ("keras", "tensorflow")]
    assert [each for each in engines if each.rooms[0] in WITHOUT_ENGINE] == []


def test_tensorflow_is_imported_by_the_backend_only() -> None:
    found = {each.file for each in IMPORTS if not each.later and each.module.split(".")[0] == "tensorflow"}
    assert {file for file in found if not file.startswith("backend/")} <= TENSORFLOW_ITSELF


def test_private_parts_of_keras_are_imported_by_the_backend_only() -> None:
    found = {each.file for each in IMPORTS if each.module.startswith("keras.src")}
    assert {file for file in found if not file.startswith("backend/")} == set()


def test_the_imports_are_found() -> None:
    assert len({rooms for rooms in (each.rooms for each in IMPORTS) if rooms[1] in FLOOR}) > 60
    assert {"keras", "tensorflow"} <= {each.module for each in IMPORTS}
    assert len(set(itertools.chain(*FLOORS))) == sum(map(len, FLOORS))
