"""Watch the memory of a running program: say what grows, empty torch's cache, and find when it is too much.

Readings come every few seconds, from the processes themselves for MPS and from the system for the rest. The
rules are in `memory_trend` and `memory_limit`; here they are asked, and what they say is acted upon.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import psutil

from metalassay.machine.control_group import Group
from metalassay.supervise import memory_limit, memory_trend, program_memory
from metalassay.supervise.memory_limit import Mps
from metalassay.supervise.memory_trend import Sample
from metalassay.supervise.program_memory import Room, size

EVERY = 5.0  # seconds between two readings
HURRIED = 1.0  # the same where little is left, and above half of a limit
LITTLE = 0.15  # of the room; below it, readings hurry
ASK_EVERY = 60.0  # seconds between two questions whether something grows
SAY_EVERY = 1800.0  # seconds until the same kind of growth is said again
EMPTY_EVERY = 600.0  # seconds between two orders to empty the cache
FULL = 0.7  # of the recommended size: torch's memory on MPS above which a growing cache is emptied
COUNT_AGAIN = 60.0  # seconds between the two counts of tensors that show which grow
OLD = 30.0  # seconds after which a process's last message about MPS does not count any longer
MOST = 2000  # readings that are kept, of the last hours


class MemoryWatch:
    """Reads the memory of a program's ``processes``, whose control groups are ``groups``.

    ``limit`` is the most that the program may take in bytes, None for none but the machine's. ``ask`` asks
    something of the processes (see `protocol.Request`), and ``notify`` takes sentences for the user.
    """

    def __init__(
        self,
        processes: Callable[[], Sequence[psutil.Process]],
        groups: Callable[[], Iterable[Group]],
        notify: Callable[[str], None],
        ask: Callable[[str], None],
        *,
        limit: int | None = None,
        high_watermark: float = memory_trend.HIGH_WATERMARK,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._processes, self._groups, self._notify, self._ask = processes, groups, notify, ask
        self._limit, self._high, self._clock = limit, high_watermark, clock
        self.samples: list[Sample] = []
        self.room: Room | None = None
        self.highest = 0
        self._mps: dict[int, tuple[float, Mapping[str, Any]]] = {}
        self._next = self._next_question = -float("inf")
        self._said: dict[str, float] = {}
        self._emptied = -float("inf")
        self._count_at: float | None = None

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take a message of a process: "memory", "emptied" or "census"."""
        if message["kind"] == "memory":
            self._mps[message["pid"]] = (self._clock(), message)
        elif message["kind"] == "emptied":
            before, after = message["driver_before"], message["driver_after"]
            self._notify(
                f"torch.mps.empty_cache() gave back {size(max(before - after, 0))} of {size(before)}"
                f" in {message['seconds']:.2f} s"
            )
        elif message["grown"]:
            self._notify("what became more: " + "; ".join(map(str, message["grown"])))

    def look(self, steps: int | None) -> str | None:
        """Take a reading if it is time; return why the program has to end, None if it has not."""
        now = self._clock()
        if self._count_at is not None and now >= self._count_at:
            self._count_at = None
            self._ask("census")
        if now < self._next:
            return None
        sample = self._read(now, steps)
        self.samples = [*self.samples[-MOST:], sample]
        self.highest = max(self.highest, sample.program)
        assert self.room is not None  # noqa: S101  (set by the reading)
        hurry = self.room.available < LITTLE * self.room.total or (
            self._limit is not None and sample.program > self._limit / 2
        )
        self._next = now + (HURRIED if hurry else EVERY)
        if now >= self._next_question:
            self._next_question = now + ASK_EVERY
            self._say_what_grows(now)
        due = [self._due(each) for each in self.samples[-2:]]
        # Twice in a row: one reading may fall into a moment, as when a checkpoint is written.
        return due[-1] if len(due) == 2 and all(due) else None

    def _due(self, sample: Sample) -> str | None:
        assert self.room is not None  # noqa: S101
        room = Room(self.room.total, sample.available, self.room.source)
        mps = None
        if sample.driver and sample.current is not None and sample.recommended:
            mps = Mps(sample.driver, sample.current, sample.recommended)
        return memory_limit.due(room, sample.program, self._limit, mps, self._high)

    def _read(self, now: float, steps: int | None) -> Sample:
        self.room = program_memory.room(self._groups())
        recent = [message for at, message in self._mps.values() if now - at < OLD]
        recommended = [each["recommended"] for each in recent if each["recommended"]]
        return Sample(
            t=now,
            program=program_memory.of(self._processes()),
            available=self.room.available,
            step=steps,
            driver=sum(each["driver"] for each in recent) if recent else None,
            current=sum(each["current"] for each in recent) if recent else None,
            recommended=max(recommended) if recommended else None,
        )

    def _say_what_grows(self, now: float) -> None:
        found = memory_trend.find(self.samples, self._high)
        if found is None:
            return
        if now - self._said.get(found.kind, -float("inf")) >= SAY_EVERY:
            self._said[found.kind] = now
            self._notify(found.says)
            if found.kind == "leak":
                self._ask("census")  # the first count; the second tells what grew
                self._count_at = now + COUNT_AGAIN
        last = self.samples[-1]
        full = (last.driver or 0) > FULL * (last.recommended or float("inf"))
        if found.kind == "cache growth" and full and now - self._emptied >= EMPTY_EVERY:
            self._emptied = now
            self._ask("empty cache")
