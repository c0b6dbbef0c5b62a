"""Watch a program that runs already, from outside: find it, and read its share of the machine and its memory."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from metalassay.errors import UserError
from metalassay.fields import one_line, printable
from metalassay.machine import control_group, mac_rusage
from metalassay.supervise import memory_trend, program_memory
from metalassay.supervise.machine_load import cores, told
from metalassay.supervise.memory_trend import Sample, duration
from metalassay.supervise.monitor import MonitorFile, row
from metalassay.supervise.program_memory import size

FIRST = 0.5  # seconds of the first reading, so that a line comes at once
READ = 30.0  # seconds between two readings of memory at most: rarer ones, with rare lines, show no trend
LOOK = 0.5  # seconds between two looks whether the program still runs
_SHOWN = 70  # characters of a command line in a message


@dataclass(frozen=True)
class Summary:
    """What was seen of a program: for how many seconds, its highest memory in bytes, and what grew.

    ``highest`` is None if its memory was never read. ``ended``: it ended while it was watched, and not the watching before.
    """

    seconds: float
    highest: int | None
    grows: str | None
    ended: bool

    def text(self) -> str:
        """Return a sentence for a person."""
        how = "it ended" if self.ended else "it still runs"
        most = "no" if self.highest is None else f"at most {size(self.highest)} of"
        read = "" if self.highest is not None else " was read"
        text = f"{how}; watched for {duration(self.seconds)}, {most} memory{read}"
        return f"{text}; {self.grows}" if self.grows else text


def by_pid(pid: int) -> psutil.Process:
    """Return a running process. Raises ``UserError`` if there is none of that number."""
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return process
    except (psutil.NoSuchProcess, OverflowError):
        pass
    except psutil.AccessDenied:
        return process
    raise UserError(f"no process {pid} runs", "metalassay monitor --name train.py")


def by_name(text: str) -> psutil.Process:
    """Return the process whose command line contains a text; of a family, the oldest.

    Neither this process nor those above it count. Raises ``UserError`` if none matches, or several do.
    """
    me = psutil.Process()
    own = {me.pid, *(each.pid for each in me.parents())}
    found: dict[int, tuple[psutil.Process, str]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # of another user, or just ended
            arguments = process.cmdline()
            if text in " ".join(arguments) and process.pid not in own:
                found[process.pid] = (process, _shown(arguments, text))
    tops = []
    for process, command in found.values():
        with contextlib.suppress(psutil.Error):
            if not any(above.pid in found for above in process.parents()):
                tops.append((process, command))
    if len(tops) == 1:
        return tops[0][0]
    if not tops:
        raise UserError(
            f"no program runs whose command line contains {text!r}", "metalassay monitor --pid PID"
        )
    listed = "; ".join(f"{process.pid} {command}" for process, command in tops[:5])
    more = f"; and {len(tops) - 5} more" if len(tops) > 5 else ""
    raise UserError(
        f"{len(tops)} programs match {text!r}: {listed}{more}",
        f"metalassay monitor --pid {tops[0][0].pid}",
    )


def _shown(arguments: list[str], text: str) -> str:
    """Return a command line without the folder of its program, on one line, cut to what surrounds ``text``."""
    command = " ".join(arguments)
    if text not in arguments[0]:
        command = " ".join([Path(arguments[0]).name, *arguments[1:]])
    command = one_line(printable(command))
    start = max(command.find(text) + len(text) - _SHOWN, 0)
    before = "…" if start else ""
    after = "…" if len(command) > start + _SHOWN else ""
    return f"{before}{command[start : start + _SHOWN]}{after}"


class Watched:
    """A running program: a process and its descendants, without this one."""

    def __init__(self, process: psutil.Process) -> None:
        self.process = process
        self._ended_below = mac_rusage.reader()
        self._before = (time.monotonic(), self._seconds())

    def unreadable(self) -> str | None:
        """Return what cannot be read because it belongs to another user, a sentence; None if nothing."""
        if os.name != "posix":
            return None
        try:
            owner = self.process.uids().real
        except psutil.Error:
            return None
        if os.geteuid() in (0, owner):
            return None
        if sys.platform == "darwin":
            return "it belongs to another user: its CPU time and its memory need sudo"
        return (
            "it belongs to another user: without sudo, memory that its processes share counts for each of"
            " them"
        )

    def runs(self) -> bool:
        """Return whether it still runs; a zombie does not."""
        try:
            return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE
        except psutil.AccessDenied:
            return True
        except psutil.Error:
            return False

    def processes(self) -> list[psutil.Process]:
        """Return its processes."""
        found = [self.process]
        with contextlib.suppress(psutil.Error):
            found += self.process.children(recursive=True)
        return [each for each in found if each.pid != os.getpid()]

    def share(self) -> float | None:
        """Return its share of the whole machine's CPU time since the last call; None if unreadable."""
        now, (before, used) = (time.monotonic(), self._seconds()), self._before
        self._before = now
        if now[1] is None or used is None or now[0] <= before:
            return None
        return min(max((now[1] - used) / (now[0] - before) / cores(), 0.0), 1.0)

    def memory(self) -> int:
        """Return the memory that it holds, in bytes."""
        return program_memory.of(self.processes())

    def _seconds(self) -> float | None:
        try:
            self.process.cpu_times()
        except psutil.Error:  # another user's, on macOS
            return None
        return told(self.processes(), self._ended_below)


def watch(
    process: psutil.Process,
    every: float,
    print_line: Callable[[str], None],
    notify: Callable[[str], None],
    *,
    as_json: bool = False,
    log: Path | None = None,
) -> Summary:
    """Print a line every ``every`` seconds until the program ends, or a person presses Ctrl+C.

    The memory is read more often than that if lines are rare.
    ``log`` gets the rows too, in the form of ``run --monitor``. Raises ``UserError`` if it cannot be written.
    """
    program = Watched(process)
    if says := program.unreadable():
        notify(says)
    began = time.monotonic()
    samples: list[Sample] = []
    ended = False
    with _log(log, every) as file:
        psutil.cpu_percent()  # the first call returns the average since boot
        program.share()
        with contextlib.suppress(KeyboardInterrupt):
            print_at = read_at = began + min(FIRST, every)
            while not (ended := _ends_before(program, min(print_at, read_at))):
                now, memory = time.monotonic(), program.memory()
                read_at = now + min(every, READ)
                if memory:  # 0 of another user's, and of one that is just ending
                    room = program_memory.room(control_group.of(process.pid))
                    samples.append(Sample(now - began, memory, room.available))
                if now < print_at:
                    continue
                print_at = now + every
                values = row(program.share(), memory)
                moment = datetime.now().astimezone()
                print_line(_json(moment, values) if as_json else _line(moment, values))
                file = _written(file, values, notify)
    found = memory_trend.find(samples) if samples else None
    return Summary(
        seconds=time.monotonic() - began,
        highest=max((each.program for each in samples), default=None),
        grows=None if found is None else found.says,
        ended=ended,
    )


@contextlib.contextmanager
def _log(path: Path | None, every: float) -> Iterator[MonitorFile | None]:
    if path is None:
        yield None
        return
    with MonitorFile(path, every, option="--log") as file:
        yield file


def _written(
    file: MonitorFile | None, values: dict[str, Any], notify: Callable[[str], None]
) -> MonitorFile | None:
    """Write a row; return the file, or None after a full disk, which ends the log and nothing else."""
    if file is not None:
        try:
            file.write(values)
        except OSError as error:
            notify(f"{file.path} ends here: {error.strerror}")
            return None
    return file


def _ends_before(program: Watched, deadline: float) -> bool:
    """Wait until a time of `time.monotonic`; return whether the program has ended."""
    while program.runs():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, LOOK))
    return True


def _line(now: datetime, values: dict[str, Any]) -> str:
    """Return the line of guide 000, and then what the program itself takes."""
    own = values["own_cpu_percent"]
    cpu = "CPU not readable" if own is None else f"CPU {own:.0f}%"
    memory = values["program_memory_bytes"]
    held = f"memory {size(memory)}" if memory else "memory not readable"
    line = (
        f"[{now:%Y-%m-%d %H:%M:%S}] CPU: {values['cpu_percent']:.1f}%, Memory Free:"
        f" {values['memory_free_percent']:.0f}%; it: {cpu}, {held}; swap {size(values['swap_bytes'])}"
    )
    if (compressed := values.get("compressed_bytes")) is not None:
        line += f", compressed {size(compressed)}"
    if (gpu := values.get("gpu_percent")) is not None:
        line += f"; GPU {gpu:.0f}%"
    return line


def _json(now: datetime, values: dict[str, Any]) -> str:
    return json.dumps({"time": now.isoformat(timespec="milliseconds"), **values})
