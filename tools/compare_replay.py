"""Comparisons replayed from recorded noise: how often the rule is wrong, and how much it sees.

A recording is a list of trios of real processes (`tools/record_noise.py`). A replayed comparison
draws trios with replacement and, of each, a stretch of blocks in a row, and looks when a live one
would. What the rule never saw when it was tuned can be told by the recording it is run on.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metalassay.statistics import decision
from metalassay.statistics.decision import Decision, Sample, Trio


@dataclass(frozen=True)
class Recording:
    """Trios of blocks of timings in microseconds; ``what`` is a sentence on their origin."""

    what: str
    trios: tuple[tuple[tuple[Sample, ...], ...], ...]

    @property
    def third(self) -> bool:
        """Whether a third process ran the same code as A."""
        return any(sample.arm == SAME_CODE for sample in self.trios[0][0])


def load(path: Path) -> Recording:
    """Read what ``tools/record_noise.py`` wrote. Raises ``ValueError`` where it is not that."""
    document = json.loads(path.read_text("utf-8"))
    if document.get("schema") != "metalassay.noise/1":
        raise ValueError(f"{path.name}: not a recording of noise")
    return Recording(document["what"], tuple(_trio(line) for line in document["groups"]))


def _trio(line: str) -> tuple[tuple[Sample, ...], ...]:
    return tuple(tuple(map(_sample, block.split(" "))) for block in line.split(";"))


def _sample(text: str) -> Sample:
    wall, _, cpu = text[1:].partition(",")
    return Sample(text[0], float(wall), float(cpu))


@dataclass(frozen=True)
class Tally:
    """Of ``comparisons``: how many ended in each word, and how many trios they took on average."""

    comparisons: int
    words: dict[str, int]
    distrusted: int
    trios: float


SAME_CODE, MORE_WORK = "b", "B"
"""What plays B: the same code in another process, or that with 3 % more work."""


def cast(second: str, chance: random.Random, *, third: bool = True) -> dict[str, str]:
    """Say which recorded arm plays which parts; what is the same code, chance deals out.

    Without a third process of the same code, A plays itself and the null arm, which then never fails.
    """
    if not third and second == SAME_CODE:
        one, other = chance.sample("Aa", 2)
        return {one: decision.FIRST + decision.NULL, other: decision.SECOND}
    same = chance.sample("Aab" if third else "Aa", 3 if third else 2)
    return {same[0]: decision.FIRST, same[1]: decision.NULL} | {
        same[2] if second == SAME_CODE else second: decision.SECOND
    }


def of_arms(trio: Trio, parts: Mapping[str, str]) -> list[list[Sample]]:
    """Return the blocks with each timing in the parts of its arm; what plays no part is left out."""
    return [
        [dataclasses.replace(each, arm=part) for each in block for part in parts.get(each.arm, "")]
        for block in trio
    ]


def compare(
    recording: Recording,
    second: str,
    clock: str,
    chance: random.Random,
    *,
    blocks: int = decision.BLOCKS,
    most: int | None = None,
    memo: dict[object, tuple[float, float]] | None = None,
) -> Decision:
    """Replay one comparison; ``most`` is the number of trios that the budget allows.

    ``memo`` keeps what was worked out for the next comparison on the same recording.
    """
    memo = {} if memo is None else memo
    drawn: list[tuple[float, float]] = []
    limit = most or decision.LOOKS[-1][0]
    for look, (trios, _) in enumerate(decision.LOOKS):
        count = min(trios, limit)
        while len(drawn) < count:
            group = chance.randrange(len(recording.trios))
            start = chance.randrange(len(recording.trios[group]) - blocks + 1)
            parts = cast(second, chance, third=recording.third)
            key = (group, start, tuple(parts.items()), clock)
            if key not in memo:
                trio = of_arms(recording.trios[group][start : start + blocks], parts)
                memo[key] = decision.trio_effects(trio, clock)
            drawn.append(memo[key])
        found = decision.decide(drawn, look=look)
        if found.distrusted or found.verdict != decision.INCONCLUSIVE or count == limit:
            break
    return found


def tally(decisions: Sequence[Decision]) -> Tally:
    """Count the words."""
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
