"""The roofline model as table and plot: how close each workload comes to the limits of its machine.

S. Williams, A. Waterman and D. Patterson, Communications of the ACM 52 (2009) 65. The arithmetic intensity
is taken over the compulsory traffic (``roofline_model.compulsory_bytes``), so it is an upper bound, and so
is the performance that the roofline allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from metalassay.machine import roofline_model
from metalassay.machine.chips import Chip
from metalassay.report.machines import identity
from metalassay.report.model import (
    NO_VALUE,
    Hint,
    Plot,
    Point,
    Roofline,
    Section,
    Series,
    Table,
    counted,
    not_shown,
    significant,
)
from metalassay.report.sections import plausibility
from metalassay.report.sections.benchmarks import MODES, device_name, figures, row_label
from metalassay.report.sections.comparison import ratio_text
from metalassay.report.sections.side_by_side import Compared, Row, Side
from metalassay.results.parse import Measurement

MOST_ROWS = 200
"""Of the tables together, to limit the size of the page."""
_SENTENCES = (
    "A roofline is the performance that a machine cannot exceed: the lower of its peak arithmetic and what its "
    "memory bandwidth allows at the arithmetic intensity of the workload. Measured peaks: a matrix product "
    "and a triad, run just before the workload on the same device with the same number of threads. Published "
    "peaks: the limits of the chip as its maker or others state them.",
    "The arithmetic intensity is FLOP over compulsory traffic, the bytes that even perfect caches, empty at the "
    "start, have to move. Any further traffic shows as distance from the roofline.",
)


@dataclass(frozen=True)
class Placed:
    """A measurement in the roofline plot: FLOP/byte, GFLOP/s, and the roofline of the same run."""

    one: Measurement
    intensity: float
    gflop_s: float
    roofline: Roofline | None

    @property
    def label(self) -> str:
        """The name of its row."""
        one = self.one
        where = (one.dtype, device_name(one), *_threads(one))
        return row_label(one.workload, one.mode, one.batch_size, *where)

    @property
    def attainable(self) -> float | None:
        """The GFLOP/s that the roofline allows, None without one."""
        return self.roofline.at(self.intensity) if self.roofline else None


def _threads(one: Measurement) -> tuple[str, ...]:
    return (counted(one.threads, "thread"),) if one.device == "cpu" else ()


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
                "No benchmark run with a count of compulsory traffic was read; RLHF and older files have none.",
                "nox -s bench",
            ),
        )
    older = not_shown(without, "older measurement", " without a count of compulsory traffic")
    return Section(
        id="scaling",
        title="Scaling against the roofline",
        sentences=(*_SENTENCES, *([older] if without else ())),
        plots=tuple(_plots(compared, of_machine)),
        tables=tuple(tables),
    )


def _placed(one: Measurement, chip: Chip | None) -> Placed:
    assert one.compulsory_bytes is not None  # noqa: S101  (checked by the caller)
    return Placed(
        one,
        one.flop_per_call / one.compulsory_bytes,
        figures(one, chip).gflop_s,
        plausibility.roofline(one, chip),
    )


def _tables(compared: Compared, of_machine: dict[int, list[Placed]]) -> Iterator[Table]:
    room = MOST_ROWS
    for number, placed in of_machine.items():
        if not placed or not room:
            continue
        shown = placed[:room]
        room -= len(shown)
        cut = len(placed) - len(shown)
        yield Table(
            caption=f"{compared.names[number]}: share of the roofline that each workload reaches",
            head=("workload", "FLOP/byte", "GFLOP/s", "attainable GFLOP/s", "share", "limited by"),
            rows=tuple(map(_row, shown)),
            numeric=(False, True, True, True, True, False),
            notes=(*([not_shown(cut, "further measurement")] if cut else ()), *_above(shown)),
        )


def _row(placed: Placed) -> tuple[str, ...]:
    missing = "no measured peak" if placed.one.measured_peak is None else "refused"
    rest: tuple[str, ...] = (missing, NO_VALUE, NO_VALUE)
    if placed.roofline and placed.attainable:
        limit = "arithmetic" if placed.attainable == placed.roofline.gflop_s else "memory"
        share = f"{placed.gflop_s / placed.attainable:.0%}"
        rest = (significant(placed.attainable), share, limit)
    return (placed.label, significant(placed.intensity), significant(placed.gflop_s), *rest)


def _above(placed: Iterable[Placed]) -> Iterator[str]:
    above = [point for point in placed if point.attainable and point.gflop_s > point.attainable]
    if above:
        yield (
            "Above the roofline, so the measured peaks are below what the machine can do: "
            f"{', '.join(point.label for point in above[:3])}{' and others' if len(above) > 3 else ''}."
        )


def _plots(compared: Compared, of_machine: dict[int, list[Placed]]) -> Iterator[Plot]:
    """Yield a plot per machine and device: points by workload, with the rooflines above them."""
    for number, placed in of_machine.items():
        devices: dict[str, list[Placed]] = {}
        for point in placed:
            devices.setdefault(device_name(point.one), []).append(point)
        for device, points in devices.items():
            yield Plot(
                title=f"How close does {compared.short[number]} come to its roofline on {device}?",
                x_label="arithmetic intensity, FLOP/byte",
                y_label="GFLOP/s",
                series=tuple(_series(points)),
                x_log=True,
                y_log=True,
                rooflines=tuple(_rooflines(points, compared.chips[number], device)),
                note="Points and measured peaks are those of the newest run.",
            )


def _series(placed: Iterable[Placed]) -> Iterator[Series]:
    kinds: dict[str, list[Placed]] = {}
    for point in placed:
        kinds.setdefault(f"{point.one.workload} {MODES[point.one.mode]}", []).append(point)
    for name, points in kinds.items():
        points.sort(key=lambda point: point.intensity)
        yield Series(name, tuple(map(_point, points)), line=False)


def _point(placed: Placed) -> Point:
    share = ""
    if placed.attainable:
        share = f", {placed.gflop_s / placed.attainable:.0%} of its roofline"
    text = f"{placed.label}: {significant(placed.gflop_s)} GFLOP/s{share}"
    return Point(placed.intensity, placed.gflop_s, label=text)


def _rooflines(placed: Sequence[Placed], chip: Chip | None, device: str) -> Iterator[Roofline]:
    """Yield the newest measured roofline per number of threads, and the published one of a GPU."""
    measured: dict[str, Roofline] = {}
    for point in sorted(placed, key=lambda p: p.one.when):
        if point.roofline:
            name = ", ".join(("measured peaks", *_threads(point.one)))
            measured[name] = replace(point.roofline, name=name)
    yield from measured.values()
    if device == "mps" and chip and chip.fp32_tflops and chip.memory_bandwidth:
        peak, memory = chip.fp32_tflops, chip.memory_bandwidth
        kind = peak.kind if peak.kind == memory.kind else f"{peak.kind} and {memory.kind}"
        yield Roofline(f"limits of the chip in float32 ({kind})", peak.value * 1e3, memory.value)


def _scaling(compared: Compared) -> Iterator[Table]:
    """Yield the measured ratios of two or more machines beside those that the rooflines predict."""
    rows = [
        row for measured in compared.rows if (row := _scaled(measured, compared.chips)) is not None
    ]
    if len(compared.names) > 1 and rows:
        short = compared.short
        heads = [(f"{name} / {short[0]}, measured", "by the rooflines") for name in short[1:]]
        yield Table(
            caption=f"{' vs '.join(short)}: ratios measured and predicted by the rooflines",
            head=("workload", *(text for pair in heads for text in pair)),
            rows=tuple(rows[:MOST_ROWS]),
            numeric=(False, *[True] * (2 * len(heads))),
            notes=(
                "By the rooflines: the ratio of the throughputs that the measured peaks of the two "
                "machines allow at the arithmetic intensity of the workload.",
            ),
        )


def _scaled(row: Row, chips: Sequence[Chip | None]) -> tuple[str, ...] | None:
    """Return the cells of a row, None if no ratio of rooflines can be given."""
    limits = [_attainable(side, chip) for side, chip in zip(row.sides, chips, strict=True)]
    cells: list[str] = []
    for best, ratio in zip(limits[1:], row.ratios, strict=True):
        if ratio.value is None or not limits[0] or not best:
            cells += [NO_VALUE, NO_VALUE]
        else:
            cells += [ratio_text(ratio), f"{best / limits[0]:.2f}x"]
    return (row.label, *cells) if any(cell != NO_VALUE for cell in cells) else None


def _attainable(side: Side | None, chip: Chip | None) -> float | None:
    """Return the items/s that the roofline of a side allows, None without one."""
    if side is None or side[0].compulsory_bytes is None:
        return None
    one = side[0]
    roofline = plausibility.roofline(one, chip)
    if roofline is None or one.compulsory_bytes is None:
        return None
    seconds = roofline_model.least_seconds(
        one.flop_per_call, one.compulsory_bytes, gflop_s=roofline.gflop_s, gb_s=roofline.gb_s
    )
    return one.items_per_call / seconds
