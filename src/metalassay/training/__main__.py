"""``python -m metalassay.training JSON``: run one command of the command line in its own process."""

from __future__ import annotations

import sys


def main(text: str) -> int:
    """Run the command that ``text`` describes and return its exit code."""
    try:
        from metalassay.training import start

        return start.main(text)
    except KeyboardInterrupt:
        sys.stderr.write("metalassay: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
