"""The engine that Keras runs on: TensorFlow, JAX or PyTorch.

Each engine is a module of this package with the same functions. `compiler`, `scalar`, `seeds` and `device` describe and
call them. Nothing else in lrdiag differs between engines.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from lrdiag.errors import SettingsError
from lrdiag.vocabulary import ENGINES


@cache
def engine() -> Any:
    """Returns the module of the engine that Keras runs on.

    Raises:
        SettingsError: If lrdiag has none for it.
    """
    name = engine_name()
    require_engine(name)
    return import_module(f"lrdiag.backend.{name}")


def engine_name() -> str:
    """Returns the name of the engine in Keras: `"tensorflow"`, `"jax"` or `"torch"`."""
    import keras  # imports the engine, which takes seconds

    return str(keras.config.backend())


def require_engine(name: str) -> None:
    """Raises unless a Keras backend is one of `ENGINES`.

    Raises:
        SettingsError: If it isn't.
    """
    if name not in ENGINES:
        raise SettingsError(
            f"lrdiag runs on the Keras backends {', '.join(ENGINES)}. Set the environment variable KERAS_BACKEND to "
            f"one of them before Keras is imported. Received: the Keras backend {name!r}"
        )
