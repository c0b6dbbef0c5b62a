"""A torch that is too old to be emulated, for tests that must not compile anything."""

from __future__ import annotations

from pathlib import Path

SOURCE = """\
from types import SimpleNamespace

__version__ = "2.2.2+cpu"
version = SimpleNamespace()
backends = SimpleNamespace(mps=SimpleNamespace(is_built=lambda: False))
"""


def write(folder: Path) -> str:
    """Write the module into ``folder`` and return the folder, for PYTHONPATH."""
    (folder / "torch.py").write_text(SOURCE)
    return str(folder)
