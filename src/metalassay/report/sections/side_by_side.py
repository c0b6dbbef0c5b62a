"""Which machines are compared, and what each of them did in the rows of the comparison; no text yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from metalassay.errors import UserError
from metalassay.machine.chips import Chip
from metalassay.machine.hardware import Hardware
from metalassay.report import statistics
from metalassay.report.machines import identity, names, natural
from metalassay.report.sections.benchmarks import (
    MODES,
    WORKLOADS,
    Figures,
    FindChip,
    device_name,
    figures,
    latest,
)
from metalassay.results.parse import LargestBatch, Measurement

MOST_MACHINES = 5
"""So many stand side by side unless they are named; more columns nobody reads."""
_CANDIDATES = 20  # runs of one row on one machine that are held against those of the others

Key = tuple[str, str, int, str, str]
"""Workload, mode, batch size, dtype, device."""
BatchKey = tuple[str, str, str, str]
"""Workload, mode, dtype, device."""
Side = tuple[Measurement, Figures]


@dataclass(frozen=True)
class Ratio:
    """The second throughput over the first. ``value`` is None where there is none, for the reason ``why``.

    ``span`` is where 95 % of it lies over the processes of both, None where they were too few.
    """

    value: float | None
    span: tuple[float, float] | None = None
    why: str = ""


@dataclass(frozen=True)
class Row:
    """One workload under one set of conditions: a side a machine, None where it was not measured.

    ``ratios`` are those of each further machine to the first.
    """

    key: Key
    sides: tuple[Side | None, ...]
    ratios: tuple[Ratio, ...]

    @property
    def unit(self) -> str:
        """What the throughputs count."""
        return next(side[0].unit for side in self.sides if side)

    @property
    def label(self) -> str:
        """Name the row, as in "transit-cnn training, batch 64 (float32, mps)"."""
        workload, mode, _, _, _ = self.key
        return f"{workload} {MODES[mode]}, {conditions(self.key)}"


@dataclass(frozen=True)
class Compared:
    """The machines side by side, in the order of ``machines.in_order``; one or none compare nothing.

    ``names`` are long, ``short`` as short as still tells them apart. ``left_out`` counts machines
    that are not shown.
    """

    machines: tuple[Hardware, ...]
    names: tuple[str, ...]
    short: tuple[str, ...]
    chips: tuple[Chip | None, ...]
    rows: tuple[Row, ...]
    batches: Mapping[BatchKey, tuple[LargestBatch | None, ...]]
    left_out: int = 0


def conditions(key: Key) -> str:
    """Return "batch 64 (float32, mps)"."""
    _, _, batch_size, dtype, device = key
    return f"batch {batch_size} ({dtype}, {device})"


def of(
    measurements: Sequence[Measurement],
    find_chip: FindChip,
    batches: Iterable[LargestBatch] = (),
    wanted: Sequence[str] = (),
) -> Compared:
    """Put the machines side by side.

    ``wanted`` are names or chips of machines, as people type them; without, at most ``MOST_MACHINES``
    that were measured most. Raises ``UserError`` for a name that no machine has.
    """
    batches = list(batches)
    everyone = [*(one.machine for one in measurements), *(each.machine for each in batches)]
    called = names(everyone)
    shown = _chosen(called, wanted, everyone)
    short = [machine.chip or called[machine] for machine in shown]
    if len(set(short)) < len(short):
        short = [called[machine] for machine in shown]
    chips = [find_chip(machine) for machine in shown]
    rows = []
    for key, candidates in _by_key(measurements, shown).items():
        picked = zip(_most_alike(candidates), chips, strict=True)
        sides = tuple((one, figures(one, chip)) if one else None for one, chip in picked)
        rows.append(Row(key, sides, tuple(_ratio(sides[0], other) for other in sides[1:])))
    return Compared(
        machines=tuple(shown),
        names=tuple(called[machine] for machine in shown),
        short=tuple(short),
        chips=tuple(chips),
        rows=tuple(rows),
        batches=_batches(batches, shown),
        left_out=len(called) - len(shown),
    )


def _chosen(
    called: Mapping[Hardware, str], wanted: Sequence[str], everyone: Iterable[Hardware]
) -> list[Hardware]:
    """Return the machines to show, in the order of ``called``."""
    found: set[Hardware] = set()
    for text in wanted:
        plain = " ".join(text.split()).lower()
        # "Apple M4" is a chip by itself, though every M4 Pro has it in its name too.
        exact = {m for m, name in called.items() if plain in ((m.chip or "").lower(), name.lower())}
        alike = exact or {m for m, name in called.items() if plain and plain in name.lower()}
        if not alike:
            raise UserError(
                f"no machine is called {text!r}",
                f"name one of: {'; '.join(called.values()) or 'none was read'}",
            )
        found |= alike
    if wanted:
        return [machine for machine in called if machine in found]
    if len(called) <= MOST_MACHINES:
        return list(called)
    counts = Counter(map(identity, everyone))
    most = sorted(called, key=lambda machine: -counts[machine])[:MOST_MACHINES]
    return [machine for machine in called if machine in set(most)]


def _by_key(
    measurements: Sequence[Measurement], machines: Sequence[Hardware]
) -> dict[Key, list[list[Measurement]]]:
    """Sort measurements into rows, in the order of the tables, and machines, the newest first."""
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
    known = list(WORKLOADS)
    place = known.index(workload) if workload in known else len(known)
    return (place, natural(workload), list(MODES).index(mode), batch_size, dtype, device)


def _most_alike(candidates: Sequence[Sequence[Measurement]]) -> list[Measurement | None]:
    """Pick one measurement a machine, so that they differ in as little as possible but the machine.

    Of a machine alone the newest with the most threads: one thread does not say what a CPU reaches.
    """
    first, *others = (each[:_CANDIDATES] for each in candidates)
    if first and not others:
        return [max(first, key=lambda one: one.threads)]

    def nearest(to: Measurement, among: Sequence[Measurement]) -> Measurement:
        return min(among, key=lambda one: len(statistics.comparable(to, one)))

    if not first:
        return [None, *(each[0] if each else None for each in others)]
    reference = min(
        first,
        key=lambda one: sum(
            len(statistics.comparable(one, nearest(one, each))) for each in others if each
        ),
    )
    return [reference, *(nearest(reference, each) if each else None for each in others)]


def _ratio(first: Side | None, other: Side | None) -> Ratio:
    if first is None or other is None:
        return Ratio(None, why="not measured on both")
    if first[1].refused or other[1].refused:
        return Ratio(None, why="refused")
    if reasons := statistics.comparable(first[0], other[0]):
        return Ratio(None, why=f"not comparable: {'; '.join(reasons)}")
    return Ratio(
        statistics.ratio(first[1].rate, other[1].rate), _over_processes(first[0], other[0])
    )


def _over_processes(a: Measurement, b: Measurement) -> tuple[float, float] | None:
    """Return how the ratio varies from process to process, where both ran in several."""
    if min(a.processes, b.processes) == 1:
        return None
    # times of a call turn over into throughputs
    rates = [[one.items_per_call / seconds for seconds in one.seconds] for one in (a, b)]
    return statistics.ratio_over_processes(rates[0], rates[1])


def _batches(
    batches: Iterable[LargestBatch], machines: Sequence[Hardware]
) -> dict[BatchKey, tuple[LargestBatch | None, ...]]:
    """Sort searches for the largest batch into rows and machines; of several, the newest stands."""
    column = {machine: number for number, machine in enumerate(machines)}
    rows: dict[BatchKey, list[LargestBatch | None]] = {}
    for one in sorted(batches, key=lambda each: (each.when, each.file)):
        number = column.get(identity(one.machine))
        if number is None:
            continue
        device = f"{one.device} (emulated)" if one.emulated else one.device
        key = (one.workload, one.mode, one.dtype, device)
        rows.setdefault(key, [None] * len(machines))[number] = one
    ordered = sorted(rows.items(), key=lambda item: _order((*item[0][:2], 0, *item[0][2:])))
    return {key: tuple(row) for key, row in ordered}
