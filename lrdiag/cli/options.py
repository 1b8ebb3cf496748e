"""What the commands can be told: options that several of them share, and how their values are read."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lrdiag.diagnosis.gates import Gate, Rule
from lrdiag.errors import SettingsError
from lrdiag.settings import LearningRate
from lrdiag.vocabulary import ASSETS, AUGMENTATIONS, DATA_NAMES, OPTIMIZERS

VERBOSE = "lrdiag.verbose"
AT_LEAST_ONE = click.IntRange(min=1)
SEED = click.IntRange(0, 2**31 - 1)

_Command = TypeVar("_Command", bound=Callable[..., Any])


def read_learning_rate(_ctx: click.Context, _param: click.Parameter, text: str) -> LearningRate:
    """`auto`, a rate, or two boundaries."""
    return LearningRate.parse(text)


def _read_image_size(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise SettingsError(
            f"The image size must be one number of pixels, or height and width: 64, or 48x64. Received: {text!r}"
        )
    return int(sides[0]), int(sides[-1])


def _read_augment(ctx: click.Context, param: click.Parameter, text: str) -> tuple[str, ...]:
    read = click.Choice(AUGMENTATIONS)
    return () if text in ("none", "") else tuple(read(name.strip(), param, ctx) for name in text.split(","))


def _options(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """One decorator out of several options, shown in their order."""

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


image_size_option = click.option(
    "--image-size",
    metavar="N|HxW",
    callback=_read_image_size,
    help="Scale images to so many pixels.  [default: what the model takes, else 32]",
)
data_options = _options(
    click.option(
        "--data",
        metavar=f"{'|'.join(DATA_NAMES)}|PATH",
        help="CIFAR-10, the embedded digits, a folder of images sorted into classes, an .npz file, a CSV or Parquet "
        "table of path and label.  [default: cifar10 where it can be had, else digits]",
    ),
    click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        envvar="LRDIAG_DATA_DIR",
        show_envvar=True,
        help="Where CIFAR-10 lies: cifar-10-batches-py/ or cifar-10-python.tar.gz.",
    ),
    image_size_option,
)
# What `train-and-report` and `find-lr` have in common: the data, the model, and how it is updated.
training_options = _options(
    data_options,
    click.option("--model", default="fast", metavar="fast|article|FILE.keras|module:function", help="What is trained."),
    click.option(
        "--batch-size", type=AT_LEAST_ONE, help="Images in one update.  [default: by the size of the training set]"
    ),
    click.option("--seed", type=SEED, default=0, help="Seed of every random choice."),
    click.option("--limit-train", type=AT_LEAST_ONE, metavar="N", help="Use only N training images."),
    click.option(
        "--augment",
        metavar=f"{','.join(AUGMENTATIONS)}|none",
        callback=_read_augment,
        default="flip",
        help="Random changes to training images.",
    ),
    click.option("--optimizer", type=click.Choice(OPTIMIZERS), default="sgd"),
    click.option("--mixed-precision", is_flag=True, help="Compute in 16 bits where the layers allow it."),
)


def gate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives the command what `--fail-under` and `--fail-if-worse` ask for, as `gates`."""

    @_options(
        click.option(
            "--fail-under",
            metavar="NAME=SHARE",
            multiple=True,
            callback=_reading("fail-under"),
            help="End with exit code 3 if a figure is lower: accuracy=0.78, recall.cat=0.6, precision.dog=0.5, "
            "f1.cat=0.6; as often as wanted.",
        ),
        click.option(
            "--fail-if-worse",
            metavar="NAME=SHARE",
            multiple=True,
            callback=_reading("fail-if-worse"),
            help="The same if it is lower than the baseline's by more: accuracy=0.01, recall.cat=0.05.",
        ),
    )
    @functools.wraps(command)
    def gated(*, fail_under: tuple[Gate, ...], fail_if_worse: tuple[Gate, ...], **arguments: Any) -> Any:
        return command(gates=fail_under + fail_if_worse, **arguments)

    return gated


def _reading(rule: Rule) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], tuple[Gate, ...]]:
    return lambda _ctx, _param, texts: tuple(Gate.parse(rule, text) for text in texts)


baseline_option = click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="RUN|report.json",
    help="An earlier run on the same test images to compare with.",
)
page_options = _options(
    click.option(
        "--assets",
        type=click.Choice(ASSETS),
        default="inline",
        help="inline: the page is one file. folder: its pictures and its style lie in assets/ beside it.",
    ),
    click.option(
        "--templates",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Templates that take the place of those of the same name.",
    ),
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors.")
# What `train-and-report` and `diagnose` have in common: where the run goes, what it is held against, how it is told.
run_options = _options(
    click.option("--out", type=click.Path(path_type=Path), default="lrdiag-report", help="The run folder."),
    baseline_option,
    gate_options,
    page_options,
    click.option(
        "--open/--no-open",
        "open_page",
        default=True,
        help="Open the page when done; only on a terminal and outside CI.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON."),
    quiet_option,
)
verbose_option = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=lambda ctx, _param, value: ctx.meta.update({VERBOSE: value}),
    help="Show the traceback of an error.",
)
