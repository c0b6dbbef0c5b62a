"""The conditions of a measurement; macOS's outputs are constructed from its manuals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metalassay.machine import conditions
from metalassay.machine.conditions import Conditions

QUIET = Conditions(
    load=0.5,
    cores=4,
    power_mode="normal",
    battery=None,
    speed_limit=1.0,
    temperature=50.0,
    available_bytes=2**33,
    pressure="normal",
    swapped=1000,
    stolen=5.0,
    niceness=0,
    background=False,
)


def test_a_quiet_machine_gets_no_flag() -> None:
    assert list(conditions.flags(QUIET, QUIET, seconds=10)) == []


def test_unknown_conditions_get_no_flag() -> None:
    unknown = Conditions(*[None] * 12)  # type: ignore[arg-type]
    assert list(conditions.flags(unknown, unknown, seconds=10)) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"speed_limit": 0.7},
            "throttled: after the run the processor was limited to 70% of its speed",
        ),
        ({"power_mode": "low power"}, "the power mode changed from normal to low power"),
        ({"battery": 0.8}, "on battery: the system saves power"),
        ({"load": 6.0}, "busy: a load of 6.0 on 4 processors"),
        ({"stolen": 9.0}, "the hypervisor gave 10% of the processors' time to other guests"),
        ({"swapped": 1000 + 5 * 2**20}, "5 MB were swapped"),
        ({"pressure": "critical"}, "memory pressure: critical"),
        (
            {"background": True},
            "in the background: macOS keeps this process on the efficiency cores",
        ),
        ({"niceness": 10}, "niceness 10: the scheduler prefers other processes"),
    ],
)
def test_each_flag_is_a_sentence(change: dict[str, object], sentence: str) -> None:
    after = replace(QUIET, **change)  # type: ignore[arg-type]
    assert list(conditions.flags(QUIET, after, seconds=10)) == [sentence]


def test_constant_low_power_mode_is_flagged() -> None:
    low = replace(QUIET, power_mode="low power")
    assert list(conditions.flags(low, low, seconds=10)) == ["the power mode is low power"]


@pytest.mark.parametrize("by", [0.11, -0.11])
def test_drift_in_either_direction_is_flagged(by: float) -> None:
    assert (conditions.drifted(by) or "").startswith("drifted: the last third of the rounds")
    assert conditions.drifted(by / 2) is None


def test_pmset_output_gives_the_power_mode() -> None:
    text = (
        "System-wide power settings:\nCurrently in use:\n lowpowermode         {}\n standby   1\n"
    )
    assert conditions.parse_power_mode(text.format(1)) == "low power"
    assert conditions.parse_power_mode(text.format(0)) == "normal"
    assert conditions.parse_power_mode("") is None


def test_pmset_output_gives_the_speed_limit() -> None:
    assert conditions.parse_thermal("CPU_Scheduler_Limit \t= 100\nCPU_Speed_Limit \t= 63\n") == 0.63
    quiet = "Note: No thermal warning level has been recorded\n"
    assert conditions.parse_thermal(quiet) == 1.0
    assert conditions.parse_thermal("") is None


@pytest.mark.parametrize(
    ("share", "word"),
    [("0.00", "normal"), ("0.99", "normal"), ("1.00", "warning"), ("12.5", "critical")],
)
def test_linux_reports_memory_pressure(share: str, word: str) -> None:
    text = f"some avg10=50.00 avg60=0.00 avg300=0.00 total=1\nfull avg10={share} avg60=0 total=0\n"
    assert conditions.parse_psi(text) == word


def test_macos_reports_memory_pressure() -> None:
    assert [conditions.parse_pressure_level(t) for t in ("1\n", "2\n", "4\n", "x")] == [
        "normal",
        "warning",
        "critical",
        None,
    ]


def test_only_allocator_and_thread_settings_are_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "-1")
    monkeypatch.setenv("SECRET", "x")
    environment = conditions.observe().environment
    assert environment["MALLOC_TRIM_THRESHOLD_"] == "-1"
    assert "SECRET" not in environment
