"""Read what torch's MPS allocator holds, in a process that uses MPS; never be the first to use it.

torch does not tell Python whether its MPS allocator exists, and asking it for figures creates it. So it is
asked only after a tensor on MPS has been seen: the parameters of an optimizer that stepped, or, since not
every program has an optimizer, one among the live tensors. The latter takes up to a tenth of a second in a
large program, hence it is tried ever more rarely.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, compress, starmap, tee
from types import ModuleType
from typing import Any

from metalassay.child import steps
from metalassay.child.run import Run

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
    # While a list of all objects is held, a thread that is in the midst of tuple(generator) would fail with a
    # SystemError, because its unfinished tuple must have no other owner. So no thread may have its turn meanwhile. Python
    # gives turns between its own instructions: the list is made, searched and dropped inside one call of C. A longer switch
    # interval would not do: it also lets whichever thread has the turn keep it for so long.
    collecting = gc.isenabled()
    gc.disable()  # a collection runs finalizers, and these are Python
    try:
        return list(_search(torch.Tensor))
    finally:
        if collecting:
            gc.enable()


def _search(kind: type) -> Iterator[Any]:
    """Return an iterator in C over the objects of a type, which asks for all objects when it is begun.

    The list of them has these iterators in it as well, so that it would keep itself: it is emptied at the end.
    """
    every, types, emptied = tee(starmap(gc.get_objects, [()]), 3)
    # Nothing here may run Python, where another thread could have its turn: isinstance() asks proxies for their
    # __class__, a set asks types for their hash, and id() calls the program's audit hooks.
    is_wanted = partial(type.__subclasscheck__, kind)
    wanted = map(is_wanted, map(type, chain.from_iterable(types)))
    return compress(chain(chain.from_iterable(every), map(list.clear, emptied)), wanted)


def _recommended(mps: Any) -> int | None:
    """Return Metal's recommended maximum in bytes; None before torch 2.5, which does not tell."""
    return mps.recommended_max_memory() if hasattr(mps, "recommended_max_memory") else None
