"""The few functions of macOS's libraries that our code may call through ctypes.

``sysctlbyname`` and ``notify_*`` are in libSystem (sysctl(3), notify(3)); Foundation's NSProcessInfo is
asked through the Objective-C runtime. Any other name that only macOS has is noted as not modelled.
"""

from __future__ import annotations

import ctypes as real_ctypes
import struct
from collections.abc import Callable
from typing import Any

from as_mac import facts

_ENOENT = 2
# NSProcessInfo's thermalState (nominal, fair, serious, critical) from the level of notify(3)'s
# com.apple.system.thermalpressurelevel (nominal, moderate, heavy, trapping, sleeping): moderate and heavy
# are both "fair" (https://stanislas.blog/2025/12/macos-thermal-throttling-app/).
_THERMAL_STATE = {0: 0, 1: 1, 2: 1, 3: 2, 4: 3}
_LINUX_ONLY = ("mall", "prctl", "sched_", "gnu_", "personality", "pthread_setaffinity", "syscall")
_ONLY_MACOS = ("proc_", "mach_", "task_", "host_", "IO", "CF", "responsibility_", "sysctl")


class Function:
    """A function of a library: ctypes' attributes, and a Python function behind it."""

    def __init__(self, body: Callable[..., Any]) -> None:
        self.body, self.restype, self.argtypes, self.errcheck = body, real_ctypes.c_int, None, None

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function returns."""
        return self.body(*arguments)


class Library:
    """A library that was opened with ctypes.CDLL on this Mac."""

    def __init__(self, name: Any = None, *_: Any, **__: Any) -> None:
        vars(self).update(_name=name, _functions={})

    def __getattr__(self, name: str) -> Any:
        functions = vars(self)["_functions"]
        if name not in functions:
            functions[name] = _function(name)
        return functions[name]

    __getitem__ = __getattr__


def _function(name: str) -> Any:
    body = _BODIES.get(name)
    if body is not None:
        return Function(body)
    libc = real_ctypes.CDLL(None, use_errno=True)
    if name.startswith(_ONLY_MACOS):
        facts.note("unmodelled", f"function {name}", facts.caller())
    elif not name.startswith(_LINUX_ONLY) and hasattr(libc, name):
        return getattr(libc, name)
    raise AttributeError(f"dlsym(RTLD_DEFAULT, {name}): symbol not found")


def _number(value: Any) -> int:
    return int(getattr(value, "value", value) or 0)


def _text(value: Any) -> str:
    return bytes(getattr(value, "value", value)).decode()


def _target(pointer: Any) -> Any:
    """Return the object to which an argument points: byref(x), pointer(x), an array, or None."""
    if pointer is None:
        return None
    if hasattr(pointer, "_obj"):
        return pointer._obj
    return getattr(pointer, "contents", pointer)


def _sysctlbyname(name: Any, old: Any, old_size: Any, new: Any, new_size: Any) -> int:
    key = _text(name)
    value = facts.mac["sysctl"].get(key)
    if key == "kern.osproductversion":  # the kernel tells an old program what mac_ver() tells it
        value = facts.python_version()
    if value is None:
        real_ctypes.set_errno(_ENOENT)
        return -1
    if key == "vm.swapusage":  # struct xsw_usage of sys/sysctl.h
        total, used, free = facts.swap_bytes()
        page = int(facts.sysctl("hw.pagesize") or 4096)
        raw = struct.pack("<QQQII", total, free, used, page, 1)
    elif isinstance(value, int):
        wide = key in ("hw.memsize", "hw.pagesize") or value >= 2**31
        raw = value.to_bytes(8 if wide else 4, "little")
    else:
        raw = str(value).encode() + b"\0"
    size, place = _target(old_size), _target(old)
    if place is not None:
        room = real_ctypes.sizeof(place)
        real_ctypes.memmove(real_ctypes.addressof(place), raw, min(room, len(raw)))
    if size is not None:
        size.value = len(raw)
    return 0


def _proc_pid_rusage(pid: Any, flavor: Any, buffer: Any) -> int:
    """Fill in rusage_info_v1 of bsd/sys/resource.h (XNU), whose times are in ticks of the machine's timer."""
    import psutil  # Linux's own

    if _number(flavor) != 1:
        facts.note("unmodelled", f"proc_pid_rusage flavor {_number(flavor)}", facts.caller())
        return -1
    try:
        process = psutil.Process(_number(pid))
        times, resident = process.cpu_times(), process.memory_info().rss
    except psutil.Error:
        return -1
    ticks = int(facts.mac["sysctl"]["hw.tbfrequency"])
    user, system, children_user, children_system = (int(each * ticks) for each in times[:4])
    own = (user, system, 0, 0, 0, 0, resident, resident, 0, 0)
    raw = struct.pack("<16x16Q", *own, children_user, children_system, 0, 0, 0, 0)
    target = _target(buffer)
    room = min(real_ctypes.sizeof(target), len(raw))
    real_ctypes.memmove(real_ctypes.addressof(target), raw, room)
    return 0


_tokens: dict[int, str] = {}


def _notify_register_check(name: Any, token: Any) -> int:
    number = len(_tokens) + 1
    _tokens[number] = _text(name)
    _target(token).value = number
    return 0


def _notify_get_state(token: Any, state: Any) -> int:
    known = _tokens.get(_number(token))
    _target(state).value = (
        facts.mac["thermal_level"] if known == "com.apple.system.thermalpressurelevel" else 0
    )
    return 0


_names: list[str] = []


def _objc_name(name: Any) -> int:
    text = _text(name)
    if text not in _names:
        _names.append(text)
    return 1 + _names.index(text)


def _objc_send(receiver: Any, selector: Any, *_: Any) -> int:
    sent = _names[_number(selector) - 1]
    if sent == "processInfo":
        return _number(receiver)
    if sent == "thermalState":
        return _THERMAL_STATE[facts.mac["thermal_level"]]
    if sent == "isLowPowerModeEnabled":
        return int(facts.mac["low_power"])
    if sent not in ("alloc", "init", "new", "drain", "release", "autorelease"):
        facts.note("unmodelled", f"selector {sent}", facts.caller())
    return _number(receiver)


_BODIES: dict[str, Callable[..., Any]] = {
    "sysctlbyname": _sysctlbyname,
    "proc_pid_rusage": _proc_pid_rusage,
    "notify_register_check": _notify_register_check,
    "notify_get_state": _notify_get_state,
    "notify_cancel": lambda token: 0,
    "objc_getClass": _objc_name,
    "sel_registerName": _objc_name,
    "objc_msgSend": _objc_send,
    "objc_autoreleasePoolPush": lambda: 1,
    "objc_autoreleasePoolPop": lambda pool: None,
}


def ctypes(real: Any) -> dict[str, Any]:
    """Return what differs in ctypes."""

    class Loader:
        def LoadLibrary(self, name: Any) -> Library:  # noqa: N802  (ctypes' name)
            return Library(name)

        def __getattr__(self, name: str) -> Library:
            return Library(name)

    import ctypes.util

    from as_mac import faces

    return {"CDLL": Library, "cdll": Loader(), "util": faces.face("ctypes.util", ctypes.util)}


def util(real: Any) -> dict[str, Any]:
    """Return what differs in ctypes.util: libraries are where macOS has them."""

    def find_library(name: str) -> str | None:
        if name in ("c", "System", "objc", "proc", "pthread", "m"):
            return f"/usr/lib/lib{name}.dylib"
        if name in ("Foundation", "CoreFoundation", "IOKit", "Metal"):
            return f"/System/Library/Frameworks/{name}.framework/{name}"
        return None

    return {"find_library": find_library}
