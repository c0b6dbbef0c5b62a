"""Print the folder in which the emulator for the installed torch is cached, without importing torch.

``python -m metalassay.mps.emulator.cache_key`` tells a CI job what to keep; the name of the folder is the
key: it has the versions of torch and Python, and a hash of what is compiled.
"""

from __future__ import annotations

import sys
from importlib import metadata

from metalassay.mps.emulator import build


def main() -> int:
    """Print the folder; return 0, or 2 if there is no torch."""
    try:
        print(build.folder(metadata.version("torch")))  # noqa: T201  (what the command is for)
    except metadata.PackageNotFoundError:
        text = f"metalassay: emulating mps needs torch\n  next: {build.NEEDS_TORCH}\n"
        sys.stderr.write(text)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
