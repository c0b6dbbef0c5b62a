"""Which machine this is: chip, cores, memory, GPU, virtual or not. What is unknown stays None.

``probe`` runs the system's tools; the ``parse_*`` functions turn their output into facts and run
nothing. Nothing is guessed from a model number, and nothing personal is kept: no serial number, no
host name and no user name.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import platform
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from metalassay.fields import Field, one_line, parse_json, printable
from metalassay.machine import macos, system_tools

# sysctl may stop at the first name that it does not know, so the names that some Macs lack come
# last: an Intel Mac has no performance levels.
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

    ``release`` is "macOS 15.1", or the kernel's release, "Darwin 25.1.0" on a Mac whose version is unknown.
    ``translated``: this Python is an Intel program on Apple silicon, under Rosetta. ``performance_cores`` counts the faster
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
    # Earlier files lack it; machines are told apart by ``machine``, which is x86_64 under Rosetta.
    translated: bool | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Processor:
    """The processor and its machine, as one source describes them; the fields are ``Hardware``'s."""

    chip: str | None = None
    model: str | None = None
    physical_cores: int | None = None
    performance_cores: int | None = None
    efficiency_cores: int | None = None
    logical_cores: int | None = None
    memory_bytes: int | None = None
    virtual: bool | None = None


@dataclass(frozen=True)
class Gpu:
    """The name of the GPU, or of all GPUs, and the number of cores if there is only one GPU."""

    name: str | None = None
    cores: int | None = None


def as_dict(hardware: Hardware) -> dict[str, object]:
    """Return the fields in the form in which result files store them."""
    return dataclasses.asdict(hardware)


def from_dict(data: object, place: str = "hardware") -> Hardware:
    """Read what ``as_dict`` returned, for example from JSON; unknown keys are ignored.

    Fields that may be unknown may also be missing. Raises ``ValueError`` if another field is missing
    or a value has the wrong type: counts and bytes are whole numbers of at least one, and texts are
    not empty. The message starts with the field's path within ``place``.
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
        translated=top.find("translated").or_none(Field.flag),
    )


def identity(machine: Hardware) -> Hardware:
    """Return the record without what a system update changes, to compare two records of one machine."""
    return dataclasses.replace(machine, release="")


def describe(hardware: Hardware) -> str:
    """Describe the machine in one line, as in "Apple M4 (4P+6E CPU, 10-core GPU, 16 GB), macOS 15.1"."""
    parts = [_cores_text(hardware), _gpu_text(hardware)]
    if hardware.memory_bytes:  # sold in units of 2**30 bytes and labelled GB
        parts.append(f"{hardware.memory_bytes / 2**30:.0f} GB")
    if hardware.virtual:
        parts.append("virtual machine")
    inside = ", ".join(part for part in parts if part)
    mac = hardware.system == "Darwin"
    under = hardware.release if mac else f"{hardware.system} {hardware.machine}"
    rosetta = ", an Intel Python under Rosetta" if hardware.translated else ""
    return f"{hardware.chip or 'unknown chip'}{f' ({inside})' if inside else ''}, {under}{rosetta}"


def _cores_text(hardware: Hardware) -> str:
    if hardware.performance_cores and hardware.efficiency_cores:
        return f"{hardware.performance_cores}P+{hardware.efficiency_cores}E CPU"
    cores = hardware.physical_cores
    return f"{cores} {'core' if cores == 1 else 'cores'}" if cores else ""


def _gpu_text(hardware: Hardware) -> str:
    # On Apple silicon the GPU has the chip's name, which the line already contains.
    other = hardware.gpu if hardware.gpu != hardware.chip else None
    if hardware.gpu_cores is None:
        return other or ""
    return f"{hardware.gpu_cores}-core {other or 'GPU'}"


@functools.cache
def probe(*, gpu_too: bool = True) -> Hardware:
    """Return the record of this machine; it is determined once per process.

    A command that is missing, fails, hangs or prints nonsense leaves its fields None and raises
    nothing. Takes milliseconds without an NVIDIA GPU, and seconds on macOS unless ``gpu_too`` is
    False, which leaves out the GPU.
    """
    processor, gpu = (_probe_mac if platform.system() == "Darwin" else _probe_other)(gpu_too)
    return Hardware(
        system=platform.system() or "unknown",
        release=release(),
        machine=platform.machine() or "unknown",
        gpu=gpu.name,
        gpu_cores=gpu.cores,
        translated=macos.under_rosetta(),
        **dataclasses.asdict(processor),
    )


def release() -> str:
    """Return the ``release`` of this machine; on a Mac that takes milliseconds."""
    version = macos.version()
    if version:
        return f"macOS {version}"
    # Bare, the kernel's 25.1.0 would be read as a version of macOS.
    name = "Darwin " if platform.system() == "Darwin" and platform.release() else ""
    return f"{name}{platform.release()}" or "unknown"


def _probe_mac(gpu_too: bool) -> tuple[Processor, Gpu]:
    gpu = Gpu()
    with contextlib.suppress(ValueError):
        gpu = (
            parse_system_profiler(system_tools.output(SYSTEM_PROFILER, seconds=20))
            if gpu_too
            else gpu
        )
    return mac_processor(), gpu


def mac_processor() -> Processor:
    """Return what sysctl reports about this Mac, which takes milliseconds; it omits the GPU."""
    # When a name is missing, sysctl fails after it has printed the names before it.
    return parse_sysctl(system_tools.output(SYSCTL, seconds=5, must_succeed=False))


def apple_generation(processor: Processor) -> int | None:
    """Return the number in the chip's name: 4 for "Apple M4 Pro"; None for other chips and in a virtual machine.

    A guest calls itself "Apple M1 (Virtual)", whatever its GPU can do.
    """
    name = re.match(r"Apple M([0-9]{1,3})\b", processor.chip or "")
    return int(name[1]) if name and not processor.virtual else None


def _probe_other(gpu_too: bool) -> tuple[Processor, Gpu]:
    processor = Processor()
    with contextlib.suppress(OSError), _CPUINFO.open(encoding="utf-8", errors="replace") as file:
        # The first processors suffice; on a large server the whole file is slow to read.
        processor = parse_cpuinfo(file.read(16_384))
    import psutil  # here, so that this module can be imported where psutil is not installed

    processor = dataclasses.replace(
        processor,
        physical_cores=psutil.cpu_count(logical=False) or None,
        logical_cores=psutil.cpu_count() or None,
        memory_bytes=psutil.virtual_memory().total or None,
    )
    return processor, parse_nvidia_smi(
        system_tools.output(NVIDIA_SMI, seconds=10) if gpu_too else ""
    )


def parse_sysctl(text: str) -> Processor:
    """Read the "name: value" lines of macOS's sysctl for the names in ``SYSCTL``; each may be missing.

    Two values reveal a guest of Apple's Virtualization framework: kern.hv_vmm_present is 1, and the
    brand string ends in "(Virtual)". Never raises; a value that is not a count is unknown.
    """
    values = _named(text)
    chip = _text(values.get("machdep.cpu.brand_string"))
    present = {"0": False, "1": True}.get(values.get("kern.hv_vmm_present", ""))
    return Processor(
        chip=chip,
        model=_text(values.get("hw.model")),
        physical_cores=_whole(values.get("hw.physicalcpu")),
        performance_cores=_whole(values.get("hw.perflevel0.physicalcpu")),
        efficiency_cores=_whole(values.get("hw.perflevel1.physicalcpu")),
        logical_cores=_whole(values.get("hw.logicalcpu")),
        memory_bytes=_whole(values.get("hw.memsize")),
        virtual=True if chip and "(Virtual)" in chip else present,
    )


def parse_system_profiler(text: str) -> Gpu:
    """Read the JSON of ``system_profiler SPDisplaysDataType -json``: one entry per GPU.

    The name is sppci_model; the cores are sppci_cores, a number written as a string, which only
    Apple's GPUs have. Raises ``ValueError`` for any other text.
    """
    document = Field(parse_json(text), "system_profiler")
    gpus: list[tuple[str, int | None]] = []
    for entry in document.get("SPDisplaysDataType").each():
        if not isinstance(entry.value, dict):
            raise entry.wrong("an object")
        name = _text(entry.value.get("sppci_model"))
        if name:
            gpus.append((name, _whole(entry.value.get("sppci_cores"))))
    return Gpu(_joined(name for name, _ in gpus), gpus[0][1] if len(gpus) == 1 else None)


def parse_nvidia_smi(text: str) -> Gpu:
    """Read one GPU name per line. ``cores`` stays None: NVIDIA counts different units than Apple."""
    names = map(_text, text.splitlines())
    return Gpu(_joined(name for name in names if name and name != "No devices were found"))


def parse_cpuinfo(text: str) -> Processor:
    """Read the chip, and whether this is a virtual machine, from Linux's /proc/cpuinfo.

    On x86, "model name" is the chip and the flag "hypervisor" marks a virtual machine. On arm64
    neither exists, so both stay None. Never raises.
    """
    values = _named(text)
    flags = values.get("flags")
    return Processor(
        chip=_text(values.get("model name")),
        virtual=None if flags is None else "hypervisor" in flags.split(),
    )


def _named(text: str) -> dict[str, str]:
    """Return the values of "name: value" lines; the first line of a name counts."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            values.setdefault(name.strip(), value.strip())
    return values


def _text(value: object) -> str | None:
    """Return ``value`` on one line, as ``from_dict`` accepts it, or None if it is blank or not text."""
    return (one_line(printable(value)) or None) if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    if not isinstance(value, str) or not re.fullmatch("[0-9]{1,18}", value):
        return None
    return int(value) or None  # no machine has zero cores or bytes: zero means unknown


def _joined(names: Iterable[str]) -> str | None:
    counts = Counter(names)
    return " + ".join(f"{n} x {name}" if n > 1 else name for name, n in counts.items()) or None
