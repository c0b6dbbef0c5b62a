"""Where a step of each workload goes, for `metalassay bench --profile`: after the measuring, never in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from metalassay import minder
from metalassay.bench.suite import Step, end_child
from metalassay.fields import one_line
from metalassay.supervise.step_profiler import QUIET

SECONDS = 12.0
"""What a profile is expected to take, of which most is the start of torch."""
_LOOK_EVERY = 0.25  # seconds


@dataclass(frozen=True)
class Profiled:
    """The profile of one step: its ``files``, and its table in ``lines``; ``why`` there is none, if so."""

    step: Step
    files: tuple[Path, ...] = ()
    lines: tuple[str, ...] = ()
    why: str = ""


def label(step: Step) -> str:
    """Return the name of a profile, as progress shows it."""
    return f"{step}, profile"


def run(step: Step, steps: int, folder: Path, tick: Callable[[], None] = lambda: None) -> Profiled:
    """Profile ``steps`` steps of a workload in a process of its own; the files go to ``folder``.

    A profile that fails costs nothing but the profile. ``tick`` is called four times a second.
    """
    suffix = f"-{step.device}-{step.workload}-b{step.batch}-{step.mode}"
    files = (folder / f"profile{suffix}.json", folder / f"trace{suffix}.json.gz")
    facts = {
        "device": step.device,
        "workload": step.workload,
        "batch": step.batch,
        "mode": step.mode,
    }
    facts |= {"steps": steps, "folder": str(folder), "suffix": suffix}
    command = [sys.executable, "-P", "-m", "metalassay.workers.profile_child", json.dumps(facts)]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = minder.start(
            command, env=os.environ | QUIET, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        )
        try:
            while True:
                try:
                    child.wait(_LOOK_EVERY)
                    break
                except subprocess.TimeoutExpired:
                    tick()
        finally:
            end_child(child)
            minder.forget(child.pid)
        output.seek(0)
        errors.seek(0)
        lines = tuple(output.read().decode("utf-8", "replace").splitlines())
        told = errors.read().decode("utf-8", "replace").strip().splitlines()
    written = tuple(file for file in files if file.is_file())
    if child.returncode or not written:
        said = [*told, *lines] or [f"it ended with code {child.returncode}"]
        return Profiled(step, written, lines, one_line(said[-1]))
    return Profiled(step, written, lines)
