"""Which operators fell back to the CPU, how often, from which lines, and what that cost, per step.

torch warns of a fallback once a process; with ``torch.set_warn_always`` it warns at each, and the
warnings are counted. It imports no torch itself: who wants to know has imported it.
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

_SAYS = re.compile(r"The operator '([^']+)' is not currently supported on the MPS backend")


@dataclass(frozen=True)
class Fallback:
    """An operator that ran on the CPU.

    ``operator`` as in the warning, without ``aten::``; ``lines`` the places that called it, as
    "train.py:12", the most frequent first. ``seconds`` were spent in its calls, copies and the wait
    for the device included; None if they were not timed.
    """

    operator: str
    calls: int
    lines: tuple[str, ...]
    seconds: float | None


@dataclass(frozen=True)
class Step:
    """What happened between two ends of a step, the most frequent operator first; wall seconds.

    Under ``census(operators)`` the step is slower than without: each timed call waits for the
    device.
    """

    seconds: float
    fallbacks: tuple[Fallback, ...]


class Census:
    """Collects while ``census`` is open; ``step()`` ends a step, and ``steps`` are those ended."""

    def __init__(self, heard: list[warnings.WarningMessage], wait: Callable[[], None]) -> None:
        self.steps: list[Step] = []
        self._heard = heard
        self._wait = wait
        self._others: list[warnings.WarningMessage] = []
        self._spent: Counter[str] = Counter()
        self._timed = False
        self._began = time.perf_counter()

    def step(self) -> Step:
        """Wait for the device, end the step and return it; the next begins."""
        self._wait()
        now = time.perf_counter()
        found = Step(now - self._began, self._fallbacks())
        self.steps.append(found)
        self._spent.clear()
        self._began = now
        return found

    def _fallbacks(self) -> tuple[Fallback, ...]:
        lines: dict[str, Counter[str]] = {}
        for warning in self._heard:
            operator = fallen_back(str(warning.message))
            if operator is None:
                self._others.append(warning)
                continue
            place = f"{warning.filename}:{warning.lineno}"
            lines.setdefault(operator, Counter())[place] += 1
        self._heard.clear()
        return tuple(
            Fallback(
                operator=operator,
                calls=places.total(),
                lines=tuple(place for place, _ in places.most_common()),
                seconds=self._spent[operator] if self._timed else None,
            )
            for operator, places in sorted(lines.items(), key=lambda item: -item[1].total())
        )


def fallen_back(warning: str) -> str | None:
    """Return the operator that torch's warning says has fallen back; None for another warning."""
    found = _SAYS.match(warning)
    return plain(found[1]) if found else None


@contextlib.contextmanager
def census(operators: Operators | None = None) -> Iterator[Census]:
    """Count the fallbacks inside, step by step; what came after the last step is dropped.

    With the ``operators`` of the installed torch (``oracle.load``) the calls that fall back are
    timed as well, each after a wait for the device: right for each, slower for the whole. Other
    warnings are issued again at the end. Not for several threads at once: Python's warnings are
    shared by all. Raises ``RuntimeError`` if torch has not been imported yet.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None:
        raise RuntimeError("a census counts what torch does: import torch first")
    wait = torch.mps.synchronize if torch.backends.mps.is_available() else _nothing
    before = torch.is_warn_always_enabled()
    with contextlib.ExitStack() as stack:
        stack.callback(torch.set_warn_always, before)
        torch.set_warn_always(True)
        heard = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        found = Census(heard, wait)
        if operators is not None:
            found._timed = True
            stack.enter_context(_stopwatch(torch, operators, wait, found._spent))
        yield found
        found._fallbacks()
    for each in found._others:
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def _stopwatch(
    torch: Any, operators: Operators, wait: Callable[[], None], spent: Counter[str]
) -> contextlib.AbstractContextManager[object]:
    """Return torch's dispatch mode that adds the seconds of each call that falls back."""

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

    found: contextlib.AbstractContextManager[object] = Stopwatch()
    return found


def _nothing() -> None:
    pass
