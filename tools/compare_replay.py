"""Replay comparisons from recorded noise, to estimate the error rate and the power of the rule.

A recording has groups of real processes that ran side by side (`tools/record_noise.py`). A replayed
comparison draws groups with replacement and consecutive rounds of each, as its replicates, and makes
interim analyses when a live one would. Recordings that the rule was not tuned on show how it generalises.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metalassay.statistics import decision
from metalassay.statistics.decision import Decision, Replicate, Sample


@dataclass(frozen=True)
class Recording:
    """Timings in microseconds, by group of processes and round; ``what`` describes their origin."""

    what: str
    replicates: tuple[tuple[tuple[Sample, ...], ...], ...]

    @property
    def third(self) -> bool:
        """Whether a third process ran the same code as A."""
        return any(sample.arm == SAME_CODE for sample in self.replicates[0][0])


def load(path: Path) -> Recording:
    """Read a file of ``tools/record_noise.py``. Raises ``ValueError`` for any other file."""
    document = json.loads(path.read_text("utf-8"))
    if document.get("schema") != "metalassay.noise/1":
        raise ValueError(f"{path.name}: not a recording of noise")
    return Recording(document["what"], tuple(_replicate(line) for line in document["groups"]))


def _replicate(line: str) -> tuple[tuple[Sample, ...], ...]:
    return tuple(tuple(map(_sample, block.split(" "))) for block in line.split(";"))


def _sample(text: str) -> Sample:
    wall, _, cpu = text[1:].partition(",")
    return Sample(text[0], float(wall), float(cpu))


@dataclass(frozen=True)
class Tally:
    """The outcome of ``comparisons``: how many had each verdict, and their mean number of replicates."""

    comparisons: int
    words: dict[str, int]
    distrusted: int
    replicates: float


SAME_CODE, MORE_WORK = "b", "B"
"""The recorded arm in the role of B: the same code in another process, or code with 3 % more work."""


def cast(second: str, chance: random.Random, *, third: bool = True) -> dict[str, str]:
    """Return the roles of each recorded arm; arms of the same code get theirs at random.

    Without a third process of the same code, A is also its own control, which then never fails.
    """
    if not third and second == SAME_CODE:
        one, other = chance.sample("Aa", 2)
        return {one: decision.FIRST + decision.CONTROL, other: decision.SECOND}
    same = chance.sample("Aab" if third else "Aa", 3 if third else 2)
    return {same[0]: decision.FIRST, same[1]: decision.CONTROL} | {
        same[2] if second == SAME_CODE else second: decision.SECOND
    }


def of_arms(replicate: Replicate, roles: Mapping[str, str]) -> list[list[Sample]]:
    """Return the rounds with each timing in the roles of its arm; arms without a role are omitted."""
    return [
        [
            dataclasses.replace(timing, arm=role)
            for timing in timings
            for role in roles.get(timing.arm, "")
        ]
        for timings in replicate
    ]


def compare(
    recording: Recording,
    second: str,
    clock: str,
    chance: random.Random,
    *,
    rounds: int = decision.ROUNDS,
    most: int | None = None,
    memo: dict[object, tuple[float, float]] | None = None,
) -> Decision:
    """Replay one comparison; ``most`` is the number of replicates that the budget allows.

    ``memo`` caches effects for the next comparison on the same recording.
    """
    memo = {} if memo is None else memo
    drawn: list[tuple[float, float]] = []
    limit = most or decision.ANALYSES[-1][0]
    for analysis, (replicates, _) in enumerate(decision.ANALYSES):
        count = min(replicates, limit)
        while len(drawn) < count:
            group = chance.randrange(len(recording.replicates))
            start = chance.randrange(len(recording.replicates[group]) - rounds + 1)
            roles = cast(second, chance, third=recording.third)
            key = (group, start, tuple(roles.items()), clock)
            if key not in memo:
                replicate = of_arms(recording.replicates[group][start : start + rounds], roles)
                memo[key] = decision.replicate_effects(replicate, clock)
            drawn.append(memo[key])
        answer = decision.decide(drawn, analysis=analysis)
        if answer.distrusted or answer.verdict != decision.INCONCLUSIVE or count == limit:
            break
    return answer


def tally(decisions: Sequence[Decision]) -> Tally:
    """Count the verdicts."""
    words = dict.fromkeys(
        (decision.SLOWER, decision.FASTER, decision.SAME, decision.INCONCLUSIVE), 0
    )
    for each in decisions:
        words[each.verdict] += 1
    return Tally(
        len(decisions),
        words,
        sum(each.distrusted is not None for each in decisions),
        sum(each.replicates for each in decisions) / len(decisions),
    )
