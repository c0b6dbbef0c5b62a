"""The summary of a profile: where a step goes, by operator. Written, read, and told in a table here.

The file is one JSON object with the schema ``metalassay.profile/1``; the trace beside it is torch's own
format. Standard library only, and Python 3.10: processes of `metalassay run` write it too.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = "metalassay.profile/1"
OUTSIDE = "outside operators"
"""What is left of a step: Python, the data, and waiting."""
MOST_OPERATORS = 200
_TOLD = 3.0  # the highest ratio of a pair over the lowest, above which other work decided them
_SHOWN = 12  # operators in the terminal's table
_NAME = 34  # columns of an operator's name there


@dataclass(frozen=True)
class Operator:
    """One operator over all profiled steps: its calls, its own time and the bytes that it kept.

    ``cpu_us`` and ``device_us`` exclude the operators that it calls. ``cpu_bytes`` and ``device_bytes``
    are what it allocated less what it freed itself, negative if it frees what others allocated.
    """

    name: str
    calls: int
    cpu_us: float
    device_us: float = 0.0
    cpu_bytes: int = 0
    device_bytes: int = 0


@dataclass(frozen=True)
class Profile:
    """A profile: ``profiled`` and ``plain`` are the seconds of the steps with and without the profiler.

    They took turns. ``trace`` names the trace file, empty if none could be written; ``events`` are in it
    and ``cut`` were left out. ``notes`` say what the figures do not contain.
    """

    device: str
    torch: str
    profiled: tuple[float, ...]
    plain: tuple[float, ...]
    operators: tuple[Operator, ...]
    trace: str = ""
    events: int = 0
    cut: int = 0
    notes: tuple[str, ...] = ()

    @property
    def overhead(self) -> float:
        """How many times as long a step takes with the profiler: the median over the pairs."""
        return statistics.median(self._ratios())

    @property
    def outside_us(self) -> float:
        """The CPU time of all profiled steps in no operator, not below 0: two threads can overlap."""
        inside = sum(each.cpu_us for each in self.operators)
        return max(sum(self.profiled) * 1e6 - inside, 0.0)

    @property
    def total_us(self) -> float:
        """What the shares are of: the time of all operators, and that outside of them."""
        return sum(each.cpu_us for each in self.operators) + self.outside_us

    def _ratios(self) -> list[float]:
        return [
            slow / max(fast, 1e-9) for slow, fast in zip(self.profiled, self.plain, strict=True)
        ]

    def by_time(self) -> list[tuple[str, float, Operator | None]]:
        """Return name, microseconds of CPU in all steps, and operator, longest first, ``OUTSIDE`` too."""
        rows: list[tuple[str, float, Operator | None]] = [
            (each.name, each.cpu_us, each) for each in self.operators
        ]
        rows.append((OUTSIDE, self.outside_us, None))
        return sorted(rows, key=lambda row: -row[1])

    def overhead_text(self) -> str:
        """Return what profiling cost, in a sentence."""
        ratios = self._ratios()
        pairs = f"{len(ratios)} pair{'' if len(ratios) == 1 else 's'} in turns"
        if self.overhead < 1 or max(ratios) > _TOLD * min(ratios):
            pairs += "; they differ too much to tell"
        return (
            f"profiled steps took {self.overhead:.2f} x as long"
            f" ({min(ratios):.2f} to {max(ratios):.2f}, {pairs}); they enter no figure"
        )


def to_json(profile: Profile) -> str:
    """Return the text of the file."""
    return json.dumps({"schema": SCHEMA, **asdict(profile)}, indent=1, allow_nan=False) + "\n"


def lines(profile: Profile, files: Sequence[str]) -> Iterator[str]:
    """Yield the table for a terminal of 80 columns; ``files`` are the paths of what was written."""
    steps, on_device = len(profile.profiled), any(each.device_us for each in profile.operators)
    device = profile.device.partition(":")[0]
    yield (
        f"where a step goes: {steps} profiled step{'' if steps == 1 else 's'} of"
        f" {_time(statistics.fmean(profile.profiled) * 1e6)} on {profile.device}"
        f" (torch {profile.torch}); per step:"
    )
    last = f"self {device}" if on_device else "memory"
    yield f"{'operator':{_NAME}} {'self CPU':>10} {'share':>7} {'calls':>8} {last:>12}"
    rows = profile.by_time()
    for name, spent, operator in rows[:_SHOWN]:
        calls = end = ""
        if operator is not None:
            calls = f"{operator.calls / steps:,.4g}"
            memory = (operator.cpu_bytes + operator.device_bytes) / steps
            end = _time(operator.device_us / steps) if on_device else _size(memory)
        yield _row(name, spent / steps, spent / max(profile.total_us, 1e-9), calls, end)
    rest = rows[_SHOWN:]
    if rest:
        spent = sum(each for _, each, _ in rest)
        what = f"{len(rest)} others"
        yield _row(what, spent / steps, spent / max(profile.total_us, 1e-9), "", "")
    by_memory = sorted(profile.operators, key=lambda each: -(each.cpu_bytes + each.device_bytes))
    most = [each for each in by_memory[:3] if each.cpu_bytes + each.device_bytes > 0]
    if most:
        yield "most memory allocated: " + ", ".join(
            f"{_short(each.name)} {_size((each.cpu_bytes + each.device_bytes) / steps)}"
            for each in most
        )
    yield profile.overhead_text()
    yield from profile.notes
    yield from files


def _row(name: str, spent: float, share: float, calls: str, end: str) -> str:
    text = f"{_short(name):{_NAME}} {_time(spent):>10} {share:>7.1%} {calls:>8} {end:>12}"
    return text.rstrip()


def _short(name: str) -> str:
    name = "".join(each if each.isprintable() else "?" for each in name)
    return name if len(name) <= _NAME else f"{name[: _NAME - 3]}..."


def _time(microseconds: float) -> str:
    if microseconds >= 1e6:
        return f"{microseconds / 1e6:,.2f} s"
    return (
        f"{microseconds / 1e3:,.3f} ms" if microseconds < 1e4 else f"{microseconds / 1e3:,.1f} ms"
    )


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if abs(size) < 1024:
            return f"{size:,.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"


def operators_of(sums: Mapping[str, Sequence[float]]) -> tuple[Operator, ...]:
    """Return operators from sums of calls, times and bytes by name; beyond the most, in one row."""
    every = [
        Operator(name[:200], int(calls), max(cpu, 0.0), max(device, 0.0), int(bytes_), int(there))
        for name, (calls, cpu, device, bytes_, there) in sums.items()
    ]
    every.sort(key=lambda each: -each.cpu_us)
    rest = every[MOST_OPERATORS:]
    if not rest:
        return tuple(every)
    total: dict[str, Any] = {
        field: sum(getattr(each, field) for each in rest)
        for field in ("calls", "cpu_us", "device_us", "cpu_bytes", "device_bytes")
    }
    return (*every[:MOST_OPERATORS], Operator(f"{len(rest)} other operators", **total))
