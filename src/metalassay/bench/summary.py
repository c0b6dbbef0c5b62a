"""The table at the end of `metalassay bench`: this run, the last one, and figures that others published.

Published figures are always named as such. Nobody published our workloads for these chips, so they stand beside
the matrix product and the memory bandwidth that the self-test measures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metalassay.machine import chips, published
from metalassay.machine.published import Published
from metalassay.report import statistics
from metalassay.report.model import NO_VALUE, NOT_MEASURED, Table, significant
from metalassay.report.sections.benchmarks import (
    Figures,
    figures,
    row_label,
    spread,
    workload_order,
)
from metalassay.results.max_batch_file import LargestBatch
from metalassay.results.measurement import Measurement

CHIPS = ("Apple M4", "Apple M4 Pro")
"""The chips whose published figures stand beside those of this machine."""
NO_DIFFERENCE = "no difference seen"
ON_TWO_RUNS = (
    f'"{NO_DIFFERENCE}": the ranges between the quartiles overlap. Two single runs give no verdict on a ratio;'
    " `metalassay compare` does."
)
_ON = {"mps": "gpu", "cuda": "gpu", "gpu": "gpu", "cpu": "cpu"}
_PEAKS = {"matrix product": "arithmetic", "memory bandwidth": "bandwidth"}
_DRIFT = re.compile(r"drifted: the last third of the rounds took ([+-]\d+%)")
_REFUSED = "refused: rehearsal"


@dataclass(frozen=True)
class Row:
    """One measurement of this run with its figures, and what the last run says about it.

    ``ratio`` is this throughput over the last one, None where there is none, for the reason ``why``.
    ``apart``: the ranges between the quartiles do not overlap. ``doubtful``: one of the two runs has a mark.
    """

    one: Measurement
    computed: Figures
    ratio: float | None = None
    apart: bool = False
    doubtful: bool = False
    why: str = ""

    @property
    def label(self) -> str:
        """The name of the row, as in "mps: transit-cnn training, batch 64"."""
        one = self.one
        return f"{one.device}: {row_label(one.workload, one.mode, one.batch_size)}"


def rows(measured: Iterable[Measurement], last: Iterable[Measurement]) -> list[Row]:
    """Return the rows of a run, in the order of the devices, each compared with the last run.

    Two runs cannot be paired, so no difference is called significant (``report.statistics``): quartiles that
    overlap are "no difference seen", and quartiles apart are a ratio to look into with `metalassay compare`.
    """
    before = {_key(one): one for one in last}
    return [_row(one, before.get(_key(one))) for one in sorted(measured, key=_order)]


def _order(one: Measurement) -> tuple[object, ...]:
    return (one.device == "cpu", *workload_order(one.workload, one.mode), one.batch_size)


def _key(one: Measurement) -> tuple[object, ...]:
    return (one.workload, one.mode, one.batch_size, one.dtype, one.device)


def _row(one: Measurement, last: Measurement | None) -> Row:
    computed = figures(one, chips.find(one.machine))
    if last is None:
        return Row(one, computed)
    refused = figures(last, chips.find(last.machine)).refused
    reasons = [*statistics.differences(last, one), *([refused] if refused else [])]
    if computed.refused or reasons:
        return Row(one, computed, why="; ".join(reasons) or "refused")
    now = computed.rate
    then = statistics.throughput(last.seconds, last.items_per_call)
    doubtful = bool(last.flags or one.flags)
    return Row(one, computed, statistics.ratio(then, now), _apart(then, now), doubtful)


def _apart(one: statistics.Throughput, other: statistics.Throughput) -> bool:
    if one.slow is None or one.fast is None or other.slow is None or other.fast is None:
        return False
    return one.fast < other.slow or other.fast < one.slow


def table(
    run: Sequence[Row],
    roofs: Mapping[str, Mapping[str, Any]],
    *,
    failed: Sequence[tuple[str, str]] = (),
    batches: Sequence[LargestBatch] = (),
) -> Table:
    """Return the table of a run. ``roofs`` are the measured peaks by device, ``failed`` labels with reasons."""
    none = (NO_VALUE,) * len(CHIPS)
    lines: list[tuple[str, ...]] = [(row.label, _rate(row), *none) for row in run]
    lines += [(label, why, *none) for label, why in failed]
    for one in batches:
        lines.append(
            (f"{one.device}: largest batch, {one.workload} {one.mode}", _largest(one), *none)
        )
    emulated = any(row.one.emulated for row in run)
    for device in _with_a_gpu(roofs):
        for name, what in _PEAKS.items():
            here = _peak(roofs[device], what) if device in roofs else NOT_MEASURED
            beside = [span(figures_of(chip, what, device)) for chip in CHIPS]
            lines.append((f"{device}: {name}", _REFUSED if emulated else here, *beside))
    head = ("", "this machine", *(f"{chip}, published" for chip in CHIPS))
    return Table("", head, tuple(lines), (False,) * len(head), notes=tuple(_notes(run)))


def sources(roofs: Iterable[str]) -> list[str]:
    """Return the addresses of the published figures in the table."""
    figures = [
        figure
        for device in _with_a_gpu(roofs)
        for chip in CHIPS
        for what in _PEAKS.values()
        for figure in figures_of(chip, what, device)
    ]
    return list(dict.fromkeys(figure.source for figure in figures))


def _with_a_gpu(roofs: Iterable[str]) -> list[str]:
    """Return the devices of the peaks; "gpu" stands for one that is not there, beside the published ones."""
    devices = list(roofs)
    return devices if any(_ON[each] == "gpu" for each in devices) else ["gpu", *devices]


def _rate(row: Row) -> str:
    if row.computed.refused:
        return _REFUSED if row.one.emulated else f"refused: {row.computed.refused}"
    wrong = ", WRONG NUMBERS" if row.one.parity else ""
    rate = row.computed.rate
    return f"{significant(rate.median)} {row.one.unit}/s ({spread(rate)}){wrong}"


def change(row: Row) -> str:
    """Return what became of the last run's speed, in words."""
    if row.why:
        return f"not compared: {row.why}"
    if row.ratio is None:
        return "not measured then"
    doubt = "; a run was doubtful" if row.doubtful else ""
    if not row.apart:
        return f"{NO_DIFFERENCE} ({row.ratio:.2f}x{doubt})"
    return f"{row.ratio:.2f}x (the quartiles do not overlap{doubt})"


def _largest(one: LargestBatch) -> str:
    if one.emulated:
        return _REFUSED
    return f"{one.largest:,}" if one.limit else f"{one.largest:,} or more"


def _peak(roof: Mapping[str, Any], what: str) -> str:
    if what == "arithmetic":
        return f"{significant(roof['gflop_s'] / 1e3)} TFLOP/s"
    return f"{significant(roof['gb_s'])} GB/s"


def figures_of(chip: str, what: str, device: str) -> list[Published]:
    """Return the published figures of a chip that the self-test measures too: float32 products, streams."""
    kinds = {"arithmetic": "matrix product", "bandwidth": "stream"}
    return [
        figure
        for figure in published.load()
        if (figure.chip, figure.what, figure.on) == (chip, what, _ON[device])
        and figure.work == kinds[what]
        and figure.dtype in ("", "float32")
    ]


def span(found: Sequence[Published]) -> str:
    """Return figures as a range with its unit, as in "2.88 to 3.31 TFLOP/s"; a dash without any."""
    if not found:
        return NO_VALUE
    low, high = min(one.low for one in found), max(one.high for one in found)
    values = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"{values} {published.UNITS[found[0].what]}"


def _notes(run: Sequence[Row]) -> Iterator[str]:
    yield (
        "Median of the rounds and, in brackets, the quartiles; peaks are the best of many tries. Published:"
        " measured by others with other programs, all variants of a chip together; nobody published these"
        " workloads."
    )
    if any(row.one.emulated for row in run):
        return  # no time is shown that could be doubtful
    flagged: dict[str, list[str]] = {}
    drifted = []
    for row in run:
        for flag in row.one.flags:
            by = _DRIFT.match(flag)
            if by:
                drifted.append(f"{row.label} ({by[1]})")
            else:
                flagged.setdefault(flag, []).append(row.label)
    for flag, labels in flagged.items():
        where = "" if len(labels) == len(run) else f" ({'; '.join(labels)})"
        yield f"Doubtful: {flag}{where}"
    if drifted:
        yield (
            "Doubtful: the time of a round drifted from the first third of the rounds to the last:"
            f" {', '.join(drifted)}"
        )
