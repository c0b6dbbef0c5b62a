"""The conditions of a measurement; the outputs of macOS are from public reports, whose addresses are here."""

from __future__ import annotations

import sys
from dataclasses import replace

import psutil
import pytest

from metalassay.machine import conditions, macos
from metalassay.machine.conditions import Conditions

QUIET = Conditions(
    load=0.5,
    cores=4,
    power_mode="automatic",
    battery=None,
    speed_limit=1.0,
    temperature=50.0,
    available_bytes=2**33,
    pressure="normal",
    swapped=1000,
    stolen=5.0,
    niceness=0,
    background=False,
    thermal_pressure="nominal",
)


def test_a_quiet_machine_gets_no_flag() -> None:
    assert list(conditions.flags(QUIET, QUIET, seconds=10)) == []


@pytest.mark.parametrize(
    ("busy", "own", "sentence"),
    [
        (140.0, 135.0, None),  # this program's own work, on any number of cores
        (110.0, 100.0, None),
        (112.0, 101.0, "busy: other programs used 28% of the processors' time"),
        (140.0, 100.0, "busy: other programs used 100% of the processors' time"),
    ],
)
def test_a_mac_is_busy_by_what_others_used_and_not_by_its_load(
    busy: float, own: float, sentence: str | None
) -> None:
    before = replace(QUIET, load=9.0, busy=100.0, own=100.0)
    after = replace(before, busy=busy, own=own)
    found = list(conditions.flags(before, after, seconds=10))
    assert found == ([] if sentence is None else [sentence])


def test_a_load_without_the_time_of_a_mac_counts_as_before() -> None:
    loaded = replace(QUIET, load=9.0)
    assert list(conditions.flags(loaded, loaded, 10)) == ["busy: a load of 9.0 on 4 processors"]


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
        ({"power_mode": "low"}, "the power mode changed from automatic to low"),
        (
            {"thermal_pressure": "moderate"},
            "warm: after the run the thermal pressure was moderate",
        ),
        (
            {"thermal_pressure": "heavy"},
            "throttled: after the run the thermal pressure was heavy",
        ),
        (
            {"thermal_pressure": "trapping"},
            "throttled: after the run the thermal pressure was trapping",
        ),
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
    low = replace(QUIET, power_mode="low")
    assert list(conditions.flags(low, low, seconds=10)) == ["the power mode is low"]


@pytest.mark.parametrize("by", [0.11, -0.11])
def test_drift_in_either_direction_is_flagged(by: float) -> None:
    assert (conditions.drifted(by) or "").startswith("drifted: the last third of the rounds")
    assert conditions.drifted(by / 2) is None


def test_a_power_mode_that_is_unknown_before_or_after_has_not_changed() -> None:
    assert list(conditions.flags(replace(QUIET, power_mode=None), QUIET, seconds=10)) == []


# `pmset -g` of a MacBook without a high-power mode, macOS 12:
# https://github.com/AppHouseKitchen/AlDente-Battery_Care_and_Monitoring/issues/603
TWO_MODES = """System-wide power settings:
 SleepDisabled\t\t1
Currently in use:
 standby              1
 Sleep On Power Button 1
 hibernatefile        /var/vm/sleepimage
 powernap             1
 networkoversleep     0
 disksleep            10
 sleep                1 (sleep prevented by bluetoothd, com.bombich.ccchelper, powerd, sharingd)
 hibernatemode        3
 ttyskeepawake        1
 displaysleep         10 (display sleep prevented by com.apphousekitchen.aldente-pro)
 tcpkeepalive         1
 lowpowermode         0
 womp                 1
"""

# `pmset -g custom` of an M1 Max, macOS 14 (the lines before the battery's others):
# https://github.com/alfredapp/low-power-mode-workflow/issues/6; `pmset -g` prints the same names.
THREE_MODES = """Currently in use:
 Sleep On Power Button 1
 powermode            0
 standby              1
 ttyskeepawake        1
 hibernatemode        3
 powernap             1
"""


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (TWO_MODES, "automatic"),
        (TWO_MODES.replace("lowpowermode         0", "lowpowermode         1"), "low"),
        (THREE_MODES, "automatic"),
        (THREE_MODES.replace("powermode            0", "powermode            1"), "low"),
        (THREE_MODES.replace("powermode            0", "powermode            2"), "high"),
        (" lowpowermode         1\n powermode            2\n", "high"),  # the finer of the two
        (" lowpowermode 0\n highpowermode 1\n", "high"),
        (" lowpowermode 1\n highpowermode 0\n", "low"),
        (" powermode            7\n", None),
        ("", None),
    ],
)
def test_pmset_output_gives_the_power_mode(text: str, mode: str | None) -> None:
    assert conditions.parse_power_mode(text) == mode


def test_pmset_gives_the_speed_limit_of_an_intel_mac_and_none_of_apple_silicon() -> None:
    intel = (
        "Note: No thermal warning level has been recorded\n"
        "Note: No performance warning level has been recorded\n"
        "2026-08-20 05:08:37 -0700 CPU Power notify\n"
        "\tCPU_Scheduler_Limit \t= 100\n\tCPU_Available_CPUs \t= 12\n\tCPU_Speed_Limit \t= 63\n"
    )
    assert conditions.parse_thermal(intel) == 0.63
    # https://stanislas.blog/2025/12/macos-thermal-throttling-app/: an M2 while it is throttled
    silicon = (
        "Note: No thermal warning level has been recorded\n"
        "Note: No performance warning level has been recorded\n"
        "Note: No CPU power status has been recorded\n"
    )
    assert conditions.parse_thermal(silicon) is None
    assert conditions.parse_thermal("") is None


def test_swapping_on_a_mac_is_that_of_vm_stat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(macos, "swapped", lambda: (3, 4))
    assert conditions._swapped() == 7
    monkeypatch.setattr(macos, "swapped", lambda: None)
    assert conditions._swapped() is None


def test_the_battery_of_a_mac_is_not_asked_of_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise RuntimeError("No battery capacity information in power sources info")

    monkeypatch.setattr(psutil, "sensors_battery", fails, raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(macos, "battery", lambda: 0.5)
    assert conditions._battery() == 0.5


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


def test_drift_compares_the_last_third_with_the_first() -> None:
    assert conditions.drift([1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 1.5, 1.5, 1.5]) == 0.5
    assert conditions.drift([1.0, 2.0]) == 0.0
