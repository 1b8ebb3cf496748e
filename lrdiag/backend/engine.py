"""The engine that Keras runs on: TensorFlow, JAX or PyTorch.

Each is a subclass of `lrdiag.backend.base.Engine` in a module of its own. Nothing else in lrdiag differs between them.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from lrdiag.errors import SettingsError
from lrdiag.vocabulary import ENGINES

if TYPE_CHECKING:
    from lrdiag.backend.base import Engine


@cache
def engine() -> Engine:
    """Returns the engine that Keras runs on.

    Raises:
        SettingsError: If lrdiag has none for it.
    """
    name = engine_name()
    require_engine(name)
    running: Engine = import_module(f"lrdiag.backend.{name}").Engine()
    return running


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
