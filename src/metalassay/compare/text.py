"""A comparison in words: the verdict, what it rests on, and the line that shows it coming."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from metalassay.statistics import decision
from metalassay.statistics.decision import Decision

if TYPE_CHECKING:
    from metalassay.compare import Comparison
    from metalassay.compare.sampling import Progress


def verdict(found: Decision) -> str:
    """Return the verdict as a sentence without a subject."""
    if found.distrusted:
        return f"inconclusive: {found.distrusted}"
    span = f"[{found.low:+.1%}, {found.high:+.1%}]"
    if found.verdict == decision.SLOWER:
        return f"slower by {found.ratio:.1%} {span}"
    if found.verdict == decision.FASTER:
        return f"faster by {-found.ratio:.1%} {span}"
    if found.verdict == decision.SAME:
        return f"same within {found.margin * 100:g} % {span}"
    return f"inconclusive: could have seen {_at_least(found.detectable)}; so far {found.ratio:+.1%} {span}"


def _at_least(size: float) -> str:
    return f"\N{GREATER-THAN OR EQUAL TO} {size:.1%}"


def line(step: Progress) -> str:
    """Return a line for the terminal while it runs."""
    head = f"{step.trios} trios, {step.seconds:.0f} s"
    if step.so_far is None:
        return head
    found = step.so_far
    return f"{head}: {found.ratio:+.1%} [{found.low:+.1%}, {found.high:+.1%}]"


def report(found: Comparison) -> str:
    """Return the answer in full, for a terminal."""
    return "\n".join(_lines(found))


def _lines(found: Comparison) -> Iterator[str]:
    yield f"A: {found.a}"
    yield f"B: {found.b}"
    if found.decision is None:
        yield f"B against A: inconclusive: {found.trios} trios are too few for an interval"
    elif found.interrupted:
        yield f"B against A: undecided, interrupted at {_ratio(found.decision)}"
    else:
        yield f"B against A: {verdict(found.decision)} of {_CLOCKS[found.clock]} a step"
        if found.other is not None:
            yield f"  {_CLOCKS[found.other_clock]}: {_ratio(found.other)}"
        null = found.decision
        yield (
            f"  null arm (A against A): {null.null:+.1%} [{null.null_low:+.1%}, {null.null_high:+.1%}]"
        )
        yield (
            f"  {found.trios} trios of processes, {found.steps} step(s) a timing,"
            f" {found.seconds:.0f} s; intervals of {100 * (1 - found.alpha):.4g} %, which hold at"
            " all looks together"
        )
    for note in found.notes:
        yield f"  note: {note}"


def _ratio(found: Decision) -> str:
    return f"{found.ratio:+.1%} [{found.low:+.1%}, {found.high:+.1%}]"


_CLOCKS = {"cpu": "CPU time", "wall": "wall time"}
