"""The conditions under which a figure was measured: load, power, heat, memory, threads, allocator.

``observe`` takes a snapshot; ``flags`` compares a snapshot before a measurement with one after it and
returns, in sentences, what makes the figure doubtful. What a system does not report stays None and is
never guessed.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from metalassay.machine import macos, system_tools

ALLOCATORS = (
    "MALLOC_",  # glibc's MALLOC_TRIM_THRESHOLD_ and the like
    "Malloc",  # macOS's MallocNanoZone and the like
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_MPS_HIGH_WATERMARK_RATIO",
    "PYTORCH_MPS_LOW_WATERMARK_RATIO",
    "PYTORCH_NO_CUDA_MEMORY_CACHING",
)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_WAIT_POLICY")

_BUSY = 1.25  # load per core
_OTHERS = 0.25  # share of the processors' time that other programs may use
_STOLEN = 0.02  # share of the processors' time
# Moderate pressure may slow a Mac down, heavy pressure does: Bazel, which records the level beside build times,
# expects more than half of the CPU's performance under the first and less under the second
# (src/main/native/darwin/system_thermal_monitor_jni.cc there), and see `macos.thermal_pressure`.
_THROTTLED, _HEAT = "throttled", {"moderate": "warm"}
_DRIFT = 0.10  # relative change of a step's time from start to end


@dataclass(frozen=True)
class Conditions:
    """A snapshot of the machine; None where the system does not report a value.

    ``load`` is the load average of the last minute. ``power_mode`` is macOS's "automatic", "low" or
    "high", or Linux's frequency governor. ``battery`` is the charge from 0 to 1, or None while the
    machine is plugged in. ``speed_limit`` is the fraction of full speed that thermal throttling
    leaves; no Mac with Apple silicon reports it. ``temperature`` is the hottest sensor's, in degrees
    Celsius. ``pressure`` is the memory pressure: "normal", "warning" or "critical". ``swapped`` counts
    the bytes swapped in and out since the system started, ``stolen`` the seconds that the hypervisor
    gave to other guests. ``niceness`` is the process's scheduling priority, 0 by default.
    ``background`` is True if macOS's quality of service keeps the process on the efficiency cores.
    ``thermal_pressure`` is a word of ``macos.THERMAL_PRESSURE``. ``busy`` and ``own`` are macOS's: the CPU
    seconds that all processors have worked since the system started, and those of this process and its
    ended children. There the load counts threads that do not run as well: an idle Mac may show twice its
    cores (https://github.com/fersilva16/nix-config/pull/591).
    """

    load: float | None
    cores: int | None
    power_mode: str | None
    battery: float | None
    speed_limit: float | None
    temperature: float | None
    available_bytes: int | None
    pressure: str | None
    swapped: int | None
    stolen: float | None
    niceness: int | None
    background: bool | None
    thermal_pressure: str | None = None
    busy: float | None = None
    own: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)

    def as_dict(self) -> dict[str, object]:
        """Return the fields for a result file."""
        return asdict(self)


def observe() -> Conditions:
    """Take a snapshot of this machine now, in tens of milliseconds. Never raises."""
    mac = sys.platform == "darwin"
    memory = psutil.virtual_memory()
    return Conditions(
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        cores=psutil.cpu_count(),
        power_mode=parse_power_mode(_printed("pmset", "-g")) if mac else _governor(),
        battery=_battery(),
        speed_limit=parse_thermal(_printed("pmset", "-g", "therm")) if mac else _speed_limit(),
        temperature=_temperature(),
        available_bytes=memory.available,
        pressure=(
            parse_pressure_level(_printed("sysctl", "-n", "kern.memorystatus_vm_pressure_level"))
            if mac
            else parse_psi(_text(Path("/proc/pressure/memory")))
        ),
        swapped=_swapped(),
        stolen=getattr(psutil.cpu_times(), "steal", None),
        niceness=psutil.Process().nice() if os.name == "posix" else None,
        background=_background() if mac else None,
        thermal_pressure=macos.thermal_pressure() if mac else None,
        busy=_busy() if mac else None,
        own=sum(os.times()[:4]) if mac else None,
        environment={
            name: value
            for name, value in sorted(os.environ.items())
            if name in THREADS or name.startswith(ALLOCATORS)
        },
    )


def flags(before: Conditions, after: Conditions, seconds: float) -> Iterator[str]:
    """Yield the reasons to doubt a figure that took ``seconds`` to measure between two snapshots."""
    for name, value in (("before", before.speed_limit), ("after", after.speed_limit)):
        if value is not None and value < 1:
            yield f"throttled: {name} the run the processor was limited to {value:.0%} of its speed"
    for name, heat in (("before", before.thermal_pressure), ("after", after.thermal_pressure)):
        if heat is not None and heat != macos.THERMAL_PRESSURE[0]:
            yield f"{_HEAT.get(heat, _THROTTLED)}: {name} the run the thermal pressure was {heat}"
    if before.power_mode and after.power_mode and before.power_mode != after.power_mode:
        yield f"the power mode changed from {before.power_mode} to {after.power_mode}"
    elif after.power_mode in (macos.LOW_POWER, "powersave"):
        yield f"the power mode is {after.power_mode}"
    if before.battery is not None or after.battery is not None:
        yield "on battery: the system saves power"
    if after.busy is None:
        if after.load is not None and after.cores and after.load > _BUSY * after.cores:
            yield f"busy: a load of {after.load:.1f} on {after.cores} processors"
    elif before.busy is not None and after.cores and seconds > 0:
        used = (after.busy - before.busy) - ((after.own or 0) - (before.own or 0))
        share = used / seconds / after.cores
        if share > _OTHERS:
            yield f"busy: other programs used {share:.0%} of the processors' time"
    if before.stolen is not None and after.stolen is not None and after.cores and seconds > 0:
        share = (after.stolen - before.stolen) / seconds / after.cores
        if share > _STOLEN:
            yield f"the hypervisor gave {share:.0%} of the processors' time to other guests"
    if before.swapped is not None and after.swapped is not None:
        moved = (after.swapped - before.swapped) / 2**20
        if moved > 1:
            yield f"{moved:,.0f} MB were swapped"
    if after.pressure in ("warning", "critical"):
        yield f"memory pressure: {after.pressure}"
    if after.background:
        yield "in the background: macOS keeps this process on the efficiency cores"
    if after.niceness:
        yield f"niceness {after.niceness}: the scheduler prefers other processes"


def drift(seconds: Sequence[float]) -> float:
    """Return by how much the median of the last third exceeds that of the first; 0.1 is 10 %."""
    third = len(seconds) // 3
    if not third:
        return 0.0
    return statistics.median(seconds[-third:]) / statistics.median(seconds[:third]) - 1


def drifted(by: float) -> str | None:
    """Return a sentence if a run became slower or faster by more than 10 % from start to end.

    ``by`` is the relative change that ``drift`` returns.
    """
    if abs(by) <= _DRIFT:
        return None
    return f"drifted: the last third of the rounds took {by:+.0%} compared with the first third"


def parse_power_mode(text: str) -> str | None:
    """Read `pmset -g`: "powermode 2" is "high"; None where it prints neither setting.

    Macs with a high-power mode print "powermode" with 0, 1 or 2, the others "lowpowermode" with 0 or 1
    (https://github.com/alfredapp/low-power-mode-workflow/issues/4, `pmset -g custom` of an M1 Max in
    .../issues/6; https://github.com/Jean-Tinland/simple-bar/pull/454); "highpowermode" has been seen beside
    the latter. It is the one in use for the present power source.
    """
    found = {
        name: int(value)
        for name, value in re.findall(
            r"^\s*(powermode|lowpowermode|highpowermode)\s+([0-2])\s*$", text, re.MULTILINE
        )
    }
    if found.get("highpowermode") == 1:
        return macos.HIGH_POWER
    mode = found.get("powermode", found.get("lowpowermode"))
    return None if mode is None else macos.POWER_MODES[mode]


def parse_thermal(text: str) -> float | None:
    """Read `pmset -g therm`: CPU_Speed_Limit, from percent, which Intel Macs print.

    Apple silicon prints "No thermal warning level has been recorded" and nothing more, hot or not, so that is
    no answer (https://dmaclach.medium.com/thermals-and-macos-c0db81062889).
    """
    limit = re.search(r"CPU_Speed_Limit\s*=\s*(\d+)", text)
    return int(limit[1]) / 100 if limit else None


def parse_pressure_level(text: str) -> str | None:
    """Read macOS's kern.memorystatus_vm_pressure_level: 1, 2 or 4."""
    return {"1": "normal", "2": "warning", "4": "critical"}.get(text.strip())


def parse_psi(text: str) -> str | None:
    """Read Linux's /proc/pressure/memory: the share of the last 10 s in which all tasks stalled."""
    stalled = re.search(r"^full avg10=([\d.]+)", text, re.MULTILINE)
    if stalled is None:
        return None
    share = float(stalled[1])
    return "normal" if share < 1 else "warning" if share < 10 else "critical"


def _busy() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def _governor() -> str | None:
    root = Path("/sys/devices/system/cpu/cpu0/cpufreq")
    return _text(root / "scaling_governor").strip() or None


def _speed_limit() -> float | None:
    """Return the allowed over the possible frequency: thermal daemons lower scaling_max_freq."""
    root = Path("/sys/devices/system/cpu/cpu0/cpufreq")
    allowed, possible = (
        _text(root / name).strip() for name in ("scaling_max_freq", "cpuinfo_max_freq")
    )
    if not (allowed.isdecimal() and possible.isdecimal() and int(possible)):
        return None
    return int(allowed) / int(possible)


def _temperature() -> float | None:
    if not hasattr(psutil, "sensors_temperatures"):  # macOS, Windows
        return None
    groups = psutil.sensors_temperatures().values()
    return max(
        (sensor.current for group in groups for sensor in group if sensor.current), default=None
    )


def _battery() -> float | None:
    if sys.platform == "darwin":
        return macos.battery()
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return None if battery is None or battery.power_plugged is not False else battery.percent / 100


def _swapped() -> int | None:
    if sys.platform == "darwin":
        moved = macos.swapped()
        return None if moved is None else sum(moved)
    try:
        swap = psutil.swap_memory()
    except (OSError, RuntimeError):  # a container may hide the counters
        return None
    return int(swap.sin + swap.sout)


def _background() -> bool | None:
    """Return whether macOS runs this process in the background: getpriority(2) is 1 then."""
    darwin_process = 4  # PRIO_DARWIN_PROCESS of sys/resource.h
    try:
        return os.getpriority(darwin_process, 0) == 1
    except OSError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _printed(*command: str) -> str:
    return system_tools.output(command, seconds=5, must_succeed=False)
