"""Install a set of tools/ci_upstream.toml, and test every known bug on it; takes uv.

python3 tools/ci_upstream.py list                      the sets, as an output of the step
python tools/ci_upstream.py run torch-nightly --output verdicts

A red verdict is an answer, with exit code 0 and a file. A set that cannot be installed is none: exit code 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import ci_outputs

ROOT = Path(__file__).parents[1]
FILE = Path(__file__).with_suffix(".toml")


def sets() -> dict[str, dict[str, Any]]:
    """Return the sets by name."""
    found: dict[str, dict[str, Any]] = tomllib.loads(FILE.read_text("utf-8"))["sets"]
    return found


def install_command(one: dict[str, Any], python: Path) -> list[str]:
    """Return uv's command for a set, and for what tests it."""
    options = ["--prerelease", one["prerelease"]] if "prerelease" in one else []
    if "index" in one:
        # The nightly is newer than what the default index has: the best of both, not the first that answers.
        options += ["--index", one["index"], "--index-strategy", "unsafe-best-match"]
    return [
        *("uv", "pip", "install", "--python", str(python), *options),
        *one["requires"],
        f"{ROOT}[compat]",
    ]


def run(name: str, output: Path) -> int:
    """Install and test a set; return the exit code."""
    one = sets()[name]
    output.mkdir(parents=True, exist_ok=True)
    target = (output / f"{name}.json").absolute()
    # Where uv is told which torch to take, it asks no index of ours.
    left_out = {"PYTHONPATH", *(["UV_TORCH_BACKEND"] if "index" in one else [])}
    environment = {key: value for key, value in os.environ.items() if key not in left_out}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "environment")
        subprocess.run(["uv", "venv", str(place)], env=environment, check=True)  # noqa: S607
        installed = subprocess.run(
            install_command(one, place / "bin" / "python"), env=environment, check=False
        )
        if installed.returncode:
            ci_outputs.notice("warning", f"{name}: not installable tonight; nothing was tested")
            return 1
        command = [str(place / "bin" / "metalassay"), "check", "--slow", "-o", str(target)]
        tested = subprocess.run(command, cwd=folder, env=environment, check=False)
    if tested.returncode not in (0, 1) or not target.exists():
        ci_outputs.notice("error", f"{name}: the tests did not end ({tested.returncode})")
        return 1
    if tested.returncode:
        ci_outputs.notice("warning", f"{name}: a verdict differs from the catalogue")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    actions = parser.add_subparsers(required=True, dest="action")
    actions.add_parser("list")
    runs = actions.add_parser("run")
    runs.add_argument("set", choices=list(sets()))
    runs.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    if options.action == "list":
        ci_outputs.output("all", list(sets()))
        return 0
    return run(options.set, options.output)


if __name__ == "__main__":
    sys.exit(main())
