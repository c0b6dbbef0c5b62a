"""The processes of a comparison: start them, send them requests, and end them whatever happens.

If all arms run in this interpreter on the CPU on Linux, fork servers import once what the files of the
arms import, and fork the workers: an import takes seconds, a fork milliseconds, and some 30 processes are
needed. In all other cases (another environment, a GPU, macOS, whose frameworks do not survive a fork)
each process is started.

Forks of one server have the same addresses of libraries and the same hash seed, which two started
processes do not. So there are several servers, and the processes that are alive together, which are
compared, are forks of one; the next ones are forks of the next.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from metalassay import minder
from metalassay.errors import UserError
from metalassay.workers import cpu_pinning, first_imports
from metalassay.workers.specs import Arm

CHILD = Path(__file__).with_name("child.py")
_START_TIMEOUT, _ANSWER_TIMEOUT = 300.0, 600.0  # seconds
SERVERS = 2
"""Fork servers; they start at the same time, so that on two cores the second one takes little longer."""
WARM_UP = 3.0
"""Seconds after which a process whose steps are still not steady is used all the same, and noted."""


class TimeIsUpError(Exception):
    """The deadline of ``Processes`` has passed while a process was waited for."""


class Worker(Protocol):
    """One process of an arm."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it reported about itself when it was warm."""
        ...

    def sample(self, steps: int) -> tuple[float, float]:
        """Do ``steps`` steps; return wall time and CPU time in seconds per step."""
        ...

    def finish(self) -> Mapping[str, Any]:
        """Check the results; return the memory that the steps took."""
        ...

    def close(self) -> None:
        """End the process."""
        ...


class Processes:
    """Starts workers; a context manager that leaves no process behind.

    Whatever waits for one raises ``TimeIsUpError`` at ``deadline`` (of ``time.monotonic``), however long it
    takes to start or to answer: on a busy machine torch's import alone can take longer than all the rest.
    """

    def __init__(
        self, *, fresh: bool = False, deadline: float = math.inf, servers: int = SERVERS
    ) -> None:
        self._deadline = deadline
        self._fresh = fresh or not sys.platform.startswith("linux")
        self._wanted = servers
        self._servers: list[_Server] | None = (
            None  # None: it is not known yet whether there are any
        )
        self._turn = 0
        self._workers: list[_Process] = []
        self.refused = ""
        """Why nothing is forked although the arms allow it; "" otherwise."""

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()
        for server in self._servers or ():
            server.close()

    @property
    def servers(self) -> int:
        """How many fork servers there are; 0 where each process is started."""
        return len(self._servers or ())

    def pin_to_one_core(self) -> None:
        """Pin all current workers to the core that is idlest now.

        Does nothing where a process cannot choose its cores.
        """
        cores = cpu_pinning.allowed()
        if len(cores) > 1:
            core = cpu_pinning.choose(cores)
            for worker in self._workers:
                worker.pin(core)

    def kill(self) -> None:
        """Kill all workers; a pending request then raises ``UserError`` ("its process ended")."""
        for worker in self._workers:
            worker.kill()

    def forks(self, arm: Arm) -> bool:
        """Whether a worker for ``arm`` may be forked rather than started."""
        # A variable may be read when a process starts, which a fork has behind it.
        ours = arm.python == sys.executable and arm.folder is None and not arm.variables
        return not self._fresh and ours and arm.spec.device == "cpu"

    def start(self, arm: Arm) -> Worker:
        """Start a process for ``arm``, which warms up while others are started.

        Reading its ``facts`` waits until it is ready, and raises ``UserError`` if it fails.
        """
        self.prepare(arm)
        ours, theirs = socket.socketpair()
        with theirs:
            process: subprocess.Popen[bytes] | None = None
            pid = None
            if self._servers:
                pid = self._next_server().fork(theirs)
            else:
                process = _spawn(arm, theirs)
        worker = _Process(ours, arm, process, pid, self._deadline, self._workers)
        self._workers.append(worker)
        worker.build()
        return worker

    def prepare(self, *arms: Arm) -> None:
        """Start the fork servers if all ``arms`` can be forked, so that no replicate waits for one.

        The first call decides: processes that are compared are all forked, or all started.
        """
        minder.prepare()
        if self._servers is not None:
            return
        self._servers = []
        imports = first_imports.shared(arms) if all(map(self.forks, arms)) else ()
        if not first_imports.slow(imports):
            return
        wanted = {"imports": imports, "folder": first_imports.folder(arms)}
        self._servers += [_Server(wanted, self._deadline) for _ in range(self._wanted)]
        self.refused = next(filter(None, [server.ready() for server in self._servers]), "")
        if self.refused:
            while self._servers:
                self._servers.pop().close()

    def _next_server(self) -> _Server:
        """Return the server whose turn it is: the next one whenever all earlier workers have ended."""
        servers = self._servers or []
        if self._workers and not any(worker.alive for worker in self._workers):
            self._turn += 1
        return servers[self._turn % len(servers)]


class _Server:
    """A process that imports, and is forked for each socket that it is sent."""

    def __init__(self, wanted: Mapping[str, Any], deadline: float) -> None:
        self._deadline = deadline
        self._wire, end = socket.socketpair()
        with end:
            self._process = minder.start(
                [
                    sys.executable,
                    str(CHILD),
                    str(end.fileno()),
                    "--fork-server",
                    json.dumps(wanted),
                ],
                pass_fds=[end.fileno()],
                stdin=subprocess.DEVNULL,
                env=_environment(None),
                start_new_session=True,
            )

    def ready(self) -> str:
        """Wait until it has imported; return why it must not be forked, or ""."""
        answer = _read(
            self._wire, _START_TIMEOUT, "what the arms import ended the process", self._deadline
        )
        return str(answer.get("refused", ""))

    def fork(self, theirs: socket.socket) -> int:
        socket.send_fds(self._wire, [b"x"], [theirs.fileno()])
        # Without the deadline: it takes milliseconds, and a fork whose pid is unknown would be left.
        answer = _read(self._wire, _START_TIMEOUT, "no process could be forked", math.inf)
        pid = int(answer["pid"])
        minder.watch(pid)
        return pid

    def close(self) -> None:
        self._wire.close()
        self._process.kill()
        self._process.wait()
        minder.forget(self._process.pid)


class _Process:
    def __init__(
        self,
        wire: socket.socket,
        arm: Arm,
        process: subprocess.Popen[bytes] | None,
        pid: int | None,
        deadline: float,
        beside: Sequence[_Process],
    ) -> None:
        self._wire, self._arm, self._process = wire, arm, process
        self._beside = beside
        self._deadline = deadline
        # A child of the fork server: we can end it, not wait for it. It waits for us, so it is alive.
        self._pid = pid if process is None else process.pid
        self._handle = None if pid is None else os.pidfd_open(pid)
        self._facts: dict[str, Any] | None = None
        self._asked = False  # it computes, and looks at its socket only afterwards

    @property
    def alive(self) -> bool:
        return self._process is not None or self._handle is not None

    def build(self) -> None:
        self._send({"build": self._arm.message(WARM_UP)})

    @property
    def facts(self) -> Mapping[str, Any]:
        while self._facts is None:
            # One that has failed must not wait for the others, which may take all the time that is left.
            waiting = [each for each in self._beside if each.alive and each._facts is None]
            left = min(_START_TIMEOUT, max(0.0, self._deadline - time.monotonic()))
            ready, _, _ = select.select([each._wire for each in waiting], [], [], left)
            for each in waiting if ready else [self]:
                if each._wire in ready or not ready:
                    each._facts = each._receive(_START_TIMEOUT)
        return self._facts

    def pin(self, core: int) -> None:
        if self._process is not None or self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(self.facts["pid"], {core})
                self._facts = {**self.facts, "core": core}

    def sample(self, steps: int) -> tuple[float, float]:
        answer = self._ask({"sample": steps}, _ANSWER_TIMEOUT)
        return float(answer["wall"]), float(answer["cpu"])

    def finish(self) -> Mapping[str, Any]:
        return self._ask({"finish": True}, _ANSWER_TIMEOUT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
        elif self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def close(self) -> None:
        self._wire.close()  # the child ends with its socket
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0 if self._asked else 2)
            self.kill()
            self._process.wait()
        elif self._handle is not None:
            # By its handle: its pid may belong to another process by now.
            self.kill()
            os.close(self._handle)
        if self._pid is not None:
            minder.forget(self._pid)
        self._process = self._handle = self._pid = None

    def _ask(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        _ = self.facts  # the answer to "build" comes first
        self._send(message)
        return self._receive(seconds)

    def _send(self, message: Mapping[str, Any]) -> None:
        self._asked = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._wire.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self, seconds: float) -> dict[str, Any]:
        label = self._arm.label
        answer = _read(self._wire, seconds, f"{label}: its process ended", self._deadline)
        self._asked = False
        if "error" in answer:
            next_step = answer.get("next_step", "run it alone to see why")
            raise UserError(f"{label}: {answer['error']}", next_step)
        return answer


def _spawn(arm: Arm, theirs: socket.socket) -> subprocess.Popen[bytes]:
    try:
        return minder.start(
            [arm.python, str(CHILD), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            cwd=arm.folder,
            env={**_environment(arm.folder), **arm.variables},
            # Ctrl+C is for this process to hear: a child would print a traceback while it imports.
            start_new_session=True,
        )
    except OSError as error:
        raise UserError(
            f"{arm.python} cannot be started: {error.strerror}", "name a Python interpreter"
        ) from None


def _environment(folder: Path | None) -> dict[str, str]:
    """Return a child's environment variables; a checkout's own package precedes an installed one."""
    environment = dict(os.environ)
    if folder:
        places = [str(folder / "src"), str(folder), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    return environment


def _read(wire: socket.socket, seconds: float, if_ended: str, deadline: float) -> dict[str, Any]:
    """Read one line of JSON. Raises ``UserError`` after ``seconds``, or if the other side ended.

    Raises ``TimeIsUpError`` at ``deadline``, also if the line has come by then. The other side sends
    nothing more until the next request.
    """
    received = b""
    try:
        while not received.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeIsUpError
            wire.settimeout(min(seconds, left))
            part = wire.recv(65536)
            if not part:
                raise UserError(if_ended, "see its output above; run it alone to see why")
            received += part
    except TimeoutError:
        if time.monotonic() >= deadline:
            raise TimeIsUpError from None
        raise UserError(
            f"worker did not respond within {seconds:g} s", "use a smaller step"
        ) from None
    except ConnectionResetError:
        raise UserError(if_ended, "see its output above; run it alone to see why") from None
    answer = json.loads(received)
    return dict(answer)
