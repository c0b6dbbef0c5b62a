"""What every `transformers.Trainer.train` of a run does besides: the guard, and a checkpoint on request."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

from metalassay import guard
from metalassay.child import steps
from metalassay.child.requests import Stop
from metalassay.child.run import Run, say
from metalassay.patches.layers import layer

_kept = ExitStack()  # until the process ends
_training = 0


def prepare(run: Run, stop: Stop, module: ModuleType) -> None:
    """Put our layers around ``Trainer.train`` of the module ``transformers.trainer``."""
    trainer = module.Trainer
    _kept.enter_context(layer(trainer, "train", functools.partial(_stopping, run, stop), level=1))
    if run.config.guard:
        _kept.enter_context(layer(trainer, "train", functools.partial(_guarding, run), level=2))


def is_training() -> bool:
    """Return whether a Trainer of this process is in ``train``."""
    return _training > 0


@contextmanager
def _in_training() -> Iterator[None]:
    global _training
    _training += 1
    try:
        yield
    finally:
        _training -= 1


def _guarding(run: Run, below: Callable[..., Any]) -> Callable[..., Any]:
    guarded = guard.guarded(below)

    @functools.wraps(below)
    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            with _in_training():
                return guarded(self, *args, **kwargs)
        except guard.ZeroStepsError as error:
            run.send("zero steps", text=error.message, next_step=error.next_step)
            raise

    return train


def _stopping(run: Run, stop: Stop, below: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(below)
    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        if run.config.resume and not args and kwargs.get("resume_from_checkpoint") is None:
            kwargs["resume_from_checkpoint"] = _to_resume(self.args.output_dir)
        run.send("steps", steps=steps.count())  # 0 so far: a training has begun
        ours = _callback_class()()
        ours.run, ours.stop, ours.reason = run, stop, None
        self.add_callback(ours)
        try:
            return below(self, *args, **kwargs)
        finally:
            self.remove_callback(ours)

    return train


_resumed: set[str] = set()


def _to_resume(output_dir: str) -> str | None:
    """Return the last checkpoint in a folder, for the first training into it since the restart.

    A later ``train`` of the same program has begun after the restart, so it continues nothing.
    """
    from transformers.trainer_utils import get_last_checkpoint

    if output_dir in _resumed or not os.path.isdir(output_dir):  # noqa: PTH112
        return None
    _resumed.add(output_dir)
    found: str | None = get_last_checkpoint(output_dir)
    if found is not None:
        say(f"continuing from {found}")
    return found


@functools.cache
def _callback_class() -> type:
    from transformers import TrainerCallback

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **others: Any) -> None:
        if self.reason is None:
            self.reason = self.stop.wanted(state.global_step)
            if self.reason is not None:
                control.should_save = True
                control.should_training_stop = True

    def on_save(self: Any, args: Any, state: Any, control: Any, **others: Any) -> None:
        if self.reason is not None and state.is_world_process_zero:
            folder = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")  # noqa: PTH118
            self.run.send("checkpoint", step=state.global_step, path=os.path.abspath(folder))  # noqa: PTH100

    def on_train_end(self: Any, args: Any, state: Any, control: Any, **others: Any) -> None:
        if self.reason is not None:
            self.run.send("stopping", step=state.global_step, reason=self.reason)

    functions = (on_step_end, on_save, on_train_end)
    return type("StopOnRequest", (TrainerCallback,), {each.__name__: each for each in functions})
