"""Records -> Report (rows of text) -> Markdown and HTML. Renderers see the ``Report`` only."""

from __future__ import annotations

from collections.abc import Sequence

from metalassay import chips
from metalassay.gathering import PACKAGES, FileGroup, groups_of
from metalassay.hardware import describe
from metalassay.report import benchmarks, comparison, compat
from metalassay.report.machines import in_order
from metalassay.report.markdown import terminal_text
from metalassay.report.rows import NO_VALUE, CompatTable, Hint, Report, Table, counted
from metalassay.report.write import write_report
from metalassay.runs import Loaded

__all__ = ["Report", "build", "terminal_text", "write_report"]

_METHOD = (
    "Compatibility: every set of versions goes into a fresh environment. Each test asserts the "
    "correct behaviour, on the library as it is (stock) and with the patch on. The word in a cell "
    "follows from the outcomes; a file whose words and outcomes disagree is not trusted.",
    "Benchmarks: a timed call ends when the device has finished, and what was timed is checked. "
    "Shown is the median of the rounds with its quartiles, to three digits. A time that implies "
    "more arithmetic than the chip has is refused.",
    "Machines are told apart by their hardware, not by folder or file name.",
)

_MOST_WARNINGS = 200

_COMMANDS = (
    ("nox -s compat", "install version sets and test the known bugs in each"),
    ("nox -s bench", "time the workloads on this machine"),
    ("metalassay report", "make this report from everything under reports/"),
    ("metalassay report reports OTHER", "the same, with the files of another machine in OTHER"),
)


def build(loaded: Loaded, find_chip: benchmarks.FindChip = chips.find) -> Report:
    """Lay out everything that was loaded. ``find_chip`` returns what is published of a machine's chip."""
    measured = loaded.measurements
    compat_table = compat.table(loaded.compat, loaded.older_sets)
    return Report(
        summary_line=_summary(loaded, compat_table),
        compat=compat_table or Hint("No verdict file was read.", "nox -s compat"),
        benchmarks=benchmarks.tables(measured, find_chip, loaded.older)
        or Hint("No benchmark run was read.", "nox -s bench"),
        comparison=comparison.table(measured, find_chip)
        or Hint(
            "A comparison needs benchmark runs of two machines. Run the benchmarks on the other "
            "one, copy its reports folder here as OTHER, and name both.",
            "metalassay report reports OTHER",
        ),
        conditions=_conditions(loaded.groups or groups_of(loaded.compat, measured)),
        warnings=_warnings(loaded.warnings),
        method=_METHOD,
        commands=_COMMANDS,
    )


def _summary(loaded: Loaded, table: CompatTable | None) -> str:
    parts = [compat.summary(table)] if table else []
    if loaded.measurements:
        machines = len(in_order(one.machine for one in loaded.measurements))
        measurements = counted(max(loaded.measured, len(loaded.measurements)), "measurement")
        parts.append(f"{measurements} of {counted(machines, 'machine')}")
    if not parts:
        parts.append("Nothing has been measured yet: no result file was read")
    if loaded.warnings:
        parts.append(counted(len(loaded.warnings), "warning"))
    return "; ".join(parts) + "."


def _conditions(groups: Sequence[FileGroup]) -> Table | None:
    """Return one row for the files of one machine and versions: a fleet leaves thousands of files."""
    if not groups:
        return None
    return Table(
        caption="Every file that was read, with its machine",
        head=("file", "holds", "machine", *PACKAGES, "started (UTC)"),
        rows=tuple(
            (
                each.file if each.files == 1 else f"{each.file} and {each.files - 1:,} more",
                _holds(each),
                describe(each.machine),
                *(version or NO_VALUE for version in each.versions),
                _when(each),
            )
            for each in groups
        ),
        numeric=(False,) * 8,
    )


def _holds(group: FileGroup) -> str:
    if group.set_id is None:
        return counted(group.measurements, "measurement")
    again = f", {group.files:,} runs" if group.files > 1 else ""
    return f"version set {group.set_id}{again}"


def _when(group: FileGroup) -> str:
    first, last = (f"{each:%Y-%m-%d %H:%M}" for each in (group.first, group.last))
    return first if first == last else f"{first} to {last}"


def _warnings(warnings: Sequence[str]) -> tuple[str, ...]:
    """Return what the pages show of them; the command line has named every one."""
    left_out = len(warnings) - _MOST_WARNINGS
    more = (f"{left_out:,} more; `metalassay report` names every one",) if left_out > 0 else ()
    return (*warnings[:_MOST_WARNINGS], *more)
