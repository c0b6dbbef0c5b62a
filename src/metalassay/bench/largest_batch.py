"""The largest batch of a workload, as `metalassay max-batch` searches for it, but within a time."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from metalassay.environment import versions
from metalassay.machine import hardware
from metalassay.results import max_batch_file
from metalassay.workers import max_batch, specs
from metalassay.workers.max_batch import Try
from metalassay.workers.specs import Spec

SECONDS = 80.0
"""After this time no further batch is tried; what fitted until then is the result."""


class _TimeIsOverError(Exception):
    pass


def label(device: str, workload: str, mode: str) -> str:
    """Return the name of a search, as progress shows it."""
    return f"{device}: largest batch, {workload} {mode}"


def search(
    workload: str,
    mode: str,
    device: str,
    *,
    seconds: float = SECONDS,
    attempt: Callable[[Spec, int], Try] = max_batch.attempt,
) -> dict[str, Any]:
    """Return the file of a search: every try that began within ``seconds``.

    Cut short, it says less and nothing false: the largest batch that fitted, and the smallest that did not, if
    one did not.
    """
    spec = specs.parse(f"{workload}:{mode}:device={device}")
    tries: list[Try] = []
    started, began = datetime.now(UTC), time.monotonic()

    def within_time(batch: int) -> Try:
        if tries and time.monotonic() - began > seconds:
            raise _TimeIsOverError
        tries.append(attempt(spec, batch))
        return tries[-1]

    with contextlib.suppress(_TimeIsOverError):
        max_batch.search(within_time)
    return max_batch_file.document(
        workload=workload,
        mode=mode,
        device=device,
        dtype=spec.dtype,
        threads=spec.threads,
        malloc=spec.malloc,
        emulated=device == "mps" and platform.system() != "Darwin",
        tries=max_batch_file.as_tries(tries),
        started=started.isoformat(timespec="seconds"),
        seconds=time.monotonic() - began,
        versions=versions.installed(),
        machine=hardware.probe(),
    )
