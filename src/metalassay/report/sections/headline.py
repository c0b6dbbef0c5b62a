"""The headline of a report in three sentences: what was run where, what broke, and how fast it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from metalassay.machine.hardware import Hardware
from metalassay.report.machines import names, natural, rehearsed
from metalassay.report.model import REHEARSAL, SLOW, CompatTable, counted, significant
from metalassay.report.sections.benchmarks import spread
from metalassay.report.sections.comparison import ratio_text
from metalassay.report.sections.compat_runs import Shown
from metalassay.report.sections.side_by_side import Compared, Row, Side
from metalassay.results.parse import LargestBatch, Measurement

_MOST_NAMES = 3  # a sentence with more is hard to read


def sentences(
    sets: Sequence[Shown],
    compat: CompatTable | None,
    measured: Sequence[Measurement],
    batches: Sequence[LargestBatch],
    compared: Compared,
    number: int = 0,
    suites: str = "",
) -> tuple[str, str, str]:
    """Return the three sentences, which also name what was not run.

    ``number`` counts the measurements that were read, including those that newer ones supersede; ``suites``
    says what was read of other projects.
    """
    run = _run(sets, measured, batches, max(number, len(measured)), suites)
    speed = _speed(compared)
    if suites and not measured:
        speed = "The speed of metalassay's own workloads was not measured."
    return run, _compatibility(compat), speed


def _run(
    sets: Sequence[Shown],
    measured: Sequence[Measurement],
    batches: Sequence[LargestBatch],
    number: int,
    suites: str,
) -> str:
    parts = []
    if measured:
        workloads = sorted({one.workload for one in measured}, key=natural)
        parts.append(
            f"{counted(number, 'measurement')} of {_listed(workloads)} on "
            f"{_machines((one.machine for one in measured), rehearsed([*measured, *batches]))}"
        )
    runs = [one.run for one in sets if one.run]
    installed = [one for one in runs if not one.not_installable]
    if installed:
        where = _machines(one.hardware for one in installed)
        parts.append(f"the known bugs in {counted(len(installed), 'version set')} on {where}")
    if len(runs) > len(installed):
        impossible = counted(len(runs) - len(installed), "version set")
        parts.append(f"{impossible} that could not be installed")
    if len(sets) > len(runs):
        parts.append(f"{counted(len(sets) - len(runs), 'version set')} whose run did not finish")
    if batches:
        parts.append(f"{counted(len(batches), 'search', 'searches')} for the largest batch")
    if suites:
        parts.append(suites)
    if not parts:
        return "Nothing was run: no result file was read."
    return f"What was run: {'; '.join(parts)}."


def _machines(machines: Iterable[Hardware], rehearsals: frozenset[Hardware] = frozenset()) -> str:
    return _listed(list(names(machines, rehearsals).values()))


def _listed(texts: Sequence[str]) -> str:
    """Return "a, b and 2 more"."""
    # "and 1 more" would be as long as the name.
    shown = list(texts if len(texts) == _MOST_NAMES + 1 else texts[:_MOST_NAMES])
    if len(texts) > len(shown):
        shown.append(f"{len(texts) - len(shown)} more")
    *first, last = shown
    return f"{', '.join(first)} and {last}" if first else last


def _compatibility(compat: CompatTable | None) -> str:
    if compat is None:
        return "Compatibility was not tested: no verdict file was read."
    cells = [
        (row.id, column.id, cell)
        for row in compat.rows
        for column, cell in zip(compat.columns, row.cells, strict=True)
    ]
    tones = compat.counts()
    rest = _tones(tones)
    remarks = (
        f"; incomplete or not comparable: {', '.join(compat.remarks)}" if compat.remarks else ""
    )
    ran = sum(tones[tone] for tone in ("red", "fine", "broken", "patched"))
    if not ran:
        return f"Compatibility: nothing was tested{f', {rest}' if rest else ''}{remarks}."
    if tones["red"]:
        reds = [
            f"{bug} with {version_set} ({cell.text.removeprefix('RED: ')})"
            for bug, version_set, cell in cells
            if cell.tone == "red"
        ]
        others = f"; the others: {rest}" if rest else ""
        return (
            f"Compatibility: {tones['red']} of {ran:,} tested cells RED: {_listed(reds)}{others}"
            f"{remarks}."
        )
    return f"Compatibility: as our data predicts in all {ran:,} tested cells: {rest}{remarks}."


def _tones(tones: Counter[str]) -> str:
    broken = tones["broken"] + tones["patched"]
    parts = [
        (tones["fine"], "fine"),
        (broken, f"broken as known (a patch fixes {tones['patched']})"),
        (tones["untested"], "not tested"),
        (tones["slow"], SLOW),
        (tones["absent"], "not installable"),
        (tones["unreadable"], "unreadable"),
        (tones["unfinished"], "not finished"),
    ]
    return ", ".join(f"{number:,} {word}" for number, word in parts if number)


def _speed(compared: Compared) -> str:
    if not compared.rows:
        return "Speed was not measured: no benchmark run was read."
    wrong = {
        f"{side[0].workload} on {side[0].where}"
        for row in compared.rows
        for side in row.sides
        if side and side[0].parity
    }
    warning = f"WRONG NUMBERS in {_listed(sorted(wrong))}: " if wrong else ""
    text = _of_one(compared) if len(compared.names) == 1 else _of_several(compared)
    return f"{warning}{text}{_refused(compared.rows)}."


def _refused(rows: Iterable[Row]) -> str:
    reasons = [side[1].refused for row in rows for side in row.sides if side]
    refused = sum(reason is not None for reason in reasons)
    return f"; {refused} of {counted(len(reasons), 'measurement')} refused" if refused else ""


def _of_one(compared: Compared) -> str:
    """Return the throughput of the first workload at its best batch size."""
    best: tuple[Row, Side] | None = None
    for row in compared.rows:
        for side in row.sides:
            if side is None or side[1].refused:
                continue
            if best is None:
                best = row, side
            same = row.key[:2] == best[0].key[:2]
            if same and side[1].rate.median > best[1][1].rate.median:
                best = row, side
    if best is None:
        return f"No speed can be given for {compared.names[0]}"
    row, (one, computed) = best
    sizes = {other.key[2] for other in compared.rows if other.key[:2] == row.key[:2]}
    at_best = f", the best of {len(sizes)} batch sizes" if len(sizes) > 1 else ""
    quartiles = f", quartiles {spread(computed.rate)}" if computed.rate.slow is not None else ""
    threads = f", {counted(one.threads, 'thread')}" if one.device == "cpu" else ""
    return (
        f"{row.label}{threads}: {significant(computed.rate.median)} {row.unit}/s{at_best}{quartiles}; "
        f"no ratio, because only {compared.names[0]} was measured"
    )


def _of_several(compared: Compared) -> str:
    """Return one ratio and the range of all of them.

    The ratio is that of the first workload that has one, with an interval if any has, at the batch
    size at which the first machine is fastest.
    """
    rows = [row for row in compared.rows if row.ratios[0].value is not None]
    pair = f"{compared.short[1]} over {compared.short[0]}"
    if not rows:
        reasons = dict.fromkeys(
            row.ratios[0].why
            for row in compared.rows
            if row.ratios[0].why != "not measured on both"
        )
        texts = ["the device was emulated" if why == REHEARSAL else why for why in reasons]
        why = _listed(texts) if texts else "no workload was measured on both"
        return f"{pair}: no ratio, {why}"
    preferred = [row for row in rows if row.ratios[0].span] or rows
    same_workload = [row for row in preferred if row.key[:2] == preferred[0].key[:2]]
    first = max(same_workload, key=_rate_of_first)
    text = f"{pair}: {ratio_text(first.ratios[0])} in {first.label}"
    if first.ratios[0].span:
        text += " (in brackets: 95 % bootstrap interval over processes)"
    else:
        text += " (of two single runs, so without an interval)"
    if len(rows) > 1:
        values = [row.ratios[0].value or 0.0 for row in rows]
        low, high = f"{min(values):.2f}x", f"{max(values):.2f}x"
        text += (
            f", {low if low == high else f'{low} to {high}'} in the {len(rows)} rows with a ratio"
        )
    incomparable = sum(row.ratios[0].why.startswith("not comparable") for row in compared.rows)
    return text + (f"; {counted(incomparable, 'row')} not comparable" if incomparable else "")


def _rate_of_first(row: Row) -> float:
    side = row.sides[0]
    return side[1].rate.median if side else 0.0
