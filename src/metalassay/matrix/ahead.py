"""Resolves the rows that come next while the present one runs: a resolver mostly waits for an index."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from metalassay.errors import UserError
from metalassay.matrix import environments, resolver
from metalassay.matrix.matrix_file import COMPAT, Row
from metalassay.matrix.resolver import Failure

_AT_ONCE = 2
_AHEAD = 5  # rows; what is resolved much earlier than it is used may be out of date by then

Lock = tuple[str, ...] | Failure


class Ahead:
    """The locks of the next rows, resolved in threads.

    Create it with the rows in the order in which they will run. A row's lock is given out once: who
    asks again, because the first answer was a failure, resolves again.
    """

    def __init__(self, rows: Iterable[Row], root: Path) -> None:
        self.root = root
        self._changes = threading.Lock()  # rows may run in several threads
        self._pool = ThreadPoolExecutor(_AT_ONCE)
        self._waiting = deque(rows)
        self._begun: dict[str, Future[Lock | None]] = {}
        with self._changes:
            self._begin()

    def _begin(self) -> None:
        while self._waiting and len(self._begun) < _AHEAD:
            row = self._waiting.popleft()
            self._begun[row.id] = self._pool.submit(_resolved, row, self.root)

    def lock(self, row: Row, python: environments.Interpreter) -> Lock:
        """Return the row's lock, resolved now if nobody has begun to; see ``resolver.lock``."""
        with self._changes:
            begun = self._begun.pop(row.id, None)
            self._waiting = deque(each for each in self._waiting if each.id != row.id)
            self._begin()
        resolved = begun.result() if begun else None
        return of_row(row, self.root, python) if resolved is None else resolved

    def close(self) -> None:
        """Begin no other row, and wait for those that have begun."""
        with self._changes:
            self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)


def of_row(row: Row, root: Path, python: environments.Interpreter) -> Lock:
    """Choose the versions of everything that a row needs.

    The suite needs metalassay, so its requirements count too. The smoke test needs nothing of ours.
    """
    own = environments.own_requirements(root, "compat") if row.runs == COMPAT else []
    return resolver.lock([*own, *row.requires], python.path)


def _resolved(row: Row, root: Path) -> Lock | None:
    try:
        return of_row(row, root, environments.interpreter(row))
    except UserError:
        return None  # no such Python yet: whoever runs the row gets it, or meets this again and tells it
