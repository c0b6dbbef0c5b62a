"""Wrap an attribute of a class in layers that can be added and removed in any order, by any thread.

Several patches may wrap the same method. Each is a layer: a function that takes the method below and
returns the method above. Layers are always applied in the order of their levels, whichever was added
first, on top of the stock code. When the last layer is removed, the stock code is restored.
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
    """The layers around one attribute, each with its level and its number of users."""

    def __init__(self, owner: type, name: str) -> None:
        self.owner = owner
        self.name = name
        self.users: dict[Layer, tuple[int, int]] = {}
        self.stock: Any = None
        self.top: Any = None

    def enter(self, layer: Layer, level: int) -> None:
        """Add a user of ``layer``; the first one applies it."""
        if not self.users:
            self.stock = self.top = self.owner.__dict__[self.name]
        elif self.owner.__dict__[self.name] is not self.top:
            raise RuntimeError(f"{self._replaced()}; enter our patches after theirs")
        level, users = self.users.get(layer, (level, 0))
        self.users[layer] = (level, users + 1)
        if users == 0:
            self._apply()

    def leave(self, layer: Layer) -> None:
        """Remove a user of ``layer``; the last one removes the layer."""
        level, users = self.users[layer]
        if users > 1:
            self.users[layer] = (level, users - 1)
            return
        del self.users[layer]
        if self.owner.__dict__[self.name] is self.top:
            self._apply()
        else:
            # Restoring would undo the other replacement, which may still call ours.
            warnings.warn(
                f"{self._replaced()}; the patch stays underneath", RuntimeWarning, stacklevel=4
            )

    def _apply(self) -> None:
        self.top = self.stock
        for layer, _ in sorted(self.users.items(), key=lambda item: item[1][0]):
            self.top = layer(self.top)
        setattr(self.owner, self.name, self.top)

    def _replaced(self) -> str:
        return (
            f"{self.owner.__qualname__}.{self.name} was replaced by other code while a metalassay"
            " patch was active"
        )


_stacks: dict[tuple[type, str], _Stack] = {}
_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


# After a fork while another thread holds the lock, nothing would release it in the child.
os.register_at_fork(after_in_child=_renew_lock)


def stock(owner: type, name: str) -> Any:
    """Return the value of ``owner.name`` beneath all layers."""
    stack = _stacks.get((owner, name))
    return stack.stock if stack is not None and stack.users else owner.__dict__[name]


@contextmanager
def layer(owner: type, name: str, make: Layer, level: int) -> Iterator[None]:
    """Wrap ``owner.name`` in ``make`` inside the ``with`` block.

    ``make`` takes the method below and returns its replacement; entered twice, it is applied once.
    Layers with a higher level are further out. If other code has replaced the attribute meanwhile,
    entering raises ``RuntimeError`` and leaving warns; neither changes it.
    """
    with _lock:
        _stacks.setdefault((owner, name), _Stack(owner, name)).enter(make, level)
    try:
        yield
    finally:
        # What is entered for as long as a program runs is left when Python takes its modules apart, and has no lock then.
        if _lock is not None:
            with _lock:
                _stacks[owner, name].leave(make)
