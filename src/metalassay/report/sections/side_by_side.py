"""Which machines are compared, and the measurements in each row of the comparison; no text yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from metalassay.errors import UserError
from metalassay.machine.chips import Chip
from metalassay.machine.hardware import Hardware
from metalassay.report import statistics
from metalassay.report.machines import identity, names
from metalassay.report.sections.benchmarks import (
    Figures,
    FindChip,
    device_name,
    figures,
    latest,
    row_label,
    workload_order,
)
from metalassay.results.parse import LargestBatch, Measurement

MOST_MACHINES = 5
"""Shown side by side unless machines are named; a wider table is hard to read."""
_CANDIDATES = 20  # newest runs of a row on one machine that are considered for the comparison

Key = tuple[str, str, int, str, str]
"""Workload, mode, batch size, dtype, device."""
BatchKey = tuple[str, str, str, str]
"""Workload, mode, dtype, device."""
Side = tuple[Measurement, Figures]


@dataclass(frozen=True)
class Ratio:
    """The second throughput over the first; ``value`` is None if there is none, and ``why`` says why.

    ``span`` is the 95 % bootstrap interval over the processes of both, None if they were too few.
    """

    value: float | None
    span: tuple[float, float] | None = None
    why: str = ""


@dataclass(frozen=True)
class Row:
    """One workload under one set of conditions: one side per machine, None where it was not measured.

    ``ratios`` are those of each further machine over the first.
    """

    key: Key
    sides: tuple[Side | None, ...]
    ratios: tuple[Ratio, ...]

    @property
    def unit(self) -> str:
        """The unit of the throughputs, per second."""
        return next(side[0].unit for side in self.sides if side)

    @property
    def label(self) -> str:
        """The name of the row, as in "transit-cnn training, batch 64 (float32, mps)"."""
        return row_label(*self.key)


@dataclass(frozen=True)
class Compared:
    """The machines side by side, in the order of ``machines.in_order``; there may be one or none.

    ``names`` are complete, ``short`` the shortest that are unambiguous. ``left_out`` counts the
    machines that are not shown.
    """

    machines: tuple[Hardware, ...]
    names: tuple[str, ...]
    short: tuple[str, ...]
    chips: tuple[Chip | None, ...]
    rows: tuple[Row, ...]
    batches: Mapping[BatchKey, tuple[LargestBatch | None, ...]]
    left_out: int = 0


def of(
    measurements: Sequence[Measurement],
    find_chip: FindChip,
    batches: Iterable[LargestBatch] = (),
    wanted: Sequence[str] = (),
) -> Compared:
    """Put the machines side by side.

    ``wanted`` are names or chips of machines, as typed by users; by default the ``MOST_MACHINES`` with
    the most measurements are shown. Raises ``UserError`` for a name that no machine has.
    """
    batches = list(batches)
    all_machines = [one.machine for one in measurements] + [one.machine for one in batches]
    name_of = names(all_machines)
    shown = _chosen(name_of, wanted, all_machines)
    short = [machine.chip or name_of[machine] for machine in shown]
    if len(set(short)) < len(short):
        short = [name_of[machine] for machine in shown]
    chips = [find_chip(machine) for machine in shown]
    rows = []
    for key, candidates in _by_key(measurements, shown).items():
        picked = zip(_most_alike(candidates), chips, strict=True)
        sides = tuple((one, figures(one, chip)) if one else None for one, chip in picked)
        rows.append(Row(key, sides, tuple(_ratio(sides[0], other) for other in sides[1:])))
    return Compared(
        machines=tuple(shown),
        names=tuple(name_of[machine] for machine in shown),
        short=tuple(short),
        chips=tuple(chips),
        rows=tuple(rows),
        batches=_batches(batches, shown),
        left_out=len(name_of) - len(shown),
    )


def _chosen(
    name_of: Mapping[Hardware, str], wanted: Sequence[str], all_machines: Iterable[Hardware]
) -> list[Hardware]:
    """Return the machines to show, in the order of ``name_of``."""
    chosen: set[Hardware] = set()
    for text in wanted:
        plain = " ".join(text.split()).lower()
        # "Apple M4" is the chip itself, though it is part of the name of every M4 Pro as well.
        exact = {
            m for m, name in name_of.items() if plain in ((m.chip or "").lower(), name.lower())
        }
        matching = exact or {m for m, name in name_of.items() if plain and plain in name.lower()}
        if not matching:
            raise UserError(
                f"no machine is called {text!r}",
                f"name one of: {'; '.join(name_of.values()) or 'none was read'}",
            )
        chosen |= matching
    if not wanted:
        counts = Counter(map(identity, all_machines))
        chosen |= set(sorted(name_of, key=lambda machine: -counts[machine])[:MOST_MACHINES])
    return [machine for machine in name_of if machine in chosen]


def _by_key(
    measurements: Sequence[Measurement], machines: Sequence[Hardware]
) -> dict[Key, list[list[Measurement]]]:
    """Group measurements by row, in the order of the tables, and by machine, the newest first."""
    column = {machine: number for number, machine in enumerate(machines)}
    rows: dict[Key, list[list[Measurement]]] = {}
    for one in sorted(latest(measurements), key=lambda m: m.when, reverse=True):
        number = column.get(identity(one.machine))
        if number is None:
            continue
        key = (one.workload, one.mode, one.batch_size, one.dtype, device_name(one))
        row = rows.setdefault(key, [[] for _ in machines])
        row[number].append(one)
    return dict(sorted(rows.items(), key=lambda item: _order(item[0])))


def _order(key: Key) -> tuple[object, ...]:
    workload, mode, batch_size, dtype, device = key
    return (*workload_order(workload, mode), batch_size, dtype, device)


def _most_alike(candidates: Sequence[Sequence[Measurement]]) -> list[Measurement | None]:
    """Pick one measurement per machine so that they differ in as little as possible but the machine.

    For a single machine, pick the newest with the most threads: one thread does not show what a CPU can do.
    """
    first, *others = (runs[:_CANDIDATES] for runs in candidates)
    if first and not others:
        return [max(first, key=lambda one: one.threads)]

    def most_alike(to: Measurement, among: Sequence[Measurement]) -> Measurement:
        return min(among, key=lambda one: len(statistics.differences(to, one)))

    if not first:
        return [None, *(runs[0] if runs else None for runs in others)]
    reference = min(
        first,
        key=lambda one: sum(
            len(statistics.differences(one, most_alike(one, runs))) for runs in others if runs
        ),
    )
    return [reference, *(most_alike(reference, runs) if runs else None for runs in others)]


def _ratio(first: Side | None, other: Side | None) -> Ratio:
    if first is None or other is None:
        return Ratio(None, why="not measured on both")
    if first[1].refused or other[1].refused:
        return Ratio(None, why="refused")
    if reasons := statistics.differences(first[0], other[0]):
        return Ratio(None, why=f"not comparable: {'; '.join(reasons)}")
    return Ratio(
        statistics.ratio(first[1].rate, other[1].rate), _over_processes(first[0], other[0])
    )


def _over_processes(a: Measurement, b: Measurement) -> tuple[float, float] | None:
    """Return the interval of the ratio over processes, None unless both ran in several."""
    if min(a.processes, b.processes) == 1:
        return None
    rates = [[one.items_per_call / seconds for seconds in one.seconds] for one in (a, b)]
    return statistics.bootstrap_ratio(rates[0], rates[1])


def _batches(
    batches: Iterable[LargestBatch], machines: Sequence[Hardware]
) -> dict[BatchKey, tuple[LargestBatch | None, ...]]:
    """Group searches for the largest batch by row and machine; the newest of several is used."""
    column = {machine: number for number, machine in enumerate(machines)}
    rows: dict[BatchKey, list[LargestBatch | None]] = {}
    for one in sorted(batches, key=lambda search: (search.when, search.file)):
        number = column.get(identity(one.machine))
        if number is None:
            continue
        key = (one.workload, one.mode, one.dtype, device_name(one))
        rows.setdefault(key, [None] * len(machines))[number] = one
    ordered = sorted(rows.items(), key=lambda item: _order((*item[0][:2], 0, *item[0][2:])))
    return {key: tuple(row) for key, row in ordered}
