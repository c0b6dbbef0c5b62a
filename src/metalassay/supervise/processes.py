"""Find and end the processes of a run, including those whose parents have ended, and ours killed.

A process belongs to a run if it descends from the program, or if its environment names the run's
folder. On Linux, orphans become our children (PR_SET_CHILD_SUBREAPER), so they are found as
descendants; elsewhere they are found by their environment, which programs can delete but do not.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from metalassay.supervise.protocol import FOLDER_VARIABLE

GRACE = 3.0  # seconds from SIGTERM to SIGKILL, for what is left over
LEAVE = 2.0  # seconds in which helpers of an ended program may leave by themselves
_LOOK = 0.02  # seconds between two looks whether processes have ended
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

# Ends what is left of a run when `metalassay run` itself was killed, which closes the pipe. Isolated
# mode keeps the user's environment, and our own start-up hook, out of it.
_MINDER = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
if sys.stdin.buffer.read() != b"done":
    from pathlib import Path
    from metalassay.supervise import processes
    processes.end(processes.marked(Path(sys.argv[3])))
    import shutil
    shutil.rmtree(sys.argv[3], ignore_errors=True)
"""


class Minder:
    """A process that ends the run's processes, and removes its folder, if ours is killed."""

    def __init__(self, folder: Path) -> None:
        ours, psutils = (str(Path(file).parents[depth]) for file, depth in _OURS)
        # In a session of its own it is not reached by Ctrl+C, nor by a terminal that closes.
        self._process = subprocess.Popen(  # noqa: S603  (our own lines above)
            [sys.executable, "-I", "-S", "-c", _MINDER, ours, psutils, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=os.sep,
        )

    @property
    def pid(self) -> int:
        """The pid of the minder, which is not part of the program."""
        return self._process.pid

    def close(self) -> None:
        """End the minder: the run is over, and nothing is left."""
        with contextlib.suppress(BrokenPipeError):  # somebody killed it
            self._process.communicate(b"done")


_OURS = ((__file__, 2), (psutil.__file__, 1))


@contextlib.contextmanager
def adopting_orphans() -> Iterator[None]:
    """Let orphans of this process's children become its children, where the system can do that."""
    if sys.platform != "linux":
        yield
        return
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def descendants(ignored: Iterable[int] = ()) -> list[psutil.Process]:
    """Return the processes below this one that have not ended, without those of ``ignored``."""
    left_out = set(ignored)
    try:
        found = psutil.Process().children(recursive=True)
    except psutil.Error:
        return []
    return [each for each in found if each.pid not in left_out and _runs(each)]


def marked(folder: Path) -> list[psutil.Process]:
    """Return the running processes whose environment names the run's folder, without this one."""
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError, ValueError):  # of others, or just ended
            if process.environ().get(FOLDER_VARIABLE) == str(folder) and _runs(process):
                found.append(process)
    return found


def left_over(
    folder: Path, ignored: Iterable[int] = (), seen: Iterable[psutil.Process] = ()
) -> list[psutil.Process]:
    """Return what still runs of a run, each process once.

    ``seen`` are processes that were known before: macOS hides the environment of its own programs, so
    that a shell which has lost its parents is known by that alone.
    """
    ignored = set(ignored)
    known = [each for each in seen if _runs(each)]
    found = {each.pid: each for each in (*marked(folder), *descendants(ignored), *known)}
    return [each for pid, each in found.items() if pid not in ignored]


def end(processes: Iterable[psutil.Process], grace: float = GRACE) -> int:
    """End processes with SIGTERM, and after ``grace`` seconds with SIGKILL; return how many there were."""
    listed = [each for each in processes if _runs(each)]
    for process in listed:
        with contextlib.suppress(psutil.Error):
            process.terminate()
            process.resume()  # a stopped process handles no signal but SIGKILL
    kill(_running_after(listed, grace))
    return len(listed)


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill processes at once, and wait until they are gone."""
    listed = list(processes)
    for process in listed:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _running_after(listed, GRACE)


def sweep(
    folder: Path, ignored: Iterable[int] = (), seen: Iterable[psutil.Process] = ()
) -> list[str]:
    """End what the program left behind; return the names of what did not leave by itself.

    Helpers such as Python's resource tracker notice the end of the program and leave; they get a
    moment. A process that starts others while it is being ended cannot outrun this: it is repeated.
    """
    ignored, seen = set(ignored), list(seen)
    deadline = time.monotonic() + LEAVE
    while (left := left_over(folder, ignored, seen)) and time.monotonic() < deadline:
        _running_after(left, 0.1)
    names = [_name(each) for each in left]
    for _ in range(10):
        if not left:
            break
        end(left)
        left = left_over(folder, ignored, seen)
    reap()
    return names


def reap() -> None:
    """Wait for orphans that became our children and have ended."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error, ChildProcessError):
            if child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)


def _running_after(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Return the processes that still run after at most ``seconds``.

    psutil.wait_procs would take the exit status of our children, for which subprocess waits.
    """
    deadline = time.monotonic() + seconds
    while (alive := [each for each in processes if _runs(each)]) and time.monotonic() < deadline:
        time.sleep(_LOOK)
    return alive


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _name(process: psutil.Process) -> str:
    try:
        return f"{process.name()} (pid {process.pid})"
    except psutil.Error:
        return f"pid {process.pid}"
