"""Compares two things live and answers in one of three ways: slower or faster, same, inconclusive.

from metalassay.compare import compare

def test_the_new_step_is_not_slower():
    found = compare("bench.py::old", "bench.py::new", budget=60)
    assert found.verdict in ("same", "faster"), found
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalassay.compare import arms, sampling, saved_run, text
from metalassay.compare.sampling import Plan, Progress, State
from metalassay.errors import UserError
from metalassay.machine import conditions
from metalassay.statistics import decision as rule
from metalassay.statistics.decision import FASTER, INCONCLUSIVE, SAME, SLOWER, Decision, holm
from metalassay.workers import cpu_pinning
from metalassay.workers.processes import Processes
from metalassay.workers.specs import Arm

__all__ = [
    "FASTER",
    "INCONCLUSIVE",
    "SAME",
    "SLOWER",
    "Comparison",
    "Decision",
    "compare",
    "holm",
]

_WAITS = (
    0.7  # of the wall time is CPU time, in the quickest blocks: less, and it waits for something
)

_FAULTS = 50  # pages a step more in one process than in another: 1,000 were 15 % of 11 ms


@dataclass(frozen=True)
class Comparison:
    """What came out. ``clock`` is what was decided on; ``other`` is the same trios by the other clock.

    ``decision`` is None when there were too few trios; ``interrupted`` when Ctrl+C ended it, and then
    ``decision`` shows where it stood and decides nothing. ``steps`` is per timing, ``seconds`` the
    wall time of all, ``facts`` what the processes of each arm said of themselves, and
    ``conditions`` what the machine was like before and after.
    """

    a: str
    b: str
    clock: str
    other_clock: str
    decision: Decision | None
    other: Decision | None
    alpha: float
    trios: int
    steps: int
    seconds: float
    interrupted: bool
    notes: tuple[str, ...]
    facts: dict[str, Any]
    conditions: dict[str, Any]

    @property
    def verdict(self) -> str:
        """One of "slower", "faster", "same", "inconclusive"."""
        if self.decision is None or self.interrupted:
            return INCONCLUSIVE
        return self.decision.verdict

    def __str__(self) -> str:
        return text.report(self)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {"schema": "metalassay.comparison/1", "verdict": self.verdict} | dataclasses.asdict(
            self
        )


def compare(
    a: str,
    b: str,
    *,
    of: str | None = None,
    budget: float = 60.0,
    margin: float = rule.MARGIN,
    family: int = 1,
    clock: str = "auto",
    blocks: int = rule.BLOCKS,
    fresh: bool = False,
    seed: int = 0,
    save: Path | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Comparison:
    """Compare ``b`` with ``a``; see ``arms.resolve`` for what they may name.

    It ends when the answer is known, or after ``budget`` seconds of wall time and the trio that is
    under way. ``margin`` is what counts as the same (0.01: 1 %). ``family`` is how many comparisons
    are asked for together: the error rate of 1 % is divided among them. ``clock`` is "cpu", "wall" or
    "auto": CPU time where both run on the CPU. ``save`` is a file to keep the run in, and to continue
    it from. ``fresh`` starts every process anew instead of forking it. Raises ``UserError``.
    """
    if not (budget > 0 and 0 < margin < 1 and family >= 1 and blocks >= 1):
        raise UserError("budget, margin, family or blocks out of range", "leave them as they are")
    with arms.resolve(a, b, of) as (first, second):
        plan = Plan(
            clock=_clock(clock, first, second),
            budget=budget,
            alpha=rule.ALPHA / family,
            margin=margin,
            blocks=blocks,
            seed=seed,
        )
        about = _about(first, second, plan)
        state = saved_run.read(save, about) if save else State()

        def keep(now: State) -> None:
            if save:
                saved_run.write(save, about, now)

        interrupted = False
        kept = plan.clock == "cpu" and cpu_pinning.may_be_kept(first, second)
        before, began = conditions.observe(), time.monotonic()
        with Processes(fresh=fresh) as processes:
            try:
                processes.prepare(first, second)
                left = plan.budget - (time.monotonic() - began)
                decision = sampling.run(
                    first,
                    second,
                    processes.start,
                    dataclasses.replace(plan, budget=max(left, 0.0)),
                    state,
                    place=processes.keep_on_one_core if kept else _nowhere,
                    progress=progress,
                    keep=keep,
                )
            except KeyboardInterrupt:
                interrupted = True
                decision = sampling.so_far(state, plan)
        after = conditions.observe()
        notes = (
            *_notes(first, second, plan, state, interrupted=interrupted),
            *conditions.flags(before, after, time.monotonic() - began),
        )
        seen = {"before": before.as_dict(), "after": after.as_dict()}
        return _comparison(first, second, plan, state, decision, interrupted, notes, seen)


def _nowhere() -> None:
    """Leave it to the system where processes run."""


def _clock(wanted: str, first: Arm, second: Arm) -> str:
    if wanted in ("cpu", "wall"):
        return wanted
    return "cpu" if first.spec.device == second.spec.device == "cpu" else "wall"


def _about(first: Arm, second: Arm, plan: Plan) -> dict[str, Any]:
    """Return what must agree for a saved run to be continued; the budget may differ."""
    return {
        "a": [first.label, first.spec.text()],
        "b": [second.label, second.spec.text()],
        "clock": plan.clock,
        "alpha": plan.alpha,
        "margin": plan.margin,
        "blocks": plan.blocks,
        "seed": plan.seed,
        "python": sys.version.partition(" ")[0],
    }


def _comparison(
    first: Arm,
    second: Arm,
    plan: Plan,
    state: State,
    decision: Decision | None,
    interrupted: bool,
    notes: tuple[str, ...],
    seen: dict[str, Any],
) -> Comparison:
    other_clock = "wall" if plan.clock == "cpu" else "cpu"
    look = max(len(state.looks) - 1, 0)
    other = None if decision is None else sampling.judge(state, plan, look, other_clock)
    return Comparison(
        a=first.label,
        b=second.label,
        clock=plan.clock,
        other_clock=other_clock,
        decision=decision,
        other=other,
        alpha=plan.alpha,
        trios=len(state.trios),
        steps=state.steps,
        seconds=state.seconds,
        interrupted=interrupted,
        notes=notes,
        facts=dict(state.facts),
        conditions=seen,
    )


def _notes(
    first: Arm, second: Arm, plan: Plan, state: State, *, interrupted: bool
) -> Iterator[str]:
    if interrupted:
        yield "interrupted: this is where it stood, and decides nothing"
    unsteady = sum(not each.steady for each in state.trios)
    if unsteady:
        yield f"{unsteady} of {len(state.trios)} trios were not steady after their warm-up"
    if plan.clock == "cpu" and max(first.spec.threads, second.spec.threads) > 1:
        yield "CPU time adds up all threads: it says what the work costs, not how long it takes"
    faults = [each for trio in state.trios for each in trio.page_faults]
    if faults and max(faults) - min(faults) > _FAULTS:
        yield (
            f"from process to process a step had to find {min(faults):.0f} to {max(faults):.0f} pages"
            " of memory anew: the C library gives it back or keeps it by luck, and that takes time;"
            " on Linux malloc=tuned ends it"
        )
    if any(each.get("emulated") for each in state.facts.values()):
        yield "the device was emulated: this says nothing about a real one"
    if plan.clock == "cpu" and state.trios and _busiest(state) < _WAITS:
        yield (
            f"at most {_busiest(state):.0%} of the wall time was CPU time: the step waits for"
            " something, or the machine is busy; --clock wall counts waiting too"
        )


def _busiest(state: State) -> float:
    samples = (sample for trio in state.trios for block in trio.blocks for sample in block)
    return max(sample.cpu / sample.wall for sample in samples)
