"""An emulated ``mps`` device for CPU builds of torch on Linux: dispatch and API of a Mac's.

``with emulate_mps(): ...``, or ``pytest -p metalassay.mps.emulator``: this package is a plugin of
pytest too. What it proves and what not: docs/emulator.md.
"""

from __future__ import annotations

from typing import Any

from metalassay.mps.emulator.session import Emulation, current, emulate_mps

__all__ = ["Emulation", "current", "emulate_mps"]


def pytest_load_initial_conftests(early_config: Any) -> None:
    """As a plugin of pytest, `-p metalassay.mps.emulator`: begin before any conftest runs."""
    pytest_configure(early_config)


def pytest_configure(config: Any) -> None:
    """As a plugin that a conftest names: begin now. Emulates until pytest is over."""
    from metalassay.mps.emulator import pytest_plugin

    namespace = config.known_args_namespace
    pytest_plugin.begin(config, getattr(namespace, "emulate_mps", None) or "")
