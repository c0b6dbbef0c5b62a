"""The rule on recorded noise: few false positives on the same code, and 3 % is rarely missed.

A reduced version of `tools/simulate_rules.py`. The recordings are of real processes (tests/data/noise);
the "busy" ones are of an overloaded machine that moved them between cores. Seeds and outcome are fixed.
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
FORTY_ROUNDS = 40 // decision.ROUNDS


def run(path: Path, second: str, clock: str = "cpu", **options: object) -> compare_replay.Tally:
    recording, chance = compare_replay.load(path), random.Random(7)
    memo: dict[object, tuple[float, float]] = {}
    return compare_replay.tally(
        [
            compare_replay.compare(recording, second, clock, chance, memo=memo, **options)  # type: ignore[arg-type]
            for _ in range(COMPARISONS)
        ]
    )


def false_alarms(found: compare_replay.Tally) -> int:
    return found.words[decision.SLOWER] + found.words[decision.FASTER]


# A second each: CPU time, which `compare` uses, on the quiet recordings always; the rest is slow.
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
def test_the_same_code_is_called_different_in_at_most_1_percent(path: Path, clock: str) -> None:
    assert false_alarms(run(path, compare_replay.SAME_CODE, clock)) <= 0.01 * COMPARISONS


@pytest.mark.parametrize("name", ["cnn", "gpt", "kernel"])
def test_three_percent_are_detected_within_forty_rounds(name: str) -> None:
    (path,) = [path for path in NOISE if path.stem == name]
    found = run(path, compare_replay.MORE_WORK, most=FORTY_ROUNDS)
    assert found.words[decision.SLOWER] >= 0.95 * COMPARISONS


@pytest.mark.parametrize("path", NOISE, ids=lambda path: path.stem)
def test_three_percent_are_never_called_faster_and_mostly_detected_without_a_budget(
    path: Path,
) -> None:
    found = run(path, compare_replay.MORE_WORK)
    assert found.words[decision.SLOWER] >= 0.9 * COMPARISONS
    assert found.words[decision.FASTER] == 0


def test_the_same_code_is_called_the_same_on_a_quiet_recording() -> None:
    """Only pairing makes the noise small enough for that: without it this test fails."""
    (kernel,) = [path for path in NOISE if path.stem == "kernel"]
    found = run(kernel, compare_replay.SAME_CODE)
    assert found.words[decision.SAME] >= 0.9 * COMPARISONS


@pytest.mark.parametrize("path", NOISE, ids=lambda path: path.stem)
def test_unpaired_runs_of_the_same_code_are_often_called_different(path: Path) -> None:
    """The noise is real: the same interval over unpaired timings has many false positives."""
    recording, chance, alarms = compare_replay.load(path), random.Random(7), 0
    for _ in range(COMPARISONS):
        logs = [
            [math.log(s.cpu) for block in group for s in block if s.arm == "A"]
            for group in chance.sample(recording.replicates, 2)
        ]
        differences = [after - before for before, after in zip(*logs, strict=True)]
        found = decision.interval(differences, decision.ALPHA)
        alarms += decision.word(found, decision.MARGIN) in (decision.SLOWER, decision.FASTER)
    assert alarms >= 0.15 * COMPARISONS


def test_every_recording_has_a_description_and_every_arm_in_every_abba_block() -> None:
    assert NOISE
    for path in NOISE:
        found = compare_replay.load(path)
        assert "microseconds" in found.what
        for group in found.replicates:
            for block in group:
                kinds = ["A", "B", "a", *(["b"] if found.third else [])]
                long = 2 * len(kinds)
                assert len(block) % (decision.ABBA_BLOCKS * long) == 0
                for start in range(0, len(block), long):
                    arms = [sample.arm for sample in block[start : start + long]]
                    assert arms == arms[::-1]
                    assert sorted(arms[: len(kinds)]) == kinds


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"schema": "metalassay.compat/1"}')
    with pytest.raises(ValueError, match="not a recording"):
        compare_replay.load(path)
