"""The process of an experiment is read line by line, and ended whatever happens."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil
import pytest

from metalassay.errors import UserError
from metalassay.experiments import processes


def program(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let a process run this code instead of the module that it is asked to run."""
    running = processes._running
    monkeypatch.setattr(
        processes, "_running", lambda _, seconds: running([sys.executable, "-c", code], seconds)
    )


def test_lines_are_read_and_what_a_library_prints_is_not_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program(monkeypatch, "print('loading'); print('[1]'); print('{\"round\": 1}')")
    assert list(processes.lines("{}", 5.0)) == [{"round": 1}]


def test_a_process_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    program(monkeypatch, "print('{}'); raise SystemExit(3)")
    with pytest.raises(UserError, match="ended with 3"):
        list(processes.lines("{}", 5.0))


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_AT_LEAST", 0.2)
    program(monkeypatch, "import time; time.sleep(60)")
    started = time.monotonic()
    with pytest.raises(UserError, match="ended with -9"):
        list(processes.lines("{}", 0.2))
    assert time.monotonic() - started < 30


def test_a_process_and_its_children_end_when_the_reader_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    program(
        monkeypatch,
        f"import subprocess, os, json, time; p = subprocess.Popen({sleep!r})\n"
        "print(json.dumps({'pids': [os.getpid(), p.pid]}), flush=True); time.sleep(60)",
    )
    reader = processes.lines("{}", 60.0)
    pids = next(reader)["pids"]
    reader.close()  # type: ignore[attr-defined]
    end = time.monotonic() + 20
    while any(_runs(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_test_is_run_by_pytest(tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    path.write_text("def test_it(): assert 1\n", "utf-8")
    assert "1 passed" in processes.tested(path, 60.0)


def test_the_message_reaches_the_child() -> None:
    """The real child, with an experiment that it does not know: it fails, and nothing is printed for us."""
    message = json.dumps({"experiment": "none", "device": "cpu", "seconds": 1, "emulated": False})
    with pytest.raises(UserError, match="ended with 1"):
        list(processes.lines(message, 60.0))
