"""Profile optimizer steps of this process, if `metalassay run --profile` asks for it.

A step lasts from the end of one optimizer step to the end of the next, so it contains the data, the forward
and the backward pass, and whatever the program does besides. Each process that takes steps writes files of
its own, named by its pid.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

from metalassay.child import steps
from metalassay.child.run import Run, harmless, say
from metalassay.supervise.step_profiler import StepProfiler

_profiler: StepProfiler | None = None
_pid = 0


def start(run: Run, torch: ModuleType) -> None:
    """Profile the steps that are to come, in this process and in each one forked from it."""
    steps.at_first_step(lambda: _begin(run, torch))


def _begin(run: Run, torch: ModuleType) -> None:
    global _profiler, _pid
    if _pid == os.getpid():
        return
    _pid = os.getpid()
    profiler = StepProfiler(
        torch,
        steps.optimizer_device() or "cpu",
        run.config.profile,
        Path(run.config.profile_folder),
        say,
        suffix=f"-{_pid}",
    )
    _profiler = profiler
    _go_on(profiler)


def _go_on(profiler: StepProfiler) -> None:
    """Let the profiler see the step that begins now, and come back at its end."""
    profiler.begin()
    begun = steps.optimizer_count()
    steps.after_next_step(lambda: _after_step(profiler, begun))


def _after_step(profiler: StepProfiler, begun: int) -> None:
    if (
        steps.optimizer_count() == begun
    ):  # a step of the program's own loop, which has one of an optimizer
        steps.after_next_step(lambda: _after_step(profiler, begun))
        return
    profiler.end()
    if not profiler.done:
        _go_on(profiler)


def end() -> None:
    """Write what there is, as this process ends; nothing in one that took no step."""
    if _profiler is not None and _pid == os.getpid():
        harmless(_profiler.finish)
