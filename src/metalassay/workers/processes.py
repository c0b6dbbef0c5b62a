"""The processes of a comparison: started, asked, and ended whatever happens.

Where both arms run in this interpreter on the CPU of a Unix, a nursery imports torch once and forks
them: an import takes seconds, a fork milliseconds, and 30 processes are needed. Anything else (another
environment, a GPU, macOS, whose frameworks do not survive a fork) starts each process afresh.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from metalassay.errors import UserError
from metalassay.workers import cpu_pinning
from metalassay.workers.specs import Arm

CHILD = Path(__file__).with_name("child.py")
_BIRTH, _ANSWER = 300.0, 600.0  # seconds to wait for
WARM_UP = 3.0
"""Seconds after which a process that does not get steady is used as it is, and said to be so."""


class Worker(Protocol):
    """One process of an arm."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it said of itself when it was warm."""
        ...

    def sample(self, steps: int) -> tuple[float, float]:
        """Do ``steps`` steps; return seconds a step by the wall's clock and of CPU time."""
        ...

    def finish(self) -> Mapping[str, Any]:
        """Check the result and return what it took."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Processes:
    """Gives birth to workers; a context manager that leaves no process behind."""

    def __init__(self, *, fresh: bool = False) -> None:
        self._fresh = fresh or not sys.platform.startswith("linux")
        self._nursery: tuple[subprocess.Popen[bytes], socket.socket] | None = None
        self._workers: list[_Process] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()
        if self._nursery:
            process, wire = self._nursery
            wire.close()
            process.kill()
            process.wait()

    def keep_on_one_core(self) -> None:
        """Keep the workers there are together on the core that is idlest now.

        Does nothing where a process cannot choose.
        """
        cores = cpu_pinning.allowed()
        if len(cores) > 1:
            core = cpu_pinning.choose(cores)
            for worker in self._workers:
                worker.move(core)

    def kill(self) -> None:
        """End what runs at once; whoever waits for an answer is told that the process ended."""
        for worker in self._workers:
            worker.kill()

    def forks(self, arm: Arm) -> bool:
        """Whether a worker for ``arm`` is forked, not started."""
        spec = arm.spec
        ours = arm.python == sys.executable and arm.folder is None
        return not self._fresh and ours and spec.kind == "workload" and spec.device == "cpu"

    def start(self, arm: Arm) -> Worker:
        """Start a process for ``arm``, which warms up while others are started.

        It is ready when its ``facts`` are asked for, which raises ``UserError`` when it cannot work.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process: subprocess.Popen[bytes] | None = None
            pid = None
            if self.forks(arm):
                self.prepare(arm)
                pid = self._fork(theirs)
            else:
                process = _spawn(arm, theirs)
        worker = _Process(ours, arm, process, pid)
        self._workers.append(worker)
        worker.build()
        return worker

    def prepare(self, *arms: Arm) -> None:
        """Import torch now where any of ``arms`` will be forked, so that no trio has to wait for it."""
        if self._nursery is None and any(map(self.forks, arms)):
            wire, end = socket.socketpair()
            with end:
                process = subprocess.Popen(  # noqa: S603  (our own file, no shell)
                    [sys.executable, str(CHILD), str(end.fileno()), "--nursery"],
                    pass_fds=[end.fileno()],
                    stdin=subprocess.DEVNULL,
                    env=_environment(None),
                )
            self._nursery = process, wire
            _read(wire, _BIRTH, "torch could not be imported")

    def _fork(self, theirs: socket.socket) -> int:
        if self._nursery is None:
            raise RuntimeError("forked before it was prepared")
        _, wire = self._nursery
        socket.send_fds(wire, [b"x"], [theirs.fileno()])
        return int(_read(wire, _BIRTH, "no process could be forked")["pid"])


class _Process:
    def __init__(
        self,
        wire: socket.socket,
        arm: Arm,
        process: subprocess.Popen[bytes] | None,
        pid: int | None,
    ) -> None:
        self._wire, self._arm, self._process = wire, arm, process
        # The nursery's child: ours to end, not ours to wait for. It waits for us, so it is there.
        self._handle = None if pid is None else os.pidfd_open(pid)
        self._facts: dict[str, Any] | None = None

    def build(self) -> None:
        self._send({"build": self._arm.message(WARM_UP)})

    @property
    def facts(self) -> Mapping[str, Any]:
        if self._facts is None:
            self._facts = self._receive(_BIRTH)
        return self._facts

    def move(self, core: int) -> None:
        if self._process is not None or self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(self.facts["pid"], {core})
                self._facts = {**self.facts, "core": core}

    def sample(self, steps: int) -> tuple[float, float]:
        answer = self._ask({"sample": steps}, _ANSWER)
        return float(answer["wall"]), float(answer["cpu"])

    def finish(self) -> Mapping[str, Any]:
        return self._ask({"finish": True}, _ANSWER)

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
                self._process.wait(2)
            self.kill()
            self._process.wait()
        elif self._handle is not None:
            # By its handle and not its number, which may be another's by now.
            self.kill()
            os.close(self._handle)
        self._process = self._handle = None

    def _ask(self, message: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        _ = self.facts  # the answer to what it was asked before comes first
        self._send(message)
        return self._receive(seconds)

    def _send(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._wire.sendall(json.dumps(message).encode() + b"\n")

    def _receive(self, seconds: float) -> dict[str, Any]:
        label = self._arm.label
        answer = _read(self._wire, seconds, f"{label}: its process ended")
        if "error" in answer:
            helps = answer.get("next_step", "run it alone to see why")
            raise UserError(f"{label}: {answer['error']}", helps)
        return answer


def _spawn(arm: Arm, theirs: socket.socket) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603  (the user's own interpreter, no shell)
            [arm.python, str(CHILD), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            cwd=arm.folder,
            env=_environment(arm.folder),
        )
    except OSError as error:
        raise UserError(
            f"{arm.python} cannot be started: {error.strerror}", "name a Python interpreter"
        ) from None


def _environment(folder: Path | None) -> dict[str, str]:
    """Return the environment of a child; a checkout's own package goes before an installed one."""
    environment = dict(os.environ)
    if folder:
        places = [str(folder / "src"), str(folder), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    return environment


def _read(wire: socket.socket, seconds: float, otherwise: str) -> dict[str, Any]:
    """Read one line of JSON; the other side sends nothing before it is asked again."""
    wire.settimeout(seconds)
    received = b""
    try:
        while not received.endswith(b"\n"):
            part = wire.recv(65536)
            if not part:
                raise UserError(otherwise, "what it printed is above; run it alone to see why")
            received += part
    except TimeoutError:
        raise UserError(f"no answer within {seconds:g} s", "ask for less work a step") from None
    except ConnectionResetError:
        raise UserError(otherwise, "what it printed is above; run it alone to see why") from None
    answer = json.loads(received)
    return dict(answer)
