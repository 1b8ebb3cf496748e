"""The floor plan: imports go down only, and each engine and OpenCV have one home."""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "lrdiag"
# From the ground up. Rooms of one floor may import each other, but not in a circle.
FLOORS = (
    {
        "errors",
        "formats",
        "limits",
        "palette",
        "progress",
        "recipes",
        "vocabulary",
        "intervals",
        "drawing",
        "opencv",
        "stopping",
        "threads",
        "foreign_code",
    },
    {"model_files"},
    {"model_spec"},
    {"record"},
    {"backend"},
    {"rate", "images"},
    {"models", "data"},
    {"policies", "explain"},
    {"training", "evaluation", "inspection"},
    {"experiments"},
    {"diagnosis"},
    {"report"},
    {"studying"},
    {
        "settings",
        "checkpoint",
        "pipeline",
        "explaining",
        "parts",
        "saved_parts",
        "main_job",
        "job",
        "job_callback",
        "diagnosing",
        "callback",
        "tensorboard",
        "testing",
        "watch",
        "checkup",
        "engines",
    },
    {"cli"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ENTRANCES = {"__init__", "__main__"}  # the public names and `python -m lrdiag`
ENGINES = {"tensorflow", "jax", "torch"}
WITHOUT_ENGINE = {"record", "rate", "images", "diagnosis", "report"}


class Import(NamedTuple):
    """A module that a file imports: when the file is imported, or later, inside a function."""

    file: str
    module: str
    later: bool

    @property
    def package(self) -> str:
        """The top-level package."""
        return self.module.partition(".")[0]

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
    inside = [each for each in IMPORTS if each.package == "lrdiag" and each.rooms[0] not in ENTRANCES]
    assert [each for each in inside if FLOOR[each.rooms[1]] > FLOOR[each.rooms[0]]] == []


def test_rooms_do_not_import_each_other_in_a_circle() -> None:
    pairs = {each.rooms for each in IMPORTS if each.package == "lrdiag" and len(set(each.rooms)) == 2}
    assert {frozenset(pair) for pair in pairs if pair[::-1] in pairs} == set()


def test_mathematics_facts_findings_and_pages_import_no_engine() -> None:
    knowing = {*ENGINES, "keras", "tf_keras_vis"}
    assert [each for each in IMPORTS if each.rooms[0] in WITHOUT_ENGINE and each.package in knowing] == []


def test_mathematics_facts_findings_and_pages_load_no_engine() -> None:
    """Through no other module either."""
    files = [path.relative_to(PACKAGE.parent) for room in WITHOUT_ENGINE for path in (PACKAGE / room).rglob("*.py")]
    names = sorted(".".join(file.with_suffix("").parts) for file in files)
    script = (
        f"import sys, importlib\nfor name in {names}: importlib.import_module(name)\n"
        f"print({ {*ENGINES, 'keras', 'tf_keras_vis'} } & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_engines_are_imported_by_the_backend_only() -> None:
    """Imports inside functions are allowed."""
    found = {each.file for each in IMPORTS if not each.later and each.package in ENGINES}
    assert {file for file in found if not file.startswith("backend/")} == set()


def test_private_parts_of_keras_are_imported_by_the_backend_only() -> None:
    found = {each.file for each in IMPORTS if each.module.startswith("keras.src")}
    assert {file for file in found if not file.startswith("backend/")} == set()


def test_opencv_is_imported_by_one_module() -> None:
    assert {each.file for each in IMPORTS if each.package == "cv2"} == {"opencv.py"}


def test_the_imports_are_found() -> None:
    assert len({rooms for rooms in (each.rooms for each in IMPORTS) if rooms[1] in FLOOR}) > 60
    assert {"keras", "tensorflow"} <= {each.module for each in IMPORTS}
    assert "backend/tensorflow.py" in {each.file for each in IMPORTS if each.package in ENGINES and not each.later}
    assert len(set(itertools.chain(*FLOORS))) == sum(map(len, FLOORS))
