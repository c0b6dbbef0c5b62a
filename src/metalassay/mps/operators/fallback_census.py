"""Count which operators fell back to the CPU: how often, from which lines and at what cost, per step.

torch warns of a fallback once per process; with ``torch.set_warn_always`` it warns every time, and
the warnings are counted. This module imports no torch itself: its user has already done so.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from metalassay.mps.operators.oracle import Operators, plain

_FALLBACK_WARNING = re.compile(
    r"The operator '([^']+)' is not currently supported on the MPS backend"
)


@dataclass(frozen=True)
class Fallback:
    """An operator that ran on the CPU.

    ``operator`` is the name in the warning, without ``aten::``; ``lines`` are the callers, such as
    "train.py:12", most frequent first. ``seconds`` is the time spent in its calls, including copies
    and waiting for the device; None if the calls were not timed.
    """

    operator: str
    calls: int
    lines: tuple[str, ...]
    seconds: float | None


@dataclass(frozen=True)
class Step:
    """The wall time of one step in seconds, and its fallbacks, most frequent operator first.

    A step under ``census(operators)`` is slower than otherwise: each timed call waits for the
    device.
    """

    seconds: float
    fallbacks: tuple[Fallback, ...]


class Census:
    """What an open ``census`` has counted; ``step()`` ends a step, ``steps`` lists those ended."""

    def __init__(self, caught: list[warnings.WarningMessage], wait: Callable[[], None]) -> None:
        self.steps: list[Step] = []
        self._caught = caught
        self._wait = wait
        self._other_warnings: list[warnings.WarningMessage] = []
        self._spent: Counter[str] = Counter()
        self._timed = False
        self._began = time.perf_counter()

    def step(self) -> Step:
        """Wait for the device, end the step and return it; the next step begins."""
        self._wait()
        now = time.perf_counter()
        step = Step(now - self._began, self._fallbacks())
        self.steps.append(step)
        self._spent.clear()
        self._began = now
        return step

    def _fallbacks(self) -> tuple[Fallback, ...]:
        lines: dict[str, Counter[str]] = {}
        for warning in self._caught:
            operator = fallen_back(str(warning.message))
            if operator is None:
                self._other_warnings.append(warning)
                continue
            line = f"{warning.filename}:{warning.lineno}"
            lines.setdefault(operator, Counter())[line] += 1
        self._caught.clear()
        return tuple(
            Fallback(
                operator=operator,
                calls=counts.total(),
                lines=tuple(line for line, _ in counts.most_common()),
                seconds=self._spent[operator] if self._timed else None,
            )
            for operator, counts in sorted(lines.items(), key=lambda item: -item[1].total())
        )


def fallen_back(warning: str) -> str | None:
    """Return the operator named by torch's fallback warning; None for any other warning."""
    match = _FALLBACK_WARNING.match(warning)
    return plain(match[1]) if match else None


@contextlib.contextmanager
def census(operators: Operators | None = None) -> Iterator[Census]:
    """Count the fallbacks inside the block, step by step; those after the last step are dropped.

    Given the ``operators`` of the installed torch (``oracle.load``), the calls that fall back are
    timed too. Each waits for the device first, which is right for the call and slows the program
    down. Other warnings are issued again at the end. Not thread-safe: Python's warnings are shared
    by all threads. Raises ``RuntimeError`` if torch has not been imported yet.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None:
        raise RuntimeError("a census counts what torch does: import torch first")
    wait = torch.mps.synchronize if torch.backends.mps.is_available() else _nothing
    before = torch.is_warn_always_enabled()
    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_warn_always, before)
        torch.set_warn_always(True)
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        counts = Census(caught, wait)
        if operators is not None:
            counts._timed = True
            stack.enter_context(_stopwatch(torch, operators, wait, counts._spent))
        yield counts
        counts._fallbacks()
    for warning in counts._other_warnings:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def _stopwatch(
    torch: Any, operators: Operators, wait: Callable[[], None], spent: Counter[str]
) -> contextlib.AbstractContextManager[object]:
    """Return a dispatch mode that adds the seconds of each call that falls back to ``spent``."""

    class Stopwatch(torch.utils._python_dispatch.TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            name = plain(str(function))
            if operators.state(name) not in ("missing", "fallback"):
                return function(*args, **(kwargs or {}))
            wait()
            start = time.perf_counter()
            result = function(*args, **(kwargs or {}))
            wait()
            spent[operators.asks(name)] += time.perf_counter() - start  # type: ignore[assignment]
            return result

    mode: contextlib.AbstractContextManager[object] = Stopwatch()
    return mode


def _nothing() -> None:
    pass
