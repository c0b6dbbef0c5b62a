"""RLHF beside the minutes of guide 003: measured rates, what would fit, and nothing that was not measured."""

from __future__ import annotations

from hand_made import measurement

from metalassay.report.model import NO_VALUE, NOT_MEASURED
from metalassay.report.sections import rlhf_times

# 512 tokens in half a second: 2 steps and 1,024 tokens per second.
PPO = measurement(
    workload="rlhf-ppo", unit="tokens", batch_size=4, items_per_call=512, seconds=(0.5,) * 5, device="cpu"
)  # fmt: skip


def test_without_rlhf_there_is_no_section() -> None:
    assert rlhf_times.section([measurement()]) is None
    assert rlhf_times.section([]) is None


def test_measured_rates_stand_beside_the_published_minutes() -> None:
    section = rlhf_times.section([measurement(), PPO])
    assert section is not None
    ppo, reward, dpo, chain = section.tables[0].rows
    assert ppo == (
        "basic example of PPO",
        "about 5 min (line 44-51, 72)",
        "≥ 0.0433",
        "cpu",
        "2.00",
        "1,020",
        "600",
    )
    for row in (reward, dpo, chain):
        assert row[2:] == (NO_VALUE, NO_VALUE, NOT_MEASURED, NOT_MEASURED, NOT_MEASURED)
    assert "not measured here" in section.tables[0].head[1]
    assert "not measured here or by us" in section.sentences[0]


def test_what_the_guide_does_not_name_has_no_minutes() -> None:
    section = rlhf_times.section([measurement(workload="rlhf-grpo", items_per_call=64)])
    assert section is not None
    row = section.tables[0].rows[-1]
    assert row[:3] == ("grpo", "not named", NO_VALUE)
    assert row[-1] == NO_VALUE
    assert all(each[4] == NOT_MEASURED for each in section.tables[0].rows[:-1])


def test_the_bounds_are_those_of_the_chips() -> None:
    section = rlhf_times.section([PPO])
    assert section is not None
    bounds = {row[0]: row[2] for row in section.tables[1].rows}
    assert bounds["Apple M1"] == "1"
    assert bounds["Apple M2 Pro"] == "2.93"  # 200 over 68.25 GB/s; its arithmetic is not known here
    assert bounds["Apple M3 Max"] == "5.86"  # 400 over 68.25 GB/s
