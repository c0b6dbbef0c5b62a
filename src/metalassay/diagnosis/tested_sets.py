"""Whether a set of versions was executed: by the whole suite, or by a few steps of training."""

from __future__ import annotations

from collections.abc import Mapping

from metalassay.environment import executed
from metalassay.environment.executed import SMOKE, Executed
from metalassay.smoke import recorded


def find(installed: Mapping[str, str]) -> Executed | None:
    """Return the rows of the matrix that speak for a set, or None.

    A row that ran the suite is preferred to one that trained a few steps. One in which a step failed, or
    that lacks a training package that is installed, speaks for nothing.
    """
    found = executed.find(installed)
    if found is not None:
        return found
    row = recorded.find(installed)
    if row is None or row.broken or not row.passed:
        return None
    if any(name in installed and name not in row.versions for name in executed.EXACT):
        return None
    return Executed((row.row,), SMOKE, "Linux")
