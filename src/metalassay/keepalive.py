"""Tell `metalassay run` how far your own training loop is, and let it ask for a checkpoint.

For a loop of your own; transformers' Trainer needs none of this. Outside `metalassay run` these functions
do nothing, so that they can stay in the program::

    from metalassay import keepalive

    for step, batch in enumerate(loader):
        train_on(batch)
        if keepalive.checkpoint_wanted():
            torch.save(state(), path)
            keepalive.saved(path, step)
            break

Steps of torch's optimizers are counted without a call. Imports nothing but the standard library.
"""

from __future__ import annotations

import os
from typing import Protocol


class Listener(Protocol):
    """What `metalassay run` brings into the process: it hears of the steps and knows of requests."""

    def step(self) -> None:
        """Count a step."""

    def checkpoint_wanted(self) -> str | None:
        """Return the reason for which a checkpoint is wanted, or None."""

    def saved(self, path: str, step: int) -> None:
        """Hear that a checkpoint was saved."""


_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Let ``listener`` hear what the program tells; for `metalassay run`, not for programs."""
    global _listener
    _listener = listener


def step() -> None:
    """Count one step of a loop that uses none of torch's optimizers, such as generation.

    Once it has been called, these steps are reported, and those of optimizers are not.
    """
    if _listener is not None:
        _listener.step()


def checkpoint_wanted() -> str | None:
    """Return why the program should save a checkpoint now and end; None while it need not.

    Call it once in each step. In a training of several processes call it in each of them: all are told
    in the same step. Where ranks are ahead of each other by more than two steps, ask in one process only
    and broadcast the answer. Once it has returned a reason, it keeps returning it.
    """
    return None if _listener is None else _listener.checkpoint_wanted()


def saved(path: str | os.PathLike[str], step: int) -> None:
    """Say that a checkpoint of this step has been written to ``path``, a file or a folder."""
    if _listener is not None:
        _listener.saved(os.fspath(path), step)
