"""The command line: options to settings, progress, exit codes; nothing else.

Exit codes: 0 done, 2 bad usage or bad input, 130 interrupted. Nothing heavy is imported until it is needed.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lrdiag.errors import LrdiagError, NoSuggestion, SettingsError
from lrdiag.settings import AUGMENTATIONS, OPTIMIZERS, RULES, SCHEDULES, LearningRate, Settings

if TYPE_CHECKING:
    from lrdiag.console import ConsoleProgress
    from lrdiag.rate.result import RangeTest
    from lrdiag.records import Run
    from lrdiag.settings import RuleName

BAD_INPUT = 2
INTERRUPTED = 130
PLOT_SUFFIXES = (".svg", ".png")

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Group(click.Group):
    """A group of commands that turns our errors and Ctrl-C into messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LrdiagError as error:
            if ctx.meta.get(_VERBOSE):
                traceback.print_exc()
            click.echo(f"Error: {error}", err=True)
            ctx.exit(BAD_INPUT)
        except (KeyboardInterrupt, RuntimeError) as error:
            # in the middle of its tracing, TensorFlow turns a Ctrl-C into an error of its own
            if isinstance(error, RuntimeError) and "KeyboardInterrupt" not in str(error):
                raise
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)


_VERBOSE = "lrdiag.verbose"
_verbose_option = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=lambda ctx, _param, value: ctx.meta.update({_VERBOSE: value}),
    help="Show the traceback of an error.",
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="lrdiag")
def main() -> None:
    """Learning-rate and failure diagnostics for Keras: one command, one page."""


def _read_learning_rate(_ctx: click.Context, _param: click.Parameter, text: str) -> LearningRate:
    return LearningRate.parse(text)


def _read_augment(_ctx: click.Context, _param: click.Parameter, text: str) -> tuple[str, ...]:
    return () if text == "none" else tuple(name.strip() for name in text.split(","))


def _options(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """One decorator out of several options, shown in their order."""

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


# What `train-and-report` and `find-lr` have in common: the data, the model, and how it is updated.
_training_options = _options(
    click.option(
        "--data",
        metavar="cifar10|digits|PATH",
        help="CIFAR-10, the embedded digits, or a folder of images: "
        "train/<class>/* and test/<class>/*.  [default: cifar10 where it can be had, else digits]",
    ),
    click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        envvar="LRDIAG_DATA_DIR",
        show_envvar=True,
        help="Where CIFAR-10 lies: cifar-10-batches-py/ or cifar-10-python.tar.gz.",
    ),
    click.option("--model", default="fast", metavar="fast|article|FILE.keras|module:function", help="What is trained."),
    click.option("--batch-size", type=int, help="Images in one update.  [default: by the size of the training set]"),
    click.option("--seed", type=int, default=0, help="Seed of every random choice."),
    click.option("--limit-train", type=int, metavar="N", help="Use only N training images."),
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
_quiet_option = click.option("-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors.")


@main.command(context_settings={"show_default": True})
@_training_options
@click.option("--epochs", type=int, help="Passes over the training set.  [default: by its size]")
@click.option("--limit-test", type=int, metavar="N", help="Use only N test images.")
@click.option("--out", type=click.Path(path_type=Path), default="lrdiag-report", help="The run folder.")
@click.option("--schedule", type=click.Choice(SCHEDULES), default="cyclic", help="How the learning rate moves.")
@click.option(
    "--learning-rate",
    metavar="auto|FLOAT|MIN:MAX",
    callback=_read_learning_rate,
    default="auto",
    help="auto: a range test chooses.",
)
@click.option(
    "--open/--no-open", "open_page", default=True, help="Open the page when done; only on a terminal and outside CI."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@_quiet_option
@_verbose_option
def train_and_report(open_page: bool, as_json: bool, quiet: bool, **options: Any) -> None:
    """Find the learning rate, train, diagnose, and write one page that says how it went."""
    started = time.perf_counter()
    settings = Settings(**options)
    progress = _start(quiet)
    from lrdiag.pipeline import train_and_report as run_pipeline

    run = run_pipeline(settings, progress, command=shlex.join(["lrdiag", *sys.argv[1:]]), started=started)
    _tell(run, settings.out, as_json, quiet)
    if open_page and _is_watched():
        click.launch(str(settings.out / "report.html"))


@main.command(context_settings={"show_default": True})
@_training_options
@click.option("--start-lr", type=float, default=1e-5, help="The first rate of the sweep.")
@click.option("--end-lr", type=float, default=10.0, help="The last rate of the sweep.")
@click.option("--iterations", type=int, default=100, help="Updates in one sweep.")
@click.option(
    "--mode", type=click.Choice(["exponential", "linear"]), default="exponential", help="How the rate climbs."
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=1,
    help="Sweeps on different batches; two or more give an interval.",
)
@click.option("--rule", type=click.Choice(RULES), default="steepest", help="How the rate is read: ours, or another's.")
@click.option("--json", "as_json", is_flag=True, help="Print everything that was measured and read.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.svg|png", help="Draw the sweep.")
@_quiet_option
@_verbose_option
def find_lr(rule: RuleName, as_json: bool, plot: Path | None, quiet: bool, **options: Any) -> None:
    """Run a learning-rate range test and print the rate that it suggests."""
    sweep = {name: options.pop(name) for name in ("start_lr", "end_lr", "iterations", "mode")}
    repeats = options.pop("repeats")
    settings = Settings(**options)
    _check_ladder(**sweep)
    _check_plot(plot)
    progress = _start(quiet)
    from lrdiag.pipeline import run_range_test

    test = run_range_test(settings, progress, repeats=repeats, **sweep)
    # first what was measured: it shows why, where nothing can be read
    if plot is not None:
        _save_plot(test, plot)
    if as_json:
        click.echo(
            json.dumps({**asdict(test.facts()), "rule": rule, "learning_rate": _suggestion(test, rule)}, indent=1)
        )
    rate = test.suggest(rule)
    if not as_json:
        click.echo(f"{rate:.4g}")


def _suggestion(test: RangeTest, rule: RuleName) -> float | None:
    try:
        return test.suggest(rule)
    except NoSuggestion:
        return None


def _check_ladder(start_lr: float, end_lr: float, iterations: int, mode: str) -> None:
    """Refuses a ladder that cannot be, before anything slow is started."""
    from lrdiag.rate.curves import LADDERS

    LADDERS[mode](start_lr, end_lr, iterations)


def _check_plot(file: Path | None) -> None:
    if file is not None and (file.suffix.lower() not in PLOT_SUFFIXES or not file.absolute().parent.is_dir()):
        raise SettingsError(
            f"`--plot` must be a file that ends in {' or '.join(PLOT_SUFFIXES)}, in a folder that exists. "
            f"Received: {file}"
        )


@main.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@_verbose_option
def report(run_dir: Path) -> None:
    """Make the page of RUN_DIR again, from what the run folder holds."""
    from lrdiag import run_folder
    from lrdiag.report.write import write_page

    write_page(run_dir, run_folder.load(run_dir))
    click.echo(run_dir / "report.html")


def _start(quiet: bool) -> ConsoleProgress:
    """Starts TensorFlow, which takes its time, and says so."""
    from lrdiag.console import ConsoleProgress
    from lrdiag.startup import start_tensorflow

    progress = ConsoleProgress(quiet)
    progress.say("Starting TensorFlow")
    start_tensorflow()
    return progress


def _save_plot(test: RangeTest, file: Path) -> None:
    from matplotlib import pyplot

    from lrdiag.run_folder import replacing

    figure, axes = pyplot.subplots(layout="constrained")
    test.plot(axes)
    with replacing(file) as temporary:
        figure.savefig(temporary, format=file.suffix[1:].lower())


def _is_watched() -> bool:
    """Whether a person sits at the terminal."""
    return sys.stdout.isatty() and "CI" not in os.environ


def _tell(run: Run, out: Path, as_json: bool, quiet: bool) -> None:
    from lrdiag.report.sections.verdict import verdict_sentence

    page = out / "report.html"
    if as_json:
        click.echo(json.dumps(_summary(run, page), indent=1))
    elif not quiet:
        click.echo(f"{verdict_sentence(run.diagnosis)}\n{page}")


def _summary(run: Run, page: Path) -> dict[str, Any]:
    diagnosis = run.diagnosis
    test, rates = diagnosis.test, diagnosis.range_test
    return {
        "report": str(page),
        "dataset": diagnosis.dataset.name,
        "fallback": diagnosis.dataset.fallback,
        "accuracy": test.accuracy,
        "accuracy_low": test.accuracy_low,
        "accuracy_high": test.accuracy_high,
        "loss": test.loss,
        "test_size": test.size,
        "misclassified": diagnosis.misclassified.count,
        "base_lr": rates.base_lr if rates else None,
        "max_lr": rates.max_lr if rates else None,
        "suggestion": rates.suggestion if rates else None,
        "findings": [finding.code for finding in diagnosis.findings],
        "seconds": diagnosis.seconds.total,
    }
