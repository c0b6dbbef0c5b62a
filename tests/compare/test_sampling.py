"""A run of a comparison with simulated workers and a simulated clock: no process, no waiting."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from metalassay.compare import result, sampling
from metalassay.compare.sampling import Plan, State
from metalassay.statistics import decision
from metalassay.statistics.student_t import t_quantile
from metalassay.workers import specs
from metalassay.workers.specs import Arm

A = Arm("A", specs.parse("transit-cnn"), sys.executable)
B = Arm("B", specs.parse("transit-cnn:train:extra=8"), sys.executable)


@dataclass
class World:
    """Steps of 10 ms with noise, slower by ``slower`` for B; every process has its own bias."""

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
    chance: random.Random = field(default_factory=lambda: random.Random(1))
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


def test_a_clear_difference_ends_the_run_at_the_first_analysis() -> None:
    world, state = World(slower=0.10), State()
    found = go(world, state)
    assert found is not None
    assert found.verdict == "slower"
    assert found.low < 0.10 < found.high
    assert state.analyses == [decision.ANALYSES[0][0]] == [len(state.replicates)]


def test_less_time_is_called_faster() -> None:
    found = go(World(slower=-0.10))
    assert found is not None
    assert found.verdict == "faster"


def test_the_same_code_is_called_the_same() -> None:
    found = go(World())
    assert found is not None
    assert found.verdict == "same"


def test_a_machine_that_slows_down_steadily_makes_no_difference() -> None:
    found = go(World(drift=0.05, noise=0.001))
    assert found is not None
    assert (found.verdict, found.distrusted) == ("same", None)


def test_every_replicate_is_three_new_processes_that_are_checked_and_ended() -> None:
    world, state = World(slower=0.1), State()
    go(world, state)
    replicates = len(state.replicates)
    assert sorted(world.started) == ["A"] * 2 * replicates + ["B"] * replicates
    assert world.checks == 3 * replicates
    assert world.alive == 0


def test_the_arms_take_turns_in_abba_blocks() -> None:
    world, state = World(slower=0.1), State()
    go(world, state)
    for replicate in state.replicates:
        for timings in replicate.rounds:
            arms = [timing.arm for timing in timings]
            assert len(arms) == 6 * decision.ABBA_BLOCKS
            for start in range(0, len(arms), 6):
                order = arms[start : start + 6]
                assert order == order[::-1]
                assert sorted(order) == ["A", "A", "B", "B", "a", "a"]


def test_no_arm_always_starts_first() -> None:
    world = World(noise=0.5)
    go(world)
    first = [world.started[i] for i in range(0, len(world.started), 3)]
    assert {"A", "B"} <= set(first)


def test_the_end_of_the_budget_gives_one_analysis_and_the_detectable_difference() -> None:
    world, state = World(noise=0.5), State()
    found = go(world, state, budget=18)
    assert found is not None
    assert found.verdict == "inconclusive"
    assert world.time < 22
    assert state.analyses == [len(state.replicates)]
    assert result.verdict(found).startswith(
        "inconclusive: could have detected \N{GREATER-THAN OR EQUAL TO}"
    )


def test_a_budget_too_small_for_an_interval_decides_nothing() -> None:
    assert go(World(), budget=0.1) is None


@pytest.mark.parametrize("budget", [4, 5, 7, 9])
def test_a_budget_for_few_replicates_still_gives_a_number_from_within_the_processes(
    budget: int,
) -> None:
    """A replicate takes 1.5 s to start and 1.4 s for four rounds."""
    world, state = World(slower=0.1, bias=0.0), State()
    decided = go(world, state, budget=budget)
    found = sampling.within(state, "cpu")
    assert found is not None
    assert found.low < 0.1 < found.high
    assert found.high - found.low < 0.02
    assert (decided is None) == (len(state.replicates) < decision.FEWEST)
    assert world.time <= budget
    assert budget - world.time < 1.5 + 0.5  # not as much is unused as one more replicate takes


def test_the_rounds_of_processes_that_the_budget_interrupts_count_within_them() -> None:
    for timings, rounds, blocks in ((36 * 3, 3, 18), (36 * 3 + 13, 4, 18), (17, 1, 2), (5, 0, 0)):
        world, state = World(break_after=timings), State()
        with pytest.raises(KeyboardInterrupt):
            go(world, state)
        assert state.replicates == []
        assert (len(state.unfinished.rounds) if state.unfinished else 0) == rounds
        found = sampling.within(state, "cpu")
        assert (found.blocks if found else 0) == blocks
        assert state.durations is not None  # from which it is known how long a full answer takes
        assert state.durations.round == pytest.approx(0.36, rel=0.5)


def test_replicates_are_shorter_if_only_then_there_is_room_for_the_first_analysis() -> None:
    state = State()
    found = go(World(slower=0.2), state, budget=14)
    assert found is not None
    assert found.verdict == "slower"
    assert len(state.replicates) == 6
    assert all(len(replicate.rounds) < decision.ROUNDS for replicate in state.replicates[1:])


def test_processes_that_take_long_to_start_are_used_for_longer() -> None:
    @dataclass
    class Slow(World):
        def start(self, arm: Arm) -> Worker:
            self.time += 5.0
            return super().start(arm)

    state = State()
    go(Slow(noise=0.1), state, budget=1000)
    # sqrt(8 * 16.5 / 0.36) = 19 rounds
    assert {len(replicate.rounds) for replicate in state.replicates[1:4]} == {19}


def test_a_budget_without_room_for_the_first_analysis_is_reported_before_anything_is_measured() -> (
    None
):
    told: list[tuple[int, int]] = []
    for budget in (11, 12):
        world = World()
        sampling.run(
            *(A, B, world.start, Plan(clock="cpu", budget=budget), State()),
            too_short=lambda better, world=world: told.append((better, len(world.events))),  # type: ignore[misc]
            now=world.now,
        )
    assert told == [(20, 0)]  # 1.1 * 6 * (1.5 + 4 * 0.36) = 19.4; six with one round take 11.2 s


def test_the_last_analysis_spends_the_rest_unless_the_run_is_continued_later() -> None:
    reaches = []
    for continues in (False, True):
        state = State()
        found = go(World(noise=0.3), state, budget=12, continues=continues)
        assert found is not None
        assert found.verdict == "inconclusive"
        assert state.over
        reaches.append(math.log1p(found.high) - math.log1p(found.low))
    shares = [part for _, part in decision.ANALYSES]
    df = len(state.replicates) - 1
    expected = [t_quantile(0.01 * share, df) for share in (math.fsum(shares), shares[0])]
    assert reaches[0] / reaches[1] == pytest.approx(expected[0] / expected[1])


def test_a_run_of_forks_has_a_wider_interval_for_what_its_servers_have_in_common() -> None:
    wide, narrow = State(), State()
    go(World(slower=0.1), wide, servers=2)
    go(World(slower=0.1), narrow)
    assert wide.common == pytest.approx(decision.LAYOUT / math.sqrt(2))
    assert narrow.common == 0.0
    plan = Plan(clock="cpu")
    found, other = (sampling.judge(state, plan, 0, "cpu") for state in (wide, narrow))
    assert found.high - found.low > other.high - other.low
    assert (found.null_low, found.null_high) == (other.null_low, other.null_high)
    go(World(slower=0.1), wide)  # continued with processes that are all started: those stay forks
    assert wide.common > 0


def test_a_run_ends_where_three_percent_are_excluded_and_says_so() -> None:
    state = State()
    found = go(World(bias=0.01, noise=0.01), state)
    assert found is not None
    assert (found.verdict, found.bound, found.margin) == ("same", 0.03, 0.01)
    assert max(-found.low, found.high) > 0.01
    assert result.verdict(found).startswith("no difference of 3 % or more [")
    strict = State()
    go(World(bias=0.01, noise=0.01), strict, bound=0.01)
    assert len(strict.replicates) > len(state.replicates)


def test_there_are_no_more_analyses_than_planned() -> None:
    state = State()
    found = go(World(noise=0.3), state, budget=1e9)
    assert found is not None
    assert state.analyses == [count for count, _ in decision.ANALYSES]


def test_a_continued_run_does_not_repeat_its_earlier_analyses() -> None:
    state = State()
    go(World(noise=0.3), state, budget=16)
    first = len(state.replicates)
    go(World(noise=0.3), state, budget=16)
    assert len(state.replicates) > first
    assert state.analyses == [first, len(state.replicates)]


def test_an_analysis_of_the_same_replicates_spends_nothing() -> None:
    state, plan = State(), Plan(clock="cpu")
    go(World(noise=0.3), state, budget=16)
    spent = list(state.analyses)
    assert sampling.analyse(state, plan) is not None
    assert state.analyses == spent


def test_a_decided_run_is_not_continued() -> None:
    world, state = World(slower=0.1), State()
    found = go(world, state)
    started = len(world.started)
    assert go(world, state) == found
    assert len(world.started) == started


def test_ctrl_c_leaves_no_process_and_keeps_the_finished_replicates() -> None:
    world, state = World(noise=0.3, break_after=100), State()
    with pytest.raises(KeyboardInterrupt):
        go(world, state)
    assert world.alive == 0
    assert len(state.replicates) == 100 // (6 * decision.ROUNDS * decision.ABBA_BLOCKS)
    assert state.analyses == []


def test_a_timing_has_as_many_steps_as_fill_its_duration() -> None:
    """Steps take 10 ms; a timing takes at least 5 ms of CPU time, or 20 ms of wall time."""
    for clock, steps in (("cpu", 1), ("wall", 2)):
        state = State()
        sampling.run(A, B, World().start, Plan(clock=clock), state, now=World().now)
        assert state.steps == steps


@pytest.mark.parametrize(("seconds", "blocks"), [(0.01, 6), (0.004, 18), (0.001, 84), (1.0, 6)])
def test_shorter_timings_make_more_abba_blocks_in_multiples_of_six(
    seconds: float, blocks: int
) -> None:
    assert sampling.blocks_per_round(seconds) == blocks


def test_a_core_is_chosen_for_each_replicate() -> None:
    places: list[int] = []
    world, state = World(slower=0.1), State()
    sampling.run(
        *(A, B, world.start, Plan(clock="cpu"), state),
        place=lambda: places.append(len(world.started)),
        now=world.now,
    )
    assert places == [3 * (number + 1) for number in range(len(state.replicates))]


def test_a_core_is_chosen_again_after_a_round_in_which_it_was_shared() -> None:
    places: list[int] = []
    world = World(slower=0.1, waits=2.0)
    sampling.run_replicate(
        *({"A": A, "a": A, "B": B}, world.start, Plan(clock="cpu"), State()),
        place=lambda: places.append(len(world.events)),
    )
    assert places == [0, 36, 72, 108, 144]
