"""Stopped children are continued when the process that stopped them is killed, and only then."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import psutil
import pytest
from limited_program import (
    BUSY,
    SECONDS,
    STOPPED,
    running,
    wait_until_continued,
    wait_until_stopped,
)

from metalassay.supervise.watchdog import Watchdog

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGSTOP")


@pytest.fixture
def stopped_child() -> Iterator[psutil.Process]:
    with running(sys.executable, "-c", BUSY) as child:
        process = psutil.Process(child.pid)
        process.suspend()
        yield process


def test_no_process_is_started_before_a_child_is_stopped() -> None:
    watchdog = Watchdog()
    watchdog.set_stopped(())
    assert watchdog.pid is None
    watchdog.close()  # harmless without a process


def test_a_child_that_is_listed_is_continued_when_the_pipe_closes(
    stopped_child: psutil.Process,
) -> None:
    watchdog = Watchdog()
    watchdog.set_stopped([stopped_child.pid])
    assert watchdog.pid is not None
    watchdog.close()
    wait_until_continued(stopped_child)


def test_a_child_that_is_no_longer_listed_is_left_alone(stopped_child: psutil.Process) -> None:
    watchdog = Watchdog()
    watchdog.set_stopped([stopped_child.pid])
    watchdog.set_stopped(())
    watchdog.close()  # waits for the end of the watchdog
    assert stopped_child.status() == psutil.STATUS_STOPPED


def test_a_line_that_was_cut_off_is_ignored(stopped_child: psutil.Process) -> None:
    watchdog = Watchdog()
    watchdog.set_stopped([stopped_child.pid])
    assert watchdog._process
    assert watchdog._process.stdin
    watchdog._process.stdin.write(b"1")  # half of a line that lists other pids
    watchdog.close()
    wait_until_continued(stopped_child)


def test_a_watchdog_that_was_killed_does_not_stop_the_limiter() -> None:
    watchdog = Watchdog()
    watchdog.set_stopped([os.getpid()])
    assert watchdog.pid is not None
    os.kill(watchdog.pid, signal.SIGKILL)
    assert watchdog._process
    watchdog._process.wait(SECONDS)
    watchdog.set_stopped(())
    watchdog.close()


def test_ctrl_c_in_the_terminal_does_not_reach_the_watchdog(
    stopped_child: psutil.Process,
) -> None:
    watchdog = Watchdog()
    watchdog.set_stopped([stopped_child.pid])
    assert watchdog.pid is not None
    assert os.getsid(watchdog.pid) != os.getsid(0)
    watchdog.close()


@pytest.mark.slow
def test_no_program_stays_stopped_when_its_limiter_is_killed() -> None:
    with running(*STOPPED) as limited:
        program = wait_until_stopped(limited)
        limited.kill()
        limited.wait()
        try:
            wait_until_continued(program)
        finally:
            program.kill()


def test_only_one_process_is_started() -> None:
    watchdog = Watchdog()
    watchdog.set_stopped([os.getpid()])
    first = watchdog.pid
    watchdog.set_stopped([os.getpid()])
    assert watchdog.pid == first
    watchdog.set_stopped(())
    watchdog.close()
    assert watchdog._process
    assert watchdog._process.returncode == 0
