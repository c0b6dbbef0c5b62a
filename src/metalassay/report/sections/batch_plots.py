"""How throughput grows with the batch size: one plot per workload and mode, one line per setting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from metalassay.machine.chips import Chip
from metalassay.machine.hardware import Hardware
from metalassay.report.machines import identity, natural
from metalassay.report.model import (
    Hint,
    Plot,
    Point,
    Section,
    Series,
    counted,
    not_shown,
    significant,
)
from metalassay.report.sections.benchmarks import (
    VERBS,
    Figures,
    device_name,
    figures,
    workload_order,
)
from metalassay.report.sections.side_by_side import Compared
from metalassay.results.parse import Measurement

MOST_SERIES = 8
"""Lines that fit into one plot; those with the most batch sizes are drawn."""
_LOG_FROM = 8  # ratio of the largest batch to the smallest from which the axis is logarithmic
_NOTE = "Bars: quartiles of the rounds, or of the processes where there were several."

Setting = tuple[str, ...]
"""Machine, dtype, device, threads, torch, malloc, identity: those of a line, whose points differ in the batch."""


def section(compared: Compared, shown: Sequence[Measurement]) -> Section:
    """Return the plots of the machines in ``compared``; ``shown`` are the newest measurements."""
    plots = tuple(_plots(compared, shown))
    return Section(
        id="throughput",
        title="Throughput by batch size",
        plots=plots,
        hint=None
        if plots
        else Hint(
            "No workload was measured at several batch sizes.",
            "nox -s bench -- --batch-size 1 --batch-size 8 --batch-size 64",
        ),
    )


def _plots(compared: Compared, shown: Sequence[Measurement]) -> Iterator[Plot]:
    of_plot: dict[tuple[str, str], list[Measurement]] = {}
    column = {machine: number for number, machine in enumerate(compared.machines)}
    for one in shown:
        if identity(one.machine) in column:
            of_plot.setdefault((one.workload, one.mode), []).append(one)
    for (workload, mode), ones in sorted(
        of_plot.items(), key=lambda item: workload_order(*item[0])
    ):
        plot = _plot(workload, mode, ones, compared, column)
        if plot is not None:
            yield plot


def _plot(
    workload: str,
    mode: str,
    ones: Iterable[Measurement],
    compared: Compared,
    column: dict[Hardware, int],
) -> Plot | None:
    """Return the plot, None if nothing was measured at two or more batch sizes."""
    lines: dict[Setting, dict[int, tuple[Measurement, Figures]]] = {}
    refused = 0
    unit = ""
    for one in sorted(ones, key=lambda m: m.when):
        number = column[identity(one.machine)]
        chip: Chip | None = compared.chips[number]
        computed = figures(one, chip)
        if computed.refused:
            refused += 1
            continue
        unit = one.unit
        line = lines.setdefault(_setting(one, compared.short[number]), {})
        line[one.batch_size] = (one, computed)
    if len({batch for line in lines.values() for batch in line}) < 2:
        return None
    drawn = sorted(lines, key=lambda setting: -len(lines[setting]))[:MOST_SERIES]
    drawn.sort(key=lambda setting: (list(compared.short).index(setting[0]), *map(natural, setting)))
    names = _names(drawn)
    batches = [batch for setting in drawn for batch in lines[setting]]
    notes = [_NOTE]
    if len(lines) > len(drawn):
        notes.append(not_shown(len(lines) - len(drawn), "further setting", done="drawn"))
    if refused:
        notes.append(not_shown(refused, "refused measurement", done="drawn"))
    return Plot(
        title=f"How fast does {workload} {VERBS[mode]}, by batch size?",
        x_label="batch size, samples",
        y_label=f"{unit}/s",
        series=tuple(
            Series(
                name,
                tuple(_point(batch, *lines[setting][batch]) for batch in sorted(lines[setting])),
            )
            for name, setting in zip(names, drawn, strict=True)
        ),
        x_log=max(batches) >= _LOG_FROM * min(batches),
        note=" ".join(notes),
    )


def _setting(one: Measurement, machine: str) -> Setting:
    on_cpu = one.device == "cpu"
    return (
        machine,
        one.dtype,
        device_name(one),
        counted(one.threads, "thread") if on_cpu else "",
        one.software if one.framework != "torch" else f"torch {one.software}",
        f"malloc {one.malloc}" if on_cpu else "",
        one.identity,
    )


def _names(settings: Sequence[Setting]) -> list[str]:
    """Name each setting by its machine, and by everything else that differs between them."""
    varied = [len(set(values)) > 1 for values in zip(*settings, strict=True)]
    names = []
    for setting in settings:
        parts = [
            part
            for part, vary, number in zip(setting, varied, range(len(setting)), strict=True)
            if part and (number == 0 or vary)
        ]
        if varied[-1]:
            parts[-1] = f"code {setting[-1]}"
        names.append(", ".join(parts))
    return names


def _point(batch: int, one: Measurement, computed: Figures) -> Point:
    rate = computed.rate
    spread = ""
    if rate.slow is not None and rate.fast is not None:
        spread = f", quartiles {significant(rate.slow)} to {significant(rate.fast)}"
    return Point(
        x=batch,
        y=rate.median,
        low=rate.slow,
        high=rate.fast,
        label=f"batch {batch}: {significant(rate.median)} {one.unit}/s{spread}",
    )
