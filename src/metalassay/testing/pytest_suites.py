"""The pytest plugin that makes ``pytest --pyargs metalassay.compat`` and ``metalassay.benchmarks`` work.

pytest reads the options in a conftest.py early only where the arguments are paths. For the names of our
suites this plugin does it; for any other run it does nothing, so that a project with options such as
``--device`` of its own keeps them.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from metalassay.environment import suites


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Load the conftest.py of each suite of ours that is named by its module."""
    if not early_config.known_args_namespace.pyargs:
        return
    manager = early_config.pluginmanager
    for name in suites.NAMES:
        module = f"metalassay.{name}"
        if not any(
            word == module or word.startswith((f"{module}.", f"{module}::")) for word in args
        ):
            continue
        try:
            conftest = importlib.import_module(f"{module}.conftest")
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("metalassay"):
                raise
            raise pytest.UsageError(
                f"{module} is not installed here: in a checkout, run pytest {name}"
            ) from None
        # Under the name that pytest itself would give it: then it is not loaded a second time.
        place = str(Path(str(conftest.__file__)))
        if not manager.has_plugin(place):
            manager.register(conftest, name=place)
