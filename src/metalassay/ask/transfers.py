"""Where the time of a step may go: operators that run on the CPU, and copies between the CPU and the device.

A copy waits for the device, and so does an operator that falls back. Both are counted as a step is dispatched; on an
emulated device that shows the control flow and no time.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from metalassay.ask import training_step
from metalassay.ask.contract import File
from metalassay.ask.first_difference import place
from metalassay.errors import UserError
from metalassay.measure import device
from metalassay.mps.operators import fallback_census, oracle

_TORCH = str(Path(torch.__file__).parent)
TO_CPU, TO_DEVICE = "to the CPU", "to the device"


@dataclass(frozen=True)
class Copy:
    """HostCopies in one direction from one line of the user's code: how many, and how many bytes."""

    direction: str
    place: str
    calls: int
    bytes: int


@dataclass(frozen=True)
class Fallback:
    """An operator that ran on the CPU; ``seconds`` are in its calls, None where they were not timed.

    ``lines`` are those of the user's code; there are none for a call of the backward pass.
    """

    operator: str
    calls: int
    lines: tuple[str, ...]
    seconds: float | None


@dataclass(frozen=True)
class Answer:
    """What one step does, after a first one; the batch is on the device already.

    ``step_seconds`` is its time while all this was watched, None on an emulated device.
    """

    copies: tuple[Copy, ...]
    fallbacks: tuple[Fallback, ...]
    step_seconds: float | None


def ask(file: File, where: torch.device, batch_size: int) -> Answer:
    """Watch one step on ``where``, which is not the CPU."""
    step = training_step.make(file, where, batch_size)
    step()  # a first one creates the state of the optimizer
    timed = not device.emulated(where)
    known = None
    if timed and where.type == "mps":
        with contextlib.suppress(UserError):  # a release that is not known yet is not timed
            known = oracle.load(torch.__version__)
    copies = HostCopies(where)
    with fallback_census.census(known) as census:
        with copies:
            step()
        seen = census.step()
    return Answer(
        copies=copies.found(),
        fallbacks=tuple(
            Fallback(each.operator, each.calls, _of_the_user(each.lines), each.seconds)
            for each in seen.fallbacks
        ),
        step_seconds=seen.seconds if timed else None,
    )


def _of_the_user(lines: Sequence[str]) -> tuple[str, ...]:
    """Return lines without their folders, leaving out those of torch, which are of the backward pass."""
    return tuple(PurePath(line).name for line in lines if not line.startswith(_TORCH))


class HostCopies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that counts what goes from the CPU to the device and back."""

    def __init__(self, where: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._where = where
        self._calls: Counter[tuple[str, str]] = Counter()
        self._bytes: Counter[tuple[str, str]] = Counter()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("_to_copy", "copy_", "_local_scalar_dense"):
            source = args[1] if name == "copy_" else args[0]
            # A number read by .item() arrives on the CPU.
            target = "cpu" if name == "_local_scalar_dense" else result.device.type
            self._note(source, target)
        return result

    def _note(self, source: Any, target: str) -> None:
        if not isinstance(source, Tensor) or source.device.type == target:
            return
        if self._where.type not in (source.device.type, target):
            return
        direction = TO_CPU if target == "cpu" else TO_DEVICE
        key = (direction, place())
        self._calls[key] += 1
        self._bytes[key] += source.numel() * source.element_size()

    def found(self) -> tuple[Copy, ...]:
        """Return the copies, the most frequent first."""
        return tuple(
            Copy(direction, line, calls, self._bytes[direction, line])
            for (direction, line), calls in self._calls.most_common()
        )
