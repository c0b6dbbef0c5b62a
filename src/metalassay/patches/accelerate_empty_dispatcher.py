"""Ends what https://github.com/huggingface/accelerate/pull/1531 turned into an error: no data.

``DataLoaderDispatcher`` is what accelerate makes of every iterable dataset by default. When the
first fetch finds nothing, it goes on to hand out a batch that is None: a ``ValueError`` in one
process (#1531 made it, on purpose), a ``TypeError`` about NoneType in several, and in both the
loader stays behind in ``GradientState``. With this patch the loop ends after zero batches, as over
any empty iterable. The first fetch has told every process that there is nothing, so all of them end.
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
    """Leaves the stock generator from inside its first fetch; never seen outside this module."""


def is_affected(function: FunctionType) -> bool:
    """Say whether the generator function still raises that ``ValueError``: its text is a constant."""
    return any(
        isinstance(each, str) and each.startswith("Batch does not contain any data")
        for each in function.__code__.co_consts
    )


@contextmanager
def patch() -> Iterator[bool]:
    """Let empty dispatchers end inside the ``with`` block; yields whether there was need to.

    Raises ``ModuleNotFoundError`` when accelerate is not installed.
    """
    from accelerate.data_loader import DataLoaderDispatcher

    if not is_affected(stock(DataLoaderDispatcher, "__iter__")):
        yield False
        return
    with layer(DataLoaderDispatcher, "__iter__", _ending_when_told, level=0):
        yield True


def _ending_when_told(
    below: Callable[[Any], Generator[Any, None, None]],
) -> Callable[[Any], Generator[Any, None, None]]:
    @functools.wraps(below)
    def __iter__(self: Any) -> Generator[Any, None, None]:  # noqa: N807  (takes that one's place)
        def first_fetch(iterator: Any) -> tuple[Any, Any]:
            # Stands before the method on this one loader, and only for the first fetch.
            del self.__dict__["_fetch_batches"]
            batch, info = self._fetch_batches(iterator)
            # [None, True] is how process 0 tells the others that there is nothing (more); a batch
            # that the user's collate_fn made None comes as [None, False].
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
        del first  # let go of it when the next one is asked for, as upstream does
        yield from generator

    return __iter__
