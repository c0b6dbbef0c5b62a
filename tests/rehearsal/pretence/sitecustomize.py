"""Python imports this at its start, because tests/support/rehearsal.py put its folder on PYTHONPATH.

It makes this process believe that it runs on the Mac that METALASSAY_REHEARSAL names, and then does
what it has displaced: the environment's own sitecustomize, if there is one.
"""

from __future__ import annotations

import os
import sys
from importlib import machinery, util
from pathlib import Path


def _own() -> None:
    """Run the sitecustomize that this file hides."""
    here = Path(__file__).parent
    others = [folder for folder in sys.path if Path(folder or ".").resolve() != here]
    spec = machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(util.module_from_spec(spec))


if "METALASSAY_REHEARSAL" in os.environ:
    import as_mac

    as_mac.install(Path(os.environ["METALASSAY_REHEARSAL"]))
_own()
