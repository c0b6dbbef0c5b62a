"""An emulated ``mps`` device for CPU builds of torch on Linux: dispatch and API of a Mac's.

``with emulate_mps(): ...``, or ``pytest -p metalassay.mps.emulator``: this package is a plugin of
pytest too. What it proves and what not: docs/emulator.md.
"""

from __future__ import annotations

from metalassay.mps.emulator.session import Emulation, current, emulate_mps

__all__ = ["Emulation", "current", "emulate_mps"]
