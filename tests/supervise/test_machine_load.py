"""CPU time of a program and its children, and memory pressure on Linux."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from cpu_time import burn

from metalassay.supervise import machine_load
from metalassay.supervise.machine_load import CpuClock, linux_pressure


def test_the_time_of_this_process_can_be_left_out() -> None:
    both, children = CpuClock(), CpuClock(include_self=False)
    before = both.seconds(), children.seconds()
    burn(0.3)
    assert both.seconds() - before[0] >= 0.3
    assert children.seconds() - before[1] < 0.1


@pytest.mark.slow
def test_running_and_ended_children_both_count() -> None:
    clock = CpuClock(look_every=0)
    code = "import time\nwhile time.process_time() < 0.6: pass\nprint(flush=True); input()"
    before = clock.seconds()
    for number in (1, 2):  # the first has ended, and still counts, while the second runs
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout
            child.stdout.readline()
            assert clock.seconds() - before >= 0.55 * number
            child.communicate(b"\n")


def test_the_share_is_cpu_time_over_all_cores_and_at_most_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, used = [10.0], [1.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(CpuClock, "seconds", lambda clock: used[0])
    monkeypatch.setattr(machine_load, "cores", lambda: 4)
    clock = CpuClock()
    now[0], used[0] = 12.0, 5.0
    assert clock.share() == pytest.approx(0.5)
    now[0], used[0] = 12.5, 7.02  # more than all cores: the system counts in hundredths of a second
    assert clock.share() == 1


@pytest.mark.parametrize(
    ("some", "full", "expected"),
    [("0.00", "0.00", "normal"), ("12.50", "3.00", "warning"), ("60.00", "10.00", "critical")],
)
def test_linux_pressure_is_read_from_its_stall_information(
    some: str, full: str, expected: str
) -> None:
    text = f"some avg10={some} avg60=0 avg300=0 total=9\nfull avg10={full} avg60=0 total=9\n"
    assert linux_pressure(text) == expected
    assert linux_pressure("") is None
