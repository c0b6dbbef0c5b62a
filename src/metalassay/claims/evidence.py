"""Measurements of tools/claim_experiments.py: judge them by the rule of comparisons, and read them back."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalassay.statistics import decision

FOLDER = Path("evidence")
SCHEMA = 2
UNCONTROLLED = 1
"""The schema of earlier files: medians and extremes of ratios, without an A/A control."""
MORE, LESS = "more", "less"
_WORDS = {decision.SLOWER: MORE, decision.FASTER: LESS}  # a figure need not be a time


@dataclass(frozen=True)
class Comparison:
    """An arm of an experiment against its base, in one figure.

    ``ratio`` is arm / base with its interval ``low`` to ``high``; ``rounds`` is the number of
    replicates. ``word`` is "more", "less", "same" or "inconclusive", and ``reason`` says why it is
    inconclusive.
    """

    base: str
    arm: str
    what: str
    base_median: float
    arm_median: float
    ratio: float
    low: float
    high: float
    rounds: int
    word: str
    reason: str = ""

    def sentence(self) -> str:
        """Return the comparison as one line."""
        return (
            f"{self.what}: {self.base} {self.base_median:.4g}, {self.arm} {self.arm_median:.4g};"
            f" ratio {self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}] in {self.rounds} rounds:"
            f" {self.word}{f' ({self.reason})' if self.reason else ''}"
        )


@dataclass(frozen=True)
class Evidence:
    """One run of an experiment."""

    experiment: str
    machine: str
    device: str
    torch: str
    comparisons: tuple[Comparison, ...]
    file: str


@dataclass(frozen=True)
class Figures:
    """The figures of one comparison, per round: of the base, its A/A control and an arm; none is 0."""

    base: str
    arm: str
    what: str
    of_base: Sequence[float]
    of_control: Sequence[float]
    of_arm: Sequence[float]

    def judge(self, family: int = 1) -> Comparison:
        """Compare the arm with the base as ``metalassay compare`` does; a round is a replicate.

        ``family`` is the number of comparisons in the experiment, which share the error rate.
        Raises ``ValueError`` for too few rounds, sequences of different lengths, and figures that
        are not positive.
        """
        effects = []
        for base, control, arm in zip(self.of_base, self.of_control, self.of_arm, strict=True):
            if not all(map(math.isfinite, (base, control, arm))):
                raise ValueError("a figure that is not finite")
            a, same, b = math.log(base), math.log(control), math.log(arm)
            effects.append((b - (a + same) / 2, same - a))
        # The number of rounds is fixed beforehand, so this is the only analysis.
        decided = decision.decide(effects, analysis=None, alpha=decision.ALPHA / family)
        reason = decided.distrusted or ""
        if decided.verdict == decision.INCONCLUSIVE and not reason:
            reason = f"could have detected a difference of {decided.detectable:.1%}"
        return Comparison(
            base=self.base,
            arm=self.arm,
            what=self.what,
            base_median=statistics.median(self.of_base),
            arm_median=statistics.median(self.of_arm),
            ratio=1 + decided.ratio,
            low=1 + decided.low,
            high=1 + decided.high,
            rounds=len(effects),
            word=_WORDS.get(decided.verdict, decided.verdict),
            reason=reason,
        )


def load(experiment: str, folder: Path = FOLDER) -> tuple[list[Evidence], list[str]]:
    """Return the runs of an experiment, ordered by name, and a warning for each unreadable file."""
    runs, warnings = [], []
    for path in sorted(folder.glob(f"{experiment}-*.json")):
        try:
            record: dict[str, Any] = json.loads(path.read_text("utf-8"))
            if record["schema"] not in (UNCONTROLLED, SCHEMA):
                raise ValueError(f"schema {record['schema']!r}; this version reads 1 and 2")
            if record["experiment"] != experiment:
                continue  # an experiment whose name begins with this one
            read = _uncontrolled if record["schema"] == UNCONTROLLED else _judged
            runs.append(
                Evidence(
                    experiment=experiment,
                    machine=str(record["machine"]),
                    device=str(record["device"]),
                    torch=str(record["versions"]["torch"]),
                    comparisons=read(record["comparisons"]),
                    file=str(path),
                )
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            warnings.append(f"{path}: {type(error).__name__}: {error}")
    return runs, warnings


def _judged(rows: Sequence[Mapping[str, Any]]) -> tuple[Comparison, ...]:
    """Judge stored figures again, so that a file always shows the verdict of the present rule."""
    return tuple(Figures(**row).judge(family=len(rows)) for row in rows)


def _uncontrolled(rows: Sequence[Mapping[str, Any]]) -> tuple[Comparison, ...]:
    """Return the comparisons of an earlier file without their verdicts: it has no A/A control."""
    without = {
        "word": decision.INCONCLUSIVE,
        "reason": "recorded without an A/A control; measure again",
    }
    comparisons = tuple(Comparison(**{**row, **without}) for row in rows)
    for comparison in comparisons:
        comparison.sentence()  # raises where a number is missing or is text
    return comparisons
