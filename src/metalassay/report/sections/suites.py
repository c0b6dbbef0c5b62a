"""The benchmarks of other projects: a section per project, with its machines side by side and its runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from metalassay.fields import one_line
from metalassay.report.machines import identity, in_order, names, system_name
from metalassay.report.model import (
    NO_VALUE,
    NOT_MEASURED,
    REHEARSAL,
    Section,
    Table,
    counted,
    not_shown,
    significant,
)
from metalassay.report.sections.comparison import ON_SYSTEMS, ratio_text
from metalassay.report.sections.side_by_side import matching
from metalassay.report.sections.suite_pairs import (
    MOST_COLUMNS,
    SuiteRow,
    of_machines,
    of_runs,
)
from metalassay.results.suite_file import SuiteRun, SuiteTime

MOST_ROWS = 1000
_MOST_PROJECTS = 10
_MOST_FLAGS = 10
_NAME = 100  # characters of a benchmark's name, and
_LABEL = 60  # of a project's and a file's
UNKNOWN = "conditions unknown"
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (0.0, "ns"))

_ON_TIMES = (
    "A cell gives the median time of a call and, in brackets, the quartiles: of the rounds, or of the medians of several "
    "processes."
)
_ON_RATIOS = "A ratio is that of two times: below 1 it took less time than in the first column."
_ON_SINGLE = (
    "A ratio without brackets compares two single processes, from which no interval can be computed, so a small "
    "difference may be due to chance; `pytest --assay --assay-processes 5` on each machine gives one."
)
_ON_PROCESSES = (
    "Brackets after a ratio: 95 % interval of a bootstrap over the processes of each machine. It shows the "
    "variation between processes and not that between days."
)
_ON_UNKNOWN = (
    "Conditions unknown: pytest-benchmark alone recorded these files. Nothing says what else the machine did, which "
    "versions were installed, whether the benchmark's source is the same, or whether the clock waited for a GPU. So "
    "only runs with the same machine_info are compared, without an interval. `pytest --assay` records these."
)
_ON_SUMMARY = (
    'A "summary" has the statistics that pytest-benchmark saved, without the times of the rounds '
    "(--benchmark-save-data), so nothing can be checked against them."
)


def sections(
    times: Sequence[SuiteTime], older: int = 0, wanted: Iterable[str] = ()
) -> tuple[Section, ...]:
    """Return a section per project, of times of which the newest come first.

    ``older`` counts the times that newer ones superseded, ``wanted`` are names of machines to show.
    """
    projects: dict[str, list[SuiteTime]] = {}
    for one in times:
        projects.setdefault(one.run.project, []).append(one)
    found = []
    for number, project in enumerate(sorted(projects)[:_MOST_PROJECTS], 1):
        found.append(_section(number, project, projects[project], tuple(wanted)))
    rest = [not_shown(older, "older time", " of these benchmarks")] if older else []
    if len(projects) > _MOST_PROJECTS:
        rest.append(not_shown(len(projects) - _MOST_PROJECTS, "further project"))
    if rest:
        last = found[-1]
        found[-1] = Section(
            last.id, last.title, (*last.sentences, *rest), tables=last.tables, printed=True
        )
    return tuple(found)


def summary(times: Sequence[SuiteTime]) -> str:
    """Return what was read in a few words, "" of nothing."""
    if not times:
        return ""
    projects = {one.run.project for one in times}
    benchmarks = {(one.run.project, one.name) for one in times}
    machines = in_order(one.run.machine for one in times)
    return (
        f"{counted(len(benchmarks), 'benchmark')} of {counted(len(projects), 'other project')} on "
        f"{counted(len(machines), 'machine')}"
    )


def _section(
    number: int, project: str, times: Sequence[SuiteTime], wanted: tuple[str, ...]
) -> Section:
    assayed = [one for one in times if one.run.assayed]
    plain = [one for one in times if not one.run.assayed]
    tables = [*_assayed(assayed, wanted), *_plain(plain)]
    benchmarks = {one.name for one in times}
    return Section(
        id=f"suite-{number}",
        title=f"Benchmarks of {_cut(project, _LABEL)}",
        sentences=(
            f"{counted(len(benchmarks), 'benchmark')} of this project, timed by pytest-benchmark. Their work is not "
            "counted, so there is no throughput, and no check against what the chip can do.",
        ),
        tables=tuple(tables),
        printed=True,
    )


def _assayed(times: Sequence[SuiteTime], wanted: Sequence[str]) -> Iterator[Table]:
    if not times:
        return
    name_of = names(one.run.machine for one in times)
    named = {machine for word in wanted for machine in matching(name_of, word)}
    machines = [machine for machine in name_of if machine in named] or list(name_of)
    shown = machines[:MOST_COLUMNS]
    rows = of_machines(times, shown)
    full = [_cut(name_of[machine], _LABEL) for machine in shown]
    short = [_cut(machine.chip or name_of[machine], _LABEL) for machine in shown]
    heads = short if len(set(short)) == len(short) else full
    notes = [*_notes(rows)]
    if len(machines) > len(shown):
        notes.append(not_shown(len(machines) - len(shown), "further machine"))
    yield _table(" vs ".join(full), heads, rows, notes)
    runs = {one.run: None for row in rows for one in row.sides if one is not None}
    yield _conditions(
        sorted(runs, key=lambda run: (shown.index(identity(run.machine)), run.when)),
        heads,
        shown,
        [one for row in rows for one in row.sides if one is not None],
    )


def _plain(times: Sequence[SuiteTime]) -> Iterator[Table]:
    """Yield a table for each machine_info: its newest runs, the first of them on the left."""
    machines: dict[str, list[SuiteTime]] = {}
    for one in times:
        machines.setdefault(one.run.info, []).append(one)
    name_of = names(one.run.machine for one in times)
    shown = list(machines)[:MOST_COLUMNS]
    for info in shown:
        runs: dict[object, SuiteRun] = {}
        for one in machines[info]:
            runs.setdefault((one.run.when, one.run.file), one.run)
        newest = list(runs.values())[:MOST_COLUMNS][::-1]
        rows = of_runs(machines[info], newest)
        notes = [_ON_UNKNOWN, *_notes(rows)]
        if len(runs) > len(newest):
            notes.append(not_shown(len(runs) - len(newest), "older run"))
        if info == shown[-1] and len(machines) > len(shown):
            notes.append(not_shown(len(machines) - len(shown), "further machine_info"))
        machine = newest[0].machine
        caption = f"{_cut(name_of[identity(machine)], _LABEL)}, {_cut(system_name(machine), _LABEL)}, {newest[0].python}: {UNKNOWN}"
        yield _table(caption, [*_run_names(newest)], rows, notes)


def _run_names(runs: Sequence[SuiteRun]) -> Iterator[str]:
    for run in runs:
        commit = f"{run.commit[:8]}{'+' if run.dirty else ''}" if run.commit else "no commit"
        yield f"{commit}, {run.when:%Y-%m-%d %H:%M:%S}"


def _table(
    caption: str, heads: Sequence[str], rows: Sequence[SuiteRow], notes: Sequence[str]
) -> Table:
    shown = rows[:MOST_ROWS]
    more = len(rows) - len(shown)
    place = _place([row.name for row in shown])
    return Table(
        caption=f"{caption}: {_cut(place, _LABEL)}" if place else caption,
        head=(
            "benchmark",
            *(heads if len(heads) > 1 else ["time of a call"]),
            *(f"{other} / {heads[0]}" for other in heads[1:]),
        ),
        rows=tuple(
            (
                _cut(row.name.removeprefix(place), _NAME),
                *map(_cell, row.sides),
                *map(ratio_text, row.ratios),
            )
            for row in shown
        ),
        numeric=(False, *[True] * (2 * len(heads) - 1)),
        notes=(*notes, *([not_shown(more, "further benchmark")] if more else [])),
    )


def _place(names: Sequence[str]) -> str:
    """Return the file of all benchmarks, with its colons, or else the folder that all of their files are in."""
    files = {name.partition("::")[0] for name in names if "::" in name}
    if len(files) == 1 and all("::" in name for name in names):
        return f"{files.pop()}::"
    folders = [file.split("/")[:-1] for file in files]
    common: list[str] = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return "/".join(common) + "/" if common and all("::" in name for name in names) else ""


def _notes(rows: Sequence[SuiteRow]) -> Iterator[str]:
    sides = [one for row in rows for one in row.sides if one is not None]
    ratios = [ratio for row in rows for ratio in row.ratios]
    yield _ON_TIMES
    if any(ratio.value is not None for ratio in ratios):
        yield _ON_RATIOS
    if any(not one.raw for one in sides):
        yield _ON_SUMMARY
    single = any(ratio.value is not None and ratio.span is None for ratio in ratios)
    if single and any(one.run.assayed for one in sides):
        yield _ON_SINGLE
    if any(ratio.span for ratio in ratios):
        yield _ON_PROCESSES
    if any("macOS" in ratio.mark for ratio in ratios):
        yield ON_SYSTEMS


def _cell(one: SuiteTime | None) -> str:
    if one is None:
        return NOT_MEASURED
    if one.run.emulated:
        return f"refused: {REHEARSAL}"
    if one.impossible:
        return "refused: too short to be measured"
    scale, unit = next(pair for pair in _UNITS if one.median >= pair[0])
    scale = scale or 1e-9
    text = f"{significant(one.median / scale)} {unit}"
    if one.low is not None and one.high is not None:
        text += f" ({significant(one.low / scale)} {NO_VALUE} {significant(one.high / scale)})"
    return text if one.raw else f"{text}, summary"


def _conditions(
    runs: Sequence[SuiteRun],
    heads: Sequence[str],
    machines: Sequence[object],
    times: Sequence[SuiteTime],
) -> Table:
    name_of = dict(zip(machines, heads, strict=True))
    rows = []
    for run in runs:
        own = [one for one in times if one.run == run]
        waits = {one.waits_for for one in own if one.waits_for}
        threads = {one.threads for one in own if one.threads}
        rows.append(
            (
                *(name_of[identity(run.machine)], system_name(run.machine), run.python),
                f"{run.commit[:8]}{'+' if run.dirty else ''}" if run.commit else NO_VALUE,
                *(run.power_mode or NO_VALUE, run.thermal_pressure or NO_VALUE),
                ", ".join(sorted(waits)) or "no GPU",
                ", ".join(map(str, sorted(threads))) or NO_VALUE,
                str(max((one.processes for one in own), default=1)),
                *(str(len(own)), f"{run.when:%Y-%m-%d %H:%M}", _cut(run.file, _LABEL)),
            )
        )
    return Table(
        caption="Conditions of these runs",
        head=(
            *("machine", "system", "Python", "commit", "power mode", "thermal pressure"),
            *("clock waits for", "threads", "processes", "benchmarks", "when (UTC)", "file"),
        ),
        rows=tuple(rows),
        numeric=(*[False] * 7, True, True, True, False, False),
        notes=tuple(_flags(runs, times, name_of)),
    )


def _flags(
    runs: Sequence[SuiteRun], times: Sequence[SuiteTime], name_of: dict[object, str]
) -> Iterator[str]:
    """Yield what makes times doubtful: of a run as a whole, and of single benchmarks."""
    flagged: dict[tuple[str, str], list[str]] = {}
    doubts = [(run, f"the run of {run.when:%Y-%m-%d %H:%M}", run.flags) for run in runs]
    doubts += [(one.run, _cut(one.name, _NAME), one.flags) for one in times]
    for run, what, flags in doubts:
        for flag in flags:
            # "busy: a load of 3.1" and "busy: a load of 4.2" are of one kind
            kind = re.sub(r"\d[\d.,]*", "N", flag)
            key = (name_of[identity(run.machine)], kind)
            flagged.setdefault(key, []).append(f"{what}: {flag}")
    found = []
    for (machine, _), texts in flagged.items():
        more = f"; {len(texts) - 1} more of this kind" if len(texts) > 1 else ""
        found.append(f"Doubtful on {machine}, {texts[0]}{more}.")
    found = [one_line(text) for text in dict.fromkeys(found)]
    yield from found[:_MOST_FLAGS]
    if len(found) > _MOST_FLAGS:
        yield not_shown(len(found) - _MOST_FLAGS, "further doubt", done="listed")


def _cut(text: str, most: int) -> str:
    """Return a text of strangers on one line; of a long one the beginning and the end, which tell it apart."""
    line = one_line(text)
    if len(line) <= most:
        return line
    return f"{line[: most // 2]}\N{HORIZONTAL ELLIPSIS}{line[-(most // 2 - 1) :]}"
