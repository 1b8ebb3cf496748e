"""Names that do not exist are refused before TensorFlow starts."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from lrdiag.cli.app import main
from lrdiag.errors import LrdiagError, ModelError
from lrdiag.model_spec import require_network, require_trained_model

NETS = """
from collections import OrderedDict
import keras

def build(image_shape, classes): ...

later = build
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a module, a file that looks like a model, and one that does not."""
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile(tmp_path / "trained.keras", "w") as archive:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(name, "{}")
    (tmp_path / "notes.txt").write_text("a note")
    (tmp_path / "a_run").mkdir()
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "saved_model.pb").write_bytes(b"")
    (tmp_path / "nets_of_a_test.py").write_text(NETS)
    return tmp_path


REFUSED = [
    (["train-and-report", "--model", "fsat"], "'fsat'. Did you mean 'fast'?"),
    (["train-and-report", "--model", "nothing"], "module:function"),
    (["train-and-report", "--model", "traind.keras"], "Did you mean 'trained.keras'?"),
    (["train-and-report", "--model", "nets_of_test:build"], "Did you mean 'nets_of_a_test'?"),
    (["train-and-report", "--model", "nets_of_a_test:bulid"], "Did you mean 'build'?"),
    (["find-lr", "--model", "artcle"], "Did you mean 'article'?"),
    (["find-lr", "--data", "digts"], "Did you mean 'digits'?"),
    (["train-and-report", "--data", "no/such/folder"], "no such file or folder"),
    (["train-and-report", "--data", "notes.txt"], "which is not one of these"),
    (["diagnose", "absent.keras"], "no such model file"),
    (["diagnose", "absent.h5"], "no such model file"),
    (["diagnose", "notes.txt"], ".keras or .h5 file"),
    (["diagnose", "program"], "The model is a SavedModel, a program that can read and write files. This is code"),
    (["diagnose", "no/such/folder"], "no such file"),
    (["diagnose", "nets_of_a_test:bulid"], "Did you mean 'build'?"),
    (["diagnose", "trained.keras", "--data", "no/such/folder"], "no such file or folder"),
    (["train-and-report", "--baseline", "a_rnu"], "Did you mean 'a_run'?"),
    (["diagnose", "trained.keras", "--templates", "nowhere"], "nowhere"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=[" ".join(arguments) for arguments, _ in REFUSED])
def test_a_mistyped_name_is_refused_before_the_engine_starts(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.setattr("lrdiag.backend.start.start_engine", lambda: pytest.fail("the engine was started"))
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert words in result.stderr
    assert "Starting TensorFlow" not in result.stderr
    assert not Path("lrdiag-report").exists()


def test_no_refusal_imports_an_engine() -> None:
    """In a process of its own, because this one has imported them."""
    code = (
        "import sys\nfrom lrdiag.cli.app import main\n"
        f"for arguments in {[arguments for arguments, _ in REFUSED]}:\n"
        "    main(arguments, standalone_mode=False)\n"
        "print(sorted({'tensorflow', 'keras', 'sklearn', 'matplotlib', 'nets_of_a_test'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert done.stderr.count("Error: ") == len(REFUSED)


@pytest.mark.parametrize(
    "spec", ["fast", "article", "trained.keras", "json:dumps", "nets_of_a_test:build", "nets_of_a_test:OrderedDict"]
)
def test_a_network_that_may_exist_is_left_to_the_loader(spec: str) -> None:
    require_network(spec)


@pytest.mark.parametrize("spec", ["trained.keras", "a_run", "nets_of_a_test:later", "os.path:join", "xml.dom:x"])
def test_a_trained_model_that_may_exist_is_left_to_the_loader(spec: str) -> None:
    require_trained_model(spec)


@pytest.mark.parametrize(
    "source", ["from shapes import *", "def __getattr__(name): ...", "globals()['bui' + 'ld'] = 1", "def build(:"]
)
def test_a_module_that_can_define_names_in_other_ways_is_left_to_the_loader(folder: Path, source: str) -> None:
    (folder / "dynamic.py").write_text(source)
    require_network("dynamic:build")


def test_a_package_is_left_to_the_loader(folder: Path) -> None:
    (folder / "shop").mkdir()
    for spec in ("shop:build", "shop.nets:build"):
        require_network(spec)
    with pytest.raises(ModelError, match="there is no module named 'shopp'"):
        require_network("shopp.nets:build")


@pytest.mark.parametrize("spec", ["", ":", ":build", "a\0b.keras", "a\0/b", "fast.", "1:2:3"])
def test_strange_texts_are_refused_with_one_message(spec: str) -> None:
    for require in (require_network, require_trained_model):
        with pytest.raises(LrdiagError, match="Received"):
            require(spec)
