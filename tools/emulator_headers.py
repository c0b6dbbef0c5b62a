"""Check that the emulator compiles against the headers of every torch, without installing them.

Extracts the headers from PyTorch's wheels (such as those that `nox -s oracle -- --wheels DIR` keeps)
and runs the compiler's syntax check: about 15 s per wheel. Exits with code 1 if a supported release
gives an error or a warning.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

from packaging.version import Version

from metalassay.mps.emulator import build


def check(wheel: Path, version: Version, compiler: str) -> list[str]:
    """Return the errors and warnings of one release."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            wanted = [name for name in archive.namelist() if name.startswith("torch/include/")]
            archive.extractall(folder, wanted)
        include = Path(folder, "torch", "include")
        whole = Path(folder, "whole.cpp")
        sources = sorted(build.SOURCES.glob("*.cpp"))
        whole.write_text("".join(f'#include "{path}"\n' for path in sources))
        # Like torch's own extension builder: C++20 since 2.12.
        standard = "c++20" if version.release[:2] >= (2, 12) else "c++17"
        command = [compiler, "-fsyntax-only", f"-std={standard}", *build.FLAGS]
        command.append(f"-DTORCH_EXTENSION_NAME={build.NAME}")
        places = (include, include / "torch/csrc/api/include", sysconfig.get_paths()["include"])
        command += [word for place in places for word in ("-isystem", str(place))]
        done = subprocess.run([*command, str(whole)], capture_output=True, text=True)
    messages = [
        line.rpartition("/")[2]
        for line in done.stderr.splitlines()
        if re.search(r"\b(error|warning):", line)
    ]
    return messages or ([] if done.returncode == 0 else ["the compiler failed"])


def main() -> int:
    """Check each wheel and print a line for it; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the folder with wheels of torch")
    parser.add_argument("--torch", metavar="VERSION", help="check only this release, such as 2.8")
    options = parser.parse_args()
    compiler = shutil.which("c++") or sys.exit("there is no compiler c++")
    versions = {
        Version(path.name.split("-")[1]): path for path in options.folder.glob("torch-*.whl")
    }
    bad = 0
    for version, wheel in sorted(versions.items()):
        if options.torch and version.release[:2] != Version(options.torch).release[:2]:
            continue
        supported = version.release[:2] >= build.OLDEST
        messages = check(wheel, version, compiler)
        bad += bool(messages and supported)
        result = f"{len(messages)} errors or warnings: {messages[0]}" if messages else "compiles"
        print(f"{version}{'' if supported else ' (not supported)'}: {result}", flush=True)
    return 1 if bad or not versions else 0


if __name__ == "__main__":
    sys.exit(main())
