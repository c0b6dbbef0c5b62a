"""Fix https://github.com/huggingface/accelerate/pull/3659 in accelerate 0.11.0 to 1.8.1.

``DataLoaderShard.__iter__`` reads one batch ahead. When the first read finds nothing, it executes a
bare ``yield``: the user's loop runs once with None, and the next step reads the local variable
``current_batch``, which was never assigned. Like upstream's fix, this one ends the loop there; every
batch of a non-empty loader still comes from upstream's own generator.
"""

from __future__ import annotations

import dis
import functools
import itertools
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import FunctionType, GeneratorType
from typing import Any

from metalassay.patches import replaced
from metalassay.patches.layers import layer, stock

TARGET = "accelerate.data_loader"


def is_affected(function: FunctionType) -> bool:
    """Return whether the generator function contains a bare ``yield``.

    In bytecode, that is an instruction that loads the constant None directly before a YIELD_VALUE.
    ``DataLoaderShard.__iter__`` has one in exactly the affected versions (checked on CPython 3.10
    to 3.13).
    """
    code = [step for step in dis.get_instructions(function) if step.opname not in {"NOP", "CACHE"}]
    return any(
        here.opname == "LOAD_CONST" and here.argval is None and following.opname == "YIELD_VALUE"
        for here, following in itertools.pairwise(code)
    )


@contextmanager
def patch() -> Iterator[bool]:
    """Fix empty loaders inside the ``with`` block; yields whether the patch was needed.

    Warns if other code has replaced the method, whose name it says. Raises ``ModuleNotFoundError`` if
    accelerate is not installed.
    """
    from accelerate.data_loader import DataLoaderShard

    foreign = replaced.replacement(DataLoaderShard, "__iter__")
    if foreign is not None:
        what = (
            f"DataLoaderShard.__iter__ is not accelerate's own, but {replaced.described(foreign)}"
        )
        warnings.warn(f"{what}; nothing of accelerate's is patched", RuntimeWarning, stacklevel=3)
        yield False
        return
    if not is_affected(stock(DataLoaderShard, "__iter__")):
        yield False
        return
    # Level 0: it inspects the stock generator's frame, so it must wrap it directly.
    with layer(DataLoaderShard, "__iter__", _ending_when_empty, level=0):
        yield True


def leave(loader: Any) -> None:
    """Remove a loader from accelerate's GradientState, as its own loop does after the last batch."""
    # Looked up on the class: loaders forward unknown attributes to the DataLoader they wrap.
    if hasattr(type(loader), "end"):
        loader.end()
    elif hasattr(loader.gradient_state, "_remove_dataloader"):  # 0.17 to 0.20
        loader.gradient_state._remove_dataloader(loader)
    # Before 0.17 GradientState had no references to loaders.


def _at_bare_yield(generator: GeneratorType[Any, None, None]) -> bool:
    """Return whether the stock loop is suspended before its first batch: its variable is unbound."""
    frame = generator.gi_frame
    if frame is None:
        return False
    variables = frame.f_locals
    unbound = "current_batch" not in variables
    if isinstance(variables, dict):
        # Before Python 3.13 this is a copy that the frame keeps, and with it the batches.
        variables.clear()
    return unbound


def _ending_when_empty(
    below: Callable[[Any], GeneratorType[Any, None, None]],
) -> Callable[[Any], Generator[Any, None, None]]:
    @functools.wraps(below)
    def __iter__(self: Any) -> Generator[Any, None, None]:  # noqa: N807  (replaces that method)
        generator = below(self)
        for first in generator:
            # A None that the user's collate_fn returned is data.
            if first is None and _at_bare_yield(generator):
                generator.close()
                leave(self)
                return
            yield first
            # Release the batch when the next one is requested, as upstream does.
            del first
            yield from generator
            return

    return __iter__
