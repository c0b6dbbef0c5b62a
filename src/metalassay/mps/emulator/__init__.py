"""An emulated ``mps`` device for CPU builds of torch on Linux, with the dispatch and API of a Mac's.

Use ``with emulate_mps(): ...`` or ``pytest -p metalassay.mps.emulator``: this package is also a
pytest plugin. docs/emulator.md explains what it proves and what it does not.
"""

from __future__ import annotations

from typing import Any

from metalassay.mps.emulator.session import Emulation, current, emulate_mps

__all__ = ["Emulation", "current", "emulate_mps"]


def pytest_load_initial_conftests(early_config: Any) -> None:
    """Start the emulation before any conftest is loaded (``-p metalassay.mps.emulator``)."""
    pytest_configure(early_config)


def pytest_configure(config: Any) -> None:
    """Start the emulation if a conftest names this plugin; it lasts until pytest ends."""
    from metalassay.mps.emulator import pytest_plugin

    namespace = config.known_args_namespace
    pytest_plugin.begin(config, getattr(namespace, "emulate_mps", None) or "")
