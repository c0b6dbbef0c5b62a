"""Let an empty dispatcher end, where https://github.com/huggingface/accelerate/pull/1531 raises.

accelerate wraps every iterable dataset in ``DataLoaderDispatcher`` by default. When the first fetch
finds nothing, it returns a batch that is None: a ``ValueError`` in one process (deliberately, since
#1531), a ``TypeError`` about NoneType in several, and in both cases the loader remains registered in
``GradientState``. With this patch the loop ends after zero batches, as over any empty iterable. The
first fetch informs every process that there is no data, so all of them end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from metalassay.patches.accelerate_empty_shard import leave
from metalassay.patches.layers import layer, stock

TARGET = "accelerate.data_loader"


class _NothingToDispatchError(Exception):
    """Raised inside the first fetch to leave the stock generator; never escapes this module."""


def is_affected(function: FunctionType) -> bool:
    """Return whether the generator function has the message of that ``ValueError`` as a constant."""
    return any(
        isinstance(constant, str) and constant.startswith("Batch does not contain any data")
        for constant in function.__code__.co_consts
    )


@contextmanager
def patch() -> Iterator[bool]:
    """Let empty dispatchers end inside the ``with`` block; yields whether the patch was needed.

    Raises ``ModuleNotFoundError`` if accelerate is not installed.
    """
    from accelerate.data_loader import DataLoaderDispatcher

    if not is_affected(stock(DataLoaderDispatcher, "__iter__")):
        yield False
        return
    with layer(DataLoaderDispatcher, "__iter__", _ending_when_empty, level=0):
        yield True


def _ending_when_empty(
    below: Callable[[Any], Generator[Any, None, None]],
) -> Callable[[Any], Generator[Any, None, None]]:
    @functools.wraps(below)
    def __iter__(self: Any) -> Generator[Any, None, None]:  # noqa: N807  (replaces that method)
        def first_fetch(iterator: Any) -> tuple[Any, Any]:
            # Shadows the method on this loader only, for the first fetch only.
            del self.__dict__["_fetch_batches"]
            batch, info = self._fetch_batches(iterator)
            # Process 0 sends [None, True] when there is no (more) data; a batch for which the user's
            # collate_fn returned None arrives as [None, False].
            if info[0] is None and info[1]:
                raise _NothingToDispatchError
            return batch, info

        generator = below(self)
        self.__dict__["_fetch_batches"] = first_fetch
        try:
            first = next(generator)
        except StopIteration:  # every batch was skipped
            return
        except _NothingToDispatchError:
            leave(self)
            return
        finally:
            self.__dict__.pop("_fetch_batches", None)
        yield first
        del first  # release it when the next batch is requested, as upstream does
        yield from generator

    return __iter__
