"""A thread that reads requests and sends figures, at a low rate, in each process that trains."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from types import ModuleType

from metalassay.child import steps
from metalassay.child.census import Census
from metalassay.child.mps_memory import MpsMemory
from metalassay.child.requests import Requests, Stop
from metalassay.child.run import Run, say
from metalassay.errors import reason
from metalassay.supervise.protocol import Request

_JOIN = 1.0  # seconds that the end of the process waits for the thread, at most


class Watch:
    """The watch thread of a process; it is started once, and anew in a forked process that steps."""

    def __init__(self, run: Run, stop: Stop, torch: ModuleType) -> None:
        self._run = run
        self._stop = stop
        self._torch = torch
        self._pid = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless this process has it."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._ended = threading.Event()
        # A daemon: a program ends as it would without us, also by an exception in its main thread.
        self._thread = threading.Thread(target=self._watch, name="metalassay run", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """End the thread before Python takes the interpreter apart, and send the last count of steps."""
        if self._thread is not None and self._pid == os.getpid():
            self._ended.set()
            self._thread.join(_JOIN)
        if steps.count():
            self._run.send("steps", steps=steps.count())

    def _watch(self) -> None:
        try:
            self._loop()
        except Exception as error:  # noqa: BLE001  (the program goes on without this thread)
            say(f"no longer watches this process ({os.getpid()}): {reason(error)}")

    def _loop(self) -> None:
        config = self._run.config
        requests = Requests(self._run)
        memory = MpsMemory(self._torch, self._run)
        census = Census(self._torch)
        next_report, reported = time.monotonic() + config.every, 0
        while not self._ended.wait(config.tick):
            request = requests.new()
            if request is not None:
                self._act(request, memory, census)
            if time.monotonic() >= next_report:
                next_report = time.monotonic() + config.every
                if steps.count() != reported:
                    reported = steps.count()
                    self._run.send("steps", steps=reported)
                memory.report()

    def _act(self, request: Request, memory: MpsMemory, census: Census) -> None:
        if request.want == "stop":
            self._stop.ask(request)
        elif request.want == "empty cache":
            memory.empty_cache_after_next_step()
        elif request.want == "census":
            self._run.send("census", **census.take())
        elif request.want == "stacks":
            _print_stacks()


def _print_stacks() -> None:
    """Print where each thread of the program is, the main thread last, as Python prints a traceback."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()
    frames.pop(threading.get_ident(), None)  # our own
    main = threading.main_thread().ident
    parts = []
    for number, frame in sorted(frames.items(), key=lambda item: item[0] == main):
        parts.append(
            f"metalassay: the thread {names.get(number, number)} of process {os.getpid()} is at\n"
        )
        parts += traceback.format_stack(frame)
    # The descriptor, not sys.stderr, which a program may have replaced by something without one.
    os.write(2, "".join(parts).encode("utf-8", "backslashreplace"))
