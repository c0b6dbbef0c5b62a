"""Show the progress of a run: as a status line, as JSON lines, or not at all.

Everything goes to standard error except the JSON lines, which go to standard output.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

from metalassay.machine import gpu_load
from metalassay.supervise.machine_load import CpuClock, free_memory
from metalassay.training import status_line
from metalassay.training.loop import Progress
from metalassay.training.status_line import StatusLine

_LEAST_BAR, _MOST_BAR = 8, 40  # blocks; with fewer, a bar shows less than the percentage beside it


class Display:
    """Shows the progress of a run; a context manager, since the status line has to be closed.

    ``mode`` is "bar", "quiet" or "json". ``unit`` is that of the speed, per second. ``gpu`` shows how busy the
    GPU is, with all programs, where the system tells.
    """

    def __init__(self, mode: str, steps: int, unit: str, *, gpu: bool = False) -> None:
        self.mode, self.steps, self.unit = mode, steps, unit
        self._line: StatusLine | None = None
        self._clock = CpuClock()
        self._began = time.monotonic()
        self._first: tuple[int, float] | None = None  # step and time of the first report
        self._gpu = gpu_load.Sampler() if gpu and mode != "quiet" else None

    def __enter__(self) -> Display:
        if self.mode == "bar":
            self._line = StatusLine().__enter__()
        if self._gpu is not None:
            self._gpu.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        if self._gpu is not None:
            self._gpu.__exit__(*failure)
        if self._line is not None:
            self._line.__exit__(*failure)

    def write(self, text: str) -> None:
        """Print a line above the status line."""
        status_line.write(text)

    def sample(self, step: int, prompt: str, text: str) -> None:
        """Show the answer of a model after ``step``."""
        if self.mode == "json":
            line = {"step": step, "prompt": prompt, "sample": text}
            print(json.dumps(line, ensure_ascii=False), flush=True)
        else:
            self.write(f"step {step}: {prompt} -> {text}")

    def _seconds_left(self, step: int) -> float | None:
        """Estimate the remaining seconds from the speed since the first report, pauses included."""
        now = time.monotonic()
        self._first = self._first or (step, now)
        done, seconds = step - self._first[0], now - self._first[1]
        return round((self.steps - step) * seconds / done, 1) if done else None

    def show(self, progress: Progress) -> None:
        """Show a report."""
        if self.mode == "quiet":
            return
        cpu, free = self._clock.share(), free_memory()
        left = self._seconds_left(progress.step)
        gpu = None if self._gpu is None else self._gpu.latest
        if self.mode == "json":
            line = {**asdict(progress), "unit": self.unit, "cpu": cpu, "memory_free": free}
            line["seconds_left"] = left
            if gpu is not None:
                line["gpu"] = gpu / 100
            print(json.dumps(line), flush=True)
            return
        elapsed = time.monotonic() - self._began
        if self._line is not None:
            self._line.draw(
                lambda width: format_line(progress, self.unit, cpu, free, elapsed, left, width, gpu)
            )
        for name, value in progress.figures.items():
            self.write(f"step {progress.step}: {name.replace('_', ' ')} {value:.4g}")


def format_line(
    progress: Progress,
    unit: str,
    cpu: float,
    free: float,
    elapsed: float,
    left: float | None,
    width: int | None,
    gpu: float | None = None,
) -> str:
    """Return the progress in at most ``width`` columns; None means no limit.

    If there is no room, these are left out in turn: the bar, long words, memory, CPU, speed, time and
    loss. "paused" replaces a speed that would include pauses by the CPU limiter, "profiled" one of
    nothing but profiled steps.
    """
    none = "profiled" if progress.profiled else "paused"
    count, loss, load = (
        f"{progress.step}/{progress.steps}",
        f"loss {progress.loss:.4f}",
        f"{cpu:.0%}" if gpu is None else f"{cpu:.0%}, GPU {gpu:.0f}%",
    )
    speed = none if not progress.speed else f"{progress.speed:,.0f} {unit}/s"
    used, remaining = f"{1 - free:.0%}", "?" if left is None else _clock(left)
    head = f"{count} [{_clock(elapsed)}<{remaining}] {loss}, {speed}, CPU {load}, "
    full = f"{head}memory {used}"
    if width is None:
        return full
    share = progress.step / max(progress.steps, 1)
    blocks = min(width - len(full) - len("100%||  "), _MOST_BAR)
    if blocks >= _LEAST_BAR:
        return f"{share:4.0%}|{_block() * round(share * blocks):{blocks}}| {full}"
    brief = none if not progress.speed else _brief(progress.speed)
    parts = [count, loss, f"{remaining} left", brief, f"CPU {load}", f"mem {used}"]
    shorter = [full, f"{head}mem {used}"]
    shorter += [" ".join(parts[:number]) for number in range(len(parts), 0, -1)]
    return next((line for line in shorter if len(line) <= width), count[:width])


def _clock(seconds: float) -> str:
    """Return ``seconds`` as [h:]mm:ss."""
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
