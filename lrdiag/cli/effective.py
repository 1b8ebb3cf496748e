"""The values that a command uses for options that are not set, as `lrdiag config` shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrdiag.cli.config_file import OptionValue
from lrdiag.vocabulary import DATA_NAMES, NETWORKS

if TYPE_CHECKING:
    from lrdiag.training.budget import Budget

_ON_THE_DATA = "depends on the data"
_WORDS = {
    "image-column": "detected",
    "label-column": "detected",
    "limit-train": "all images",
    "limit-test": "all images",
    "metadata": "none",
    "groups": "none",
    "baseline": "none",
    "templates": "those of lrdiag",
    "output": "the only one",
    "part": "all images",
    "engine": "this process",
    "workers": "one for each CPU, or for each GPU if there are any",
    "plot": "none",
    "progressive": "with the network fast",
    "out": "none, so no page is written",
}
_NOT_SET = "not set"


def with_computed(command: str, options: Iterable[OptionValue]) -> list[OptionValue]:
    """Adds to each option that is not set what the command will use: a value, or what the value depends on.

    Args:
        command: Name of the command.
        options: Its options.
    """
    options = list(options)
    values = {each.name: each.value for each in options}
    if "data" in values:
        values["data"] = values["data"] or _default_data(command, values["data-dir"])
    return [each if each.value is not None else _computed(command, each, values) for each in options]


def _default_data(command: str, data_dir: Path | None) -> str | None:
    """Returns the data that is used if none is named, or `None` if that depends on a download."""
    from lrdiag.data.sources.cifar10 import on_disk

    return "cifar10" if command == "diagnose" or on_disk(data_dir) else None


def _computed(command: str, option: OptionValue, values: dict[str, Any]) -> OptionValue:
    match option.name:
        case "batch-size" | "epochs" if command != "diagnose":
            budget = _budget(values)
            value = None if budget is None else getattr(budget, option.name.replace("-", "_"))
            return replace(option, value=value, words=_ON_THE_DATA)
        case "batch-size":
            return replace(option, words=f"{_ON_THE_DATA} and the model")
        case "data":
            return replace(option, value=values["data"], words="cifar10, or digits if it is not available")
        case "data-dir":
            from lrdiag.data.sources.download import keras_home

            return replace(option, words=str(keras_home() / "datasets"))
        case "image-size":
            return replace(option, words=_image_size(values))
        case _:
            return replace(option, words=_WORDS.get(option.name, _NOT_SET))


def _image_size(values: dict[str, Any]) -> str:
    known = values.get("model") in NETWORKS and values["data"] in (None, *DATA_NAMES)
    return "32x32" if known else f"{_ON_THE_DATA} and the model"


def _budget(values: dict[str, Any]) -> Budget | None:
    """Returns batch size and number of epochs, or `None` if the number of training images is not known."""
    from lrdiag.data.loading import TRAIN_SIZES, VALIDATION_FRACTION
    from lrdiag.data.sampling import validation_size
    from lrdiag.recipes import recipe_of
    from lrdiag.training.budget import Budget

    if values["data"] not in TRAIN_SIZES:
        return None
    images = min(TRAIN_SIZES[values["data"]], values["limit-train"] or TRAIN_SIZES[values["data"]])
    images -= validation_size(images, 10, VALIDATION_FRACTION)
    return Budget.of(values["batch-size"], values.get("epochs"), images, recipe_of(values["model"]))
