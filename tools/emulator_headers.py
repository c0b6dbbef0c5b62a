"""Does the emulator compile against the headers of every torch? Proven without installing them.

Reads the headers out of PyTorch's wheels (for macOS, say; `python tools/oracle.py` downloads those) and
runs the compiler over the sources, without making code: about 15 s a wheel. Exit code 1 if a
release that the emulator says it supports does not compile, or gives a warning.
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
        # As torch's own extension builder: C++20 since 2.12.
        standard = "c++20" if version.release[:2] >= (2, 12) else "c++17"
        command = [compiler, "-fsyntax-only", f"-std={standard}", *build.FLAGS]
        command.append(f"-DTORCH_EXTENSION_NAME={build.NAME}")
        places = (include, include / "torch/csrc/api/include", sysconfig.get_paths()["include"])
        command += [word for place in places for word in ("-isystem", str(place))]
        done = subprocess.run([*command, str(whole)], capture_output=True, text=True)
    found = [
        line.rpartition("/")[2]
        for line in done.stderr.splitlines()
        if re.search(r"\b(error|warning):", line)
    ]
    return found or ([] if done.returncode == 0 else ["the compiler failed"])


def main() -> int:
    """Check each wheel, and print a line for each."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path, help="where wheels of torch are")
    options.add_argument("--torch", help="only this release, as in 2.8")
    chosen = options.parse_args()
    compiler = shutil.which("c++") or sys.exit("there is no c++")
    versions = {
        Version(path.name.split("-")[1]): path for path in chosen.folder.glob("torch-*.whl")
    }
    bad = 0
    for version, wheel in sorted(versions.items()):
        if chosen.torch and version.release[:2] != Version(chosen.torch).release[:2]:
            continue
        supported = version.release[:2] >= build.OLDEST
        found = check(wheel, version, compiler)
        bad += bool(found and supported)
        words = "compiles" if not found else f"{len(found)} errors or warnings: {found[0]}"
        print(f"{version}{'' if supported else ' (not supported)'}: {words}", flush=True)
    return 1 if bad or not versions else 0


if __name__ == "__main__":
    sys.exit(main())
