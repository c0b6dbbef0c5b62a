"""psutil as it is on macOS, from psutil's own code for it.

Sources: psutil/_psosx.py and psutil/arch/osx (github.com/giampaolo/psutil): swap_memory's sin and sout
are vm_statistics' pageins and pageouts, which count files; the children's times of a process are always
0; a zombie's times raise ZombieProcess; there are no sensors of temperature and no CPU affinity.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

from as_mac import facts

scputimes = namedtuple("scputimes", ["user", "nice", "system", "idle"])
svmem = namedtuple(
    "svmem", ["total", "available", "percent", "used", "free", "active", "inactive", "wired"]
)
pcputimes = namedtuple("pcputimes", ["user", "system", "children_user", "children_system"])
sbattery = namedtuple("sbattery", ["percent", "secsleft", "power_plugged"])
pmem = namedtuple("pmem", ["rss", "vms", "pfaults", "pageins"])

_MISSING = ["sensors_temperatures", "sensors_fans", "PROCFS_PATH", "RLIM_INFINITY"]
# Used as they are: the same on both systems, or of no consequence here.
_SAME = [
    "AccessDenied",
    "Error",
    "NoSuchProcess",
    "Popen",
    "TimeoutExpired",
    "ZombieProcess",
    "boot_time",
    "cpu_percent",
    "disk_usage",
    "disk_partitions",
    "getloadavg",
    "net_if_addrs",
    "net_io_counters",
    "pid_exists",
    "pids",
    "users",
    "version_info",
    "wait_procs",
]


class _Absent:
    """A method that macOS's psutil does not have, on the class or on its objects."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, found: object, owner: type) -> Any:
        raise AttributeError(f"'Process' object has no attribute {self.name!r}")


def psutil(real: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the values that differ on macOS, and the names that are missing there."""

    class Process(real.Process):  # type: ignore[misc]
        cpu_affinity = _Absent()
        cpu_num = _Absent()
        io_counters = _Absent()
        ionice = _Absent()
        memory_maps = _Absent()
        rlimit = _Absent()

        def cpu_times(self) -> pcputimes:
            if self.status() == real.STATUS_ZOMBIE:
                raise real.ZombieProcess(self.pid)
            times = super().cpu_times()
            return pcputimes(times.user, times.system, 0.0, 0.0)

        def memory_info(self) -> pmem:
            memory = super().memory_info()
            return pmem(memory.rss, memory.vms, 0, 0)

        def children(self, recursive: bool = False) -> list[Any]:
            found = super().children(recursive=recursive)
            return [known for child in found if (known := _known(child.pid)) is not None]

        def parent(self) -> Any:
            found = super().parent()
            return None if found is None else _known(found.pid)

        def parents(self) -> list[Any]:
            found = super().parents()
            return [known for parent in found if (known := _known(parent.pid)) is not None]

    Process.__qualname__ = "Process"

    def _known(pid: int) -> Any:
        try:
            return Process(pid)
        except real.NoSuchProcess:
            return None

    def process_iter(attrs: Any = None, ad_value: Any = None) -> Any:
        for found in real.process_iter():
            process = _known(found.pid)
            if process is not None:
                if attrs is not None:
                    process.info = process.as_dict(attrs, ad_value)
                yield process

    def virtual_memory() -> svmem:
        page = int(facts.sysctl("hw.pagesize") or 4096)
        pages = facts.vm_stat()
        total = facts.mac["sysctl"]["hw.memsize"]
        active, inactive, wired, free = (
            pages[f"Pages {name}"] * page for name in ("active", "inactive", "wired down", "free")
        )
        available = inactive + free
        percent = round((total - available) / total * 100, 1)
        return svmem(
            total, available, percent, active + inactive + wired, free, active, inactive, wired
        )

    def swap_memory() -> Any:
        total, used, free = facts.swap_bytes()
        page = int(facts.sysctl("hw.pagesize") or 4096)
        pages = facts.vm_stat()
        percent = round(used / total * 100, 1) if total else 0.0
        shape = type(real.swap_memory())
        return shape(total, used, free, percent, pages["Pageins"] * page, pages["Pageouts"] * page)

    def cpu_count(logical: bool = True) -> int:
        return int(facts.mac["sysctl"]["hw.logicalcpu" if logical else "hw.physicalcpu"])

    def cpu_times(percpu: bool = False) -> Any:
        if not percpu:
            times = real.cpu_times()
            return scputimes(times.user, times.nice, times.system, times.idle)
        cores = [
            scputimes(times.user, times.nice, times.system, times.idle)
            for times in real.cpu_times(percpu=True)
        ]
        return [cores[number % len(cores)] for number in range(cpu_count())]

    def sensors_battery() -> Any:
        battery = facts.mac.get("battery")
        if battery is None:
            return None
        return sbattery(battery["percent"], battery["seconds_left"], battery["plugged"])

    values = {
        "LINUX": False,
        "MACOS": True,
        "OSX": True,
        "Process": Process,
        "process_iter": process_iter,
        "virtual_memory": virtual_memory,
        "swap_memory": swap_memory,
        "cpu_count": cpu_count,
        "cpu_times": cpu_times,
        "sensors_battery": sensors_battery,
    }
    return values, _MISSING


def check(real: Any) -> Callable[[str], None]:
    """Return a function that notes a name of psutil whose behaviour on macOS nobody has described here."""

    def known(name: str) -> None:
        same = name in _SAME or name.startswith(("STATUS_", "POWER_TIME_", "_"))
        if hasattr(real, name) and not same:
            facts.note("unmodelled", f"psutil.{name}", facts.caller())

    return known
