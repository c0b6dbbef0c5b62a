"""Installed versions, read from package metadata: no package is imported, so none can break this.

To the packages are added the facts about the machine that decide where a bug applies (``MACHINE``).
"""

from __future__ import annotations

import functools
import platform
import sys

from metalassay.environment import self_report
from metalassay.machine import hardware, macos

STACK = (
    "accelerate",
    "torch",
    "transformers",
    "trl",
    "datasets",
    "huggingface-hub",
    "numpy",
    "safetensors",
    "tokenizers",
    "torchdata",
    "peft",
    "setuptools",
    "mlx",
    "metalassay",
)
"""The packages whose versions affect what is measured, named as on the package index."""

UNREADABLE = "unreadable"
"""Stands for the version of a package whose metadata is damaged."""
PYTHON, MACOS, APPLE_SILICON = "python", "macos", "apple-silicon"
MACHINE = frozenset({PYTHON, MACOS, APPLE_SILICON})
"""Pseudo-packages: they have a version, but are on no package index."""


def installed(packages: tuple[str, ...] = STACK) -> dict[str, str]:
    """Return the versions of Python, of macOS and of those ``packages`` that are installed.

    "macos" is present on a Mac only, and "apple-silicon" (4 for an M4 Pro) only where the chip is
    known: a virtual machine may report the chip of its host, or another one.
    """
    there = dict(_versions(packages, tuple(sys.path)))
    return {PYTHON: there.pop(PYTHON), **machine(), **there}


@functools.cache
def _versions(packages: tuple[str, ...], path: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of Python and of the packages that are installed.

    They are kept for as long as this process looks in the same folders (``path``): to read the metadata of
    a large stack takes milliseconds each time, and a suite asks at every turn.
    """
    return self_report.versions(list(packages))


def interpreter() -> str:
    """Return the implementation and the version of this interpreter, as in "CPython 3.11.7"."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def machine() -> dict[str, str]:
    """Return "macos" and, where it is known, "apple-silicon"; nothing on other systems."""
    release = macos.version()
    if not release:
        return {}
    generation = hardware.apple_generation(hardware.mac_processor())
    return {MACOS: release} | ({APPLE_SILICON: str(generation)} if generation else {})
