"""Shows how far a matrix is: what runs, what is done, what is left, and how long that will take."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from metalassay.matrix import durations
from metalassay.matrix.run_row import Outcome

_WIDTH = 79


class Progress:
    """Prints a line for each row that ended, and on a terminal one line that says what runs.

    ``known`` maps rows to the seconds that they took last (``durations.recorded``), ``jobs`` is how many
    run at a time. With ``width``, no line is longer: it says the same in fewer words, then it is cut. It may be called from several threads.
    """

    def __init__(
        self,
        rows: Sequence[str],
        known: Mapping[str, float],
        jobs: int,
        stream: TextIO | None = None,
        *,
        width: int | None = None,
    ) -> None:
        self.waiting = list(rows)
        self.running: dict[str, float] = {}
        self.done = 0
        self.known = known
        self.jobs = jobs
        self.width = width
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self._lock = threading.Lock()

    def begins(self, row: str) -> None:
        """Note that a row begins."""
        with self._lock:
            if row in self.waiting:
                self.waiting.remove(row)
            self.running[row] = time.monotonic()
            self._show()

    def ends(self, outcome: Outcome) -> None:
        """Note how a row ended, and print it."""
        with self._lock:
            self.running.pop(outcome.row, None)
            self.done += 1
            self._print(self._ended(outcome))

    def say(self, text: str) -> None:
        """Print a line of its own above the line of progress."""
        with self._lock:
            self._print(text)

    def tick(self) -> None:
        """Print the time left again; only a terminal shows it between two rows."""
        with self._lock:
            if self.live:
                self._show()

    def close(self) -> None:
        """Remove the line of progress."""
        with self._lock:
            if self.live:
                self.stream.write("\r\x1b[K")
                self.stream.flush()

    def _ended(self, outcome: Outcome) -> str:
        """Return the line of a row that ended."""
        # Where no line of progress stays on the screen, each line says how far it is.
        text, how_far = as_line(outcome), "" if self.live else f" [{self.line()}]"
        if self.width is None or len(text + how_far) <= self.width:
            return text + how_far
        text = " ".join(text.split())
        if how_far:
            left = self.left()
            time_left = "" if left is None else f", {as_time(left)} left"
            how_far = f" [{self.done} of {self._total()}{time_left}]"
        return _cut(text, self.width - len(how_far)) + how_far

    def _total(self) -> int:
        return self.done + len(self.running) + len(self.waiting)

    def line(self) -> str:
        """Return the line of progress, at most 79 characters."""
        widest = _WIDTH if self.width is None else min(_WIDTH, self.width - 1)
        left = self.left()
        time_left = "" if left is None else f", about {as_time(left)} left"
        counts = f"{self.done} of {self._total()} done{time_left}"
        names = ", ".join(self.running)
        room = widest - len(counts) - len("; running: ")
        if len(names) > room:
            names = f"{len(self.running)} rows"
        return _cut(f"{counts}; running: {names}" if self.running else counts, widest)

    def left(self) -> float | None:
        """Return the seconds left by the recorded times; None where no row has one."""
        now = time.monotonic()
        rest = {
            row: max(0.0, self.known[row] - (now - began))
            for row, began in self.running.items()
            if row in self.known
        }
        known = {**self.known, **rest}
        return durations.estimate([*self.running, *self.waiting], known, self.jobs)

    def _print(self, text: str) -> None:
        self.stream.write(f"\r\x1b[K{text}\n" if self.live else f"{text}\n")
        self._show()

    def _show(self) -> None:
        if self.live:
            self.stream.write(f"\r\x1b[K{self.line()}")
        self.stream.flush()


def _cut(text: str, width: int) -> str:
    """Return a text in at most ``width`` characters, with an ellipsis where something was cut off."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "\N{HORIZONTAL ELLIPSIS}"


def as_line(outcome: Outcome) -> str:
    """Return how a row ended as one line."""
    if outcome.unchanged:
        when = f"unchanged since {outcome.unchanged:%Y-%m-%d %H:%M} UTC"
    else:
        when = f"{outcome.seconds:.1f} s"
    why = f": {outcome.why}" if outcome.why else ""
    return f"{outcome.state:<16}{outcome.row} ({when}){why}"


def as_time(seconds: float) -> str:
    """Return a time for people: whole seconds below two minutes, else whole minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
