"""Logs of training runs as a section: the load of the machine over time, and how the loss fell.

Two kinds of JSON lines are read. A run's own have ``step`` and ``loss``. A monitor's have ``t`` in
seconds, ``cpu_percent`` and ``memory_free_percent``, below a first line with the schema's name and
``started``, which comes again where a run was resumed; older ones have ``timestamp``, ``cpu`` and
``memory_free``, perhaps ``machine_cpu``, and no first line. See metalassay.training.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from metalassay.fields import Field, FieldError
from metalassay.report.rows import (
    NO_VALUE,
    Plot,
    Point,
    Section,
    Series,
    Table,
    counted,
    significant,
)

MOST_POINTS = 200
"""Of a line; longer logs are averaged, with the least and the most as its bars."""
SCHEMA = "metalassay.monitor/1"
_LATEST = 1e12  # seconds since 1970: the year 33658


@dataclass(frozen=True)
class Log:
    """One file. ``load`` holds (seconds since its start, CPU %, memory free %), ``loss`` (step, loss).

    CPU is that of the whole machine where the log has it, else of the program; 100 is all cores.
    """

    name: str
    load: tuple[tuple[float, float, float], ...] = ()
    loss: tuple[tuple[float, float], ...] = ()


def parse(content: bytes, name: str) -> Log:
    """Read a log of either kind. A last line that was cut off is left out.

    Raises ``FieldError``, naming the line, for anything else.
    """
    try:
        lines = content.decode("utf-8").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise FieldError(f"not UTF-8 text (byte {error.start})") from None
    load: list[tuple[float, float, float]] = []
    loss: list[tuple[float, float]] = []
    first: datetime | None = None
    offset = 0.0  # of a resumed run, from the start of the log
    for number, line in enumerate(lines, 1):
        try:
            top = Field(json.loads(line), f"line {number}")
        except (ValueError, RecursionError):
            if number == len(lines) and not line.endswith("\n"):
                break  # the program was killed while it wrote
            raise FieldError(f"line {number}: not JSON") from None
        if top.find("schema").value is not None:
            started = _started(top)
            first = first or started
            apart = (started - first).total_seconds()
            offset = max(apart, load[-1][0] if load else 0.0)  # a clock may have been set back
        elif top.find("t").value is not None:
            at = offset + top.get("t").number(0, _LATEST)
            cpu_percent = top.get("cpu_percent").number(0, 1000)
            load.append((at, cpu_percent, top.get("memory_free_percent").number(0, 100)))
        elif top.find("step").value is None:
            cpu = top.find("machine_cpu")
            cpu = top.get("cpu") if cpu.value is None else cpu
            free = top.get("memory_free").number(0, 100)
            # One process may use more than 100 % of the time between two looks at the clock.
            load.append((top.get("timestamp").number(0, _LATEST), cpu.number(0, 1000), free))
        else:
            step = top.get("step").number(0, 1e15)
            loss.append((step, top.get("loss").number(-1e30, 1e30)))
    if not load and not loss:
        raise FieldError("no line of a monitor or of a training run")
    load.sort()
    began = load[0][0] if load and first is None else 0.0
    return Log(name, tuple((at - began, cpu, free) for at, cpu, free in load), tuple(loss))


def _started(line: Field) -> datetime:
    """Return when the run began of which ``line`` is the first; raise ``FieldError`` for another file's."""
    if line.get("schema").text() != SCHEMA:
        raise line.get("schema").wrong(SCHEMA)
    return line.get("started").moment()


def section(logs: Sequence[Log]) -> Section | None:
    """Return the plots of the logs, None without one."""
    if not logs:
        return None
    return Section(
        id="training",
        title="Training runs",
        plots=tuple(_plots(logs)),
        tables=(_table(logs),),
    )


def _plots(logs: Sequence[Log]) -> Iterator[Plot]:
    losses = [Series(log.name, _line(log.loss, "loss")) for log in logs if log.loss]
    if losses:
        yield Plot(
            title="How did the loss fall?",
            x_label="step",
            y_label="loss, mean since the report before",
            series=tuple(losses),
        )
    of_load = [log for log in logs if log.load]
    for column, title, unit in (
        (1, "How busy was the machine's CPU?", "CPU, % of all cores"),
        (2, "How much memory was left?", "memory free, %"),
    ):
        series = tuple(
            Series(log.name, _line(((each[0], each[column]) for each in log.load), unit))
            for log in of_load
        )
        if series:
            note = "Bars: the least and the most of the readings that a point stands for."
            yield Plot(title, "seconds since the log began", unit, series, note=note)


def _line(readings: Iterable[tuple[float, float]], what: str) -> tuple[Point, ...]:
    """Return the readings as at most ``MOST_POINTS`` points: means of neighbours."""
    found = list(readings)
    width = -(-len(found) // MOST_POINTS) or 1
    points = []
    for start in range(0, len(found), width):
        group = found[start : start + width]
        values = [value for _, value in group]
        mean = sum(values) / len(values)
        points.append(
            Point(
                x=sum(x for x, _ in group) / len(group),
                y=mean,
                low=min(values) if len(values) > 1 else None,
                high=max(values) if len(values) > 1 else None,
                label=f"{what}: {significant(mean)}",
            )
        )
    return tuple(points)


def _table(logs: Iterable[Log]) -> Table:
    return Table(
        caption="Logs that were read",
        head=("log", "lines", "loss, first", "loss, last", "CPU, mean %", "memory free, least %"),
        rows=tuple(map(_row, logs)),
        numeric=(False, True, True, True, True, True),
        notes=("CPU is of the whole machine where the log tells it, else of the program alone.",),
    )


def _row(log: Log) -> tuple[str, ...]:
    loss = [significant(log.loss[at][1]) for at in (0, -1)] if log.loss else [NO_VALUE] * 2
    load = [NO_VALUE] * 2
    if log.load:
        mean = sum(cpu for _, cpu, _ in log.load) / len(log.load)
        load = [significant(mean), significant(min(free for _, _, free in log.load))]
    lines = counted(len(log.load) + len(log.loss), "line")
    return (log.name, lines, *loss, *load)
