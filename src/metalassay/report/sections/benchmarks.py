"""Benchmark runs -> one table per machine, and the figures that the other sections build on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from metalassay.machine import roofline_model
from metalassay.machine.chips import Chip
from metalassay.machine.hardware import Hardware
from metalassay.report import statistics
from metalassay.report.machines import identity, names, natural, rehearsed, system_name
from metalassay.report.model import NO_VALUE, Roofline, Table, not_shown, significant
from metalassay.report.sections import plausibility
from metalassay.results.measurement import conditions, pool
from metalassay.results.parse import LargestBatch, Measurement

FindChip = Callable[[Hardware], "Chip | None"]

MODES = {"train": "training", "infer": "inference"}
VERBS = {"train": "train", "infer": "run"}
WORKLOADS = {
    "transit-cnn": "samples",
    "gpt-tiny": "tokens",
    "gpt-small": "tokens",
    "gpt-original": "tokens",
}
"""The workloads in the order of the tables, and the unit of their throughput."""
_MOST_DOUBTS = 5
MOST_ROWS = 1000
"""For all machines together; about 200 bytes each in Markdown and twice that on the page."""
_FRAME = 3  # the head and the notes of a table take as much room as this number of rows


@dataclass(frozen=True)
class Figures:
    """What follows from one measurement. If ``refused`` gives a reason, no figure may be shown.

    ``share`` is an upper bound on the share of the chip's memory bandwidth, None where there is none.
    """

    rate: statistics.Throughput
    gflop_s: float
    gb_s: float
    share: float | None
    refused: str | None


def figures(one: Measurement, chip: Chip | None) -> Figures:
    """Compute the figures of a measurement; ``chip`` is the one it ran on, None if unknown."""
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
    """Return the published memory bandwidth in GB/s, None if it is not known."""
    return chip.memory_bandwidth.value if chip and chip.memory_bandwidth else None


def device_name(one: Measurement | LargestBatch) -> str:
    """Return the device as tables name it: "mps", "mps (emulated)", or "MLX (GPU)"."""
    if isinstance(one, Measurement):
        return one.where
    return f"{one.device} (emulated)" if one.emulated else one.device


def row_label(workload: str, mode: str, batch_size: int, *where: str) -> str:
    """Return the name of a row, as in "transit-cnn training, batch 64 (float32, mps)"."""
    conditions = f" ({', '.join(where)})" if where else ""
    return f"{workload} {MODES[mode]}, batch {batch_size}{conditions}"


def workload_order(workload: str, mode: str = "train") -> tuple[object, ...]:
    """Return a sort key for the order of the tables: our workloads first, training before inference."""
    known = list(WORKLOADS)
    position = known.index(workload) if workload in WORKLOADS else len(known)
    return (position, natural(workload), list(MODES).index(mode))


def spread(rate: statistics.Throughput) -> str:
    """Return the quartiles of a throughput, the slower one first."""
    if rate.slow is None or rate.fast is None:
        return NO_VALUE
    return f"{significant(rate.slow)} {NO_VALUE} {significant(rate.fast)}"


def latest(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Keep the newest of the measurements that were taken under the same conditions."""
    newest: dict[object, Measurement] = {}
    for one in sorted(pool(measurements), key=lambda m: (m.when, m.file)):
        newest[conditions(one)] = one
    return sorted(newest.values(), key=_order)


def tables(
    measurements: Sequence[Measurement],
    find_chip: FindChip,
    older: Iterable[tuple[Hardware, int]] = (),
) -> tuple[Table, ...]:
    """Return one table per machine, in the order of ``machines.in_order``.

    ``older`` counts, for each machine by ``identity``, the superseded measurements that are not in
    ``measurements`` any more. After ``MOST_ROWS`` rows the rest is only counted, to limit the page.
    """
    name_of = names((one.machine for one in measurements), rehearsed(measurements))
    of_machine: dict[Hardware, list[Measurement]] = {machine: [] for machine in name_of}
    for one in measurements:
        of_machine[identity(one.machine)].append(one)
    superseded = dict(older)
    tables: list[Table] = []
    room, unseen = MOST_ROWS, 0
    for machine, name in name_of.items():
        if room:
            own, chip = of_machine[machine], find_chip(machine)
            tables.append(_table(name, own, chip, room, superseded.get(machine, 0)))
            room = max(0, room - len(tables[-1].rows) - _FRAME)
        else:
            unseen += 1
    if unseen:
        tables[-1] = replace(tables[-1], notes=(*tables[-1].notes, *_cut(unseen, "machine")))
    return tuple(tables)


def _order(one: Measurement) -> tuple[object, ...]:
    return (
        *workload_order(one.workload, one.mode),
        one.batch_size,
        (one.dtype, one.where, one.threads),
        natural(one.software),
        one.when,
    )


def _table(
    machine: str, measurements: Sequence[Measurement], chip: Chip | None, room: int, older: int
) -> Table:
    newest = latest(measurements)
    shown = newest[:room]
    systems = sorted({system_name(one.machine) for one in shown}, key=natural)
    numeric = (False, False, True, False, False, True, False, True, True, True, True, True)
    return Table(
        caption=f"{machine}, {' and '.join(systems)}",
        head=(
            *("workload", "mode", "batch", "dtype", "device", "threads", "torch"),
            *("median items/s", "quartiles", "rounds", "GFLOP/s", "GB/s at most"),
        ),
        rows=tuple(
            _row(one, figures(one, chip), plausibility.roofline(one, chip)) for one in shown
        ),
        numeric=numeric,
        notes=(
            *_wrong(shown),
            *_notes(older + len(pool(measurements)) - len(newest), chip),
            *_cut(len(newest) - len(shown), "measurement"),
            *_flags(shown),
            *_doubts(shown, chip),
        ),
    )


def _row(one: Measurement, computed: Figures, roofline: Roofline | None) -> tuple[str, ...]:
    conditions = (
        *(one.workload, MODES[one.mode], str(one.batch_size), one.dtype, device_name(one)),
        *(str(one.threads), one.software),
    )
    rounds = f"{one.processes} processes" if one.processes > 1 else str(one.rounds)
    if one.malloc != "default":
        conditions = (f"{one.workload}, malloc {one.malloc}", *conditions[1:])
    if computed.refused:
        return (*conditions, f"refused: {computed.refused}", NO_VALUE, rounds, NO_VALUE, NO_VALUE)
    share = f" ({computed.share:.0%})" if computed.share is not None else ""
    return (
        *conditions,
        f"{significant(computed.rate.median)} {one.unit}/s"
        + (", WRONG NUMBERS" if one.parity else ""),
        spread(computed.rate),
        rounds,
        f"{significant(computed.gflop_s)}{_of_roofline(one, computed, roofline)}",
        f"{significant(computed.gb_s)}{share}",
    )


def _wrong(shown: Iterable[Measurement]) -> Iterable[str]:
    """Yield what is wrong with the results behind a speed; a wrong result has none."""
    yield from dict.fromkeys(
        f"WRONG NUMBERS: {one.workload} on {one.where}: {one.parity}" for one in shown if one.parity
    )


def _of_roofline(one: Measurement, computed: Figures, roofline: Roofline | None) -> str:
    """Return the share of the roofline of the same run: the shortest possible time over the measured one."""
    if roofline is None or one.compulsory_bytes is None:
        return ""
    shortest = roofline_model.least_seconds(
        one.flop_per_call, one.compulsory_bytes, gflop_s=roofline.gflop_s, gb_s=roofline.gb_s
    )
    return f" ({shortest * computed.rate.median / one.items_per_call:.0%} of roofline)"


def _notes(older: int, chip: Chip | None) -> Iterable[str]:
    yield (
        "GFLOP/s is the arithmetic rate that the median implies. GB/s counts all bytes that the "
        "operators read and write; caches serve some of them, so it is an upper bound on memory traffic."
    )
    memory = chip.memory_bandwidth if chip else None
    peak = chip.fp32_tflops if chip else None
    if memory:
        yield (
            "In brackets: an upper bound on the share of the chip's memory bandwidth; omitted where the "
            "count exceeds the bandwidth."
        )
    limits = [f"{memory.value:g} GB/s ({memory.kind})"] if memory else []
    limits += [f"{peak.value:g} TFLOP/s in float32 on the GPU ({peak.kind})"] if peak else []
    if limits:
        yield f"Limits of the chip: {', '.join(limits)}."
    else:
        yield "The peak and the bandwidth of this machine are not known, so no figure is checked against them."
    if older:
        yield not_shown(older, "older measurement", " under the same conditions")


def _cut(number: int, what: str) -> Iterable[str]:
    if number:
        yield f"{not_shown(number, f'further {what}')} To see more, name fewer files."


def _flags(shown: Sequence[Measurement]) -> Iterable[str]:
    """Yield each flag that makes times doubtful, with the workloads that have it."""
    flagged: dict[str, list[str]] = {}
    for one in shown:
        for flag in one.flags:
            name = f"{one.workload} {MODES[one.mode]} {one.batch_size}"
            flagged.setdefault(flag, []).append(name)
    if any(one.measured_peak for one in shown):
        yield (
            "Share of the roofline: the shortest time that the measured peaks allow for the arithmetic and "
            "the compulsory traffic, over the measured time. The peaks are those of a matrix product and "
            "a triad, run just before."
        )
    for flag, where in flagged.items():
        yield f"Doubtful, {flag}: {', '.join(dict.fromkeys(where))}."


def _doubts(shown: Iterable[Measurement], chip: Chip | None) -> Iterable[str]:
    """Yield how the measured peaks and the watts disagree with the chip's limits and published figures."""
    sentences = list(
        dict.fromkeys(doubt.sentence for one in shown for doubt in plausibility.doubts(one, chip))
    )
    for sentence in sentences[:_MOST_DOUBTS]:
        yield f"{sentence[0].upper()}{sentence[1:]}."
    if len(sentences) > _MOST_DOUBTS:
        yield not_shown(len(sentences) - _MOST_DOUBTS, "further doubt", done="listed")
