"""How a comparison reads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metalassay.compare import Comparison, text
from metalassay.compare.sampling import Progress
from metalassay.statistics.decision import Decision

FOUND = Decision(
    verdict="slower",
    ratio=0.031,
    low=0.021,
    high=0.042,
    detectable=0.015,
    p=1e-6,
    replicates=10,
    margin=0.01,
    null=0.002,
    null_low=-0.005,
    null_high=0.009,
    distrusted=None,
)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "slower by 3.1% [+2.1%, +4.2%]"),
        (
            {"verdict": "faster", "ratio": -0.2, "low": -0.25, "high": -0.15},
            "faster by 20.0% [-25.0%, -15.0%]",
        ),
        (
            {"verdict": "same", "ratio": 0.0, "low": -0.004, "high": 0.004},
            "same within 1 % [-0.4%, +0.4%]",
        ),
        (
            {"verdict": "inconclusive"},
            "inconclusive: could have seen \N{GREATER-THAN OR EQUAL TO} 1.5%; "
            "so far +3.1% [+2.1%, +4.2%]",
        ),
        (
            {"verdict": "inconclusive", "distrusted": "the null arm came out +5.0%"},
            "inconclusive: the null arm came out +5.0%",
        ),
    ],
)
def test_each_verdict_is_a_sentence(changes: dict[str, object], says: str) -> None:
    assert text.verdict(replace(FOUND, **changes)) == says  # type: ignore[arg-type]


COMPARISON = Comparison(
    a="gpt-tiny:train",
    b="gpt-tiny:train:threads=2",
    clock="cpu",
    other_clock="wall",
    decision=FOUND,
    other=replace(FOUND, ratio=0.05, low=-0.02, high=0.12),
    alpha=0.01,
    trios=10,
    steps=2,
    seconds=25.2,
    interrupted=False,
    notes=("on battery: the system saves power",),
    facts={},
    conditions={},
)


def test_the_answer_names_arms_clocks_null_arm_and_doubts() -> None:
    assert str(COMPARISON).splitlines() == [
        "A: gpt-tiny:train",
        "B: gpt-tiny:train:threads=2",
        "B against A: slower by 3.1% [+2.1%, +4.2%] of CPU time a step",
        "  wall time: +5.0% [-2.0%, +12.0%]",
        "  null arm (A against A): +0.2% [-0.5%, +0.9%]",
        "  10 trios of processes, 2 step(s) a timing, 25 s; intervals of 99 %, which hold at all "
        "looks together",
        "  note: on battery: the system saves power",
    ]


def test_an_interrupted_run_claims_nothing() -> None:
    found = replace(COMPARISON, interrupted=True)
    assert found.verdict == "inconclusive"
    assert "B against A: undecided, interrupted at +3.1% [+2.1%, +4.2%]" in str(found)
    assert "slower" not in str(found)


def test_too_few_trios_are_no_answer() -> None:
    found = replace(COMPARISON, decision=None, other=None, trios=2)
    assert found.verdict == "inconclusive"
    assert "2 trios are too few for an interval" in str(found)


def test_the_line_of_progress_shows_the_interval_once_there_is_one() -> None:
    assert text.line(Progress(2, 8.4, None)) == "2 trios, 8 s"
    assert text.line(Progress(4, 12.0, FOUND)) == "4 trios, 12 s: +3.1% [+2.1%, +4.2%]"
