"""Count optimizer steps of this process, and do work between two of them.

torch calls a hook after the step of any optimizer. A step that is compiled as a whole
(``torch.compile(optimizer.step)``) is not counted: whatever the hook did would become part of the compiled
code, or break its graph.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from metalassay.child.run import harmless

_optimizer_steps = 0
_loop_steps: int | None = None
_work: list[Callable[[], None]] = []
_at_first_step: list[Callable[[], None]] = []


def count() -> int:
    """Return the steps so far: of the program's own loop if it counts them, else of optimizers."""
    return _optimizer_steps if _loop_steps is None else _loop_steps


def optimizer_count() -> int:
    """Return the steps of optimizers so far, also where the program's own loop counts steps."""
    return _optimizer_steps


def count_loop_step() -> None:
    """Count a step of the program's own loop, and do what was asked for."""
    global _loop_steps
    _loop_steps = (_loop_steps or 0) + 1
    if _work:
        _do_work()


def after_next_step(work: Callable[[], None]) -> None:
    """Have ``work`` done once, in the thread that steps, right after its next step."""
    _work.append(work)


def at_first_step(work: Callable[[], None]) -> None:
    """Have ``work`` done at the first step of this process, and of each process forked from it."""
    _at_first_step.append(work)
    _work.append(work)


def watch(torch: ModuleType) -> None:
    """Count the steps of all optimizers from now on; does nothing if this torch has no such hook."""
    # Not an attribute of torch.optim, which deletes it.
    optimizer = sys.modules["torch.optim.optimizer"]
    register = getattr(optimizer, "register_optimizer_step_post_hook", None)
    compiler = getattr(torch, "compiler", None)
    if register is None or not hasattr(compiler, "is_compiling"):
        return

    def after_step(optimizer: Any, arguments: Any, keywords: Any) -> None:
        global _optimizer_steps
        if torch.compiler.is_compiling():
            return
        _optimizer_steps += 1
        if _work:
            harmless(lambda: _note_device(optimizer))
            _do_work()

    register(after_step)


def optimizer_device() -> str | None:
    """Return the type of the device whose parameters an optimizer updates, once a step has told it.

    Asked for, it is noted at the next step; None until then, and without an optimizer.
    """
    if _device is None and not _work:
        _work.append(_nothing)
    return _device


def _nothing() -> None:
    """Do no work: the device is noted beside it."""


_device: str | None = None


def _note_device(optimizer: Any) -> None:
    global _device
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            _device = parameter.device.type
            return


def _do_work() -> None:
    waiting = _work[:]
    del _work[: len(waiting)]
    for work in waiting:
        harmless(work)


def _forget() -> None:
    """Begin anew in a forked process: its parent counts its own steps."""
    global _optimizer_steps, _loop_steps
    _optimizer_steps, _loop_steps = 0, None
    _work[:] = _at_first_step


os.register_at_fork(after_in_child=_forget)
