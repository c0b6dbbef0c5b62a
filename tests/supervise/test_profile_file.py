"""The table of a profile fits a terminal, adds up, and says what profiling cost."""

from __future__ import annotations

import json

import pytest

from metalassay.supervise import profile_file
from metalassay.supervise.profile_file import OUTSIDE, Operator, Profile


def profile(**more: object) -> Profile:
    values = {
        "device": "cpu",
        "torch": "2.13.0",
        "profiled": (0.010, 0.012),
        "plain": (0.008, 0.006),
        "operators": (
            Operator("aten::mm", 4, 12_000.0, cpu_bytes=4 << 20),
            Operator("x" * 80 + "\x1b[31m", 2, 4_000.0, cpu_bytes=-8),
        ),
    }
    return Profile(**{**values, **more})  # type: ignore[arg-type]


def test_the_table_has_every_part_of_the_step_by_self_time() -> None:
    lines = list(profile_file.lines(profile(), ["trace: there"]))
    assert lines[0].startswith("where a step goes: 2 profiled steps of 11.0 ms on cpu")
    rows = [line.split() for line in lines[2:5]]
    assert rows[0] == ["aten::mm", "6.000", "ms", "54.5%", "2", "2", "MiB"]
    assert rows[1][:2] == ["outside", "operators"]
    assert rows[1][-1] == "27.3%"  # 22 ms less 16 ms
    assert rows[2][0] == "x" * 31 + "..."
    assert "most memory allocated: aten::mm 2 MiB" in lines
    assert (
        "profiled steps took 1.62 x as long (1.25 to 2.00, 2 pairs in turns); they enter no figure"
        in lines
    )
    assert lines[-1] == "trace: there"
    assert all(len(line) <= 80 for line in lines[1:5])
    assert not any("\x1b" in line for line in lines)


def test_time_outside_operators_is_never_below_zero() -> None:
    two_threads = profile(operators=(Operator("aten::mm", 1, 50_000.0),))
    assert two_threads.outside_us == 0
    assert two_threads.total_us == 50_000
    assert two_threads.by_time()[-1][0] == OUTSIDE


def test_the_many_rare_operators_are_one_row_and_nothing_is_lost() -> None:
    most = profile_file.MOST_OPERATORS
    sums = {f"op{number}": [1, float(number), 0, 8, 0] for number in range(most + 50)}
    kept = profile_file.operators_of(sums)
    assert len(kept) == most + 1
    assert kept[-1].name == "50 other operators"
    assert sum(each.calls for each in kept) == most + 50
    assert sum(each.cpu_us for each in kept) == sum(range(most + 50))


def test_the_file_is_json_without_nan() -> None:
    written = json.loads(profile_file.to_json(profile()))
    assert written["schema"] == profile_file.SCHEMA
    assert written["operators"][0]["name"] == "aten::mm"
    with pytest.raises(ValueError, match="not JSON compliant"):
        profile_file.to_json(profile(plain=(float("nan"), 1.0)))


@pytest.mark.parametrize(
    ("plain", "told"), [((0.008, 0.006), True), ((0.02, 0.02), False), ((0.002, 0.01), False)]
)
def test_a_cost_that_noise_decides_is_not_told_as_one(
    plain: tuple[float, float], told: bool
) -> None:
    text = profile(plain=plain).overhead_text()
    assert ("differ too much to tell" not in text) == told
