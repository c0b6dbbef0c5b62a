"""What commands and files print of a machine, read: pure, from text to facts. What is unknown is None."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from metalassay.fields import Field, printable


@dataclass(frozen=True)
class Processor:
    """What one source says of the processor and the machine around it; see ``hardware.Hardware``."""

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
    """Name of the GPU, or of all when there are several, and the cores if there is only one."""

    name: str | None = None
    cores: int | None = None


def parse_sysctl(text: str) -> Processor:
    """Read "name: value" lines of macOS's sysctl for the names in ``hardware.SYSCTL``; each may be missing.

    A guest of Apple's Virtualization framework says so twice: kern.hv_vmm_present is 1, and the
    brand string ends in "(Virtual)". Never raises; a value that is not a count counts as unknown.
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
    """Read the JSON of ``system_profiler SPDisplaysDataType -json``: one entry a GPU.

    The name is sppci_model; the cores are sppci_cores, a number written as a string, which only
    Apple's GPUs have. Raises ``ValueError`` when it is not JSON of that form.
    """
    try:
        document = Field(json.loads(text), "system_profiler")
    except RecursionError:
        raise ValueError("system_profiler: brackets without end") from None
    found: list[tuple[str, int | None]] = []
    for entry in document.get("SPDisplaysDataType").each():
        if not isinstance(entry.value, dict):
            raise entry.wrong("an object")
        name = _text(entry.value.get("sppci_model"))
        if name:
            found.append((name, _whole(entry.value.get("sppci_cores"))))
    return Gpu(_listed(name for name, _ in found), found[0][1] if len(found) == 1 else None)


def parse_nvidia_smi(text: str) -> Gpu:
    """Read one GPU name a line. NVIDIA counts other units than Apple: ``cores`` stays None."""
    names = map(_text, text.splitlines())
    return Gpu(_listed(name for name in names if name and name != "No devices were found"))


def parse_cpuinfo(text: str) -> Processor:
    """Read the chip, and whether a hypervisor runs below, from Linux's /proc/cpuinfo.

    On x86 "model name" is the chip and the flag "hypervisor" marks a virtual machine. On arm64
    there is neither, so both stay None. Never raises.
    """
    values = _named(text)
    flags = values.get("flags")
    return Processor(
        chip=_text(values.get("model name")),
        virtual=None if flags is None else "hypervisor" in flags.split(),
    )


def _named(text: str) -> dict[str, str]:
    """Return the values of "name: value" lines; the first of a name stands."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            values.setdefault(name.strip(), value.strip())
    return values


def _text(value: object) -> str | None:
    """Return text on one line, as ``hardware.from_dict`` would read it back, or None when it says nothing."""
    return (" ".join(printable(value).split()) or None) if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    if not isinstance(value, str) or not re.fullmatch("[0-9]{1,18}", value):
        return None
    return int(value) or None  # no machine has zero cores or bytes: that says "unknown"


def _listed(names: Iterable[str]) -> str | None:
    counts = Counter(names)
    return " + ".join(f"{n} x {name}" if n > 1 else name for name, n in counts.items()) or None
