"""Reads a benchmark file into frozen records, and pools the runs of several processes.

The file is pytest-benchmark's; its content is not taken on trust, see ``parse``.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from metalassay.fields import Field, FieldError, one_line
from metalassay.machine import dtypes, macos
from metalassay.machine.hardware import Hardware, from_dict

TORCH, MLX = "torch", "mlx"
"""The frameworks that a workload can be written in."""
WHOLE_SOURCE = "source-"
"""Prefix of the identity in files from before workloads had one of their own: a hash of all source."""
_SHORTEST, _LONGEST = 1e-7, 86_400.0  # seconds that a call may take: two clock ticks to a day


@dataclass(frozen=True)
class Measurement:
    """One benchmark of one run: ``seconds`` holds the time of a call, one value per round.

    A call handles ``items_per_call`` items ("samples" or "tokens", see ``unit``).
    ``bytes_per_call`` counts the inputs and outputs of every operation: an upper bound of the memory
    traffic; ``compulsory_bytes`` is a lower bound. ``tokens_per_call`` is the mean where a call trains on a
    varying number; ``peak_rss`` is the most memory of the process so far, in bytes. ``emulated`` is true when the device was not a
    real one. ``parity`` describes where its numbers differ from the CPU's, "" where they do not.
    ``flags`` are sentences about what makes the times doubtful. ``thermal_pressure`` is the highest that the
    Mac reported before and after, None where unknown. ``measured_peak`` is what the device
    reached in a probe just before, as (GFLOP/s, GB/s). ``watts`` were measured while the same step
    ran, by the tool that ``watts_from`` names. ``framework`` is what computed it, "torch" or "mlx", whose device "mps"
    is the GPU of a Mac.

    The files of one `--processes N` share ``series``. In a measurement that was pooled from them,
    ``processes`` is above 1, ``seconds`` holds one value per process, and so do the tuples ``each_gb_s``,
    ``each_watts`` and ``each_per_watt`` of those processes that recorded one; ``watts`` and ``per_watt`` are
    then their medians. None stands for what an older file does not record.
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
    tokens_per_call: float | None = None
    peak_rss: int | None = None
    malloc: str = "default"
    framework: str = TORCH
    power_mode: str | None = None
    thermal_pressure: str | None = None
    flags: tuple[str, ...] = ()
    measured_peak: tuple[float, float] | None = None
    watts: float | None = None
    watts_from: str = ""
    per_watt: float | None = None
    series: str | None = None
    processes: int = 1
    each_gb_s: tuple[float, ...] = ()
    each_watts: tuple[float, ...] = ()
    each_per_watt: tuple[float, ...] = ()

    @property
    def rounds(self) -> int:
        """Number of timed rounds."""
        return len(self.seconds)

    @property
    def where(self) -> str:
        """The device as tables name it: "mps", "mps (emulated)", "MLX (CPU)"."""
        if self.framework == MLX:
            return f"MLX ({'CPU' if self.device == 'cpu' else 'GPU'})"
        return f"{self.device} (emulated)" if self.emulated else self.device

    @property
    def software(self) -> str:
        """The version of what computed it: torch's alone, any other with its name."""
        version = self.versions[self.framework]
        return version if self.framework == TORCH else f"{self.framework} {version}"


def conditions(one: Measurement) -> tuple[object, ...]:
    """Return what two measurements must share for the newer one to replace the older one."""
    return (
        one.machine,
        (one.workload, one.mode, one.batch_size, one.dtype, one.device, one.threads),
        (one.framework, one.software, one.identity, one.emulated, one.malloc),
    )


@dataclass
class _Series:
    """The processes of one series so far: the newest in full, and what each of them measured."""

    newest: Measurement
    medians: list[float] = field(default_factory=list)
    flags: dict[str, None] = field(default_factory=dict)
    gb_s: list[float] = field(default_factory=list)
    # By what ``watts_from`` names: the sum of two rails cannot be pooled with one of three.
    watts: dict[str, list[tuple[float, float | None]]] = field(default_factory=dict)
    heat: list[str | None] = field(default_factory=list)

    def add(self, one: Measurement) -> None:
        if one.when > self.newest.when:
            self.newest = one
        self.medians.append(statistics.median(one.seconds))
        self.flags.update(dict.fromkeys(one.flags))
        if one.measured_peak is not None:
            self.gb_s.append(one.measured_peak[1])
        if one.watts is not None:
            self.watts.setdefault(one.watts_from, []).append((one.watts, one.per_watt))
        self.heat.append(one.thermal_pressure)

    def merged(self) -> Measurement:
        if len(self.medians) == 1:
            return self.newest
        power = self.watts.get(self.newest.watts_from, [])
        watts = tuple(value for value, _ in power)
        per_watt = tuple(value for _, value in power if value is not None)
        return replace(
            self.newest,
            seconds=tuple(self.medians),
            flags=tuple(self.flags),
            thermal_pressure=_hotter(self.heat),
            processes=len(self.medians),
            each_gb_s=tuple(self.gb_s),
            each_watts=watts,
            each_per_watt=per_watt,
            watts=statistics.median(watts) if watts else None,
            per_watt=statistics.median(per_watt) if per_watt else None,
        )


class Pool:
    """Merges the measurements of series one by one, keeping only what the merged one needs."""

    def __init__(self) -> None:
        self._series: dict[object, _Series] = {}

    def add(self, one: Measurement) -> object:
        """Take in the measurement of one process; return the key of its series."""
        key = (one.series, one.machine, one.name, one.identity, one.software)
        self._series.setdefault(key, _Series(one)).add(one)
        return key

    def results(self) -> dict[object, Measurement]:
        """Return one measurement per series, with one median per process."""
        return {key: series.merged() for key, series in self._series.items()}


def pool(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Merge the files of one `--processes N` into one measurement with one median per process.

    Rounds of one process resemble each other more than rounds of two processes do, so a process
    counts as one observation. Measurements outside a series are returned unchanged.
    """
    series = Pool()
    results: dict[object, Measurement | None] = {}  # in the order of first appearance
    for number, one in enumerate(measurements):
        if one.series is None:
            results[number] = one
        else:
            results.setdefault(series.add(one))
    merged = series.results()
    return [merged[key] if one is None else one for key, one in results.items()]


def read(top: Field, file: str) -> Iterator[Measurement]:
    """Yield the measurements of a parsed benchmark file; ``file`` is its name as the report shows it.

    Raises ``FieldError`` for a file that cannot be used.
    """
    machine = from_dict(top.get("machine_info").get("hardware").value, "machine_info.hardware")
    versions = top.get("versions").texts()
    top.get("versions").get("torch")
    when = top.get("datetime").moment()
    about = top.get("metalassay")
    benchmarks = list(top.get("benchmarks").each())
    # One run has one machine: where its mps is emulated, the times on its CPU are not a Mac's either.
    emulated = any(one.get("extra_info").get("emulated").flag() for one in benchmarks)
    for benchmark in benchmarks:
        extra = benchmark.get("extra_info")
        framework = extra.find("framework").or_none(lambda one: one.one_of((TORCH, MLX))) or TORCH
        top.get("versions").get(framework)
        device = extra.get("device").one_of(("cpu", "mps", "cuda"))
        if device == "mps" and machine.system != "Darwin" and not emulated:
            raise FieldError(
                f"{benchmark.place}: device mps, but the machine runs {machine.system}"
            )
        _check_system(top.get("machine_info"), machine, emulated=emulated)
        yield Measurement(
            machine=machine,
            versions=versions,
            name=benchmark.get("name").name(),
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
            seconds=_seconds(benchmark.get("stats")),
            file=file,
            when=when,
            compulsory_bytes=extra.find("compulsory_bytes_per_call").or_none(Field.whole),
            tokens_per_call=extra.find("tokens_per_call").or_none(lambda one: one.number(0, 1e12)),
            peak_rss=_within(extra, "memory", "peak_rss").or_none(Field.whole),
            malloc=extra.find("malloc").or_none(Field.name) or "default",
            framework=framework,
            power_mode=macos.power_mode_named(
                _within(about, "conditions", "after", "power_mode").or_none(Field.name)
            ),
            thermal_pressure=_hotter(
                _within(about, "conditions", moment, "thermal_pressure").or_none(Field.name)
                for moment in ("before", "after")
            ),
            flags=tuple(flag.text() for flag in (extra.find("marks").or_none(Field.each) or ())),
            # It is PyTorch's, with PyTorch's threads.
            measured_peak=_measured_peak(_within(about, "selftest"), device)
            if framework == TORCH
            else None,
            **_power(extra.find("power")),
            series=about.find("series").or_none(Field.name),
        )


def _check_system(info: Field, machine: Hardware, *, emulated: bool) -> None:
    """Raise ``FieldError`` where pytest-benchmark ran on another system than the machine that is named."""
    system = info.find("system").or_none(Field.text)
    if system is not None and system != machine.system and not emulated:
        raise FieldError(
            f"machine_info: it ran on {one_line(system)}, but its hardware runs {machine.system}"
        )


def _identity(extra: Field) -> str:
    """Return the identity of the workload; in an older file it is a hash of all source."""
    if extra.find("identity").value is None:
        return WHOLE_SOURCE + extra.get("source_hash").name()
    return extra.get("identity").name()


def _within(top: Field, *keys: str) -> Field:
    """Return a nested member; null where a member on the path is missing or null."""
    for key in keys:
        top = top if top.value is None else top.find(key)
    return top


def _hotter(levels: Iterable[str | None]) -> str | None:
    """Return the highest thermal pressure before and after the run; a word that is none counts as unknown."""
    known = [level for level in levels if level in macos.THERMAL_PRESSURE]
    return max(known, key=macos.THERMAL_PRESSURE.index, default=None)


def _power(power: Field) -> dict[str, Any]:
    """Return the fields about power; watts without their rail, source and tool are refused."""
    if power.value is None or power.get("watts").value is None:
        return {}
    source = power.get("source").one_of(("measured", "modelled"))
    return {
        "watts": power.get("watts").number(1e-3, 1e5),
        "watts_from": f"{power.get('rail').name()}, {source}, {power.get('tool').name()}",
        "per_watt": power.get("per_watt").or_none(lambda value: value.number(0, 1e12)),
    }


def _measured_peak(selftest: Field, device: str) -> tuple[float, float] | None:
    """Return the peak of the device that a benchmark ran on; ``metalassay bench`` measures two in one file."""
    peak = _within(selftest, "roofs", device)
    if peak.value is None:
        peak = _within(selftest, "roof")
    if peak.value is None or peak.find("device").value not in (None, device):
        return None
    return peak.get("gflop_s").number(0, 1e9), peak.get("gb_s").number(0, 1e9)


def _seconds(stats: Field) -> tuple[float, ...]:
    """Return the time of a call in each round; their median must be the one in the summary."""
    if isinstance(stats.value, dict) and "data" not in stats.value:
        raise FieldError(
            f"{stats.place}: no times of the rounds (record them with --benchmark-save-data)"
        )
    seconds = tuple(time.number(_SHORTEST, _LONGEST) for time in stats.get("data").each())
    if not seconds:
        raise stats.get("data").wrong("at least one round")
    median = stats.get("median").number(_SHORTEST, _LONGEST)
    if abs(median - statistics.median(seconds)) > 1e-6 * median:
        raise FieldError(f"{stats.place}: the median is not that of the rounds")
    return seconds
