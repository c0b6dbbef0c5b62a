"""Which machines are compared, and the measurements in each row of the comparison; no text yet."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from metalassay.errors import UserError
from metalassay.fields import one_line
from metalassay.machine.chips import Chip
from metalassay.machine.hardware import Hardware
from metalassay.report import statistics
from metalassay.report.machines import identity, marked, names, rehearsed
from metalassay.report.model import REHEARSAL
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
    """A figure of the second machine over that of the first; if ``value`` is None, ``why`` says why.

    ``span`` is the interval of the ratio, None where there is none: for speed, bandwidth and power the 95 %
    bootstrap interval over the processes of both, for the largest batch what the searches leave open.
    ``mark`` is a difference that does not rule the ratio out, as in "macOS 15.5 / 26.1".
    """

    value: float | None
    span: tuple[float, float] | None = None
    why: str = ""
    mark: str = ""


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
    rehearsals = rehearsed([*measurements, *batches])
    chips = [find_chip(machine) for machine in shown]
    rows = []
    for key, candidates in _by_key(measurements, shown).items():
        picked = zip(_most_alike(candidates), chips, strict=True)
        sides = tuple((one, figures(one, chip)) if one else None for one, chip in picked)
        rows.append(Row(key, sides, _speed_ratios(sides)))
    return Compared(
        machines=tuple(shown),
        names=tuple(marked(name_of[machine], machine, rehearsals) for machine in shown),
        short=tuple(map(marked, short, shown, [rehearsals] * len(shown))),
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
        found = matching(name_of, text)
        if not found:
            raise UserError(
                f"no machine is called {text!r}",
                f"name one of: {'; '.join(name_of.values()) or 'none was read'}",
            )
        chosen |= found
    if not wanted:
        counts = Counter(map(identity, all_machines))
        chosen |= set(sorted(name_of, key=lambda machine: -counts[machine])[:MOST_MACHINES])
    return [machine for machine in name_of if machine in chosen]


def matching(name_of: Mapping[Hardware, str], text: str) -> set[Hardware]:
    """Return the machines that somebody may mean by a text: a chip, a name or a part of one."""
    plain = one_line(text).lower()
    # "Apple M4" is the chip itself, though it is part of the name of every M4 Pro as well.
    exact = {m for m, name in name_of.items() if plain in ((m.chip or "").lower(), name.lower())}
    return exact or {m for m, name in name_of.items() if plain and plain in name.lower()}


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

    def apart(one: Measurement, other: Measurement) -> float:
        # The same system is better, but no reason to compare what ran under other conditions.
        systems = statistics.system_versions(one.machine, other.machine)
        return len(statistics.differences(one, other)) + (0.01 if systems else 0.0)

    def most_alike(to: Measurement, among: Sequence[Measurement]) -> Measurement:
        return min(among, key=lambda one: apart(to, one))

    if not first:
        return [None, *(runs[0] if runs else None for runs in others)]
    reference = min(
        first,
        key=lambda one: sum(apart(one, most_alike(one, runs)) for runs in others if runs),
    )
    return [reference, *(most_alike(reference, runs) if runs else None for runs in others)]


def ratios(
    sides: Sequence[Side | None], values: Callable[[Measurement], Sequence[float]]
) -> tuple[Ratio, ...]:
    """Return the ratio of each further side over the first.

    ``values`` returns a figure of a measurement, one value per process; of several, the median counts.
    """
    return tuple(_ratio(sides[0], other, values) for other in sides[1:])


def best(rows: Iterable[Row]) -> Row | None:
    """Return the row to show of one workload, mode, dtype and device; None of none.

    It is one with a ratio if there is any, preferably with an interval, or else one that most machines
    have; of several, that of the batch size at which the first machine is fastest.
    """

    def order(row: Row) -> tuple[int, int, int, float]:
        rates = [side[1].rate.median for side in row.sides if side and not side[1].refused]
        return (
            sum(ratio.value is not None for ratio in row.ratios),
            sum(ratio.span is not None for ratio in row.ratios),
            len(rates),
            rates[0] if rates else 0.0,
        )

    return max(rows, key=order, default=None)


def watts_ratios(sides: Sequence[Side | None]) -> tuple[Ratio, ...]:
    """Return the ratios of the power, none where the watts are of other rails or from other tools."""
    return _same_counter(sides, ratios(sides, watts))


def per_watt_ratios(sides: Sequence[Side | None]) -> tuple[Ratio, ...]:
    """Return the ratios of the items per joule, none where the watts are of other rails or tools."""
    return _same_counter(sides, ratios(sides, per_watt))


def watts(one: Measurement) -> Sequence[float]:
    """Return the watts of each process that recorded them."""
    return one.each_watts or (() if one.watts is None else (one.watts,))


def per_watt(one: Measurement) -> Sequence[float]:
    """Return the items per joule of each process that recorded them."""
    values = one.each_per_watt or (() if one.per_watt is None else (one.per_watt,))
    return values if all(value > 0 for value in values) else ()


def _same_counter(sides: Sequence[Side | None], computed: Sequence[Ratio]) -> tuple[Ratio, ...]:
    def checked(ratio: Ratio, other: Side | None) -> Ratio:
        if ratio.value is None or not sides[0] or not other:
            return ratio
        counters = sides[0][0].watts_from, other[0].watts_from
        if counters[0] == counters[1]:
            return ratio
        return Ratio(None, why=f"not comparable: power of {counters[0]} and of {counters[1]}")

    return tuple(map(checked, computed, sides[1:]))


def _speed_ratios(sides: Sequence[Side | None]) -> tuple[Ratio, ...]:
    """Return the ratios of the throughputs as the cells show them: a median of times, not of rates."""
    return tuple(
        replace(ratio, value=statistics.ratio(sides[0][1].rate, other[1].rate))
        if ratio.value is not None and sides[0] and other
        else ratio
        for ratio, other in zip(ratios(sides, _rates), sides[1:], strict=True)
    )


def batch_ratios(searches: Sequence[LargestBatch | None]) -> tuple[Ratio, ...]:
    """Return the ratio of each further search for the largest batch over the first."""
    return tuple(_batch_ratio(searches[0], other) for other in searches[1:])


def _batch_ratio(first: LargestBatch | None, other: LargestBatch | None) -> Ratio:
    if first is None or other is None:
        return Ratio(None, why="not measured on both")
    if first.emulated or other.emulated:
        return Ratio(None, why=REHEARSAL)
    if reasons := statistics.search_differences(first, other):
        return Ratio(None, why=f"not comparable: {'; '.join(reasons)}")
    mark = statistics.system_versions(first.machine, other.machine)
    # The largest batch that fits is somewhere from ``largest`` to below ``limit``.
    least = other.largest / (first.limit - 1) if first.limit and first.limit > 1 else None
    most = (other.limit - 1) / first.largest if other.limit and first.largest else None
    if least is None or most is None:
        if least:
            return Ratio(None, why=f"at least {math.floor(100 * least) / 100:.2f}x", mark=mark)
        why = "" if most is None else f"at most {math.ceil(100 * most) / 100:.2f}x"
        return Ratio(None, why=why, mark=mark)
    return Ratio(other.largest / first.largest, (least, most), mark=mark)


def _rates(one: Measurement) -> list[float]:
    """Return the throughput of each process, or of the one process that there is."""
    if one.processes > 1:
        return [one.items_per_call / seconds for seconds in one.seconds]
    return [statistics.throughput(one.seconds, one.items_per_call).median]


def _ratio(
    first: Side | None, other: Side | None, values: Callable[[Measurement], Sequence[float]]
) -> Ratio:
    if first is None or other is None:
        return Ratio(None, why="not measured on both")
    if first[0].emulated or other[0].emulated:
        return Ratio(None, why=REHEARSAL)
    if first[1].refused or other[1].refused:
        return Ratio(None, why="refused")
    if reasons := statistics.differences(first[0], other[0]):
        return Ratio(None, why=f"not comparable: {'; '.join(reasons)}")
    base, compared = values(first[0]), values(other[0])
    if not base or not compared:
        return Ratio(None, why="not measured on both")
    return Ratio(
        median(compared) / median(base),
        statistics.bootstrap_ratio(base, compared),
        mark=statistics.system_versions(first[0].machine, other[0].machine),
    )


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
