"""``metalassay run`` with limits: the program's exit code and signals, and nobody stays stopped."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from run_options import options

from metalassay.cli import handover, main, run
from metalassay.errors import UserError
from metalassay.supervise import command as govern
from metalassay.supervise.cpu_limiter import CpuLimiter

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGSTOP")
RUN = [sys.executable, "-m", "metalassay", "run", "--max-cpu"]
BUSY = "while True: pass  # the program"
SECONDS = 20  # until a test gives up
# At a hundred thousandth of the machine, and never forgiven, a pause outlasts any test.
FOR_EVER = """
import sys
from metalassay.supervise import command as govern, cpu_limiter as governor
governor.STUCK = float("inf")
limits = {"max_cpu": 1e-3, "max_memory": None, "background": False, "monitor": None}
sys.exit(govern.run({**limits, "verbose": False, "program": sys.argv[1:]}))
"""
STOPPED = [sys.executable, "-c", FOR_EVER, sys.executable, "-c", BUSY]


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program without a terminal, and leave nothing of it behind."""
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield child
    finally:
        everyone = (
            psutil.Process(child.pid).children(recursive=True) if child.poll() is None else []
        )
        for each in everyone:
            with contextlib.suppress(psutil.Error):
                each.kill()
        child.kill()
        child.communicate()


def stopped(governed: subprocess.Popen[str]) -> psutil.Process:
    """Wait until the program is stopped, and return it."""
    me, until = psutil.Process(governed.pid), time.monotonic() + SECONDS
    while time.monotonic() < until:
        for each in me.children():
            with contextlib.suppress(psutil.Error):
                if BUSY in each.cmdline() and each.status() == psutil.STATUS_STOPPED:
                    return each
        time.sleep(0.01)
    raise AssertionError("the program was never stopped")


@posix
@pytest.mark.parametrize(
    ("code", "expected"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137)]
)
def test_the_exit_code_is_the_programs(code: str, expected: int) -> None:
    command = [sys.executable, "-m", "metalassay", "run", "--max-cpu", "50", "--"]
    done = subprocess.run([*command, sys.executable, "-c", code], check=False)
    assert done.returncode == expected


@posix
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_a_program_that_is_stopped(number: signal.Signals) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("under nohup, as here, a program is to ignore it")
    with running(*STOPPED) as governed:
        program = stopped(governed)
        governed.send_signal(number)
        assert governed.wait(SECONDS) == 128 + number
        assert not program.is_running() or program.status() == psutil.STATUS_ZOMBIE


@posix
@pytest.mark.slow
def test_a_governor_that_is_killed_outright_leaves_nobody_stopped() -> None:
    with running(*STOPPED) as governed:
        program = stopped(governed)
        governed.kill()
        governed.wait()
        try:
            until = time.monotonic() + SECONDS
            while program.status() == psutil.STATUS_STOPPED and time.monotonic() < until:
                time.sleep(0.01)
            assert program.status() != psutil.STATUS_STOPPED
        finally:
            program.kill()


@posix
def test_a_program_answers_sigterm_itself() -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)"
    )
    with running(*RUN, "50", "--", sys.executable, "-c", code) as governed:
        assert governed.stdout
        assert governed.stdout.readline() == "up\n"
        governed.terminate()
        assert governed.wait(SECONDS) == 5


@posix
@pytest.mark.slow
def test_ctrl_c_in_a_terminal_reaches_the_program_once(tmp_path: Path) -> None:
    import pty

    code = (
        "import signal, sys, time\n"
        "came = []\n"
        "signal.signal(signal.SIGINT, lambda *_: came.append(1))\n"
        "print('up', flush=True)\n"
        "while not came: time.sleep(0.01)\n"
        "time.sleep(1)\n"  # for a second one, if there is one
        f"open({str(tmp_path / 'came')!r}, 'w').write(str(len(came)))\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(RUN[0], [*RUN, "50", "--", sys.executable, "-c", code])  # noqa: S606
    said = b""
    while b"up" not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    with contextlib.suppress(OSError):  # Linux reports the end of a terminal so
        while os.read(terminal, 1000):
            pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (tmp_path / "came").read_text() == "1"


@posix
def test_a_signal_that_was_ignored_stays_so() -> None:
    # As under nohup: the program is to inherit it.
    code = "import signal; raise SystemExit(signal.getsignal(signal.SIGHUP) != signal.SIG_IGN)"
    shell = "trap '' HUP; exec \"$@\""
    command = ["/bin/sh", "-c", shell, "sh", *RUN, "50", "--", sys.executable, "-c", code]
    done = subprocess.run(command)
    assert done.returncode == 0


def test_letting_go_ends_a_pause_and_forgives_the_debt(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = CpuLimiter(0.5, signals=False)
    slept: list[float] = []
    used = [0.0]
    monkeypatch.setattr(limiter._clock, "seconds", lambda: used[0])
    monkeypatch.setattr(limiter._clock, "children", list)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert len(slept) < 9, "the pause went on"
        limiter.let_go()

    with limiter:
        used[0] = 1e6
        monkeypatch.setattr(time, "sleep", sleep)
        limiter.pace()
        assert len(slept) == 1
        assert limiter.debt() <= 0
        limiter.let_go()  # nothing is paused: the next pause is not cut short
        used[0] = 2e6
        assert limiter.debt() > 0
        limiter.pace()
        assert len(slept) == 2


def test_a_child_found_during_a_pause_is_stopped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Child:
        def __init__(self, pid: int) -> None:
            self.pid = pid

        def suspend(self) -> None:
            told.append((self.pid, "stop"))

        def resume(self) -> None:
            told.append((self.pid, "go"))

    told: list[tuple[int, str]] = []
    children = [Child(1)]
    listed: list[list[int]] = []
    limiter = CpuLimiter(0.5, signals=False)
    used = [0.0]
    monkeypatch.setattr(limiter._clock, "seconds", lambda: used[0])
    monkeypatch.setattr(limiter._clock, "children", lambda: list(children))
    monkeypatch.setattr(limiter._sentinel, "stopped", lambda pids: listed.append(list(pids)))

    def sleep(seconds: float) -> None:
        children.append(Child(len(children) + 1))
        if len(children) == 4:
            limiter.let_go()

    with limiter:
        used[0] = 1e6
        monkeypatch.setattr(time, "sleep", sleep)
        limiter.pace()
    assert told == [(1, "stop"), (2, "stop"), (3, "stop"), (1, "go"), (2, "go"), (3, "go")]
    assert listed == [[1], [1, 2], [1, 2, 3], []]


@posix
def test_a_program_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(UserError, match="cannot start"):
        govern.run(options(str(tmp_path / "no")))
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before


def test_where_nothing_can_be_stopped_there_are_no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metalassay.supervise.command.os", SimpleNamespace(name="nt"))
    with pytest.raises(UserError, match="Windows"):
        govern.run(options("true"))


def test_background_quality_of_service_is_macos_alone() -> None:
    assert govern._background(True, "darwin") == ["taskpolicy", "-b"]
    assert govern._background(False, "linux") == []
    with pytest.raises(UserError, match="--background"):
        govern._background(True, "linux")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-cpu", "70"], "no program to run"),
        (["--", "python", "train.py"], "no limit and no device to emulate"),
    ],
)
def test_half_a_command_line_is_an_error_with_a_next_step(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["run", *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "metalassay run --max-cpu 70 -- python train.py" in err


@pytest.mark.parametrize("wrong", [["--max-cpu", "0"], ["--max-memory", "101"], ["--every", "0"]])
def test_a_limit_that_is_none_is_refused(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main.main(["run", *wrong, "--", "true"])
    assert f"argument {wrong[0]}" in capsys.readouterr().err


def test_an_emulated_program_can_be_limited_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[tuple[str, list[str]]] = []

    def launch(command: str, given: argparse.Namespace) -> int:
        handed.append((command, given.program))
        return 0

    monkeypatch.setattr(run, "_emulated", lambda torch, program: ["emulated", torch, *program])
    monkeypatch.setattr(handover, "launch", launch)
    assert main.main(["run", "--max-cpu", "50", "--emulate-mps=2.8", "--", "python", "a.py"]) == 0
    assert handed == [("run", ["emulated", "2.8", "python", "a.py"])]
