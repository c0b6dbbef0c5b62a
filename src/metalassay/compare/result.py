"""The text of a comparison: the verdict, its basis, and the line of progress while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from metalassay.statistics import decision
from metalassay.statistics.decision import Decision

if TYPE_CHECKING:
    from metalassay.compare import Comparison
    from metalassay.compare.sampling import Progress


def verdict(decided: Decision) -> str:
    """Return the verdict as a sentence without a subject."""
    if decided.distrusted:
        return f"inconclusive: {decided.distrusted}"
    span = f"[{decided.low:+.1%}, {decided.high:+.1%}]"
    if decided.verdict == decision.SLOWER:
        return f"slower by {decided.ratio:.1%} {span}"
    if decided.verdict == decision.FASTER:
        return f"faster by {-decided.ratio:.1%} {span}"
    if decided.verdict == decision.SAME:
        return f"same within {decided.margin * 100:g} % {span}"
    least = f"\N{GREATER-THAN OR EQUAL TO} {decided.detectable:.1%}"
    return f"inconclusive: could have detected {least}; so far {decided.ratio:+.1%} {span}"


def line(step: Progress) -> str:
    """Return the line of progress for the terminal."""
    head = f"{_replicates(step.replicates)}, {step.seconds:.0f} s"
    return head if step.so_far is None else f"{head}: {_ratio(step.so_far)}"


def report(comparison: Comparison) -> str:
    """Return the answer in full, for a terminal."""
    return "\n".join(_lines(comparison))


def _lines(comparison: Comparison) -> Iterator[str]:
    decided = comparison.decision
    yield f"A: {comparison.a}"
    yield f"B: {comparison.b}"
    if decided is None:
        count = _replicates(comparison.replicates)
        yield f"B against A: inconclusive: {count}, too few for an interval"
    elif comparison.interrupted:
        yield f"B against A: undecided, interrupted at {_ratio(decided)}"
    else:
        yield f"B against A: {verdict(decided)}, {_CLOCKS[comparison.clock]} per step"
        if comparison.other is not None:
            yield f"  {_CLOCKS[comparison.other_clock]}: {_ratio(comparison.other)}"
        yield (
            f"  A/A control: {decided.null:+.1%} [{decided.null_low:+.1%}, {decided.null_high:+.1%}]"
        )
        yield (
            f"  {_replicates(comparison.replicates)} of three processes, {comparison.steps} step(s)"
            f" per timing, {comparison.seconds:.0f} s; {100 * (1 - comparison.alpha):.4g} %"
            " intervals, valid for all interim analyses together"
        )
    for note in comparison.notes:
        yield f"  note: {note}"


def _replicates(count: int) -> str:
    return f"{count} replicate{'' if count == 1 else 's'}"


def _ratio(decided: Decision) -> str:
    return f"{decided.ratio:+.1%} [{decided.low:+.1%}, {decided.high:+.1%}]"


_CLOCKS = {"cpu": "CPU time", "wall": "wall time"}
