"""A benchmark that was run, from its entry in a file to a frozen record; and runs in several processes.

The file is pytest-benchmark's; what it holds is not taken on trust, see ``records``.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from metalassay.fields import Field, FieldError
from metalassay.machine import dtypes
from metalassay.machine.hardware import Hardware, from_dict

WHOLE_SOURCE = "source-"
"""Begins the identity of a file written before workloads had one: a hash over all their source."""
_SHORTEST, _LONGEST = 1e-7, 86_400.0  # seconds a call may take: two ticks of the clock to a day


@dataclass(frozen=True)
class Measurement:
    """One benchmark of one run: ``seconds`` holds the time of a call, one value a round.

    A call handles ``items_per_call`` items ("samples" or "tokens", see ``unit``).
    ``bytes_per_call`` counts what goes in and out of every operation: an upper count of memory
    traffic. ``emulated`` is true when the device was not a real one. ``parity`` says where its
    numbers depart from the CPU's, "" where they do not, None in files that were written before.
    ``compulsory_bytes`` is a lower count. ``flags`` are sentences on what makes the times doubtful,
    ``measured_peak`` is what the device reached in a probe just before, as (GFLOP/s, GB/s). ``watts`` were
    counted while the same step ran, by what ``watts_from`` names. ``series`` is what the files of one
    `--processes N` share, and in a measurement pooled from them ``processes`` is above 1 and
    ``seconds`` holds a value a process. None is what an older file does not tell.
    """

    machine: Hardware
    versions: Mapping[str, str] = field(hash=False)
    name: str
    workload: str
    mode: str
    device: str
    dtype: str
    batch_size: int
    unit: str
    items_per_call: int
    parameters: int
    flop_per_call: int
    bytes_per_call: int
    threads: int
    identity: str
    emulated: bool
    parity: str | None
    seconds: tuple[float, ...]
    file: str
    when: datetime
    compulsory_bytes: int | None = None
    malloc: str = "default"
    power_mode: str | None = None
    flags: tuple[str, ...] = ()
    measured_peak: tuple[float, float] | None = None
    watts: float | None = None
    watts_from: str = ""
    per_watt: float | None = None
    series: str | None = None
    processes: int = 1

    @property
    def rounds(self) -> int:
        """Number of timed rounds."""
        return len(self.seconds)


def conditions(one: Measurement) -> tuple[object, ...]:
    """Return what two measurements must share for the newer one to stand for both."""
    return (
        one.machine,
        (one.workload, one.mode, one.batch_size, one.dtype, one.device, one.threads),
        (one.versions["torch"], one.identity, one.emulated, one.malloc),
    )


def series_key(one: Measurement) -> tuple[object, ...]:
    """Return what the processes of one `--processes N` share."""
    return (one.series, one.machine, one.name, one.identity, one.versions.get("torch"))


def pool(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Put the files of one `--processes N` together: a measurement then has a median a process.

    Rounds of one process resemble each other more than those of two, so the process is what counts.
    What belongs to no series stays as it is.
    """
    groups: dict[object, list[Measurement]] = {}
    for number, one in enumerate(measurements):
        alone = number if one.series is None else None
        groups.setdefault((alone, series_key(one)), []).append(one)
    return [group[0] if len(group) == 1 else _pooled(group) for group in groups.values()]


def _pooled(group: list[Measurement]) -> Measurement:
    newest = max(group, key=lambda one: one.when)
    return replace(
        newest,
        seconds=tuple(statistics.median(one.seconds) for one in group),
        flags=tuple(dict.fromkeys(mark for one in group for mark in one.flags)),
        processes=len(group),
    )


def read(top: Field, file: str) -> Iterator[Measurement]:
    """Yield the measurements of a parsed benchmark file; ``file`` is its name as the report shows it.

    Raises ``FieldError`` where it is not one we can use.
    """
    machine = from_dict(top.get("machine_info").get("hardware").value, "machine_info.hardware")
    versions = top.get("versions").texts()
    top.get("versions").get("torch")
    when = top.get("datetime").moment()
    about = top.get("metalassay")
    for each in top.get("benchmarks").each():
        extra = each.get("extra_info")
        device = extra.get("device").one_of(("cpu", "mps", "cuda"))
        emulated = extra.get("emulated").flag()
        if device == "mps" and machine.system != "Darwin" and not emulated:
            raise FieldError(f"{each.place}: device mps, but the machine runs {machine.system}")
        yield Measurement(
            machine=machine,
            versions=versions,
            name=each.get("name").name(),
            workload=extra.get("workload").name(),
            mode=extra.get("mode").one_of(("train", "infer")),
            device=device,
            dtype=extra.get("dtype").one_of(dtypes.NAMES),
            batch_size=extra.get("batch_size").whole(),
            unit=extra.get("unit").one_of(("samples", "tokens")),
            items_per_call=extra.get("items_per_call").whole(),
            parameters=extra.get("parameters").whole(),
            flop_per_call=extra.get("flop_per_call").whole(),
            bytes_per_call=extra.get("bytes_per_call").whole(),
            threads=extra.get("threads").whole(),
            identity=_identity(extra),
            emulated=emulated,
            parity=extra.find("parity").or_none(Field.text),
            seconds=_seconds(each.get("stats")),
            file=file,
            when=when,
            compulsory_bytes=extra.find("compulsory_bytes_per_call").or_none(Field.whole),
            malloc=extra.find("malloc").or_none(Field.name) or "default",
            power_mode=_within(about, "conditions", "after", "power_mode").or_none(Field.name),
            flags=tuple(mark.text() for mark in (extra.find("marks").or_none(Field.each) or ())),
            measured_peak=_roof(_within(about, "selftest", "roof")),
            **_power(extra.find("power")),
            series=about.find("series").or_none(Field.name),
        )


def _identity(extra: Field) -> str:
    """Return the identity of what was timed; that of an older file covers the whole source."""
    if extra.find("identity").value is None:
        return WHOLE_SOURCE + extra.get("source_hash").name()
    return extra.get("identity").name()


def _within(top: Field, *keys: str) -> Field:
    """Return a member of a member; null where one on the way is missing or null."""
    for key in keys:
        top = top if top.value is None else top.find(key)
    return top


def _power(power: Field) -> dict[str, Any]:
    """Return the fields on power; watts without a rail and a source that may be named are refused."""
    if power.value is None or power.get("watts").value is None:
        return {}
    source = power.get("source").one_of(("measured", "modelled"))
    return {
        "watts": power.get("watts").number(1e-3, 1e5),
        "watts_from": f"{power.get('rail').name()}, {source}, {power.get('tool').name()}",
        "per_watt": power.get("per_watt").or_none(lambda each: each.number(0, 1e12)),
    }


def _roof(roof: Field) -> tuple[float, float] | None:
    if roof.value is None:
        return None
    return roof.get("gflop_s").number(0, 1e9), roof.get("gb_s").number(0, 1e9)


def _seconds(stats: Field) -> tuple[float, ...]:
    """Return the time of a call in each round; they must be those that the summary summarises."""
    if isinstance(stats.value, dict) and "data" not in stats.value:
        raise FieldError(f"{stats.place}: no times of the rounds (use --benchmark-save-data)")
    seconds = tuple(each.number(_SHORTEST, _LONGEST) for each in stats.get("data").each())
    if not seconds:
        raise stats.get("data").wrong("at least one round")
    median = stats.get("median").number(_SHORTEST, _LONGEST)
    if abs(median - statistics.median(seconds)) > 1e-6 * median:
        raise FieldError(f"{stats.place}: the median is not that of the rounds")
    return seconds
