"""Layers around one attribute of one class: put on and taken off in any order, by any thread.

Several patches may want the same method. Each is a layer, a function from the method below to the
method above; they always lie in the order of their levels, whoever came first, over the code that
was found there. When the last layer goes, that code is back.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Layer = Callable[[Any], Any]


class _Stack:
    """The layers around one attribute, each with its level and the number of its users."""

    def __init__(self, owner: type, name: str) -> None:
        self.owner = owner
        self.name = name
        self.users: dict[Layer, tuple[int, int]] = {}
        self.stock: Any = None
        self.top: Any = None

    def enter(self, layer: Layer, level: int) -> None:
        """Add a user of ``layer``; the first one lays it."""
        if not self.users:
            self.stock = self.top = self.owner.__dict__[self.name]
        elif self.owner.__dict__[self.name] is not self.top:
            raise RuntimeError(f"{self._replaced()}; enter our patches after theirs")
        level, users = self.users.get(layer, (level, 0))
        self.users[layer] = (level, users + 1)
        if users == 0:
            self._lay()

    def leave(self, layer: Layer) -> None:
        """Take a user of ``layer`` away; the last one lifts it."""
        level, users = self.users[layer]
        if users > 1:
            self.users[layer] = (level, users - 1)
            return
        del self.users[layer]
        if self.owner.__dict__[self.name] is self.top:
            self._lay()
        else:
            # Restoring would undo their work, and theirs may still call ours.
            warnings.warn(f"{self._replaced()}; it stays underneath", RuntimeWarning, stacklevel=4)

    def _lay(self) -> None:
        self.top = self.stock
        for each, _ in sorted(self.users.items(), key=lambda item: item[1][0]):
            self.top = each(self.top)
        setattr(self.owner, self.name, self.top)

    def _replaced(self) -> str:
        return (
            f"{self.owner.__qualname__}.{self.name} was replaced by somebody else while a"
            " metalassay patch was active"
        )


_stacks: dict[tuple[type, str], _Stack] = {}
_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


# A fork while another thread holds the lock would leave the child one that nobody opens.
os.register_at_fork(after_in_child=_renew_lock)


def stock(owner: type, name: str) -> Any:
    """Return what ``owner.name`` is beneath all layers."""
    stack = _stacks.get((owner, name))
    return stack.stock if stack is not None and stack.users else owner.__dict__[name]


@contextmanager
def layer(owner: type, name: str, make: Layer, level: int) -> Iterator[None]:
    """Keep ``make`` around ``owner.name`` inside the ``with`` block.

    ``make`` takes the method below and returns the one to put in its place; used twice, it lies
    there once. Layers of a higher level lie further out. When somebody else has replaced the
    attribute on top of ours, entering raises ``RuntimeError`` and leaving warns; neither touches it.
    """
    with _lock:
        _stacks.setdefault((owner, name), _Stack(owner, name)).enter(make, level)
    try:
        yield
    finally:
        with _lock:
            _stacks[owner, name].leave(make)
