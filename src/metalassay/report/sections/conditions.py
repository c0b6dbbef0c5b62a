"""The conditions under which things were run: one row per set of conditions, for any number of files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from metalassay.machine.hardware import Hardware
from metalassay.report import statistics
from metalassay.report.machines import identity, names, natural, system_name
from metalassay.report.model import NO_VALUE, Table, counted, not_shown
from metalassay.report.sections.benchmarks import row_label
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

_HEAD = (
    *("machine", "system", *PACKAGES, "device"),
    *("power mode", "thermal pressure", "threads", "malloc"),
)
# What should agree between compared machines. The version of the system is marked on MPS only: macOS
# includes the MPS compiler. It does not rule a ratio out, see statistics.system_versions.
_SHOULD_AGREE = ("system", "python", "torch", "power mode", "threads", "malloc")


Settings = tuple[str, ...]
"""The cells of a row that describe the conditions."""


@dataclass
class _Seen:
    """What ran under one set of conditions: files, their contents by kind, and the first and last time."""

    first: datetime
    last: datetime
    files: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, group: FileGroup) -> None:
        self.files += group.files
        self.kinds[group.kind] += group.measurements or group.files
        self.first, self.last = min(self.first, group.first), max(self.last, group.last)

    def cells(self) -> tuple[str, ...]:
        contents = ", ".join(_several(number, kind) for kind, number in self.kinds.items())
        first, last = (f"{moment:%Y-%m-%d %H:%M}" for moment in (self.first, self.last))
        return f"{self.files:,}", contents, first if first == last else f"{first} to {last}"


def table(
    groups: Sequence[FileGroup], measured: Sequence[Measurement], compared: Compared
) -> Table | None:
    """Return the conditions, with differences between the compared machines marked; None without a file.

    ``groups`` are all files, ``measured`` the newest measurements, whose flags are listed. Version
    sets get one row per machine and Python; the compatibility table shows their versions.
    """
    name_of = names(group.machine for group in groups)
    rows: dict[Settings, _Seen] = {}
    machines: dict[Settings, Hardware] = {}
    for group in groups:
        if group.kind in (MEASUREMENTS, SEARCHES):
            key = _settings(group, name_of)
            rows.setdefault(key, _Seen(group.first, group.last)).add(group)
            if group.kind == MEASUREMENTS:
                machines[key] = identity(group.machine)
    rows.update(_version_sets([g for g in groups if g.kind in (SETS, NOT_INSTALLED)], name_of))
    if not rows:
        return None
    place = {name: number for number, name in enumerate(name_of.values())}
    ordered = sorted(rows, key=lambda key: (place[key[0]], *map(natural, key)))
    shown = ordered[:MOST_ROWS]
    return Table(
        caption="Conditions under which the files were made",
        head=(*_HEAD, "files", "contents", "when (UTC)"),
        rows=tuple((*key, *rows[key].cells()) for key in shown),
        numeric=(*[False] * len(_HEAD), True, False, False),
        notes=tuple(_notes(shown, ordered, rows, measured, name_of, compared, machines)),
        marked=frozenset(_differing(shown, compared, machines)),
    )


def _settings(group: FileGroup, name_of: dict[Hardware, str]) -> Settings:
    threads = NO_VALUE if group.threads is None else str(group.threads)
    return (
        *(name_of[identity(group.machine)], system_name(group.machine)),
        *(version or NO_VALUE for version in group.versions),
        *(group.device, group.power_mode or NO_VALUE, group.thermal_pressure or NO_VALUE),
        *(threads, group.malloc or NO_VALUE),
    )


def _version_sets(
    groups: Iterable[FileGroup], name_of: dict[Hardware, str]
) -> dict[Settings, _Seen]:
    together: dict[tuple[str, str, str], list[FileGroup]] = {}
    for group in groups:
        python = group.versions[0] or NO_VALUE
        key = (name_of[identity(group.machine)], system_name(group.machine), python)
        together.setdefault(key, []).append(group)
    rows: dict[Settings, _Seen] = {}
    for (machine, system, python), members in together.items():
        seen = _Seen(members[0].first, members[0].last)
        for member in members:
            seen.add(member)
        packages = (_one_or_count(members, number) for number in range(1, len(PACKAGES)))
        row = (machine, system, python, *packages, *[NO_VALUE] * 5)
        rows[row] = seen
    return rows


def _one_or_count(groups: Iterable[FileGroup], package: int) -> str:
    versions = {version for group in groups if (version := group.versions[package])}
    if len(versions) == 1:
        return versions.pop()
    return f"{len(versions)} versions" if versions else NO_VALUE


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
    """Yield the cells whose value does not occur on every other compared machine.

    An unknown value counts as no difference.
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
            values.setdefault(machine, set()).add(statistics.public(value))
        for number, value, _ in counting:
            if any(statistics.public(value) not in own for own in values.values()):
                yield number, column


def _notes(
    shown: Sequence[tuple[str, ...]],
    ordered: Sequence[tuple[str, ...]],
    rows: dict[tuple[str, ...], _Seen],
    measured: Iterable[Measurement],
    name_of: dict[Hardware, str],
    compared: Compared,
    machines: dict[tuple[str, ...], Hardware],
) -> Iterator[str]:
    differing = sorted({_HEAD[column] for _, column in _differing(shown, compared, machines)})
    if differing:
        yield (
            f"Marked: what differs between the compared machines ({', '.join(differing)}). Where it rules "
            "out a ratio, the row of the comparison says so."
        )
    if len(ordered) > len(shown):
        files = sum(rows[key].files for key in ordered[len(shown) :])
        where = f" (in {counted(files, 'file')})"
        yield not_shown(len(ordered) - len(shown), "further row", where)
    yield from _flagged(measured, name_of)


def _flagged(measured: Iterable[Measurement], name_of: dict[Hardware, str]) -> Iterator[str]:
    """Yield each kind of flag once per machine, with an example and the number of measurements."""
    flagged: dict[tuple[str, str], list[str]] = {}
    for one in measured:
        for flag in one.flags:
            # "drifted: by +12 %" and "drifted: by +30 %" are of one kind
            kind = re.sub(r"\d[\d.,]*", "N", flag)
            text = f"{row_label(one.workload, one.mode, one.batch_size)}: {flag}"
            flagged.setdefault((kind, name_of[identity(one.machine)]), []).append(text)
    for (_, machine), texts in list(flagged.items())[:MOST_DOUBTS]:
        first = f"Doubtful on {machine}: {texts[0]}"
        yield f"{first}; {len(texts) - 1} more of this kind." if len(texts) > 1 else f"{first}."
    if len(flagged) > MOST_DOUBTS:
        number = len(flagged) - MOST_DOUBTS
        yield not_shown(number, "further kind", " of doubt", "listed")
