"""The rule on recorded noise: rarely wrong on the same code, seldom blind to 3 %.

A reduced version of `tools/simulate_rules.py`; the recordings are of real processes on a busy machine
(tests/data/noise). The seeds are fixed, so the outcome is too.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from metalassay.compare import replay, rule
from metalassay.compare.rule import Trio

NOISE = sorted((Path(__file__).parent / "data" / "noise").glob("*.json"))
COMPARISONS = 150
FORTY_BLOCKS = 40 // rule.BLOCKS


def run(path: Path, second: str, clock: str = "cpu", **options: object) -> replay.Tally:
    recording, chance = replay.load(path), random.Random(7)
    return replay.tally(
        [
            replay.compare(recording, second, clock, chance, **options)  # type: ignore[arg-type]
            for _ in range(COMPARISONS)
        ]
    )


def false_alarms(found: replay.Tally) -> int:
    return found.words[rule.SLOWER] + found.words[rule.FASTER]


@pytest.mark.parametrize("path", NOISE, ids=lambda path: path.stem)
@pytest.mark.parametrize("clock", ["cpu", "wall"])
def test_the_same_code_is_hardly_ever_called_different(path: Path, clock: str) -> None:
    assert false_alarms(run(path, replay.SAME_CODE, clock)) <= 0.02 * COMPARISONS


@pytest.mark.parametrize("path", NOISE, ids=lambda path: path.stem)
def test_three_percent_are_seen_within_forty_blocks(path: Path) -> None:
    found = run(path, replay.MORE_WORK, most=FORTY_BLOCKS)
    assert found.words[rule.SLOWER] >= 0.95 * COMPARISONS
    assert found.words[rule.FASTER] == 0


def broken_pairing() -> Callable[[Trio, str], tuple[float, float]]:
    """Compare each B with the A of the trio before: what saved runs do."""
    before: list[float] = []

    def effects(trio: Trio, clock: str) -> tuple[float, float]:
        logs: dict[str, list[float]] = {arm: [] for arm in rule.ARMS}
        for block in trio:
            for sample in block:
                logs[sample.arm].append(math.log(getattr(sample, clock)))
        middle = {arm: statistics.median(values) for arm, values in logs.items()}
        base = before[-1] if before else middle[rule.FIRST]
        before.append(middle[rule.FIRST])
        return middle[rule.SECOND] - base, middle[rule.NULL] - middle[rule.FIRST]

    return effects


@pytest.mark.parametrize("path", NOISE, ids=lambda path: path.stem)
def test_without_pairs_the_rule_is_blind(path: Path) -> None:
    """The noise in the recordings is real: take the pairing away and little is left to see."""
    found = run(path, replay.MORE_WORK, most=FORTY_BLOCKS, effects=broken_pairing())
    assert found.words[rule.SLOWER] <= 0.5 * COMPARISONS


def test_a_recording_says_what_it_is_and_has_every_arm_in_every_palindrome() -> None:
    assert NOISE
    for path in NOISE:
        found = replay.load(path)
        assert "microseconds" in found.what
        for group in found.trios:
            for block in group:
                for start in range(0, len(block), 8):
                    arms = [sample.arm for sample in block[start : start + 8]]
                    assert arms == arms[::-1]
                    assert sorted(arms[:4]) == ["A", "B", "a", "b"]


def test_another_file_is_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"schema": "metalassay.compat/1"}')
    with pytest.raises(ValueError, match="not a recording"):
        replay.load(path)
