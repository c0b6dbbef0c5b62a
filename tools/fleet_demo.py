"""Show what a fleet does when all is well, when workers die, and when the scheduler does.

    python tools/fleet_demo.py accelerate-1.8.0 accelerate-1.9.0 accelerate-1.15.0 --page docs/fleet.md

It starts a real scheduler and three real workers on this machine, in a temporary folder, and ends them. What
it prints is the log in docs/fleet.md. Takes some minutes: each row is built twice, and runs five times.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

PROGRAM = [sys.executable, "-m", "metalassay", "matrix"]
PATIENCE = 600.0


def free_port() -> int:
    """Return a port on which nothing listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Machines:
    """A scheduler and workers on this machine; each worker is a nanny and the process that it watches.

    ``folder`` has their logs and their cache. ``options`` are those of TLS, if any.
    """

    def __init__(self, folder: Path, port: int | None = None, options: Sequence[str] = ()) -> None:
        self.folder, self.options = folder, list(options)
        self.port = port or free_port()
        scheme = "tls" if options else "tcp"
        self.address = f"{scheme}://127.0.0.1:{self.port}"
        self.environment = {**os.environ, "METALASSAY_CACHE": str(folder / "cache")}
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def start_scheduler(self) -> None:
        """Start the scheduler, and wait until it listens."""
        self.scheduler = self._start("scheduler", "--port", str(self.port))
        wait_until(self._listens)

    def start_worker(self, *options: str) -> None:
        """Start a worker, which connects when it is ready."""
        self.workers.append(self._start("worker", self.address, *options))

    def wait_for(self, number: int) -> None:
        """Wait until the scheduler has that many workers."""
        logs = "scheduler.log"
        wait_until(
            lambda: (self.folder / logs).read_text("utf-8").count("Register worker") >= number
        )

    def kill_scheduler(self) -> None:
        """Kill the scheduler with SIGKILL, and wait until its workers have ended."""
        if self.scheduler is not None:
            self.scheduler.kill()
            self.scheduler.wait()
        for worker in self.workers:
            worker.wait(timeout=120)
        self.workers.clear()
        (self.folder / "scheduler.log").unlink()

    def stop(self) -> None:
        """End everything."""
        for process in [*self.workers, *([self.scheduler] if self.scheduler else [])]:
            process.terminate()
        for process in [*self.workers, *([self.scheduler] if self.scheduler else [])]:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()

    def _listens(self) -> bool:
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self.port)) == 0

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        name = f"{arguments[0]}{len(self.workers)}" if arguments[0] == "worker" else arguments[0]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*PROGRAM, *arguments, *self.options],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


@contextlib.contextmanager
def machines(folder: Path, workers: int = 3, *resources: str) -> Iterator[Machines]:
    """Yield a running scheduler with its workers."""
    fleet = Machines(folder)
    try:
        fleet.start_scheduler()
        for _ in range(workers):
            fleet.start_worker(*resources)
        fleet.wait_for(workers)
        yield fleet
    finally:
        fleet.stop()


def wait_until(question: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Ask until the answer is true, and return it. Raises ``TimeoutError`` after ``patience`` seconds."""
    end = time.monotonic() + patience
    while not (answer := question()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {patience:.0f} s in vain")
        time.sleep(0.05)
    return answer


def tests_of(row: str, fleet: Machines) -> psutil.Process | None:
    """Return the process of pytest that tests a row on a worker of the fleet now, if there is one."""
    for worker in fleet.workers:
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(worker.pid).children(recursive=True):
                words = process.cmdline()
                if "--set" in words and words[words.index("--set") + 1] == row:
                    return process
    return None


def worker_of(tests: psutil.Process) -> psutil.Process:
    """Return the Dask worker that runs a row: the parent of the row's process."""
    parents: list[psutil.Process] = tests.parents()
    return parents[1]


def survivors(processes: Sequence[psutil.Process], patience: float = 20.0) -> list[psutil.Process]:
    """Return those that still run after ``patience`` seconds."""
    return list(psutil.wait_procs(processes, timeout=patience)[1])


def must_be_gone(processes: Sequence[psutil.Process]) -> None:
    """End this program if one of the processes is still there."""
    if left := survivors(processes):
        raise SystemExit(f"these were left behind: {left}")


def kill_worker_of(row: str, fleet: Machines) -> list[psutil.Process]:
    """Kill the worker that runs a row, with SIGKILL; return the processes of the row that it leaves."""
    tests: psutil.Process = wait_until(lambda: tests_of(row, fleet))
    worker = worker_of(tests)
    family = worker.children(recursive=True)
    worker.send_signal(signal.SIGKILL)
    return family


def without_times_and_host(verdicts: Path) -> str:
    """Return a verdict file without what differs between two runs, for comparison as text."""
    record = json.loads(verdicts.read_text("utf-8"))
    for name in ("started", "seconds", "hardware"):
        del record[name]
    for bug in record.get("bugs", ()):  # the file of a smoke test has none
        for test in bug["tests"]:
            del test["seconds"]
    return json.dumps(record, indent=1)


class Demonstration:
    """Prints each command as it is typed, what it said, and what was done to it meanwhile."""

    def __init__(self, folder: Path, rows: Sequence[str]) -> None:
        self.folder, self.rows = folder, list(rows)
        self.lines: list[str] = []

    def say(self, text: str = "") -> None:
        """Print a line, and keep it for the log. Folders of this machine do not belong there."""
        text = text.replace(str(self.folder) + "/", "").replace(socket.gethostname(), "HOST")
        text = re.sub(r"(tcp|tls)://127\.0\.0\.1:(?!8786)\d+", r"\1://127.0.0.1:PORT", text)
        print(text, flush=True)
        self.lines.append(text)

    def run(
        self, fleet: Machines | None, output: str, *, meanwhile: Callable[[], None], code: int
    ) -> None:
        """Run the rows, and do something meanwhile. Ends this program unless the exit code is ``code``."""
        where = ["--scheduler", fleet.address] if fleet else []
        shown = [*self.rows, *where, "-o", output]
        self.say(f"$ metalassay matrix run {' '.join(shown)}")
        command = [*PROGRAM, "run", *self.rows, *where, "-o", str(self.folder / output)]
        if fleet is None:
            command += ["--environments", str(self.folder / "environments")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        meanwhile()
        printed = process.communicate()[0].decode()
        for line in printed.splitlines():
            self.say(f"  {line}")
        self.say(f"  exit code {process.returncode}")
        self.say()
        if process.returncode != code:
            raise SystemExit(f"exit code {process.returncode} instead of {code}")

    def compare(self, output: str) -> None:
        """Say whether the verdict files are those of the serial run."""
        for row in self.rows:
            files = [self.folder / folder / f"{row}.json" for folder in ("serial", output)]
            one, other = map(without_times_and_host, files)
            if one != other:
                raise SystemExit(f"{row}: serial and {output} differ")
            self.say(f"# {row}: {len(one)} bytes equal to the serial run's, but for times and host")
        self.say()


def nothing() -> None:
    """Do nothing."""


def show(demo: Demonstration) -> None:
    """Go through all of it; ends with an error if anything is not as it should be."""
    row = demo.rows[0]
    demo.say("# 1. One machine, one row at a time.")
    demo.run(None, "serial", meanwhile=nothing, code=0)
    demo.say("# 2. A scheduler and three workers.")
    with machines(demo.folder) as fleet:
        demo.run(fleet, "fleet", meanwhile=nothing, code=0)
        demo.compare("fleet")
        demo.say("# 3. The same command again: nothing has changed.")
        demo.run(fleet, "fleet", meanwhile=nothing, code=0)

        def kill_once() -> None:
            left = kill_worker_of(row, fleet)
            must_be_gone(left)
            demo.say(f"# kill -9 of the worker that ran {row}; its {len(left)} processes are gone")

        demo.say("# 4. A worker is killed while it runs a row.")
        demo.run(fleet, "killed-once", meanwhile=kill_once, code=0)
        demo.compare("killed-once")

        def kill_twice() -> None:
            first = kill_worker_of(row, fleet)
            must_be_gone(first)
            second = kill_worker_of(row, fleet)
            must_be_gone(second)
            demo.say(f"# kill -9 of the worker that ran {row}, and of the next one")

        demo.say("# 5. A row takes two workers with it.")
        demo.run(fleet, "killed-twice", meanwhile=kill_twice, code=1)

        def kill_the_scheduler() -> None:
            wait_until(lambda: list((demo.folder / "scheduler-lost").glob("*.json")))
            fleet.kill_scheduler()
            demo.say("# kill -9 of the scheduler after the first row")

        demo.say("# 6. The scheduler is lost, started again, and the command repeated.")
        demo.run(fleet, "scheduler-lost", meanwhile=kill_the_scheduler, code=2)
        fleet.start_scheduler()
        for _ in range(3):
            fleet.start_worker()
        fleet.wait_for(3)
        demo.run(fleet, "scheduler-lost", meanwhile=nothing, code=0)
        demo.compare("scheduler-lost")


def main() -> None:
    """Run the demonstration in a checkout, and write its log into the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", nargs="+", metavar="ROW")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the log into this page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        demo = Demonstration(Path(folder), options.rows)
        show(demo)
    if options.page:
        page = options.page.read_text("utf-8")
        before, begin, rest = page.partition("<!-- log -->\n")
        _, end, after = rest.partition("<!-- end of the log -->\n")
        log = "\n".join(demo.lines).strip()
        options.page.write_text(f"{before}{begin}```console\n{log}\n```\n{end}{after}", "utf-8")


if __name__ == "__main__":
    main()
