"""The result of a comparison, its text, and the line of progress while it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metalassay.compare.schedule import More
from metalassay.statistics import decision
from metalassay.statistics.decision import Decision, Within

if TYPE_CHECKING:
    from metalassay.compare.sampling import Progress


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    ``decision`` is by ``clock``, and ``other`` judges the same replicates by ``other_clock``.
    ``decision`` is None if there were too few replicates. If Ctrl+C ended the run, ``interrupted`` is
    true and ``decision`` is only the state at that moment. ``steps`` is the number per timing,
    ``seconds`` the wall time of the run, ``facts`` what the process of each arm reported about
    itself, ``conditions`` the state of the machine before and after, and ``devices`` where A and B ran.
    ``unsaved`` is why the run could not be saved; "" if it was, or was not to be. Where there are too few
    replicates for an interval over them, ``within`` is the one within the processes that were measured.
    ``more`` is what a full answer would still take, None where there is one or none is in sight.
    """

    a: str
    b: str
    clock: str
    other_clock: str
    decision: Decision | None
    other: Decision | None
    alpha: float
    replicates: int
    steps: int
    seconds: float
    interrupted: bool
    notes: tuple[str, ...]
    facts: dict[str, Any]
    conditions: dict[str, Any]
    devices: tuple[str, ...] = ()
    unsaved: str = ""
    within: Within | None = None
    more: More | None = None

    @property
    def verdict(self) -> str:
        """One of "slower", "faster", "same", "inconclusive"."""
        if self.decision is None or self.interrupted:
            return decision.INCONCLUSIVE
        return self.decision.verdict

    def __str__(self) -> str:
        return report(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the whole result for JSON; the format calls the replicates "trios"."""
        fields = dataclasses.asdict(self)
        head = {"schema": "metalassay.comparison/1", "verdict": self.verdict}
        return head | {"trios": fields.pop("replicates")} | fields


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
        if decided.bound > decided.margin:
            return f"no difference of {decided.bound * 100:g} % or more {span}"
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
    if comparison.devices:
        yield f"device: {' and '.join(dict.fromkeys(comparison.devices))}"
    if decided is None:
        count = _replicates(comparison.replicates)
        yield f"B against A: inconclusive: {count}, too few for an interval over replicates"
        if (found := comparison.within) is not None:
            sets = "these processes" if found.replicates > 1 else "these three processes"
            yield (
                f"  within {sets}: {found.ratio:+.1%} [{found.low:+.1%}, {found.high:+.1%}],"
                f" {_CLOCKS[comparison.clock]} per step, 95 % interval over {found.blocks} ABBA blocks;"
                " another start may differ more"
            )
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
    if (more := comparison.more) is not None:
        yield (
            f"  {_replicates(more.replicates)} more, about {more.seconds:.0f} s, should tell:"
            f" choose a budget of {more.budget} s"
        )
    for note in comparison.notes:
        yield f"  note: {note}"


def _replicates(count: int) -> str:
    return f"{count} replicate{'' if count == 1 else 's'}"


def _ratio(decided: Decision) -> str:
    return f"{decided.ratio:+.1%} [{decided.low:+.1%}, {decided.high:+.1%}]"


_CLOCKS = {"cpu": "CPU time", "wall": "wall time"}
