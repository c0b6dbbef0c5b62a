"""Write src/metalassay/mps/operators/calls.json from the macOS wheels of torch, after tools/oracle.py.

    python tools/oracle_calls.py                  all versions in tools/torch_versions.toml (1.4 GB)
    python tools/oracle_calls.py --wheels DIR     keep the wheels in DIR, and use those already there
    python tools/oracle_calls.py --check          write nothing; exit with code 1 if the file would change

For every composite and every autograd formula of a release, the file names the operators that its code
may call, of those that had no MPS kernel in some release. It is read from the branches in the code of
libtorch_cpu.dylib; no code of a wheel is executed. About half a minute per release.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import oracle as oracle_tool
from wheel_reader import callgraph

from metalassay.errors import UserError
from metalassay.files import write_atomically
from metalassay.mps.operators import oracle
from metalassay.mps.operators.calls import SCHEMA

TARGET = oracle_tool.OPERATORS / "calls.json"
_LIBRARY = "torch/lib/libtorch_cpu.dylib"
# Printing a tensor, which every error message may do, asks sparse and quantized tensors for their parts.
# A dense tensor never gets there.
_PRINTING = frozenset({"_validate_compressed_sparse_indices", "dense_dim", "dequantize.self", "sparse_dim"})  # fmt: skip


def read(wheel: Path, operators: oracle.Operators) -> dict[str, frozenset[str]]:
    """Return what every composite and formula of a release calls, as ``callgraph.read`` does."""
    with tempfile.TemporaryDirectory(prefix="metalassay-") as folder:
        library = Path(folder, "libtorch_cpu.dylib")
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(_LIBRARY) as packed,
            library.open("wb") as unpacked,
        ):
            shutil.copyfileobj(packed, unpacked, 1 << 20)
        return callgraph.read(library, operators.overloads)


def reached(
    direct: Mapping[str, frozenset[str]], operators: oracle.Operators, wanted: frozenset[str]
) -> dict[str, frozenset[str]]:
    """Return which of ``wanted`` each entry reaches: itself, or through the composites that it calls."""
    # What is reached grows until nothing is added, because composites call each other in circles.
    found = {name: calls & wanted for name, calls in direct.items()}
    through = {
        name: [call for call in calls if operators.state(call) == "composite" and call in direct]
        for name, calls in direct.items()
    }
    changed = True
    while changed:
        changed = False
        for name, composites in through.items():
            larger = found[name].union(*(found[composite] for composite in composites))
            if larger != found[name]:
                found[name], changed = larger, True
    return found


def wanted(versions: Sequence[str]) -> frozenset[str]:
    """Return the operators that had no MPS kernel in one of the releases, although the CPU had one."""
    every = [oracle.load(version) for version in versions]
    missing = frozenset().union(*(operators.cpu_only for operators in every))
    named = {name for operators in every for name in operators.overloads}
    asking = {name for name in named if any(each.asks(name) in missing for each in every)}
    return (missing | asking) - _PRINTING


def record(wheels: Mapping[str, Path]) -> dict[str, Any]:
    """Return the content of calls.json for the wheels, given oldest first."""
    by_version: dict[str, dict[str, frozenset[str]]] = {}
    sources = {}
    limit = wanted(list(wheels))
    for version, wheel in wheels.items():
        operators = oracle.load(version)
        by_version[version] = reached(read(wheel, operators), operators, limit)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        sources[version] = {"wheel": wheel.name, "sha256": digest}
        print(f"{version}: {len(by_version[version])} read", file=sys.stderr, flush=True)
    names = sorted(
        {name for found in by_version.values() for name, calls in found.items() if calls}
    )
    return {
        "schema": SCHEMA,
        "wheels": sources,
        "calls": {name: _changes(name, by_version) for name in names},
    }


def _changes(
    name: str, by_version: Mapping[str, Mapping[str, frozenset[str]]]
) -> dict[str, str | None]:
    """Return the calls of one entry, for each release in which they are not those of the one before.

    None stands for a release in which it does not exist, or whose code was not found.
    """
    changes: dict[str, str | None] = {}
    before: str | None = None
    for version, found in by_version.items():
        calls = " ".join(sorted(found[name])) if name in found else None
        if calls != before:
            changes[version] = before = calls
    return changes


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the wheels and write or compare the file; return the exit code."""
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
        wheels = {
            version: oracle_tool.download(version, config, folder) for version in config["versions"]
        }
        text = json.dumps(record(wheels), indent=1) + "\n"
    same = TARGET.exists() and TARGET.read_text("utf-8") == text
    if not same and not options.check:
        write_atomically(TARGET, text)
    print(f"{TARGET.name}: {'unchanged' if same else 'differs' if options.check else 'written'}")
    return int(options.check and not same)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"oracle_calls: {error.message}\n  next: {error.next_step}", file=sys.stderr)
        sys.exit(error.exit_code)
