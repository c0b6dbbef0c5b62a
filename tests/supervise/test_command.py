"""``metalassay run`` with limits: the program's exit code, its signals, and refused commands."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from limited_program import SECONDS, STOPPED, running, wait_until_stopped
from run_options import options

from metalassay.cli import handover, main, run
from metalassay.errors import UserError
from metalassay.supervise import command

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGSTOP")
RUN = [sys.executable, "-m", "metalassay", "run", "--max-cpu"]


@posix
@pytest.mark.parametrize(
    ("code", "expected"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137)]
)
def test_the_exit_code_is_that_of_the_program(code: str, expected: int) -> None:
    done = subprocess.run([*RUN, "50", "--", sys.executable, "-c", code])
    assert done.returncode == expected


@posix
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_a_stopped_program(number: signal.Signals) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the tests run under nohup, which the program inherits")
    with running(*STOPPED) as limited:
        program = wait_until_stopped(limited)
        limited.send_signal(number)
        assert limited.wait(SECONDS) == 128 + number
        assert not program.is_running() or program.status() == psutil.STATUS_ZOMBIE


@posix
def test_a_program_handles_sigterm_itself() -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)"
    )
    with running(*RUN, "50", "--", sys.executable, "-c", code) as limited:
        assert limited.stdout
        assert limited.stdout.readline() == "up\n"
        limited.terminate()
        assert limited.wait(SECONDS) == 5


@posix
@pytest.mark.slow
def test_ctrl_c_in_a_terminal_reaches_the_program_once(tmp_path: Path) -> None:
    import pty

    code = (
        "import signal, sys, time\n"
        "received = []\n"
        "signal.signal(signal.SIGINT, lambda *_: received.append(1))\n"
        "print('up', flush=True)\n"
        "while not received: time.sleep(0.01)\n"
        "time.sleep(1)\n"  # a second signal would arrive by now
        f"open({str(tmp_path / 'received')!r}, 'w').write(str(len(received)))\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(RUN[0], [*RUN, "50", "--", sys.executable, "-c", code])  # noqa: S606
    output = b""
    while b"up" not in output:
        output += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    with contextlib.suppress(OSError):  # how Linux reports the end of a terminal
        while os.read(terminal, 1000):
            pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (tmp_path / "received").read_text() == "1"


@posix
def test_an_ignored_signal_stays_ignored() -> None:
    # As under nohup: the program inherits it.
    code = "import signal; raise SystemExit(signal.getsignal(signal.SIGHUP) != signal.SIG_IGN)"
    shell = "trap '' HUP; exec \"$@\""
    done = subprocess.run(
        ["/bin/sh", "-c", shell, "sh", *RUN, "50", "--", sys.executable, "-c", code]
    )
    assert done.returncode == 0


@posix
def test_a_program_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(UserError, match="cannot start"):
        command.run(options(str(tmp_path / "no")))
    assert [signal.getsignal(number) for number in numbers] == before


def test_limits_are_refused_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metalassay.supervise.command.os", SimpleNamespace(name="nt"))
    with pytest.raises(UserError, match="Windows"):
        command.run(options("true"))


def test_background_needs_macos() -> None:
    assert command._background(True, "darwin") == ["taskpolicy", "-b"]
    assert command._background(False, "linux") == []
    with pytest.raises(UserError, match="--background"):
        command._background(True, "linux")


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
