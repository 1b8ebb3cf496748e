"""Model files: `.keras` archives."""

from __future__ import annotations

import base64
import json
import marshal
import random
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fuzz.mutation import mutated_bytes, mutated_json


def prepare(folder: Path) -> None:
    import keras

    layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([*layers, keras.layers.Dense(2, activation="softmax")])
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    model.save(folder / "model.keras")


def make(base: Path, work: Path, rng: random.Random) -> tuple[Callable[[], object], Sequence[Path]]:
    path = work / "model.keras"
    if rng.random() < 0.15:
        path.write_bytes(mutated_bytes((base / "model.keras").read_bytes(), rng))
    else:
        _changed_archive(base / "model.keras", path, rng)

    def task() -> object:
        from lrdiag.models import load_model

        return load_model(str(path))

    return task, ()


def _changed_archive(source: Path, path: Path, rng: random.Random) -> None:
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choices(sorted(members), [6 if each == "config.json" else 1 for each in sorted(members)])[0]
    if name.endswith(".json") and rng.random() < 0.9:
        document = json.loads(members[name])
        changed = (
            _with_payload(document) if name == "config.json" and rng.random() < 0.2 else mutated_json(document, rng)
        )
        members[name] = json.dumps(changed).encode()
    else:
        members[name] = mutated_bytes(members[name], rng)
    if rng.random() < 0.1:
        members[rng.choice(("../outside", "/outside", "assets/x"))] = b"x"
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in members.items():
            archive.writestr(each, content)


def _with_payload(document: Any) -> Any:
    """The model with a layer that runs code of the file."""
    code = compile("lambda x: (open('executed', 'w'), x)[1]", "payload", "eval").co_consts[0]
    function = {"class_name": "__lambda__", "config": {"code": base64.b64encode(marshal.dumps(code)).decode()}}
    layer = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"name": "payload", "function": function, "arguments": {}},
        "registered_name": None,
    }
    document["config"]["layers"].insert(1, layer)
    return document
