"""Search for the largest batch that fits: double, then bisect, with each try in its own process.

A try may end in an "out of memory" exception, be killed, or take too long: the search goes on. The
limit is the machine's memory pressure, not an estimate: a try is ended when less than a tenth of the
memory is left, before the system starts to swap or to kill other programs.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from metalassay.errors import UserError
from metalassay.supervise.machine_load import pressure
from metalassay.workers.processes import Processes
from metalassay.workers.specs import Arm, Spec

LEFT = 0.10
"""Share of the memory that must be left; below it a try is ended."""
CLOSE = 1.05  # stop when the smallest failing batch is at most this multiple of the largest fitting
MOST = 2**20
_LOOK_EVERY = 0.1  # seconds
# MPS's message, the CPU allocator's, CUDA's, numpy's and mmap's; accelerate missed the first for years
# (https://github.com/huggingface/accelerate/issues/4226).
_NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|not enough memory|cannot allocate memory|MemoryError"
    r"|Invalid buffer size|bad_alloc",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Try:
    """One batch size: whether it fits, and its peak resident memory in bytes or why it does not.

    ``driver_seen`` are the most bytes that the device's driver held after a step (``child.finish``): the
    resident memory of a process has no Metal buffers in it. None on the CPU.
    """

    batch: int
    fits: bool
    peak_rss: int | None
    why: str = ""
    driver_seen: int | None = None


@dataclass(frozen=True)
class Found:
    """The result: ``largest`` is the largest batch that fits, 0 if not even 1 does.

    ``limit`` is the smallest batch that failed, None if none did up to the requested maximum.
    """

    largest: int
    limit: int | None
    tries: tuple[Try, ...]


def search(attempt: Callable[[int], Try], *, most: int = MOST, start: int = 1) -> Found:
    """Double from ``start`` until ``attempt`` fails, then bisect until the answer is close."""
    tries: list[Try] = []
    fits, fails, batch = 0, None, min(start, most)
    while True:
        tries.append(attempt(batch))
        if tries[-1].fits:
            fits = batch
            if batch >= most:
                break
        else:
            fails = batch
        if fails is None:
            batch = min(2 * batch, most)
        elif fails - fits <= 1 or fails <= CLOSE * fits:
            break
        else:
            batch = (fits + fails) // 2
    return Found(fits, fails, tuple(tries))


def attempt(spec: Spec, batch: int) -> Try:
    """Build the workload with ``batch`` in a process of its own and run at least two steps.

    Raises ``UserError`` if it fails for a reason other than memory.
    """
    arm = Arm(f"batch {batch}", dataclasses.replace(spec, batch=batch), sys.executable)
    pressed = threading.Event()
    done = threading.Event()
    with Processes(fresh=True) as processes:
        calm = pressure() in (None, "normal")

        def watch() -> None:
            while not done.wait(_LOOK_EVERY):
                if short_of_memory(calm=calm):
                    pressed.set()
                    processes.kill()
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            worker = processes.start(arm)
            worker.sample(1)
            used = worker.finish()
        except UserError as error:
            return Try(batch, False, None, reason(error, pressed=pressed.is_set()))
        finally:
            done.set()
            watcher.join()
    peak, driver = used.get("peak_rss"), used.get("driver_seen")
    return Try(
        batch, True, int(peak) if peak else None, driver_seen=int(driver) if driver else None
    )


def short_of_memory(*, calm: bool) -> bool:
    """Return whether a try has to end; ``calm``: the machine was under no pressure when it began.

    On macOS the memory that psutil calls available includes inactive pages of programs, which can be freed
    only by compressing or swapping them: the system swaps long before a tenth is left. Its own level tells
    (kern.memorystatus_vm_pressure_level).
    """
    memory = psutil.virtual_memory()
    if memory.available < LEFT * memory.total:
        return True
    if sys.platform != "darwin":
        return False
    level = pressure()
    return level == "critical" or (calm and level == "warning")


def reason(error: UserError, *, pressed: bool) -> str:
    """Return why a try failed; raise the error again if the reason was not memory or time."""
    if pressed:
        told = ", or macOS reported pressure" if sys.platform == "darwin" else ""
        return f"memory pressure: less than {LEFT:.0%} of the memory was left{told}"
    if "its process ended" in error.message:
        return "its process was killed or crashed"
    if "did not respond within" in error.message:
        return "it took too long"
    if _NO_MEMORY.search(error.message):
        return error.message.partition(": ")[2]
    raise error
