"""Runs the stages of the child program in an environment, and learns which of them work there.

What is measured is the environment's own: its interpreter runs the child in an empty folder, without
network access to the hub, and nothing of this process's packages is visible to it.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from metalassay import minder
from metalassay.errors import UserError
from metalassay.fields import FieldError, one_line, parse_json, printable

PACKAGES = ("accelerate", "transformers", "datasets", "peft", "trl")
IMPORTS = tuple(f"import {package}" for package in PACKAGES)
TRAINING = (
    "Accelerator",
    "Trainer",
    "Trainer resume",
    "LoRA",
    "SFTTrainer",
    "SFTTrainer resume",
    "DPOTrainer",
    "GRPOTrainer",
)
STAGES = (*IMPORTS, *TRAINING)
"""Every stage that the child knows, in the order in which they run."""

_NEEDS = {"LoRA": "peft", "SFTTrainer": "trl", "SFTTrainer resume": "trl", "DPOTrainer": "trl"}
_NEEDS |= {"GRPOTrainer": "trl", "Accelerator": "accelerate", "Trainer": "transformers"}
_NEEDS |= {"Trainer resume": "transformers"}

PASSED, FAILED, ABSENT, CRASHED, NOT_RUN = "passed", "failed", "absent", "crashed", "not run"

# Nothing is to be asked of a hub or a logging service, and the user's settings of them do not count.
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}
_NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "ACCELERATE_", "WANDB_", "FSDP_")


@dataclass(frozen=True)
class Stage:
    """What became of one stage.

    ``status`` is one of the words above; ``error`` is the exception or the reason, on one line, and
    ``frames`` are the places where it was raised, the innermost last.
    """

    name: str
    status: str
    error: str = ""
    frames: tuple[str, ...] = ()

    @property
    def works(self) -> bool:
        """Whether it ran to its end; a stage that these versions do not have did not."""
        return self.status == PASSED

    @property
    def broken(self) -> bool:
        """Whether it began and did not end well."""
        return self.status in (FAILED, CRASHED)


class StoppedError(Exception):
    """The run was stopped from outside."""


@dataclass(frozen=True)
class _Options:
    """What ``run`` was asked for, as its parts need it."""

    cpu: bool
    begins: Callable[[str], object] | None
    stop: threading.Event
    keep_open: tuple[int, ...]


def run(
    python: str,
    stages: Sequence[str] = STAGES,
    *,
    timeout: float = 300,
    cpu: bool = False,
    begins: Callable[[str], object] | None = None,
    stop: threading.Event | None = None,
    keep_open: Sequence[int] = (),
) -> tuple[Stage, ...]:
    """Run ``stages`` with the interpreter ``python`` and return what became of each, in their order.

    A stage that brings the process down is "crashed", and the stages after it run in a new process.
    One that does not end within ``timeout`` seconds is "crashed" too. ``cpu`` hides CUDA; on a Mac the
    packages choose the device as they do for the user. ``begins`` is called with the name of each stage
    that begins. ``stop`` ends the run with ``StoppedError``. ``keep_open`` are file descriptors that the
    child inherits, so that locks on them last as long as it does. Raises ``UserError`` when ``python``
    does not start.
    """
    unknown = sorted(set(stages) - set(STAGES))
    if unknown:
        raise ValueError(f"there is no stage {unknown[0]!r}")
    options = _Options(cpu, begins, stop or threading.Event(), tuple(keep_open))
    done: dict[str, Stage] = {}
    left = list(stages)
    while left:
        found = dict(_once(python, left, timeout, options))
        if not found:
            raise UserError(
                f"{python}: the program that tries the packages did not begin",
                "metalassay doctor --env PYTHON",
            )
        done.update(found)
        left = [stage for stage in left if stage not in done]
    return tuple(done[stage] for stage in stages)


def stages_for(packages: Container[str]) -> tuple[str, ...]:
    """Return the stages that have something to try where these ``packages`` are installed."""
    return tuple(
        stage
        for stage in STAGES
        if (_NEEDS.get(stage) or stage.removeprefix("import ")) in packages
    )


def broken(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """Return the stages that began and did not end well."""
    return tuple(stage for stage in stages if stage.broken)


def as_dict(stage: Stage) -> dict[str, Any]:
    """Return a stage as JSON has it."""
    return {"status": stage.status, "error": stage.error, "frames": list(stage.frames)}


def _once(
    python: str, stages: Sequence[str], timeout: float, options: _Options
) -> Iterator[tuple[str, Stage]]:
    """Run one child; yield the stages that it ended, and the one at which it died."""
    program = resources.files(__package__).joinpath("child.py")
    with (
        resources.as_file(program) as path,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
    ):
        try:
            child = minder.start(
                [python, str(path), *stages],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                cwd=folder,
                env=_environment(folder, cpu=options.cpu),
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
                pass_fds=options.keep_open,
                group=True,
            )
        except OSError as error:
            raise UserError(
                f"{python}: does not start: {error.strerror}", "metalassay doctor --env PYTHON"
            ) from None
        try:
            for stage, answer in _answers(child, timeout, options, complaints):
                if stage in stages:  # what else it says is not what was asked
                    yield stage, answer
        finally:
            _end(child)
            minder.forget(child.pid)


def _answers(
    child: subprocess.Popen[str],
    timeout: float,
    options: _Options,
    complaints: Any,
) -> Iterator[tuple[str, Stage]]:
    current = ""
    ended_by_us = False

    for line in _lines(child, timeout, options.stop):
        if line is None:
            ended_by_us = True
            break
        try:
            answer = parse_json(line)
        except FieldError:
            continue  # a library printed past Python's streams
        if not isinstance(answer, dict) or not isinstance(answer.get("stage"), str):
            continue
        if answer.get("status") == "begun":
            current = answer["stage"]
            if options.begins:
                options.begins(current)
        elif answer["stage"] == current:
            yield current, _stage(answer)
            current = ""
    if current:
        _end(child)
        why = (
            f"it did not end within {timeout:g} s"
            if ended_by_us
            else _death(child.returncode, complaints)
        )
        yield current, Stage(current, CRASHED, why)


def _lines(
    child: subprocess.Popen[str], timeout: float, stop: threading.Event
) -> Iterator[str | None]:
    """Yield the lines that a child prints; None if it is silent for ``timeout`` seconds."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        if child.stdout:
            for line in child.stdout:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + timeout
    while True:
        try:
            line = lines.get(timeout=min(0.2, timeout))
        except queue.Empty:
            if stop.is_set():
                raise StoppedError from None
            if time.monotonic() < deadline:
                continue
            yield None
            return
        deadline = time.monotonic() + timeout
        if line is None:
            child.wait()
            return
        yield line


def _stage(answer: Mapping[str, Any]) -> Stage:
    frames = answer.get("frames", ())
    return Stage(
        answer["stage"],
        str(answer.get("status", FAILED)),
        one_line(printable(str(answer.get("error", "")))),
        tuple(printable(str(frame)) for frame in frames),
    )


def _death(code: int | None, complaints: Any) -> str:
    """Return how a child died: the signal, and the last line that it printed to stderr."""
    complaints.seek(0)
    lines = [line.strip() for line in complaints.read()[-4000:].splitlines() if line.strip()]
    said = f": {printable(lines[-1])}" if lines else ""
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"the process was ended by {name}{said}"
    return f"the process ended with exit code {code}{said}"


def _end(child: subprocess.Popen[str]) -> None:
    """Kill a child and what it started, and wait for it.

    Also where the child has died and left others, which hold its output open: closing it here would wait
    for them. Its number is not given to another process before ``wait``.
    """
    if child.returncode is None:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            child.kill()
        child.wait()
    if child.stdout:
        child.stdout.close()


def _environment(folder: str, *, cpu: bool) -> dict[str, str]:
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)
    }
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if cpu else {}
    return {**environ, **_OFFLINE, **hidden, "HF_HOME": str(Path(folder, "hub"))}
