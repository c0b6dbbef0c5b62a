"""Runs a comparison live: trio after trio of processes, looking now and then, until it is known.

Everything that takes time or a process comes in from outside (how to start a worker, the clock), so
that the order of events can be tested without either.
"""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metalassay.statistics import decision
from metalassay.statistics.decision import Decision, Sample
from metalassay.workers.processes import Worker
from metalassay.workers.specs import Arm

START = Callable[[Arm], Worker]
SAMPLE_SECONDS = {"cpu": 0.005, "wall": 0.02}
"""Of work in one timing: thousands of times what reading the clocks costs, and no more.

What disturbs comes in bursts, so many short turns beat few long ones; a wait for a device has to be
small beside the work.
"""
ALONE = 0.8  # of the wall time is CPU time, where nobody else wants the core
BLOCK_SECONDS = 0.5  # of work in a block, where six palindromes are shorter than that


@dataclass(frozen=True)
class Plan:
    """How to compare. ``budget`` is in seconds of wall time; one look is taken when it runs out.

    ``alpha`` is the error rate of this comparison, already divided where it is one of a family.
    ``clock`` is "cpu" or "wall"; both are recorded.
    """

    clock: str
    budget: float = 60.0
    alpha: float = decision.ALPHA
    margin: float = decision.MARGIN
    blocks: int = decision.BLOCKS
    seed: int = 0


@dataclass(frozen=True)
class TrioRecord:
    """The blocks of one trio of processes: all that is needed to judge them again.

    ``page_faults`` are those of a step, one figure a process.
    """

    blocks: tuple[tuple[Sample, ...], ...]
    steady: bool = True
    page_faults: tuple[float, ...] = ()

    def effects(self, clock: str) -> tuple[float, float]:
        """Return the midmeans of the log-ratios: (B over A, null arm over A)."""
        return decision.trio_effects(self.blocks, clock)


@dataclass
class State:
    """What has been found so far; it grows, and a saved one is continued.

    ``steps`` is the number of steps in a timing, ``palindromes`` that of a block. ``looks`` holds, look by look, how many trios there
    were: they are spent, also in a run that is continued.
    """

    steps: int = 0
    palindromes: int = 0
    trios: list[TrioRecord] = field(default_factory=list)
    looks: list[int] = field(default_factory=list)
    facts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Progress:
    """Where a run stands: the interval so far (None before there is one) at the next look's rate."""

    trios: int
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
    keep: Callable[[State], None] = lambda _: None,
    now: Callable[[], float] = time.monotonic,
) -> Decision | None:
    """Compare ``second`` with ``first`` until it is known or the budget is spent.

    ``state`` is filled in place and handed to ``keep`` after every trio; ``place`` says where
    they run, when they are warm and after a block in which they were not alone there. Returns the decision of the
    last look, or None when there are too few trios for one. Raises what ``start`` raises.
    """
    arms = {decision.FIRST: first, decision.NULL: first, decision.SECOND: second}
    began, before = now(), state.seconds
    took: list[float] = []
    while (found := due(state, plan)) is None:
        spent = now() - began
        typical = statistics.median(took[-3:]) if took else 0.0
        if state.trios and spent + typical > plan.budget:
            break
        record = trio(arms, start, plan, state, place)
        took.append(now() - began - spent)
        state.trios.append(record)
        state.seconds = before + now() - began
        keep(state)
        progress(Progress(len(state.trios), state.seconds, so_far(state, plan)))
    if found is None:
        found = last_look(state, plan)
    keep(state)
    return found


def due(state: State, plan: Plan) -> Decision | None:
    """Take the look that is due, if one is; return its decision if that ends the comparison."""
    trios, looks = len(state.trios), len(state.looks)
    fresh = not state.looks or state.looks[-1] < trios
    if fresh and looks < len(decision.LOOKS) and trios < decision.LOOKS[looks][0]:
        return None
    found = last_look(state, plan)
    if found is None:
        return judge(state, plan, len(decision.LOOKS) - 1, plan.clock) if looks else None
    known = found.verdict != decision.INCONCLUSIVE or found.distrusted
    return found if known or len(state.looks) >= len(decision.LOOKS) else None


def last_look(state: State, plan: Plan) -> Decision | None:
    """Spend the next look on what there is; where nothing is new, the last one stands."""
    if state.looks and state.looks[-1] == len(state.trios):
        return judge(state, plan, len(state.looks) - 1, plan.clock)
    if len(state.trios) < decision.FEWEST or len(state.looks) >= len(decision.LOOKS):
        return None
    state.looks.append(len(state.trios))
    return judge(state, plan, len(state.looks) - 1, plan.clock)


def so_far(state: State, plan: Plan) -> Decision | None:
    """Return the interval as the next look would see it; nothing is decided by it."""
    if len(state.trios) < decision.FEWEST:
        return None
    return judge(state, plan, min(len(state.looks), len(decision.LOOKS) - 1), plan.clock)


def judge(state: State, plan: Plan, look: int, clock: str) -> Decision:
    """Judge all trios by ``clock`` as look number ``look``."""
    effects = [each.effects(clock) for each in state.trios]
    return decision.decide(effects, look=look, alpha=plan.alpha, margin=plan.margin)


def trio(
    arms: Mapping[str, Arm],
    start: START,
    plan: Plan,
    state: State,
    place: Callable[[], None] = lambda: None,
) -> TrioRecord:
    """Start a process an arm, let them take turns in blocks, check their results and end them."""
    number = len(state.trios)
    chance = random.Random(f"{plan.seed}/{number}")  # noqa: S311  (an order, no secret)
    workers: dict[str, Worker] = {}
    try:
        for arm in chance.sample(sorted(arms), len(arms)):  # nobody is always born first
            workers[arm] = start(arms[arm])
        for worker in workers.values():
            _ = worker.facts  # warm
        place()
        if not state.steps:
            step = max(workers[decision.FIRST].facts["step"], 1e-7)
            state.steps = max(1, round(SAMPLE_SECONDS[plan.clock] / step))
            state.palindromes = palindromes(state.steps * step)
        orders = decision.orders(chance.randrange(2**32), tuple(arms))
        blocks = []
        for _ in range(plan.blocks):
            blocks.append(_block(workers, orders, state))
            if crowded(blocks[-1]):
                place()
        for arm, worker in workers.items():
            state.facts[arm] = {**worker.facts, **worker.finish()}
    finally:
        for worker in workers.values():
            worker.close()
    return TrioRecord(
        tuple(blocks),
        all(worker.facts.get("steady", True) for worker in workers.values()),
        tuple(round(state.facts[arm].get("page_faults", 0.0), 1) for arm in workers),
    )


def _block(
    workers: Mapping[str, Worker], orders: Iterator[Sequence[str]], state: State
) -> tuple[Sample, ...]:
    return tuple(
        Sample(arm, *workers[arm].sample(state.steps))
        for order in itertools.islice(orders, state.palindromes)
        for arm in order
    )


def crowded(block: Sequence[Sample]) -> bool:
    """Whether the processes had to wait for a core: half the timings had less than 80 % of it."""
    return statistics.median(each.cpu / each.wall for each in block) < ALONE


def palindromes(seconds: float) -> int:
    """Return how many palindromes make a block when a timing takes ``seconds``.

    A multiple of ``rule.PALINDROMES``, in which every order of the arms comes up as often.
    """
    least = decision.PALINDROMES * 2 * len(decision.ARMS) * seconds
    return decision.PALINDROMES * max(1, round(BLOCK_SECONDS / least))
