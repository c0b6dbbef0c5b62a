"""The rule on recorded noise: rarely wrong on the same code, seldom blind to 3 %.

A reduced version of `tools/simulate_rules.py`; the recordings are of real processes (tests/data/noise):
"busy" ones of an overloaded machine that moved them from core to core. The seeds are fixed, so the
outcome is too.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import compare_replay
import pytest

from metalassay.statistics import decision

NOISE = sorted((Path(__file__).parents[1] / "data" / "noise").glob("*.json"))
COMPARISONS = 1000
FORTY_BLOCKS = 40 // decision.BLOCKS


def run(path: Path, second: str, clock: str = "cpu", **options: object) -> compare_replay.Tally:
    recording, chance = compare_replay.load(path), random.Random(7)  # noqa: S311
    memo: dict[object, tuple[float, float]] = {}
    return compare_replay.tally(
        [
            compare_replay.compare(recording, second, clock, chance, memo=memo, **options)  # type: ignore[arg-type]
            for _ in range(COMPARISONS)
        ]
    )


def false_alarms(found: compare_replay.Tally) -> int:
    return found.words[decision.SLOWER] + found.words[decision.FASTER]


# A second each; on the clock that `compare` takes and the quiet recordings always, on the rest by CI.
QUICK = {"cnn", "gpt", "kernel"}
CLOCKS = [
    pytest.param(
        path,
        clock,
        id=f"{clock}-{path.stem}",
        marks=[] if clock == "cpu" and path.stem in QUICK else [pytest.mark.slow],
    )
    for clock in ("cpu", "wall")
    for path in NOISE
]


@pytest.mark.parametrize(("path", "clock"), CLOCKS)
def test_the_same_code_is_hardly_ever_called_different(path: Path, clock: str) -> None:
    assert false_alarms(run(path, compare_replay.SAME_CODE, clock)) <= 0.01 * COMPARISONS


@pytest.mark.parametrize("name", ["cnn", "gpt", "kernel"])
def test_three_percent_are_seen_within_forty_blocks(name: str) -> None:
    (path,) = [path for path in NOISE if path.stem == name]
    found = run(path, compare_replay.MORE_WORK, most=FORTY_BLOCKS)
    assert found.words[decision.SLOWER] >= 0.95 * COMPARISONS


@pytest.mark.parametrize("path", NOISE, ids=lambda path: path.stem)
def test_on_an_overloaded_machine_they_take_longer_and_never_turn_round(path: Path) -> None:
    found = run(path, compare_replay.MORE_WORK)
    assert found.words[decision.SLOWER] >= 0.9 * COMPARISONS
    assert found.words[decision.FASTER] == 0


def test_the_same_code_is_called_the_same_where_the_machine_allows_it() -> None:
    """Only pairs make the noise small enough for that: break the pairing, and this is red."""
    (kernel,) = [path for path in NOISE if path.stem == "kernel"]
    found = run(kernel, compare_replay.SAME_CODE)
    assert found.words[decision.SAME] >= 0.9 * COMPARISONS


@pytest.mark.parametrize("path", NOISE, ids=lambda path: path.stem)
def test_two_runs_one_after_the_other_are_a_coin(path: Path) -> None:
    """The noise is real: the same interval over unpaired timings calls the same code different."""
    recording, chance, alarms = compare_replay.load(path), random.Random(7), 0  # noqa: S311
    for _ in range(COMPARISONS):
        logs = [
            [math.log(s.cpu) for block in group for s in block if s.arm == "A"]
            for group in chance.sample(recording.trios, 2)
        ]
        differences = [after - before for before, after in zip(*logs, strict=True)]
        found = decision.interval(differences, decision.ALPHA)
        alarms += decision.word(found, decision.MARGIN) in (decision.SLOWER, decision.FASTER)
    assert alarms >= 0.15 * COMPARISONS


def test_a_recording_says_what_it_is_and_has_every_arm_in_every_palindrome() -> None:
    assert NOISE
    for path in NOISE:
        found = compare_replay.load(path)
        assert "microseconds" in found.what
        for group in found.trios:
            for block in group:
                kinds = ["A", "B", "a", *(["b"] if found.third else [])]
                long = 2 * len(kinds)
                assert len(block) % (decision.PALINDROMES * long) == 0
                for start in range(0, len(block), long):
                    arms = [sample.arm for sample in block[start : start + long]]
                    assert arms == arms[::-1]
                    assert sorted(arms[: len(kinds)]) == kinds


def test_another_file_is_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"schema": "metalassay.compat/1"}')
    with pytest.raises(ValueError, match="not a recording"):
        compare_replay.load(path)
