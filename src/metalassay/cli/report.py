"""The command `metalassay report`: make tables and plots from result files."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from metalassay.cli import option_types
from metalassay.errors import UserError, cannot_write

if TYPE_CHECKING:
    from metalassay.report import Report
    from metalassay.report.sections.calibration import RunCalibration
    from metalassay.report.sections.rlhf_times import RlhfRun
    from metalassay.report.sections.step_profile import StepProfile
    from metalassay.report.sections.training_log import Log


_DEFAULT = "reports"
_NEXT = "name a log.jsonl of a run or of a monitor, a profile.json, or a calibration.json"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of the command."""
    parser.description = (
        "Make report.md and report.html from verdict files and benchmark runs of any number of"
        " machines. A folder means every *.json in and below it, and *.partial and *.unfinished, which"
        " runs of a part or without an end leave. The files of any project's pytest-benchmark are read too,"
        " best recorded with `pytest --assay`. A pattern in quotes is expanded here; s3:// and"
        " gs:// need: pip install 'metalassay[fleet]'."
    )
    parser.epilog = """\
examples:
  metalassay report                              everything under reports/
  metalassay report m4/*.json m4pro/*.json       two machines side by side
  metalassay report 'runs/**/*.json'             more than a shell passes on
  metalassay report s3://BUCKET/runs             from an object store
  metalassay report fleet --machine 'Apple M4' --machine 'Apple M4 Pro'
  metalassay report --project 'Apple M4 Pro 20c' a projection, labelled as one
  metalassay report --csv rows.csv               one row per measurement
  metalassay report --json - | jq .compat        rows and verdicts as JSON
  metalassay report .benchmarks m4/.benchmarks   any project's suite, recorded with pytest --assay
  metalassay report --log RUN                    loss, calibration and profile of a training, or speed of RLHF
  metalassay report --summary --card card.svg    for a CI job and for a link

In the rows, refused times have a reason and no throughput, and verdicts of a file that contradicts
itself are unreadable. In CSV, text that a spreadsheet would run as a formula begins with an apostrophe.
For a .png of the card, open the .svg in a browser, or: rsvg-convert card.svg -o card.png

exit code: 0 all files read, 1 some files were left out or contradict themselves (each is named on
stderr, the rest is in the report), 2 bad input"""
    parser.add_argument(
        "files",
        nargs="*",
        type=option_types.place,
        metavar="FILE",
        help=f"result files, folders or patterns (default: {_DEFAULT})",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=option_types.path,
        metavar="DIR",
        default=Path(_DEFAULT),
        help="write the pages to this folder",
    )
    for option, what in (
        ("--csv", "write one row per measurement"),
        ("--csv-compat", "write one row per bug and version set"),
        ("--csv-max-batch", "write one row per search for the largest batch"),
        ("--json", "write all three as JSON"),
    ):
        parser.add_argument(
            option, type=option_types.place, metavar="FILE", help=f"{what}; - is standard output"
        )
    parser.add_argument(
        "--summary",
        action="store_true",
        help="add a summary to the page of the CI job ($GITHUB_STEP_SUMMARY), or print it",
    )
    for option, name, what in (
        ("--machine", "NAME", "compare this machine, by chip or name (default: the most measured)"),
        ("--project", "CHIP", "add a section that projects the results onto this chip"),
        (
            "--log",
            "FILE",
            "plot the log.jsonl, the calibration.json or the profile.json of a training run, all of them if"
            " it is the run's folder, or a monitor's log; - is standard input",
        ),
    ):
        parser.add_argument(
            option,
            type=option_types.place if name == "FILE" else option_types.words,
            action="append",
            default=[],
            metavar=name,
            help=f"{what}; repeatable",
        )
    parser.add_argument(
        "--card", type=option_types.path, metavar="FILE", help="draw the headline as an SVG image"
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print only the names of the files written"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    from metalassay import report
    from metalassay.report import export
    from metalassay.report.sections import projection
    from metalassay.results import load

    targets = [options.csv, options.csv_compat, options.csv_max_batch, options.json]
    if targets.count("-") > 1:
        raise UserError("two tables cannot share standard output", "name a file for one of them")
    named = [os.path.realpath(target) for target in targets if target not in (None, "-")]
    if len(set(named)) < len(named):
        raise UserError("two tables cannot share a file", "name another file for one of them")
    if options.card is not None and options.card.suffix.lower() != ".svg":
        raise UserError(
            f"the name of a card ends in .svg, not as in {options.card}",
            "--card card.svg, then: rsvg-convert card.svg -o card.png",
        )
    logs, profiles, calibrations, rlhf = _logs(options.log)
    files = options.files or [_DEFAULT]
    if options.log and not options.files and not Path(_DEFAULT).exists():
        files = []  # nobody named it, and the logs alone are a report
    for chip in options.project:
        projection.chip(chip)  # report an unknown one before thousands of files are read
    try:
        with ExitStack() as stack:
            streams = [_stream(stack, target) for target in targets]
            exports = export.Exports(stack, *streams) if any(streams) else None
            loaded = load.load(files, exports.see if exports else None)
            if exports:
                exports.finish(loaded.warnings)
    except BrokenPipeError:
        raise  # `| head` closed standard output: no error
    except OSError as error:
        raise cannot_write("the rows", error, "name another file") from None
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    content = report.build(
        loaded,
        project=options.project,
        machines=options.machine,
        logs=logs,
        profiles=profiles,
        calibrations=calibrations,
        rlhf=rlhf,
    )
    pages: list[Path] = list(report.write_report(content, options.output))
    if options.card is not None:
        pages.append(_write_card(content, options.card))
    pages += [Path(target) for target in targets if target not in (None, "-")]
    if options.summary:
        _summarise(content, sys.stderr if "-" in targets else sys.stdout)
    if "-" not in targets and not options.quiet:
        print(report.terminal_text(content))
    # A table on standard output is for a program, and for nothing else.
    print("\n".join(map(str, pages)), file=sys.stderr if "-" in targets else sys.stdout)
    return 1 if loaded.warnings else 0


def _logs(
    names: Sequence[str],
) -> tuple[list[Log], list[StepProfile], list[RunCalibration], list[RlhfRun]]:
    """Read logs, profiles, calibrations and results of RLHF; a folder stands for those that a run leaves in it."""
    from metalassay.report.sections.calibration import RunCalibration
    from metalassay.report.sections.rlhf_times import RlhfRun
    from metalassay.report.sections.step_profile import StepProfile

    logs: list[Log] = []
    profiles: list[StepProfile] = []
    calibrations: list[RunCalibration] = []
    rlhf: list[RlhfRun] = []
    for name in names:
        for path in _in_folder(Path(name)):
            one = _log(path)
            if isinstance(one, StepProfile):
                profiles.append(one)
            elif isinstance(one, RunCalibration):
                calibrations.append(one)
            elif isinstance(one, RlhfRun):
                rlhf.append(one)
            else:
                logs.append(one)
    return logs, profiles, calibrations, rlhf


def _in_folder(path: Path) -> list[Path]:
    from metalassay.fields import printable
    from metalassay.files import cannot_read

    try:
        if not path.is_dir():
            return [path]
        files = (path / "log.jsonl", path / "calibration.json")
        found = [each for each in files if each.exists()]
        found += sorted(path.glob("profile*.json"))
        if (path / "settings.json").exists() and (path / "result.json").exists():
            found.append(path / "result.json")  # of RLHF; that of another run says nothing more
    except (OSError, ValueError) as error:
        raise cannot_read(path, error, _NEXT) from None
    if not found:
        raise UserError(
            f"{printable(str(path))} has no log.jsonl, calibration.json or profile.json, and is no"
            " run of RLHF",
            _NEXT,
        )
    return found


def _log(path: Path) -> Log | StepProfile | RunCalibration | RlhfRun:
    from metalassay.fields import FieldError, printable
    from metalassay.files import read_bytes
    from metalassay.report.sections import calibration, rlhf_times, step_profile, training_log

    next_step = _NEXT
    content, shown = read_bytes(path, next_step, or_stdin=True), printable(str(path))
    try:
        if step_profile.is_profile(content):
            return step_profile.parse(content, shown)
        if calibration.is_calibration(content):
            return calibration.parse(content, shown)
        if rlhf_times.is_run(content):
            return rlhf_times.parse(content, shown)
        return training_log.parse(content, shown)
    except FieldError as error:
        raise UserError(f"{shown}: {error}", next_step) from None


def _stream(stack: ExitStack, target: str | None) -> TextIO | None:
    """Return where rows go: a file that appears when all of it was written, or standard output."""
    from metalassay.files import replacing

    if target is None:
        return None
    if target == "-":
        return sys.stdout
    try:
        return stack.enter_context(replacing(Path(target), newline=""))
    except OSError as error:
        raise cannot_write(target, error, "name another file") from None


def _write_card(content: Report, path: Path) -> Path:
    from metalassay.files import write_atomically
    from metalassay.report.render import card

    try:
        write_atomically(path, card.render(content))
    except OSError as error:
        raise cannot_write(path, error, "name another file") from None
    return path


def _summarise(content: Report, otherwise: TextIO) -> None:
    """Append the summary to the page of this step of the CI job, or print it where there is none."""
    from metalassay.report.render import ci_summary

    name = os.environ.get("GITHUB_STEP_SUMMARY")
    if not name:
        print(ci_summary.render(content), file=otherwise)
        return
    path = Path(name)
    try:
        there = path.stat().st_size if path.exists() else 0
        with path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(ci_summary.render(content, ci_summary.LIMIT - there))
    except OSError as error:
        raise cannot_write(name, error, "name another file") from None
