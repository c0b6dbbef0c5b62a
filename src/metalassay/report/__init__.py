"""Records -> Report (rows of text) -> Markdown and HTML. Renderers see the ``Report`` only."""

from __future__ import annotations

from collections.abc import Sequence

from metalassay.claims import catalogue as claims
from metalassay.machine import chips
from metalassay.report.machines import in_order
from metalassay.report.model import CompatTable, Hint, Report, Section, counted
from metalassay.report.render.markdown import terminal_text
from metalassay.report.render.write import write_report
from metalassay.report.sections import (
    batch_plots,
    benchmarks,
    comparison,
    compat,
    conditions,
    headline,
    ledger,
    method,
    projection,
    published,
    scaling,
)
from metalassay.report.sections import side_by_side as compared
from metalassay.report.sections.training_log import Log
from metalassay.report.sections.training_log import section as training_section
from metalassay.results.latest import groups_of
from metalassay.results.load import Loaded

__all__ = ["Report", "build", "terminal_text", "write_report"]

_MOST_WARNINGS = 200


def build(
    loaded: Loaded,
    find_chip: benchmarks.FindChip = chips.find,
    *,
    project: Sequence[str] = (),
    machines: Sequence[str] = (),
    logs: Sequence[Log] = (),
) -> Report:
    """Lay out everything that was loaded. ``find_chip`` returns what is published of a machine's chip.

    ``project`` names chips to project onto, ``machines`` those to compare (else: those measured
    most), ``logs`` are of training runs. Raises ``UserError`` for a chip or machine that is none.
    """
    measured = loaded.measurements
    shown = benchmarks.latest(measured)
    compat_table = compat.table(loaded.compat, loaded.older_sets)
    groups = loaded.groups or groups_of(loaded.compat, measured, loaded.batches)
    side_by_side = compared.of(shown, find_chip, loaded.batches, machines)
    sections: tuple[Section | None, ...] = (
        batch_plots.section(side_by_side, shown),
        scaling.section(side_by_side, shown),
        training_section(logs),
        published.section(side_by_side.chips),
        projection.section(project, shown),
        ledger.section(claims.load()),
    )
    return Report(
        summary_line=_summary(loaded, compat_table, len(logs)),
        compat=compat_table or Hint("No verdict file was read.", "nox -s compat"),
        benchmarks=benchmarks.tables(measured, find_chip, loaded.older)
        or Hint("No benchmark run was read.", "nox -s bench"),
        comparison=comparison.table(side_by_side)
        or Hint(
            "A comparison needs benchmark runs of two machines. Run the benchmarks on the other "
            "one, copy its reports folder here as OTHER, and name both.",
            "metalassay report reports OTHER",
        ),
        conditions=conditions.table(groups, measured, side_by_side),
        warnings=_warnings(loaded.warnings),
        method=method.SENTENCES,
        commands=method.COMMANDS,
        headline=headline.sentences(
            loaded.compat, compat_table, measured, loaded.batches, side_by_side, loaded.measured
        ),
        sections=tuple(each for each in sections if each),
    )


def _summary(loaded: Loaded, table: CompatTable | None, logs: int) -> str:
    parts = [compat.summary(table)] if table else []
    if loaded.measurements:
        machines = len(in_order(one.machine for one in loaded.measurements))
        measurements = counted(max(loaded.measured, len(loaded.measurements)), "measurement")
        parts.append(f"{measurements} of {counted(machines, 'machine')}")
    if not parts:
        parts.append("Nothing has been measured yet: no result file was read")
    if logs:
        parts.append(f"{counted(logs, 'log')} of training or of a monitor")
    if loaded.warnings:
        parts.append(counted(len(loaded.warnings), "warning"))
    return "; ".join(parts) + "."


def _warnings(warnings: Sequence[str]) -> tuple[str, ...]:
    """Return what the pages show of them; the command line has named every one."""
    left_out = len(warnings) - _MOST_WARNINGS
    more = (f"{left_out:,} more; `metalassay report` names every one",) if left_out > 0 else ()
    return (*warnings[:_MOST_WARNINGS], *more)
