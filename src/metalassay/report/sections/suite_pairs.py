"""Which times of another project's benchmarks stand side by side, and which of them have a ratio; no text yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from metalassay.machine.hardware import Hardware
from metalassay.report import statistics
from metalassay.report.machines import identity
from metalassay.report.model import REHEARSAL
from metalassay.report.sections.side_by_side import Ratio
from metalassay.results.suite_file import SuiteRun, SuiteTime

MOST_COLUMNS = 5
"""Machines, or runs of one, side by side; a wider table is hard to read."""
# What runs the benchmarks and is not timed, and what is compared elsewhere.
_TOOLS = frozenset(
    """
    iniconfig macos apple-silicon metalassay packaging pip pluggy psutil py-cpuinfo py-cpuinfo2 pygments pytest
    pytest-benchmark python setuptools tomli wheel
    """.split()  # noqa: SIM905
)
_MOST_REASONS = 3


@dataclass(frozen=True)
class SuiteRow:
    """One benchmark: a time per column, None where there is none, and each further one's ratio to the first."""

    name: str
    sides: tuple[SuiteTime | None, ...]
    ratios: tuple[Ratio, ...]


def of_machines(times: Sequence[SuiteTime], machines: Sequence[Hardware]) -> list[SuiteRow]:
    """Put what `pytest --assay` recorded on several machines side by side.

    ``times`` are of one project, the newest first. Of several runs on a machine those are taken that differ in as
    little as possible from the first machine's.
    """
    rows: dict[str, list[list[SuiteTime]]] = {}
    column = {machine: number for number, machine in enumerate(machines)}
    for one in times:
        number = column.get(identity(one.run.machine))
        if number is not None:
            rows.setdefault(one.name, [[] for _ in machines])[number].append(one)
    found = []
    for name in sorted(rows):
        sides = _most_alike(rows[name])
        found.append(SuiteRow(name, sides, _ratios(sides, differences)))
    return found


def of_runs(times: Sequence[SuiteTime], runs: Sequence[SuiteRun]) -> list[SuiteRow]:
    """Put several runs with one machine_info side by side, of which nothing else is known."""
    rows: dict[str, list[SuiteTime | None]] = {}
    column = {(run.when, run.file): number for number, run in enumerate(runs)}
    for one in times:
        number = column.get((one.run.when, one.run.file))
        if number is not None:
            rows.setdefault(one.name, [None] * len(runs))[number] = one
    return [SuiteRow(name, tuple(rows[name]), _ratios(rows[name], _never)) for name in sorted(rows)]


def differences(a: SuiteTime, b: SuiteTime) -> list[str]:
    """Return why two times are not comparable, an empty list if they are: as for our own workloads.

    The machines may differ, but not what ran on them: the benchmark's source, the commit of the project, Python
    and the packages that the suite had imported. What only one file names does not count.
    """
    return list(_differences(a, b))


def _differences(a: SuiteTime, b: SuiteTime) -> Iterator[str]:
    one, other = a.run, b.run
    if a.identity is None or b.identity is None:
        yield "no identity of the benchmark's source"
    elif a.identity != b.identity:
        yield "different source of the benchmark"
    if one.commit and other.commit and one.commit != other.commit:
        yield f"commit {one.commit[:8]} and {other.commit[:8]}"
    if one.python != other.python:
        yield f"{one.python} and {other.python}"
    for name in sorted((one.versions.keys() & other.versions.keys()) - _TOOLS):
        versions = [statistics.public(run.versions[name]) for run in (one, other)]
        if versions[0] != versions[1] and not name.startswith("pytest-"):
            yield f"{name} {versions[0]} and {versions[1]}"
    if a.waits_for != b.waits_for:
        waits = [f"waits for {time.waits_for or 'no GPU'}" for time in (a, b)]
        yield " and ".join(waits)
    if a.threads and b.threads and a.threads != b.threads and not a.waits_for:
        yield f"threads {a.threads} and {b.threads}"
    if one.power_mode and other.power_mode and one.power_mode != other.power_mode:
        yield f"power mode {one.power_mode} and {other.power_mode}"
    yield from statistics.machine_differences(one.machine, other.machine)
    throttled = [any(flag.startswith("throttled") for flag in run.flags) for run in (one, other)]
    if throttled[0] != throttled[1]:
        yield "one was throttled by heat"


def _never(a: SuiteTime, b: SuiteTime) -> list[str]:
    return []


def _most_alike(candidates: Sequence[Sequence[SuiteTime]]) -> tuple[SuiteTime | None, ...]:
    first, *others = candidates

    def apart(one: SuiteTime, other: SuiteTime) -> int:
        return len(differences(one, other))

    if not first:
        return (None, *(runs[0] if runs else None for runs in others))
    reference = min(
        first, key=lambda one: sum(min(apart(one, run) for run in runs) for runs in others if runs)
    )
    return (
        reference,
        *(min(runs, key=lambda one: apart(reference, one)) if runs else None for runs in others),
    )


def _ratios(
    sides: Sequence[SuiteTime | None], why_not: Callable[[SuiteTime, SuiteTime], list[str]]
) -> tuple[Ratio, ...]:
    return tuple(_ratio(sides[0], other, why_not) for other in sides[1:])


def _ratio(
    first: SuiteTime | None,
    other: SuiteTime | None,
    why_not: Callable[[SuiteTime, SuiteTime], list[str]],
) -> Ratio:
    if first is None or other is None:
        return Ratio(None, why="not measured on both")
    if first.run.emulated or other.run.emulated:
        return Ratio(None, why=REHEARSAL)
    if first.impossible or other.impossible:
        return Ratio(None, why="refused")
    if reasons := why_not(first, other):
        more = len(reasons) - _MOST_REASONS
        shown = [*reasons[:_MOST_REASONS], *([f"{more} more"] if more > 0 else [])]
        return Ratio(None, why=f"not comparable: {'; '.join(shown)}")
    marks = [statistics.system_versions(first.run.machine, other.run.machine)]
    marks += ["uncommitted changes"] if first.run.dirty or other.run.dirty else []
    span = None
    if first.run.assayed and other.run.assayed and 0 not in first.each:
        span = statistics.bootstrap_ratio(first.each, other.each)
    return Ratio(other.median / first.median, span, mark=", ".join(filter(None, marks)))
