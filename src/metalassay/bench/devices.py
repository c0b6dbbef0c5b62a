"""Which devices of this machine can be measured: a GPU that works, and the CPU. Asked in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import dataclass

from metalassay.environment import extras
from metalassay.errors import UserError
from metalassay.fields import one_line
from metalassay.machine import hardware
from metalassay.mps import probe

NEEDS = ("torch", "pytest", "pytest_benchmark", "numpy", "tabulate")
"""What the extra `bench` brings and `metalassay bench` cannot do without."""

_ASK = "from metalassay.measure.device import unusable; print(unusable('cuda') or 'usable')"
_SECONDS = 120  # the first import of torch on a Mac can take a minute


@dataclass(frozen=True)
class Devices:
    """The devices to measure, the GPU first, and a sentence about a GPU that does not work."""

    names: tuple[str, ...]
    unusable: str = ""


def require() -> None:
    """Raise ``UserError`` if a package is missing that the benchmarks need; imports none of them."""
    extras.require("bench", "bench", *NEEDS)


def find(wanted: str = "auto", *, emulated: bool = False) -> Devices:
    """Return the devices to measure; ``emulated``: outside macOS, an mps that is emulated on the CPU is one.

    "auto" is the GPU, if one works, and the CPU. Any other word is that device alone; raises ``UserError``
    if it cannot be used.
    """
    if wanted == "cpu":
        return Devices(("cpu",))
    if emulated and platform.system() != "Darwin" and wanted in ("auto", "mps"):
        return Devices(("mps", "cpu") if wanted == "auto" else ("mps",))
    gpu = _gpu() if wanted == "auto" else wanted
    why = "" if gpu is None else _unusable(gpu)
    if wanted != "auto":
        if why:
            raise UserError(f"{wanted} cannot be measured here: {why}", "metalassay bench")
        return Devices((wanted,))
    if gpu is None:
        return Devices(("cpu",))
    if why:
        return Devices(("cpu",), f"{gpu} does not work here, so the CPU alone is measured: {why}")
    return Devices((gpu, "cpu"))


def _gpu() -> str | None:
    """Return the kind of GPU that this machine may have; without one nothing has to be tried."""
    if platform.system() == "Darwin":
        return "mps"
    return "cuda" if hardware.probe().gpu else None


def _unusable(gpu: str) -> str:
    """Return why nothing can be computed on a GPU, "" if it can."""
    if gpu == "mps":
        found = probe.probe(timeout=_SECONDS)
        if found.state == probe.USABLE:
            return ""
        return f"{probe.STATES[found.state].rstrip('.')} ({found.reason})"
    try:
        asked = subprocess.run(  # noqa: S603  (our own module)
            [sys.executable, "-P", "-c", _ASK],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it did not answer within {_SECONDS} s"
    said = [line for line in (asked.stdout or asked.stderr).splitlines() if line.strip()]
    last = one_line(said[-1]) if said else f"exit code {asked.returncode}"
    return "" if last == "usable" else last
