"""Files and folders that aren't Keras models are recognised by name and first bytes, without Keras."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lrdiag.errors import ModelError
from lrdiag.model_files import refusal_of_folder, refuse_other_file

HDF5 = b"\x89HDF\r\n\x1a\n"


def archive(**members: str) -> bytes:
    path = Path("an.archive")
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return path.read_bytes()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.keras", b"", "The model file is empty"),
        ("m.h5", b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer.*`git lfs pull`"),
        ("m.keras", b"\n<!DOCTYPE html>", "a web page"),
        ("m.keras", HDF5, "is HDF5.*Rename it so that it ends with .h5"),
        ("m", HDF5, "is HDF5.*Rename"),
        ("model.bin", b"\x80\x04x", "a Python pickle"),
        ("m.keras", b"PK\x03\x04 cut", "zip archive without a Keras model, or a damaged one"),
        ("m.h5", b"no HDF5", "isn't an HDF5 file, or it is damaged"),
        ("m.keras", b"no zip", "isn't a .keras model, or it is damaged"),
        ("m.pth", b"x", "a PyTorch model.*copy the weights"),
        ("m.npz", b"x", "arrays of NumPy.*--data"),
        ("m.bin", b"\x1c\0\0\0TFL3", "a TensorFlow Lite model"),
        ("m.ONNX", b"x", "an ONNX model"),
        ("m.safetensors", b"x", "weights only, in the format safetensors"),
        ("saved_model.pb", b"x", r"a part of a SavedModel. Pass its folder: \. "),
        ("frozen.pb", b"x", "a graph of TensorFlow 1"),
        ("ckpt.data-00000-of-00001", b"x", "checkpoint of TensorFlow.*weights only.*`model.load_weights`"),
        ("model.json", b'{"modelTopology": {}', "a TensorFlow.js model.*Teachable Machine"),
        ("m.json", b"{}", "the architecture of a model, no weights"),
    ],
)
def test_other_files_are_refused_by_what_they_are(name: str, content: bytes, message: str) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{message}.*Received: {name}$"):
        refuse_other_file(Path(name))


def test_archives_are_told_apart_by_their_members() -> None:
    keras = archive(config_dot_json="{}", model_dot_weights_dot_h5="")
    for name, content, message in [
        ("m.h5", keras, "is a .keras model.*Rename"),
        ("m.keras", archive(archive__data_dot_pkl=""), "a PyTorch model"),
        ("m.zip", archive(keras_model_dot_h5="", labels_dot_txt=""), r"contains keras_model.h5. Unpack it"),
        ("m.keras", archive(labels_dot_txt=""), "zip archive without a Keras model"),
    ]:
        Path(name).write_bytes(content)
        with pytest.raises(ModelError, match=message):
            refuse_other_file(Path(name))
    Path("m.keras").write_bytes(keras)
    refuse_other_file(Path("m.keras"))
    Path("m.h5").write_bytes(HDF5)
    refuse_other_file(Path("m.h5"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "is empty"),
        (["model.json", "weights.bin"], "TensorFlow.js"),
        (["keras_model.h5", "labels.txt"], "contains keras_model.h5. Pass a file"),
        (["checkpoint", "ckpt-1.index"], "checkpoints of TensorFlow"),
        (["variables"], "without its saved_model.pb"),
        (["a.weights.h5"], "neither a SavedModel nor a run folder with model.keras"),
    ],
)
def test_other_folders_are_refused_by_what_they_contain(files: list[str], message: str) -> None:
    folder = Path("folder")
    folder.mkdir()
    for name in files:
        (folder / name).touch()
    assert str(refusal_of_folder(folder)).startswith("The folder ")
    with pytest.raises(ModelError, match=f"{message}.*Received: folder$"):
        raise refusal_of_folder(folder)


def test_keras_is_not_needed() -> None:
    script = "import sys, lrdiag.model_files; print('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\n"


def test_a_zip_bomb_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrdiag.limits._HARMLESS", 2**20)
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(2**22))
    with pytest.raises(ModelError, match=r"m.keras is compressed too much.*model.weights.h5 of 4,194,304"):
        refuse_other_file(tmp_path / "m.keras")
