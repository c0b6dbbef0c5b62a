"""Records -> ``Report`` (rows of text) -> Markdown and HTML. Renderers know only the ``Report``."""

from __future__ import annotations

from collections.abc import Sequence

from metalassay.claims import catalogue as claims
from metalassay.claims import measured as measured_claims
from metalassay.machine import chips
from metalassay.report.machines import in_order, names
from metalassay.report.model import CompatTable, Hint, Report, Section, counted, not_shown
from metalassay.report.render.terminal import text as terminal_text
from metalassay.report.render.write import write_report
from metalassay.report.sections import (
    asked,
    batch_plots,
    benchmarks,
    calibration,
    comparison,
    compat,
    compat_runs,
    conditions,
    doubt,
    frameworks,
    headline,
    key_figures,
    ledger,
    method,
    projection,
    published,
    rlhf_times,
    scaling,
    side_by_side,
    step_profile,
    suites,
)
from metalassay.report.sections.training_log import Log
from metalassay.report.sections.training_log import section as training_section
from metalassay.results.latest import groups_of
from metalassay.results.load import Loaded
from metalassay.results.parse import LargestBatch, Measurement

__all__ = ["Report", "build", "terminal_text", "write_report"]

_MOST_WARNINGS = 200


def build(
    loaded: Loaded,
    find_chip: benchmarks.FindChip = chips.find,
    *,
    project: Sequence[str] = (),
    machines: Sequence[str] = (),
    logs: Sequence[Log] = (),
    profiles: Sequence[step_profile.StepProfile] = (),
    calibrations: Sequence[calibration.RunCalibration] = (),
    rlhf: Sequence[rlhf_times.RlhfRun] = (),
) -> Report:
    """Return the report of everything that was loaded.

    ``find_chip`` returns the published limits of the chip of a machine. ``project`` names chips to
    project onto, ``machines`` those to compare (by default those with the most measurements); ``logs``
    are those of training runs, ``profiles`` of their steps, ``calibrations`` of their classifiers, ``rlhf`` the
    results of runs of RLHF. Raises ``UserError`` for an unknown chip or machine.
    """
    measured = loaded.measurements
    shown = benchmarks.latest(measured)
    runs, older = compat_runs.choose(loaded.compat, loaded.unfinished)
    compat_table = compat.table(runs, loaded.older_sets + older)
    groups = loaded.groups or groups_of(loaded.compat, measured, loaded.batches)
    of_suites = suites.sections(loaded.suites, loaded.older_suites, machines)
    ours = names([one.machine for one in shown] + [one.machine for one in loaded.batches])
    theirs = names(one.run.machine for one in loaded.suites)
    # A machine that has run other projects' benchmarks only is no error.
    named = [
        text
        for text in machines
        if side_by_side.matching(ours, text) or not side_by_side.matching(theirs, text)
    ]
    compared = side_by_side.of(shown, find_chip, loaded.batches, named)
    sections: tuple[Section | None, ...] = (
        *of_suites,
        asked.section(loaded.asked),
        frameworks.section(shown, find_chip),
        batch_plots.section(compared, shown),
        scaling.section(compared, shown),
        training_section(logs),
        calibration.section(calibrations),
        step_profile.section(profiles),
        rlhf_times.section([*rlhf, *rlhf_times.of_benchmarks(shown, find_chip)]),
        published.section(compared.chips),
        projection.section(project, shown),
        ledger.section(claims.load(), measured_claims.sort(loaded.experiments)),
    )
    return Report(
        summary_line=_summary(
            loaded, compat_table, len(logs), len(calibrations), len(profiles), len(rlhf)
        ),
        compat=compat_table or Hint("No verdict file was read.", "nox -s compat"),
        benchmarks=benchmarks.tables(measured, find_chip, loaded.older)
        or Hint("No benchmark run was read.", "nox -s bench"),
        comparison=comparison.table(compared)
        or Hint(
            "A comparison needs benchmark runs of two machines. Run the benchmarks on the other "
            "machine, copy its reports folder here as OTHER, and name both folders.",
            "metalassay report reports OTHER",
        ),
        conditions=conditions.table(groups, measured, compared),
        warnings=_warnings(loaded.warnings),
        method=method.SENTENCES,
        commands=method.COMMANDS,
        headline=headline.sentences(
            runs,
            compat_table,
            measured,
            loaded.batches,
            compared,
            loaded.measured,
            "; ".join(filter(None, (suites.summary(loaded.suites), asked.summary(loaded.asked)))),
        ),
        sections=tuple(section for section in sections if section),
        key_figures=key_figures.table(compared),
        rehearsal=_rehearsal([*measured, *loaded.batches]),
        doubt=doubt.line(shown),
    )


def _rehearsal(results: Sequence[Measurement | LargestBatch]) -> str:
    """Return the sentence for the top of the page, empty unless something ran on an emulated device."""
    emulated = sum(one.emulated for one in results)
    if not emulated:
        return ""
    if emulated == len(results):
        return (
            "REHEARSAL: the device was emulated in every benchmark run here. Nothing was measured on the machines "
            "that are named, and no speed, ratio or largest batch is shown."
        )
    return (
        f"REHEARSAL in part: in {emulated:,} of {len(results):,} results the device was emulated. They are marked "
        'as "rehearsal" or "emulated", show no speed and enter no ratio.'
    )


def _summary(
    loaded: Loaded,
    table: CompatTable | None,
    logs: int,
    calibrations: int,
    profiles: int,
    rlhf: int,
) -> str:
    parts = [compat.summary(table)] if table else []
    if loaded.measurements:
        machines = len(in_order(one.machine for one in loaded.measurements))
        measurements = counted(max(loaded.measured, len(loaded.measurements)), "measurement")
        parts.append(f"{measurements} of {counted(machines, 'machine')}")
    if loaded.suites:
        parts.append(suites.summary(loaded.suites))
    if loaded.asked:
        parts.append(asked.summary(loaded.asked))
    if not parts:
        parts.append("Nothing has been measured yet: no result file was read")
    if logs:
        parts.append(f"{counted(logs, 'log')} of a training run or a monitor")
    if calibrations:
        parts.append(f"{counted(calibrations, 'calibration')} of a classifier")
    if profiles:
        parts.append(f"{counted(profiles, 'profile')} of training steps")
    if rlhf:
        parts.append(f"{counted(rlhf, 'run')} of RLHF")
    if loaded.warnings:
        parts.append(counted(len(loaded.warnings), "warning"))
    return "; ".join(parts) + "."


def _warnings(warnings: Sequence[str]) -> tuple[str, ...]:
    """Return the warnings that the pages show; the command line has printed all of them."""
    cut = len(warnings) - _MOST_WARNINGS
    more = (f"{not_shown(cut, 'further warning')} `metalassay report` prints them all.",)
    return (*warnings[:_MOST_WARNINGS], *(more if cut > 0 else ()))
