"""Under which conditions things were run: a row for each that occurred, however many files had it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from metalassay.hardware import Hardware
from metalassay.records import LargestBatch, Measurement, VersionSet
from metalassay.report.benchmarks import MODES, device_name
from metalassay.report.compared import Compared
from metalassay.report.machines import identity, names, natural
from metalassay.report.rows import NO_VALUE, Table, counted

MOST_ROWS = 100
MOST_DOUBTS = 20

_PACKAGES = ("python", "torch", "accelerate", "transformers")
_HEAD = ("machine", "system", *_PACKAGES, "device", "power mode", "threads", "malloc")
# What should be the same on compared machines; the rest is the machine's own or is told elsewhere.
# The system's version counts on MPS alone, as in stats.comparable: macOS brings its compiler along.
_SHOULD_AGREE = ("system", "python", "torch", "power mode", "threads", "malloc")


@dataclass
class _Seen:
    """What had one set of conditions: files, and how much of each kind they held."""

    files: set[str] = field(default_factory=set)
    kinds: dict[str, int] = field(default_factory=dict)
    moments: list[datetime] = field(default_factory=list)  # the first and the last

    def add(self, kind: str, file: str, when: datetime) -> None:
        self.files.add(file)
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        self.moments = [min([*self.moments, when]), max([*self.moments, when])]

    def cells(self) -> tuple[str, ...]:
        holds = ", ".join(_several(number, kind) for kind, number in self.kinds.items())
        first, last = (f"{moment:%Y-%m-%d %H:%M}" for moment in self.moments)
        return str(len(self.files)), holds, first if first == last else f"{first} to {last}"


def table(
    sets: Sequence[VersionSet],
    measured: Sequence[Measurement],
    batches: Sequence[LargestBatch],
    compared: Compared,
) -> Table | None:
    """Return the conditions, those that differ between the compared machines marked; None if none.

    Version sets are one row a machine and Python: how their versions differ is what the
    compatibility table is about.
    """
    called = names(
        [
            *(one.machine for one in measured),
            *(batch.machine for batch in batches),
            *(each.hardware for each in sets),
        ]
    )
    rows: dict[tuple[str, ...], _Seen] = {}
    machines: dict[tuple[str, ...], Hardware] = {}
    for one in measured:
        machine = identity(one.machine)
        threads = str(one.threads) if one.device == "cpu" else NO_VALUE
        malloc = one.malloc if one.device == "cpu" else NO_VALUE
        key = (
            *(called[machine], _system(one.machine)),
            *(one.versions.get(package, NO_VALUE) for package in _PACKAGES),
            *(device_name(one), one.power_mode or NO_VALUE, threads, malloc),
        )
        machines[key] = machine
        rows.setdefault(key, _Seen()).add("measurement", one.file, one.when)
    for batch in batches:
        key = (
            *(called[identity(batch.machine)], _system(batch.machine)),
            *(batch.versions.get(package, NO_VALUE) for package in _PACKAGES),
            *(batch.device, NO_VALUE, str(batch.threads), batch.malloc),
        )
        rows.setdefault(key, _Seen()).add("search for the largest batch", batch.file, batch.when)
    rows.update(_version_sets(sets, called))
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


def _version_sets(
    sets: Iterable[VersionSet], called: dict[Hardware, str]
) -> dict[tuple[str, ...], _Seen]:
    groups: dict[tuple[str, str, str], list[VersionSet]] = {}
    for each in sets:
        python = each.versions.get("python", NO_VALUE)
        key = (called[identity(each.hardware)], _system(each.hardware), python)
        groups.setdefault(key, []).append(each)
    rows: dict[tuple[str, ...], _Seen] = {}
    for (machine, system, python), group in groups.items():
        seen = _Seen()
        for each in group:
            kind = "set that could not be installed" if each.not_installable else "version set"
            seen.add(kind, each.file, each.started)
        packages = (_one_or_count(group, package) for package in _PACKAGES[1:])
        row = (machine, system, python, *packages, *[NO_VALUE] * 4)
        rows[row] = seen
    return rows


def _one_or_count(group: Iterable[VersionSet], package: str) -> str:
    found = {each.versions[package] for each in group if package in each.versions}
    return found.pop() if len(found) == 1 else f"{len(found)} versions" if found else NO_VALUE


def _system(machine: Hardware) -> str:
    return machine.release if machine.system == "Darwin" else f"{machine.system} {machine.release}"


def _several(number: int, what: str) -> str:
    plural = {
        "search for the largest batch": "searches for the largest batch",
        "set that could not be installed": "sets that could not be installed",
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
        files = sum(len(rows[key].files) for key in ordered[len(shown) :])
        yield (
            f"{len(ordered) - len(shown)} further conditions, in {counted(files, 'file')}, "
            "are not shown."
        )
    yield from _doubtful(measured, called)


def _doubtful(measured: Iterable[Measurement], called: dict[Hardware, str]) -> Iterator[str]:
    """Yield what makes times doubtful: each kind once a machine, with how often and an example."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in measured:
        for mark in one.marks:
            # "drifted: by +12 %" and "drifted: by +30 %" are of one kind
            kind = re.sub(r"\d[\d.,]*", "N", mark)
            name = f"{one.workload} {MODES[one.mode]}, batch {one.batch_size}: {mark}"
            found.setdefault((kind, called[identity(one.machine)]), []).append(name)
    for (_, machine), marks in list(found.items())[:MOST_DOUBTS]:
        first = f"Doubtful on {machine}: {marks[0]}"
        yield f"{first}; {len(marks) - 1} more of the kind." if len(marks) > 1 else f"{first}."
    if len(found) > MOST_DOUBTS:
        yield f"{len(found) - MOST_DOUBTS} further kinds of doubt are not listed."
