"""Recommend a DataLoader setting by measurement: the fastest for a run of a given length."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from metalassay import minder
from metalassay.errors import UserError
from metalassay.fields import one_line

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


@dataclass(frozen=True)
class Data:
    """A Dataset of the user: ``name`` in a Python file, itself or a class or function that makes it."""

    file: Path
    name: str


def data(text: str) -> Data:
    """Parse ``FILE.py:NAME``. Raises ``UserError``."""
    file, _, name = text.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not path.is_file() or not name.isidentifier():
        raise UserError(
            f"{text!r} is no Python file and a Dataset in it", "metalassay loader my.py:dataset"
        )
    if not path.stem.isidentifier():
        raise UserError(
            f"{path}: worker processes cannot import a file of that name",
            "name it with letters, digits and underscores",
        )
    return Data(path, name)


def length(of: Data, most: int, timeout: float) -> int:
    """Return how many samples there are, ``most`` at most (0: all). Raises ``UserError`` for what is no Dataset."""
    answer = _child(0, 1, most, 0.0, timeout, of)
    if isinstance(answer, str):
        raise UserError(f"{of.file}:{of.name}: {answer}", "run the file alone first")
    return int(answer["samples"])


def contenders(cores: int | None = None) -> tuple[int, ...]:
    """Return the settings to try: preloaded, no workers, and powers of two up to the cores (4 at least)."""
    cores = cores or os.cpu_count() or 1
    return (PRELOADED, 0, *(n for n in (1, 2, 4, 8) if n <= max(cores, 4)))


def measure(
    workers: int,
    *,
    batch: int,
    samples: int,
    seconds: float = 3.0,
    timeout: float = 60.0,
    of: Data | None = None,
) -> Setting:
    """Time one setting in a process of its own, which is ended with its workers after ``timeout`` s.

    ``of`` is the Dataset of the user that is loaded, light curves in memory if there is none.
    """
    answer = _child(workers, batch, samples, seconds, timeout, of)
    if isinstance(answer, str):
        return Setting(workers, None, None, answer)
    return Setting(workers, answer["start_up"], answer["per_second"])


def _child(
    workers: int, batch: int, samples: int, seconds: float, timeout: float, of: Data | None
) -> dict[str, float] | str:
    """Return what the child answers, or why it does not."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "metalassay.workers.dataloader_child",
        str(workers),
        str(batch),
        str(samples),
    ]
    process = minder.start(
        [*command, str(seconds), *([str(of.file), of.name] if of else [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=os.name == "posix",  # so that its workers can be ended with it
        group=True,
    )
    try:
        with minder.forgetting(process.pid):
            out, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        return f"no result within {timeout:g} s"
    finally:
        if process.poll() is None:
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.communicate()
    try:
        result = json.loads(out.splitlines()[-1])
        return {name: float(value) for name, value in result.items()}
    except (AttributeError, IndexError, TypeError, ValueError):
        lines = errors.strip().splitlines() or [f"it ended with exit code {process.returncode}"]
        return one_line(lines[-1])[:300]


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
