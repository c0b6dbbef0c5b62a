"""Run a comparison live: replicate after replicate, with interim analyses, until the answer is known.

A replicate is one set of three processes: A, the A/A control and B. Whatever takes time or starts a
process is passed in (how to start a worker, the clock), so that the order of events can be tested
without either.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metalassay.compare import schedule
from metalassay.compare.schedule import Durations
from metalassay.statistics import decision
from metalassay.statistics.decision import Decision, Sample, Within
from metalassay.workers.processes import TimeIsUpError, Worker
from metalassay.workers.specs import Arm

START = Callable[[Arm], Worker]
SAMPLE_SECONDS = {"cpu": 0.005, "wall": 0.02}
"""The work in one timing, by clock: thousands of times the cost of reading the clocks, but no more.

Disturbances come in bursts, so many short turns are better than few long ones; on a device the turns
are longer, because the wait for the device must be short compared with the work.
"""
UNSHARED = 0.8  # the least share of CPU time in wall time on a core that nothing else uses
ROUND_SECONDS = 0.5  # of work in a round, if six ABBA blocks take less than that


@dataclass(frozen=True)
class Plan:
    """How to compare. ``budget`` is in seconds of wall time; when it runs out, a last analysis is made.

    ``alpha`` is the error rate of this comparison, already divided by the size of its family.
    ``clock`` ("cpu" or "wall") is the one that decides; both are recorded. ``rounds`` is the usual number per
    replicate, see ``schedule.rounds``. A run that ``continues`` later keeps a part of the error rate for that.
    ``servers`` is the number of fork servers; 0 if each process is started.
    """

    clock: str
    budget: float = 60.0
    alpha: float = decision.ALPHA
    margin: float = decision.MARGIN
    bound: float = decision.BOUND
    rounds: int = decision.ROUNDS
    seed: int = 0
    continues: bool = False
    servers: int = 0


@dataclass(frozen=True)
class Replicate:
    """The timings of one set of three processes: all that is needed to judge them again.

    ``page_faults`` has the page faults per step of each process.
    """

    rounds: tuple[tuple[Sample, ...], ...]
    steady: bool = True
    page_faults: tuple[float, ...] = ()

    def effects(self, clock: str) -> tuple[float, float]:
        """Return the midmeans of the log-ratios: (B over A, A/A control over A)."""
        return decision.replicate_effects(self.rounds, clock)


@dataclass
class State:
    """The results so far; it grows during a run, and a saved run is continued from it.

    ``steps`` is the number of steps per timing, ``abba_blocks`` the number of ABBA blocks per round.
    ``analyses`` has the number of replicates at each interim analysis: what these spent of the error
    rate stays spent in a run that is continued. ``unfinished`` has the rounds of processes that the end of the
    budget met, which decide nothing; ``over`` is true once no more replicates follow in this run.
    ``durations`` are those of the latest replicate, and ``common`` is the standard error of what forks of the
    same servers have in common.
    """

    steps: int = 0
    abba_blocks: int = 0
    replicates: list[Replicate] = field(default_factory=list)
    analyses: list[int] = field(default_factory=list)
    facts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    unfinished: Replicate | None = None
    over: bool = False
    durations: Durations | None = None
    common: float = 0.0


@dataclass(frozen=True)
class Progress:
    """The progress of a run; ``so_far`` is the interval at the next analysis, None before there is one."""

    replicates: int
    seconds: float
    so_far: Decision | None


def run(
    first: Arm,
    second: Arm,
    start: START,
    plan: Plan,
    state: State,
    *,
    place: Callable[[], None] = lambda: None,
    progress: Callable[[Progress], None] = lambda _: None,
    too_short: Callable[[int], None] = lambda _: None,
    keep: Callable[[State], None] = lambda _: None,
    now: Callable[[], float] = time.monotonic,
) -> Decision | None:
    """Compare ``second`` with ``first`` until the answer is known or the budget is spent.

    ``state`` is filled in place and passed to ``keep`` after every replicate. ``place`` chooses the
    core; it is called when the processes are warm, and after a round in which they had to share it.
    ``too_short`` is called as soon as the first processes are warm, if the budget has no room for the first
    analysis, with one that has. No replicate is begun that would not end within the budget with one round
    at least, and one during which a worker raises ``TimeIsUpError`` is kept as unfinished. Returns the
    decision of the last analysis, or None if there are too few replicates for one. Raises what ``start``
    raises.
    """
    arms = {decision.FIRST: first, decision.CONTROL: first, decision.SECOND: second}
    began, before = now(), state.seconds
    fresh, state.over = True, False
    if plan.servers:
        state.common = max(state.common, decision.LAYOUT / math.sqrt(plan.servers))

    def rounds(durations: Durations) -> int:
        """Return the rounds of a replicate whose processes are warm now."""
        nonlocal fresh
        done, spent = _rounds_of(state), now() - began - durations.start
        if fresh and (budget := schedule.enough(durations, plan.budget - spent, spent, len(done))):
            too_short(budget)
        fresh = False
        return max(1, schedule.rounds(durations, plan.budget - spent, done, plan.rounds))

    while (answer := due(state, plan)) is None:
        done, left = _rounds_of(state), plan.budget - (now() - began)
        if done and left <= 0:
            break
        if state.durations and not schedule.rounds(state.durations, left, done, plan.rounds):
            break
        try:
            replicate = run_replicate(arms, start, plan, state, place, rounds=rounds, now=now)
        except TimeIsUpError:
            break
        state.replicates.append(replicate)
        state.seconds = before + now() - began
        keep(state)
        progress(Progress(len(state.replicates), state.seconds, so_far(state, plan)))
    if answer is None:
        state.over = True
        answer = analyse(state, plan)
    keep(state)
    return answer


def _rounds_of(state: State) -> list[int]:
    return [len(each.rounds) for each in state.replicates]


def due(state: State, plan: Plan) -> Decision | None:
    """Make the interim analysis that is due, if any; return its decision if it ends the comparison."""
    replicates, analyses = len(state.replicates), len(state.analyses)
    fresh = not state.analyses or state.analyses[-1] < replicates
    if fresh and analyses < len(decision.ANALYSES) and replicates < decision.ANALYSES[analyses][0]:
        return None
    answer = analyse(state, plan)
    if answer is None:
        return judge(state, plan, len(decision.ANALYSES) - 1, plan.clock) if analyses else None
    known = answer.verdict != decision.INCONCLUSIVE or answer.distrusted
    return answer if known or len(state.analyses) >= len(decision.ANALYSES) else None


def analyse(state: State, plan: Plan) -> Decision | None:
    """Spend the next analysis on all replicates so far; without new ones, repeat the last analysis."""
    if state.analyses and state.analyses[-1] == len(state.replicates):
        return judge(state, plan, len(state.analyses) - 1, plan.clock)
    if len(state.replicates) < decision.FEWEST or len(state.analyses) >= len(decision.ANALYSES):
        return None
    state.analyses.append(len(state.replicates))
    return judge(state, plan, len(state.analyses) - 1, plan.clock)


def so_far(state: State, plan: Plan) -> Decision | None:
    """Return the interval as the next analysis would compute it; it decides nothing."""
    if len(state.replicates) < decision.FEWEST:
        return None
    return judge(state, plan, min(len(state.analyses), len(decision.ANALYSES) - 1), plan.clock)


def judge(state: State, plan: Plan, analysis: int, clock: str) -> Decision:
    """Judge all replicates by ``clock`` as interim analysis number ``analysis``, from 0."""
    effects = [replicate.effects(clock) for replicate in state.replicates]
    return decision.decide(
        effects,
        analysis=analysis,
        alpha=plan.alpha,
        margin=plan.margin,
        bound=plan.bound,
        last=state.over and not plan.continues,
        over=state.over or analysis + 1 == len(decision.ANALYSES),
        common=state.common,
    )


def within(state: State, clock: str) -> Within | None:
    """Return what all ABBA blocks say about the processes in which they were measured."""
    unfinished = (state.unfinished,) if state.unfinished else ()
    sets = [replicate.rounds for replicate in (*state.replicates, *unfinished)]
    return decision.within(sets, clock)


def run_replicate(
    arms: Mapping[str, Arm],
    start: START,
    plan: Plan,
    state: State,
    place: Callable[[], None] = lambda: None,
    *,
    rounds: Callable[[Durations], int] | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Replicate:
    """Start one process per arm, let them take turns, check their results and end them.

    ``rounds`` returns how many there are, from how long the start took; by default as many as in the plan.
    """
    began = now()
    number = len(state.replicates)
    chance = random.Random(f"{plan.seed}/{number}")  # noqa: S311  (an order, not a secret)
    workers: dict[str, Worker] = {}
    done: list[tuple[Sample, ...]] = []
    blocks: list[tuple[Sample, ...]] = []  # of the round that is not done yet
    try:
        for arm in chance.sample(sorted(arms), len(arms)):  # no arm always starts first
            workers[arm] = start(arms[arm])
        for worker in workers.values():
            _ = worker.facts  # wait until it is warm
        place()
        step = max(workers[decision.FIRST].facts["step"], 1e-7)
        if not state.steps:
            state.steps = max(1, round(SAMPLE_SECONDS[plan.clock] / step))
            state.abba_blocks = blocks_per_round(state.steps * step)
        warm = now()
        expected = state.abba_blocks * 2 * len(arms) * state.steps * step
        per_round = state.durations.round if state.durations else expected
        durations = Durations(warm - began, per_round)
        state.durations = state.durations or durations
        wanted = rounds(durations) if rounds else plan.rounds
        orders = decision.orders(chance.randrange(2**32), tuple(arms))
        for _ in range(wanted):
            for order in itertools.islice(orders, state.abba_blocks):
                blocks.append(tuple(Sample(a, *workers[a].sample(state.steps)) for a in order))
            done.append(tuple(itertools.chain.from_iterable(blocks)))
            blocks.clear()
            if core_was_shared(done[-1]):
                place()
        state.durations = Durations(warm - began, max((now() - warm) / wanted, 1e-6))
        for arm, worker in workers.items():
            state.facts[arm] = {**worker.facts, **worker.finish()}
    except (TimeIsUpError, KeyboardInterrupt):
        if blocks and state.abba_blocks:
            count = len(done) * state.abba_blocks + len(blocks)
            state.durations = Durations(warm - began, (now() - warm) / count * state.abba_blocks)
        done += [tuple(itertools.chain.from_iterable(blocks))] if blocks else []
        state.unfinished = Replicate(tuple(done)) if done else None
        raise
    finally:
        for worker in workers.values():
            worker.close()
    return Replicate(
        tuple(done),
        all(worker.facts.get("steady", True) for worker in workers.values()),
        tuple(round(state.facts[arm].get("page_faults", 0.0), 1) for arm in workers),
    )


def core_was_shared(timings: Sequence[Sample]) -> bool:
    """Whether the processes had to wait for their core: half the timings had less than 80 % of it."""
    return statistics.median(timing.cpu / timing.wall for timing in timings) < UNSHARED


def blocks_per_round(seconds: float) -> int:
    """Return the number of ABBA blocks in a round if a timing takes ``seconds``.

    It is a multiple of ``decision.ABBA_BLOCKS``, so that every order of the arms is equally frequent.
    """
    least = decision.ABBA_BLOCKS * 2 * len(decision.ARMS) * seconds
    return decision.ABBA_BLOCKS * max(1, round(ROUND_SECONDS / least))
