"""Explains why Keras couldn't load a model file: what is wrong, and what to do."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import h5py
import keras

from lrdiag.errors import ModelError
from lrdiag.model_files import LOAD_WEIGHTS, untrusted
from lrdiag.models import keras2

_OWN_FUNCTION = (
    "Write a module with {what}, and a function that returns keras.models.load_model(...), and pass it as "
    "`module:function`."
)
_REBUILD = (
    "Build the same model with Keras 3 in a function that calls `model.load_weights` with this file, and pass it as "
    "`module:function`."
)
_LONGEST = 300  # characters of an error of Keras


class Failure:
    """A model file and the error that Keras raised.

    Args:
        path: The file.
        error: The error.
    """

    def __init__(self, path: Path, error: Exception) -> None:
        self.path, self.error = path, error
        self.text = " ".join(re.sub(r"\x1b\[\d*m", "", str(error)).split())

    def found(self, *patterns: str) -> str:
        """Returns what the first pattern finds in the error: its first group, if it has one. `""` if none does."""
        matches = filter(None, (re.search(pattern, self.text) for pattern in patterns))
        return next((match.group(match.re.groups and 1) for match in matches), "")

    @cached_property
    def version(self) -> str:
        """The version of Keras that wrote the file; `""` if it isn't known."""
        try:
            if self.path.suffix != ".keras":
                return keras2.version_of(self.path)
            with zipfile.ZipFile(self.path) as archive:
                return str(json.loads(archive.read("metadata.json")).get("keras_version", ""))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return ""

    @property
    def has_no_model(self) -> bool:
        """Whether the file is HDF5 without the configuration of a model."""
        return "No model config found" in self.text

    @property
    def has_weights(self) -> bool:
        """Whether an HDF5 file contains the weights of layers."""
        with h5py.File(self.path) as file:
            return "layer_names" in file.attrs or any(
                name in file for name in ("layers", "_layer_checkpoint_dependencies", "vars", "model_weights")
            )

    @property
    def is_newer(self) -> bool:
        """Whether a newer version of Keras wrote the file than the one that reads it."""
        return _numbers(self.version) > _numbers(keras.__version__)

    @property
    def unknown_class(self) -> str:
        """The class or function that Keras doesn't know."""
        return self.found(
            r"Unknown [\w ]+: ?'([^']+)'",
            r"Could not locate (?:class|function) '([^']+)'",
            r"Cannot deserialize object of type `([^`]+)`",
        )

    @property
    def unknown_arguments(self) -> tuple[str, ...]:
        """The layer whose arguments Keras doesn't know, and their names."""
        match = re.search(r"Unrecognized keyword arguments? passed to (\w+): \{(.*?)\}(?:\.|$| )", self.text)
        return (match[1], *re.findall(r"'(\w+)': ", match[2])) if match else ()

    @property
    def gist(self) -> str:
        """The error without the configuration that Keras prints with it."""
        text = self.text.rpartition("Exception encountered:")[2].strip() or self.text
        short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        return f"{type(self.error).__name__}: {short}"


class Cause(NamedTuple):
    """A reason why a file can't be loaded.

    Attributes:
        matches: Whether it is the reason of a failure.
        message: What is wrong and what to do.
    """

    matches: Callable[[Failure], object]
    message: Callable[[Failure], str]


CAUSES = (
    Cause(
        lambda failure: failure.has_no_model and failure.has_weights,
        lambda _: f"The file contains weights only, no model. {LOAD_WEIGHTS}",
    ),
    Cause(
        lambda failure: failure.has_no_model,
        lambda _: "The HDF5 file contains no Keras model. Pass a file that `model.save` wrote.",
    ),
    Cause(
        lambda failure: failure.found("bad marshal data", "lambda"),
        lambda failure: (
            "The code of a Lambda layer in the file can't be run here, for example because another version of Python "
            f"wrote it. {_OWN_FUNCTION.format(what='the function of the layer')} Keras: {failure.gist}"
        ),
    ),
    Cause(
        lambda failure: failure.unknown_class == "KerasLayer",
        lambda _: (
            "The model contains a layer of TensorFlow Hub, `KerasLayer`, which needs Keras 2. Save the model in Keras "
            "2 with `model.export(folder)`, and use `lrdiag diagnose folder --trust`. It is evaluated without heatmaps."
        ),
    ),
    Cause(
        lambda failure: failure.unknown_class in ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"),
        lambda failure: (
            f"The file was written by Keras 2 and contains operations of TensorFlow as `{failure.unknown_class}`, "
            f"which Keras 3 doesn't have. {_REBUILD}"
        ),
    ),
    Cause(
        lambda failure: failure.path.suffix == ".keras" and failure.version.startswith("2."),
        lambda failure: (
            f"The file was written by Keras {failure.version}, and Keras 3 doesn't read .keras files of Keras 2. Load "
            "it with tf_keras, save it with `model.save('model.h5')`, and pass that file."
        ),
    ),
    Cause(
        lambda failure: failure.unknown_class,
        lambda failure: (
            f"The model contains `{failure.unknown_class}`, which Keras doesn't know. "
            + _OWN_FUNCTION.format(what="the definition, under @keras.saving.register_keras_serializable()")
        ),
    ),
    Cause(
        lambda failure: failure.is_newer,
        lambda failure: (
            f"The file was written by Keras {failure.version}, which is newer than Keras {keras.__version__} here. "
            "Upgrade Keras."
        ),
    ),
    Cause(
        lambda failure: failure.unknown_arguments,
        lambda failure: (
            f"The file was written by {_writer(failure)}, and Keras {keras.__version__} doesn't know "
            f"{', '.join(failure.unknown_arguments[1:])} of {failure.unknown_arguments[0]}. {_REBUILD}"
        ),
    ),
    Cause(
        lambda failure: (
            failure.found(
                "truncated", "[Uu]nable to (synchronously )?open", "BadZipFile", "bad .*magic", "CRC", "zip file"
            )
            or isinstance(failure.error, zipfile.BadZipFile | EOFError)
        ),
        lambda _: "The file is damaged or incomplete. Copy or download it again.",
    ),
    Cause(
        lambda failure: failure.found(
            "could not be loaded", r"expected \d+ variables", "[Ss]hape mismatch", "Layer count mismatch"
        ),
        lambda failure: f"The weights in the file don't fit its layers. {_REBUILD} Keras: {failure.gist}",
    ),
    Cause(
        lambda _: True,
        lambda failure: (
            f"Keras can't load the file, which {_writer(failure)} wrote. If it loads with code of your own, write a "
            f"function that returns the model, and pass it as `module:function`. Keras: {failure.gist}"
        ),
    ),
)
"""The first that matches is the reason."""


def not_loaded(path: Path, error: Exception) -> ModelError:
    """Returns the error that explains why a model file couldn't be loaded.

    Args:
        path: The file, which exists.
        error: What Keras raised.
    """
    failure = Failure(path, error)
    if failure.found("enable_unsafe_deserialization", "safe_mode=False"):
        return untrusted(path, "contains what Keras refuses in its safe mode")
    cause = next(cause for cause in CAUSES if cause.matches(failure))
    return ModelError(f"{cause.message(failure)} Received: {path}")


def _writer(failure: Failure) -> str:
    return f"Keras {failure.version}" if failure.version else "another version of Keras"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))
