"""Give a workflow the machines of .github/runners.toml that run it. Standard library only.

python3 tools/ci_runners.py ci                        those that run it by default
python3 tools/ci_runners.py compat --machine macos-14
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Any

import ci_outputs

FILE = Path(__file__).parents[1] / ".github" / "runners.toml"
SYSTEMS = ("Linux", "macOS")


def read(path: Path = FILE) -> list[dict[str, Any]]:
    """Return every machine of the file."""
    runners: list[dict[str, Any]] = tomllib.loads(path.read_text("utf-8"))["runner"]
    return runners


def chosen(runners: list[dict[str, Any]], workflow: str, machine: str) -> list[dict[str, Any]]:
    """Return the machines of a workflow: the one that is named, else those that run it by default.

    Ends the program with one line for a machine that the file does not have.
    """
    names = [runner["machine"] for runner in runners]
    if machine and machine not in names:
        sys.exit(f"ci_runners: no machine {machine!r} in {FILE.name}; one of: {', '.join(names)}")
    kept = ("machine", "labels", "system")
    return [
        {key: runner[key] for key in kept}
        for runner in runners
        if (runner["machine"] == machine if machine else workflow in runner["workflows"])
    ]


def main(arguments: list[str] | None = None) -> int:
    """Write the outputs ``all``, ``linux`` and ``macos``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("workflow")
    parser.add_argument("--machine", default="", help="this machine instead; empty for the default")
    options = parser.parse_args(arguments)
    runners = chosen(read(), options.workflow, options.machine)
    ci_outputs.output("all", runners)
    for system in SYSTEMS:
        ci_outputs.output(system.lower(), [each for each in runners if each["system"] == system])
    return 0


if __name__ == "__main__":
    sys.exit(main())
