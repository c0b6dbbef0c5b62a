"""What a chip that nobody measured might do: an interval from counted work and published figures.

A projection is arithmetic and no measurement. Its upper end is the roofline of the chip's limits with
the least traffic there could be; its lower end takes the lowest share of those limits that PyTorch's MPS
backend reached in others' figures (reference.toml), with all the traffic that was counted, and arithmetic
and memory one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from metalassay.errors import UserError
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
    counted,
    significant,
)
from metalassay.report.sections.benchmarks import MODES
from metalassay.results.parse import Measurement

# A step launches some hundred operators. Timed without waiting for their end, one costs 23 microseconds
# on MPS (https://github.com/pytorch/pytorch/pull/152199), so shorter calls may take mostly launching,
# and no figure of a chip bounds that.
SHORTEST = 0.010
# Forty such launches; a call whose roofline is shorter is ruled by them, and an end of a hundred million
# tokens a second, though nothing can pass it, would only mislead.
SHORTEST_AT_ALL = 0.001
MOST_ROWS = 200
_PEAK_ERROR = 1.15  # of a peak that is estimated from cores and clock
_MEMORY_ERROR = 1.03  # Apple rounds down: 100 GB/s is 102.4

_HOW = (
    "Projected, not measured: nobody has run this suite on these chips for this section. Each interval is "
    "worked out from the arithmetic and the bytes that were counted in a run elsewhere and from figures "
    "that were published about the chip; a real machine may lie outside it.",
    "Upper end: the least traffic at the full published bandwidth, or all arithmetic at the full peak of the "
    "GPU, whichever takes longer. Where the peak is an estimate from cores and clock, 15 % more.",
)


@dataclass(frozen=True)
class Shares:
    """The lowest parts of a chip's limits that others' runs of PyTorch on MPS reached, and which runs."""

    bandwidth: float
    arithmetic: float
    bandwidth_from: str
    arithmetic_from: str


@dataclass(frozen=True)
class Projected:
    """Items a second; ``one`` is what was counted.

    ``low`` is None where launching may decide, ``high`` too where it surely does.
    """

    one: Measurement
    low: float | None
    high: float | None
    bound: str


def chip(text: str) -> Chip:
    """Return the chip of "Apple M4 Pro 20c", "M4 Pro 20-core GPU" or "M1 Max 32".

    Raises ``UserError`` for one that is not in chips.toml, or of which too little is published.
    """
    able = [each for each in chips.load() if each.memory_bandwidth and each.fp32_tflops]
    plain = " ".join(text.split()).lower().removeprefix("apple ")
    found = re.fullmatch(r"(.*?)(?: (\d+)(?: ?c| ?cores?|-core(?: gpu)?)?)?", plain)
    assert found is not None  # noqa: S101  (every part is optional)
    named = [c for c in chips.load() if c.name.lower() == f"apple {found[1]}"]
    chosen = [c for c in named if found[2] is None or c.gpu_cores == int(found[2])]
    known = f"choose one of: {', '.join(map(name, able))}"
    if not chosen:
        raise UserError(f"cannot project {text!r}: no such chip is known", known)
    if len(chosen) > 1:
        variants = ", ".join(map(name, chosen))
        raise UserError(f"cannot project {text!r}: say how many GPU cores", f"one of: {variants}")
    if chosen[0] not in able:
        raise UserError(
            f"cannot project {name(chosen[0])}: no peak of its GPU is published that we can vouch for",
            known,
        )
    return chosen[0]


def name(one: Chip) -> str:
    """Return "Apple M4 Pro 20c"."""
    return f"{one.name} {one.gpu_cores}c"


def shares() -> Shares:
    """Return the lowest shares that others' figures for PyTorch on MPS come to."""
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
    assert onto.memory_bandwidth is not None  # noqa: S101  (``chip`` has looked)
    assert onto.fp32_tflops is not None  # noqa: S101
    peak, memory = onto.fp32_tflops.value * 1e3, onto.memory_bandwidth.value
    error = _PEAK_ERROR if onto.fp32_tflops.kind == chips.ESTIMATE else 1.0
    least = min(one.compulsory_bytes or 0, one.bytes_per_call)
    limits = {"gflop_s": peak * error, "gb_s": memory * _MEMORY_ERROR}
    quick = roofline_model.least_seconds(one.flop_per_call, least, **limits)
    by_arithmetic = roofline_model.least_seconds(one.flop_per_call, 0, **limits)
    slow = one.flop_per_call / (low.arithmetic * peak * 1e9)
    slow += one.bytes_per_call / (low.bandwidth * memory * 1e9)
    return Projected(
        one,
        None if slow < SHORTEST else one.items_per_call / slow,
        None if quick < SHORTEST_AT_ALL else one.items_per_call / quick,
        "arithmetic" if quick == by_arithmetic else "memory",
    )


def section(wanted: Sequence[str], shown: Iterable[Measurement]) -> Section | None:
    """Return the projections onto the chips that were asked for, None if none was.

    ``shown`` are measurements of which the counts are taken, whatever machine they ran on.
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
    of_chip = {one: [project(each, one, low) for each in counted_work] for one in onto}
    return Section(
        id="projections",
        title="Projections",
        sentences=(*_HOW, _lower_end(low)),
        plots=tuple(_plots(of_chip)),
        tables=tuple(_table(one, found, left_out) for one, found in of_chip.items()),
        projected=True,
    )


def _lower_end(low: Shares) -> str:
    return (
        f"Lower end: {low.bandwidth:.0%} of the bandwidth for all bytes counted and, after that, "
        f"{low.arithmetic:.0%} of the peak for all arithmetic: the lowest shares that PyTorch on MPS "
        f"reached in figures that others published (memory: {low.bandwidth_from}; arithmetic: "
        f"{low.arithmetic_from}). Launching operators is in neither; a call that would take less than "
        f"{SHORTEST * 1e3:g} ms has no lower end, and one below {SHORTEST_AT_ALL * 1e3:g} ms by its upper "
        "end is not projected."
    )


def _work(shown: Iterable[Measurement]) -> tuple[list[Measurement], int]:
    """Return the newest counts of each workload, mode and batch; and how many are not float32."""
    kept: dict[object, Measurement] = {}
    left_out = set()
    ones = list(shown)
    for one in sorted(ones, key=lambda each: each.when):
        key = (one.workload, one.mode, one.batch_size)
        if one.dtype == "float32" and not one.emulated:
            kept[key] = one
        elif not one.emulated:
            left_out.add((*key, one.dtype))
    order = {id(one): number for number, one in enumerate(ones)}
    return sorted(kept.values(), key=lambda one: order[id(one)])[:MOST_ROWS], len(left_out)


def _table(onto: Chip, found: Sequence[Projected], left_out: int) -> Table:
    peak, memory = onto.fp32_tflops, onto.memory_bandwidth
    assert peak is not None  # noqa: S101  (``chip`` has looked)
    assert memory is not None  # noqa: S101
    return Table(
        caption=f"{name(onto)}: projected intervals",
        head=("workload", "projected from", "projected to", "counts", "upper end bound by"),
        rows=tuple(map(_row, found)),
        numeric=(False, True, True, False, False),
        notes=(
            f"From {memory.value:g} GB/s ({memory.kind}, {memory.source}) and {peak.value:g} TFLOP/s "
            f"in float32 ({peak.kind}, {peak.source}).",
            *(
                [
                    f"{counted(left_out, 'workload')} in half precision not projected: no peak is known."
                ]
                if left_out
                else []
            ),
        ),
    )


def _row(found: Projected) -> tuple[str, ...]:
    one = found.one
    low = "no lower end" if found.low is None else significant(found.low)
    counts = (
        f"{significant(one.flop_per_call / 1e9)} GFLOP, at most "
        f"{significant(one.bytes_per_call / 1e6)} MB a call"
    )
    if found.high is None:
        return (_label(one), "not projected", "not projected", counts, "launching, most likely")
    return (_label(one), low, f"{significant(found.high)} {one.unit}/s", counts, found.bound)


def _label(one: Measurement) -> str:
    return f"{one.workload} {MODES[one.mode]}, batch {one.batch_size} ({one.dtype})"


def _plots(of_chip: dict[Chip, list[Projected]]) -> Iterator[Plot]:
    """Yield a plot a workload and mode, of what has both ends."""
    lines: dict[tuple[str, str, str], dict[Chip, list[Projected]]] = {}
    for one, found in of_chip.items():
        for each in found:
            if each.low is not None and each.high is not None:
                kind = (each.one.workload, each.one.mode, each.one.unit)
                lines.setdefault(kind, {}).setdefault(one, []).append(each)
    for (workload, mode, unit), by_chip in lines.items():
        yield Plot(
            title=f"How fast might {workload} {'train' if mode == 'train' else 'run'}, by batch size?",
            x_label="batch size, samples",
            y_label=f"{unit}/s, projected",
            series=tuple(
                Series(name(one), tuple(map(_point, found)), projected=True)
                for one, found in by_chip.items()
            ),
            note="Each bar is the projected interval; the mark in it is only its geometric middle.",
        )


def _point(found: Projected) -> Point:
    assert found.low is not None  # noqa: S101  (the caller has looked)
    assert found.high is not None  # noqa: S101
    low = found.low
    text = f"batch {found.one.batch_size}: {significant(low)} to {significant(found.high)}"
    return Point(
        x=found.one.batch_size,
        y=(low * found.high) ** 0.5,
        low=low,
        high=found.high,
        label=f"{text} {found.one.unit}/s, projected {NO_VALUE} not measured",
    )
