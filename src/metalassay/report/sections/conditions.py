"""Under which conditions things were run: a row for each that occurred, however many files had it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from metalassay.machine.hardware import Hardware
from metalassay.report.machines import identity, names, natural
from metalassay.report.model import NO_VALUE, Table, counted
from metalassay.report.sections.benchmarks import MODES
from metalassay.report.sections.side_by_side import Compared
from metalassay.results.latest import (
    MEASUREMENTS,
    NOT_INSTALLED,
    PACKAGES,
    SEARCHES,
    SETS,
    FileGroup,
)
from metalassay.results.parse import Measurement

MOST_ROWS = 100
MOST_DOUBTS = 20

_HEAD = ("machine", "system", *PACKAGES, "device", "power mode", "threads", "malloc")
# What should be the same on compared machines; the rest is the machine's own or is told elsewhere.
# The system's version counts on MPS alone, as in stats.comparable: macOS brings its compiler along.
_SHOULD_AGREE = ("system", "python", "torch", "power mode", "threads", "malloc")


Settings = tuple[str, ...]
"""The cells of a row up to the files: what the conditions were."""


@dataclass
class _Seen:
    """What had one set of conditions: files, how much of each kind they held, the first and the last."""

    first: datetime
    last: datetime
    files: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, group: FileGroup) -> None:
        self.files += group.files
        self.kinds[group.kind] += group.measurements or group.files
        self.first, self.last = min(self.first, group.first), max(self.last, group.last)

    def cells(self) -> tuple[str, ...]:
        holds = ", ".join(_several(number, kind) for kind, number in self.kinds.items())
        first, last = (f"{moment:%Y-%m-%d %H:%M}" for moment in (self.first, self.last))
        return f"{self.files:,}", holds, first if first == last else f"{first} to {last}"


def table(
    groups: Sequence[FileGroup], measured: Sequence[Measurement], compared: Compared
) -> Table | None:
    """Return the conditions, those that differ between the compared machines marked; None if none.

    ``groups`` are all files, ``measured`` the newest measurements, of which doubts are told. Version
    sets are one row a machine and Python: how their versions differ is what the compatibility table
    is about.
    """
    called = names(group.machine for group in groups)
    rows: dict[Settings, _Seen] = {}
    machines: dict[Settings, Hardware] = {}
    for group in groups:
        if group.kind in (MEASUREMENTS, SEARCHES):
            key = _settings(group, called)
            rows.setdefault(key, _Seen(group.first, group.last)).add(group)
            if group.kind == MEASUREMENTS:
                machines[key] = identity(group.machine)
    rows.update(_version_sets([g for g in groups if g.kind in (SETS, NOT_INSTALLED)], called))
    if not rows:
        return None
    place = {name: number for number, name in enumerate(called.values())}
    ordered = sorted(rows, key=lambda key: (place[key[0]], *map(natural, key)))
    shown = ordered[:MOST_ROWS]
    return Table(
        caption="Under which conditions the files were made",
        head=(*_HEAD, "files", "hold", "when (UTC)"),
        rows=tuple((*key, *rows[key].cells()) for key in shown),
        numeric=(*[False] * len(_HEAD), True, False, False),
        notes=tuple(_notes(shown, ordered, rows, measured, called, compared, machines)),
        marked=frozenset(_differing(shown, compared, machines)),
    )


def _settings(group: FileGroup, called: dict[Hardware, str]) -> Settings:
    threads = NO_VALUE if group.threads is None else str(group.threads)
    return (
        *(called[identity(group.machine)], _system(group.machine)),
        *(version or NO_VALUE for version in group.versions),
        *(group.device, group.power_mode or NO_VALUE, threads, group.malloc or NO_VALUE),
    )


def _version_sets(
    groups: Iterable[FileGroup], called: dict[Hardware, str]
) -> dict[Settings, _Seen]:
    together: dict[tuple[str, str, str], list[FileGroup]] = {}
    for each in groups:
        python = each.versions[0] or NO_VALUE
        key = (called[identity(each.machine)], _system(each.machine), python)
        together.setdefault(key, []).append(each)
    rows: dict[Settings, _Seen] = {}
    for (machine, system, python), group in together.items():
        seen = _Seen(group[0].first, group[0].last)
        for each in group:
            seen.add(each)
        packages = (_one_or_count(group, number) for number in range(1, len(PACKAGES)))
        row = (machine, system, python, *packages, *[NO_VALUE] * 4)
        rows[row] = seen
    return rows


def _one_or_count(groups: Iterable[FileGroup], package: int) -> str:
    found = {version for each in groups if (version := each.versions[package])}
    return found.pop() if len(found) == 1 else f"{len(found)} versions" if found else NO_VALUE


def _system(machine: Hardware) -> str:
    return machine.release if machine.system == "Darwin" else f"{machine.system} {machine.release}"


def _several(number: int, what: str) -> str:
    plural = {
        SEARCHES: "searches for the largest batch",
        NOT_INSTALLED: "sets that could not be installed",
    }
    return counted(number, what, plural.get(what, ""))


def _differing(
    shown: Sequence[tuple[str, ...]],
    compared: Compared,
    machines: dict[tuple[str, ...], Hardware],
) -> Iterator[tuple[int, int]]:
    """Yield the cells whose value another of the compared machines does not have.

    A machine of which the value is not known differs in nothing.
    """
    if len(compared.machines) < 2:
        return
    rows = [
        (number, key, machines[key])
        for number, key in enumerate(shown)
        if machines.get(key) in compared.machines
    ]
    for name in _SHOULD_AGREE:
        column = _HEAD.index(name)
        values: dict[Hardware, set[str]] = {}
        counting = [
            (number, key[column], machine)
            for number, key, machine in rows
            if key[column] != NO_VALUE
            and (name != "system" or key[_HEAD.index("device")].startswith("mps"))
        ]
        for _, value, machine in counting:
            values.setdefault(machine, set()).add(value)
        for number, value, _ in counting:
            if any(value not in each for each in values.values()):
                yield number, column


def _notes(
    shown: Sequence[tuple[str, ...]],
    ordered: Sequence[tuple[str, ...]],
    rows: dict[tuple[str, ...], _Seen],
    measured: Iterable[Measurement],
    called: dict[Hardware, str],
    compared: Compared,
    machines: dict[tuple[str, ...], Hardware],
) -> Iterator[str]:
    differing = sorted({_HEAD[column] for _, column in _differing(shown, compared, machines)})
    if differing:
        yield (
            f"Marked: what is not the same on the compared machines ({', '.join(differing)}). Where no "
            "ratio may be formed for it, the row of the comparison says so."
        )
    if len(ordered) > len(shown):
        files = sum(rows[key].files for key in ordered[len(shown) :])
        yield (
            f"{len(ordered) - len(shown)} further conditions, in {counted(files, 'file')}, "
            "are not shown."
        )
    yield from _doubtful(measured, called)


def _doubtful(measured: Iterable[Measurement], called: dict[Hardware, str]) -> Iterator[str]:
    """Yield what makes times doubtful: each kind once a machine, with how often and an example."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in measured:
        for mark in one.flags:
            # "drifted: by +12 %" and "drifted: by +30 %" are of one kind
            kind = re.sub(r"\d[\d.,]*", "N", mark)
            name = f"{one.workload} {MODES[one.mode]}, batch {one.batch_size}: {mark}"
            found.setdefault((kind, called[identity(one.machine)]), []).append(name)
    for (_, machine), flags in list(found.items())[:MOST_DOUBTS]:
        first = f"Doubtful on {machine}: {flags[0]}"
        yield f"{first}; {len(flags) - 1} more of the kind." if len(flags) > 1 else f"{first}."
    if len(found) > MOST_DOUBTS:
        yield f"{len(found) - MOST_DOUBTS} further kinds of doubt are not listed."
