"""Makes the import of TensorFlow fail where another engine is chosen. Import this before Keras."""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec
from typing import Any


class NoTensorFlow:
    """Finds TensorFlow, but can't load it. `sys.modules["tensorflow"] = None` would be imported for Keras."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name == "tensorflow" else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        raise ModuleNotFoundError("TensorFlow is blocked", name="tensorflow")

    def exec_module(self, module: Any) -> None: ...


blocker = NoTensorFlow()
if os.environ["KERAS_BACKEND"] != "tensorflow":
    sys.meta_path.insert(0, blocker)
