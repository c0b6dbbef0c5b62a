"""What ``import os`` and the like give to our code: the module, with macOS's facts instead of Linux's."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from as_mac import facts, libraries, processes

_made: dict[str, ModuleType] = {}


class Face(ModuleType):
    """A module whose ``values`` replace attributes, and that lacks the names in ``missing``."""

    def __init__(
        self,
        real: ModuleType,
        values: Mapping[str, Any],
        missing: Iterable[str] = (),
        check: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(real.__name__, real.__doc__)
        about = ("__file__", "__loader__", "__package__", "__path__", "__spec__")
        vars(self).update({name: vars(real)[name] for name in about if name in vars(real)})
        vars(self).update(
            _real=real, _values=dict(values), _missing=frozenset(missing), _check=check
        )
        for name in self._values:
            vars(self).pop(name, None)

    def __getattr__(self, name: str) -> Any:
        state = vars(self)
        if not facts.on_linux():
            if name in state["_missing"]:
                raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
            if name in state["_values"]:
                return state["_values"][name]
            if state["_check"] is not None:
                state["_check"](name)
        return getattr(state["_real"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self)["_values"]:
            vars(self)["_values"][name] = value
        else:
            setattr(vars(self)["_real"], name, value)

    def __delattr__(self, name: str) -> None:
        delattr(vars(self)["_real"], name)

    def __dir__(self) -> list[str]:
        state = vars(self)
        return sorted(({*dir(state["_real"])} | {*state["_values"]}) - state["_missing"])


def face(name: str, module: ModuleType) -> ModuleType:
    """Return what our code sees when it imports ``name``."""
    make = _FACES.get(name)
    if make is None or isinstance(module, Face):
        return module
    if name not in _made:
        _made[name] = make(module)
    return _made[name]


def _sys(real: ModuleType) -> ModuleType:
    return Face(real, {"platform": "darwin"})


# What CPython's os documents as not available on macOS (docs.python.org/3/library/os.html).
_NOT_IN_OS = [
    "copy_file_range",
    "eventfd",
    "eventfd_read",
    "eventfd_write",
    "fdatasync",
    "getrandom",
    "getresgid",
    "getresuid",
    "getxattr",
    "listxattr",
    "memfd_create",
    "pidfd_open",
    "pipe2",
    "posix_fadvise",
    "posix_fallocate",
    "removexattr",
    "sched_getaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_setaffinity",
    "sched_setparam",
    "sched_setscheduler",
    "setns",
    "setresgid",
    "setresuid",
    "setxattr",
    "splice",
    "unshare",
    "O_DIRECT",
    "O_LARGEFILE",
    "O_NOATIME",
    "O_PATH",
    "O_RSYNC",
    "O_TMPFILE",
    "SCHED_BATCH",
    "SCHED_IDLE",
    "GRND_NONBLOCK",
    "GRND_RANDOM",
    "P_PIDFD",
]
_PRIO_DARWIN_PROCESS = 4  # sys/resource.h


def _os(real: ModuleType) -> ModuleType:
    def sysconf(name: Any, /) -> int:
        if name == "SC_AVPHYS_PAGES":
            raise ValueError("unrecognized configuration name")
        page = int(facts.sysctl("hw.pagesize") or 4096)
        known = {
            "SC_PAGE_SIZE": page,
            "SC_PAGESIZE": page,
            "SC_PHYS_PAGES": facts.mac["sysctl"]["hw.memsize"] // page,
            "SC_NPROCESSORS_ONLN": facts.mac["sysctl"]["hw.logicalcpu"],
            "SC_NPROCESSORS_CONF": facts.mac["sysctl"]["hw.logicalcpu"],
        }
        return known[name] if name in known else os.sysconf(name)

    def getpriority(which: int, who: int) -> int:
        return 0 if which == _PRIO_DARWIN_PROCESS else os.getpriority(which, who)

    def setpriority(which: int, who: int, priority: int) -> None:
        if which != _PRIO_DARWIN_PROCESS:
            os.setpriority(which, who, priority)

    def uname() -> os.uname_result:
        about = facts.mac["uname"]
        return os.uname_result(
            ("Darwin", os.uname().nodename, about["release"], about["version"], about["machine"])
        )

    values = {
        "uname": uname,
        "sysconf": sysconf,
        "getpriority": getpriority,
        "setpriority": setpriority,
        "cpu_count": lambda: facts.mac["sysctl"]["hw.logicalcpu"],
        "process_cpu_count": lambda: facts.mac["sysctl"]["hw.logicalcpu"],
    }
    return Face(real, values, _NOT_IN_OS)


def _platform(real: ModuleType) -> ModuleType:
    about = facts.mac["uname"]
    arm = about["machine"] == "arm64"

    def mac_ver(*_: Any) -> tuple[str, tuple[str, str, str], str]:
        return facts.python_version(), ("", "", ""), about["machine"]

    def uname() -> platform.uname_result:
        return platform.uname_result(
            "Darwin", platform.node(), about["release"], about["version"], about["machine"]
        )

    values = {
        "system": lambda: "Darwin",
        "machine": lambda: about["machine"],
        "release": lambda: about["release"],
        "version": lambda: about["version"],
        "processor": lambda: "arm" if arm else "i386",
        "mac_ver": mac_ver,
        "uname": uname,
        "libc_ver": lambda *_, **__: ("", ""),
        "platform": lambda *_, **__: (
            f"macOS-{facts.python_version()}-{about['machine']}-{'arm' if arm else 'i386'}-64bit"
        ),
    }
    return Face(real, values, ["freedesktop_os_release"])


def _resource(real: Any) -> ModuleType:
    def getrusage(who: int) -> Any:
        used = list(real.getrusage(who))
        used[2] *= 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
        return real.struct_rusage(used)

    missing = [
        "RUSAGE_THREAD",
        "RLIMIT_MSGQUEUE",
        "RLIMIT_NICE",
        "RLIMIT_RTPRIO",
        "RLIMIT_RTTIME",
        "RLIMIT_SIGPENDING",
        "prlimit",
    ]
    return Face(real, {"getrusage": getrusage}, missing)


def _shutil(real: ModuleType) -> ModuleType:
    from as_mac.watch import LINUX_TOOLS

    def which(cmd: Any, *arguments: Any, **options: Any) -> Any:
        text = os.fspath(cmd)
        if text in LINUX_TOOLS:
            return None
        if text.startswith(("/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/")):
            return text if text in facts.mac["tools"] else shutil.which(cmd, *arguments, **options)
        found = shutil.which(cmd, *arguments, **options)
        places = {file: path for path, file in facts.mac["tools"].items()}
        return places.get(found, found)  # a Mac has it in /usr/bin, and it is started from here

    return Face(real, {"which": which})


def _sysconfig(real: ModuleType) -> ModuleType:
    return Face(real, {"get_platform": lambda: f"macosx-14.0-{facts.mac['uname']['machine']}"})


def _psutil(real: ModuleType) -> ModuleType:
    values, missing = processes.psutil(real)
    return Face(real, values, missing, processes.check(real))


_FACES: dict[str, Callable[[Any], ModuleType]] = {
    "sys": _sys,
    "os": _os,
    "platform": _platform,
    "resource": _resource,
    "shutil": _shutil,
    "sysconfig": _sysconfig,
    "psutil": _psutil,
    "ctypes": lambda real: Face(real, libraries.ctypes(real)),
    "ctypes.util": lambda real: Face(real, libraries.util(real)),
}

assert sys.platform == "linux", "a Mac needs no rehearsal"
