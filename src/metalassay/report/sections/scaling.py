"""How near each workload comes to what its machine can do at most: the roofline, as table and plot.

S. Williams, A. Waterman and D. Patterson, Communications of the ACM 52 (2009) 65. The intensity is
arithmetic over compulsory traffic (``physics.compulsory_bytes``), so a point lies as far to the right as
it can, and the time by the roof is the least there could be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from metalassay.machine import roofline_model
from metalassay.machine.chips import Chip
from metalassay.report.machines import identity
from metalassay.report.model import (
    NO_VALUE,
    Hint,
    Plot,
    Point,
    Section,
    Series,
    Table,
    counted,
    significant,
)
from metalassay.report.sections import plausibility
from metalassay.report.sections.benchmarks import MODES, device_name, figures
from metalassay.report.sections.comparison import ratio_text
from metalassay.report.sections.side_by_side import Compared, Row, Side
from metalassay.results.parse import Measurement

MOST_ROWS = 200
"""Of the table; with more, the page would drown in it."""
_SENTENCES = (
    "A roof is the rate that a machine cannot pass: its arithmetic, or what its memory brings at the "
    "workload's intensity. Measured: a matrix product and a triad, run just before the workload on the "
    "same device with the same threads. Published: the chip's limits as its maker or others state them.",
    "Intensity is arithmetic over the least traffic there could be, with cold caches; a kernel that moves "
    "more lies further left, so what is lost to traffic shows as distance from the roof.",
)


@dataclass(frozen=True)
class Placed:
    """A measurement on the roofline: FLOP a byte, GFLOP/s, and the (GFLOP/s, GB/s) of its own roof."""

    one: Measurement
    intensity: float
    gflop_s: float
    measured_peak: tuple[float, float] | None

    @property
    def label(self) -> str:
        """Name it as rows do."""
        one = self.one
        where = f"batch {one.batch_size} ({one.dtype}, {device_name(one)})"
        return f"{one.workload} {MODES[one.mode]}, {where}"


def section(compared: Compared, shown: Sequence[Measurement]) -> Section:
    """Return plots and tables for the machines in ``compared``; ``shown`` are the newest measurements."""
    of_machine: dict[int, list[Placed]] = {number: [] for number in range(len(compared.machines))}
    column = {machine: number for number, machine in enumerate(compared.machines)}
    without = 0
    for one in shown:
        number = column.get(identity(one.machine))
        if number is None or figures(one, compared.chips[number]).refused:
            continue
        if one.compulsory_bytes is None:
            without += 1
        else:
            of_machine[number].append(_placed(one, compared.chips[number]))
    tables = [*_tables(compared, of_machine), *_scaling(compared)]
    if not tables:
        return Section(
            id="scaling",
            title="Scaling against the roofline",
            hint=Hint(
                "No benchmark run was read that counts its least traffic; older files do not.",
                "nox -s bench",
            ),
        )
    notes = [f"{counted(without, 'older measurement')} without that count left out."]
    return Section(
        id="scaling",
        title="Scaling against the roofline",
        sentences=(*_SENTENCES, *(notes if without else ())),
        plots=tuple(_plots(compared, of_machine)),
        tables=tuple(tables),
    )


def _placed(one: Measurement, chip: Chip | None) -> Placed:
    assert one.compulsory_bytes is not None  # noqa: S101  (the caller has looked)
    return Placed(
        one,
        one.flop_per_call / one.compulsory_bytes,
        figures(one, chip).gflop_s,
        plausibility.roof(one, chip),
    )


def attainable(intensity: float, roof: tuple[float, float]) -> float:
    """Return the GFLOP/s of a roof, given as (GFLOP/s, GB/s), at ``intensity`` in FLOP a byte."""
    return min(roof[0], intensity * roof[1])


def _tables(compared: Compared, of_machine: dict[int, list[Placed]]) -> Iterator[Table]:
    room = MOST_ROWS
    for number, placed in of_machine.items():
        if not placed or not room:
            continue
        kept = placed[:room]
        room -= len(kept)
        cut = len(placed) - len(kept)
        yield Table(
            caption=f"{compared.names[number]}: how much of the roof each workload reaches",
            head=("workload", "FLOP/byte", "GFLOP/s", "roof, GFLOP/s", "share", "bound by"),
            rows=tuple(_row(each) for each in kept),
            numeric=(False, True, True, True, True, False),
            notes=(
                *([f"{counted(cut, 'further measurement')} not shown."] if cut else ()),
                *_above(kept),
            ),
        )


def _row(placed: Placed) -> tuple[str, ...]:
    nothing = "no probe" if placed.one.measured_peak is None else "refused"
    rest: tuple[str, ...] = (nothing, NO_VALUE, NO_VALUE)
    if placed.measured_peak is not None:
        roof = attainable(placed.intensity, placed.measured_peak)
        bound = "arithmetic" if roof == placed.measured_peak[0] else "memory"
        rest = (significant(roof), f"{placed.gflop_s / roof:.0%}", bound)
    return (placed.label, significant(placed.intensity), significant(placed.gflop_s), *rest)


def _above(placed: Iterable[Placed]) -> Iterator[str]:
    over = [
        p
        for p in placed
        if p.measured_peak and p.gflop_s > attainable(p.intensity, p.measured_peak)
    ]
    if over:
        yield (
            f"Above the measured roof, so the probe did not reach what the machine can do: "
            f"{', '.join(p.label for p in over[:3])}{' and others' if len(over) > 3 else ''}."
        )


def _plots(compared: Compared, of_machine: dict[int, list[Placed]]) -> Iterator[Plot]:
    """Yield a plot a machine and device: points by workload, the roofs above them."""
    for number, placed in of_machine.items():
        devices: dict[str, list[Placed]] = {}
        for each in placed:
            devices.setdefault(device_name(each.one), []).append(each)
        for device, points in devices.items():
            yield Plot(
                title=f"How near to its roof does {compared.short[number]} come on {device}?",
                x_label="arithmetic over least traffic, FLOP/byte",
                y_label="GFLOP/s",
                series=tuple(_series(points)),
                x_log=True,
                y_log=True,
                roofs=tuple(_roofs(points, compared.chips[number], device)),
                note="Points by their newest run; a roof measured in several runs is the newest.",
            )


def _series(placed: Iterable[Placed]) -> Iterator[Series]:
    kinds: dict[str, list[Placed]] = {}
    for each in placed:
        kinds.setdefault(f"{each.one.workload} {MODES[each.one.mode]}", []).append(each)
    for name, points in kinds.items():
        points.sort(key=lambda p: p.intensity)
        yield Series(name, tuple(map(_point, points)), line=False)


def _point(placed: Placed) -> Point:
    share = ""
    if placed.measured_peak is not None:
        share = f", {placed.gflop_s / attainable(placed.intensity, placed.measured_peak):.0%} of its roof"
    text = f"{placed.label}: {significant(placed.gflop_s)} GFLOP/s{share}"
    return Point(placed.intensity, placed.gflop_s, label=text)


def _roofs(
    placed: Sequence[Placed], chip: Chip | None, device: str
) -> Iterator[tuple[str, float, float]]:
    """Yield the newest measured roof of each number of threads, and the published one of a GPU."""
    measured: dict[str, tuple[float, float]] = {}
    for each in sorted(placed, key=lambda p: p.one.when):
        if each.measured_peak is not None:
            threads = f", {counted(each.one.threads, 'thread')}" if each.one.device == "cpu" else ""
            measured[f"measured: product and triad{threads}"] = each.measured_peak
    for name, (gflop_s, gb_s) in measured.items():
        yield name, gflop_s, gb_s
    if device == "mps" and chip and chip.fp32_tflops and chip.memory_bandwidth:
        peak, memory = chip.fp32_tflops, chip.memory_bandwidth
        same = peak.kind if peak.kind == memory.kind else f"{peak.kind} and {memory.kind}"
        yield f"the chip's limits in float32 ({same})", peak.value * 1e3, memory.value


def _scaling(compared: Compared) -> Iterator[Table]:
    """Yield, for two machines or more, the ratio that the roofs allow beside the one measured."""
    rows = [row for each in compared.rows if (row := _scaled(each, compared.chips)) is not None]
    if len(compared.names) > 1 and rows:
        short = compared.short
        heads = [(f"{name} / {short[0]}, measured", "by the roofs") for name in short[1:]]
        yield Table(
            caption=f"{' vs '.join(short)}: the ratio measured, and the one that the roofs allow",
            head=("workload", *(text for pair in heads for text in pair)),
            rows=tuple(rows[:MOST_ROWS]),
            numeric=(False, *[True] * (2 * len(heads))),
            notes=(
                "By the roofs: what both machines' own product and triad allow at the workload's "
                "intensity, one over the other.",
            ),
        )


def _scaled(row: Row, chips: Sequence[Chip | None]) -> tuple[str, ...] | None:
    """Return the cells of a row, or None when no ratio of roofs can be given."""
    at = [_attainable(side, chip) for side, chip in zip(row.sides, chips, strict=True)]
    cells: list[str] = []
    for best, ratio in zip(at[1:], row.ratios, strict=True):
        if ratio.value is None or not at[0] or not best:
            cells += [NO_VALUE, NO_VALUE]
        else:
            cells += [ratio_text(ratio), f"{best / at[0]:.2f}x"]
    return (row.label, *cells) if any(cell != NO_VALUE for cell in cells) else None


def _attainable(side: Side | None, chip: Chip | None) -> float | None:
    """Return the items a second that a side's own roof allows, None where there is none."""
    if side is None or side[0].compulsory_bytes is None:
        return None
    one = side[0]
    roof = plausibility.roof(one, chip)
    if roof is None or one.compulsory_bytes is None:
        return None
    seconds = roofline_model.least_seconds(
        one.flop_per_call, one.compulsory_bytes, gflop_s=roof[0], gb_s=roof[1]
    )
    return one.items_per_call / seconds
