"""MLX beside PyTorch: the same workloads on the devices of one machine, a column for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from metalassay.machine.chips import Chip
from metalassay.machine.hardware import Hardware
from metalassay.report import statistics
from metalassay.report.machines import identity, names, rehearsed
from metalassay.report.model import NOT_MEASURED, Section, Table, counted, not_shown, significant
from metalassay.report.sections.benchmarks import (
    Figures,
    FindChip,
    figures,
    row_label,
    workload_order,
)
from metalassay.report.sections.comparison import ratio_text, refusal
from metalassay.report.sections.side_by_side import Ratio
from metalassay.results.measurement import MLX, Measurement

MOST_ROWS = 200
_SENTENCES = (
    "The models have the same parameters, weights, batches and optimiser in both frameworks, and losses that agree; "
    "dropout is on. MLX's step is compiled by mx.compile and ends in mx.eval, PyTorch's is eager and ends in a "
    "synchronize. Light curves have their channel last in MLX and first in PyTorch, as each wants them.",
)
_OFF_A_MAC = "MLX has no GPU here, and its wheels for Linux bring the reference BLAS: these times say nothing about a Mac."


def section(shown: Sequence[Measurement], find_chip: FindChip) -> Section | None:
    """Return a table per machine that has run MLX, None if none has; ``shown`` are the newest measurements."""
    name_of = names((one.machine for one in shown), rehearsed(shown))
    tables = []
    for machine, name in name_of.items():
        own = [one for one in shown if identity(one.machine) == machine]
        if any(one.framework == MLX for one in own):
            tables.append(_table(name, machine, own, find_chip(machine)))
    if not tables:
        return None
    return Section(
        id="frameworks",
        title="MLX beside PyTorch",
        sentences=_SENTENCES,
        tables=tuple(tables),
    )


def _table(name: str, machine: Hardware, own: Sequence[Measurement], chip: Chip | None) -> Table:
    rows: dict[tuple[str, str, int, str], dict[str, Measurement]] = {}
    for one in sorted(own, key=lambda m: (m.malloc == "default", m.threads, m.when)):
        # Of several, the one with the most threads, and the newest of those.
        rows.setdefault((one.workload, one.mode, one.batch_size, one.dtype), {})[_column(one)] = one
    rows = {key: row for key, row in rows.items() if any(o.framework == MLX for o in row.values())}
    keys = sorted(rows, key=lambda key: (*workload_order(key[0], key[1]), key[2:]))
    columns = sorted({column for row in rows.values() for column in row}, key=_order)
    ours = [column for column in columns if column.startswith("MLX")]
    pairs = [(mine, other) for mine in ours for other in columns if other not in ours]
    cells = [
        (
            row_label(*key[:3], key[3]),
            *(_rate(rows[key].get(column), chip) for column in columns),
            *(ratio_text(_ratio(rows[key], mine, other, chip)) for mine, other in pairs),
        )
        for key in keys[:MOST_ROWS]
    ]
    used = [one for key in keys[:MOST_ROWS] for one in rows[key].values()]
    return Table(
        caption=f"{name}: PyTorch and MLX",
        head=("", *columns, *(f"{mine} / {other}" for mine, other in pairs)),
        rows=tuple(cells),
        numeric=(False, *[True] * (len(columns) + len(pairs))),
        notes=tuple(_notes(machine, used, cut=len(keys) - len(cells))),
    )


def _column(one: Measurement) -> str:
    return one.where if one.framework == MLX else f"PyTorch, {one.where}"


def _order(column: str) -> tuple[bool, str]:
    return column.startswith("MLX"), column


def _figures(one: Measurement | None, chip: Chip | None) -> Figures | None:
    return None if one is None else figures(one, chip)


def _rate(one: Measurement | None, chip: Chip | None) -> str:
    computed = _figures(one, chip)
    if one is None or computed is None:
        return NOT_MEASURED
    if computed.refused:
        return refusal((one, computed))
    wrong = ", WRONG NUMBERS" if one.parity else ""
    return f"{significant(computed.rate.median)} {one.unit}/s{wrong}"


def _ratio(row: dict[str, Measurement], mine: str, other: str, chip: Chip | None) -> Ratio:
    first, second = row.get(other), row.get(mine)
    if first is None or second is None:
        return Ratio(None, why="not measured on both")
    if figures(first, chip).refused or figures(second, chip).refused:
        return Ratio(None, why="refused")
    if reasons := statistics.framework_differences(first, second):
        return Ratio(None, why=f"not comparable: {'; '.join(reasons)}")
    of_first, of_second = _rates(first), _rates(second)
    return Ratio(
        median(of_second) / median(of_first), statistics.bootstrap_ratio(of_first, of_second)
    )


def _rates(one: Measurement) -> list[float]:
    """Return the throughput of each process, or of the one process that there is."""
    seconds = one.seconds if one.processes > 1 else (median(one.seconds),)
    return [one.items_per_call / each for each in seconds]


def _notes(machine: Hardware, used: Iterable[Measurement], cut: int) -> Iterator[str]:
    used = list(used)
    yield (
        "Ratios are of throughputs, above 1 where MLX is faster; in brackets a 95 % bootstrap interval over processes, "
        "from five a side on (pytest benchmarks --processes 5). A ratio without one is of two single processes."
    )
    for column in sorted({_column(one) for one in used}, key=_order):
        of_column = [one for one in used if _column(one) == column]
        versions = ", ".join(dict.fromkeys(one.software for one in of_column))
        threads = sorted({one.threads for one in of_column})
        on_cpu = any(one.device == "cpu" for one in of_column)
        text = f", {' or '.join(counted(number, 'thread') for number in threads)}" if on_cpu else ""
        named = versions if column.startswith("MLX") else f"torch {versions}"
        yield f"{column}: {named}{text}."
    if machine.system != "Darwin":
        yield _OFF_A_MAC
    if cut:
        yield f"{not_shown(cut, 'further row')} To see more, name fewer files."
