"""A program that runs already is found, watched from outside, and summed up."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import psutil
import pytest

from metalassay.errors import UserError
from metalassay.supervise import memory_trend, monitor_log, running
from metalassay.supervise.running import Summary, Watched

HOLDS = "held = b'x' * (200 * 2**20)"
BUSY = "import time; until = time.time() + 60\nwhile time.time() < until: pass"
WAITS = "import time; time.sleep(60)"


@contextlib.contextmanager
def program(code: str, *arguments: str) -> Iterator[psutil.Process]:
    child = subprocess.Popen([sys.executable, "-c", code, *arguments])
    try:
        yield psutil.Process(child.pid)
    finally:
        child.kill()
        child.wait()


def test_a_program_is_found_by_its_number_and_by_its_name() -> None:
    name = f"train-{uuid4()}"
    with program(WAITS, name) as process:
        time.sleep(0.2)
        assert running.by_pid(process.pid) == process
        assert running.by_name(name) == process


def test_the_oldest_of_a_family_is_taken() -> None:
    name = f"train-{uuid4()}"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAITS!r}, sys.argv[1]])"
    with program(code, name) as process:
        deadline = time.monotonic() + 20
        while not process.children() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert running.by_name(name) == process
        for child in process.children():
            child.kill()


def test_several_programs_of_a_name_are_listed() -> None:
    name = f"train-{uuid4()}"
    with program(WAITS, name) as one, program(WAITS, name) as other:
        time.sleep(0.2)
        with pytest.raises(UserError, match="2 programs match") as caught:
            running.by_name(name)
    assert str(one.pid) in caught.value.message
    assert str(other.pid) in caught.value.message
    assert (
        caught.value.message.count(name) == 3
    )  # in each command line, however long what precedes it


@pytest.mark.parametrize(
    ("arguments", "text", "shown"),
    [
        (["/opt/env/bin/python", "train.py"], "train.py", "python train.py"),
        (["/opt/env/bin/python", "train.py"], "env/bin", "/opt/env/bin/python train.py"),
        (["python", "x" * 90, "train.py", "--seed"], "train.py", f"…{'x' * 61} train.py…"),
        (
            ["python", "\x1b[31mtrain.py\n", "\a"],
            "train.py",
            "python train.py \N{REPLACEMENT CHARACTER}",
        ),
    ],
)
def test_a_command_line_is_cut_around_what_was_looked_for(
    arguments: list[str], text: str, shown: str
) -> None:
    assert running._shown(arguments, text) == shown


def test_neither_this_process_nor_what_started_it_is_taken() -> None:
    with pytest.raises(UserError, match="no program runs whose command line contains"):
        running.by_name(f"no-such-{uuid4()}")
    own = " ".join(psutil.Process().cmdline())
    with pytest.raises(UserError, match="no program runs"):
        running.by_name(own)


def test_a_process_that_has_ended_is_refused() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 20
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(UserError, match=f"no process {child.pid} runs"):
        running.by_pid(child.pid)
    child.wait()
    with pytest.raises(UserError, match=f"no process {child.pid} runs"):
        running.by_pid(child.pid)
    with pytest.raises(UserError, match="no process"):
        running.by_pid(2**62)


def test_its_share_and_its_memory_are_read() -> None:
    with program(f"{HOLDS}\n{BUSY}") as process:
        watched = Watched(process)
        time.sleep(1)
        share = watched.share()
        assert share is not None
        assert 0 < share <= 1.1 / (psutil.cpu_count() or 1)
        assert 200 * 2**20 < watched.memory() < 2**30
        assert watched.runs()
    assert not watched.runs()
    assert watched.share() is None
    assert watched.memory() == 0


def test_lines_come_until_it_ends_and_the_log_can_be_read(tmp_path: Path) -> None:
    lines: list[str] = []
    code = f"{HOLDS}\nimport time; time.sleep(2)"
    with program(code) as process:
        summary = running.watch(process, 0.3, lines.append, pytest.fail, log=tmp_path / "log")
    assert summary.ended
    assert 1 < summary.seconds < 30
    assert summary.highest is not None
    assert summary.highest > 200 * 2**20
    assert len(lines) >= 3
    assert "CPU: " in lines[0]
    assert "Memory Free: " in lines[0]
    rows = monitor_log.read(tmp_path / "log").rows
    assert len(rows) == len(lines)
    assert max(row.program_memory_bytes or 0 for row in rows) == summary.highest


def test_what_its_children_hold_is_its_own() -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLDS + chr(10) + WAITS!r}])"
    with program(code) as process:
        deadline = time.monotonic() + 20
        watched = Watched(process)
        while watched.memory() < 200 * 2**20:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for child in process.children():
            child.kill()


def test_the_one_that_watches_is_no_part_of_the_program() -> None:
    me = psutil.Process()
    with program(WAITS) as sibling:
        parent = me.parent()
        assert parent
        watched = Watched(parent).processes()
        assert parent in watched
        assert sibling in watched
        assert me not in watched


def test_a_leak_is_in_the_summary_although_lines_are_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WARM_UP", 0.0), ("SHORTEST", 3.0), ("SMALLEST", 2**20)):
        monkeypatch.setattr(memory_trend, name, value)
    monkeypatch.setattr(running, "READ", 0.05)
    lines: list[str] = []
    leaks = "import time; held = []\nfor _ in range(60): held.append(b'x' * 2**22); time.sleep(0.1)"
    with program(leaks) as process:
        summary = running.watch(process, 60, lines.append, pytest.fail)
    assert len(lines) == 1
    assert summary.ended
    assert summary.highest is not None
    assert summary.highest > 200 * 2**20
    assert summary.grows is not None
    assert summary.grows.startswith("memory leaks: ")


def test_the_first_line_does_not_wait_for_the_next() -> None:
    class StoppedError(Exception):
        pass

    def stop(line: str) -> None:
        raise StoppedError

    with program(WAITS) as process:
        began = time.monotonic()
        with pytest.raises(StoppedError):
            running.watch(process, 20, stop, pytest.fail)
        assert time.monotonic() - began < 10


def test_json_lines_are_json() -> None:
    lines: list[str] = []
    with program("import time; time.sleep(1)") as process:
        running.watch(process, 0.3, lines.append, pytest.fail, as_json=True)
    assert {"time", "cpu_percent", "own_cpu_percent", "program_memory_bytes"} <= json.loads(
        lines[0]
    ).keys()


def test_ctrl_c_ends_the_watching_and_not_the_program() -> None:
    def stop(line: str) -> None:
        raise KeyboardInterrupt

    with program(WAITS) as process:
        summary = running.watch(process, 60, stop, pytest.fail)
        assert process.is_running()
    assert not summary.ended


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_ends_the_log_and_not_the_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        path = Path("log")

        def write(self, row: object) -> None:
            raise OSError(28, os.strerror(28))

    said: list[str] = []
    assert running._written(Full(), {}, said.append) is None  # type: ignore[arg-type]
    assert said == ["log ends here: No space left on device"]


def test_what_cannot_be_read_is_said() -> None:
    from datetime import UTC, datetime

    values = {
        "cpu_percent": 12.5,
        "own_cpu_percent": None,
        "memory_free_percent": 60.4,
        "swap_bytes": 0,
        "program_memory_bytes": 0,
    }
    line = running._line(datetime(2026, 11, 28, 22, 0, tzinfo=UTC), values)
    assert line == (
        "[2026-11-28 22:00:00] CPU: 12.5%, Memory Free: 60%; it: CPU not readable, memory not readable;"
        " swap 0 MiB"
    )
    on_a_mac = running._line(
        datetime(2026, 11, 28, tzinfo=UTC), values | {"compressed_bytes": 2**30}
    )
    assert on_a_mac.endswith("; swap 0 MiB, compressed 1 GiB")
    busy = running._line(datetime(2026, 11, 28, tzinfo=UTC), values | {"gpu_percent": 86.6})
    assert busy.endswith("; swap 0 MiB; GPU 87%")


@pytest.mark.skipif(os.name != "posix", reason="Windows has no user ids")
@pytest.mark.parametrize(
    ("platform", "said"),
    [("linux", "memory that its processes share counts for each"), ("darwin", "need sudo")],
)
def test_what_another_user_hides_is_said(
    platform: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with program("import time; time.sleep(1)") as process:
        assert Watched(process).unreadable() is None
        owner = process.uids().real
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
        with monkeypatch.context() as other:
            other.setattr(sys, "platform", platform)
            assert said in (Watched(process).unreadable() or "")
        told: list[str] = []
        running.watch(process, 0.2, lambda line: None, told.append)
        assert len(told) == 1
        monkeypatch.setattr(psutil.Process, "uids", lambda self: SimpleNamespace(real=1234))
        assert Watched(process).unreadable() is not None
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert Watched(process).unreadable() is None


def test_memory_that_was_never_read_is_not_called_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watched, "memory", lambda self: 0)  # of another user, on a Mac
    with program("import time; time.sleep(1)") as process:
        summary = running.watch(process, 0.2, lambda line: None, pytest.fail)
    assert summary.highest is None
    assert Summary(90, None, None, False).text() == (
        "it still runs; watched for 2 min, no memory was read"
    )


def test_the_summary_says_what_grew() -> None:
    assert Summary(90, 2**30, None, True).text() == (
        "it ended; watched for 2 min, at most 1 GiB of memory"
    )
    assert "; memory leaks" in Summary(90, 2**30, "memory leaks: 1 MiB", False).text()
