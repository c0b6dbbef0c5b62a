"""Imports in a process of their own, which earlier imports of the tests cannot hide."""

from __future__ import annotations

import subprocess
import sys


def import_in_a_fresh_process(statement: str) -> None:
    """Run ``statement`` in a new interpreter; raise ``ImportError`` with the end of stderr if it fails."""
    child = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True)
    if child.returncode:
        raise ImportError(child.stderr.strip()[-2000:])
