"""Every test here has an emulated mps device; it needs a C++ compiler, unlike the tests in tests/."""

from __future__ import annotations

pytest_plugins = ["metalassay.mps.emulator"]
