"""Ctrl+C and SIGTERM: once finishes the step, twice stops at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tiny_training import run, start, wait_for_step

from metalassay.interrupts import end_as_ctrl_c
from metalassay.training import checkpoint
from metalassay.training.interrupt import Interrupt

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of these signals")
NUMBERS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_is_recorded_and_the_second_raises(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in NUMBERS]
    with Interrupt() as interrupt:
        assert interrupt.requested_by is None
        signal.raise_signal(number)
        assert interrupt.requested_by == number.name
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert [signal.getsignal(each) for each in NUMBERS] == before


def test_sigterm_raises_keyboard_interrupt_only_inside_the_block() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), end_as_ctrl_c():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_the_main_thread_the_handlers_stay_unchanged() -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    inside: list[object] = []

    def enter() -> None:
        with Interrupt(), end_as_ctrl_c():
            inside.extend(signal.getsignal(number) for number in NUMBERS)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert inside == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_finishes_the_step_and_writes_the_checkpoint(
    tmp_path: Path, number: signal.Signals
) -> None:
    child = start(tmp_path, pause=0.01)
    wait_for_step(child, 5)
    child.send_signal(number)
    assert child.stdout
    rest = child.stdout.read().split("\n")
    step, stopped = rest[-2].split()
    assert child.wait() == 0
    assert stopped == number.name
    assert [path.name for path in tmp_path.glob("step-*")] == [f"step-{int(step):08d}"]
    assert int(step) < 200


def test_a_second_signal_stops_at_once_and_leaves_no_unfinished_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = checkpoint._write

    def interrupted(path: Path, data: bytes) -> None:
        write(path, data)
        if path.parent.name.startswith(".step-00000010"):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(checkpoint, "_write", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, checkpoint_every=5)
    names = {path.name for path in tmp_path.iterdir()} - {".lock"}
    assert names == {"log.jsonl", "step-00000005"}
    assert signal.getsignal(signal.SIGINT) is before


@posix
@pytest.mark.slow
def test_sigterm_before_the_first_step_works_like_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "metalassay", "train", "transit", "--device", "cpu"]
    command += ["--curves", "60000", "--quiet", "-o", str(tmp_path / "run")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        while not (tmp_path / "run" / ".lock").exists():
            assert child.poll() is None
        time.sleep(0.3)  # it makes light curves for many seconds now
        child.send_signal(signal.SIGTERM)
        _, stderr = child.communicate()
    assert child.returncode == 130
    assert "stopped at once" in stderr
    assert not list(tmp_path.iterdir())
