"""What `metalassay run` asks of this process, and in which step all ranks of a training do it.

A training of several processes must end in the same step everywhere, or the ranks that go on wait forever
for the others. Rank 0 decides: it writes the step at which to stop into the folder of the run, and each
rank, rank 0 as well, stops when it gets there. Rank 0 names a step that is at least two steps and two
seconds away, so that nobody has passed it: data-parallel ranks exchange gradients in each step, which
keeps them within one step of each other. Nothing is added to the program's own communication.
"""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from metalassay.child.run import Run, harmless, say
from metalassay.supervise.protocol import Request, read_request

_BETWEEN_LOOKS = 0.2  # seconds between two looks at the file, from the loop
_AHEAD = 2.0  # seconds


class Requests:
    """The requests of a run; each is read once."""

    def __init__(self, run: Run) -> None:
        self._path = run.folder / "request.json"
        self._seen: tuple[int, int] | None = None
        self.number = 0

    def new(self) -> Request | None:
        """Return the request if there is one that has not been returned yet.

        Raises ``ValueError``, ``TypeError`` or ``KeyError`` if it is malformed.
        """
        try:
            state = os.stat(self._path)  # noqa: PTH116  (once a second or more: no need for a Path)
        except FileNotFoundError:
            return None
        if self._seen == (state.st_ino, state.st_mtime_ns):
            return None
        self._seen = (state.st_ino, state.st_mtime_ns)
        request = read_request(self._path.parent)
        if request is None or request.number <= self.number:
            return None
        self.number = request.number
        return request


@dataclass
class Stop:
    """The request to save a checkpoint and end, and the step in which this process does so."""

    run: Run
    _requests: Requests = field(init=False)
    _request: Request | None = None
    _next_look: float = 0.0
    _first: tuple[float, int] | None = None
    _impossible: bool = False

    def __post_init__(self) -> None:
        self._requests = Requests(self.run)

    def ask(self, request: Request) -> None:
        """Take over a request that the watch thread has read; a later one may have replaced it."""
        self._request = request

    def wanted(self, step: int) -> str | None:
        """Return the reason if the training is to stop after this step; None if not, or not yet.

        To be called after each step, with numbers that are the same on all ranks.
        """
        return harmless(lambda: self._wanted(step))

    def _wanted(self, step: int) -> str | None:
        now = time.monotonic()
        if self._first is None or step <= self._first[1]:
            self._first = (now, step)
        if self._request is None:
            if now < self._next_look:
                return None
            self._next_look = now + _BETWEEN_LOOKS
            request = self._requests.new()
            if request is None or request.want != "stop":
                return None
            self._request = request
        rank, ranks = rank_and_ranks()
        if ranks == 1 or self._reached(self._request, step, self._first, rank, ranks):
            return self._request.reason
        return None

    def _reached(
        self, request: Request, step: int, first: tuple[float, int], rank: int, ranks: int
    ) -> bool:
        if self._impossible:
            return False
        if ranks != int(os.environ.get("LOCAL_WORLD_SIZE") or ranks):
            # Only the ranks of this machine can be told, and the others would wait for them.
            self._impossible = True
            if rank == 0:
                say(f"the training has {ranks} processes on several machines; it cannot be stopped")
            return False
        # Two trainings may be part of one run.
        training = os.environ.get("MASTER_PORT", "")
        decision = self.run.folder / f"stop-{request.number}-{training}"
        at = _read_number(decision)
        if at is None and rank == 0:
            at = step + _steps_ahead(first, step)
            _write_number(decision, at)
        return at is not None and step >= at


def _steps_ahead(first: tuple[float, int], step: int) -> int:
    """Return how many steps to wait, from the time and number of the first step and this one's number."""
    began, number = first
    seconds = (time.monotonic() - began) / (step - number) if step > number else math.inf
    return max(2, math.ceil(_AHEAD / max(seconds, 1e-6)))


def rank_and_ranks() -> tuple[int, int]:
    """Return the rank of this process and the number of ranks in its training; 0 and 1 if it is alone."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except FileNotFoundError:
        return None


def _write_number(path: Path, number: int) -> None:
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(str(number), "ascii")
    temporary.replace(path)
