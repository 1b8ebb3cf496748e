"""The versions of a run."""

from __future__ import annotations

import importlib.metadata
import platform

import pytest

from lrdiag.record import provenance


def test_packages_that_are_not_installed_under_their_usual_name_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "tensorflow":  # `tensorflow-cpu` is installed instead
            raise importlib.metadata.PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr(provenance, "version", version)
    versions = provenance.versions("tensorflow")
    assert versions.pop("python") == platform.python_version()
    assert versions == dict.fromkeys(("lrdiag", "keras", "numpy", "opencv-python-headless", "scikit-learn"), "1.0")
