"""What a Mac's user must read of the machine: its name and version, and nothing that is false."""

from __future__ import annotations

import json
import sys
from typing import Any

from rehearsal import Rehearsal, Seen

DESCRIBED = {
    "m4": "Apple M4 (4P+6E CPU, 10-core GPU, 16 GB), macOS 15.5",
    "m4pro": "Apple M4 Pro (10P+4E CPU, 20-core GPU, 48 GB), macOS 26.1",
    "m1": "Apple M1 (4P+4E CPU, 7-core GPU, 8 GB), macOS 14.7.5",
    "rosetta": "Apple M3 Max (10P+4E CPU, 30-core GPU, 36 GB), macOS 15.5, an Intel Python under Rosetta",
    "vm": "Apple M1 (Virtual) (3 cores, Apple Paravirtual device, 7 GB, virtual machine), macOS 15.7.9",
    "m5": "Apple M5 (4P+6E CPU, 10-core GPU, 32 GB), macOS 26.5.2",
}
POWER = {
    "m4": "automatic",
    "m4pro": "high",
    "m1": "low",
    "rosetta": "automatic",
    "vm": "automatic",
    "m5": "low",
}


def test_the_machine_has_its_name_and_version(name: str, seen: Seen) -> None:
    assert seen.described == DESCRIBED[name]


def test_reading_and_writing_files_does_not_count_as_swapping(name: str, seen: Seen) -> None:
    assert not [flag for flag in seen.flags if "swapped" in flag]
    assert seen.swapped_out[0] == seen.swapped_out[1]


def test_the_power_mode_is_known(name: str, seen: Seen) -> None:
    assert seen.before["power_mode"] == POWER[name]


def test_a_hot_mac_is_called_throttled_and_a_cool_one_is_not(name: str, seen: Seen) -> None:
    assert any("throttled" in flag for flag in seen.flags) == (name == "m1")


def test_no_speed_limit_is_claimed_where_none_is_reported(seen: Seen) -> None:
    assert seen.before["speed_limit"] is None


def test_only_a_mac_on_battery_is_called_so(name: str, seen: Seen) -> None:
    assert any("battery" in flag for flag in seen.flags) == (name == "m1")


def test_nothing_is_known_that_a_mac_does_not_report(name: str, seen: Seen) -> None:
    assert seen.before["temperature"] is None
    assert seen.before["stolen"] is None
    assert seen.before["pressure"] == "normal"
    assert seen.before["background"] is False


def test_the_time_of_grandchildren_that_have_ended_counts(seen: Seen) -> None:
    assert seen.burnt > 0.8  # of 1.0, without what was used after the last look


def test_the_doctor_knows_the_machine(name: str, mac: Rehearsal, doctor: dict[str, Any]) -> None:
    assert doctor["machine"]["chip"] == mac.chip
    assert doctor["machine"]["virtual"] == (name == "vm")
    assert doctor["machine"]["release"] == f"macOS {mac.facts['macos']}"
    assert doctor["versions"]["macos"] == mac.facts["macos"]


def test_the_doctor_says_what_mps_does(name: str, mac: Rehearsal, doctor: dict[str, Any]) -> None:
    expected = {"rosetta": "not built", "vm": "dead"}.get(name, "usable")
    assert doctor["probe"]["state"] == expected
    found = {finding["id"] for finding in doctor["findings"]}
    assert ("rosetta" in " ".join(found)) == (name == "rosetta"), found


def test_the_processes_of_a_comparison_are_started_and_not_pinned(
    name: str, mac: Rehearsal
) -> None:
    # A fork does not survive macOS's frameworks, and no process may choose its cores there.
    code = (
        "import json\n"
        "from metalassay.workers import cpu_pinning, processes\n"
        "print(json.dumps([list(cpu_pinning.allowed()), processes.Processes(fresh=False)._fresh]))"
    )
    done = mac.python(code)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], True]


def test_this_python_is_not_changed() -> None:
    assert sys.platform == "linux"
