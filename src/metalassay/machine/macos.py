"""What only a Mac knows of itself: its version, Rosetta, swapping and heat, from the system's own tools.

The ``parse_*`` functions turn what a tool prints into facts and run nothing. What a tool does not say
is None. Imports neither torch nor psutil.
"""

from __future__ import annotations

import platform
import re
import sys

from metalassay import macos_release
from metalassay.machine import system_tools

SYSCTL = "/usr/sbin/sysctl"
INTEL, ARM = "x86_64", "arm64"

AUTOMATIC, LOW_POWER, HIGH_POWER = POWER_MODES = ("automatic", "low", "high")
"""The power modes, as the settings of macOS call them and in the order of pmset's numbers."""
_EARLIER_NAMES = {"normal": AUTOMATIC, "low power": LOW_POWER}

THERMAL_PRESSURE = ("nominal", "moderate", "heavy", "trapping", "sleeping")
"""Levels of thermal pressure on macOS, coolest first: libkern/OSThermalNotification.h, and powermetrics."""


def version() -> str | None:
    """Return the version of this macOS, as in "26.1"; None on other systems and where it is unknown.

    The program sysctl is asked, not the kernel from within this process: to a Python that was linked with an
    older SDK the kernel tells another version (``sysctl_osproductversion`` in XNU's kern_sysctl.c).
    """
    if sys.platform != "darwin":
        return None
    return macos_release.choose(sysctl("kern.osproductversion"), platform.mac_ver()[0])


def under_rosetta(machine: str | None = None) -> bool:
    """Return whether this process is an Intel program on Apple silicon.

    ``machine`` is `platform.machine()`. The kernel knows sysctl.proc_translated only on Apple silicon, and
    sysctl, started by a translated process, is translated too
    (https://developer.apple.com/documentation/apple-silicon/about-the-rosetta-translation-environment).
    """
    if sys.platform != "darwin" or (machine or platform.machine()) != INTEL:
        return False
    return sysctl("sysctl.proc_translated") == "1"


def sysctl(name: str) -> str | None:
    """Return a value of the kernel; None for a name that it does not know."""
    return system_tools.output((SYSCTL, "-n", name), seconds=5).strip() or None


def swapped() -> tuple[int, int] | None:
    """Return the bytes swapped in and out since the system started; None where vm_stat does not answer.

    psutil's ``sin`` and ``sout`` are on macOS the pages read from and written to *files* (``pageins`` and
    ``pageouts`` of vm_statistics64), which grow with every program that starts.
    """
    return parse_vm_stat(system_tools.output(("vm_stat",), seconds=5))


def parse_vm_stat(text: str) -> tuple[int, int] | None:
    """Read what `vm_stat` prints: Swapins and Swapouts, in bytes. None unless both and the page size are there.

    Both are counted in pages, of 16384 bytes on Apple silicon and 4096 on Intel; the first line says which.
    """
    page = re.search(r"page size of (\d+) bytes", text)
    counts = [
        re.search(rf"^{name}:\s+(\d+)\.?\s*$", text, re.M) for name in ("Swapins", "Swapouts")
    ]
    if page is None or None in counts:
        return None
    moved_in, moved_out = (int(count[1]) * int(page[1]) for count in counts if count)
    return moved_in, moved_out


def compressed() -> int | None:
    """Return the bytes of memory that hold compressed pages; None on other systems and where it is unknown."""
    if sys.platform != "darwin":
        return None
    return parse_compressed(system_tools.output(("vm_stat",), seconds=5))


def parse_compressed(text: str) -> int | None:
    """Read "Pages occupied by compressor" of `vm_stat` in bytes: what compressed pages take, not what they held."""
    page = re.search(r"page size of (\d+) bytes", text)
    count = re.search(r"^Pages occupied by compressor:\s+(\d+)\.?\s*$", text, re.M)
    return int(count[1]) * int(page[1]) if page and count else None


def battery() -> float | None:
    """Return the charge from 0 to 1 while this Mac runs on its battery, else None.

    psutil asks the first power source alone, which may be a UPS or a mouse, and raises ``RuntimeError`` where
    that one tells no capacity (``psutil_sensors_battery`` of its macOS part).
    """
    return parse_power_source(system_tools.output(("pmset", "-g", "ps"), seconds=5))


def parse_power_source(text: str) -> float | None:
    """Read `pmset -g ps`: the charge of the internal battery if it is what the Mac draws from."""
    if "Now drawing from 'Battery Power'" not in text:
        return None
    charge = re.search(r"^\s*-InternalBattery-\d+.*?\s(\d{1,3})%", text, re.MULTILINE)
    return min(int(charge[1]) / 100, 1.0) if charge else None


def power_mode_named(name: str | None) -> str | None:
    """Return today's name of a power mode in a result file: earlier ones have "normal" and "low power"."""
    return None if name is None else _EARLIER_NAMES.get(name, name)


def thermal_pressure() -> str | None:
    """Return how hot this Mac says it is, a word of ``THERMAL_PRESSURE``; None where it does not say.

    `pmset -g therm` has nothing to say on Apple silicon, and ``NSProcessInfo.thermalState`` calls moderate and
    heavy pressure both "fair", although a Mac under heavy pressure is throttled
    (https://stanislas.blog/2025/12/macos-thermal-throttling-app/). thermald publishes the level itself,
    readable by everyone. notifyutil prints 0 also for a name that nobody publishes, so "nominal" from a
    virtual machine, which has no thermal sensors of its own, counts as unknown.
    """
    level = parse_thermal_pressure(
        system_tools.output(
            ("notifyutil", "-g", "com.apple.system.thermalpressurelevel"), seconds=5
        )
    )
    if level == THERMAL_PRESSURE[0] and sysctl("kern.hv_vmm_present") == "1":
        return None
    return level


def parse_thermal_pressure(text: str) -> str | None:
    """Read "com.apple.system.thermalpressurelevel 2"; None for a failure, which has the exit code 0 too."""
    level = re.fullmatch(r"com\.apple\.system\.thermalpressurelevel ([0-4])", text.strip())
    return THERMAL_PRESSURE[int(level[1])] if level else None
