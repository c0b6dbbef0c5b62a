"""Watch a running program: hear what its processes report, notice that it hangs, and end it in order.

One thread that looks once a second. It never touches the program unless a rule says so, and says why.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from metalassay.machine import control_group
from metalassay.supervise import memory_limit, processes, program_memory, protocol
from metalassay.supervise.machine_load import CpuClock
from metalassay.supervise.memory_watch import MemoryWatch
from metalassay.supervise.output import Output
from metalassay.supervise.protocol import Request

LOOK = 1.0  # seconds between two looks
CPU_EVERY = (
    5.0  # seconds between two looks at the CPU time of all processes, which reads the process table
)
DESCENDANTS_EVERY = 5.0  # seconds between two looks which processes the program has
IDLE = 0.01  # of one core: what a program that only waits uses at most
STACKS = 2.0  # seconds in which the processes print their stacks before they are ended
SAVE = 20.0  # seconds after a request to save in which a training has to say that it does
FINISH = 300.0  # seconds that a training has to end after it has said so, if memory allows
HOPELESS = 0.01  # of the room: below it, little is waited for
HURRIED_SAVE = (
    5.0  # seconds that a training has to save even then: the kernel may be later than that
)
TERMINATE = 10.0  # seconds from SIGTERM to SIGKILL, in which a program may save what it has


@dataclass(frozen=True)
class Rules:
    """When to end a program: seconds, or None for never.

    ``stall``: neither output nor CPU time, or no step although there were some. ``timeout``: it has not
    begun: no step, or no output where nothing reports steps. ``memory`` is the most that it may take in
    bytes; ``watch_memory`` also ends it before the system would.
    """

    stall: float | None = None
    timeout: float | None = None
    memory: int | None = None
    watch_memory: bool = True


class Supervisor:
    """Watches ``process`` from ``start`` to ``stop``; the public attributes are what was seen.

    ``steps`` is the largest number of optimizer steps of a process, None if none reported any.
    ``patched`` are the ids of the bugs that were patched. ``python`` is the interpreter of the first Python process that reported, None if none did. ``free`` is the
    part of the memory that was free at ``free_at``, of the machine or of the program's control group.
    """

    def __init__(
        self,
        folder: Path,
        rules: Rules,
        output: Output,
        notify: Callable[[str], None],
        *,
        ignored: Callable[[], Iterable[int]] = lambda: (),
        before_end: Callable[[], None] = lambda: None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._folder, self._rules, self._output, self._notify = folder, rules, output, notify
        self._ignored, self._before_end = ignored, before_end
        self.by_us: str | None = None
        self.steps: int | None = None
        self.python: str | None = None
        self.exception: str | None = None
        self.zero_steps: str | None = None
        self.patched: list[str] = []
        self.checkpoint: tuple[int, str] | None = None
        self.kills = control_group.Kills()
        self._groups: list[control_group.Group] = []
        self.memory = MemoryWatch(
            self._descendants,
            lambda: self._groups,
            notify,
            self.ask,
            limit=rules.memory,
            high_watermark=memory_limit.high_watermark(os.environ if environ is None else environ),
        )
        self.free: float | None = None
        self.free_at = time.monotonic()
        self.descendants: set[psutil.Process] = set()
        self._stopping = self._forced = False
        self._next_descendants = 0.0
        self._kill_at: float | None = None
        self._requests = 0
        self._receiver = protocol.listen(folder)
        self._wake_reader, self._wake_writer = os.pipe()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self, process: subprocess.Popen[bytes]) -> None:
        """Begin to watch a program that has just been started."""
        self._process = process
        self._clock = CpuClock(include_self=False)
        self._clock.ignored = frozenset(self._ignored())
        now = time.monotonic()
        self._began = self._looked = self._cpu_looked = self._busy = self._stepped = now
        self._cpu = self._clock.seconds()
        self._look_at_memory()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching: the program has ended; hear what its processes said last."""
        self._stop.set()
        os.write(self._wake_writer, b".")
        if self._thread.ident is not None:
            self._thread.join()
        self._hear()
        self._receiver.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    @property
    def made_it_end(self) -> bool:
        """Whether the program ended because of us, and not by itself after we had decided to end it."""
        return self._forced or self._stopping

    def insist(self, at: float) -> None:
        """Kill what still runs at a time of `time.monotonic`: a person has asked twice."""
        self._kill_at = at  # only this: a signal handler calls

    def ask(self, want: str, reason: str = "", **details: Any) -> None:
        """Ask something of the program's processes, see `protocol.Request`."""
        self._requests += 1
        request = Request(self._requests, want, reason, details)
        try:
            protocol.write_request(self._folder, request)
        except OSError as error:  # a full disk
            self._notify(f"cannot ask the program to {want}: {error.strerror}")

    def _watch(self) -> None:
        while not self._stopped_within(LOOK):
            self._look_at_memory()
            now = time.monotonic()
            if now >= self._next_descendants:
                self._next_descendants = now + DESCENDANTS_EVERY
                self._descendants()
            if now - self._looked > 10 * LOOK:
                # We, and with us the program, were stopped, or the machine slept.
                self._busy = self._stepped = now
                self._began += now - self._looked
            self._looked = now
            if self._kill_at is not None and now >= self._kill_at:
                self._before_end()
                processes.kill(self._left())
                self._kill_at = None
            if self.by_us is not None:
                continue
            if (why := self._reason_to_end(now)) is not None:
                self._end(why)
            elif self._rules.watch_memory and (why := self.memory.look(self.steps)) is not None:
                self._save_and_end(why)

    def _stopped_within(self, seconds: float) -> bool:
        """Wait for the program's end, and hear at once what its processes say: Linux keeps ten messages."""
        deadline = time.monotonic() + seconds
        while not self._stop.is_set() and (left := deadline - time.monotonic()) > 0:
            hears = self._receiver.fileno()
            if hears in select.select([hears, self._wake_reader], [], [], left)[0]:
                self._hear()
        return self._stop.is_set()

    def _hear(self) -> None:
        patched = len(self.patched)
        with contextlib.suppress(BlockingIOError):
            while True:
                message = protocol.parse(self._receiver.recv(65536))
                if message is not None:
                    self._take(message)
        if new := self.patched[patched:]:
            self._notify(f"patched in memory: {', '.join(new)} (--no-patches leaves them out)")

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind == "started":
            self.python = self.python or str(message["executable"])
        elif kind == "patched" and message["bug"] not in self.patched:
            self.patched.append(str(message["bug"]))
        elif kind in ("steps", "memory"):
            self._count(message["steps"])
            if kind == "memory":
                self.memory.hear(message)
        elif kind in ("emptied", "census"):
            self.memory.hear(message)
        elif kind == "stopping":
            self._stopping = True
        elif kind == "zero steps":
            self.zero_steps = str(message["text"])
        elif kind == "checkpoint":
            self._stopping = True
            self.checkpoint = (int(message["step"]), str(message["path"]))
        elif kind == "ended":
            self.exception = str(message["exception"])

    def _count(self, steps: object) -> None:
        if isinstance(steps, int) and steps > (self.steps or 0):
            self._stepped = time.monotonic()
        if isinstance(steps, int):
            self.steps = max(steps, self.steps or 0)

    def _reason_to_end(self, now: float) -> str | None:
        timeout, stall = self._rules.timeout, self._rules.stall
        if timeout is not None and now - self._began > timeout:
            if self.steps == 0:
                return f"it took no step in {minutes(timeout)}"
            if self.steps is None and not self._output.bytes:
                return f"it wrote nothing in {minutes(timeout)}"
        if stall is None:
            return None
        self._look_at_cpu(now)
        quiet = now - max(self._output.last, self._busy)
        if quiet > stall:
            return f"it hung: neither output nor CPU use for {minutes(stall)}"
        if self.steps and now - self._stepped > stall:
            return f"it hung: no step for {minutes(stall)}, after {self.steps:,} steps"
        return None

    def _look_at_memory(self) -> None:
        # The program may have been moved into a group of its own, as by systemd-run.
        self._groups = control_group.of(self._process.pid) or self._groups
        self.kills.watch(self._groups)
        room = program_memory.room(self._groups)
        self.free, self.free_at = room.available / room.total, time.monotonic()

    def _look_at_cpu(self, now: float) -> None:
        every = min(CPU_EVERY, (self._rules.stall or CPU_EVERY) / 4)
        if now - self._cpu_looked < every:
            return
        used = self._clock.seconds()
        if used - self._cpu > IDLE * (now - self._cpu_looked):
            self._busy = now
        self._cpu, self._cpu_looked = used, now

    def _end(self, why: str) -> None:
        """End the program: the stacks of its threads first, then SIGTERM, then SIGKILL."""
        self.by_us = why
        self._notify(f"{why}; ending it")
        self.ask("stacks")
        self._wait(STACKS)
        self.terminate()

    def _save_and_end(self, why: str) -> None:
        """Let a training save a checkpoint and end by itself; end what does not, or has no time."""
        self.by_us = why
        self._notify(f"{why}; asking it to save and end")
        self.ask("stop", why)
        began = time.monotonic()
        while not self._stopped_within(0.1):
            self._look_at_memory()
            waited = time.monotonic() - began
            hopeless = self.free is not None and self.free < HOPELESS
            patience = HURRIED_SAVE if hopeless else FINISH if self._stopping else SAVE
            if waited > patience:
                self._notify("it does not end by itself; ending it")
                self.terminate()
                return

    def terminate(self, grace: float = TERMINATE) -> None:
        """End the program with SIGTERM, and what still runs after ``grace`` seconds with SIGKILL."""
        self._forced = True
        self._before_end()
        with contextlib.suppress(ProcessLookupError):
            # Only the program at first: launchers end their processes, Trainers save.
            self._process.terminate()
        self._wait(grace)
        processes.end(self._left())

    def _left(self) -> list[psutil.Process]:
        return processes.left_over(self._folder, self._ignored(), self.descendants)

    def _descendants(self) -> list[psutil.Process]:
        """Return the processes of the program, and remember them."""
        found = processes.descendants(self._ignored())
        running = {each for each in self.descendants if each.is_running()}
        self.descendants = running | set(found)
        return found

    def _wait(self, seconds: float) -> None:
        """Wait for the program's end, at most so long."""
        self._stopped_within(seconds)


def minutes(seconds: float) -> str:
    """Return a time as people say it: "90 s", "10 min", "2 h"."""
    if seconds < 120:
        return f"{seconds:g} s"
    if seconds < 7200:
        return f"{seconds / 60:g} min"
    return f"{seconds / 3600:g} h"
