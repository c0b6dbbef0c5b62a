"""Two machines or more side by side, in the shape in which people compare an M4 with an M4 Pro.

Every row of that shape is there; what nobody measured says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from metalassay import stats
from metalassay.chips import Chip
from metalassay.hardware import Hardware
from metalassay.records import Measurement
from metalassay.report.benchmarks import (
    MODES,
    WORKLOADS,
    Figures,
    FindChip,
    bandwidth,
    device_name,
    figures,
    latest,
    spread,
)
from metalassay.report.machines import identity, names, natural
from metalassay.report.rows import NO_VALUE, NOT_MEASURED, Table, significant

_CNN = "transit-cnn"

_NOBODY_MEASURES_YET = ("maximum batch size",)

_NOTE = (
    "A cell gives the median and, in brackets, the quartiles; a ratio is that of the medians. Two "
    "saved runs are two single processes: they cannot carry a confidence interval, so there is none, "
    "and a small difference may be chance."
)
_NOTE_ON_PROCESSES = (
    "Brackets behind a ratio: where 95 % of it lies when the processes of each side are drawn anew "
    "(bootstrap over processes). Runs of different days and machines are not paired, so this says how "
    "processes vary and not that the difference is significant."
)

Key = tuple[str, str, int, str, str]  # workload, mode, batch size, dtype, device
Side = tuple[Measurement, Figures]
Sides = Sequence["Side | None"]  # one a machine; None where it was not measured


def table(measurements: Sequence[Measurement], find_chip: FindChip) -> Table | None:
    """Return the comparison, or None when the measurements are of fewer than two machines.

    Ratios are to the first machine; an M4 comes before an M4 Pro.
    """
    called = names(one.machine for one in measurements)
    if len(called) < 2:
        return None
    chips = [find_chip(machine) for machine in called]
    sides: dict[Key, Sides] = {}
    for key, candidates in _by_key(measurements, called).items():
        picked = zip(_most_alike(candidates), chips, strict=True)
        sides[key] = [(one, figures(one, chip)) if one else None for one, chip in picked]
    refusals = (side[1].refused for row in sides.values() for side in row if side)
    short = [machine.chip or name for machine, name in called.items()]
    if len(set(short)) < len(short):
        short = list(called.values())
    return Table(
        caption=" vs ".join(short),
        head=("", *called.values(), *(f"{other} / {short[0]}" for other in short[1:])),
        rows=(
            *_throughputs(sides, len(called)),
            *_bandwidths(sides, chips),
            *_others(sides, len(called)),
        ),
        numeric=(False, *[True] * (2 * len(called) - 1)),
        notes=(
            _NOTE,
            *_on_processes(sides),
            *(f"refused: {reason}" for reason in dict.fromkeys(refusals) if reason),
        ),
    )


def _on_processes(sides: dict[Key, Sides]) -> Iterator[str]:
    if any(" [" in ratio for row in sides.values() for ratio in _ratios(row)):
        yield _NOTE_ON_PROCESSES


def _by_key(
    measurements: Sequence[Measurement], machines: Iterable[Hardware]
) -> dict[Key, list[list[Measurement]]]:
    """Sort measurements into rows and machines, the newest first."""
    order = list(machines)
    rows: dict[Key, list[list[Measurement]]] = {}
    for one in sorted(latest(measurements), key=lambda m: m.when, reverse=True):
        key = (one.workload, one.mode, one.batch_size, one.dtype, device_name(one))
        row = rows.setdefault(key, [[] for _ in order])
        row[order.index(identity(one.machine))].append(one)
    return dict(sorted(rows.items(), key=lambda item: (natural(item[0][0]), *item[0][2:])))


def _most_alike(candidates: Sequence[Sequence[Measurement]]) -> list[Measurement | None]:
    """Pick one measurement a machine, so that they differ in as little as possible but the machine."""
    first, *others = candidates

    def nearest(to: Measurement, among: Sequence[Measurement]) -> Measurement:
        return min(among, key=lambda one: len(stats.comparable(to, one)))

    if not first:
        return [None, *(each[0] if each else None for each in others)]
    reference = min(
        first,
        key=lambda one: sum(
            len(stats.comparable(one, nearest(one, each))) for each in others if each
        ),
    )
    return [reference, *(nearest(reference, each) if each else None for each in others)]


def _throughputs(sides: dict[Key, Sides], machines: int) -> Iterator[tuple[str, ...]]:
    further = {key[0] for key in sides} - set(WORKLOADS)
    for workload in (*WORKLOADS, *sorted(further, key=natural)):
        for mode, word in MODES.items():
            keys = [key for key in sides if key[:2] == (workload, mode)]
            for key in keys:
                unit = next(side[0].unit for side in sides[key] if side)
                label = f"{workload} {word}, {unit}/s, {_conditions(key)}"
                yield (label, *map(_rate, sides[key]), *_ratios(sides[key]))
            if not keys and workload in WORKLOADS:
                yield _unmeasured(f"{workload} {word}, {WORKLOADS[workload]}/s", machines)


def _bandwidths(sides: dict[Key, Sides], chips: Sequence[Chip | None]) -> Iterator[tuple[str, ...]]:
    label = "memory bandwidth utilisation"
    keys = [(mode, key) for mode in MODES for key in sides if key[:2] == (_CNN, mode)]
    for mode, key in keys:
        cells = (_bandwidth(side, chip) for side, chip in zip(sides[key], chips, strict=True))
        yield (f"{label}, {_CNN} {MODES[mode]}, {_conditions(key)}", *cells, *_no_ratio(len(chips)))
    if not keys:
        yield _unmeasured(label, len(chips))


def _powers(sides: dict[Key, Sides], machines: int) -> Iterator[tuple[str, ...]]:
    """Yield watts with their rail, and items a second for each; only what a counter gave."""
    keys = [key for key in sides if any(side and side[0].watts for side in sides[key])]
    for key in keys:
        unit = next(side[0].unit for side in sides[key] if side)
        label = f"{key[0]} {MODES[key[1]]}, {_conditions(key)}"
        empty = _no_ratio(machines)
        yield (f"power, W, {label}", *map(_watts, sides[key]), *empty)
        yield (f"{unit}/s per watt, {label}", *map(_per_watt, sides[key]), *empty)
    if not keys:
        yield _unmeasured("power, W", machines)
        yield _unmeasured("samples/s per watt", machines)


def _watts(side: Side | None) -> str:
    if side is None or side[0].watts is None or side[1].refused:
        return NOT_MEASURED
    return f"{significant(side[0].watts)} ({side[0].watts_from})"


def _per_watt(side: Side | None) -> str:
    if side is None or side[0].per_watt is None or side[1].refused:
        return NOT_MEASURED
    return significant(side[0].per_watt)


def _others(sides: dict[Key, Sides], machines: int) -> Iterator[tuple[str, ...]]:
    for label in _NOBODY_MEASURES_YET:
        yield _unmeasured(label, machines)
    yield from _powers(sides, machines)


def _unmeasured(label: str, machines: int) -> tuple[str, ...]:
    return (label, *[NOT_MEASURED] * machines, *_no_ratio(machines))


def _no_ratio(machines: int) -> tuple[str, ...]:
    return (NO_VALUE,) * (machines - 1)


def _conditions(key: Key) -> str:
    _, _, batch_size, dtype, device = key
    return f"batch {batch_size} ({dtype}, {device})"


def _rate(side: Side | None) -> str:
    if side is None:
        return NOT_MEASURED
    _, found = side
    return (
        "refused" if found.refused else f"{significant(found.rate.median)} ({spread(found.rate)})"
    )


def _ratios(sides: Sides) -> Iterator[str]:
    first, *others = sides
    for other in others:
        if first is None or other is None or first[1].refused or other[1].refused:
            yield NO_VALUE
        elif reasons := stats.comparable(first[0], other[0]):
            yield f"not comparable: {'; '.join(reasons)}"
        else:
            yield f"{stats.ratio(first[1].rate, other[1].rate):.2f}x{_over_processes(first, other)}"


def _over_processes(first: Side, other: Side) -> str:
    """Return how the ratio varies from process to process, where both ran in several."""
    (a, _), (b, _) = first, other
    if min(a.processes, b.processes) == 1:
        return ""
    # times of a call turn over into throughputs
    rates = [[one.items_per_call / seconds for seconds in one.seconds] for one in (a, b)]
    span = stats.ratio_over_processes(rates[0], rates[1])
    if span is None:
        return ""
    return f" [{span[0]:.2f}, {span[1]:.2f}]"


def _bandwidth(side: Side | None, chip: Chip | None) -> str:
    if side is None:
        return NOT_MEASURED
    _, found = side
    published = bandwidth(chip)
    if found.refused:
        return "refused"
    if published is None:
        return "not known: the machine's bandwidth"
    if found.share is None:
        return f"not known: the count is above {published:g} GB/s"
    return f"at most {found.share:.0%} of {published:g} GB/s"
