"""Read what torch's MPS allocator holds, in a process that uses MPS; never be the first to use it.

torch does not tell Python whether its MPS allocator exists, and asking it for figures creates it. So it is
asked only after a tensor on MPS has been seen: the parameters of an optimizer that stepped, or, since not
every program has an optimizer, one among the live tensors. The latter takes up to a tenth of a second in a
large program, hence it is tried ever more rarely.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from dataclasses import dataclass
from itertools import compress
from types import ModuleType
from typing import Any

from metalassay.child import steps
from metalassay.child.run import Run

# Seconds in which a search surely ends: it takes a tenth, and more where the machine is busy.
_ALONE = 30.0
_FIRST_SEARCH, _SEARCH_GROWTH = 10.0, 2.0  # seconds after the start, and the factor between two


@dataclass
class MpsMemory:
    """The MPS allocator of this process."""

    torch: ModuleType
    run: Run
    _used: bool = False
    _search_at: float = 0.0
    _interval: float = _FIRST_SEARCH

    def is_used(self) -> bool:
        """Return whether this process is known to have tensors on MPS."""
        if not self._used and getattr(self.torch._C, "_has_mps", False):
            self._used = steps.optimizer_device() == "mps" or self._found_by_search()
        return self._used

    def _found_by_search(self) -> bool:
        now = time.monotonic()
        if not self._search_at:
            self._search_at = now + self._interval
        if now < self._search_at:
            return False
        self._interval *= _SEARCH_GROWTH
        self._search_at = now + self._interval
        return any(each.device.type == "mps" for each in live_tensors(self.torch))

    def report(self) -> None:
        """Send the figures of the allocator, if MPS is used."""
        if self.is_used():
            mps = self.torch.mps
            self.run.send(
                "memory",
                driver=mps.driver_allocated_memory(),
                current=mps.current_allocated_memory(),
                recommended=_recommended(mps),
                steps=steps.count(),
            )

    def empty_cache_after_next_step(self) -> None:
        """Have the cache emptied by the thread that steps, which is not in the midst of an operator then.

        A program without steps keeps its cache: emptying it from another thread is nothing that torch
        promises to support.
        """
        if self.is_used():
            steps.after_next_step(self._empty_cache)

    def _empty_cache(self) -> None:
        mps = self.torch.mps
        before, began = mps.driver_allocated_memory(), time.perf_counter()
        mps.empty_cache()
        seconds = time.perf_counter() - began
        after = mps.driver_allocated_memory()
        self.run.send("emptied", driver_before=before, driver_after=after, seconds=seconds)


def live_tensors(torch: ModuleType) -> list[Any]:
    """Return all tensors that Python knows of; those only C++ holds are not among them.

    To be used under ``torch._C.DisableTorchFunctionSubclass`` if attributes are read.
    """
    kinds = {id(each) for each in _with_subclasses(torch.Tensor)}
    # While a list of all objects is held, a thread that is in the midst of tuple(generator) would fail with a
    # SystemError, because its unfinished tuple must have no other owner. So no thread may ask for its turn meanwhile:
    # after the sleep, those that wait do so with the longer interval. The search itself is left to C, which is fast.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(max(interval, _ALONE))
    time.sleep(0)
    try:
        objects = gc.get_objects()
        # type(), since isinstance() would ask proxies for their __class__, and ids, since a type may compare itself.
        found = list(compress(objects, map(kinds.__contains__, map(id, map(type, objects)))))
        del objects
    finally:
        sys.setswitchinterval(interval)
    # Each turn wakes one of the threads that still wait with the longer interval.
    for _ in range(threading.active_count()):
        time.sleep(0)
    return found


def _with_subclasses(kind: type) -> set[type]:
    found: set[type] = set()
    new = [kind]
    while new:
        one = new.pop()
        found.add(one)
        below: list[type] = type.__subclasses__(one)
        new += [each for each in below if each not in found]
    return found


def _recommended(mps: Any) -> int | None:
    """Return Metal's recommended maximum in bytes; None before torch 2.5, which does not tell."""
    return mps.recommended_max_memory() if hasattr(mps, "recommended_max_memory") else None
