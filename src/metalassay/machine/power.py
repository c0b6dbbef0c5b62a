"""Watts with their rail and their source, or the reason why there are none. Never a TDP times a time.

Two readers: RAPL where Linux lets us read it, and zeus-apple-silicon on Macs (the extra `power`, no
sudo). Each gives the energy that the machine counted between two readings.
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
    """Mean watts of ``rail`` over ``seconds``; None with ``why`` where the source is "unavailable".

    "measured" comes from sensors of current and voltage, "modelled" from the maker's model of what
    the chip's parts take: good for comparing on one machine, off by tens of per cent in itself.
    """

    watts: float | None
    rail: str
    source: str
    tool: str
    seconds: float
    why: str = ""


@dataclass(frozen=True)
class Reader:
    """Something that counts energy: ``joules()`` rises; ``largest`` is where it starts anew."""

    rail: str
    source: str
    tool: str
    joules: Callable[[], float]
    largest: float | None = None


class Meter:
    """What ``watch`` yields; ``power`` is there once its block has ended."""

    power: Power


@contextlib.contextmanager
def watch(
    reader: Reader | str | None = None, now: Callable[[], float] = time.perf_counter
) -> Iterator[Meter]:
    """Count the energy of the block. ``reader`` is what ``find`` returned (looked up when None)."""
    found = find() if reader is None else reader
    meter = Meter()
    start = None if isinstance(found, str) else _read(found)
    began = now()
    yield meter
    seconds = now() - began
    end = None if isinstance(found, str) else _read(found)
    meter.power = _power(found, start, end, seconds)


def _read(reader: Reader) -> float | str:
    try:
        return reader.joules()
    except (OSError, RuntimeError, ValueError) as error:
        return f"{reader.tool} could not be read: {error}"


def _power(
    reader: Reader | str, start: float | str | None, end: float | str | None, seconds: float
) -> Power:
    for each in (reader, start, end):
        if isinstance(each, str):
            return Power(None, "", UNAVAILABLE, "", seconds, each)
    if not (isinstance(reader, Reader) and isinstance(start, float) and isinstance(end, float)):
        raise TypeError("a reader without readings")
    used = end - start
    if used < 0 and reader.largest:  # the counter started anew
        used += reader.largest
    if seconds < _LEAST_SECONDS:
        why = f"{seconds:.2f} s are too short for {reader.tool}, whose counters advance in steps"
    elif used <= 0:
        why = f"the counters of {reader.tool} stood still"
    else:
        return Power(used / seconds, reader.rail, reader.source, reader.tool, seconds)
    return Power(None, reader.rail, UNAVAILABLE, reader.tool, seconds, why)


def per_watt(items_per_second: float, power: Power) -> float | None:
    """Return items a second per watt, from measured or modelled watts and from nothing else."""
    return None if power.watts is None else items_per_second / power.watts


def find(root: Path = RAPL) -> Reader | str:
    """Return what counts energy here, or a sentence that says why nothing does."""
    if sys.platform == "darwin":
        return _zeus()
    if sys.platform.startswith("linux"):
        return rapl(root)
    return "no counter of energy is known for this system"


def rapl(root: Path = RAPL) -> Reader | str:
    """Return Linux's RAPL counters of all processor packages, or why they cannot be read.

    Only root may read them since CVE-2020-8694, unless an administrator allows more. What they say
    is the processor's: no disk, no fan, no power supply. Intel's come from the voltage regulators
    from Haswell on, AMD's from a model; the kernel does not tell them apart, so it is "modelled".
    """
    zones = sorted(zone for zone in root.glob("intel-rapl:*") if zone.name.count(":") == 1)
    if not zones:
        return "this machine shows no RAPL counters (a virtual machine, or not x86)"
    try:
        names = [(zone / "name").read_text().strip() for zone in zones]
        most = sum(int((zone / "max_energy_range_uj").read_text()) for zone in zones) / 1e6
        counters = [zone / "energy_uj" for zone in zones]

        def joules() -> float:
            return sum(int(each.read_text()) for each in counters) / 1e6

        joules()
    except PermissionError:
        return "only root may read the RAPL counters here (sudo chmod a+r .../energy_uj)"
    except (OSError, ValueError) as error:
        return f"the RAPL counters cannot be read: {error}"
    return Reader(" + ".join(names), MODELLED, "RAPL", joules, most)


def _zeus() -> Reader | str:
    try:
        library: Any = importlib.import_module("zeus_apple_silicon")
        monitor = library.AppleEnergyMonitor()
    except ImportError:
        return "no reader of energy is installed: python -m pip install 'metalassay[power]'"
    except (OSError, RuntimeError) as error:
        return f"zeus-apple-silicon does not start here: {error}"
    return apple(monitor.get_cumulative_energy)


def apple(cumulative: Callable[[], object]) -> Reader:
    """Return the IOReport counters of a Mac: CPU, GPU, memory and Neural Engine, in millijoules.

    Apple's figures are taken for estimates of a model: on an M4 Max the GPU's rose by 65 W where the
    wall's rose by 179 W. A part that a chip does not report counts as nothing and is not named.
    """
    parts = {"cpu_total_mj": "CPU", "gpu_mj": "GPU", "dram_mj": "DRAM", "ane_mj": "ANE"}

    def readings() -> Mapping[str, float]:
        found = cumulative()
        values = {name: getattr(found, name, None) for name in parts}
        return {name: float(value) for name, value in values.items() if value is not None}

    rail = " + ".join(parts[name] for name in readings()) or "nothing"
    return Reader(rail, MODELLED, "zeus-apple-silicon", lambda: sum(readings().values()) / 1e3)
