"""Rows for other programs, as CSV and JSON: one per measurement, verdict and largest batch.

They are written while files are read. Every measurement has a row, older ones too. Where a time is refused,
because it is impossible or that of an emulated device, the row has the reason and no throughput.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TextIO

from metalassay import __version__
from metalassay.fields import one_line
from metalassay.machine import chips
from metalassay.machine.hardware import Hardware
from metalassay.report.sections.benchmarks import Figures, figures
from metalassay.results.load import Read
from metalassay.results.parse import ROWS, LargestBatch, Measurement, Unfinished, VersionSet

Value = str | float | int | bool | None
Row = dict[str, Value]

_PACKAGES = ("python", "torch", "accelerate", "transformers")
_MACHINE = ("system", "release", "machine", "chip", "model", "gpu_cores", "memory_bytes", "virtual")

MEASUREMENT_COLUMNS = (
    *("file", "when", *_MACHINE, *_PACKAGES, "name", "workload", "mode", "device", "emulated"),
    *("framework", "dtype", "batch_size", "threads", "malloc", "power_mode", "thermal_pressure"),
    *("series", "identity"),
    *("rounds", "seconds_median", "seconds_q1", "seconds_q3", "unit", "items_per_call"),
    *("items_per_second", "items_per_second_slow", "items_per_second_fast", "gflop_per_second"),
    *("gb_per_second_at_most", "refused", "parameters", "flop_per_call", "bytes_per_call"),
    *("compulsory_bytes", "watts", "watts_from", "items_per_joule", "wrong_numbers", "doubts"),
)
VERDICT_COLUMNS = (
    *("file", "when", "set", *_MACHINE, *_PACKAGES, "bug", "title", "link", "verdict", "why"),
    *("tests", "command", "commit", "data", "interpreter", "key", "lock", "partial", "deselected"),
)

BATCH_COLUMNS = (
    *("file", "when", *_MACHINE, *_PACKAGES, "workload", "mode", "device", "emulated", "dtype"),
    *("threads", "malloc", "largest", "limit", "why", "peak_bytes"),
    *("driver_bytes", "refused"),
)

_LATER = ("compat", "largest_batches")

# How a text begins that a spreadsheet would run as a formula, including full-width characters.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def measurement_row(one: Measurement, computed: Figures) -> Row:
    """Return a measurement as a row; seconds are per call, with six significant digits."""
    rate, items = computed.rate, one.items_per_call
    row: Row = {
        **_about(one.file, one.when.isoformat(), one.machine, one.versions.get),
        "name": one.name,
        "workload": one.workload,
        "mode": one.mode,
        "device": one.device,
        "emulated": one.emulated,
        "framework": one.framework,
        "dtype": one.dtype,
        "batch_size": one.batch_size,
        "threads": one.threads,
        "malloc": one.malloc,
        "power_mode": one.power_mode,
        "thermal_pressure": one.thermal_pressure,
        "series": one.series,
        "identity": one.identity,
        "rounds": one.rounds,
        "seconds_median": _digits(items / rate.median),
        "seconds_q1": _digits(items / rate.fast) if rate.fast else None,
        "seconds_q3": _digits(items / rate.slow) if rate.slow else None,
        "unit": one.unit,
        "items_per_call": items,
        "refused": computed.refused,
        "parameters": one.parameters,
        "flop_per_call": one.flop_per_call,
        "bytes_per_call": one.bytes_per_call,
        "compulsory_bytes": one.compulsory_bytes,
        "wrong_numbers": one.parity or None,
        "doubts": "; ".join(one.flags) or None,
    }
    if not computed.refused:
        row["items_per_second"] = _digits(rate.median)
        row["items_per_second_slow"] = _digits(rate.slow)
        row["items_per_second_fast"] = _digits(rate.fast)
        row["gflop_per_second"] = _digits(computed.gflop_s)
        row["gb_per_second_at_most"] = _digits(computed.gb_s)
        row["watts"], row["watts_from"] = one.watts, one.watts_from or None
        row["items_per_joule"] = one.per_watt
    return {name: row.get(name) for name in MEASUREMENT_COLUMNS}


def verdict_rows(one: VersionSet) -> Iterator[Row]:
    """Yield one row per bug, or a single row for a set that could not be installed.

    A failed test that is about no known bug has a row too, without a bug and with its name as the title.
    The verdicts of a file that contradicts itself are "unreadable".
    """
    about: Row = {
        **_about(one.file, one.started.isoformat(), one.hardware, one.versions.get),
        "set": one.id,
        "command": one.command,
        "commit": one.origin.commit,
        "data": one.origin.data,
        "interpreter": one.origin.interpreter,
        "key": one.origin.key,
        "lock": " ".join(one.origin.lock) or None,
        "partial": one.selection.partial or None,
        "deselected": one.selection.deselected or None,
    }
    if one.not_installable:
        about.update({"verdict": "not installable", "why": one.not_installable})
        yield {name: about.get(name) for name in VERDICT_COLUMNS}
    for bug in one.bugs:
        row: Row = {
            **about,
            "bug": bug.id,
            "title": bug.title,
            "link": bug.link,
            "verdict": "unreadable" if one.distrusted else bug.verdict,
            "why": one.distrusted or bug.why or None,
            "tests": len(bug.tests),
        }
        yield {name: row.get(name) for name in VERDICT_COLUMNS}

    for failure in one.other_failures:
        row = {
            **about,
            "title": failure.test,
            "verdict": "unreadable" if one.distrusted else failure.outcome,
            "why": one.distrusted or failure.evidence or None,
            "tests": 1,
        }
        yield {name: row.get(name) for name in VERDICT_COLUMNS}


def unfinished_row(one: Unfinished) -> Row:
    """Return a run that did not finish as a row without a verdict of a bug."""
    row: Row = {
        "file": one.file,
        "when": one.started.isoformat(),
        "set": one.id,
        "verdict": "not finished",
        "why": one.why,
    }
    if one.hardware:
        row |= {name: getattr(one.hardware, name) for name in _MACHINE}
    return {name: row.get(name) for name in VERDICT_COLUMNS}


def batch_row(one: LargestBatch) -> Row:
    """Return a search for the largest batch as a row; batch sizes are in samples.

    ``limit`` is the smallest that did not fit, None where all that were tried did.
    """
    row: Row = {
        **_about(one.file, one.when.isoformat(), one.machine, one.versions.get),
        "workload": one.workload,
        "mode": one.mode,
        "device": one.device,
        "emulated": one.emulated,
        "dtype": one.dtype,
        "threads": one.threads,
        "malloc": one.malloc,
    }
    if one.emulated:
        row["refused"] = "the device was emulated, so its memory is that of another device"
    else:
        row |= {"largest": one.largest, "limit": one.limit, "why": one.why or None}
        row |= {"peak_bytes": one.peak_bytes, "driver_bytes": one.driver_bytes}
    return {name: row.get(name) for name in BATCH_COLUMNS}


class Exports:
    """Writes the contents of each file to the given streams, while the files are read."""

    def __init__(
        self,
        stack: ExitStack,
        csv_to: TextIO | None = None,
        compat_to: TextIO | None = None,
        batches_to: TextIO | None = None,
        json_to: TextIO | None = None,
    ) -> None:
        self._chips: dict[Hardware, chips.Chip | None] = {}
        self._tables = {
            name: _table(stream, columns)
            for name, stream, columns in (
                ("measurements", csv_to, MEASUREMENT_COLUMNS),
                ("compat", compat_to, VERDICT_COLUMNS),
                ("largest_batches", batches_to, BATCH_COLUMNS),
            )
            if stream
        }
        self._json = json_to
        self._begun: set[str] = set()
        if json_to:
            about = {"schema": f"{ROWS}/1", "made_by": f"metalassay {__version__}"}
            json_to.write(f'{json.dumps(about)[:-1]},\n"measurements": [')
            # The other rows come after all measurements; they are buffered on disk and not in memory.
            self._members = {"measurements": json_to}
            for name in _LATER:
                later = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  (the stack closes it)
                self._members[name] = stack.enter_context(later)

    def see(self, read: Read) -> None:
        """Write the rows of one file."""
        if self._wants("measurements"):
            for one in read.measurements:
                row = measurement_row(one, figures(one, self._chip(one.machine)))
                self._write("measurements", row)
        if read.compat is not None and self._wants("compat"):
            for row in verdict_rows(read.compat):
                self._write("compat", row)
        if read.unfinished is not None and self._wants("compat"):
            self._write("compat", unfinished_row(read.unfinished))
        if read.batch is not None and self._wants("largest_batches"):
            self._write("largest_batches", batch_row(read.batch))

    def finish(self, warnings: Iterable[str]) -> None:
        """Finish the JSON; ``warnings`` name the files that are not in it."""
        if self._json is None:
            return
        for name in _LATER:
            self._json.write(f'\n],\n"{name}": [')
            self._members[name].seek(0)
            shutil.copyfileobj(self._members[name], self._json)
        self._json.write(f'\n],\n"warnings": {json.dumps(list(warnings), indent=0)}\n}}\n')

    def _wants(self, name: str) -> bool:
        return self._json is not None or name in self._tables

    def _write(self, name: str, row: Row) -> None:
        if name in self._tables:
            self._tables[name](row)
        if self._json is not None:
            comma = "," if name in self._begun else ""
            self._members[name].write(f"{comma}\n{json.dumps(row, allow_nan=False)}")
            self._begun.add(name)

    def _chip(self, machine: Hardware) -> chips.Chip | None:
        if machine not in self._chips:
            self._chips[machine] = chips.find(machine)
        return self._chips[machine]


def harmless(value: Value) -> Value:
    """Return a text that a spreadsheet displays and does not run; numbers are returned unchanged."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _table(stream: TextIO, columns: tuple[str, ...]) -> Callable[[Row], object]:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)

    def write(row: Row) -> None:
        # A line break in a cell is valid CSV, but many readers cannot handle it.
        writer.writerow(harmless(_flat(row[name])) for name in columns)

    return write


def _flat(value: Value) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    return one_line(value) if isinstance(value, str) else value


def _about(
    file: str, when: str, machine: Hardware, version: Callable[[str], str | None]
) -> dict[str, Value]:
    return {
        "file": file,
        "when": when,
        **{name: getattr(machine, name) for name in _MACHINE},
        **{package: version(package) for package in _PACKAGES},
    }


def _digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
