"""Compare two things live; the answer is slower or faster, same, or inconclusive.

from metalassay.compare import compare

def test_the_new_step_is_not_slower():
    comparison = compare("bench.py::old", "bench.py::new", budget=60)
    assert comparison.verdict in ("same", "faster"), comparison
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from metalassay.compare import arms, sampling, saved_run, schedule
from metalassay.compare.result import Comparison
from metalassay.compare.sampling import Plan, Progress, State
from metalassay.compare.schedule import More
from metalassay.errors import UserError, reason
from metalassay.files import check_writable
from metalassay.machine import conditions
from metalassay.statistics import decision as rule
from metalassay.statistics.decision import FASTER, INCONCLUSIVE, SAME, SLOWER, Decision
from metalassay.workers import cpu_pinning
from metalassay.workers.processes import Processes, TimeIsUpError
from metalassay.workers.specs import Arm

__all__ = [
    "FASTER",
    "INCONCLUSIVE",
    "SAME",
    "SLOWER",
    "Comparison",
    "Decision",
    "compare",
]

# If no timing has a larger share of CPU time in its wall time, the step waits for something.
_WAITS = 0.7
# Page faults per step more in one process than in another; 1,000 of them took 15 % of 11 ms.
_FAULTS = 50
_FROM_SCRATCH = "each process was started and none forked: {}"


def compare(
    a: str,
    b: str,
    *,
    of: str | None = None,
    device: str = "auto",
    budget: float = 60.0,
    margin: float = rule.MARGIN,
    bound: float = rule.BOUND,
    family: int = 1,
    clock: str = "auto",
    rounds: int = rule.ROUNDS,
    fresh: bool = False,
    seed: int = 0,
    save: Path | None = None,
    variables: Mapping[str, str] | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    too_short: Callable[[int], None] = lambda _: None,
) -> Comparison:
    """Compare ``b`` with ``a``; see ``arms.resolve`` for what they may name, and for ``device``.

    The run ends when the answer is known, or after ``budget`` seconds of wall time. They begin with this
    call: processes that start and warm up are in them, and a replicate that is not complete when they are
    over is dropped. What is waited for to find a GPU or to read a git revision is counted, but not cut
    short. A difference below ``margin`` counts as the same (0.01: 1 %), and the run ends as soon as
    differences of ``bound`` or more are excluded; a bound below the margin has no effect. ``family`` is the
    number of comparisons made together: they share the error rate of 1 %. ``clock`` is "cpu", "wall"
    or "auto", which is CPU time if both run on the CPU. ``rounds`` is the usual number per replicate.
    ``save`` is a file to save the run in and to continue it from; if it can no longer be written later,
    ``unsaved`` of the result says why. ``fresh`` starts every process instead of forking it. ``variables``
    are environment variables that the process of B alone has; then every process is started, for A and B
    must differ in nothing else. ``too_short`` is called with a better budget as soon as it is known that
    there is no room for the first analysis in this one. Raises ``UserError``.
    """
    if not (budget > 0 and 0 < margin < 1 and 0 < bound < 1 and family >= 1 and rounds >= 1):
        raise UserError(
            "budget, margin, bound, family or rounds out of range",
            "choose budget > 0, 0 < margin < 1, 0 < bound < 1, family >= 1 and rounds >= 1",
        )
    began = time.monotonic()
    if save:
        check_writable(save, "choose another --save")
    with arms.resolve(a, b, of, device) as (first, second):
        if variables:
            named = " ".join(f"{name}={value}" for name, value in variables.items())
            second = dataclasses.replace(
                second, label=f"{second.label} with {named}", variables=variables
            )
        plan = Plan(
            clock=_clock(clock, first, second),
            budget=budget,
            alpha=rule.ALPHA / family,
            margin=margin,
            bound=bound,
            rounds=rounds,
            seed=seed,
            continues=save is not None,
        )
        about = _about(first, second, plan)
        state = saved_run.read(save, about) if save else State()

        unsaved = ""

        def keep(now: State) -> None:
            nonlocal unsaved
            if save:
                try:
                    saved_run.write(save, about, now)
                    unsaved = ""
                except OSError as error:  # what is measured is worth more: it is the answer
                    unsaved = reason(error)

        keep(state)  # a full disk is reported now, not after a minute of measuring
        if unsaved:
            raise UserError(f"cannot write {save}: {unsaved}", "choose another --save")
        interrupted, decision, until_ready = False, None, 0.0
        pinned = plan.clock == "cpu" and cpu_pinning.possible(first, second)
        before = conditions.observe()
        with Processes(fresh=fresh or bool(variables), deadline=began + budget) as processes:
            try:
                processes.prepare(first, second)
                until_ready = time.monotonic() - began
                plan = dataclasses.replace(plan, servers=processes.servers)
                decision = sampling.run(
                    first,
                    second,
                    processes.start,
                    dataclasses.replace(plan, budget=max(budget - until_ready, 0.0)),
                    state,
                    place=processes.pin_to_one_core if pinned else _do_not_pin,
                    progress=progress,
                    too_short=lambda seconds: too_short(schedule.rounded(seconds + until_ready)),
                    keep=keep,
                )
            except TimeIsUpError:  # before the first replicate
                state.over = True
                decision = sampling.analyse(state, plan)
            except KeyboardInterrupt:
                interrupted = True
                decision = sampling.so_far(state, plan)
        after = conditions.observe()
        took = time.monotonic() - began
        notes = (
            *_notes(first, second, plan, state, interrupted=interrupted),
            *([_FROM_SCRATCH.format(processes.refused)] if processes.refused else []),
            *(_too_short(state, plan, took) if decision is None and not interrupted else ()),
            *conditions.flags(before, after, took),
        )
        seen = {"before": before.as_dict(), "after": after.as_dict()}
        compared = _comparison(first, second, plan, state, decision, interrupted, notes, seen)
        return dataclasses.replace(
            compared, unsaved=unsaved, more=_more(state, plan, compared, took, until_ready)
        )


def _do_not_pin() -> None:
    """Leave it to the system on which core a process runs."""


def _too_short(state: State, plan: Plan, took: float) -> Iterator[str]:
    """Say that a budget was over before anything was measured."""
    if sampling.within(state, plan.clock) is None:
        yield (
            f"the {took:.0f} s, which include the start and the warm-up of processes, were over before two"
            f" ABBA blocks were; the first analysis needs {rule.ANALYSES[0][0]} replicates: choose a larger budget"
        )


def _more(
    state: State, plan: Plan, compared: Comparison, took: float, until_ready: float
) -> More | None:
    """Return what a full answer would still take, None where there is one or none is in sight.

    A saved run is continued by one that has to get ready (to import, above all) but not to measure again.
    """
    decided = compared.decision
    known = compared.verdict != INCONCLUSIVE or (decided is not None and decided.distrusted)
    if known or state.durations is None:
        return None
    again = until_ready if plan.continues else took
    return schedule.missing(state.durations, decided, len(state.replicates), again, plan.rounds)


def _clock(wanted: str, first: Arm, second: Arm) -> str:
    if wanted in ("cpu", "wall"):
        return wanted
    return "cpu" if first.spec.device == second.spec.device == "cpu" else "wall"


def _about(first: Arm, second: Arm, plan: Plan) -> dict[str, Any]:
    """Return what must be equal for a saved run to be continued; the budget may differ."""
    return {
        "a": [first.label, first.spec.text()],
        "b": [second.label, second.spec.text()],
        "clock": plan.clock,
        "alpha": plan.alpha,
        "margin": plan.margin,
        "blocks": plan.rounds,
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
    analysis = max(len(state.analyses) - 1, 0)
    other = None if decision is None else sampling.judge(state, plan, analysis, other_clock)
    return Comparison(
        a=first.label,
        b=second.label,
        clock=plan.clock,
        other_clock=other_clock,
        decision=decision,
        other=other,
        alpha=plan.alpha,
        replicates=len(state.replicates),
        steps=state.steps,
        seconds=state.seconds,
        interrupted=interrupted,
        notes=notes,
        facts=dict(state.facts),
        devices=(first.spec.device, second.spec.device),
        conditions=seen,
        within=None if decision else sampling.within(state, plan.clock),
    )


def _notes(
    first: Arm, second: Arm, plan: Plan, state: State, *, interrupted: bool
) -> Iterator[str]:
    if interrupted:
        yield "interrupted: the interval so far decides nothing"
    unsteady = sum(not replicate.steady for replicate in state.replicates)
    if unsteady:
        yield f"{unsteady} of {len(state.replicates)} replicates were not steady after warm-up"
    if plan.clock == "cpu" and max(first.spec.threads, second.spec.threads) > 1:
        yield "CPU time is the sum over all threads: the cost of the work, not its duration"
    faults = [faults for replicate in state.replicates for faults in replicate.page_faults]
    if faults and max(faults) - min(faults) > _FAULTS:
        yield (
            f"page faults per step varied from {min(faults):.0f} to {max(faults):.0f} between"
            " processes: depending on the heap's layout the C library returns memory to the system"
            " and requests it again, which takes time; on Linux malloc=tuned on both sides prevents it:"
            f" {_tuned(first)} {_tuned(second)}"
        )
    if any(facts.get("emulated") for facts in state.facts.values()):
        yield "the device was emulated: this result does not apply to a real one"
    if plan.clock == "cpu" and state.replicates and _busiest(state) < _WAITS:
        yield (
            f"at most {_busiest(state):.0%} of the wall time was CPU time: the step waits for"
            " something, or the machine is busy; --clock wall includes waiting"
        )


def _tuned(arm: Arm) -> str:
    return dataclasses.replace(arm.spec, malloc="tuned").text()


def _busiest(state: State) -> float:
    return max(
        timing.cpu / timing.wall
        for replicate in state.replicates
        for timings in replicate.rounds
        for timing in timings
    )
