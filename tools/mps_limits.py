"""Write src/metalassay/mps/operators/limits.json: errors about sizes in the macOS libraries of torch.

    python tools/mps_limits.py --wheels DIR          read every release in tools/torch_versions.toml
    python tools/mps_limits.py --wheels DIR --check  write nothing; exit with code 1 if the file would change

limits.toml says how each error begins. Whether a release has it, and in which words, is read from the
strings of its libtorch_cpu.dylib; nothing in a wheel is executed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import oracle as oracle_tool

from metalassay.errors import UserError
from metalassay.files import write_atomically
from metalassay.mps.operators import limits

TARGET = oracle_tool.OPERATORS / "limits.json"
_LIBRARY = "torch/lib/libtorch_cpu.dylib"


def errors(library: bytes) -> dict[str, str]:
    """Return, by the id of a limit, the error in a library that begins as limits.toml says."""
    found = {}
    for row in limits.rows():
        # A literal of C ends with a zero byte.
        start = library.find(b"\0" + row.says.encode()) + 1
        if start:
            found[row.id] = library[start : library.index(b"\0", start)].decode()
    return found


def content(wheels: dict[str, Path]) -> str:
    """Return the text of limits.json."""
    releases = {}
    for version, wheel in wheels.items():
        with zipfile.ZipFile(wheel) as archive:
            if _LIBRARY not in archive.namelist():
                raise UserError(f"{wheel.name} has no {_LIBRARY}", "use a wheel for macOS arm64")
            releases[version] = errors(archive.read(_LIBRARY))
    return json.dumps({"schema": limits.SCHEMA, "releases": releases}, indent=1) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the wheels, and write or compare the file; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="keep the wheels in DIR")
    options = parser.parse_args(arguments)
    config = tomllib.loads(oracle_tool.VERSIONS.read_text("utf-8"))
    with tempfile.TemporaryDirectory(prefix="metalassay-wheels-") as temporary:
        folder = options.wheels or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        text = content(
            {each: oracle_tool.download(each, config, folder) for each in config["versions"]}
        )
    same = TARGET.exists() and TARGET.read_text("utf-8") == text
    if not same and not options.check:
        write_atomically(TARGET, text)
    print(f"{TARGET.name}: {'unchanged' if same else 'differs' if options.check else 'written'}")
    return int(options.check and not same)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"mps_limits: {error.message}\n  next: {error.next_step}", file=sys.stderr)
        sys.exit(error.exit_code)
