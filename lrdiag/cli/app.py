"""The commands: from options to settings, and from results to output and exit codes.

Exit codes: 0 success, 2 invalid usage or input, 3 a gate failed, 130 interrupted, 143 terminated. Slow imports are
made only where they are needed.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from lrdiag import formats
from lrdiag.cli.completion import (
    DEFAULT_COMMAND,
    ConfigCommand,
    complete_data,
    complete_shown,
    complete_trained_model,
)
from lrdiag.cli.config_file import (
    ConfiguredCommand,
    config_option,
    file_check_settings,
    file_gates,
    option_values,
)
from lrdiag.cli.early import refuse_mistyped
from lrdiag.cli.effective import with_computed
from lrdiag.cli.findings import print_checked
from lrdiag.cli.options import (
    AT_LEAST_ONE,
    SEED,
    VERBOSE,
    baseline_option,
    data_options,
    gate_options,
    given_settings,
    json_option,
    page_options,
    quiet_option,
    read_learning_rate,
    read_part,
    run_options,
    training_options,
    verbose_option,
)
from lrdiag.cli.parsing import Choice, Group, underscores_are_hyphens
from lrdiag.cli.results import (
    BAD_INPUT,
    GATE_FAILED,
    announce,
    exit_by,
    is_watched,
    print_compared,
    print_json,
    print_range_test,
    print_result,
)
from lrdiag.cli.streams import guarded_streams, say
from lrdiag.diagnosis import gates as gating
from lrdiag.diagnosis.check_settings import CheckSettings
from lrdiag.diagnosis.gates import Gate, Outcome
from lrdiag.errors import ComparisonError, LrdiagError, NoSuggestion, RunFolderError, SettingsError
from lrdiag.foreign_code import described
from lrdiag.settings import DiagnoseSettings, Settings, require_baseline
from lrdiag.stopping import INTERRUPTED, TERMINATED, Terminated, signals_raised
from lrdiag.vocabulary import ENGINES, FAIL_ON, PREPROCESSINGS, RULES, SCHEDULES

if TYPE_CHECKING:
    from lrdiag.cli.console import ConsoleProgress
    from lrdiag.rate.range_test import RangeTest
    from lrdiag.record.facts import Run
    from lrdiag.vocabulary import RuleName

PLOT_SUFFIXES = (".svg", ".png")


class _Main(Group):
    """The commands. It turns lrdiag's errors, Ctrl-C and SIGTERM into messages and exit codes."""

    command_class = ConfiguredCommand

    def main(self, *args: Any, **extra: Any) -> Any:
        """Runs a command. Nothing that is printed can break it."""
        with guarded_streams():
            return super().main(*args, **extra)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Reads the arguments."""
        with _escaped_usage():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command that the arguments name."""
        try:
            with _escaped_usage(), signals_raised():
                return super().invoke(ctx)
        except LrdiagError as error:
            if ctx.meta.get(VERBOSE):
                traceback.print_exc()
            _say_why(f"Error: {error}", error)
            ctx.exit(BAD_INPUT)
        except OSError as error:
            if ctx.meta.get(VERBOSE):
                traceback.print_exc()
            _say_why(f"Error: {_said(error)}", error)
            ctx.exit(BAD_INPUT)
        except Terminated as error:
            _say_why("Terminated.", error)
            ctx.exit(TERMINATED)
        except SystemExit as error:  # the commands leave with `ctx.exit`, so code of the user called it
            say(f"Error: The code of the model must not end the program. Received: {described(error)}", err=True)
            ctx.exit(BAD_INPUT)
        except KeyboardInterrupt as error:
            _say_why("Interrupted.", error)
            ctx.exit(INTERRUPTED)


def _say_why(text: str, error: BaseException) -> None:
    """Prints why a command ends, and what the notes of the error say is left."""
    say(" ".join([text, *getattr(error, "__notes__", ())]), err=True)


@contextmanager
def _escaped_usage() -> Iterator[None]:
    """Escapes what click says about the arguments."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = formats.for_terminal(error.message)
        raise


def _said(error: OSError) -> str:
    where = "" if error.filename is None else f": {os.fsdecode(error.filename)}"
    return f"A file or folder cannot be used. Received: {error.strerror or error}{where}"


@click.group(
    cls=_Main,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 120,
        "token_normalize_func": underscores_are_hyphens,
    },
)
@click.version_option(package_name="lrdiag")
def main() -> None:
    """Learning-rate and failure diagnostics for Keras: one command, one page."""


@main.command(context_settings={"show_default": True})
@training_options
@click.option("--epochs", type=AT_LEAST_ONE, help="Passes over the training set.  [default: depends on its size]")
@click.option("--limit-test", type=AT_LEAST_ONE, metavar="N", help="Use only N test images.")
@click.option("--schedule", type=Choice(SCHEDULES), default=Settings.schedule, help="Learning-rate schedule.")
@click.option(
    "--learning-rate",
    metavar="auto|FLOAT|MIN:MAX",
    callback=read_learning_rate,
    shell_complete=lambda _ctx, _param, begun: [name for name in ("auto",) if name.startswith(begun)],
    default=str(Settings.learning_rate),
    help="Learning rate, or the boundaries of a cycle. auto: a range test chooses.",
)
@run_options(Settings.out)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue the unfinished run in the run folder, whose process has ended, after its last complete epoch.",
)
@config_option
@verbose_option
def train_and_report(
    open_page: bool,
    as_json: bool,
    quiet: bool,
    gates: tuple[Gate, ...],
    check_settings: CheckSettings,
    **options: Any,
) -> None:
    """Find a learning rate, train a model, evaluate it, and write a report on one page."""
    started = time.perf_counter()
    gates = _all_gates(gates, compared=options["baseline"] is not None)
    settings = Settings(**options, gates=gates, check_settings=_all_check_settings(check_settings))
    if settings.resume:
        from lrdiag.checkpoint import resumed

        settings = resumed(settings, given_settings(click.get_current_context()))
    refuse_mistyped(settings)
    from lrdiag.data.ahead import begun_to_load

    load = begun_to_load(settings)
    progress = _start(quiet)
    from lrdiag.main_job import run_main_job

    result = run_main_job(settings, progress, command=_command(), started=started, load=load)
    _conclude(result.run, settings.out, settings.gates, open_page, as_json, quiet)


@main.command(context_settings={"show_default": True})
@click.argument("model", metavar="MODEL", shell_complete=complete_trained_model)
@data_options
@click.option(
    "--preprocess",
    type=Choice(PREPROCESSINGS),
    default=DiagnoseSettings.preprocess,
    help="How pixels are scaled before they reach the model. raw: 0-255, the model scales them itself.",
)
@click.option("--output", metavar="NAME", help="Name of the output to evaluate, if the model has several.")
@click.option(
    "--batch-size",
    type=AT_LEAST_ONE,
    help="Images that go through the model at once.  [default: depends on the model, for the memory of model.predict]",
)
@click.option("--trust", is_flag=True, help="Run code in the model file: Lambda layers, or a SavedModel.")
@click.option("--seed", type=SEED, default=DiagnoseSettings.seed, help="Random seed of the heatmap check.")
@click.option(
    "--part",
    metavar="N/K",
    callback=read_part,
    help="Evaluate part N of K alone, and write it to the folder --out. `lrdiag merge` makes one report of all parts.",
)
@click.option("--engine", type=Choice(("ray",)), help="Evaluate on the workers of Ray.  [default: in this process]")
@click.option("--workers", type=AT_LEAST_ONE, help="Workers of the engine.  [default: one for each CPU or GPU]")
@run_options(DiagnoseSettings.out)
@config_option
@verbose_option
def diagnose(
    open_page: bool,
    as_json: bool,
    quiet: bool,
    gates: tuple[Gate, ...],
    check_settings: CheckSettings,
    part: tuple[int, int] | None,
    engine: str | None,
    workers: int | None,
    **options: Any,
) -> None:
    """Evaluate the trained MODEL and write a report on one page.

    MODEL is a .keras or .h5 file, the folder of a run or of a SavedModel, or module:function. The data of a run is used
    again unless --data is given.
    """
    started = time.perf_counter()
    if (engine is None and workers is not None) or (engine is not None and part is not None):
        raise SettingsError(
            "`--workers` belongs to `--engine`, and `--part` is for evaluating parts by hand. Leave one of them out. "
            f"Received: {'--part and --engine' if part else '--workers without --engine'}"
        )
    gates = _all_gates(gates, compared=options["baseline"] is not None)
    settings = DiagnoseSettings(**options, gates=gates, check_settings=_all_check_settings(check_settings))
    refuse_mistyped(settings)
    progress = _start(quiet)
    if part is not None:
        from lrdiag.saved_parts import diagnose_saved_part

        say(f"Part {part[0]} of {part[1]}: {diagnose_saved_part(settings, part, progress)}")
        return
    if engine is not None:
        from lrdiag.saved_parts import diagnose_saved_with_ray

        result = diagnose_saved_with_ray(settings, workers, progress, command=_command())
    else:
        from lrdiag.pipeline import diagnose_saved

        result = diagnose_saved(settings, progress, command=_command(), started=started)
    _conclude(result.run, settings.out, settings.gates, open_page, as_json, quiet)


@main.command(context_settings={"show_default": True})
@click.argument("parts", metavar="PART...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", default="", metavar="MODEL", help="The model.  [default: the model of the first part]")
@click.option("--trust", is_flag=True, help="Run code in the model file: Lambda layers, or a SavedModel.")
@run_options(DiagnoseSettings.out)
@config_option
@verbose_option
def merge(
    parts: tuple[Path, ...],
    open_page: bool,
    as_json: bool,
    quiet: bool,
    gates: tuple[Gate, ...],
    check_settings: CheckSettings,
    **options: Any,
) -> None:
    """Make one report of all parts that diagnose wrote to the folders PART with its option --part.

    It is the report that `lrdiag diagnose` would have made.
    """
    gates = _all_gates(gates, compared=options["baseline"] is not None)
    settings = DiagnoseSettings(**options, gates=gates, check_settings=_all_check_settings(check_settings))
    progress = _start(quiet)
    from lrdiag.saved_parts import merge_saved

    result = merge_saved(parts, settings, progress, command=_command())
    _conclude(result.run, settings.out, settings.gates, open_page, as_json, quiet)


@main.command(context_settings={"show_default": True})
@training_options
@click.option("--epochs", type=AT_LEAST_ONE, help="Passes over the training set that are planned.")
@click.option(
    "--learning-rate",
    default="auto",
    metavar="auto|RATE|BASE:MAX",
    callback=read_learning_rate,
    help="Learning rate that is planned. auto: that of Keras for the optimizer. A compiled model has its own.",
)
@click.option(
    "--fail-on",
    type=Choice((*FAIL_ON, "never")),
    default=FAIL_ON[0],
    help="Exit with code 3 if a finding is an error, or if it is an error or a warning. Accepted findings don't count.",
)
@click.option("--json", "as_json", is_flag=True, help="Print findings and checks as JSON.")
@quiet_option
@config_option
@verbose_option
def check(fail_on: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Check a model and its training data before training, and print what is wrong.

    A model of module:function that is compiled is checked as it is. Other models are compiled as train-and-report
    compiles them.
    """
    settings = Settings(**options, check_settings=file_check_settings(click.get_current_context()))
    refuse_mistyped(settings)
    progress = _start(quiet)
    from lrdiag.pipeline import run_check

    result = run_check(settings, progress)
    if as_json:
        print_json(asdict(result))
    elif not quiet:
        print_checked(result)
    if result.errors or (result.warnings and fail_on == "warning"):
        click.get_current_context().exit(0 if fail_on == "never" else GATE_FAILED)


@main.command(context_settings={"show_default": True})
@training_options
@click.option("--start-lr", type=float, default=1e-5, help="First learning rate of the sweep.")
@click.option("--end-lr", type=float, default=10.0, help="Last learning rate of the sweep.")
@click.option("--iterations", type=click.IntRange(min=2), default=100, help="Number of updates in a sweep.")
@click.option(
    "--mode", type=Choice(("exponential", "linear")), default="exponential", help="How the learning rate rises."
)
@click.option(
    "--repeats",
    type=AT_LEAST_ONE,
    default=1,
    help="Number of sweeps on different batches. Two or more give an interval.",
)
@click.option(
    "--rule",
    type=Choice(RULES),
    default="steepest",
    help="The rule that reads the suggestion: lrdiag's own (steepest) or that of another tool.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all measurements and rates as JSON.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.svg|png", help="Draw the sweep.")
@quiet_option
@config_option
@verbose_option
def find_lr(rule: RuleName, as_json: bool, plot: Path | None, quiet: bool, **options: Any) -> None:
    """Run a learning-rate range test and print its suggestion."""
    sweep = {name: options.pop(name) for name in ("start_lr", "end_lr", "iterations", "mode")}
    repeats = options.pop("repeats")
    settings = Settings(**options)
    _check_ladder(**sweep)
    _check_plot(plot)
    refuse_mistyped(settings)
    progress = _start(quiet)
    from lrdiag.pipeline import run_range_test

    test = run_range_test(settings, progress, repeats=repeats, **sweep)
    # before `suggest`, which may raise: the measurements show why
    if plot is not None:
        _save_plot(test, plot)
    if as_json:
        print_json({**asdict(test.facts()), "rule": rule, "learning_rate": _suggestion(test, rule)})
    rate = test.suggest(rule)
    if not as_json:
        print_range_test(test, rule, rate, quiet)


def _suggestion(test: RangeTest, rule: RuleName) -> float | None:
    try:
        return test.suggest(rule)
    except NoSuggestion:
        return None


def _check_ladder(start_lr: float, end_lr: float, iterations: int, mode: str) -> None:
    """Raises for an invalid sweep before anything slow starts."""
    from lrdiag.rate.curves import LADDERS

    LADDERS[mode](start_lr, end_lr, iterations)


def _check_plot(file: Path | None) -> None:
    if file is not None and (file.suffix.lower() not in PLOT_SUFFIXES or file.is_dir() or not file.parent.is_dir()):
        raise SettingsError(
            f"`--plot` must be a file that ends in {' or '.join(PLOT_SUFFIXES)}, in an existing folder. "
            f"Received: {file}"
        )


@main.command(context_settings={"show_default": True})
@click.argument("run_dir", type=click.Path(path_type=Path))
@baseline_option
@click.option(
    "--baseline-optional",
    is_flag=True,
    help="Warn if the baseline is missing or has other test images, and leave the comparison and its gates out.",
)
@gate_options
@page_options
@json_option
@quiet_option
@config_option
@verbose_option
def report(
    run_dir: Path,
    baseline: Path | None,
    baseline_optional: bool,
    gates: tuple[Gate, ...],
    check_settings: CheckSettings,
    as_json: bool,
    quiet: bool,
    **page: Any,
) -> None:
    """Write the page of the run folder RUN_DIR again, and compare the run with a baseline if one is given."""
    from lrdiag.record import locks, reading
    from lrdiag.report.write import write_page

    reading.require_report(run_dir)
    with locks.exchange(run_dir):  # the run must not be replaced between reading and writing
        run = reading.load(run_dir)
        gates = _all_gates(gates, compared=baseline is not None or run.diagnosis.comparison is not None)
        gating.refuse_unknown_classes(gates, run.diagnosis.dataset.classes)
        check_settings = _all_check_settings(check_settings)
        if baseline is not None:
            compared = _beside(baseline, run, check_settings, optional=baseline_optional)
            if compared is None:
                gates = tuple(gate for gate in gates if gate.rule != "fail-if-worse")
            run = compared or run
        run, outcomes = _checked(run, check_settings, gates)
        written = write_page(run_dir, run, **page)
    _say_what_stays(run_dir, written, images=page["images"], file_names=page["file_names"])
    announce(run_dir)
    print_result(run.diagnosis, run_dir / "report.html", outcomes, as_json, quiet, verdict=False)
    exit_by(gates, outcomes, quiet)


def _say_what_stays(folder: Path, run: Run, *, images: bool, file_names: bool) -> None:
    """Warns of files of the run folder that have what was left out of page and summary. Only a new run has none."""
    from lrdiag.record.folder import PREDICTIONS, REPORT
    from lrdiag.record.pictures import HEATMAPS

    kept = run.diagnosis.left_out
    if not images and "images" not in kept:
        files = ", ".join(sheet.file for name, sheet in run.pictures.sheets.items() if name not in HEATMAPS)
        say(f"The page and the summary have no images. Other files in {folder} have them: {files or 'none'}", err=True)
    if not file_names and "file names" not in kept:
        say(
            f"The page and the summary have no names of files. Other files in {folder} may have them: {REPORT}, "
            f"{PREDICTIONS}",
            err=True,
        )


def _beside(baseline: Path, run: Run, check_settings: CheckSettings, *, optional: bool) -> Run | None:
    """Returns the run with its comparison. If it can't be compared and needn't be, warns and returns `None`."""
    from lrdiag.record import reading
    from lrdiag.report.baseline import set_beside

    try:
        return set_beside(reading.load_baseline(baseline), run, check_settings)
    except (ComparisonError, RunFolderError) as error:
        if not optional:
            raise
        say(f"Warning: not compared. {error}", err=True)
        return None


@main.command(context_settings={"show_default": True})
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("head", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write HEAD with its comparison to this run folder.")
@gate_options
@page_options
@json_option
@quiet_option
@config_option
@verbose_option
def compare(
    base: Path,
    head: Path,
    out: Path | None,
    gates: tuple[Gate, ...],
    check_settings: CheckSettings,
    as_json: bool,
    quiet: bool,
    **page: Any,
) -> None:
    """Compare two runs on the same test images. BASE and HEAD are run folders or their report.json."""
    from lrdiag.record import exchange, reading
    from lrdiag.report.baseline import set_beside

    gates = _all_gates(gates, compared=True)
    check_settings = _all_check_settings(check_settings)
    with nullcontext() if out is None else exchange.new_folder(out):
        head_report = reading.report_of(head)
        # Its own pictures are needed only if they are written again.
        read = reading.load_baseline if out is None else reading.load_report
        run = set_beside(reading.load_baseline(base), read(head_report), check_settings)
        run, outcomes = _checked(run, check_settings, gates)
        if out is not None:
            _write_compared(out, run, is_head=out.resolve() == head_report.parent.resolve(), **page)
    print_compared(run.diagnosis, None if out is None else out / "report.html", outcomes, as_json, quiet)
    exit_by(gates, outcomes, quiet)


@main.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--suspects",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE.csv|-",
    help="Write the images whose labels are probably wrong: set, index, file, given and suggested class, score and "
    "reason. -: print them.",
)
@quiet_option
@verbose_option
def export(run: Path, suspects: Path | None, quiet: bool) -> None:
    """Export tables of the run RUN, a run folder or its report.json, for other programs."""
    if suspects is None:
        raise SettingsError("`export` needs a table to export: `--suspects FILE.csv`. Received: none")
    from lrdiag.record import folder as run_folder
    from lrdiag.record import reading
    from lrdiag.record.csv_file import to_csv
    from lrdiag.report.suspects import COLUMNS, suspect_rows

    rows = suspect_rows(reading.load_baseline(run).diagnosis)
    if str(suspects) == "-":
        click.echo(formats.encodable(to_csv(COLUMNS, rows)), nl=False)
    else:
        run_folder.write_csv(suspects, COLUMNS, rows)
    if not quiet:
        say(f"{formats.plural(len(rows), 'suspect')} of {run}", err=True)


@main.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--index", type=int, required=True, help="Place of the image in the test set, as the page shows it.")
@click.option(
    "--model",
    shell_complete=complete_trained_model,
    help="The model, as in lrdiag diagnose.  [default: model.keras in RUN]",
)
@click.option("--data", shell_complete=complete_data, help="The data, as in lrdiag diagnose.  [default: that of RUN]")
@click.option("--data-dir", type=click.Path(path_type=Path), help="The folder that contains CIFAR-10.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.png", help="[default: explained-INDEX.png]")
@click.option("--trust", is_flag=True, help="Run code in the model file: Lambda layers, or a SavedModel.")
@quiet_option
@verbose_option
def explain(run: Path, index: int, out: Path | None, quiet: bool, **options: Any) -> None:
    """Draw the heatmaps of one test image of the run RUN, a run folder or its report.json.

    The picture shows the image, its heatmap for the predicted class, and its heatmap for the true class.
    """
    out = out or Path(f"explained-{index}.png")
    if out.suffix.lower() != ".png" or out.is_dir() or not out.parent.is_dir():
        raise SettingsError(f"`--out` must be a file that ends in .png, in an existing folder. Received: {out}")
    from lrdiag.record import reading

    reading.require_report(run)
    progress = _start(quiet)
    from PIL import Image

    from lrdiag.explaining import explain_image
    from lrdiag.record.folder import replacing

    explained = explain_image(run, index, progress=progress, **options)
    with replacing(out) as temporary:
        Image.fromarray(explained.picture).save(temporary, "PNG")
    if explained.note:
        say(f"Warning: {explained.note}", err=True)
    if not quiet:
        say(f"{explained.sentence} Written to {out}.")


def _checked(run: Run, check_settings: CheckSettings, gates: tuple[Gate, ...]) -> tuple[Run, list[Outcome]]:
    """Returns the run with these settings of the checks and the outcomes of its gates, and the outcomes."""
    from lrdiag.diagnosis.findings.checking import with_settings

    diagnosis = with_settings(run.diagnosis, check_settings)
    if not gates:  # an earlier outcome stays
        return replace(run, diagnosis=diagnosis), []
    outcomes = gating.check(gates, diagnosis)
    return replace(run, diagnosis=gating.with_outcomes(diagnosis, outcomes)), outcomes


@main.command(cls=ConfigCommand, context_settings={"ignore_unknown_options": True})
@click.argument(
    "given",
    metavar="[COMMAND] [OPTIONS]...",
    nargs=-1,
    type=click.UNPROCESSED,
    shell_complete=complete_shown,
)
@click.option("--json", "as_json", is_flag=True, help="Print the options as JSON.")
@click.pass_context
def config(ctx: click.Context, given: tuple[str, ...], as_json: bool) -> None:
    """Print every option of COMMAND, its value, and its source: default, file, environment or command line.

    COMMAND defaults to train-and-report. OPTIONS are those of COMMAND, such as --config FILE.toml.
    """
    default = () if given and not given[0].startswith("-") else (DEFAULT_COMMAND,)
    name, command, arguments = main.resolve_command(ctx, [*default, *given])
    options = option_values(cast(click.Command, command), arguments, ctx.find_root())
    options = with_computed(cast(str, name), options)
    if as_json:
        return print_json({"command": name, "options": [each.to_dict() for each in options]})
    widths = max(len(each.name) for each in options), max(len(str(each)) for each in options)
    for each in options:
        say(f"{each.name:<{widths[0]}}  {each!s:<{widths[1]}}  {each.source}")
    return None


def _command() -> str:
    return shlex.join(["lrdiag", *sys.argv[1:]])


def _conclude(run: Run, out: Path, gates: tuple[Gate, ...], open_page: bool, as_json: bool, quiet: bool) -> None:
    """Prints the result, opens the page, and exits by the gates."""
    outcomes = gating.check(gates, run.diagnosis)
    announce(out)
    page = out / "report.html"
    print_result(run.diagnosis, page, outcomes, as_json, quiet)
    if open_page and is_watched():
        click.launch(str(page))
    exit_by(gates, outcomes, quiet)


def _write_compared(out: Path, run: Run, *, is_head: bool, **page: Any) -> None:
    """Writes a run with its comparison. Its tables and its model are there only if it is its own folder."""
    from lrdiag.record import exchange
    from lrdiag.report.privacy import reduced
    from lrdiag.report.write import page_files, write_page

    left_out = {name: page[name] for name in ("images", "file_names")}
    if is_head:
        written = write_page(out, run, **page)
        _say_what_stays(out, written, **left_out)
    else:
        run = reduced(run, **left_out)
        exchange.save(out, run, page=page_files(out, run, **page))
    announce(out)


def _all_gates(given: tuple[Gate, ...], *, compared: bool) -> tuple[Gate, ...]:
    """Returns the gates of the command line and the options file. Only the former require a baseline."""
    require_baseline(given, given=compared)
    return gating.overridden(file_gates(click.get_current_context()), by=given)


def _all_check_settings(given: CheckSettings) -> CheckSettings:
    """Returns the settings of the checks of the options file and the command line."""
    return file_check_settings(click.get_current_context()).overridden(by=given)


def _start(quiet: bool) -> ConsoleProgress:
    """Starts the engine of Keras, which takes seconds, and prints that."""
    from lrdiag.backend.start import chosen_engine, start_engine
    from lrdiag.cli.console import ConsoleProgress

    progress = ConsoleProgress(quiet)
    name = chosen_engine()
    progress.say(f"Starting {ENGINES.get(name, name)}")
    start_engine()
    return progress


def _save_plot(test: RangeTest, file: Path) -> None:
    from matplotlib import pyplot

    from lrdiag.record.folder import replacing

    figure, axes = pyplot.subplots(layout="constrained")
    test.plot(axes)
    with replacing(file) as temporary:
        figure.savefig(temporary, format=file.suffix[1:].lower())
