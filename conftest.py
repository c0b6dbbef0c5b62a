"""For every pytest run in a checkout: what our suites share, and pytester for our own tests."""

from __future__ import annotations

# tests/ runs pytest on constructed test suites; only the root conftest may request the plugin.
pytest_plugins = ["pytester", "metalassay.testing.pytest_device"]
