"""The texts that name a model, and what is wrong with a text that names none.

Nothing here imports Keras, so that a mistyped name is refused before an engine starts.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from lrdiag.errors import ModelError, did_you_mean, did_you_mean_file
from lrdiag.model_files import MODEL_SUFFIXES, is_saved_model, refuse_other_file, untrusted
from lrdiag.vocabulary import NETWORKS

KERAS_SUFFIX = ".keras"
_CAN_ADD_NAMES = re.compile(r"import\s+\*|\b(__getattr__|globals|setattr|exec|modules)\b")


def require_network(spec: str) -> None:
    """Raises unless `spec` can name a network to train: a built-in one, a `.keras` file, or `module:function`.

    Raises:
        ModelError: If there is no such network, file or module.
    """
    if spec in NETWORKS:
        return
    if spec.endswith(KERAS_SUFFIX):
        _require_file(Path(spec))
    elif not _names_function(spec):
        raise ModelError(
            f"The model must be {', '.join(f'`{each}`' for each in NETWORKS)}, a {KERAS_SUFFIX} file, or "
            f"`module:function`. Received: {spec!r}{did_you_mean(spec, NETWORKS)}"
        )
    else:
        _require_function(spec)


def require_trained_model(spec: str, *, trust: bool = False) -> None:
    """Raises unless `spec` can name a trained model: a file, a folder, or `module:function`.

    Args:
        spec: What names the model.
        trust: Whether the model may run code. A SavedModel always does.

    Raises:
        ModelError: If there is no such file, folder or module, the file is of another kind, or it isn't trusted.
    """
    path = Path(spec)
    if spec and path.is_dir():
        if is_saved_model(path) and not trust:
            raise untrusted(path, "is a SavedModel, a program that can read and write files")
        return  # its content decides
    if Path(f"{spec}.index").is_file():  # a checkpoint of TensorFlow is named without the ends of its files
        path = Path(f"{spec}.index")
    if path.suffix in MODEL_SUFFIXES:
        _require_file(path)
    elif path.is_file():
        refuse_other_file(path)
        raise _not_a_trained_model(spec)
    elif _names_function(spec) and not path.exists():
        _require_function(spec)
    else:
        raise _not_a_trained_model(spec)


def _not_a_trained_model(spec: str) -> ModelError:
    """Returns the error for a text or a path that is no trained model."""
    path = Path(spec)
    problem = "" if path.exists() else f", and there is no such file{did_you_mean_file(path)}"
    return ModelError(
        f"The model must be a .keras or .h5 file, the folder of a run or of a SavedModel, or `module:function`. "
        f"Received: {spec!r}{problem}"
    )


def _names_function(spec: str) -> bool:
    """Returns whether `spec` has the form `module:function`."""
    return spec.count(":") == 1


def not_importable(spec: str, problem: str) -> ModelError:
    """Returns the error for a `module:function` that can't be imported."""
    return ModelError(
        "`module:function` must name a function that can be imported from the current folder. "
        f"Received: {spec!r} ({problem})"
    )


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"There is no such model file. Check the path. Received: {path}{did_you_mean_file(path)}")
    refuse_other_file(path)


def _require_function(spec: str) -> None:
    """Raises if the module isn't there, or if its file can't define the function. Imports nothing."""
    module, function = spec.split(":")
    package = module.partition(".")[0]
    if package in sys.modules:
        return
    found = _find(package)
    if found is None:
        raise not_importable(spec, f"there is no module named {package!r}{did_you_mean(package, _modules_here())}")
    if module == package and found.origin is not None and found.origin.endswith(".py"):
        source = Path(found.origin).read_text("utf-8", "replace")
        if not re.search(rf"\b{re.escape(function)}\b", source) and not _CAN_ADD_NAMES.search(source):
            raise not_importable(spec, f"the module has no {function!r}{did_you_mean(function, _functions(source))}")


def _find(package: str) -> ModuleSpec | None:
    """Finds a module in the current folder or where Python looks for modules."""
    return PathFinder.find_spec(package, [""]) or (importlib.util.find_spec(package) if package else None)


def _modules_here() -> list[str]:
    return [path.stem for path in Path().glob("*.py")]


def _functions(source: str) -> list[str]:
    try:
        return [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    except (SyntaxError, ValueError):  # importing it will say why
        return []
