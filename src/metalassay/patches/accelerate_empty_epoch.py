"""Count epochs without batches, which https://github.com/huggingface/accelerate/pull/3659 omits.

Since 1.9.0 an empty ``DataLoaderShard`` ends cleanly, but before the lines that close an epoch: its
``iteration`` is not increased, so a dataset with ``set_epoch`` gets the same epoch forever, and
``end_of_dataloader`` and a stateful loader's ``_iterator_finished`` stay False.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from metalassay.patches.layers import layer

TARGET = "accelerate.data_loader"


@contextmanager
def patch() -> Iterator[bool]:
    """Count empty epochs inside the ``with`` block; yields True.

    Whether an epoch was not counted is checked when it ends; an accelerate that counts it is left
    alone. Raises ``ModuleNotFoundError`` if accelerate is not installed.
    """
    from accelerate.data_loader import DataLoaderDispatcher, DataLoaderShard

    with ExitStack() as layers:
        # Level 1: outside the patches that let an empty loader end at all.
        for owner in (DataLoaderShard, DataLoaderDispatcher):
            layers.enter_context(layer(owner, "__iter__", _counting, level=1))
        yield True


def _counting(
    below: Callable[[Any], Generator[Any, None, None]],
) -> Callable[[Any], Generator[Any, None, None]]:
    @functools.wraps(below)
    def __iter__(self: Any) -> Generator[Any, None, None]:  # noqa: N807  (replaces that method)
        generator = below(self)
        before = getattr(self, "iteration", None)
        try:
            first = next(generator)
        except StopIteration:
            # No batch. If all were skipped, the epoch has been counted and `iteration` has changed.
            if before is not None and self.iteration == before:
                self.end_of_dataloader = True
                if hasattr(self, "_update_state_dict"):
                    self._update_state_dict()
                self.iteration += 1
            return
        yield first
        del first  # release it when the next batch is requested, as upstream does
        yield from generator

    return __iter__
