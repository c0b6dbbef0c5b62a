"""How a comparison runs, with workers and a clock that are made up: no process, no waiting."""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from metalassay.compare import sampling, saved_run, text
from metalassay.compare.sampling import Plan, State
from metalassay.errors import UserError
from metalassay.statistics import decision
from metalassay.workers import specs
from metalassay.workers.specs import Arm

A = Arm("A", specs.parse("transit-cnn"), sys.executable)
B = Arm("B", specs.parse("transit-cnn:train:extra=8"), sys.executable)


@dataclass
class World:
    """Steps of 10 ms with noise, slower by ``slower`` for B; every process has a bias of its own."""

    slower: float = 0.0
    noise: float = 0.005
    bias: float = 0.003
    drift: float = 0.0
    waits: float = 1.1
    faults: float = 3.0
    time: float = 0.0
    started: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    alive: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311
    checks: int = 0
    break_after: int | None = None

    def now(self) -> float:
        return self.time

    def start(self, arm: Arm) -> Worker:
        self.started.append(arm.label)
        self.alive += 1
        self.time += 0.5
        return Worker(self, arm)


class Worker:
    facts: Mapping[str, Any]

    def __init__(self, world: World, arm: Arm) -> None:
        self.world, self.arm = world, arm
        self.facts = {"step": 0.01, "steady": True}
        self.factor = 1 + world.chance.gauss(0, world.bias)
        if arm.label == "B":
            self.factor *= 1 + world.slower

    def sample(self, steps: int) -> tuple[float, float]:
        if self.world.break_after is not None and len(self.world.events) >= self.world.break_after:
            raise KeyboardInterrupt
        self.world.events.append(self.arm.label)
        cpu = 0.01 * self.factor * math.exp(self.world.chance.gauss(0, self.world.noise))
        cpu *= 1 + self.world.drift * self.world.time
        self.world.time += steps * cpu
        return self.world.waits * cpu, cpu

    def finish(self) -> Mapping[str, Any]:
        self.world.checks += 1
        return {"peak_rss": 1000, "page_faults": self.world.faults}

    def close(self) -> None:
        self.world.alive -= 1


def go(world: World, state: State | None = None, **plan: Any) -> decision.Decision | None:
    state = State() if state is None else state
    return sampling.run(A, B, world.start, Plan(clock="cpu", **plan), state, now=world.now)


def test_a_clear_difference_ends_the_run_at_the_first_look() -> None:
    world, state = World(slower=0.10), State()
    found = go(world, state)
    assert found is not None
    assert found.verdict == "slower"
    assert found.low < 0.10 < found.high
    assert state.looks == [decision.LOOKS[0][0]] == [len(state.trios)]


def test_less_time_is_faster() -> None:
    found = go(World(slower=-0.10))
    assert found is not None
    assert found.verdict == "faster"


def test_the_same_code_is_the_same() -> None:
    found = go(World())
    assert found is not None
    assert found.verdict == "same"


def test_a_machine_that_gets_slower_all_the_time_makes_no_difference() -> None:
    """In turns nobody is the late one."""
    found = go(World(drift=0.05, noise=0.001))
    assert found is not None
    assert (found.verdict, found.distrusted) == ("same", None)


def test_every_trio_is_three_new_processes_whose_results_are_checked_and_which_are_ended() -> None:
    world, state = World(slower=0.1), State()
    go(world, state)
    trios = len(state.trios)
    assert sorted(world.started) == ["A"] * 2 * trios + ["B"] * trios
    assert world.checks == 3 * trios
    assert world.alive == 0


def test_the_arms_take_turns_in_palindromes() -> None:
    world, state = World(slower=0.1), State()
    go(world, state)
    for trio in state.trios:
        for block in trio.blocks:
            arms = [sample.arm for sample in block]
            assert len(arms) == 6 * decision.PALINDROMES
            for start in range(0, len(arms), 6):
                order = arms[start : start + 6]
                assert order == order[::-1]
                assert sorted(order) == ["A", "A", "B", "B", "a", "a"]


def test_nobody_is_always_born_first() -> None:
    world = World(noise=0.5)
    go(world)
    first = [world.started[i] for i in range(0, len(world.started), 3)]
    assert {"A", "B"} <= set(first)


def test_the_budget_ends_it_with_one_look_and_an_honest_word() -> None:
    world, state = World(noise=0.5), State()
    found = go(world, state, budget=18)
    assert found is not None
    assert found.verdict == "inconclusive"
    assert world.time < 22
    assert state.looks == [len(state.trios)]
    assert text.verdict(found).startswith(
        "inconclusive: could have seen \N{GREATER-THAN OR EQUAL TO}"
    )


def test_a_budget_too_small_for_an_interval_decides_nothing() -> None:
    assert go(World(), budget=0.1) is None


def test_no_more_looks_are_taken_than_were_paid_for() -> None:
    state = State()
    found = go(World(noise=0.3), state, budget=1e9)
    assert found is not None
    assert state.looks == [count for count, _ in decision.LOOKS]


def test_looks_that_were_spent_stay_spent_when_a_run_is_continued() -> None:
    state = State()
    go(World(noise=0.3), state, budget=16)
    first = len(state.trios)
    go(World(noise=0.3), state, budget=16)
    assert len(state.trios) > first
    assert state.looks == [first, len(state.trios)]


def test_looking_again_at_the_same_costs_nothing() -> None:
    state, plan = State(), Plan(clock="cpu")
    go(World(noise=0.3), state, budget=16)
    spent = list(state.looks)
    assert sampling.last_look(state, plan) is not None
    assert state.looks == spent


def test_a_run_that_was_decided_stays_decided() -> None:
    world, state = World(slower=0.1), State()
    found = go(world, state)
    started = len(world.started)
    assert go(world, state) == found
    assert len(world.started) == started


def test_ctrl_c_leaves_no_process_and_keeps_the_trios_that_were_done() -> None:
    world, state = World(noise=0.3, break_after=100), State()
    with pytest.raises(KeyboardInterrupt):
        go(world, state)
    assert world.alive == 0
    assert len(state.trios) == 100 // (6 * decision.BLOCKS * decision.PALINDROMES)
    assert state.looks == []


def test_a_timing_holds_as_many_steps_as_fill_it() -> None:
    """Of 10 ms: one by CPU time, which is to take 5 ms, and two by the wall's clock, 20 ms."""
    for clock, steps in (("cpu", 1), ("wall", 2)):
        state = State()
        sampling.run(A, B, World().start, Plan(clock=clock), state, now=World().now)
        assert state.steps == steps


@pytest.mark.parametrize(
    ("seconds", "palindromes"), [(0.01, 6), (0.004, 18), (0.001, 84), (1.0, 6)]
)
def test_short_timings_make_longer_blocks_of_whole_rounds_of_orders(
    seconds: float, palindromes: int
) -> None:
    assert sampling.palindromes(seconds) == palindromes


def test_a_core_is_chosen_anew_before_each_trio() -> None:
    places: list[int] = []
    world, state = World(slower=0.1), State()
    sampling.run(
        *(A, B, world.start, Plan(clock="cpu"), state),
        place=lambda: places.append(len(world.started)),
        now=world.now,
    )
    assert places == [3 * (number + 1) for number in range(len(state.trios))]


def test_a_core_is_chosen_again_when_somebody_else_wants_it() -> None:
    places: list[int] = []
    world = World(slower=0.1, waits=2.0)
    sampling.trio(
        *({"A": A, "a": A, "B": B}, world.start, Plan(clock="cpu"), State()),
        place=lambda: places.append(len(world.events)),
    )
    assert places == [0, 36, 72, 108, 144]


ABOUT = {"a": ["A", "A"], "margin": 0.01}


def test_a_saved_run_comes_back_as_it_was(tmp_path: Path) -> None:
    state = State()
    go(World(noise=0.3), state, budget=16)
    saved_run.write(tmp_path / "run.jsonl", ABOUT, state)
    assert saved_run.read(tmp_path / "run.jsonl", ABOUT) == state


def test_a_run_that_was_never_saved_has_not_begun(tmp_path: Path) -> None:
    assert saved_run.read(tmp_path / "none.jsonl", ABOUT) == State()


def test_a_last_line_cut_off_in_the_middle_is_left_out(tmp_path: Path) -> None:
    state, path = State(), tmp_path / "run.jsonl"
    go(World(noise=0.3), state, budget=16)
    saved_run.write(path, ABOUT, state)
    path.write_text(path.read_text()[:-20])
    assert saved_run.read(path, ABOUT).trios == state.trios


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "nonsense\nnonsense\n", '{"schema": "metalassay.compat/1"}']
)
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match="not a saved comparison"):
        saved_run.read(path, ABOUT)


def test_a_block_without_its_null_arm_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    trio = {"trio": [[["A", 1, 1], ["B", 1, 1], ["B", 1, 1], ["A", 1, 1]]], "steady": True}
    path.write_text(f"{json.dumps({'schema': saved_run.SCHEMA, **ABOUT})}\n{json.dumps(trio)}\n")
    with pytest.raises(UserError, match="not a saved comparison"):
        saved_run.read(path, ABOUT)


def test_a_run_with_another_margin_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    saved_run.write(path, ABOUT, State())
    with pytest.raises(UserError, match=r"another margin: 0.01, not 0.02"):
        saved_run.read(path, {**ABOUT, "margin": 0.02})
