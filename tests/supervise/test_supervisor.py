"""A running program is heard, and ended if it hangs or does not begin."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from metalassay.supervise import protocol, supervisor
from metalassay.supervise.output import Output
from metalassay.supervise.supervisor import Rules, Supervisor, minutes

pytestmark = pytest.mark.skipif(os.name != "posix", reason="metalassay run needs POSIX")
LONG = 20  # seconds until a test gives up


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())  # a short path: a socket's name has to fit into 100 bytes
    yield made
    shutil.rmtree(made)


@contextlib.contextmanager
def watched(
    folder: Path, code: str, rules: Rules, said: list[str]
) -> Iterator[tuple[Supervisor, subprocess.Popen[bytes]]]:
    with Output() as output:
        watcher = Supervisor(folder, rules, output, said.append)
        out, err = output.descriptors
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=out,
            stderr=err,
            env={**os.environ, protocol.FOLDER_VARIABLE: str(folder)},
        )
        output.started()
        watcher.start(child)
        try:
            yield watcher, child
        finally:
            child.kill()
            child.wait()
            watcher.stop()


def ended(code: str, rules: Rules, folder: Path) -> tuple[Supervisor, int, list[str]]:
    said: list[str] = []
    with watched(folder, code, rules, said) as (watcher, child):
        code_ = child.wait(LONG)
    return watcher, code_, said


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOOK", 0.1)
    monkeypatch.setattr(supervisor, "STACKS", 0.2)
    monkeypatch.setattr(supervisor, "TERMINATE", 1.0)


def test_a_program_that_hangs_is_ended(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    watcher, code, said = ended("import time; time.sleep(60)", Rules(stall=1), folder)
    assert code == -signal.SIGTERM
    assert watcher.by_us == "it hung: neither output nor CPU use for 1 s"
    assert said == [f"{watcher.by_us}; ending it"]
    request = protocol.read_request(folder)
    assert request is not None
    assert request.want == "stacks"


@pytest.mark.parametrize(
    "busy",
    [
        "while time.time() < until: pass",
        "while time.time() < until: print('x', flush=True); time.sleep(0.1)",
    ],
)
def test_a_program_that_works_or_writes_does_not_hang(
    folder: Path, capfd: pytest.CaptureFixture[str], busy: str
) -> None:
    code = f"import time\nuntil = time.time() + 3\n{busy}\n"
    watcher, code_, said = ended(code, Rules(stall=1.5), folder)
    assert (code_, watcher.by_us, said) == (0, None, [])


def test_a_program_that_ignores_sigterm_is_killed(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    assert ended(code, Rules(stall=1), folder)[1] == -signal.SIGKILL


def test_a_program_that_writes_nothing_has_not_begun(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    watcher, _, _ = ended("while True: pass", Rules(timeout=1), folder)
    assert watcher.by_us == "it wrote nothing in 1 s"


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_steps_count_as_a_beginning_and_their_end_as_a_hang(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    busy = "while True: print('x', flush=True)"
    with watched(folder, busy, Rules(stall=1, timeout=0.5), said) as (watcher, child):
        for steps in range(1, 16):
            protocol.send(folder, "steps", steps=steps)
            time.sleep(0.1)
        assert watcher.by_us is None
        until(lambda: watcher.by_us)
        assert watcher.by_us == "it hung: no step for 1 s, after 15 steps"
        child.wait(LONG)
    assert watcher.steps == 15


def test_a_training_that_takes_no_step_has_not_begun(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    with watched(folder, "while True: print('x', flush=True)", Rules(timeout=1), said) as (
        watcher,
        _,
    ):
        protocol.send(folder, "steps", steps=0)
        until(lambda: watcher.by_us)
    assert watcher.by_us == "it took no step in 1 s"


def test_what_processes_report_is_kept_and_said_once(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    with watched(folder, "import time; time.sleep(60)", Rules(), said) as (watcher, _):
        for _ in range(2):
            protocol.send(
                folder,
                "started",
                python="3.11.7",
                executable="/venv/bin/python",
                program="train.py",
                worker=False,
            )
            protocol.send(folder, "patched", patch="accelerate_empty_shard", bug="a-bug")
            protocol.send(
                folder, "not patched", patch="other", why="accelerate 9 has no such class"
            )
            protocol.send(folder, "empty loader", text="the loader is empty", next_step="add rows")
        protocol.send(folder, "zero steps", text="no step: 0 rows", next_step="add rows")
        protocol.send(folder, "checkpoint", step=7, path="out/checkpoint-7")
        protocol.send(folder, "ended", exception="ValueError: x")
        until(lambda: watcher.exception)
    assert watcher.python == "/venv/bin/python"
    assert watcher.patched == ["a-bug"]
    assert watcher.zero_steps == "no step: 0 rows"
    assert watcher.checkpoint == (7, "out/checkpoint-7")
    # What is not patched, and which loader is empty, the process says itself.
    assert said == ["patched in memory: a-bug (--no-patches leaves them out)"]


def test_many_messages_at_once_are_heard(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOOK", 30)
    with watched(folder, "import time; time.sleep(60)", Rules(), []) as (watcher, _):
        for number in range(200):
            protocol.send(folder, "patched", patch="x", bug=f"bug-{number}")
            time.sleep(0.001)
        until(lambda: len(watcher.patched) == 200)


def test_what_was_said_last_is_heard_after_the_end(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOOK", 30)
    with watched(folder, "", Rules(), []) as (watcher, child):
        child.wait(LONG)
        protocol.send(folder, "zero steps", text="no step", next_step="add rows")
    assert watcher.zero_steps == "no step"


def test_time_in_which_we_were_stopped_does_not_count(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with watched(folder, "import time; time.sleep(60)", Rules(stall=2, timeout=3), said) as (
        watcher,
        _,
    ):
        watcher._looked = watcher._busy = watcher._began = time.monotonic() - 1000
        time.sleep(1)
        assert watcher.by_us is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(3, "3 s"), (90, "90 s"), (600, "10 min"), (7200, "2 h")]
)
def test_a_time_is_said_as_people_say_it(seconds: float, text: str) -> None:
    assert minutes(seconds) == text
