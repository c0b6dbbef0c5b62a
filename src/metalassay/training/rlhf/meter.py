"""What a training with TRL costs: steps and tokens a second, and memory, measured at the ends of steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from metalassay.measure import device

Report = Callable[[int, dict[str, float]], None]


class Meter:
    """Counts the steps, tokens and seconds of one training.

    A step lasts from the end of the one before to its own end, the queue of the device waited for; what it
    takes to save a checkpoint is not in it. The first step after a start or a resume warms up and is left
    out. Tokens are those of the passes with gradients, padding aside: what is generated, or only scored,
    does not count by itself.
    """

    def __init__(self, where: torch.device, model: Any) -> None:
        self.where = where
        self.steps = self.timed = 0
        self.seconds = 0.0
        self.memory: dict[str, int] = {}
        self._tokens: torch.Tensor | int = 0
        self._timed_tokens = 0
        self._began: float | None = None
        self._hook = model.base_model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, module: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        if not torch.is_grad_enabled():
            return
        mask = named.get("attention_mask")
        ids = named.get("input_ids", positional[0] if positional else None)
        if isinstance(mask, torch.Tensor) and mask.dim() == 2:
            # Summed at the end of a step: reading a number makes a GPU wait.
            self._tokens = self._tokens + mask.detach().sum()
        elif ids is not None:
            self._tokens = self._tokens + ids.numel()

    def begin(self) -> None:
        """Start the clock: before the first step, and after what does not belong to one."""
        device.synchronize(self.where)
        self._began = time.perf_counter()

    def end_step(self) -> None:
        """Take the time of the step that has ended."""
        tokens, self._tokens = int(self._tokens), 0
        device.synchronize(self.where)
        now = time.perf_counter()
        if self.steps and self._began is not None:
            self.timed += 1
            self.seconds += now - self._began
            self._timed_tokens += tokens
        self.steps += 1
        for kind, held in device.memory(self.where).items():
            if held is not None:
                self.memory[kind] = max(held, self.memory.get(kind, 0))
        self._began = time.perf_counter()

    @property
    def tokens_per_step(self) -> float | None:
        """Mean over the timed steps, None before there is one."""
        return self._timed_tokens / self.timed if self.timed else None

    def close(self) -> None:
        """Stop counting."""
        self._hook.remove()

    def figures(self) -> dict[str, Any]:
        """Return the speeds, None before there is a second step, and the most memory at the end of a step."""
        timed = self.seconds > 0
        return {
            "timed_steps": self.timed,
            "steps_per_second": self.timed / self.seconds if timed else None,
            "tokens_per_second": self._timed_tokens / self.seconds if timed else None,
            "peak_memory": dict(self.memory),
        }


def callback(
    meter: Meter,
    report: Report,
    stop: Callable[[], bool] = lambda: False,
    saved: Callable[[int], None] = lambda step: None,
) -> Any:
    """Return a callback for a Trainer that drives ``meter`` and reports what the Trainer logs.

    It lets the Trainer save and stop after the step in which ``stop`` becomes true, and tells ``saved``
    about each complete checkpoint.
    """
    from transformers import TrainerCallback

    class Metering(TrainerCallback):  # type: ignore[misc]  # Any to mypy
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            meter.begin()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            meter.end_step()
            if stop():
                control.should_save = control.should_training_stop = True
            return control

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            saved(state.global_step)
            meter.begin()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            numbers = {
                name: float(value)
                for name, value in (logs or {}).items()
                if isinstance(value, (int, float))
            }
            report(state.global_step, numbers)

    return Metering()
