"""Kill programs under `metalassay run` in many ways, and count orphans and right causes.

    python tools/kill_runs.py [--times 50] [--only NAME] [--jobs 2]

Each program has a worker that multiprocessing spawned and a process in a session of its own. A run is
right if its exit code and its sentence name the cause, and no process of it is left a second later.
Needs root for the control group (v1 or v2); without it that way is skipped, and said so.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

RUN = (sys.executable, "-m", "metalassay", "run")
CGROUP = Path("/sys/fs/cgroup/memory")
LIMIT = 300 * 2**20  # bytes of the control group
PROGRAM = """
import multiprocessing, os, signal, subprocess, sys, time

def wait():
    time.sleep(600)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=wait, daemon=True).start()
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    print("up", flush=True)
    exec(sys.argv[1])
"""
EAT = "held = []\nwhile True: held.append(bytearray(os.urandom(2**20)) * 4)"


@dataclass(frozen=True)
class Way:
    """How a program ends: what it does, how it is started, and what has to be said of it."""

    name: str
    does: str
    says: str
    code: int
    options: tuple[str, ...] = ()
    sends: int | None = None
    to_us: bool = False
    prefix: str = ""


def ways() -> list[Way]:
    """Return the ways that are possible here."""
    limit = f"ulimit -v {1500 * 1024}; "
    return [
        Way("SIGKILL to the program", "wait()", r"killed \(SIGKILL\)", 137, sends=signal.SIGKILL),
        Way("SIGTERM to the program", "wait()", "ended from outside", 143, sends=signal.SIGTERM),
        Way("SIGTERM to metalassay", "wait()", "", 143, sends=signal.SIGTERM, to_us=True),
        Way("SIGKILL to metalassay", "wait()", "", -9, sends=signal.SIGKILL, to_us=True),
        Way("a crash", "os.kill(os.getpid(), 11)", "crashed in native code", 139),
        Way("out of memory: control group", EAT, "kernel killed it", 137, prefix="cgroup"),
        Way("out of memory: RLIMIT_AS", EAT, "no more memory", 1, prefix=limit),
        Way("a hang", "wait()", "it hung", 75, ("--stall", "0.03")),
        Way(
            "a full disk",
            "open('/dev/full', 'wb', 0).write(b'x')",
            "disk is full",
            1,
        ),
    ]


@contextlib.contextmanager
def cgroup() -> Iterator[Path | None]:
    """Yield a control group of ``LIMIT`` bytes, None where none can be made."""
    group = CGROUP / f"metalassay-{os.getpid()}-{time.monotonic_ns()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(LIMIT))
    except OSError:
        yield None
        return
    try:
        yield group
    finally:
        for _ in range(50):
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)


def once(way: Way) -> str:
    """Run a program and end it; return "right", or what was wrong."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "program.py").write_text(PROGRAM)
        command = [*RUN, *way.options, "--log", str(folder / "log"), "--"]
        command += [sys.executable, str(folder / "program.py"), way.does]
        prefix = way.prefix
        if prefix == "cgroup":
            group = stack.enter_context(cgroup())
            if group is None:
                return "skipped: no control group can be made here"
            prefix = f"echo $$ > {group}/cgroup.procs; "
        # The number tells the processes of this run from all others.
        mark = f"KILL_RUNS_{os.getpid()}_{time.monotonic_ns()}"
        run = subprocess.Popen(
            ["/bin/sh", "-c", f"{prefix}exec {shlex.join(command)}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "KILL_RUNS": mark},
            start_new_session=True,
        )
        log = folder / "log"
        deadline = time.monotonic() + 60
        while not (log.exists() and " | up" in log.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        if way.sends is not None:
            time.sleep(0.2)
            target = run.pid if way.to_us else program(mark, str(folder / "program.py"))
            os.kill(target, way.sends)
        code = run.wait(120)
        said = run.stderr.read() if run.stderr and not way.to_us else ""
        time.sleep(1)
        left = marked(mark)
        for process in left:
            process.kill()
        if left:
            return f"{len(left)} left: {[each.name() for each in left]}"
        if code != way.code:
            return f"exit code {code}, not {way.code}: {said[-200:]!r}"
        if not re.search(way.says, said):
            return f"said {said[-200:]!r}"
        return "right"


def marked(mark: str) -> list[psutil.Process]:
    """Return the running processes of a run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            ours = process.environ().get("KILL_RUNS") == mark
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def program(mark: str, script: str) -> int:
    """Return the pid of the program itself."""
    for process in marked(mark):
        command = process.cmdline()
        if command[1:2] == [script]:
            return process.pid
    raise RuntimeError("the program did not start")


def main() -> int:
    """Run each way several times and print a table; return 1 if any run was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    wrong = 0
    print(f"{'way':32} {'runs':>5} {'right':>5} {'s':>6}")
    for way in ways():
        if options.only not in way.name:
            continue
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            results = Counter(pool.map(lambda _, way=way: once(way), range(options.times)))
        seconds = (time.monotonic() - began) * options.jobs / options.times
        print(f"{way.name:32} {options.times:5} {results['right']:5} {seconds:6.1f}", flush=True)
        for result, count in results.items():
            if result != "right":
                print(f"    {count} x {result}", flush=True)
                wrong += 0 if result.startswith("skipped") else count
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
