"""A pytest plugin that gives torchmetrics' own tests the device that METRICS_DEVICE names.

They compare each metric with a reference on cuda where it exists, and else on the CPU; no option says mps.
"""

from __future__ import annotations

import os
import sys

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Replace the function that chooses the device, in the module from which all tests of metrics take it."""
    if session.testsfailed:
        return  # pytest reports files that it could not import
    testers = sys.modules["unittests._helpers.testers"]
    name = "_select_rand_best_device"
    if not hasattr(testers, name):
        raise pytest.UsageError(f"{testers.__name__} has no {name}: torchmetrics has changed it")
    setattr(testers, name, lambda: os.environ["METRICS_DEVICE"])
