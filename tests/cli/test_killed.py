"""No process of a command is left two seconds after it was killed, for every command that starts one of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from metalassay.cli.main import COMMANDS

# They compute in themselves, or ask another program for a moment.
IN_ONE_PROCESS = {
    "claims", "env", "evaluate", "explain", "generate", "init-step", "link", "monitor", "ops", "report", "resolve",
    "results", "submit", "train",
}  # fmt: skip
# The installer of fix and bisect is not ended halfway; run has tests/supervise, matrix tests/matrix.
ELSEWHERE = {"fix", "bisect", "run", "matrix"}
MARK = "METALASSAY_TEST_MARK"
BUSY = """
import torch
torch.set_num_threads(1)
a = torch.ones(6000, 6000)
def step():
    a @ a
def make(batch_size):
    while True:
        step()
if __name__ == "__main__":
    import subprocess, sys
    inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    while True:
        step()
"""
# A command, and how many processes of its own it has when it is killed; the one that watches counts too.
ROWS = {
    "ask": (["busy.py"], 2),
    "bench": (["--device", "cpu", "--output", "out"], 2),
    "check": (["--quiet"], 2),
    "compare": (["busy.py::step", "busy.py::step"], 4),
    "doctor": ([], 2),
    "loader": (["--samples", "1000000"], 2),
    "max-batch": (["transit-cnn:train", "--device", "cpu", "--start", "4096"], 2),
    "preflight": (["--", sys.executable, "busy.py"], 3),
    "selftest": ([], 2),
}


def test_every_command_has_a_row() -> None:
    assert {*ROWS} | IN_ONE_PROCESS | ELSEWHERE == {*COMMANDS}


def marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.slow
def commands(mark: str) -> list[list[str]]:
    """Return the command lines of the marked processes; one may end while it is asked."""
    found = []
    for process in marked(mark):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(process.cmdline())
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("command", ROWS)
def test_nothing_is_left_of_a_killed_command(
    command: str, number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "busy.py").write_text(BUSY)
    arguments, least = ROWS[command]
    mark = uuid.uuid4().hex
    parent = subprocess.Popen(
        [sys.executable, "-m", "metalassay", command, *arguments],
        cwd=tmp_path,
        env={**os.environ, MARK: mark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while len(marked(mark)) <= least and parent.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    try:
        time.sleep(0.2)  # a process is watched a moment after it was started
        seen = commands(mark)
        assert len(seen) > least, (parent.poll(), seen)
        parent.send_signal(number)
        until = time.monotonic() + 2
        while marked(mark) and time.monotonic() < until:
            parent.poll()
            time.sleep(0.02)
        assert commands(mark) == []
    finally:
        for each in marked(mark):
            each.kill()
        parent.wait()
