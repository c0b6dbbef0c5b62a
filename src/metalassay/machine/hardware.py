"""Which machine this is: chip, cores, memory, GPU, virtual or not. What is unknown stays None.

``probe`` runs the commands whose output ``hardware_text`` reads. Nothing here is
guessed from a model number, and nothing personal is kept: no serial number, no host or user name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metalassay.fields import Field
from metalassay.machine.hardware_parsers import (
    Gpu,
    Processor,
    parse_cpuinfo,
    parse_nvidia_smi,
    parse_sysctl,
    parse_system_profiler,
)

# A sysctl that does not know a name may stop there, so those that some Macs lack come last: an
# Intel Mac has no performance levels.
SYSCTL = (
    "/usr/sbin/sysctl",
    "machdep.cpu.brand_string",
    "hw.model",
    "hw.physicalcpu",
    "hw.logicalcpu",
    "hw.memsize",
    "kern.hv_vmm_present",
    "hw.perflevel0.physicalcpu",
    "hw.perflevel1.physicalcpu",
)
SYSTEM_PROFILER = ("/usr/sbin/system_profiler", "SPDisplaysDataType", "-json")
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Hardware:
    """One machine. Two of the same make and configuration are equal; None means unknown.

    ``release`` is "macOS 15.1" or the kernel's release. ``performance_cores`` counts the faster
    kind (macOS: perflevel0) and ``efficiency_cores`` the slower one (perflevel1), whatever Apple
    calls them on that chip. ``gpu_cores`` is Apple's count of GPU cores.
    """

    system: str
    release: str
    machine: str
    chip: str | None
    model: str | None
    physical_cores: int | None
    performance_cores: int | None
    efficiency_cores: int | None
    logical_cores: int | None
    gpu: str | None
    gpu_cores: int | None
    memory_bytes: int | None
    virtual: bool | None


def as_dict(hardware: Hardware) -> dict[str, object]:
    """Return the fields as they stand in a result file."""
    return dataclasses.asdict(hardware)


def from_dict(data: object, place: str = "hardware") -> Hardware:
    """Read what ``as_dict`` returned, for example from JSON; unknown keys are ignored.

    What may be unknown may be missing. Raises ``ValueError``, with a sentence that says where in
    ``place``, for another missing field or a wrong type: counts and bytes are whole numbers of at
    least one, texts are not empty.
    """
    top = Field(data, place)

    def text(key: str) -> str | None:
        return top.find(key).or_none(Field.name)

    def count(key: str) -> int | None:
        return top.find(key).or_none(Field.whole)

    return Hardware(
        system=top.get("system").name(),
        release=top.get("release").name(),
        machine=top.get("machine").name(),
        chip=text("chip"),
        model=text("model"),
        physical_cores=count("physical_cores"),
        performance_cores=count("performance_cores"),
        efficiency_cores=count("efficiency_cores"),
        logical_cores=count("logical_cores"),
        gpu=text("gpu"),
        gpu_cores=count("gpu_cores"),
        memory_bytes=count("memory_bytes"),
        virtual=top.find("virtual").or_none(Field.flag),
    )


def identity(machine: Hardware) -> Hardware:
    """Return what two records of one machine have in common: the same Mac after an update is the same."""
    return dataclasses.replace(machine, release="")


def describe(hardware: Hardware) -> str:
    """Return one line for people, as in "Apple M4 (4P+6E CPU, 10-core GPU, 16 GB), macOS 15.1"."""
    parts = [_cores_text(hardware), _gpu_text(hardware)]
    if hardware.memory_bytes:  # sold in units of 2**30 bytes and labelled GB
        parts.append(f"{hardware.memory_bytes / 2**30:.0f} GB")
    if hardware.virtual:
        parts.append("virtual machine")
    inside = ", ".join(part for part in parts if part)
    mac = hardware.system == "Darwin"
    under = hardware.release if mac else f"{hardware.system} {hardware.machine}"
    return f"{hardware.chip or 'unknown chip'}{f' ({inside})' if inside else ''}, {under}"


def _cores_text(hardware: Hardware) -> str:
    if hardware.performance_cores and hardware.efficiency_cores:
        return f"{hardware.performance_cores}P+{hardware.efficiency_cores}E CPU"
    cores = hardware.physical_cores
    return f"{cores} {'core' if cores == 1 else 'cores'}" if cores else ""


def _gpu_text(hardware: Hardware) -> str:
    # On Apple silicon the GPU bears the chip's name, which the line already has.
    other = hardware.gpu if hardware.gpu != hardware.chip else None
    if hardware.gpu_cores is None:
        return other or ""
    return f"{hardware.gpu_cores}-core {other or 'GPU'}"


@functools.cache
def probe(*, gpu_too: bool = True) -> Hardware:
    """Return this machine, looked at once per process.

    A command that is missing, fails, hangs or answers nonsense leaves its fields None; there is no
    error. Milliseconds without an NVIDIA GPU; seconds on macOS, but for ``gpu_too=False``.
    """
    processor, gpu = (_probe_mac if platform.system() == "Darwin" else _probe_other)(gpu_too)
    mac_version = platform.mac_ver()[0]
    return Hardware(
        system=platform.system() or "unknown",
        release=(f"macOS {mac_version}" if mac_version else platform.release()) or "unknown",
        machine=platform.machine() or "unknown",
        gpu=gpu.name,
        gpu_cores=gpu.cores,
        **dataclasses.asdict(processor),
    )


def _probe_mac(gpu_too: bool) -> tuple[Processor, Gpu]:
    gpu = Gpu()
    with contextlib.suppress(ValueError):
        gpu = parse_system_profiler(_output(SYSTEM_PROFILER, seconds=20)) if gpu_too else gpu
    return mac_processor(), gpu


def mac_processor() -> Processor:
    """Return what sysctl says of this Mac, in milliseconds; nothing of the GPU."""
    # sysctl fails for want of one name, but has then printed those before it.
    return parse_sysctl(_output(SYSCTL, seconds=5, must_succeed=False))


def apple_generation(processor: Processor) -> int | None:
    """Return 4 for "Apple M4 Pro"; None for another chip, and for a virtual machine's.

    A guest calls itself "Apple M1 (Virtual)", whatever its GPU can do.
    """
    found = re.match(r"Apple M([0-9]{1,3})\b", processor.chip or "")
    return int(found[1]) if found and not processor.virtual else None


def _probe_other(gpu_too: bool) -> tuple[Processor, Gpu]:
    processor = Processor()
    with contextlib.suppress(OSError), _CPUINFO.open(encoding="utf-8", errors="replace") as file:
        # The first processors tell enough; on a big server the whole file is slow to read.
        processor = parse_cpuinfo(file.read(16_384))
    import psutil  # here, so that this module can be imported where psutil is not installed

    processor = dataclasses.replace(
        processor,
        physical_cores=psutil.cpu_count(logical=False) or None,
        logical_cores=psutil.cpu_count() or None,
        memory_bytes=psutil.virtual_memory().total or None,
    )
    return processor, parse_nvidia_smi(_output(NVIDIA_SMI, seconds=10) if gpu_too else "")


def _output(command: Sequence[str], seconds: float, *, must_succeed: bool = True) -> str:
    """Return what ``command`` prints, or nothing when it is missing, fails or takes too long."""
    program = shutil.which(command[0])
    if program is None:
        return ""
    try:
        return subprocess.run(  # noqa: S603  (constant arguments, no shell)
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=must_succeed,
            encoding="utf-8",
            errors="replace",
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
