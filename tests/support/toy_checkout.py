"""A checkout whose rows need no torch and take seconds, for tests of what runs rows."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

ROW = """
[[row]]
id = "{id}"
requires = ["packaging>=24"]
tags = ["full"]
reason = "a row of the toy"
{python}
{more}
"""

SUITE = """
import time

import pytest


@pytest.mark.bug("accelerate-env-off-path")
def test_that_takes_its_time(upstream):
    time.sleep({seconds})
"""


def make(folder: Path, rows: dict[str, str], seconds: float) -> Path:
    """Make the checkout, and return it. ``rows`` maps ids to further lines of matrix.toml."""
    folder.mkdir()
    for name in ("src", "benchmarks", "LICENSE", "README.md", "conftest.py", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "compat").mkdir()
    shutil.copy(ROOT / "compat" / "conftest.py", folder / "compat")
    (folder / "compat" / "test_toy.py").write_text(SUITE.format(seconds=seconds), "utf-8")
    here = 'python = "{}.{}"'.format(*sys.version_info)
    matrix = "".join(
        ROW.format(id=row, more=more, python="" if "python =" in more else here)
        for row, more in rows.items()
    )
    (folder / "matrix.toml").write_text(f'[bench]\nrequires = ["packaging"]\n{matrix}', "utf-8")
    return folder
