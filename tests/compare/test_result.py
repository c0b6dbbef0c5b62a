"""The result of a comparison, as text, as JSON and as a verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metalassay.compare import Comparison, result
from metalassay.compare.sampling import Progress
from metalassay.compare.schedule import More
from metalassay.statistics.decision import Decision, Within

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
            {"verdict": "same", "ratio": 0.0, "low": -0.014, "high": 0.014, "bound": 0.03},
            "no difference of 3 % or more [-1.4%, +1.4%]",
        ),
        (
            {"verdict": "inconclusive"},
            "inconclusive: could have detected \N{GREATER-THAN OR EQUAL TO} 1.5%; "
            "so far +3.1% [+2.1%, +4.2%]",
        ),
        (
            {"verdict": "inconclusive", "distrusted": "the A/A control differed by +5.0%"},
            "inconclusive: the A/A control differed by +5.0%",
        ),
    ],
)
def test_each_verdict_is_a_sentence(changes: dict[str, object], says: str) -> None:
    assert result.verdict(replace(FOUND, **changes)) == says  # type: ignore[arg-type]


COMPARISON = Comparison(
    a="gpt-tiny:train",
    b="gpt-tiny:train:threads=2",
    clock="cpu",
    other_clock="wall",
    decision=FOUND,
    other=replace(FOUND, ratio=0.05, low=-0.02, high=0.12),
    alpha=0.01,
    replicates=10,
    steps=2,
    seconds=25.2,
    interrupted=False,
    notes=("on battery: the system saves power",),
    facts={},
    conditions={},
)


def test_the_report_has_the_arms_both_clocks_the_control_and_the_notes() -> None:
    assert str(COMPARISON).splitlines() == [
        "A: gpt-tiny:train",
        "B: gpt-tiny:train:threads=2",
        "B against A: slower by 3.1% [+2.1%, +4.2%], CPU time per step",
        "  wall time: +5.0% [-2.0%, +12.0%]",
        "  A/A control: +0.2% [-0.5%, +0.9%]",
        "  10 replicates of three processes, 2 step(s) per timing, 25 s; 99 % intervals, valid for "
        "all interim analyses together",
        "  note: on battery: the system saves power",
    ]


def test_an_interrupted_run_has_no_verdict() -> None:
    found = replace(COMPARISON, interrupted=True)
    assert found.verdict == "inconclusive"
    assert "B against A: undecided, interrupted at +3.1% [+2.1%, +4.2%]" in str(found)
    assert "slower" not in str(found)


def test_too_few_replicates_are_inconclusive() -> None:
    found = replace(COMPARISON, decision=None, other=None, replicates=2)
    assert found.verdict == "inconclusive"
    assert "2 replicates, too few for an interval" in str(found)


def test_few_replicates_have_the_interval_within_their_processes_and_what_more_takes() -> None:
    found = replace(
        COMPARISON,
        decision=None,
        other=None,
        replicates=1,
        within=Within(0.035, 0.021, 0.05, 24, 1),
        more=More(5, 40.2, 85),
    )
    assert str(found).splitlines()[2:5] == [
        "B against A: inconclusive: 1 replicate, too few for an interval over replicates",
        "  within these three processes: +3.5% [+2.1%, +5.0%], CPU time per step, 95 % interval over 24"
        " ABBA blocks; another start may differ more",
        "  5 replicates more, about 40 s, should tell: choose a budget of 85 s",
    ]
    document = found.as_dict()
    assert document["within"]["low"] == 0.021
    assert document["more"] == {"replicates": 5, "seconds": 40.2, "budget": 85}
    two = replace(found, within=Within(0.035, 0.021, 0.05, 48, 2))
    assert "  within these processes: +3.5%" in str(two)


def test_the_progress_line_has_the_interval_once_there_is_one() -> None:
    assert result.line(Progress(2, 8.4, None)) == "2 replicates, 8 s"
    assert result.line(Progress(4, 12.0, FOUND)) == "4 replicates, 12 s: +3.1% [+2.1%, +4.2%]"


def test_one_replicate_is_written_in_the_singular() -> None:
    assert result.line(Progress(1, 3.0, None)) == "1 replicate, 3 s"
