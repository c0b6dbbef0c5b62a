"""What a chip that was not measured might do: an interval from counted work and published figures.

A projection is arithmetic and not a measurement. Its upper end is the roofline of the chip's limits with
the compulsory traffic. Its lower end takes the lowest shares of those limits that PyTorch's MPS backend
reached in published figures (published.toml), with all counted traffic, and does not overlap arithmetic
and memory traffic.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from metalassay.errors import UserError
from metalassay.fields import one_line
from metalassay.machine import chips, published, roofline_model
from metalassay.machine.chips import Chip
from metalassay.report.model import (
    NO_VALUE,
    Hint,
    Plot,
    Point,
    Section,
    Series,
    Table,
    not_shown,
    significant,
)
from metalassay.report.sections.benchmarks import VERBS, row_label
from metalassay.results.parse import Measurement

# A step launches some hundred operators. Timed without waiting for their end, a launch takes 23 microseconds
# on MPS (https://github.com/pytorch/pytorch/pull/152199), so launches may dominate shorter calls, and no
# published figure of a chip bounds them.
SHORTEST = 0.010
"""Seconds per call, by the lower end, below which there is no lower end."""
# Forty such launches. An upper end of a hundred million tokens a second would be true but misleading.
SHORTEST_AT_ALL = 0.001
"""Seconds per call, by the upper end, below which there is no projection."""
MOST_ROWS = 200
_PEAK_ERROR = 1.15  # of a peak that is estimated from cores and clock
_MEMORY_ERROR = 1.03  # Apple rounds down: 100 GB/s is 102.4

_HOW = (
    "Projected, not measured: nobody ran this suite on these chips for this section. Each interval is computed "
    "from the arithmetic and the bytes counted in a run elsewhere and from published figures of the chip. A real "
    "machine may be outside it.",
    "Upper end: the compulsory traffic at the full published bandwidth, or all arithmetic at the full peak of "
    "the GPU, whichever takes longer. Where the peak is an estimate from cores and clock, 15 % is added.",
)


@dataclass(frozen=True)
class Shares:
    """The lowest shares of a chip's limits that published runs of PyTorch on MPS reached, and which runs."""

    bandwidth: float
    arithmetic: float
    bandwidth_from: str
    arithmetic_from: str


@dataclass(frozen=True)
class Projected:
    """A projection in items/s of the work that ``one`` counted.

    ``low`` is None where launches may dominate, and ``high`` too where they certainly do.
    """

    one: Measurement
    low: float | None
    high: float | None
    bound: str


def chip(text: str) -> Chip:
    """Return the chip called "Apple M4 Pro 20c", "M4 Pro 20-core GPU" or "M1 Max 32".

    Raises ``UserError`` for a chip that is not in chips.toml, or whose limits are not published.
    """
    possible = [one for one in chips.load() if one.memory_bandwidth and one.fp32_tflops]
    plain = one_line(text).lower().removeprefix("apple ")
    match = re.fullmatch(r"(.*?)(?: (\d+)(?: ?c| ?cores?|-core(?: gpu)?)?)?", plain)
    assert match is not None  # noqa: S101  (every part is optional)
    named = [one for one in chips.load() if one.name.lower() == f"apple {match[1]}"]
    chosen = [one for one in named if match[2] is None or one.gpu_cores == int(match[2])]
    known = f"choose one of: {', '.join(map(name, possible))}"
    if not chosen:
        raise UserError(f"cannot project onto {text!r}: unknown chip", known)
    if len(chosen) > 1:
        variants = ", ".join(map(name, chosen))
        raise UserError(
            f"cannot project onto {text!r}: number of GPU cores missing",
            f"choose one of: {variants}",
        )
    if chosen[0] not in possible:
        raise UserError(
            f"cannot project onto {name(chosen[0])}: no reliable peak of its GPU is published",
            known,
        )
    return chosen[0]


def name(one: Chip) -> str:
    """Return "Apple M4 Pro 20c"."""
    return f"{one.name} {one.gpu_cores}c"


def shares() -> Shares:
    """Return the lowest shares of a chip's limits in the published figures for PyTorch on MPS."""
    bandwidth: list[tuple[float, str]] = []
    arithmetic: list[tuple[float, str]] = []
    for one in chips.load():
        for figure in published.of(one):
            if figure.tool != "torch" or figure.on != "gpu":
                continue
            text = f"{figure.how}, {one.name}; {figure.source}"
            if figure.what == "bandwidth" and one.memory_bandwidth:
                bandwidth.append((figure.low / one.memory_bandwidth.value, text))
            if figure.what == "arithmetic" and figure.dtype == "float32" and one.fp32_tflops:
                arithmetic.append((figure.low / one.fp32_tflops.value, text))
    (of_memory, memory_from), (of_peak, peak_from) = min(bandwidth), min(arithmetic)
    return Shares(of_memory, of_peak, memory_from, peak_from)


def project(one: Measurement, onto: Chip, low: Shares) -> Projected:
    """Project the counted work of a float32 measurement onto a chip with both limits."""
    assert onto.memory_bandwidth is not None  # noqa: S101  (checked by ``chip``)
    assert onto.fp32_tflops is not None  # noqa: S101
    peak, memory = onto.fp32_tflops.value * 1e3, onto.memory_bandwidth.value
    error = _PEAK_ERROR if onto.fp32_tflops.kind == chips.ESTIMATE else 1.0
    compulsory = min(one.compulsory_bytes or 0, one.bytes_per_call)
    limits = {"gflop_s": peak * error, "gb_s": memory * _MEMORY_ERROR}
    shortest = roofline_model.least_seconds(one.flop_per_call, compulsory, **limits)
    by_arithmetic = roofline_model.least_seconds(one.flop_per_call, 0, **limits)
    longest = one.flop_per_call / (low.arithmetic * peak * 1e9)
    longest += one.bytes_per_call / (low.bandwidth * memory * 1e9)
    return Projected(
        one,
        None if longest < SHORTEST else one.items_per_call / longest,
        None if shortest < SHORTEST_AT_ALL else one.items_per_call / shortest,
        "arithmetic" if shortest == by_arithmetic else "memory",
    )


def section(wanted: Sequence[str], shown: Iterable[Measurement]) -> Section | None:
    """Return the projections onto the ``wanted`` chips, None without one.

    ``shown`` are the measurements that the counts are taken from, whatever machine they ran on.
    """
    if not wanted:
        return None
    onto = list(dict.fromkeys(map(chip, wanted)))
    counted_work, left_out = _work(shown)
    if not counted_work:
        return Section(
            id="projections",
            title="Projections",
            hint=Hint(
                "Nothing to project from: no float32 benchmark run was read.", "nox -s bench"
            ),
            projected=True,
        )
    low = shares()
    of_chip = {one: [project(work, one, low) for work in counted_work] for one in onto}
    return Section(
        id="projections",
        title="Projections",
        sentences=(*_HOW, _lower_end(low)),
        plots=tuple(_plots(of_chip)),
        tables=tuple(_table(one, projections, left_out) for one, projections in of_chip.items()),
        projected=True,
    )


def _lower_end(low: Shares) -> str:
    return (
        f"Lower end: {low.bandwidth:.0%} of the bandwidth for all counted bytes and, without overlap, "
        f"{low.arithmetic:.0%} of the peak for all arithmetic. These are the lowest shares that PyTorch on MPS "
        f"reached in published figures (memory: {low.bandwidth_from}; arithmetic: {low.arithmetic_from}). "
        "The launches of operators are in neither end, so a call shorter than "
        f"{SHORTEST * 1e3:g} ms has no lower end, and one shorter than {SHORTEST_AT_ALL * 1e3:g} ms by "
        "its upper end is not projected."
    )


def _work(shown: Iterable[Measurement]) -> tuple[list[Measurement], int]:
    """Return the newest counts per workload, mode and batch, and the number of those not in float32."""
    newest: dict[object, Measurement] = {}
    left_out = set()
    ones = list(shown)
    for one in sorted(ones, key=lambda one: one.when):
        key = (one.workload, one.mode, one.batch_size)
        if one.dtype == "float32" and not one.emulated:
            newest[key] = one
        elif not one.emulated:
            left_out.add((*key, one.dtype))
    order = {id(one): number for number, one in enumerate(ones)}
    return sorted(newest.values(), key=lambda one: order[id(one)])[:MOST_ROWS], len(left_out)


def _table(onto: Chip, projections: Sequence[Projected], left_out: int) -> Table:
    peak, memory = onto.fp32_tflops, onto.memory_bandwidth
    assert peak is not None  # noqa: S101  (checked by ``chip``)
    assert memory is not None  # noqa: S101
    half = not_shown(left_out, "workload", " in half precision", "projected")
    return Table(
        caption=f"{name(onto)}: projected intervals",
        head=("workload", "projected from", "projected to", "counted work", "upper end limited by"),
        rows=tuple(map(_row, projections)),
        numeric=(False, True, True, False, False),
        notes=(
            f"From {memory.value:g} GB/s ({memory.kind}, {memory.source}) and {peak.value:g} TFLOP/s "
            f"in float32 ({peak.kind}, {peak.source}).",
            *([f"{half} The peak in half precision is not known."] if left_out else []),
        ),
    )


def _row(projected: Projected) -> tuple[str, ...]:
    one = projected.one
    label = row_label(one.workload, one.mode, one.batch_size, one.dtype)
    low = "no lower end" if projected.low is None else significant(projected.low)
    counts = (
        f"{significant(one.flop_per_call / 1e9)} GFLOP, at most "
        f"{significant(one.bytes_per_call / 1e6)} MB per call"
    )
    if projected.high is None:
        return (label, "not projected", "not projected", counts, "launches, most likely")
    return (label, low, f"{significant(projected.high)} {one.unit}/s", counts, projected.bound)


def _plots(of_chip: dict[Chip, list[Projected]]) -> Iterator[Plot]:
    """Yield a plot per workload and mode, of the projections with both ends."""
    lines: dict[tuple[str, str, str], dict[Chip, list[Projected]]] = {}
    for one, projections in of_chip.items():
        for projected in projections:
            if projected.low is not None and projected.high is not None:
                work = projected.one
                kind = (work.workload, work.mode, work.unit)
                lines.setdefault(kind, {}).setdefault(one, []).append(projected)
    for (workload, mode, unit), by_chip in lines.items():
        yield Plot(
            title=f"How fast might {workload} {VERBS[mode]}, by batch size?",
            x_label="batch size, samples",
            y_label=f"{unit}/s, projected",
            series=tuple(
                Series(name(one), tuple(map(_point, projections)), projected=True)
                for one, projections in by_chip.items()
            ),
            note="Each bar is a projected interval; the marker is only its geometric mean.",
        )


def _point(projected: Projected) -> Point:
    assert projected.low is not None  # noqa: S101  (checked by the caller)
    assert projected.high is not None  # noqa: S101
    low = projected.low
    text = f"batch {projected.one.batch_size}: {significant(low)} to {significant(projected.high)}"
    return Point(
        x=projected.one.batch_size,
        y=(low * projected.high) ** 0.5,
        low=low,
        high=projected.high,
        label=f"{text} {projected.one.unit}/s, projected {NO_VALUE} not measured",
    )
