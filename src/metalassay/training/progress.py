"""What a person, or a program, sees of a run: a bar, JSON lines, or nothing.

Everything goes to standard error but JSON lines, which are what was asked for.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from typing import Any

from metalassay.training.loop import Progress
from metalassay.training.machine_load import CpuClock, memory

MODES = ("bar", "quiet", "json")


class Display:
    """Shows the progress of a run; a context manager, since a bar has to be closed.

    ``unit`` is what speed counts a second. ``mode`` is one of ``MODES``.
    """

    def __init__(self, mode: str, steps: int, unit: str) -> None:
        self.mode, self.steps, self.unit = mode, steps, unit
        self._bar: Any = None
        self._clock = CpuClock()
        self._first: tuple[int, float] | None = None  # step and time of the first report

    def __enter__(self) -> Display:
        if self.mode == "bar":
            from tqdm import tqdm

            self._bar = tqdm(total=self.steps, file=sys.stderr, unit="step", dynamic_ncols=True)
        return self

    def __exit__(self, *failure: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def say(self, text: str) -> None:
        """Print a line without disturbing the bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

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
        if self.mode == "json":
            line = {**asdict(progress), "unit": self.unit, "cpu": cpu, "memory_free": free}
            line["seconds_left"] = self._seconds_left(progress.step)
            print(json.dumps(line), flush=True)
            return
        self._bar.set_postfix_str(line_of(progress, self.unit, cpu, free), refresh=False)
        if self._bar.n == 0:  # of a resumed run, the steps before took no time here
            self._bar.initial, self._bar.start_t = progress.step, time.time()
        self._bar.n = progress.step  # not update(): its moving average would take in that leap
        self._bar.refresh()
        for name, value in progress.figures.items():
            self.say(f"step {progress.step}: {name.replace('_', ' ')} {value:.4g}")


def line_of(progress: Progress, unit: str, cpu: float, free: float) -> str:
    """Return what stands behind the bar; a speed held back by the governor is none."""
    speed = f"{progress.speed:,.0f} {unit}/s" if progress.speed else "governed"
    return f"loss {progress.loss:.4f}, {speed}, CPU {cpu:.0%}, memory {1 - free:.0%}"
