"""The largest batch that fitted, as a file: what `metalassay max-batch --save` writes and a report reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from metalassay.fields import Field, FieldError
from metalassay.machine import dtypes
from metalassay.machine.hardware import Hardware, as_dict, from_dict

NAME = "metalassay.maxbatch"
SCHEMA = f"{NAME}/1"


@dataclass(frozen=True)
class LargestBatch:
    """What a search found on a machine; batches are counted in samples.

    ``largest`` fitted, 0 if not even a batch of 1 did; ``limit`` is the smallest that did not, for
    the reason ``why``, and None where nothing failed up to the most that was asked for.
    ``peak_bytes`` is the resident memory of the process with the largest, None where unknown.
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
    """Lay out a file. ``tries`` have ``batch``, ``fits``, ``peak_rss`` in bytes or None, and ``why``."""
    return {
        "schema": SCHEMA,
        "workload": workload,
        "mode": mode,
        "device": device,
        "dtype": dtype,
        "threads": threads,
        "malloc": malloc,
        "emulated": emulated,
        "tries": [dict(each) for each in tries],
        "started": started,
        "seconds": round(seconds, 3),
        "versions": dict(versions),
        "hardware": as_dict(machine),
    }


def read(top: Field, file: str) -> LargestBatch:
    """Read a parsed file; ``file`` is its name as the report shows it.

    The answer is worked out from the tries, so it cannot contradict them. Raises ``FieldError``.
    """
    device = top.get("device").one_of(("cpu", "mps", "cuda"))
    emulated = top.get("emulated").flag()
    machine = from_dict(top.get("hardware").value)
    if device == "mps" and machine.system != "Darwin" and not emulated:
        raise FieldError(f"device mps, but the machine runs {machine.system}")
    tries = [_try(each) for each in top.get("tries").each()]
    if not tries:
        raise top.get("tries").wrong("at least one try")
    fitted = {batch: peak for batch, fits, peak, _ in tries if fits}
    failed = {batch: why for batch, fits, _, why in tries if not fits}
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
        why=" ".join(failed[limit].split()) if limit is not None else "",
        peak_bytes=fitted.get(largest),
        file=file,
        when=top.get("started").moment(),
    )


def _try(one: Field) -> tuple[int, bool, int | None, str]:
    fits = one.get("fits").flag()
    why = one.get("why").text()
    if not fits and not why.strip():
        raise one.get("why").wrong("the reason why it did not fit")
    return one.get("batch").whole(), fits, one.get("peak_rss").or_none(Field.whole), why


def as_tries(tries: Sequence[Any]) -> list[dict[str, Any]]:
    """Return tries (``maxbatch.Try``) as ``document`` takes them."""
    return [asdict(each) for each in tries]
