"""Install the wheel or the source distribution of a folder into an environment of its own, and use it; takes uv.

python tools/ci_installed.py dist --wheel --sdist --tag v0.1.0
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.utils import parse_sdist_filename, parse_wheel_filename

COMMANDS = (
    (["--version"], (0,)),
    (["ops", "linalg_qr"], (0,)),
    (["doctor"], (0, 1)),  # 1: it found something, as that there is no torch
    (["check", "--help"], (0,)),
)
SUITES = (
    "from metalassay.environment import suites; import metalassay.compat, metalassay.benchmarks"
)


def archive(folder: Path, pattern: str) -> Path:
    """Return the one file of a kind; ends the program where there is none, or a choice."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        sys.exit(f"ci_installed: {folder} has {len(found)} files {pattern}, not one")
    return found[0]


def version(path: Path) -> str:
    """Return the version that the name of an archive says."""
    parse = parse_wheel_filename if path.suffix == ".whl" else parse_sdist_filename
    return str(parse(path.name)[1])


def use(path: Path, tag: str) -> None:
    """Install an archive, and run commands of it outside of the checkout; ends the program if one fails."""
    if tag and f"v{version(path)}" != tag:
        sys.exit(f"ci_installed: {path.name} is not the release of {tag}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "environment")
        _run(["uv", "venv", "--quiet", str(place)], folder)
        python = place / "bin" / "python"
        _run(
            ["uv", "pip", "install", "--quiet", "--python", str(python), str(path.absolute())],
            folder,
        )
        for arguments, codes in COMMANDS:
            output = _run([str(place / "bin" / "metalassay"), *arguments], folder, codes)
            if arguments == ["--version"] and output.split()[-1] != version(path):
                sys.exit(f"ci_installed: {path.name} says that it is {output.strip()}")
        _run([str(python), "-c", SUITES], folder)
    print(f"{path.name}: installed and used")


def _run(command: list[str], folder: str, codes: tuple[int, ...] = (0,)) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode not in codes:
        sys.stderr.write(done.stdout + done.stderr)
        sys.exit(f"ci_installed: {' '.join(command)} ended with {done.returncode}")
    return done.stdout


def main(arguments: list[str] | None = None) -> int:
    """Use each of the archives that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wheel", action="store_true")
    parser.add_argument("--sdist", action="store_true")
    parser.add_argument("--tag", default="", help="the tag that the version must have")
    options = parser.parse_args(arguments)
    kinds = [("*.whl", options.wheel), ("*.tar.gz", options.sdist)]
    if not any(wanted for _, wanted in kinds):
        parser.error("name --wheel, --sdist or both")
    for pattern, wanted in kinds:
        if wanted:
            use(archive(options.folder, pattern), options.tag)
    return 0


if __name__ == "__main__":
    sys.exit(main())
