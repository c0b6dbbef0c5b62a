"""A tool of macOS: prints what it prints on the Mac that METALASSAY_REHEARSAL names.

Started as sysctl, pmset, sw_vers, ... with ``python -IS``, so with the standard library alone and without
the pretence. Arguments that nobody has described here end with an error and are noted as a violation.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

NAME = Path(sys.argv[0]).name
ARGUMENTS = sys.argv[1:]
MAC: dict[str, Any] = json.loads(Path(os.environ["METALASSAY_REHEARSAL"]).read_text("utf-8"))
PAGES_PER_SECOND = {"Pageins": 1000, "Pageouts": 100}  # as in as_mac/facts.py


def out(text: str) -> int:
    """Print ``text`` and return 0."""
    sys.stdout.write(text)
    return 0


def error(text: str, code: int = 1) -> int:
    """Print ``text`` to stderr and return ``code``."""
    sys.stderr.write(text + "\n")
    return code


def unmodelled() -> int:
    """Note that this call is not described; a real tool may well answer it."""
    what = " ".join([NAME, *ARGUMENTS])
    line = json.dumps({"event": "unmodelled tool", "what": what, "where": NAME, "argv": []})
    with open(os.environ["METALASSAY_REHEARSAL_LOG"], "a", encoding="utf-8") as log:
        log.write(line + "\n")
    return error(f"{NAME}: the rehearsal does not know: {what}", 64)


def sysctl() -> int:
    """Print values; an unknown name ends it, as older releases do, with what came before printed."""
    flags = "".join(each[1:] for each in ARGUMENTS if each.startswith("-"))
    names = [each for each in ARGUMENTS if not each.startswith("-")]
    if set(flags) - set("nia") or not (names or "a" in flags):
        return unmodelled()
    known = MAC["sysctl"]
    for name in names or [""]:
        found = [name] if name in known else [each for each in known if each.startswith(f"{name}.")]
        found = list(known) if name == "" else found
        if not found and "i" not in flags:
            return error(f"sysctl: unknown oid '{name}'")
        for each in found:
            out(f"{known[each]}\n" if "n" in flags else f"{each}: {known[each]}\n")
    return 0


def sw_vers() -> int:
    """Print the product, the version and the build."""
    lines = {
        "productname": ("ProductName", "macOS"),
        "productversion": ("ProductVersion", MAC["macos"]),
        "buildversion": ("BuildVersion", MAC["build"]),
    }
    if not ARGUMENTS:
        return out("".join(f"{name}:\t\t{value}\n" for name, value in lines.values()))
    asked = lines.get(ARGUMENTS[0].lstrip("-").lower())
    return unmodelled() if asked is None else out(asked[1] + "\n")


def vm_stat() -> int:
    """Print the counters; those of files grow all the time, and nothing is swapped."""
    seconds = time.time() - MAC["began"]
    for line in MAC["vm_stat"].splitlines():
        name, _, number = line.partition(":")
        rate = PAGES_PER_SECOND.get(name)
        if rate is not None:
            value = f"{int(number.strip().rstrip('.')) + int(seconds * rate)}."
            line = f"{name}:{value.rjust(len(number))}"
        out(line + "\n")
    return 0


def notifyutil() -> int:
    """Print the state of a notification; one that nobody has posted has the state 0."""
    if len(ARGUMENTS) != 2 or ARGUMENTS[0] != "-g":
        return unmodelled()
    thermal = ARGUMENTS[1] == "com.apple.system.thermalpressurelevel"
    return out(f"{ARGUMENTS[1]} {MAC['thermal_level'] if thermal else 0}\n")


def start(position: int) -> int:
    """Become the program that the arguments name from ``position``, as taskpolicy and caffeinate do."""
    os.execvp(ARGUMENTS[position], ARGUMENTS[position:])


def taskpolicy() -> int:
    """Start a program, with or without background quality of service."""
    return start(1) if ARGUMENTS[:1] == ["-b"] and len(ARGUMENTS) > 1 else unmodelled()


def caffeinate() -> int:
    """Start a program; the flags have one dash and no value, but for -w, which waits for a process's end."""
    if ARGUMENTS[:2] == ["-i", "-w"] and len(ARGUMENTS) == 3:
        try:
            while True:
                os.kill(int(ARGUMENTS[2]), 0)
                time.sleep(0.05)
        except ProcessLookupError:
            return 0
    flags = sum(1 for _ in (each for each in ARGUMENTS if each.startswith("-")))
    return start(flags) if len(ARGUMENTS) > flags else unmodelled()


def powermetrics() -> int:
    """Refuse: it needs root."""
    return error("powermetrics must be invoked as the superuser")


def sudo() -> int:
    """Refuse: nobody is there to type a password."""
    return error(
        "sudo: a password is required" if "-n" in ARGUMENTS else "sudo: a terminal is required"
    )


def top() -> int:
    """Print the line with the load of the processors; constructed, in the form of a public script's fixture.

    https://github.com/exelban/stats/issues/1564 reads that line with awk.
    """
    if ARGUMENTS != ["-l", "1", "-s", "0"]:
        return unmodelled()
    return out("Processes: 500 total\nCPU usage: 5.66% user, 10.37% sys, 83.96% idle \n")


def memory_pressure() -> int:
    """Print the share of free memory, as in https://github.com/exelban/stats/issues/3159."""
    return unmodelled() if ARGUMENTS else out("\nSystem-wide memory free percentage: 66%\n")


def ioreg() -> int:
    """Print the GPU's entry of the I/O Registry, in the form that public programs parse; 42 % busy, constructed.

    https://github.com/exelban/stats reads "Device Utilization %" there. A virtual machine's GPU does not tell it.
    """
    if ARGUMENTS != ["-r", "-d", "1", "-w", "0", "-c", "IOAccelerator"]:
        return unmodelled()
    virtual = MAC["sysctl"].get("kern.hv_vmm_present")
    kind = "AppleParavirtGPU" if virtual else "AGXAccelerator"
    use = "" if virtual else '"Device Utilization %"=42,"Renderer Utilization %"=41,'
    return out(
        f"+-o {kind}  <class {kind}, id 0x1000003a1, registered, matched, active, busy 0>\n    {{\n"
        f'      "PerformanceStatistics" = {{{use}"recoveryCount"=0}}\n    }}\n\n'
    )


def recorded() -> int:
    """Print a text of the Mac's file."""
    for text in MAC["text"]:
        if text["command"].split() == [NAME, *ARGUMENTS]:
            sys.stdout.write(text["output"])
            return int(text.get("code", 0))
    return unmodelled()


if __name__ == "__main__":
    own = {
        each.__name__: each
        for each in (
            sysctl,
            sw_vers,
            vm_stat,
            notifyutil,
            taskpolicy,
            caffeinate,
            powermetrics,
            top,
            memory_pressure,
            ioreg,
            sudo,
        )
    }
    sys.exit(own.get(NAME, recorded)())
