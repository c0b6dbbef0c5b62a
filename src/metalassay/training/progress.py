"""What a person, or a program, sees of a run: a bar, JSON lines, or nothing; and the monitor's log.

Everything goes to standard error but JSON lines, which are what was asked for.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

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
        self._share = self._clock.share()

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

    def show(self, progress: Progress) -> None:
        """Show where the run is."""
        if self.mode == "quiet":
            return
        cpu, free = self._clock.share(), memory().free
        if self.mode == "json":
            line = {**asdict(progress), "unit": self.unit, "cpu": cpu, "memory_free": free}
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


class Monitor:
    """Writes a line of JSON every ``seconds``: the time, CPU % of the machine, memory free %.

    ``cpu`` is of this process and its children, ``machine_cpu`` of everything; 100 is all cores.
    """

    def __init__(self, path: Path, seconds: float, extra: Callable[[], Mapping[str, Any]]) -> None:
        self.path, self.seconds, self.extra = path, seconds, extra
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)

    def __enter__(self) -> Monitor:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        clock = CpuClock()
        psutil.cpu_percent()  # the first answer counts from the start of the machine
        with self.path.open("a", encoding="utf-8") as stream:
            while not self._stop.wait(self.seconds):
                line = {
                    "timestamp": round(time.time(), 3),
                    "cpu": round(100 * clock.share(), 1),
                    "machine_cpu": psutil.cpu_percent(),
                    "memory_free": round(100 * memory().free, 1),
                    **self.extra(),
                }
                print(json.dumps(line), file=stream, flush=True)
