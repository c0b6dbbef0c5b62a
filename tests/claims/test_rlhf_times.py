"""Guide 003's minutes of RLHF: read as they stand there, and the bound that follows where steps are given."""

from __future__ import annotations

import pytest

from metalassay.claims import rlhf_times
from metalassay.machine import chips


def test_the_minutes_are_those_of_the_guide() -> None:
    times = rlhf_times.load()
    assert (times.guide, times.on) == ("003", "Apple M2 Pro")
    assert {each.workload: each.minutes for each in times.examples} == {
        "rlhf-ppo": 5,
        "rlhf-reward": 10,
        "rlhf-dpo": 8,
        "rlhf-chain": 20,
    }
    assert [each.rockets for each in times.chips] == [1, 2, 3]
    assert {each.name for each in times.chips} <= {chip.name for chip in chips.load()}


def test_only_given_steps_imply_a_rate() -> None:
    rates = {each.workload: each.least_rate for each in rlhf_times.load().examples}
    assert rates.pop("rlhf-ppo") == pytest.approx(13 / 300)
    assert set(rates.values()) == {None}
