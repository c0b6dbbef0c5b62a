"""Correct the typo in accelerate 1.8.0, https://github.com/huggingface/accelerate/pull/3645.

``prepare_data_loader`` reads ``new_dataset.n_shard``; the attribute is called ``n_shards``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType

TARGET = "accelerate.data_loader"

_lock = threading.Lock()
_users = 0
_stock: CodeType | None = None


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


# After a fork while another thread holds the lock, nothing would release it in the child.
os.register_at_fork(after_in_child=_renew_lock)


def is_affected(code: CodeType) -> bool:
    """Return whether the function's code reads an attribute with the misspelt name."""
    return "n_shard" in code.co_names


@contextmanager
def patch() -> Iterator[bool]:
    """Correct the attribute's name inside the ``with`` block; yields whether it was misspelt.

    Only the name in the function's code changes; the function object stays the same, because other
    modules have imported it. Raises ``ModuleNotFoundError`` if accelerate is not installed.
    """
    from accelerate.data_loader import prepare_data_loader

    global _users, _stock
    with _lock:
        code = _stock or prepare_data_loader.__code__
        affected = is_affected(code)
        if affected:
            if _users == 0:
                _stock = code
                names = tuple("n_shards" if name == "n_shard" else name for name in code.co_names)
                prepare_data_loader.__code__ = code.replace(co_names=names)
            _users += 1
    try:
        yield affected
    finally:
        if affected:
            with _lock:
                _users -= 1
                if _users == 0:
                    prepare_data_loader.__code__ = _stock
                    _stock = None
