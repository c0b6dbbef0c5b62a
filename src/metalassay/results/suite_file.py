"""Reads a pytest-benchmark file of any project, with or without what `pytest --assay` records beside it.

Without it the conditions are unknown: the machine is then what pytest-benchmark says of it, and two files
are of one machine only if all of that agrees. Names are text of strangers, and the content is not taken on trust,
see ``parse``.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from metalassay.fields import Field, FieldError
from metalassay.machine import conditions, macos
from metalassay.machine.hardware import Hardware, from_dict

NAME = "metalassay.suite"
UNKNOWN_PROJECT = "unnamed project"
_LONGEST = 86_400.0  # seconds that a call may take: a day
_SHORTEST = 1e-10  # a call of less is no call: it is below a cycle of any processor
_FEWEST_FOR_DRIFT = 9  # rounds, so that each third has three
_TEXT = 300  # characters of a version, a commit or the name of a project
_INFO = (
    *("node", "processor", "machine", "system", "release"),
    *("python_implementation", "python_implementation_version", "python_version"),
    *("python_compiler", "python_build"),
)
"""What of machine_info identifies a machine; the frequency of its processor changes from run to run."""
_CPU = ("brand_raw", "brand", "arch", "count")


@dataclass(frozen=True)
class SuiteRun:
    """One run of a project's benchmarks: what was run, where, and under which conditions.

    ``assayed`` is true of a file of `pytest --assay`; otherwise ``info`` identifies the machine_info of the file,
    and the conditions are unknown. ``commit`` is None where the project was under no version control; ``dirty``
    says that files differed from it. ``versions`` are those of the packages that the suite had imported.
    """

    project: str
    machine: Hardware
    assayed: bool
    python: str
    when: datetime
    file: str
    info: str = ""
    versions: Mapping[str, str] = field(default_factory=dict, hash=False)
    commit: str | None = None
    dirty: bool = False
    power_mode: str | None = None
    thermal_pressure: str | None = None
    flags: tuple[str, ...] = ()
    emulated: bool = False
    series: str | None = None


@dataclass(frozen=True)
class SuiteTime:
    """One benchmark of a run: ``median`` is the time of a call in seconds, ``low`` and ``high`` its quartiles.

    ``raw`` is False where the file has a summary of the rounds and not their times; the quartiles are then those of
    the file. ``each`` has one median per process in a time that was pooled from several. ``waits_for`` are the devices that the clock waited for on both sides, as
    in "mps", "" for none, None where unknown. ``threads`` are torch's, None where the suite had not imported torch.
    ``identity`` is that of the benchmark's source, see ``assay.source_identity``.
    """

    run: SuiteRun
    name: str
    median: float
    low: float | None
    high: float | None
    rounds: int
    raw: bool = False
    each: tuple[float, ...] = ()
    identity: str | None = None
    waits_for: str | None = None
    threads: int | None = None
    flags: tuple[str, ...] = ()

    @property
    def processes(self) -> int:
        """The number of processes that the time was measured in."""
        return max(1, len(self.each))

    @property
    def impossible(self) -> bool:
        """Whether the time is shorter than any call can be."""
        return self.median < _SHORTEST


@dataclass(frozen=True)
class SuiteFile:
    """The content of one file."""

    times: tuple[SuiteTime, ...]


def read(document: Field, file: str) -> SuiteFile:
    """Read a file of `pytest --assay`."""
    about = document.get("metalassay")
    info = document.get("machine_info")
    machine = from_dict(info.get("hardware").value, "machine_info.hardware")
    after = about.get("conditions").get("after")
    pressures = [
        about.get("conditions").find(moment).find("thermal_pressure").or_none(Field.name)
        for moment in ("before", "after")
    ]
    run = _run(document, file, machine)
    run = replace(
        run,
        assayed=True,
        project=_word(about.find("project")) or run.project,
        versions=_versions(document.get("versions")),
        power_mode=macos.power_mode_named(after.find("power_mode").or_none(Field.name)),
        thermal_pressure=max(
            (level for level in pressures if level in macos.THERMAL_PRESSURE),
            key=macos.THERMAL_PRESSURE.index,
            default=None,
        ),
        flags=_flags(about.find("flags")),
        emulated=about.find("emulated").or_none(Field.flag) or False,
        series=about.find("series").or_none(Field.name),
    )
    return _file(document, run)


def read_plain(document: Field, file: str) -> SuiteFile:
    """Read a file that pytest-benchmark wrote on its own."""
    info = document.get("machine_info")
    cpu = info.find("cpu")
    system = _word(info.find("system")) or "unknown"
    release = _word(info.find("release")) or "unknown"
    machine = Hardware(
        system=system,
        # Of a Mac, pytest-benchmark records the kernel's release, which would be read as a version of macOS.
        release=f"Darwin {release}" if system == "Darwin" else release,
        machine=_word(info.find("machine")) or "unknown",
        chip=_of_cpu(cpu, "brand_raw") or _of_cpu(cpu, "brand"),
        model=None,
        physical_cores=None,
        performance_cores=None,
        efficiency_cores=None,
        logical_cores=_cores(cpu),
        gpu=None,
        gpu_cores=None,
        memory_bytes=None,
        virtual=None,
    )
    return _file(document, replace(_run(document, file, machine), info=_digest(info)))


def _run(document: Field, file: str, machine: Hardware) -> SuiteRun:
    info, commit = document.get("machine_info"), document.find("commit_info")
    if commit.value is None:
        commit = Field({}, "commit_info")
    name = _word(commit.find("id"))
    implementation, version = (
        _word(info.find(key)) or "" for key in ("python_implementation", "python_version")
    )
    return SuiteRun(
        project=_word(commit.find("project")) or UNKNOWN_PROJECT,
        machine=machine,
        assayed=False,
        python=f"{implementation} {version}".strip() or "unknown",
        when=document.get("datetime").moment(),
        file=file,
        commit=None if name in ("unversioned", "unknown") else name,
        dirty=commit.find("dirty").or_none(Field.flag) or False,
    )


def _file(document: Field, run: SuiteRun) -> SuiteFile:
    times: dict[str, SuiteTime] = {}  # what ran again replaces its first try
    for benchmark in document.get("benchmarks").each():
        one = _time(benchmark, run)
        times[one.name] = one
    if not times:
        raise FieldError("benchmarks: empty, so no benchmark ended")
    return SuiteFile(tuple(times.values()))


def _time(benchmark: Field, run: SuiteRun) -> SuiteTime:
    stats = benchmark.get("stats")
    about = benchmark.find("metalassay") if run.assayed else Field(None)
    if about.value is None:
        about = Field({}, f"{benchmark.place}.metalassay")
    named = benchmark.find("fullname")
    one = SuiteTime(
        run=run,
        name=(benchmark.get("name") if named.value is None else named).name(),
        median=stats.get("median").number(0, _LONGEST),
        low=stats.find("q1").or_none(_duration),
        high=stats.find("q3").or_none(_duration),
        rounds=stats.get("rounds").whole(),
        identity=_word(about.find("identity")),
        waits_for=about.find("waits_for").or_none(
            lambda value: value.one_of(("", "mps", "cuda", "mps, cuda"))
        ),
        threads=about.find("threads").or_none(Field.whole),
        flags=_flags(about.find("marks")),
    )
    if stats.find("data").value is None:
        if run.assayed:
            raise FieldError(f"{stats.place}: no times of the rounds")
        if None not in (one.low, one.high) and not (
            (one.low or 0) <= one.median <= (one.high or 0)
        ):
            raise FieldError(f"{stats.place}: the median is not between the quartiles")
        return one
    seconds = tuple(map(_duration, stats.get("data").each()))
    if not seconds:
        raise stats.get("data").wrong("at least one round")
    if abs(one.median - statistics.median(seconds)) > 1e-6 * one.median:
        raise FieldError(f"{stats.place}: the median is not that of the rounds")
    low, high = quartiles(seconds)
    mark = None if run.assayed else drifted(seconds)
    flags = (*one.flags, *([mark] if mark else []))
    return replace(one, low=low, high=high, rounds=len(seconds), raw=True, flags=flags)


def drifted(seconds: Sequence[float]) -> str | None:
    """Return a sentence if a benchmark became slower or faster from start to end, None if it did not.

    Also None with so few rounds that one of them would decide, and for a clock that could not see the call.
    """
    if len(seconds) < _FEWEST_FOR_DRIFT or 0 in seconds:
        return None
    return conditions.drifted(conditions.drift(seconds))


def quartiles(seconds: tuple[float, ...]) -> tuple[float | None, float | None]:
    """Return the lower and the upper quartile of times, None for both with fewer than four."""
    if len(seconds) < 4:
        return None, None
    low, _, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return low, high


def _duration(value: Field) -> float:
    return value.number(0, _LONGEST)


def _flags(marks: Field) -> tuple[str, ...]:
    return tuple(flag.text()[:_TEXT] for flag in (marks.or_none(Field.each) or ()))


def _versions(versions: Field) -> dict[str, str]:
    return {name[:_TEXT]: version[:_TEXT] for name, version in versions.texts().items()}


def _word(value: Field) -> str | None:
    """Return a short text on one line, None for null and for a blank one."""
    if value.value is None or value.value == "":
        return None
    return value.name()[:_TEXT]


def _of_cpu(cpu: Field, key: str) -> str | None:
    return None if cpu.value is None else _word(cpu.find(key))


def _cores(cpu: Field) -> int | None:
    return None if cpu.value is None else cpu.find("count").or_none(Field.whole)


def _digest(info: Field) -> str:
    """Return a short text that two files share if they name one machine and one Python."""
    values = [_plain(info.find(key)) for key in _INFO]
    cpu = info.find("cpu")
    if cpu.value is not None:
        values += [_plain(cpu.find(key)) for key in _CPU]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]


def _plain(value: Field) -> object:
    """Return a text, a number or a list of texts; nothing else stands in these fields."""
    if isinstance(value.value, list):
        return [part.text() for part in value.each()]
    if value.value is None or isinstance(value.value, bool | int | float):
        return value.value
    return value.text()
