"""What a run says of a claim: by words, by a range of ratios, by a figure; and when it says nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from experiment_files import MAC, SERVER, figures, ran

from metalassay.claims import decide
from metalassay.claims.decide import CONFIRMED, MISLEADING, OPEN, REFUTED

PASS, STEP = "milliseconds a pass", "milliseconds a step"


def word(claim: str, run: Any) -> str:
    decided = decide.decide(claim, [run])
    assert decided is not None
    assert decided.settled is (decided.word != OPEN)
    return decided.word


@pytest.mark.parametrize(
    ("ratio", "four", "zero"),
    [(1.5, REFUTED, CONFIRMED), (1.0, REFUTED, CONFIRMED), (0.5, CONFIRMED, REFUTED)],
)
def test_a_word_of_the_comparison_confirms_or_refutes(ratio: float, four: str, zero: str) -> None:
    run = ran("workers", figures("num_workers=0", "num_workers=4", PASS, ratio), device="cpu")
    assert word("four-workers-faster", run) == four
    assert word("zero-workers", run) == zero


def test_a_control_that_differs_decides_nothing_and_says_so() -> None:
    arms = figures("num_workers=0", "num_workers=4", PASS, 1.5, control=1.3)
    decided = decide.decide("zero-workers", [ran("workers", arms, device="cpu")])
    assert decided is not None
    assert decided.word == OPEN
    assert "A/A control" in decided.why


def test_a_ratio_in_the_range_decides_nothing_either_where_the_control_differs() -> None:
    arms = figures("float32", "float16", STEP, 0.7, control=1.1)
    comparison = arms.judge()
    assert 0.5 < comparison.low < comparison.high < 0.77
    assert word("mixed-precision-30-50", ran("mixed-precision", arms)) == OPEN


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(0.70, CONFIRMED), (0.95, REFUTED), (1.2, REFUTED), (0.45, REFUTED), (0.77, OPEN)],
)
def test_a_ratio_has_to_lie_within_the_range_claimed(ratio: float, expected: str) -> None:
    run = ran("mixed-precision", figures("float32", "float16", STEP, ratio))
    assert word("mixed-precision-30-50", run) == expected


MEMORY, TIME = "MB held at most, varying shapes", "milliseconds a step, varying shapes"


@pytest.mark.parametrize(
    ("memory", "time", "expected"),
    [(0.5, 1.0, CONFIRMED), (0.5, 1.5, MISLEADING), (1.0, 1.0, MISLEADING), (1.0, 1.5, REFUTED)],
)
def test_memory_and_time_of_clearing_the_cache_are_judged_together(
    memory: float, time: float, expected: str
) -> None:
    run = ran(
        "empty-cache",
        figures("never", "after each batch", MEMORY, memory, level=900),
        figures("never", "after each batch", TIME, time),
    )
    assert word("clear-cache-after-each-step", run) == expected


def kernels(**ratios: float) -> Any:
    """Return a run in which the other kernel sizes reach these multiples of the guide's rate."""
    base = "7,5,5 and 5,3,3"
    sizes = {"k3": 0.9, "k5": 0.9, "k7": 0.9, "k9": 0.9} | ratios
    rows = [figures(base, f"all {k[1]}", "GFLOP/s", ratio) for k, ratio in sizes.items()]
    return ran("kernels", *rows)


def test_the_best_has_to_beat_every_other() -> None:
    assert word("kernel-sizes-for-the-m4", kernels()) == CONFIRMED
    assert word("kernel-sizes-for-the-m4", kernels(k5=1.2)) == REFUTED
    assert word("kernel-sizes-for-the-m4", kernels(k5=1.0)) == REFUTED


@pytest.mark.parametrize(
    ("small", "large", "expected"),
    [
        (2850, 9000, CONFIRMED),
        (900, 2700, CONFIRMED),
        (300, 600, REFUTED),
        (9000, 9500, REFUTED),
        (900, 9000, OPEN),
        (900, 3135, OPEN),
    ],
)
def test_a_rate_is_compared_with_that_claimed_for_the_chip(
    small: float, large: float, expected: str
) -> None:
    base, arm = "train, batch 64", "train, batch 256"
    run = ran("speed", figures(base, arm, "samples a second", large / small, level=small))
    assert word("train-samples-per-second", run) == expected


def test_a_rate_of_another_chip_decides_nothing() -> None:
    arms = figures("train, batch 64", "train, batch 256", "samples a second", 1.0, level=2850)
    run = ran("speed", arms, machine=replace(MAC, chip="Apple M2"))
    decided = decide.decide("train-samples-per-second", [run])
    assert decided is not None
    assert (decided.word, decided.why) == (
        OPEN,
        "the claim is about the Apple M4 and the Apple M4 Pro",
    )


@pytest.mark.parametrize(("rate", "expected"), [(3.0, CONFIRMED), (40.0, REFUTED), (5.0, OPEN)])
def test_an_experiment_of_one_arm_is_judged_by_its_figure(rate: float, expected: str) -> None:
    arms = figures("gpt-tiny, batch 4", "the base again", "steps a second", 1.0, level=rate)
    assert word("steps-per-second", ran("small-gpt", arms, device="cpu")) == expected


@pytest.mark.parametrize(("outcome", "expected"), [("passed", CONFIRMED), ("failed", REFUTED)])
def test_a_test_decides_by_its_outcome(outcome: str, expected: str) -> None:
    assert (
        word("memory-pressure-free", ran("memory-pressure", device="system", outcome=outcome))
        == expected
    )


def test_a_machine_that_is_no_mac_never_settles_a_claim() -> None:
    arms = figures("num_workers=0", "num_workers=4", PASS, 1.5)
    decided = decide.decide("zero-workers", [ran("workers", arms, device="cpu", machine=SERVER)])
    assert decided is not None
    assert (decided.word, decided.settled) == (CONFIRMED, False)
    assert decided.why == "this is not a Mac, so the claim stays open"


def test_an_emulated_device_says_nothing_at_all() -> None:
    arms = figures("float32", "float16", STEP, 0.7)
    run = ran("mixed-precision", arms, machine=SERVER, emulated=True)
    assert decide.decide("mixed-precision-30-50", [run]) is None


def test_a_claim_about_mps_is_not_settled_on_the_cpu() -> None:
    arms = figures("no variables", "guide 000", "MB at most", 0.8, level=400)
    decided = decide.decide("memory-15-25", [ran("environment", arms, device="cpu")])
    assert decided is not None
    assert (decided.word, decided.settled) == (CONFIRMED, False)
    assert decided.why == "the claim is about mps, and this ran on cpu"


def test_a_run_on_a_mac_precedes_newer_ones_elsewhere_and_the_newest_of_a_mac_counts() -> None:
    def run(ratio: float, day: int, **about: Any) -> Any:
        arms = figures("num_workers=0", "num_workers=4", PASS, ratio)
        return ran("workers", arms, device="cpu", started=f"2026-11-{day}", **about)

    decided = decide.decide(
        "zero-workers", [run(1.5, 20), run(0.5, 21), run(1.5, 28, machine=SERVER)]
    )
    assert decided is not None
    assert (decided.run.when.day, decided.word) == (21, REFUTED)


def test_what_no_experiment_decides_or_nobody_measured_is_none() -> None:
    assert decide.decide("bandwidth-utilisation", []) is None
    assert decide.decide("zero-workers", []) is None
