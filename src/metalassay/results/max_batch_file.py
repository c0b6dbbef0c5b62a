"""The file of a search for the largest batch: `metalassay max-batch` writes it, the report reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from metalassay.fields import Field, FieldError, one_line
from metalassay.machine import dtypes
from metalassay.machine.hardware import Hardware, as_dict, from_dict

NAME = "metalassay.maxbatch"
SCHEMA = f"{NAME}/1"


@dataclass(frozen=True)
class LargestBatch:
    """The result of a search on one machine; batch sizes are in samples.

    ``largest`` is the largest batch that fitted, 0 if none did. ``limit`` is the smallest that did not
    fit, for the reason ``why``; None if every batch that was tried fitted. ``peak_bytes`` is the peak
    resident memory of the process with the largest batch, ``driver_bytes`` the most that the driver of its
    device was seen to hold after a step, None where unknown.
    """

    machine: Hardware
    versions: Mapping[str, str] = field(hash=False)
    workload: str
    mode: str
    device: str
    dtype: str
    threads: int
    malloc: str
    emulated: bool
    largest: int
    limit: int | None
    why: str
    peak_bytes: int | None
    file: str
    when: datetime
    driver_bytes: int | None = None


def document(
    *,
    workload: str,
    mode: str,
    device: str,
    dtype: str,
    threads: int,
    malloc: str,
    emulated: bool,
    tries: Sequence[Mapping[str, Any]],
    started: str,
    seconds: float,
    versions: Mapping[str, str],
    machine: Hardware,
) -> dict[str, Any]:
    """Lay out a file.

    Each try has ``batch``, ``fits``, ``peak_rss`` and ``driver_seen`` in bytes or None, and ``why``.
    """
    return {
        "schema": SCHEMA,
        "workload": workload,
        "mode": mode,
        "device": device,
        "dtype": dtype,
        "threads": threads,
        "malloc": malloc,
        "emulated": emulated,
        "tries": [dict(attempt) for attempt in tries],
        "started": started,
        "seconds": round(seconds, 3),
        "versions": dict(versions),
        "hardware": as_dict(machine),
    }


def read(top: Field, file: str) -> LargestBatch:
    """Read a parsed file; ``file`` is its name as the report shows it.

    The result is derived from the tries, so it cannot contradict them. Raises ``FieldError`` for
    tries that contradict each other, and for a missing or wrong field.
    """
    device = top.get("device").one_of(("cpu", "mps", "cuda"))
    emulated = top.get("emulated").flag()
    machine = from_dict(top.get("hardware").value)
    if device == "mps" and machine.system != "Darwin" and not emulated:
        raise FieldError(f"device mps, but the machine runs {machine.system}")
    tries = [_try(attempt) for attempt in top.get("tries").each()]
    if not tries:
        raise top.get("tries").wrong("at least one try")
    fitted = {batch: used for batch, fits, used, _ in tries if fits}
    failed = {batch: why for batch, fits, _, why in tries if not fits}
    peak, driver = fitted.get(max(fitted, default=0), (None, None))
    largest, limit = max(fitted, default=0), min(failed, default=None)
    if limit is not None and limit <= largest:
        raise FieldError(f"a batch of {limit} did not fit, but one of {largest} did")
    top.get("versions").get("torch")
    return LargestBatch(
        machine=machine,
        versions=top.get("versions").texts(),
        workload=top.get("workload").name(),
        mode=top.get("mode").one_of(("train", "infer")),
        device=device,
        dtype=top.get("dtype").one_of(dtypes.NAMES),
        threads=top.get("threads").whole(),
        malloc=top.get("malloc").name(),
        emulated=emulated,
        largest=largest,
        limit=limit,
        why=one_line(failed[limit]) if limit is not None else "",
        peak_bytes=peak,
        driver_bytes=driver,
        file=file,
        when=top.get("started").moment(),
    )


def _try(one: Field) -> tuple[int, bool, tuple[int | None, int | None], str]:
    """Return the batch, whether it fits, the peak and the driver's bytes, and why it does not."""
    fits = one.get("fits").flag()
    why = one.get("why").text()
    if not fits and not why.strip():
        raise one.get("why").wrong("the reason why it did not fit")
    # Earlier files have no "driver_seen".
    used = (
        one.get("peak_rss").or_none(Field.whole),
        one.find("driver_seen").or_none(Field.whole),
    )
    return one.get("batch").whole(), fits, used, why


def as_tries(tries: Sequence[Any]) -> list[dict[str, Any]]:
    """Return tries (``workers.max_batch.Try``) as ``document`` expects them."""
    return [asdict(attempt) for attempt in tries]
