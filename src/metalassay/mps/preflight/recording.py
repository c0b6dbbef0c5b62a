"""Record one process: its operators, what does nothing on a Mac, its threads, and what it starts.

Runs beside the user's torch, without metalassay. ``child.py`` records the program itself with it; in a
Python process that the program starts, ``startup/sitecustomize.py`` calls ``follow``; a forked process
goes on with what it has inherited. Each of these writes a file of its own into one folder.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import multiprocessing.util
import os
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import torch

SCHEMA = "metalassay.trace/2"
SETTINGS = "settings.json"
VARIABLE = "METALASSAY_PREFLIGHT"


def load(*parts: str) -> ModuleType:
    """Load a module by its path relative to this file: metalassay need not be installed here."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), *parts)  # noqa: PTH100, PTH118, PTH120
    spec = importlib.util.spec_from_file_location(f"_metalassay_{parts[-1][:-3]}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"there is no {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Recording:
    """What is recorded in this process. ``settings`` are those of ``predict.settings``."""

    def __init__(
        self, settings: Mapping[str, Any], tracing: Any, ported_watch: Any, as_mac: Any, beyond: Any
    ) -> None:
        self.recorder = tracing.Recorder(
            settings["kernels"],
            settings["composites"],
            beyond.Watch(settings["dtypes"], settings["limits"]),
        )
        self.watch = ported_watch.Watch(settings["ported"])
        self.forks = 0
        self._folder = ""
        as_mac.exchange(settings["exchange"])

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Record this thread, and those that it starts, inside the block."""
        self.watch.start()
        try:
            with self.recorder, self.recorder.following_threads():
                yield
        finally:
            self.watch.stop()

    def with_children(self, folder: str) -> None:
        """Let the processes that are started from here leave a file in ``folder``."""
        self._folder = folder
        os.environ[VARIABLE] = folder
        startup = os.path.join(os.path.dirname(os.path.abspath(__file__)), "startup")  # noqa: PTH100, PTH118, PTH120
        known = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = startup + (os.pathsep + known if known else "")
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)
        multiprocessing.util.register_after_fork(self, Recording._write_at_the_end)

    def record(self, ended: str, seconds: float) -> dict[str, Any]:
        """Return what ``predict.parse`` reads."""
        return {
            "schema": SCHEMA,
            "torch": str(torch.__version__),
            "ended": ended,
            "seconds": round(seconds, 3),
            "calls": self.recorder.trace(),
            "ported": self.watch.entries(),
            "replaced": self.recorder.replaced,
            "threads": self.recorder.threads,
        }

    def write(self) -> None:
        """Write this process's file, in place of the mark that it has begun."""
        content = self.record("", 0)
        if content["calls"] or content["ported"]:
            path = os.path.join(self._folder, f"part-{os.getpid()}.json")  # noqa: PTH118
            write_json(path, content)
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._begun())  # noqa: PTH107

    def begin_child(self) -> None:
        """Leave a mark that this process has begun: without its file later, it was not recorded."""
        with contextlib.suppress(OSError), open(self._begun(), "w"):  # noqa: PTH123
            pass

    def _begun(self) -> str:
        return os.path.join(self._folder, f"begun-{os.getpid()}")  # noqa: PTH118

    def _forked(self) -> None:
        """In a forked process: begin anew, for what was counted before is in the parent's file."""
        if self.recorder.loading():
            return  # a worker of a DataLoader, which stays on the CPU on a Mac too
        self.recorder.forget()
        self.watch.calls.clear()
        self.begin_child()

    def _write_at_the_end(self) -> None:
        # multiprocessing ends its forked processes without atexit, and runs this instead.
        if not self.recorder.loading():
            multiprocessing.util.Finalize(None, self.write, exitpriority=0)


def follow(folder: str) -> None:
    """Record this process, which a recorded program has started, from now until it ends."""
    try:
        with open(os.path.join(folder, SETTINGS), encoding="utf-8") as file:  # noqa: PTH118, PTH123
            settings = json.load(file)
    except FileNotFoundError:  # the program has ended, and preflight with it
        return
    recording = Recording(
        settings,
        load("tracing.py"),
        load("..", "ported_watch.py"),
        load("as_mac.py"),
        load("beyond.py"),
    )
    recording.with_children(folder)
    recording.begin_child()
    load("child_devices.py").hide_mps()
    running = recording.running()
    running.__enter__()

    def end() -> None:
        running.__exit__(None, None, None)
        recording.write()

    atexit.register(end)


def write_json(path: str, content: Any) -> None:
    """Write a file as a whole or not at all."""
    with open(path + ".part", "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(content, file)
    os.replace(path + ".part", path)  # noqa: PTH105
