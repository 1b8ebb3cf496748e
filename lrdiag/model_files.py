"""Recognises files and folders that aren't Keras models, by their name and their first bytes.

Nothing here imports Keras, so that they can be refused before an engine starts.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from lrdiag import limits
from lrdiag.errors import ModelError

MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_HEAD = 512  # bytes that are read
_COPY_WEIGHTS = (
    "Build the same model in Keras 3, copy the weights into it, and save it with `model.save('model.keras')`."
)
LOAD_WEIGHTS = (
    "Save the whole model with `model.save('model.keras')`. Or write a function that builds the model, calls "
    "`model.load_weights` and returns the model, and pass it as `module:function`."
)


class Candidate:
    """A file or a folder that is named as a model.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def head(self) -> bytes:
        """The first bytes of a file; of a folder, none."""
        if not self.path.is_file():
            return b""
        with self.path.open("rb") as file:
            return file.read(_HEAD)

    @cached_property
    def names(self) -> list[str]:
        """What is in it: the names in a folder, or in a zip archive. Empty for other and for damaged files."""
        try:
            if self.path.is_dir():
                return sorted(each.name for each in self.path.iterdir())
            if self.head.startswith(_ZIP):
                with zipfile.ZipFile(self.path) as archive:
                    return archive.namelist()
        except (OSError, zipfile.BadZipFile):
            pass
        return []

    @property
    def models(self) -> list[str]:
        """The names of model files in it."""
        return [name for name in self.names if Path(name).suffix in MODEL_SUFFIXES and not is_named_weights(Path(name))]

    @property
    def is_hdf5(self) -> bool:
        """Whether the content is HDF5."""
        return self.head.startswith(_HDF5)

    @property
    def is_keras_archive(self) -> bool:
        """Whether the content is that of a `.keras` file, or of a folder with the same content."""
        return "config.json" in self.names and any(name.endswith(".weights.h5") for name in self.names)

    def ends_with(self, *endings: str) -> bool:
        """Returns whether the name ends with one of `endings`, in upper or lower case."""
        return self.path.name.lower().endswith(endings)


class Kind(NamedTuple):
    """A kind of files or folders that aren't models of Keras.

    Attributes:
        matches: Whether a candidate is of this kind.
        message: What is wrong and what to do. `{names}` stands for the model files in it, `{folder}` for its folder.
    """

    matches: Callable[[Candidate], bool]
    message: str


def is_named_weights(path: Path) -> bool:
    """Returns whether the name of a file says that it contains weights only."""
    return path.name.endswith((".weights.h5", ".weights.json"))


def is_saved_model(folder: Path) -> bool:
    """Returns whether TensorFlow takes a folder for a SavedModel."""
    return any((folder / name).exists() for name in ("saved_model.pb", "saved_model.pbtxt"))


FILES = (
    Kind(lambda file: not file.path.stat().st_size, "The model file is empty. Copy or download it again."),
    Kind(
        lambda file: file.head.startswith(b"version https://git-lfs"),
        "The file is a Git LFS pointer, not the model itself. Fetch the model with `git lfs pull`.",
    ),
    Kind(
        lambda file: file.head.lstrip().lower().startswith((b"<!doctype html", b"<html")),
        "The file is a web page, not a model. Download the file itself, not the page that shows it.",
    ),
    Kind(
        lambda file: file.is_hdf5 and not file.ends_with(".h5", ".hdf5"),
        "The content of the file is HDF5, but its name doesn't say so. Rename it so that it ends with .h5.",
    ),
    Kind(
        lambda file: file.is_keras_archive and not file.ends_with(".keras"),
        "The content of the file is a .keras model, but its name doesn't say so. Rename it so that it ends with "
        ".keras.",
    ),
    Kind(
        lambda file: any(name.endswith("data.pkl") for name in file.names) or file.ends_with(".pt", ".pth"),
        f"The file is a PyTorch model. lrdiag evaluates Keras models. {_COPY_WEIGHTS}",
    ),
    Kind(
        lambda file: bool(file.models) and not file.is_keras_archive,
        "The file is a zip archive that contains {names}. Unpack it, and pass that file.",
    ),
    Kind(
        lambda file: file.ends_with(".npz", ".npy"),
        "The file contains arrays of NumPy, not a model. Pass images with --data.",
    ),
    Kind(
        lambda file: file.head.startswith(_ZIP) and not file.is_keras_archive,
        "The file is a zip archive without a Keras model, or a damaged one. Copy or download it again.",
    ),
    Kind(
        lambda file: file.head[4:8] == b"TFL3" or file.ends_with(".tflite"),
        "The file is a TensorFlow Lite model, which can't be explained. Pass the Keras model that it was converted "
        "from.",
    ),
    Kind(
        lambda file: file.ends_with(".onnx"),
        f"The file is an ONNX model. lrdiag evaluates Keras models. {_COPY_WEIGHTS}",
    ),
    Kind(
        lambda file: file.ends_with(".safetensors"),
        f"The file contains weights only, in the format safetensors. {_COPY_WEIGHTS}",
    ),
    Kind(
        lambda file: file.path.name == "saved_model.pb",
        "The file is a part of a SavedModel. Pass its folder: {folder}",
    ),
    Kind(
        lambda file: file.ends_with(".pb", ".pbtxt"),
        "The file is a graph of TensorFlow 1, which isn't a Keras model. Pass the Keras model that it was made from.",
    ),
    Kind(
        lambda file: (
            file.ends_with(".index", ".ckpt", ".meta")
            or ".data-0000" in file.path.name
            or file.head.startswith(b"model_checkpoint_path")
        ),
        f"The file is a part of a checkpoint of TensorFlow, which contains weights only. {LOAD_WEIGHTS}",
    ),
    Kind(
        lambda file: file.ends_with(".weights.json"),
        f"The file contains weights only, no model. {LOAD_WEIGHTS}",
    ),
    Kind(
        lambda file: file.ends_with("model.json") and b"modelTopology" in file.head,
        "The file is a TensorFlow.js model. Export the model for Keras instead: in Teachable Machine, choose "
        "TensorFlow, then Keras.",
    ),
    Kind(
        lambda file: file.ends_with(".json", ".yaml", ".yml"),
        f"The file contains the architecture of a model, no weights. {LOAD_WEIGHTS}",
    ),
    Kind(
        lambda file: (
            file.head.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"))
            or file.ends_with(".pkl", ".pickle", ".joblib")
        ),
        "The file is a Python pickle, such as a model of PyTorch or scikit-learn. lrdiag evaluates Keras models. "
        + _COPY_WEIGHTS,
    ),
    Kind(
        lambda file: file.ends_with(".keras") and not file.is_keras_archive,
        "The file isn't a .keras model, or it is damaged. Copy or download it again.",
    ),
    Kind(
        lambda file: file.ends_with(".h5", ".hdf5") and not file.is_hdf5,
        "The file isn't an HDF5 file, or it is damaged. Copy or download it again.",
    ),
)
"""The first that matches is the reason. A file that no row matches may be a model."""

FOLDERS = (
    Kind(lambda folder: not folder.names, "The folder is empty. Pass the folder of a SavedModel, or a model file."),
    Kind(
        lambda folder: any(name.endswith("model.json") for name in folder.names),
        "The folder contains a TensorFlow.js model. Export the model for Keras instead: in Teachable Machine, choose "
        "TensorFlow, then Keras.",
    ),
    Kind(
        lambda folder: bool(folder.models),
        "The folder isn't a model, but it contains {names}. Pass a file.",
    ),
    Kind(
        lambda folder: "checkpoint" in folder.names or any(name.endswith(".index") for name in folder.names),
        f"The folder contains checkpoints of TensorFlow, which are weights only. {LOAD_WEIGHTS}",
    ),
    Kind(
        lambda folder: "variables" in folder.names,
        "The folder is a SavedModel without its saved_model.pb. Copy it again.",
    ),
    Kind(
        lambda folder: True,
        "The folder is neither a SavedModel nor a run folder with model.keras. Pass a .keras or .h5 file.",
    ),
)
"""The first that matches is the reason why a folder is no model."""


def refuse_other_file(path: Path) -> None:
    """Raises if a file can't be a `.keras` or `.h5` model.

    Args:
        path: An existing file.

    Raises:
        ModelError: With what the file is, and what to do.
    """
    file = Candidate(path)
    if file.names and file.head.startswith(_ZIP):
        with zipfile.ZipFile(path) as archive:
            limits.require_sound_archive(archive, f"The model file {path}", ModelError)
    for kind in FILES:
        if kind.matches(file):
            raise _refusal(file, kind)


def refusal_of_folder(path: Path) -> ModelError:
    """Returns the error for a folder that is no model, with what it is instead.

    Args:
        path: An existing folder.
    """
    folder = Candidate(path)
    return _refusal(folder, next(kind for kind in FOLDERS if kind.matches(folder)))


def untrusted(path: Path, found: str) -> ModelError:
    """Returns the error for a model that would run code although it isn't trusted.

    Args:
        path: The file or the folder.
        found: What was found, such as `"contains Lambda layers"`.
    """
    return ModelError(
        f"The model {found}. This is code, and lrdiag runs the code of a model file only if you trust the file: "
        "`lrdiag diagnose --trust`. Otherwise save the model as a .keras file whose layers and functions are those of "
        f"Keras, or pass a function of your own that builds it as `module:function`. Received: {path}"
    )


def _refusal(candidate: Candidate, kind: Kind) -> ModelError:
    message = kind.message.format(names=", ".join(candidate.models), folder=candidate.path.parent)
    return ModelError(f"{message} Received: {candidate.path}")
