"""Benchmark runs -> one table a machine, and the figures that a comparison takes up again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from metalassay.machine import roofline_model
from metalassay.machine.chips import Chip
from metalassay.machine.hardware import Hardware
from metalassay.report import statistics
from metalassay.report.machines import identity, names, natural
from metalassay.report.model import NO_VALUE, Table, significant
from metalassay.report.sections import plausibility
from metalassay.results.measurement import conditions, pool
from metalassay.results.parse import Measurement

FindChip = Callable[[Hardware], "Chip | None"]

MODES = {"train": "training", "infer": "inference"}
WORKLOADS = {
    "transit-cnn": "samples",
    "gpt-tiny": "tokens",
    "gpt-small": "tokens",
    "gpt-original": "tokens",
}
"""The workloads in the order of the tables, and what their throughput counts."""
_MOST_DOUBTS = 5
MOST_ROWS = 1000
"""Of all machines together; some 200 bytes each in Markdown and twice that on the page."""
_FRAME = 3  # rows that head and notes of a table take as much room as


@dataclass(frozen=True)
class Figures:
    """What one measurement comes to. ``refused`` is a reason, and then no figure is to be shown.

    ``share`` is the part of the chip's memory bandwidth, at most; None where that bounds nothing.
    """

    rate: statistics.Throughput
    gflop_s: float
    gb_s: float
    share: float | None
    refused: str | None


def figures(one: Measurement, chip: Chip | None) -> Figures:
    """Work out the figures of a measurement; ``chip`` is the one it ran on, None if unknown."""
    rate = statistics.throughput(one.seconds, one.items_per_call)
    seconds = one.items_per_call / rate.median
    gflop_s = roofline_model.gflop_per_second(one.flop_per_call, seconds)
    gb_s = roofline_model.gb_per_second(one.bytes_per_call, seconds)
    peak_gb_s = bandwidth(chip)
    refused = roofline_model.impossible(
        gflop_s,
        device=one.device,
        dtype=one.dtype,
        peak_tflop_s=chip.fp32_tflops.value if chip and chip.fp32_tflops else None,
    )
    if refused is None and one.compulsory_bytes is not None:
        refused = roofline_model.impossible_traffic(one.compulsory_bytes, seconds, peak_gb_s)
    if one.emulated:
        refused = "the device was emulated, so the time says nothing about a real one"
    share = roofline_model.bandwidth_share(gb_s, peak_gb_s)
    return Figures(rate, gflop_s, gb_s, share, refused)


def bandwidth(chip: Chip | None) -> float | None:
    """Return the published memory bandwidth in GB/s, None if we have none."""
    return chip.memory_bandwidth.value if chip and chip.memory_bandwidth else None


def device_name(one: Measurement) -> str:
    """Return the device as tables name it: an emulated one is never called plainly by its name."""
    return f"{one.device} (emulated)" if one.emulated else one.device


def spread(rate: statistics.Throughput) -> str:
    """Return the quartiles of a throughput, the slower one first."""
    if rate.slow is None or rate.fast is None:
        return NO_VALUE
    return f"{significant(rate.slow)} {NO_VALUE} {significant(rate.fast)}"


def latest(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Keep the newest of the measurements that were taken under the same conditions."""
    kept: dict[object, Measurement] = {}
    for one in sorted(pool(measurements), key=lambda m: (m.when, m.file)):
        kept[conditions(one)] = one
    return sorted(kept.values(), key=_order)


def tables(
    measurements: Sequence[Measurement],
    find_chip: FindChip,
    older: Iterable[tuple[Hardware, int]] = (),
) -> tuple[Table, ...]:
    """Return one table a machine, in the order of ``machines.in_order``.

    ``older`` counts, for each machine by ``identity``, what was superseded and is not in
    ``measurements`` any more. After ``MOST_ROWS`` rows the rest is counted and not shown: a page has
    a size.
    """
    called = names(one.machine for one in measurements)
    of_machine: dict[Hardware, list[Measurement]] = {machine: [] for machine in called}
    for one in measurements:
        of_machine[identity(one.machine)].append(one)
    dropped = dict(older)
    made: list[Table] = []
    room, unseen = MOST_ROWS, 0
    for machine, name in called.items():
        if room:
            of = of_machine[machine]
            made.append(_table(name, of, find_chip(machine), room, dropped.get(machine, 0)))
            room = max(0, room - len(made[-1].rows) - _FRAME)
        else:
            unseen += 1
    if unseen:
        note = f"{unseen} further machine(s) are not shown. Name fewer files."
        made[-1] = replace(made[-1], notes=(*made[-1].notes, note))
    return tuple(made)


def _order(one: Measurement) -> tuple[object, ...]:
    return (
        list(WORKLOADS).index(one.workload) if one.workload in WORKLOADS else len(WORKLOADS),
        natural(one.workload),
        one.mode != "train",
        one.batch_size,
        (one.dtype, one.device, one.threads),
        natural(one.versions["torch"]),
        one.when,
    )


def _table(
    machine: str, measurements: Sequence[Measurement], chip: Chip | None, room: int, older: int
) -> Table:
    everything = latest(measurements)
    shown = everything[:room]
    systems = sorted({_system(one.machine) for one in shown}, key=natural)
    numeric = (False, False, True, False, False, True, False, True, True, True, True, True)
    return Table(
        caption=f"{machine}, {' and '.join(systems)}",
        head=(
            *("workload", "mode", "batch", "dtype", "device", "threads", "torch"),
            *("median items/s", "quartiles", "rounds", "GFLOP/s", "GB/s at most"),
        ),
        rows=tuple(_row(one, figures(one, chip), plausibility.roof(one, chip)) for one in shown),
        numeric=numeric,
        notes=(
            *_wrong(shown),
            *_notes(older + len(pool(measurements)) - len(everything), chip),
            *_cut(len(everything) - len(shown)),
            *_marks(shown),
            *_doubts(shown, chip),
        ),
    )


def _row(one: Measurement, found: Figures, roof: tuple[float, float] | None) -> tuple[str, ...]:
    conditions = (
        *(one.workload, MODES[one.mode], str(one.batch_size), one.dtype, device_name(one)),
        *(str(one.threads), one.versions["torch"]),
    )
    rounds = f"{one.processes} processes" if one.processes > 1 else str(one.rounds)
    if one.malloc != "default":
        conditions = (f"{one.workload}, malloc {one.malloc}", *conditions[1:])
    if found.refused:
        return (*conditions, f"refused: {found.refused}", NO_VALUE, rounds, NO_VALUE, NO_VALUE)
    share = f" ({found.share:.0%})" if found.share is not None else ""
    return (
        *conditions,
        f"{significant(found.rate.median)} {one.unit}/s"
        + (", WRONG NUMBERS" if one.parity else ""),
        spread(found.rate),
        rounds,
        f"{significant(found.gflop_s)}{_of_roof(one, found, roof)}",
        f"{significant(found.gb_s)}{share}",
    )


def _wrong(shown: Iterable[Measurement]) -> Iterable[str]:
    """Yield what is wrong with the numbers behind a speed; a wrong answer has none."""
    yield from dict.fromkeys(
        f"WRONG NUMBERS: {one.workload} on {one.device}: {one.parity}"
        for one in shown
        if one.parity
    )


def _of_roof(one: Measurement, found: Figures, roof: tuple[float, float] | None) -> str:
    """Return which part of the roof of the same run it reached; the time it takes at best over its own."""
    if roof is None or one.compulsory_bytes is None:
        return ""
    gflop_s, gb_s = roof
    best = roofline_model.least_seconds(
        one.flop_per_call, one.compulsory_bytes, gflop_s=gflop_s, gb_s=gb_s
    )
    return f" ({best * found.rate.median / one.items_per_call:.0%} of the roof)"


def _notes(older: int, chip: Chip | None) -> Iterable[str]:
    yield (
        "GFLOP/s is the arithmetic that the median implies. GB/s counts every byte in and out of "
        "every operator; caches serve part of them, so the memory saw that much at most."
    )
    memory = chip.memory_bandwidth if chip else None
    peak = chip.fp32_tflops if chip else None
    if memory:
        yield (
            "In brackets: the share of the chip's memory bandwidth, at most; left out where the "
            "count is above the bandwidth and so bounds nothing."
        )
    limits = [f"{memory.value:g} GB/s ({memory.kind})"] if memory else []
    limits += [f"{peak.value:g} TFLOP/s in float32 on the GPU ({peak.kind})"] if peak else []
    if limits:
        yield f"Limits of the chip: {', '.join(limits)}."
    else:
        yield "Peak and bandwidth of this machine are not known, so no figure is held against them."
    if older:
        yield f"{older} older measurement(s) under the same conditions are left out."


def _cut(number: int) -> Iterable[str]:
    if number:
        yield f"{number} further measurement(s) are not shown. Name fewer files."


def _marks(shown: Sequence[Measurement]) -> Iterable[str]:
    """Yield what makes times doubtful, each with the workloads that it was seen at."""
    names: dict[str, list[str]] = {}
    for one in shown:
        for mark in one.flags:
            names.setdefault(mark, []).append(f"{one.workload} {MODES[one.mode]} {one.batch_size}")
    if any(one.measured_peak for one in shown):
        yield (
            "Of the roof: the time that a matrix product and a triad, run just before, would take for "
            "the same arithmetic and the least traffic, over the time it took."
        )
    for mark, where in names.items():
        yield f"Doubtful, {mark}: {', '.join(dict.fromkeys(where))}."


def _system(machine: Hardware) -> str:
    return machine.release if machine.system == "Darwin" else f"{machine.system} {machine.release}"


def _doubts(shown: Iterable[Measurement], chip: Chip | None) -> Iterable[str]:
    """Yield what others' figures and the chip's limits say against the probe and the watts."""
    found = list(dict.fromkeys(d.sentence for one in shown for d in plausibility.doubts(one, chip)))
    for sentence in found[:_MOST_DOUBTS]:
        yield f"{sentence[0].upper()}{sentence[1:]}."
    if len(found) > _MOST_DOUBTS:
        yield f"{len(found) - _MOST_DOUBTS} more of the kind."
