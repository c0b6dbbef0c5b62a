"""Tests that need a package which is not installed: they are skipped with that reason, and do not fail.

The suite runs in environments that users made, not only in those of the matrix.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

import pytest

from metalassay.environment import versions

_STACK = frozenset(versions.STACK)


def skip_for(error: ModuleNotFoundError) -> None:
    """Skip if a package of the stack is missing; return if the error has another reason.

    A module that is missing inside an installed package is such another reason, and a defect.
    """
    root = (error.name or "").partition(".")[0]
    if root.replace("_", "-") in _STACK and importlib.util.find_spec(root) is None:
        pytest.skip(f"{root} is not installed", allow_module_level=True)


class Module(pytest.Module):
    """A test module that is skipped where it imports a package which is not installed."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Import the module, and return its tests."""
        try:
            return super().collect()
        except self.CollectError as error:
            if isinstance(error.__cause__, ModuleNotFoundError):
                skip_for(error.__cause__)
            raise
