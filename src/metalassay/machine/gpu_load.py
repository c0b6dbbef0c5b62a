"""How busy the GPU is, in percent, from what each system tells without sudo; it cannot be limited there.

Macs: "Device Utilization %" among the statistics of the driver in the I/O Registry, which Activity Monitor's
GPU history shows too. Linux: ``gpu_busy_percent`` of amdgpu
(https://docs.kernel.org/gpu/amdgpu/thermal.html), and nvidia-smi. It is the use by all programs. Imports
neither torch nor psutil.
"""

from __future__ import annotations

import functools
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from metalassay.machine import system_tools

_IOREG = ("/usr/sbin/ioreg", "-r", "-d", "1", "-w", "0", "-c", "IOAccelerator")
_NVIDIA = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")
_DRM = Path("/sys/class/drm")
_SECONDS = 3.0  # that a tool may take
EVERY = 5.0
"""Seconds between two readings of a ``Sampler``: each may start a program."""


def read() -> float | None:
    """Return how busy the GPU is, 0 to 100; of several the busiest. None where no system tool tells."""
    return _reader()()


@functools.cache
def _reader() -> Callable[[], float | None]:
    """Choose how to read it, once: nothing is started for nothing on a machine without a GPU."""
    if sys.platform == "darwin":
        return lambda: parse_ioreg(system_tools.output(_IOREG, _SECONDS))
    if files := sorted(_DRM.glob("card*/device/gpu_busy_percent")):
        return lambda: _busiest(_content(file) for file in files)
    if shutil.which(_NVIDIA[0]):
        return lambda: parse_nvidia_smi(system_tools.output(_NVIDIA, _SECONDS))
    return lambda: None


def parse_ioreg(text: str) -> float | None:
    """Read what `ioreg -r -d 1 -c IOAccelerator` prints; None if it does not say."""
    return _busiest(re.findall(r'"Device Utilization %"\s*=\s*(\d+)', text))


def parse_nvidia_smi(text: str) -> float | None:
    """Read a line with a number for each GPU; one that does not tell prints "[N/A]"."""
    return _busiest(text.splitlines())


def _busiest(values: Iterable[str]) -> float | None:
    known = [float(each) for each in map(str.strip, values) if re.fullmatch(r"\d{1,3}", each)]
    return min(max(known), 100.0) if known else None


def _content(file: Path) -> str:
    try:
        return file.read_text("ascii")
    except (OSError, ValueError):  # the driver has gone to sleep
        return ""


class Sampler:
    """A context manager that reads how busy the GPU is every ``EVERY`` seconds, beside the program.

    ``latest`` is the last reading, 0 to 100, or None before the first and where nothing tells.
    """

    def __init__(self, every: float = EVERY) -> None:
        self.latest: float | None = None
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gpu load", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.latest = read()
            if self.latest is None or self._stop.wait(self._every):
                return
