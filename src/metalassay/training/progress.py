"""What a person, or a program, sees of a run: a bar, JSON lines, or nothing.

Everything goes to standard error but JSON lines, which are what was asked for.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

from metalassay.supervise.machine_load import CpuClock, memory
from metalassay.training import status_line
from metalassay.training.loop import Progress
from metalassay.training.status_line import StatusLine

MODES = ("bar", "quiet", "json")
_LEAST_BAR, _MOST_BAR = 8, 40  # blocks; with fewer a bar shows less than the percentage beside it


class Display:
    """Shows the progress of a run; a context manager, since a bar has to be closed.

    ``unit`` is what speed counts a second. ``mode`` is one of ``MODES``.
    """

    def __init__(self, mode: str, steps: int, unit: str) -> None:
        self.mode, self.steps, self.unit = mode, steps, unit
        self._line: StatusLine | None = None
        self._clock = CpuClock()
        self._began = time.monotonic()
        self._first: tuple[int, float] | None = None  # step and time of the first report

    def __enter__(self) -> Display:
        if self.mode == "bar":
            self._line = StatusLine().__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        if self._line is not None:
            self._line.__exit__(*failure)

    def say(self, text: str) -> None:
        """Print a line without disturbing the bar."""
        status_line.say(text)

    def sample(self, step: int, prompt: str, text: str) -> None:
        """Show what a model answers after ``step``."""
        if self.mode == "json":
            line = {"step": step, "prompt": prompt, "sample": text}
            print(json.dumps(line, ensure_ascii=False), flush=True)
        else:
            self.say(f"step {step}: {prompt} -> {text}")

    def _seconds_left(self, step: int) -> float | None:
        """Return how long the other steps will take at the pace since the first report, pauses too."""
        now = time.monotonic()
        self._first = self._first or (step, now)
        done, seconds = step - self._first[0], now - self._first[1]
        return round((self.steps - step) * seconds / done, 1) if done else None

    def show(self, progress: Progress) -> None:
        """Show where the run is."""
        if self.mode == "quiet":
            return
        cpu, free = self._clock.share(), memory().free
        left = self._seconds_left(progress.step)
        if self.mode == "json":
            line = {**asdict(progress), "unit": self.unit, "cpu": cpu, "memory_free": free}
            line["seconds_left"] = left
            print(json.dumps(line), flush=True)
            return
        passed = time.monotonic() - self._began
        if self._line is not None:
            self._line.draw(
                lambda width: line_of(progress, self.unit, cpu, free, passed, left, width)
            )
        for name, value in progress.figures.items():
            self.say(f"step {progress.step}: {name.replace('_', ' ')} {value:.4g}")


def line_of(
    progress: Progress,
    unit: str,
    cpu: float,
    free: float,
    passed: float,
    left: float | None,
    width: int | None,
) -> str:
    """Return where a run is in at most ``width`` columns; a speed held back by the governor is none.

    What has no room goes in this order: the bar, long words, memory, CPU, speed, time, and the loss.
    """
    count, loss, load = (
        f"{progress.step}/{progress.steps}",
        f"loss {progress.loss:.4f}",
        f"{cpu:.0%}",
    )
    speed = "governed" if not progress.speed else f"{progress.speed:,.0f} {unit}/s"
    used, to_go = f"{1 - free:.0%}", "?" if left is None else _clock(left)
    head = f"{count} [{_clock(passed)}<{to_go}] {loss}, {speed}, CPU {load}, "
    words = f"{head}memory {used}"
    if width is None:
        return words
    share = progress.step / max(progress.steps, 1)
    blocks = min(width - len(words) - len("100%||  "), _MOST_BAR)
    if blocks >= _LEAST_BAR:
        return f"{share:4.0%}|{_block() * round(share * blocks):{blocks}}| {words}"
    brief = "governed" if not progress.speed else _brief(progress.speed)
    parts = [count, loss, f"{to_go} left", brief, f"CPU {load}", f"mem {used}"]
    shorter = [words, f"{head}mem {used}"]
    shorter += [" ".join(parts[:number]) for number in range(len(parts), 0, -1)]
    return next((each for each in shorter if len(each) <= width), count[:width])


def _clock(seconds: float) -> str:
    """Return hours, where there are any, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _brief(speed: float) -> str:
    return f"{speed:.0f}/s" if speed < 10_000 else f"{speed / 1000:.0f}k/s"


def _block() -> str:
    try:
        "\u2588".encode(sys.stderr.encoding or "ascii")
    except UnicodeEncodeError:
        return "#"
    return "\u2588"
