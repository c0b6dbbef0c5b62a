"""CPU time of a program and its children, and memory pressure."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest
from cpu_time import burn

from metalassay.machine import mac_rusage, macos
from metalassay.supervise import machine_load
from metalassay.supervise.machine_load import CpuClock, linux_pressure

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no shell")
linux = pytest.mark.skipif(sys.platform != "linux", reason="plays a Mac with what Linux tells")


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


BURN = "import time\nuntil = time.process_time() + {}\nwhile time.process_time() < until: pass\n"
# Says when it has burned, and waits for a line. The kernel counts in hundredths of a second.
WORK = BURN + "print('done', flush=True); input()"


def as_on_macos(monkeypatch: pytest.MonkeyPatch) -> CpuClock:
    """Return a clock for which psutil knows of ended children, and of zombies, what it knows on macOS."""
    real = psutil.Process.cpu_times

    def cpu_times(process: psutil.Process) -> object:
        if process.status() == psutil.STATUS_ZOMBIE:
            raise psutil.ZombieProcess(process.pid)
        return real(process)._replace(children_user=0.0, children_system=0.0)

    monkeypatch.setattr(psutil.Process, "cpu_times", cpu_times)
    monkeypatch.setattr(mac_rusage, "reader", lambda: None)
    return CpuClock(include_self=False, look_every=0, adds_up=False)


def shell(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", sys.executable],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@posix
def test_on_macos_the_jobs_of_a_shell_count_after_they_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = as_on_macos(monkeypatch)
    before = clock.seconds()
    job = f'"$1" -c "{WORK.format(0.3)}"'
    with shell(f"{job}; {job}; {job}; echo over; read line") as child:
        assert child.stdin
        assert child.stdout
        for number in (1, 2, 3):
            assert child.stdout.readline() == "done\n"
            assert clock.seconds() - before >= 0.27 * number
            child.stdin.write("\n")
            child.stdin.flush()
        assert child.stdout.readline() == "over\n"
        assert psutil.Process(child.pid).children() == []
        seen = clock.seconds() - before
        assert seen >= 0.8
        child.communicate("\n")
    # Waited for: os.times has the time of the shell and of its jobs now, which does not count twice.
    assert seen <= clock.seconds() - before < 1.5 * seen


@posix
def test_a_child_that_was_waited_for_between_two_looks_does_not_count_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    as_on_macos(monkeypatch)
    clock = CpuClock(include_self=False, look_every=1000, adds_up=False)
    before = clock.seconds()
    with shell(f'exec "$1" -c "{WORK.format(0.4)}"') as child:
        assert child.stdout
        child.stdout.readline()
        clock._looked = -float("inf")  # the one look
        seen = clock.seconds() - before
        assert seen >= 0.37
        child.communicate("\n")
    assert child.pid in [each.pid for each in clock.children()]
    assert seen <= clock.seconds() - before < 1.5 * seen


@linux
def test_without_the_accounting_for_macos_these_jobs_would_be_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    as_on_macos(monkeypatch)
    clock = CpuClock(include_self=False, look_every=0, adds_up=True)
    before = clock.seconds()
    with shell(f'"$1" -c "{BURN.format(0.5)}"; echo over; read line') as child:
        assert child.stdout
        assert child.stdout.readline() == "over\n"
        assert clock.seconds() - before < 0.4
        child.communicate("\n")


@linux
def test_what_the_kernel_of_a_mac_tells_of_ended_children_counts_however_short_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = psutil.Process.cpu_times

    def ended(pid: int) -> float:  # as proc_pid_rusage; here from /proc
        times = real(psutil.Process(pid))
        return float(times.children_user + times.children_system)

    as_on_macos(monkeypatch)
    clock = CpuClock(include_self=False, look_every=0, adds_up=False, ended=ended)
    before = clock.seconds()
    with shell(f'"$1" -c "{BURN.format(0.5)}"; echo over; read line') as child:
        assert child.stdout
        assert child.stdout.readline() == "over\n"
        assert clock.seconds() - before >= 0.45
        child.communicate("\n")
    assert clock.seconds() - before < 0.9


@posix
def test_on_macos_a_child_that_nobody_has_waited_for_counts_with_what_was_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = as_on_macos(monkeypatch)
    before = clock.seconds()
    with subprocess.Popen(
        [sys.executable, "-c", WORK.format(0.3)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin
        assert child.stdout
        child.stdout.readline()
        seen = clock.seconds()
        assert seen - before >= 0.27
        child.stdin.write(b"\n")
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie from now on
        assert clock._seen_below() >= 0.27
        child.wait()
        assert 0.27 <= clock.seconds() - before < 0.5


def test_processes_of_other_users_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = as_on_macos(monkeypatch)

    def denied(process: psutil.Process) -> None:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "cpu_times", denied)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert clock.seconds() >= 0
        child.communicate(b"\n")


def test_on_a_mac_swapping_is_that_of_vm_stat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(machine_load, "pressure", lambda: None)
    for moved, out in (((3, 4), 4), (None, None)):
        monkeypatch.setattr(macos, "swapped", lambda moved=moved: moved)
        assert machine_load.memory().swapped_out == out


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
