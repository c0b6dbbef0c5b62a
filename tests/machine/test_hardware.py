"""Which machine this is: the probe, on this machine and on a simulated Mac."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence

import pytest
from constructed_machines import M4_PRO, UNKNOWN, constructed

from metalassay.machine import hardware, macos
from metalassay.machine.hardware import Hardware

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def on_a_mac(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Run], Hardware]]:
    """Return a function that probes a simulated Mac, with ``run`` in place of subprocess.run."""

    def probe(run: Run) -> Hardware:
        monkeypatch.setattr(platform, "system", lambda: "Darwin")
        monkeypatch.setattr(platform, "machine", lambda: "arm64")
        monkeypatch.setattr(macos, "version", lambda: "15.1")
        monkeypatch.setattr(shutil, "which", lambda name: name)
        monkeypatch.setattr(subprocess, "run", run)
        hardware.probe.cache_clear()
        return hardware.probe()

    yield probe
    hardware.probe.cache_clear()


def constructed_output(machine: str) -> Run:
    """Return a substitute for subprocess.run on ``machine``; sysctl fails as on a Mac without E cores."""

    def run(
        command: Sequence[str], *, check: bool, **_: object
    ) -> subprocess.CompletedProcess[str]:
        sysctl = command[0] == "/usr/sbin/sysctl"
        assert sysctl or command[0] == "/usr/sbin/system_profiler"
        assert check is not sysctl
        suffix = "sysctl.txt" if sysctl else "displays.json"
        text = constructed(f"{machine}-constructed.{suffix}")
        return subprocess.CompletedProcess(command, 1 if sysctl else 0, text)

    return run


def test_the_record_of_a_mac_combines_both_commands(
    on_a_mac: Callable[[Run], Hardware],
) -> None:
    assert on_a_mac(constructed_output("mac-mini-m4-pro")) == M4_PRO


def test_serial_numbers_are_not_recorded(on_a_mac: Callable[[Run], Hardware]) -> None:
    record = json.dumps(hardware.as_dict(on_a_mac(constructed_output("mac-mini-m4"))))
    assert '"gpu": "Apple M4"' in record
    assert "SERIAL" not in record
    assert "5e71a100" not in record


def failing_with(error: Exception) -> Run:
    def run(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        raise error

    return run


@pytest.mark.parametrize(
    "run",
    [
        failing_with(FileNotFoundError("sysctl")),
        failing_with(PermissionError("sysctl")),
        failing_with(subprocess.TimeoutExpired("sysctl", 5)),
        failing_with(subprocess.CalledProcessError(1, "sysctl")),
        lambda command, **_: subprocess.CompletedProcess(command, 0, ""),
        lambda command, **_: subprocess.CompletedProcess(command, 0, "\ufffd garbage: [{"),
    ],
)
def test_failing_commands_leave_the_fields_unknown(
    on_a_mac: Callable[[Run], Hardware], run: Run
) -> None:
    assert on_a_mac(run) == UNKNOWN


def test_a_missing_program_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    hardware.probe.cache_clear()
    try:
        assert hardware.probe().gpu is None
    finally:
        hardware.probe.cache_clear()


def test_this_machine_is_probed_once_and_its_record_survives_json() -> None:
    record = hardware.probe()
    assert record is hardware.probe()
    assert record.system == platform.system()
    assert record.machine == platform.machine()
    assert record.logical_cores
    assert record.memory_bytes
    assert record.memory_bytes > 2**26
    assert hardware.from_dict(json.loads(json.dumps(hardware.as_dict(record)))) == record
    assert record.chip is None or hardware.describe(record).startswith(record.chip)


def test_an_intel_python_under_rosetta_is_said_in_the_record_and_in_the_line(
    on_a_mac: Callable[[Run], Hardware], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(macos, "under_rosetta", lambda: True)
    found = on_a_mac(constructed_output("mac-mini-m4-pro"))
    assert found.translated
    assert hardware.from_dict(hardware.as_dict(found)).translated
    assert hardware.describe(found).endswith(", macOS 15.1, an Intel Python under Rosetta")


def test_a_mac_that_does_not_tell_its_version_has_the_release_of_its_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "release", lambda: "25.1.0")
    monkeypatch.setattr(macos, "version", lambda: None)
    assert hardware.release() == "Darwin 25.1.0"
    monkeypatch.setattr(macos, "version", lambda: "26.1")
    assert hardware.release() == "macOS 26.1"
