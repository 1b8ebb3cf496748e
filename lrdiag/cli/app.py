"""The command line: options to settings, progress, exit codes; nothing else.

Exit codes: 0 done, 2 bad usage or bad input, 3 a gate failed, 130 interrupted. Nothing heavy is imported until it is
needed.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from lrdiag.cli.config_file import config_option, file_gates, held
from lrdiag.cli.github import append_step_summary
from lrdiag.cli.options import (
    AT_LEAST_ONE,
    SEED,
    VERBOSE,
    baseline_option,
    data_options,
    gate_options,
    page_options,
    quiet_option,
    read_learning_rate,
    run_options,
    training_options,
    verbose_option,
)
from lrdiag.diagnosis import gates as gating
from lrdiag.diagnosis.gates import Gate, Outcome
from lrdiag.errors import LrdiagError, NoSuggestion, SettingsError
from lrdiag.settings import Judging, Settings
from lrdiag.vocabulary import PREPROCESSINGS, RULES, SCHEDULES

if TYPE_CHECKING:
    from lrdiag.cli.console import ConsoleProgress
    from lrdiag.rate.range_test import RangeTest
    from lrdiag.record.facts import Diagnosis, Run
    from lrdiag.vocabulary import AssetsName, RuleName

BAD_INPUT = 2
GATE_FAILED = 3
INTERRUPTED = 130
PLOT_SUFFIXES = (".svg", ".png")


class _Group(click.Group):
    """A group of commands that turns our errors and Ctrl-C into messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LrdiagError as error:
            if ctx.meta.get(VERBOSE):
                traceback.print_exc()
            click.echo(f"Error: {error}", err=True)
            ctx.exit(BAD_INPUT)
        except (KeyboardInterrupt, RuntimeError) as error:
            # in the middle of its tracing, TensorFlow turns a Ctrl-C into an error of its own
            if isinstance(error, RuntimeError) and "KeyboardInterrupt" not in str(error):
                raise
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="lrdiag")
def main() -> None:
    """Learning-rate and failure diagnostics for Keras: one command, one page."""


@main.command(context_settings={"show_default": True})
@training_options
@click.option("--epochs", type=AT_LEAST_ONE, help="Passes over the training set.  [default: by its size]")
@click.option("--limit-test", type=AT_LEAST_ONE, metavar="N", help="Use only N test images.")
@click.option("--schedule", type=click.Choice(SCHEDULES), default="cyclic", help="How the learning rate moves.")
@click.option(
    "--learning-rate",
    metavar="auto|FLOAT|MIN:MAX",
    callback=read_learning_rate,
    default="auto",
    help="auto: a range test chooses.",
)
@run_options
@config_option
@verbose_option
def train_and_report(open_page: bool, as_json: bool, quiet: bool, gates: tuple[Gate, ...], **options: Any) -> None:
    """Find the learning rate, train, diagnose, and write one page that says how it went."""
    started = time.perf_counter()
    settings = Settings(**options, gates=_all_gates(gates, compared=options["baseline"] is not None))
    progress = _start(quiet)
    from lrdiag.pipeline import train_and_report as run_pipeline

    run = run_pipeline(settings, progress, command=shlex.join(["lrdiag", *sys.argv[1:]]), started=started)
    _conclude(run, settings.out, settings.gates, open_page, as_json, quiet)


@main.command(context_settings={"show_default": True})
@click.argument("model", metavar="MODEL")
@data_options
@click.option(
    "--preprocess",
    type=click.Choice(PREPROCESSINGS),
    default="raw",
    help="How pixels are scaled before they reach the model; raw: 0-255, the model scales them itself.",
)
@click.option("--output", metavar="NAME", help="Which output of the model, where it has several.")
@click.option("--trust", is_flag=True, help="Run the code that the model file carries, such as Lambda layers.")
@click.option("--seed", type=SEED, default=0, help="Of the sample of mistakes whose heatmaps are tested.")
@run_options
@config_option
@verbose_option
def diagnose(open_page: bool, as_json: bool, quiet: bool, gates: tuple[Gate, ...], **options: Any) -> None:
    """Judge MODEL, trained elsewhere, and write one page that says how it went.

    MODEL is a .keras or .h5 file, the folder of a SavedModel, or module:function.
    """
    started = time.perf_counter()
    judging = Judging(**options, gates=_all_gates(gates, compared=options["baseline"] is not None))
    progress = _start(quiet)
    from lrdiag.pipeline import judge

    run = judge(judging, progress, command=shlex.join(["lrdiag", *sys.argv[1:]]), started=started)
    _conclude(run, judging.out, judging.gates, open_page, as_json, quiet)


@main.command(context_settings={"show_default": True})
@training_options
@click.option("--start-lr", type=float, default=1e-5, help="The first rate of the sweep.")
@click.option("--end-lr", type=float, default=10.0, help="The last rate of the sweep.")
@click.option("--iterations", type=click.IntRange(min=2), default=100, help="Updates in one sweep.")
@click.option(
    "--mode", type=click.Choice(["exponential", "linear"]), default="exponential", help="How the rate climbs."
)
@click.option(
    "--repeats",
    type=AT_LEAST_ONE,
    default=1,
    help="Sweeps on different batches; two or more give an interval.",
)
@click.option("--rule", type=click.Choice(RULES), default="steepest", help="How the rate is read: ours, or another's.")
@click.option("--json", "as_json", is_flag=True, help="Print everything that was measured and read.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.svg|png", help="Draw the sweep.")
@quiet_option
@config_option
@verbose_option
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
    if file is not None and (
        file.suffix.lower() not in PLOT_SUFFIXES or file.is_dir() or not file.absolute().parent.is_dir()
    ):
        raise SettingsError(
            f"`--plot` must be a file that ends in {' or '.join(PLOT_SUFFIXES)}, in a folder that exists. "
            f"Received: {file}"
        )


@main.command(context_settings={"show_default": True})
@click.argument("run_dir", type=click.Path(path_type=Path))
@baseline_option
@gate_options
@page_options
@config_option
@verbose_option
def report(run_dir: Path, baseline: Path | None, gates: tuple[Gate, ...], **page: Any) -> None:
    """Make the page of RUN_DIR again, from what the run folder holds, with a baseline if one is given."""
    from lrdiag.record import folder as run_folder

    run = run_folder.load(run_dir)
    gates = _all_gates(gates, compared=baseline is not None or run.diagnosis.comparison is not None)
    gating.refuse_unknown_classes(gates, run.diagnosis.dataset.classes)
    if baseline is not None:
        from lrdiag.report.baseline import set_beside

        run = set_beside(run_folder.load_baseline(baseline), run)
        run_folder.save(run_dir, run)
    _write(run, run_dir, **page)
    click.echo(run_dir / "report.html")
    _judge(gates, gating.check(gates, run.diagnosis))


@main.command(context_settings={"show_default": True})
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("head", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write HEAD with its comparison there, as a run folder.")
@gate_options
@page_options
@config_option
@verbose_option
def compare(base: Path, head: Path, out: Path | None, gates: tuple[Gate, ...], **page: Any) -> None:
    """Compare two runs on the same test images, BASE and HEAD: run folders, or their report.json."""
    from lrdiag.record import folder as run_folder
    from lrdiag.report.baseline import set_beside
    from lrdiag.report.terminal import print_comparison

    gates = _all_gates(gates, compared=True)
    if out is not None:
        run_folder.create(out)
    read_head = run_folder.load_baseline if out is None else run_folder.load
    run = set_beside(run_folder.load_baseline(base), read_head(head))
    gating.refuse_unknown_classes(gates, run.diagnosis.dataset.classes)
    print_comparison(run.diagnosis)
    if out is not None:
        run_folder.save(out, run)
        _write(run, out, **page)
        click.echo(out / "report.html")
    _judge(gates, gating.check(gates, run.diagnosis))


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("asked", metavar="[COMMAND] [OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
@click.pass_context
def config(ctx: click.Context, asked: tuple[str, ...], as_json: bool) -> None:
    """Print every option of COMMAND, what it holds, and from where: default, file, environment or command line.

    COMMAND is train-and-report where none is named. OPTIONS are its own, --config FILE.toml among them.
    """
    default = () if asked and not asked[0].startswith("-") else ("train-and-report",)
    name, command, arguments = main.resolve_command(ctx, [*default, *asked])
    options = held(cast(click.Command, command), arguments, ctx.find_root())
    if as_json:
        click.echo(json.dumps({"command": name, "options": [each.to_dict() for each in options]}, indent=1))
        return
    widths = max(len(each.name) for each in options), max(len(str(each)) for each in options)
    for each in options:
        click.echo(f"{each.name:<{widths[0]}}  {each!s:<{widths[1]}}  {each.source}")


def _conclude(run: Run, out: Path, gates: tuple[Gate, ...], open_page: bool, as_json: bool, quiet: bool) -> None:
    """Says what came out, shows the page, and holds the run against its gates."""
    outcomes = gating.check(gates, run.diagnosis)
    _announce(out)
    _tell(run, out, outcomes, as_json, quiet)
    if open_page and _is_watched():
        click.launch(str(out / "report.html"))
    _judge(gates, outcomes, quiet)


def _write(run: Run, folder: Path, assets: AssetsName, templates: Path | None) -> None:
    from lrdiag.report.write import write_page

    write_page(folder, run, assets=assets, templates=templates)
    _announce(folder)


def _announce(folder: Path) -> None:
    """Shows the summary below the job, where GitHub runs it."""
    if warning := append_step_summary(folder / "summary.md"):
        click.echo(f"Warning: {warning}", err=True)


def _all_gates(given: tuple[Gate, ...], *, compared: bool) -> tuple[Gate, ...]:
    """The gates of the command line and of the file of options. Only the former insist on a baseline."""
    for gate in given:
        if gate.rule == "fail-if-worse" and not compared:
            raise SettingsError(
                "`--fail-if-worse` needs an earlier run: name it with --baseline. "
                f"Received: {gate.name}={gate.limit:g} without a baseline"
            )
    return gating.overridden(file_gates(click.get_current_context()), by=given)


def _judge(gates: tuple[Gate, ...], outcomes: list[Outcome], quiet: bool = False) -> None:
    """Says how each gate went, and ends with exit code 3 where one failed. Everything is written by now."""
    held = [outcome.gate for outcome in outcomes]
    for outcome in outcomes:
        if not (quiet and outcome.passed):
            click.echo(f"Gate {outcome}", err=True)
    for gate in gates:
        if gate not in held and not quiet:
            click.echo(f"Gate not checked {gate.name}: {gate.rule} needs a baseline", err=True)
    if not all(outcome.passed for outcome in outcomes):
        click.get_current_context().exit(GATE_FAILED)


def _start(quiet: bool) -> ConsoleProgress:
    """Starts TensorFlow, which takes its time, and says so."""
    from lrdiag.backend.start import start_tensorflow
    from lrdiag.cli.console import ConsoleProgress

    progress = ConsoleProgress(quiet)
    progress.say("Starting TensorFlow")
    start_tensorflow()
    return progress


def _save_plot(test: RangeTest, file: Path) -> None:
    from matplotlib import pyplot

    from lrdiag.record.folder import replacing

    figure, axes = pyplot.subplots(layout="constrained")
    test.plot(axes)
    with replacing(file) as temporary:
        figure.savefig(temporary, format=file.suffix[1:].lower())


def _is_watched() -> bool:
    """Whether a person sits at the terminal."""
    return sys.stdout.isatty() and "CI" not in os.environ


def _tell(run: Run, out: Path, outcomes: list[Outcome], as_json: bool, quiet: bool) -> None:
    from lrdiag.report.sections.verdict import verdict_sentence

    page = out / "report.html"
    if as_json:
        gates = [{**asdict(each.gate), "actual": each.actual, "passed": each.passed} for each in outcomes]
        click.echo(json.dumps({**_summary(run.diagnosis, page), "gates": gates}, indent=1))
    elif not quiet:
        click.echo(f"{verdict_sentence(run.diagnosis)}\n{page}")


def _summary(diagnosis: Diagnosis, page: Path) -> dict[str, Any]:
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
        "comparison": _compared(diagnosis),
    }


def _compared(diagnosis: Diagnosis) -> dict[str, Any] | None:
    comparison = diagnosis.comparison
    if comparison is None:
        return None
    figures = ("difference", "difference_low", "difference_high", "p_value")
    return {
        **{name: getattr(comparison, name) for name in figures},
        "fixed": len(comparison.fixed),
        "broken": len(comparison.broken),
    }
