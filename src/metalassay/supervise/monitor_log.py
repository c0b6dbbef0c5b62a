"""Reads the monitor's log: how busy and how short of memory a machine was while something ran.

``metalassay train --monitor FILE`` and ``metalassay run --monitor FILE`` write it, one JSON object a
line: first what was watched, with the schema's name, then a row every N seconds. A run that was
resumed begins with such a first line again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from metalassay.errors import UserError
from metalassay.fields import Field, FieldError, printable
from metalassay.machine.hardware import Hardware, from_dict

SCHEMA = "metalassay.monitor/1"
_LARGEST_FILE = 64 * 2**20  # bytes; a row every 5 s for a month is 90 MB, and nobody plots that
_LONGEST = 10 * 365 * 86400.0  # seconds
_NEXT = "metalassay run --monitor FILE -- python train.py"


@dataclass(frozen=True)
class Row:
    """The machine over the seconds before ``t``, which counts from the start of the log.

    ``cpu_percent`` is of everything that ran, ``own_cpu_percent`` of the program and its children;
    100 is all cores. ``throttled``: the governor held the program back meanwhile.
    """

    t: float
    time: datetime
    cpu_percent: float
    own_cpu_percent: float | None
    memory_free_percent: float
    swap_bytes: float
    throttled: bool


@dataclass(frozen=True)
class MonitorLog:
    """One log. ``every`` is the seconds between rows that were asked for.

    ``torn`` is true where the last line was cut off, as by a kill; it is left out of ``rows``.
    """

    machine: Hardware
    started: datetime
    every: float
    versions: Mapping[str, str] = field(hash=False)
    rows: tuple[Row, ...]
    torn: bool
    file: str


def read(path: Path) -> MonitorLog:
    """Read the log at ``path``.

    Raises ``UserError`` for a file that cannot be read and ``FieldError``, which names the line, for
    one that is no such log.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise FieldError(
                f"too large for a monitor's log ({path.stat().st_size / 2**20:.0f} MB)"
            )
        return parse(path.read_bytes(), printable(str(path)))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", _NEXT) from error


def parse(content: bytes, file: str) -> MonitorLog:
    """Read the content of a log; ``file`` is its name for people. Raises ``FieldError`` alone."""
    lines = content.split(b"\n")
    # What stands behind the last newline is a line that was cut off; a whole one ends in a newline.
    torn = bool(lines.pop().strip())
    log: MonitorLog | None = None
    rows: list[Row] = []
    offset = 0.0  # of a resumed run, from the start of the log
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = Field(_json(line, number), f"line {number}")
        if log is None or (isinstance(found.value, dict) and "schema" in found.value):
            begun = _first_line(found, file)
            if log is None:
                log = begun
            elif begun.machine != log.machine:
                raise FieldError(f"line {number}: another machine than in line 1")
            else:
                apart = (begun.started - log.started).total_seconds()
                offset = max(apart, rows[-1].t if rows else 0.0)  # a clock may have been set back
            continue
        row = _row(found)
        row = replace(row, t=row.t + offset)
        if rows and row.t < rows[-1].t:
            raise FieldError(f"line {number}: t is less than in the row before")
        rows.append(row)
    if log is None:
        raise FieldError(f"no monitor's log: the first line, with the schema {SCHEMA}, is missing")
    return replace(log, rows=tuple(rows), torn=torn)


def _json(line: bytes, number: int) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FieldError(f"line {number}: not JSON ({error})") from None


def _first_line(line: Field, file: str) -> MonitorLog:
    schema = line.get("schema").text()
    if schema != SCHEMA:
        newer = schema.startswith(SCHEMA.rpartition("/")[0] + "/")
        if newer:
            raise FieldError(f"written by a newer metalassay (schema {schema}); upgrade to read it")
        raise line.get("schema").wrong(SCHEMA)
    hardware = line.get("hardware")
    return MonitorLog(
        machine=from_dict(hardware.value, hardware.place),
        started=line.get("started").moment(),
        every=line.get("every").number(0, _LONGEST),
        versions=line.get("versions").texts(),
        rows=(),
        torn=False,
        file=file,
    )


def _row(line: Field) -> Row:
    own = line.find("own_cpu_percent")
    return Row(
        t=line.get("t").number(0, _LONGEST),
        time=line.get("time").moment(),
        cpu_percent=line.get("cpu_percent").number(0, 101),
        own_cpu_percent=own.or_none(lambda each: each.number(0, 1000)),  # CPU clocks are coarse
        memory_free_percent=line.get("memory_free_percent").number(0, 100),
        swap_bytes=line.get("swap_bytes").number(0, 2**63),
        throttled=line.get("throttled").flag(),
    )
