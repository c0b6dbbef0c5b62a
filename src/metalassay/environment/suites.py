"""Where our suites are: in the installed package, or beside ``src`` in a checkout, from the same files."""

from __future__ import annotations

from pathlib import Path

import metalassay
from metalassay.errors import UserError

COMPAT, BENCHMARKS = NAMES = ("compat", "benchmarks")
"""The suites: ``pytest --pyargs metalassay.compat`` where installed, ``pytest compat`` in a checkout."""


def folder(name: str) -> Path:
    """Return the folder of a suite.

    Raises ``UserError`` where this copy of metalassay has none.
    """
    package = Path(metalassay.__file__).resolve().parent
    for place in (package / name, package.parents[1] / name):
        if (place / "conftest.py").is_file():
            return place
    raise UserError(
        f"this copy of metalassay has no folder {name}: it is not complete",
        "install it again, or run this in a checkout",
    )
