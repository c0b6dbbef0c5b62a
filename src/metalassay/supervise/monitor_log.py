"""Read the monitor's log: how busy and how short of memory a machine was while a program ran.

``metalassay train --monitor FILE``, ``metalassay run --monitor FILE`` and ``metalassay monitor --log FILE``
write it, one JSON object per line: first a header with the schema, the machine and the versions, then a row every N seconds. A
run that was resumed appends another header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from metalassay import files
from metalassay.errors import UserError
from metalassay.fields import Field, FieldError, parse_json, printable
from metalassay.machine.hardware import Hardware, from_dict

SCHEMA = "metalassay.monitor/1"
_LARGEST_FILE = 64 * 2**20  # bytes; a row every 5 s for a month is 90 MB, too much for a plot
_LONGEST = 10 * 365 * 86400.0  # seconds
_NEXT = "metalassay run --monitor FILE -- python train.py"


@dataclass(frozen=True)
class Row:
    """The load in the interval that ends at ``t`` seconds after the start of the log.

    ``cpu_percent`` is the CPU use of the whole machine, ``own_cpu_percent`` that of the program and
    its children; 100 is all cores. ``throttled`` is true if the CPU limiter paused the program.
    ``program_memory_bytes`` is what the program and its children hold, None in older logs.
    ``compressed_bytes`` is the memory in which a Mac keeps compressed pages, None in other logs.
    ``gpu_percent`` is how busy the (busiest) GPU is with all programs, None where nothing tells.
    """

    t: float
    time: datetime
    cpu_percent: float
    own_cpu_percent: float | None
    memory_free_percent: float
    swap_bytes: float
    throttled: bool
    program_memory_bytes: float | None = None
    compressed_bytes: float | None = None
    gpu_percent: float | None = None


@dataclass(frozen=True)
class MonitorLog:
    """A log; ``every`` is the requested interval between rows in seconds.

    ``torn`` is true if the last line was cut off, for example by a kill; ``rows`` leaves it out.
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
    one that is not a monitor log.
    """
    try:
        return parse(files.content(path, _LARGEST_FILE), printable(str(path)))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", _NEXT) from error


def parse(content: bytes, file: str) -> MonitorLog:
    """Parse the content of a log; ``file`` is its name in messages. Raises only ``FieldError``."""
    lines = content.split(b"\n")
    # What follows the last newline is a line that was cut off: a complete one ends in a newline.
    torn = bool(lines.pop().strip())
    log: MonitorLog | None = None
    rows: list[Row] = []
    offset = 0.0  # seconds from the start of the log to the current header
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        entry = Field(_json(line, number), f"line {number}")
        if log is None or (isinstance(entry.value, dict) and "schema" in entry.value):
            header = _header(entry, file)
            if log is None:
                log = header
            elif header.machine != log.machine:
                raise FieldError(f"line {number}: a different machine from line 1")
            else:
                elapsed = (header.started - log.started).total_seconds()
                offset = max(
                    elapsed, rows[-1].t if rows else 0.0
                )  # the clock may have been set back
            continue
        row = _row(entry)
        row = replace(row, t=row.t + offset)
        if rows and row.t < rows[-1].t:
            raise FieldError(f"line {number}: t is smaller than in the previous row")
        rows.append(row)
    if log is None:
        raise FieldError(f"not a monitor log: the first line, with the schema {SCHEMA}, is missing")
    return replace(log, rows=tuple(rows), torn=torn)


def _json(line: bytes, number: int) -> object:
    try:
        return parse_json(line)
    except FieldError as error:
        raise FieldError(f"line {number}: {error}") from None


def _header(line: Field, file: str) -> MonitorLog:
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
        own_cpu_percent=own.or_none(lambda value: value.number(0, 1000)),  # CPU clocks are coarse
        memory_free_percent=line.get("memory_free_percent").number(0, 100),
        swap_bytes=line.get("swap_bytes").number(0, 2**63),
        throttled=line.get("throttled").flag(),
        program_memory_bytes=line.find("program_memory_bytes").or_none(
            lambda value: value.number(0, 2**63)
        ),
        compressed_bytes=line.find("compressed_bytes").or_none(
            lambda value: value.number(0, 2**63)
        ),
        gpu_percent=line.find("gpu_percent").or_none(lambda value: value.number(0, 100)),
    )
