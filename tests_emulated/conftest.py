"""For every test here: an mps device, emulated. They need a C++ compiler, so tests/ is another place."""

from __future__ import annotations

pytest_plugins = ["metalassay.mps.emulator"]
