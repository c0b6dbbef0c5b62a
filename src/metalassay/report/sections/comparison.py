"""Two or more machines side by side, in the rows in which people compare an M4 with an M4 Pro.

Every such row is present; what was not measured says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from metalassay.machine import published, roofline_model
from metalassay.machine.chips import Chip
from metalassay.report.machines import natural
from metalassay.report.model import (
    NO_VALUE,
    NOT_MEASURED,
    REHEARSAL,
    Table,
    not_shown,
    significant,
)
from metalassay.report.sections import plausibility
from metalassay.report.sections.benchmarks import MODES, WORKLOADS, bandwidth, spread
from metalassay.report.sections.side_by_side import (
    Compared,
    Ratio,
    Row,
    Side,
    batch_ratios,
    per_watt_ratios,
    watts_ratios,
)
from metalassay.results.parse import LargestBatch

_UNKNOWN = "bandwidth of this machine not known"
ON_SYSTEMS = (
    "Two versions of macOS at a ratio: the machines ran different ones. macOS includes the compiler of the GPU's "
    "kernels and the libraries of the CPU, so a part of the ratio may come from there. It is shown nevertheless, "
    "because a Mac cannot run a macOS from before its release."
)
"""What the mark of a ratio means."""
ON_MODELLED = (
    "Modelled watts come from the maker's model of the chip and may be off by tens of per cent in absolute terms, "
    "and so may their ratio between two chips."
)
ON_REHEARSAL = "Rehearsal: the device was emulated on another machine, so there is no figure of this one and no ratio."
_NOTE = (
    "A cell gives the median and, in brackets, the quartiles; a ratio is that of the medians. Two saved runs "
    "are two single processes, from which no confidence interval can be computed, so a small difference "
    "may be due to chance."
)
_NOTE_ON_PROCESSES = (
    "Brackets after a ratio: 95 % interval of a bootstrap over the processes of each machine. Runs of "
    "different days and machines are not paired, so the interval shows the variation between processes and "
    "not whether the difference is significant."
)
_NOTE_ON_FASTEST = (
    "Bandwidth and power are those at the batch size at which a workload was fastest, among the batch sizes "
    "measured on most machines; `metalassay report --csv` exports all of them."
)
_NOTE_ON_BATCHES = (
    "The maximum batch size is the largest that fitted into memory. Each attempt runs in a process of its own and "
    "ends when less than a tenth of the memory is left. In brackets: the smallest that did not fit, and why; "
    "after a ratio, what the two searches leave open."
)


def table(compared: Compared) -> Table | None:
    """Return the comparison, None for fewer than two machines. Ratios are over the first machine."""
    machines = len(compared.names)
    if machines < 2:
        return None
    refusals = (side[1].refused for row in compared.rows for side in row.sides if side)
    short = compared.short
    return Table(
        caption=" vs ".join(short),
        head=("", *compared.names, *(f"{other} / {short[0]}" for other in short[1:])),
        rows=(
            *_throughputs(compared),
            *_batches(compared),
            *_bandwidths(compared),
            *_powers(compared),
        ),
        numeric=(False, *[True] * (2 * machines - 1)),
        notes=(
            _NOTE,
            *_on_processes(compared),
            *([_NOTE_ON_BATCHES] if compared.batches else []),
            *([_NOTE_ON_FASTEST] if len(_fastest(compared.rows)) < len(compared.rows) else []),
            *(f"refused: {reason}" for reason in dict.fromkeys(refusals) if reason),
            *notes_on_ratios(
                [
                    *(ratio for row in compared.rows for ratio in row.ratios),
                    *(ratio for one in compared.batches.values() for ratio in batch_ratios(one)),
                ]
            ),
            *([ON_MODELLED] if _modelled(compared.rows) else []),
            *_far_ratios(compared),
            *_left_out(compared),
        ),
    )


def notes_on_ratios(ratios: Iterable[Ratio]) -> Iterator[str]:
    """Yield what the marks of ratios mean, and what to do where the versions of torch rule one out."""
    known = list(ratios)
    if any(ratio.mark for ratio in known):
        yield ON_SYSTEMS
    if any(ratio.why.startswith("not comparable: torch ") for ratio in known):
        yield (
            "Different versions of torch are not compared, as their kernels differ: install the same one on "
            "both machines and measure again."
        )
    if any(ratio.why == REHEARSAL for ratio in known):
        yield ON_REHEARSAL


def _modelled(rows: Iterable[Row]) -> bool:
    return any(side and ", modelled, " in side[0].watts_from for row in rows for side in row.sides)


def _on_processes(compared: Compared) -> Iterator[str]:
    if any(ratio.span for row in compared.rows for ratio in row.ratios):
        yield _NOTE_ON_PROCESSES


def _left_out(compared: Compared) -> Iterator[str]:
    if compared.left_out:
        yield (
            f"{not_shown(compared.left_out, 'further machine')} Shown are those with the most measurements; "
            "choose others with --machine NAME."
        )


def _far_ratios(compared: Compared) -> Iterator[str]:
    """Yield the ratios on the GPU that are outside the range of published ratios."""
    for number, chip in enumerate(compared.chips[1:], 1):
        first = compared.chips[0]
        if chip is None or first is None:
            continue
        known = published.ratios(published.of(first), published.of(chip))
        if not known:
            continue
        low, high = min(known.values()), max(known.values())
        for row in compared.rows:
            value = row.ratios[number - 1].value
            if row.key[4] == "mps" and value is not None and not low <= value <= high:
                yield (
                    f"{row.label}: {value:.2f}x is outside the range of published figures for "
                    f"{compared.short[number]} over {compared.short[0]}, {low:.2f}x to {high:.2f}x "
                    f"({', '.join(known)})."
                )


def _throughputs(compared: Compared) -> Iterator[tuple[str, ...]]:
    machines = len(compared.names)
    further = {row.key[0] for row in compared.rows} - set(WORKLOADS)
    for workload in (*WORKLOADS, *sorted(further, key=natural)):
        for mode, word in MODES.items():
            rows = [row for row in compared.rows if row.key[:2] == (workload, mode)]
            for row in rows:
                label = row.label.replace(f" {word}, ", f" {word}, {row.unit}/s, ", 1)
                yield (label, *map(rate_text, row.sides), *map(ratio_text, row.ratios))
            if not rows and workload in WORKLOADS:
                yield _unmeasured(f"{workload} {word}, {WORKLOADS[workload]}/s", machines)


def _batches(compared: Compared) -> Iterator[tuple[str, ...]]:
    machines = len(compared.names)
    for (workload, mode, dtype, device), searches in compared.batches.items():
        label = f"maximum batch size, {workload} {MODES[mode]} ({dtype}, {device})"
        ratios = map(ratio_text, batch_ratios(searches))
        yield (label, *map(batch_text, searches), *ratios)
    if not compared.batches:
        yield _unmeasured("maximum batch size", machines)


def _bandwidths(compared: Compared) -> Iterator[tuple[str, ...]]:
    label, machines = "memory bandwidth utilisation", len(compared.names)
    rows = [
        row
        for row in _fastest(compared.rows)
        if any(
            side and (bandwidth(chip) or plausibility.roofline(side[0], chip))
            for side, chip in zip(row.sides, compared.chips, strict=True)
        )
    ]
    for row in rows:
        cells = map(_bandwidth, row.sides, compared.chips)
        yield (f"{label}, {row.label}", *cells, *_no_ratio(machines))
    if not rows:
        unknown = _UNKNOWN if compared.rows else NOT_MEASURED
        yield (label, *[unknown] * machines, *_no_ratio(machines))


def _powers(compared: Compared) -> Iterator[tuple[str, ...]]:
    """Yield watts with their rail, and items/s per watt, where a power counter was read."""
    machines = len(compared.names)
    rows = _fastest(
        row for row in compared.rows if any(side and side[0].watts for side in row.sides)
    )
    for row in rows:
        of_watts = map(ratio_text, watts_ratios(row.sides))
        yield (f"power, W, {row.label}", *map(watts_text, row.sides), *of_watts)
        per_watt = map(ratio_text, per_watt_ratios(row.sides))
        yield (f"{row.unit}/s per watt, {row.label}", *map(per_watt_text, row.sides), *per_watt)
    if not rows:
        yield _unmeasured("power, W", machines)
        yield _unmeasured("samples/s per watt", machines)


def _fastest(rows: Iterable[Row]) -> list[Row]:
    """Return for each workload and setting the row of the batch size at which it was fastest."""
    fastest: dict[object, Row] = {}
    for row in rows:
        workload, mode, _, dtype, device = row.key
        setting = (workload, mode, dtype, device)
        if setting not in fastest or _rates(row) > _rates(fastest[setting]):
            fastest[setting] = row
    return list(fastest.values())


def _rates(row: Row) -> tuple[int, float]:
    """Return on how many machines a row has a throughput, and the first of those throughputs."""
    rates = [side[1].rate.median for side in row.sides if side and not side[1].refused]
    return len(rates), rates[0] if rates else 0.0


def watts_text(side: Side | None) -> str:
    """Return the watts of a measurement with their rail, source and tool."""
    if side is None or side[0].watts is None:
        return NOT_MEASURED
    if side[1].refused:
        return refusal(side)
    return f"{significant(side[0].watts)} ({side[0].watts_from})"


def per_watt_text(side: Side | None) -> str:
    """Return the items per second and watt, which are the items per joule."""
    if side is None or side[0].per_watt is None:
        return NOT_MEASURED
    return refusal(side) if side[1].refused else significant(side[0].per_watt)


def _unmeasured(label: str, machines: int) -> tuple[str, ...]:
    return (label, *[NOT_MEASURED] * machines, *_no_ratio(machines))


def _no_ratio(machines: int) -> tuple[str, ...]:
    return (NO_VALUE,) * (machines - 1)


def rate_text(side: Side | None) -> str:
    """Return the median of a throughput with its quartiles."""
    if side is None:
        return NOT_MEASURED
    rate = side[1].rate
    return refusal(side) if side[1].refused else f"{significant(rate.median)} ({spread(rate)})"


def ratio_text(ratio: Ratio) -> str:
    """Format a ratio as "2.00x", with its interval and its mark, or else why there is none."""
    if ratio.value is None:
        if ratio.why == REHEARSAL:
            return f"none: {REHEARSAL}"
        if not ratio.why.startswith(("not comparable", "at ")):
            return NO_VALUE
    mark = f" ({ratio.mark})" if ratio.mark else ""
    if ratio.value is None:
        return f"{ratio.why}{mark}"
    span = f" [{ratio.span[0]:.2f}, {ratio.span[1]:.2f}]" if ratio.span else ""
    return f"{ratio.value:.2f}x{span}{mark}"


def refusal(side: Side) -> str:
    """Return what a cell shows instead of a figure: "refused", with the reason if it is a rehearsal."""
    return f"refused: {REHEARSAL}" if side[0].emulated else "refused"


def batch_text(search: LargestBatch | None) -> str:
    """Return the largest batch size that fitted, and the smallest that did not."""
    if search is None:
        return NOT_MEASURED
    if search.emulated:
        return f"refused: {REHEARSAL}"  # its memory is that of another device
    if search.limit is None:
        return f"{search.largest:,} or more (the largest that was tried)"
    return f"{search.largest:,} ({search.limit:,}: {search.why})"


def _bandwidth(side: Side | None, chip: Chip | None) -> str:
    if side is None:
        return NOT_MEASURED
    one, computed = side
    if computed.refused:
        return refusal(side)
    limit, share, whose = bandwidth(chip), computed.share, ""
    roofline = plausibility.roofline(one, chip)
    if limit is None and roofline is not None:
        limit, whose = roofline.gb_s, " of its triad"
        share = roofline_model.bandwidth_share(computed.gb_s, limit)
    if limit is None:
        return _UNKNOWN
    limit_text = f"{significant(limit) if whose else f'{limit:g}'} GB/s{whose}"
    if share is None:
        return f"not known: the count exceeds {limit_text}"
    return f"at most {share:.0%} of {limit_text}"
