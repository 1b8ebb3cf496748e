"""Options that several commands share, and how their values are parsed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from lrdiag.cli.completion import complete_augmentations, complete_data, complete_network
from lrdiag.cli.parsing import Choice
from lrdiag.diagnosis.check_settings import CheckSettings
from lrdiag.diagnosis.gates import Gate
from lrdiag.settings import MAX_SEED, LearningRate, Settings, read_augmentations, read_data, read_image_size
from lrdiag.vocabulary import (
    ASSETS,
    AUGMENTATIONS,
    DATA_NAMES,
    FAIL_ON,
    NETWORKS,
    OPTIMIZERS,
    RESIZES,
    GateRule,
    canonical,
)

VERBOSE = "lrdiag.verbose"
AT_LEAST_ONE = click.IntRange(min=1)
SEED = click.IntRange(0, MAX_SEED)

_Command = TypeVar("_Command", bound=Callable[..., Any])


def read_learning_rate(_ctx: click.Context, _param: click.Parameter, text: str) -> LearningRate:
    """Parses `auto`, a rate, or two boundaries."""
    return LearningRate.parse(text)


def _read_data(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    return None if text is None else read_data(text)


def _read_network(_ctx: click.Context, _param: click.Parameter, text: str) -> str:
    return canonical(text, NETWORKS)


def _read_image_size(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[int, int] | None:
    return read_image_size(text)


def _read_augment(_ctx: click.Context, _param: click.Parameter, text: str) -> tuple[str, ...]:
    return read_augmentations(text)


def _options(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """Returns one decorator for several options, shown in their order."""

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


image_size_option = click.option(
    "--image-size",
    metavar="N|HxW",
    callback=_read_image_size,
    help="Size that images are scaled to, in pixels.  [default: that of arrays, or 32 for image files; diagnose: the "
    "input size of the model, or the size that all images share]",
)
resize_option = click.option(
    "--resize",
    type=Choice(RESIZES),
    default=Settings.resize,
    help="How images of other proportions are brought to this size. stretch: as Keras's image_dataset_from_directory. "
    "crop: the centre. pad: black borders.",
)
data_options = _options(
    click.option(
        "--data",
        metavar=f"{'|'.join(DATA_NAMES)}|PATH",
        callback=_read_data,
        shell_complete=complete_data,
        help="CIFAR-10, the built-in digits, a folder of images sorted into classes, an .npz file, a CSV or Parquet "
        "table of path and label, Parquet files with images, tar files of WebDataset, or a folder of TensorFlow "
        "Datasets. The files may be a pattern, or a URL that fsspec reads.  [default: cifar10; when training, digits "
        "if it is not available]",
    ),
    click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        envvar="LRDIAG_DATA_DIR",
        show_envvar=True,
        help="Folder that contains cifar-10-batches-py/ or cifar-10-python.tar.gz.",
    ),
    click.option(
        "--image-column",
        metavar="NAME",
        help="Column of the images in Parquet files, or their suffix in tar files, such as jpg.  [default: detected]",
    ),
    click.option(
        "--label-column",
        metavar="NAME",
        help="Column of the labels in Parquet files, or the field of the JSON in tar files.  [default: detected]",
    ),
    image_size_option,
    resize_option,
)
# Options of `train-and-report` and `find-lr`: the data, the model, and its updates.
training_options = _options(
    data_options,
    click.option(
        "--model",
        default=Settings.model,
        metavar=f"{'|'.join(NETWORKS)}|FILE.keras|module:function",
        callback=_read_network,
        shell_complete=complete_network,
        help="Model to train.",
    ),
    click.option(
        "--batch-size",
        type=AT_LEAST_ONE,
        help="Images in an update.  [default: depends on the size of the training set]",
    ),
    click.option("--seed", type=SEED, default=Settings.seed, help="Random seed of the whole run."),
    click.option("--limit-train", type=AT_LEAST_ONE, metavar="N", help="Use only N training images."),
    click.option(
        "--augment",
        metavar=f"{','.join(AUGMENTATIONS)}|none",
        callback=_read_augment,
        shell_complete=complete_augmentations,
        default=",".join(Settings.augment),
        help="Random augmentation of training images.",
    ),
    click.option(
        "--progressive/--no-progressive",
        default=None,
        help="Train on smaller images first.  [default: with the network fast]",
    ),
    click.option("--optimizer", type=Choice(OPTIMIZERS), default=Settings.optimizer, help="Optimizer."),
    click.option("--mixed-precision", is_flag=True, help="Compute in 16 bits where the layers allow it."),
)


def gate_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of gates, which the command receives as `gates`, and `--skip-check`, as `check_settings`."""

    @_options(
        click.option(
            "--fail-under",
            metavar="[NAME=]SHARE",
            multiple=True,
            callback=_reading("fail-under"),
            help="Exit with code 3 if the accuracy is lower, such as 0.78 or 78%, or another figure: "
            "balanced-accuracy=0.7, auc=0.9 with two classes, recall.cat=0.6, precision.dog=0.5, f1.cat=0.6. Can be "
            "repeated.",
        ),
        click.option(
            "--fail-if-worse",
            metavar="[NAME=]SHARE",
            multiple=True,
            callback=_reading("fail-if-worse"),
            help="Exit with code 3 if the accuracy is lower than the baseline's by more, such as 0.01, or the recall "
            "of a class: recall.cat=0.05. Can be repeated.",
        ),
        click.option(
            "--fail-on",
            type=Choice(FAIL_ON),
            callback=_read_fail_on,
            help="Exit with code 3 if a finding is an error, or if it is an error or a warning. Accepted findings "
            "do not count.",
        ),
        click.option(
            "--skip-check",
            metavar="CODE",
            multiple=True,
            callback=_read_skipped,
            help="Turn a check off, such as weak-class. Can be repeated.",
        ),
    )
    @functools.wraps(command)
    def gated(
        *,
        fail_under: tuple[Gate, ...],
        fail_if_worse: tuple[Gate, ...],
        fail_on: tuple[Gate, ...],
        skip_check: CheckSettings,
        **arguments: Any,
    ) -> Any:
        return command(gates=fail_under + fail_if_worse + fail_on, check_settings=skip_check, **arguments)

    return gated


def _reading(rule: GateRule) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], tuple[Gate, ...]]:
    return lambda _ctx, _param, texts: tuple(Gate.parse(rule, text) for text in texts)


def _read_fail_on(_ctx: click.Context, _param: click.Parameter, severity: str | None) -> tuple[Gate, ...]:
    return () if severity is None else (Gate.parse("fail-on", severity),)


def _read_skipped(_ctx: click.Context, _param: click.Parameter, codes: tuple[str, ...]) -> CheckSettings:
    return CheckSettings.of(dict.fromkeys(codes, False))


def given_settings(ctx: click.Context) -> set[str]:
    """Returns the names of the settings that the command line or the environment gives, not those of a file."""
    sources = ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT
    given = {param.name for param in ctx.command.params if ctx.get_parameter_source(str(param.name)) in sources}
    return {_JOINED.get(str(name), str(name)) for name in given}


_JOINED = {"fail_under": "gates", "fail_if_worse": "gates", "fail_on": "gates", "skip_check": "check_settings"}
"""Options that make one setting."""

baseline_option = click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="RUN|report.json",
    help="An earlier run on the same test images to compare with.",
)
metadata_options = _options(
    click.option(
        "--metadata",
        type=click.Path(path_type=Path),
        metavar="FILE.csv|parquet",
        help="Table of what else is known of each image, such as site or device, with a column file or index.",
    ),
    click.option(
        "--groups",
        metavar="COLUMN",
        help="Column of the metadata whose groups, such as patients, training and test images must not share.",
    ),
)
page_options = _options(
    click.option(
        "--assets",
        type=Choice(ASSETS),
        default=Settings.assets,
        help="inline: the page is one file. folder: its pictures and style are in the folder assets/.",
    ),
    click.option(
        "--templates",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Folder of templates that replace the built-in ones of the same name.",
    ),
    click.option(
        "--images/--no-images", default=Settings.images, help="Whether images are written. Heatmaps are in any case."
    ),
    click.option(
        "--file-names/--no-file-names",
        default=Settings.file_names,
        help="Whether names and paths of image files are written. Names of classes are in any case.",
    ),
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print only warnings and errors.")
verbose_option = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=lambda ctx, _param, value: ctx.meta.update({VERBOSE: value}),
    help="Show the traceback of an error.",
)


def read_part(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Reads the number of a part and the number of parts, such as `3/8`."""
    if value is None:
        return None
    number, _, of = value.partition("/")
    if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise click.BadParameter(f"It must be a part from 1 and the number of parts, such as 3/8. Received: {value!r}")
    return int(number), int(of)


def run_options(out: Path) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options of `train-and-report` and `diagnose`: the run folder, the comparison, and the output.

    Args:
        out: The default run folder.
    """
    return _options(
        click.option("--out", type=click.Path(path_type=Path), default=str(out), help="Run folder to write."),
        metadata_options,
        baseline_option,
        gate_options,
        page_options,
        click.option(
            "--open/--no-open",
            "open_page",
            default=True,
            help="Open the page at the end, if the command runs on a terminal and outside CI.",
        ),
        json_option,
        quiet_option,
    )
