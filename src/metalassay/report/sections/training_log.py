"""Logs of training runs as a section: the load of the machine over time, and the loss over steps.

Two kinds of JSON lines are read: those of a monitor, see ``metalassay.supervise.monitor_log``, and those of
a training run (``step``, ``loss``), see ``metalassay.training.run_log``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from metalassay.fields import Field, FieldError, parse_json
from metalassay.report.model import (
    NO_VALUE,
    Plot,
    Point,
    Section,
    Series,
    Table,
    counted,
    significant,
)
from metalassay.supervise import monitor_log

MOST_POINTS = 200
"""Per line; longer logs are averaged, with minimum and maximum as error bars."""


@dataclass(frozen=True)
class Log:
    """One file: ``load`` has (seconds since its start, CPU %, free memory %), ``loss`` (step, loss).

    CPU is the use of the whole machine, where 100 is all cores. ``memory`` has (seconds since its start,
    GiB that the program held), and ``gpu`` (seconds, how busy the GPU was in %), where the log tells.
    """

    name: str
    load: tuple[tuple[float, float, float], ...] = ()
    loss: tuple[tuple[float, float], ...] = ()
    memory: tuple[tuple[float, float], ...] = ()
    gpu: tuple[tuple[float, float], ...] = ()


def parse(content: bytes, name: str) -> Log:
    """Read a log of either kind, without a last line that was cut off.

    Raises ``FieldError``, naming the line, for anything else.
    """
    if monitor_log.SCHEMA.rpartition("/")[0].encode() in content.partition(b"\n")[0]:
        rows = monitor_log.parse(content, name).rows
        load = tuple((row.t, row.cpu_percent, row.memory_free_percent) for row in rows)
        if not load:
            raise FieldError("log of a monitor without a reading")
        memory = tuple(
            (row.t, row.program_memory_bytes / 2**30)
            for row in rows
            if row.program_memory_bytes is not None
        )
        gpu = tuple((row.t, row.gpu_percent) for row in rows if row.gpu_percent is not None)
        return Log(name, load=load, memory=memory, gpu=gpu)
    return Log(name, loss=tuple(_losses(content)))


def _losses(content: bytes) -> Iterator[tuple[float, float]]:
    try:
        lines = content.decode("utf-8").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise FieldError(f"not UTF-8 text (byte {error.start})") from None
    if not lines:
        raise FieldError("neither a log of a monitor nor of a training run: no lines")
    for number, line in enumerate(lines, 1):
        try:
            top = Field(parse_json(line), f"line {number}")
        except FieldError:
            if number == len(lines) and not line.endswith("\n"):
                return  # the program was killed while writing
            raise FieldError(f"line {number}: not JSON") from None
        yield top.get("step").number(0, 1e15), top.get("loss").number(-1e30, 1e30)


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
            y_label="loss, mean since the previous log line",
            series=tuple(losses),
        )
    of_load = [log for log in logs if log.load]
    for column, title, unit in (
        (1, "How busy was the CPU of the machine?", "CPU, % of all cores"),
        (2, "How much memory was free?", "free memory, %"),
    ):
        series = tuple(
            Series(log.name, _line(((row[0], row[column]) for row in log.load), unit))
            for log in of_load
        )
        if series:
            note = "Bars: minimum and maximum of the readings averaged in a point."
            yield Plot(title, "seconds since the log began", unit, series, note=note)
    busy = [Series(log.name, _line(log.gpu, "GPU, %")) for log in logs if log.gpu]
    if busy:
        title = "How busy was the GPU with all programs?"
        yield Plot(title, "seconds since the log began", "GPU, %", tuple(busy))
    held = [Series(log.name, _line(log.memory, "memory, GiB")) for log in logs if log.memory]
    if held:
        title = "How much memory did the program hold?"
        yield Plot(title, "seconds since the log began", "memory, GiB", tuple(held))


def _line(readings: Iterable[tuple[float, float]], what: str) -> tuple[Point, ...]:
    """Return the readings as at most ``MOST_POINTS`` points, each the mean of neighbouring readings."""
    readings = list(readings)
    width = -(-len(readings) // MOST_POINTS) or 1
    points = []
    for start in range(0, len(readings), width):
        group = readings[start : start + width]
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
        head=("log", "lines", "first loss", "last loss", "mean CPU, %", "least free memory, %"),
        rows=tuple(map(_row, logs)),
        numeric=(False, True, True, True, True, True),
        notes=("CPU is that of the whole machine, including all other programs.",),
    )


def _row(log: Log) -> tuple[str, ...]:
    loss = [significant(log.loss[at][1]) for at in (0, -1)] if log.loss else [NO_VALUE] * 2
    load = [NO_VALUE] * 2
    if log.load:
        mean = sum(cpu for _, cpu, _ in log.load) / len(log.load)
        load = [significant(mean), significant(min(free for _, _, free in log.load))]
    lines = counted(len(log.load) + len(log.loss), "line")
    return (log.name, lines, *loss, *load)
