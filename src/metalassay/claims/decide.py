"""Decides claims by what was measured: pure functions of the runs of experiments and of experiments.toml."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metalassay.claims import evidence, experiments
from metalassay.claims.evidence import Comparison, Evidence
from metalassay.claims.experiments import Condition, Decides
from metalassay.statistics import decision

CONFIRMED, REFUTED, MISLEADING = "confirmed", "refuted", "misleading"
OPEN = "open"
"""The measurement decides nothing yet; ``Decided.why`` says why."""


@dataclass(frozen=True)
class Decided:
    """What a run says of a claim.

    ``word`` is a verdict or ``OPEN``. It ``counts`` if the run was on a real Mac; where it does not, ``why`` says so.
    ``shown`` are the comparisons behind it.
    """

    claim: str
    word: str
    why: str
    counts: bool
    run: Evidence
    shown: tuple[Comparison, ...]

    @property
    def settled(self) -> bool:
        """Whether the claim is decided by this run."""
        return self.counts and self.word != OPEN


@dataclass(frozen=True)
class _Held:
    """Whether a condition holds; None where it is open, for the reason ``why``. ``side`` of a figure: below or above."""

    holds: bool | None
    why: str = ""
    side: int = 0


def decide(claim: str, runs: Iterable[Evidence]) -> Decided | None:
    """Return what the newest of ``runs`` of the claim's experiment says; one on a Mac precedes all others.

    None where no experiment decides the claim, or none of the runs is of it.
    """
    decides = experiments.decisions().get(claim)
    if decides is None:
        return None
    mine = [run for run in runs if run.experiment == decides.experiment and not run.emulated]
    mine.sort(key=lambda run: (run.on_a_mac and _device_fits(decides, run), run.when), reverse=True)
    return judge(decides, mine[0]) if mine else None


def judge(decides: Decides, run: Evidence) -> Decided:
    """Return what one run says of a claim."""
    shown = tuple(
        one
        for one in run.comparisons
        if any(when.what == one.what and when.arm in (one.arm, one.base) for when in decides.when)
    )
    word, why = _word(decides, run)
    counts = run.on_a_mac and _device_fits(decides, run)
    if not run.on_a_mac:
        why = why or "this is not a Mac, so the claim stays open"
    elif not counts:
        why = why or f"the claim is about {decides.device}, and this ran on {run.device}"
    return Decided(decides.claim, word, why, counts, run, shown)


def _device_fits(decides: Decides, run: Evidence) -> bool:
    return decides.device in ("", run.device)


def _word(decides: Decides, run: Evidence) -> tuple[str, str]:
    if run.outcome:
        return (CONFIRMED if run.outcome == evidence.PASSED else REFUTED), ""
    held = [_held(when, run) for when in decides.when]
    yes = [one for one in held if one.holds]
    no = [one for one in held if one.holds is False]
    unsure = next((one.why for one in held if one.holds is None), "")
    if decides.any:
        if yes:
            return CONFIRMED, ""
        if len({one.side for one in no}) > 1:
            return OPEN, "the figure claimed lies between those measured"
        return (OPEN, unsure) if unsure else (REFUTED, "")
    if no and not decides.partly:
        return REFUTED, ""
    if unsure:
        return OPEN, unsure
    if yes and no:
        return MISLEADING, ""
    return (REFUTED if no else CONFIRMED), ""


def _held(when: Condition, run: Evidence) -> _Held:
    if when.expects or when.ratio:
        return _compared(when, run)
    for one in run.comparisons:
        if one.what == when.what and when.arm in (one.arm, one.base):
            return _of_its_own(when, run, one.arm_own if one.arm == when.arm else one.base_own)
    return _Held(None, f"nothing was measured with {when.arm}")


def _compared(when: Condition, run: Evidence) -> _Held:
    found = [
        one
        for one in run.comparisons
        if (one.base, one.arm, one.what) == (when.base, when.arm, when.what)
    ]
    if not found:
        return _Held(None, f"this machine has no arm {when.arm!r} of its own")
    (one,) = found
    if not one.trusted:
        return _Held(None, one.reason)
    if when.expects:
        if one.word == decision.INCONCLUSIVE:
            return _Held(None, f"{when.what}: {one.reason}")
        return _Held(one.word in when.expects)
    assert when.ratio is not None  # noqa: S101
    return _within(when.what, (one.low, one.high), when.ratio)


def _of_its_own(when: Condition, run: Evidence, own: tuple[float, float]) -> _Held:
    if when.value:
        return _within(when.what, own, when.value)
    claimed = when.values.get(run.machine.chip or "")
    if claimed is None:
        chips = " and the ".join(when.values)
        return _Held(None, f"the claim is about the {chips}")
    around = 1 + when.tolerance
    return _within(when.what, own, (claimed / around, claimed * around))


def _within(what: str, found: Sequence[float], bounds: Sequence[float]) -> _Held:
    """Whether an interval lies within bounds, or wholly beside them."""
    (low, high), (least, most) = found, bounds
    if least <= low and high <= most:
        return _Held(True)
    if high < least or low > most:
        return _Held(False, side=-1 if high < least else 1)
    return _Held(
        None,
        f"{what}: {low:.3g} to {high:.3g} is neither within {least:.3g} to {most:.3g} nor beside",
    )
