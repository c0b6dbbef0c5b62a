"""The record that libproc fills, with a library in its place; no Mac has run this."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from metalassay.machine import mac_rusage, macos

TICKS = 24_000_000  # hw.tbfrequency of Apple silicon


def record(own: float, ended: float, ticks: int = TICKS, footprint: int = 7) -> bytes:
    """Lay out a rusage_info_v1 by the names of its fields."""
    fields = dict.fromkeys(
        [
            "user",
            "system",
            "pkg_idle",
            "interrupt",
            "pageins",
            "wired",
            "resident",
            "footprint",
            "start",
            "exit",
            "child_user",
            "child_system",
            "child_pkg_idle",
            "child_interrupt",
            "child_pageins",
            "child_elapsed",
        ],
        7,
    )
    fields["user"], fields["system"] = int(own * ticks * 3 / 4), int(own * ticks / 4)
    fields["child_user"], fields["child_system"] = int(ended * ticks / 2), int(ended * ticks / 2)
    fields["footprint"] = footprint
    return b"u" * 16 + struct.pack("=16Q", *fields.values())


def library(answers: Callable[[int], bytes | None]) -> Any:
    def proc_pid_rusage(pid: ctypes.c_int, flavor: ctypes.c_int, buffer: Any) -> int:
        assert flavor.value == 1
        answer = answers(pid.value)
        if answer is None:
            return -1
        buffer.raw = answer.ljust(len(buffer), b"\0")
        return 0

    return SimpleNamespace(proc_pid_rusage=proc_pid_rusage)


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(macos, "sysctl", {"hw.tbfrequency": str(TICKS)}.get)
    return monkeypatch


def own_or(pid: int, other: bytes | None) -> bytes | None:
    return record(time.process_time(), 0.0) if pid == os.getpid() else other


def test_the_times_are_ticks_of_the_timer() -> None:
    own, ended = mac_rusage.parse(record(2.0, 8.0), TICKS)
    assert own == pytest.approx(2.0)
    assert ended == pytest.approx(8.0)


def test_the_ended_children_of_a_process_are_read(mac: pytest.MonkeyPatch) -> None:
    read = mac_rusage.reader(library(lambda pid: own_or(pid, record(1.0, 5.0))))
    assert read is not None
    assert read(1) == pytest.approx(5.0)


def test_a_process_of_another_user_counts_with_nothing(mac: pytest.MonkeyPatch) -> None:
    read = mac_rusage.reader(library(lambda pid: own_or(pid, None)))
    assert read is not None
    assert read(1) == 0.0


def test_a_record_in_another_unit_is_not_used(mac: pytest.MonkeyPatch) -> None:
    end = time.process_time() + 0.05  # enough to tell units apart
    while time.process_time() < end:
        pass
    nanoseconds = lambda pid: record(time.process_time(), 0.0, 10**9)  # noqa: E731
    assert mac_rusage.reader(library(nanoseconds)) is None
    assert mac_rusage.reader(library(lambda pid: None)) is None


@pytest.mark.parametrize("frequency", [None, "", "0", "x"])
def test_without_the_frequency_nothing_is_read(
    mac: pytest.MonkeyPatch, frequency: str | None
) -> None:
    mac.setattr(macos, "sysctl", lambda name: frequency)
    assert mac_rusage.reader(library(lambda pid: own_or(pid, None))) is None


def test_a_library_without_the_function_and_other_systems_have_no_reader(
    mac: pytest.MonkeyPatch,
) -> None:
    assert mac_rusage.reader(SimpleNamespace()) is None
    mac.setattr(sys, "platform", "linux")
    assert mac_rusage.reader(library(lambda pid: own_or(pid, None))) is None


def test_the_footprint_is_read_in_bytes(mac: pytest.MonkeyPatch) -> None:
    mac.setattr(macos, "sysctl", lambda name: None)  # it needs no unit of time
    answers = {os.getpid(): record(1, 1), 2: record(1, 1, footprint=3 * 2**30)}
    read = mac_rusage.footprint_reader(library(answers.get))
    assert read is not None
    assert read(2) == 3 * 2**30
    assert read(3) is None  # of another user, or ended


def test_a_library_that_does_not_tell_our_own_footprint_has_no_reader(
    mac: pytest.MonkeyPatch,
) -> None:
    assert mac_rusage.footprint_reader(library(lambda pid: None)) is None
    assert mac_rusage.footprint_reader(library(lambda pid: record(1, 1, footprint=0))) is None
    assert mac_rusage.footprint_reader(SimpleNamespace()) is None
    mac.setattr(sys, "platform", "linux")
    assert mac_rusage.footprint_reader(library(lambda pid: record(1, 1))) is None
