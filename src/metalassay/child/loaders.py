"""Say it once for each loader when a pass over a loader that accelerate prepared yields nothing.

It is said, not raised: a program may have an empty loader on purpose. In a Trainer's training the guard of
zero steps speaks instead.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import ModuleType
from typing import Any

from metalassay import guard
from metalassay.child import trainer
from metalassay.child.run import Run, harmless, say
from metalassay.patches.layers import layer

_kept = ExitStack()  # until the process ends
_reported: weakref.WeakSet[Any] = weakref.WeakSet()


def prepare(run: Run, module: ModuleType) -> None:
    """Watch the passes over both kinds of loaders of the module ``accelerate.data_loader``."""
    reporting = functools.partial(_reporting, run)
    for owner in (module.DataLoaderShard, module.DataLoaderDispatcher):
        # Level 2: outside the patches, without which an empty pass may not end as one.
        _kept.enter_context(layer(owner, "__iter__", reporting, level=2))


def _reporting(run: Run, below: Callable[[Any], Iterator[Any]]) -> Callable[[Any], Iterator[Any]]:
    @functools.wraps(below)
    def __iter__(self: Any) -> Iterator[Any]:  # noqa: N807  (replaces that method)
        generator = below(self)
        try:
            first = next(generator)
        except StopIteration:
            harmless(lambda: _report(run, self))
            return
        yield first
        del first  # release it when the next batch is requested, as upstream does
        yield from generator

    return __iter__


def _report(run: Run, loader: Any) -> None:
    if trainer.is_training() or loader in _reported:
        return
    _reported.add(loader)
    cause, next_step = guard.why_empty(loader)
    say(f"a pass over a loader yielded no batch: {cause} ({next_step})")
    run.send("empty loader", text=cause, next_step=next_step)
