"""`metalassay` and `python -m metalassay`: the imports too end on Ctrl+C without a traceback."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        from metalassay.cli import main as command_line

        return command_line.main()
    except KeyboardInterrupt:
        sys.stderr.write("metalassay: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
