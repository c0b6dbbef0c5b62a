"""Power in watts with its rail and source, or the reason why it is unknown; never TDP times time.

There are two readers: RAPL where Linux permits reading it, and zeus-apple-silicon on Macs (the extra
`power`, no sudo). Each returns the energy that the machine counted between two readings.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEASURED, MODELLED, UNAVAILABLE = "measured", "modelled", "unavailable"
RAPL = Path("/sys/class/powercap")
_LEAST_SECONDS = 0.5  # counters advance in steps of up to 100 ms


@dataclass(frozen=True)
class Power:
    """The mean power of ``rail`` over ``seconds`` in watts.

    A "measured" value comes from current and voltage sensors, a "modelled" one from the maker's model
    of the chip: good for comparisons on one machine, but off by tens of per cent in absolute terms.
    If the source is "unavailable", ``watts`` is None and ``why`` gives the reason.
    """

    watts: float | None
    rail: str
    source: str
    tool: str
    seconds: float
    why: str = ""


@dataclass(frozen=True)
class Reader:
    """An energy counter: ``joules()`` increases, and wraps around to 0 at ``largest``."""

    rail: str
    source: str
    tool: str
    joules: Callable[[], float]
    largest: float | None = None


class Meter:
    """The object that ``watch`` yields; ``power`` is set when the block ends."""

    power: Power


@contextlib.contextmanager
def watch(
    reader: Reader | str | None = None, now: Callable[[], float] = time.perf_counter
) -> Iterator[Meter]:
    """Measure the power drawn during the block. ``reader`` is a result of ``find``; None calls it."""
    source = find() if reader is None else reader
    meter = Meter()
    start = None if isinstance(source, str) else _read(source)
    began = now()
    yield meter
    seconds = now() - began
    end = None if isinstance(source, str) else _read(source)
    meter.power = _power(source, start, end, seconds)


def _read(reader: Reader) -> float | str:
    try:
        return reader.joules()
    except (OSError, RuntimeError, ValueError) as error:
        return f"{reader.tool} could not be read: {error}"


def _power(
    reader: Reader | str, start: float | str | None, end: float | str | None, seconds: float
) -> Power:
    for reason in (reader, start, end):
        if isinstance(reason, str):
            return Power(None, "", UNAVAILABLE, "", seconds, reason)
    if not (isinstance(reader, Reader) and isinstance(start, float) and isinstance(end, float)):
        raise TypeError("a reader without readings")
    used = end - start
    if used < 0 and reader.largest:  # the counter wrapped around
        used += reader.largest
    if seconds < _LEAST_SECONDS:
        why = f"{seconds:.2f} s is too short for {reader.tool}, whose counters advance in steps"
    elif used <= 0:
        why = f"the counters of {reader.tool} did not advance"
    else:
        return Power(used / seconds, reader.rail, reader.source, reader.tool, seconds)
    return Power(None, reader.rail, UNAVAILABLE, reader.tool, seconds, why)


def per_watt(items_per_second: float, power: Power) -> float | None:
    """Return items per second per watt; None if the power is unknown."""
    return None if power.watts is None else items_per_second / power.watts


def find(root: Path = RAPL) -> Reader | str:
    """Return this machine's energy counter, or a sentence that says why there is none."""
    if sys.platform == "darwin":
        return _zeus()
    if sys.platform.startswith("linux"):
        return rapl(root)
    return "no energy counter is known for this system"


def rapl(root: Path = RAPL) -> Reader | str:
    """Return Linux's RAPL counters of all processor packages, or why they cannot be read.

    Since CVE-2020-8694 only root may read them, unless an administrator permits more. They count the
    processor only: no disk, no fan, no power supply. Intel's come from the voltage regulators since
    Haswell, AMD's from a model; the kernel does not distinguish them, so both count as "modelled".
    """
    zones = sorted(zone for zone in root.glob("intel-rapl:*") if zone.name.count(":") == 1)
    if not zones:
        return "this machine shows no RAPL counters (a virtual machine, or not x86)"
    try:
        names = [(zone / "name").read_text().strip() for zone in zones]
        largest = sum(int((zone / "max_energy_range_uj").read_text()) for zone in zones) / 1e6
        counters = [zone / "energy_uj" for zone in zones]

        def joules() -> float:
            return sum(int(counter.read_text()) for counter in counters) / 1e6

        joules()
    except PermissionError:
        return "only root may read the RAPL counters here (sudo chmod a+r .../energy_uj)"
    except (OSError, ValueError) as error:
        return f"the RAPL counters cannot be read: {error}"
    return Reader(" + ".join(names), MODELLED, "RAPL", joules, largest)


def _zeus() -> Reader | str:
    try:
        library: Any = importlib.import_module("zeus_apple_silicon")
        monitor = library.AppleEnergyMonitor()
    except ImportError:
        if sys.version_info >= (3, 14):  # the extra leaves it out there
            return "no energy reader is known for Python 3.14 and newer: use 3.13 or older"
        return "no energy reader is installed: python -m pip install 'metalassay[power]'"
    except (OSError, RuntimeError) as error:
        return f"zeus-apple-silicon does not start here: {error}"
    return apple(monitor.get_cumulative_energy)


def apple(cumulative: Callable[[], object]) -> Reader:
    """Return a Mac's IOReport counters: CPU, GPU, memory and Neural Engine.

    ``cumulative`` returns an object whose attributes are millijoules. Apple's figures count as
    "modelled": on an M4 Max the GPU's figure rose by 65 W while the power at the wall rose by 179 W.
    A part that the chip does not report is left out of the sum and of the rail's name.
    """
    parts = {"cpu_total_mj": "CPU", "gpu_mj": "GPU", "dram_mj": "DRAM", "ane_mj": "ANE"}

    def readings() -> Mapping[str, float]:
        energy = cumulative()
        values = {name: getattr(energy, name, None) for name in parts}
        return {name: float(value) for name, value in values.items() if value is not None}

    rail = " + ".join(parts[name] for name in readings()) or "nothing"
    return Reader(rail, MODELLED, "zeus-apple-silicon", lambda: sum(readings().values()) / 1e3)
