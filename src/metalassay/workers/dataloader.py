"""Recommend a DataLoader setting by measurement: the fastest for a run of a given length."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from metalassay import minder

PRELOADED = -1  # in place of a number of workers: tensors are loaded beforehand
CLOSE = 1.10
"""Settings within this factor of the fastest count as equal; the simplest of them is recommended."""


@dataclass(frozen=True)
class Setting:
    """One setting: seconds to its first batch and samples per second after it, or why it failed."""

    workers: int
    start_up: float | None
    per_second: float | None
    why: str = ""

    @property
    def name(self) -> str:
        """The name to print."""
        return "preloaded tensors" if self.workers == PRELOADED else f"num_workers={self.workers}"

    def seconds(self, samples: int) -> float:
        """Return the seconds that ``samples`` take, start-up included; infinite if it failed."""
        if self.start_up is None or not self.per_second:
            return float("inf")
        return self.start_up + samples / self.per_second


def contenders(cores: int | None = None) -> tuple[int, ...]:
    """Return the settings to try: preloaded, no workers, and powers of two up to the cores (4 at least)."""
    cores = cores or os.cpu_count() or 1
    return (PRELOADED, 0, *(n for n in (1, 2, 4, 8) if n <= max(cores, 4)))


def measure(
    workers: int, *, batch: int, samples: int, seconds: float = 3.0, timeout: float = 60.0
) -> Setting:
    """Time one setting in a process of its own, which is ended with its workers after ``timeout`` s."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "metalassay.workers.dataloader_child",
        str(workers),
        str(batch),
        str(samples),
    ]
    minder.prepare()
    process = subprocess.Popen(  # noqa: S603  (our own module, no shell)
        [*command, str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=os.name == "posix",  # so that its workers can be ended with it
    )
    try:
        with minder.watching(process.pid, group=True):
            out, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        return Setting(workers, None, None, f"no result within {timeout:g} s")
    finally:
        if process.poll() is None:
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.communicate()
    try:
        result = json.loads(out.splitlines()[-1])
        return Setting(workers, float(result["start_up"]), float(result["per_second"]))
    except (IndexError, KeyError, ValueError):
        lines = errors.strip().splitlines() or [f"it ended with exit code {process.returncode}"]
        return Setting(workers, None, None, lines[-1])


def recommend(settings: Sequence[Setting], samples: int) -> Setting | None:
    """Return the setting for ``samples`` in all: the simplest of those that are about the fastest.

    No workers are simpler than workers, and few simpler than many. Preloading comes last, because it
    needs memory for all data. Returns None if all settings failed.
    """
    working = [setting for setting in settings if setting.per_second]
    if not working:
        return None
    least = min(setting.seconds(samples) for setting in working)
    near = [setting for setting in working if setting.seconds(samples) <= CLOSE * least]
    return min(near, key=lambda setting: (setting.workers == PRELOADED, setting.workers))


def tune(
    batch: int,
    samples: int,
    epochs: int,
    *,
    measure_setting: Callable[[int], Setting],
    workers: Sequence[int] | None = None,
) -> tuple[tuple[Setting, ...], Setting | None]:
    """Time every setting and recommend one for ``epochs`` passes over ``samples``.

    ``measure_setting`` times the setting with a number of workers; ``workers`` are those to try.
    Raises ``ValueError`` for numbers below 1.
    """
    if min(batch, samples, epochs) < 1:
        raise ValueError("batch, samples and epochs must be at least 1")
    numbers = contenders() if workers is None else workers
    settings = tuple(measure_setting(number) for number in numbers)
    return settings, recommend(settings, samples * epochs)
