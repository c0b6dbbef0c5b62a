"""The processes of a run are found and ended, whoever their parents are, and if we are killed too."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from metalassay.supervise import processes
from metalassay.supervise.protocol import FOLDER_VARIABLE

pytestmark = pytest.mark.skipif(os.name != "posix", reason="metalassay run needs POSIX")
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# A program that leaves a process behind, in a session of its own, and ends.
LEAVES = (
    f"import subprocess; print(subprocess.Popen({SLEEP!r}, start_new_session=True, stdout=-3).pid)"
)
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"


@contextlib.contextmanager
def started(folder: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        command,
        env={**os.environ, FOLDER_VARIABLE: str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        for process in processes.marked(folder):
            process.kill()
        child.communicate()


def gone(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def test_a_process_that_left_its_parents_is_found_by_its_environment(tmp_path: Path) -> None:
    with started(tmp_path, sys.executable, "-c", LEAVES) as program:
        program.wait()
        assert program.stdout
        left = int(program.stdout.readline())
        assert [each.pid for each in processes.marked(tmp_path)] == [left]
        assert processes.marked(tmp_path / "other") == []
        names = processes.sweep(tmp_path)
        assert [str(left) in name for name in names] == [True]
        assert gone(left)


def test_an_orphan_that_hid_its_environment_is_found_where_orphans_are_adopted(
    tmp_path: Path,
) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux lets a process adopt orphans")
    code = f"import subprocess; print(subprocess.Popen({SLEEP!r}, env={{}}, stdout=-3).pid)"
    with processes.adopting_orphans(), started(tmp_path, sys.executable, "-c", code) as program:
        program.wait()
        assert program.stdout
        left = int(program.stdout.readline())
        assert processes.marked(tmp_path) == []
        processes.sweep(tmp_path)
        assert gone(left)


def test_an_orphan_that_was_seen_before_is_found_without_its_environment(tmp_path: Path) -> None:
    code = f"import subprocess; print(subprocess.Popen({SLEEP!r}, env={{}}, stdout=-3).pid)"
    with started(tmp_path, sys.executable, "-c", code) as program:
        program.wait()
        assert program.stdout
        left = psutil.Process(int(program.stdout.readline()))
        assert processes.left_over(tmp_path) == []
        assert len(processes.sweep(tmp_path, seen=[left])) == 1
        assert gone(left.pid)


def test_a_helper_that_leaves_by_itself_is_not_ended(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(0.5)'])"
    with started(tmp_path, sys.executable, "-c", code) as program:
        program.wait()
        assert processes.sweep(tmp_path) == []


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    with started(tmp_path, sys.executable, "-c", STUBBORN) as program:
        assert program.stdout
        program.stdout.readline()
        assert processes.end([psutil.Process(program.pid)], grace=0.2) == 1
        assert program.wait(10) == -signal.SIGKILL  # whose exit status is left to subprocess


def test_a_stopped_process_is_ended_too(tmp_path: Path) -> None:
    with started(tmp_path, *SLEEP) as program:
        program.send_signal(signal.SIGSTOP)
        processes.end([psutil.Process(program.pid)])
        assert program.wait(10) == -signal.SIGTERM


def test_the_minder_ends_everything_if_we_are_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    code = (
        "import subprocess, sys, time\n"
        "from pathlib import Path\n"
        "from metalassay.supervise.processes import Minder\n"
        "Minder(Path(sys.argv[1]))\n"
        f"print(subprocess.Popen({SLEEP!r}).pid, flush=True)\n"
        "time.sleep(60)"
    )
    with started(folder, sys.executable, "-c", code, str(folder)) as ours:
        assert ours.stdout
        program = int(ours.stdout.readline())
        ours.kill()
        deadline = time.monotonic() + 20
        while (not gone(program) or folder.exists()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert gone(program)
        assert not folder.exists()


def test_the_minder_does_nothing_after_a_run_that_is_over(tmp_path: Path) -> None:
    with started(tmp_path, *SLEEP) as program:
        minder = processes.Minder(tmp_path)
        minder.close()
        assert gone(minder.pid)
        assert program.poll() is None
