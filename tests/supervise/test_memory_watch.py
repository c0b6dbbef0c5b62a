"""The memory of a running program is read, what grows is said, and what is too much ends it."""

from __future__ import annotations

from typing import Any

import pytest

from metalassay.supervise import memory_watch, program_memory
from metalassay.supervise.memory_watch import MemoryWatch
from metalassay.supervise.program_memory import Room

GIB = 2**30
MIB = 2**20


class Machine:
    """A machine of 16 GiB with a clock; what happens on it is written down in ``said`` and ``asked``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **others: Any) -> None:
        self.now = 0.0
        self.program = GIB
        self.available = 10 * GIB
        self.said: list[str] = []
        self.asked: list[str] = []
        self.readings = 0
        monkeypatch.setattr(program_memory, "of", self._of)
        monkeypatch.setattr(
            program_memory, "room", lambda groups: Room(16 * GIB, self.available, "16 GiB")
        )
        self.watch = MemoryWatch(
            list,
            list,
            self.said.append,
            self.asked.append,
            clock=lambda: self.now,
            **others,
        )

    def _of(self, processes: object) -> int:
        self.readings += 1
        return self.program

    def run(self, seconds: float, steps: int | None = None) -> str | None:
        """Let time pass, a second at a time; return why the program has to end."""
        for _ in range(int(seconds)):
            self.now += 1
            if why := self.watch.look(steps):
                return why
        return None


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_readings_are_rare_and_hurry_where_little_is_left(machine: Machine) -> None:
    machine.run(100)
    assert machine.readings == 20
    machine.available = 2 * GIB
    machine.run(10)
    machine.readings = 0
    machine.run(100)
    assert machine.readings == 100


def test_a_program_that_holds_little_goes_on_without_a_word(machine: Machine) -> None:
    assert machine.run(3600) is None
    assert machine.said == machine.asked == []


def test_a_leak_is_said_once_and_what_grew_is_counted_twice(machine: Machine) -> None:
    for minute in range(25):
        machine.program += 100 * MIB
        machine.available -= 100 * MIB
        machine.run(60, steps=(minute + 1) * 100)
    assert len([text for text in machine.said if "memory leaks" in text]) == 1
    assert machine.asked == ["census", "census"]
    machine.watch.hear(
        {"kind": "census", "pid": 1, "grown": ["12 more tensors, held by list `losses`"]}
    )
    assert machine.said[-1] == "what became more: 12 more tensors, held by list `losses`"
    machine.watch.hear({"kind": "census", "pid": 1, "grown": []})
    assert machine.said[-1] == "what became more: 12 more tensors, held by list `losses`"


def grow_cache(machine: Machine, minutes: int, per_minute: int, start: int) -> None:
    for minute in range(minutes):
        for _ in range(12):
            machine.watch.hear(
                {
                    "kind": "memory",
                    "pid": 7,
                    "driver": start + minute * per_minute,
                    "current": GIB,
                    "recommended": 10 * GIB,
                    "steps": minute * 100,
                }
            )
            machine.run(5, steps=minute * 100 + 1)


def test_a_cache_that_grows_is_emptied_where_it_is_large(machine: Machine) -> None:
    grow_cache(machine, 25, 100 * MIB, 8 * GIB)
    assert machine.asked
    assert set(machine.asked) == {"empty cache"}
    assert any("cache of MPS memory grows" in text for text in machine.said)
    machine.watch.hear(
        {
            "kind": "emptied",
            "pid": 7,
            "driver_before": 9 * GIB,
            "driver_after": 2 * GIB,
            "seconds": 0.25,
        }
    )
    assert machine.said[-1] == "torch.mps.empty_cache() gave back 7 GiB of 9 GiB in 0.25 s"


def test_a_cache_that_is_small_is_left_alone(machine: Machine) -> None:
    grow_cache(machine, 25, 50 * MIB, GIB)
    assert machine.asked == []


def test_figures_of_a_process_that_is_silent_do_not_count(machine: Machine) -> None:
    grow_cache(machine, 1, 0, GIB)
    assert machine.watch.samples[-1].driver == GIB
    machine.run(60)
    assert machine.watch.samples[-1].driver is None


def test_a_limit_ends_it_when_two_readings_are_above(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, limit=2 * GIB)
    assert machine.run(60) is None
    machine.program = 3 * GIB
    why = machine.run(10)
    assert why is not None
    assert "2 GiB" in why
    assert [sample.program for sample in machine.watch.samples[-3:]] == [GIB, 3 * GIB, 3 * GIB]


def test_memory_that_runs_out_ends_the_program_that_holds_it(machine: Machine) -> None:
    machine.program, machine.available = 14 * GIB, 200 * MIB
    assert machine.run(30) is not None


def test_memory_that_others_hold_ends_nothing(machine: Machine) -> None:
    machine.program, machine.available = GIB, 200 * MIB
    assert machine.run(30) is None


def test_the_readings_that_are_kept_are_limited(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_watch, "MOST", 10)
    machine.run(1000)
    assert len(machine.watch.samples) == 11
