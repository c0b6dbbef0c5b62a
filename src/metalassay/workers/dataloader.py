"""A measured recommendation for a DataLoader: which setting is quickest for a run of a given length."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PRELOADED = -1  # stands for tensors loaded beforehand, where others have a number of workers
CLOSE = 1.10
"""Settings within this factor of the quickest count as equal; the simplest of them is recommended."""


@dataclass(frozen=True)
class Setting:
    """One setting: seconds until its first batch, samples a second after it, or why it has none."""

    workers: int
    start_up: float | None
    per_second: float | None
    why: str = ""

    @property
    def name(self) -> str:
        """What to call it."""
        return "preloaded tensors" if self.workers == PRELOADED else f"num_workers={self.workers}"

    def seconds(self, samples: int) -> float:
        """Return how long ``samples`` take with it, start-up included; infinite where it failed."""
        if self.start_up is None or not self.per_second:
            return float("inf")
        return self.start_up + samples / self.per_second


def contenders(cores: int | None = None) -> tuple[int, ...]:
    """Return the settings to try: preloaded, no workers, and powers of two up to the cores."""
    cores = cores or os.cpu_count() or 1
    return (PRELOADED, 0, *(n for n in (1, 2, 4, 8) if n <= max(cores, 4)))


def measure(
    workers: int, *, batch: int, samples: int, seconds: float = 3.0, timeout: float = 60.0
) -> Setting:
    """Time one setting in a process of its own, which is ended with its workers after ``timeout`` s."""
    command = [
        sys.executable,
        "-m",
        "metalassay.workers.dataloader_child",
        str(workers),
        str(batch),
        str(samples),
    ]
    process = subprocess.Popen(  # noqa: S603  (our own module, no shell)
        [*command, str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=os.name == "posix",  # so that its workers can be ended with it
    )
    try:
        out, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        return Setting(workers, None, None, f"no answer within {timeout:g} s")
    finally:
        if process.poll() is None:
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.communicate()
    try:
        found = json.loads(out.splitlines()[-1])
        return Setting(workers, float(found["start_up"]), float(found["per_second"]))
    except (IndexError, KeyError, ValueError):
        said = errors.strip().splitlines() or [f"it ended with code {process.returncode}"]
        return Setting(workers, None, None, said[-1])


def recommend(settings: Sequence[Setting], samples: int) -> Setting | None:
    """Return the setting to use for ``samples`` in all: the simplest of those about the quickest.

    None where all failed. Simple is: no workers before workers, few before many. Preloading is only
    named where it gains, as it needs the memory for all data.
    """
    working = [each for each in settings if each.per_second]
    if not working:
        return None
    least = min(each.seconds(samples) for each in working)
    near = [each for each in working if each.seconds(samples) <= CLOSE * least]
    return min(near, key=lambda each: (each.workers == PRELOADED, each.workers))


def tune(
    batch: int,
    samples: int,
    epochs: int,
    *,
    each: Callable[[int], Setting],
    workers: Sequence[int] | None = None,
) -> tuple[tuple[Setting, ...], Setting | None]:
    """Time every contender with ``each`` and recommend one for ``epochs`` passes over ``samples``."""
    if min(batch, samples, epochs) < 1:
        raise ValueError("batch, samples and epochs start at 1")
    settings = tuple(each(number) for number in (contenders() if workers is None else workers))
    return settings, recommend(settings, samples * epochs)
