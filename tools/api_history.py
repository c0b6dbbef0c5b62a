"""Write src/metalassay/bugs/data/api/*.json.gz from the released wheels; run by `nox -s api`.

    nox -s api                       every release in the index of the packages below (1.5 GB of downloads)
    nox -s api -- trl peft           only these packages
    nox -s api -- --check            write nothing; exit with code 1 if a file would change
    nox -s api -- --audit            install the releases in tools/api_audit.toml, each into an environment
                                     of its own, and compare the data with inspect.signature
    nox -s api -- --audit --python EXE      compare with the packages that EXE has, and install nothing
    nox -s api -- --cache DIR        where wheels and what was read of them are kept

The sources are read as text, and nothing is imported or executed, except by --audit.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from api_reader import history, release
from packaging.version import Version

from metalassay.errors import UserError

OLDEST = {
    "accelerate": "0.20.0",
    "datasets": "2.10.0",
    "peft": "0.4.0",
    "transformers": "4.30.0",
    "trl": "0.4.0",
}
# Withdrawn from the index, which does not list them, and installed by many.
WITHDRAWN = {"transformers": ["4.46.0", "4.52.0", "4.57.0"]}
TOOLS = Path(__file__).parent
DATA = TOOLS.parent / "src" / "metalassay" / "bugs" / "data" / "api"
CACHE = Path.home() / ".cache" / "metalassay" / "api-history"
_PIP = [sys.executable, "-m", "pip"]


def released(package: str) -> list[str]:
    """Return the releases of a package in the configured index, the oldest first, without pre-releases."""
    command = [*_PIP, "index", "versions", package]
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"^Available versions: (.*)$", done.stdout, re.MULTILINE)
    if not found:
        raise UserError(f"pip finds no release of {package}", done.stderr.strip())
    versions = sorted([*found[1].split(", "), *WITHDRAWN.get(package, [])], key=Version)
    return [each for each in versions if Version(each) >= Version(OLDEST[package])]


def download(package: str, version: str, folder: Path) -> Path:
    """Return the path of a wheel in ``folder``; download it unless it is there."""
    pattern = f"{package}-{version}-*.whl"
    if not any(folder.glob(pattern)):
        command = [*_PIP, "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        if subprocess.run([*command, "--dest", folder, f"{package}=={version}"]).returncode:
            raise UserError(f"pip cannot download {package} {version}", "see pip's message above")
    return next(folder.glob(pattern))


def read(package: str, folder: Path) -> dict[str, Any]:
    """Return the history of a package from its wheels in ``folder``, which are downloaded if missing."""
    versions = released(package)
    with ThreadPoolExecutor(4) as pool:  # pip waits for the network
        wheels = [*pool.map(lambda version: download(package, version, folder), versions)]
    cache = release.Cache.open(folder / f"read-{package}.pickle")
    releases = []
    for version, wheel in zip(versions, wheels, strict=True):
        releases.append(release.read(wheel, package, version, cache))
    cache.save()
    return history.merge(releases)


def files(package: str, merged: dict[str, Any]) -> dict[str, bytes]:
    """Return the content of the files of a package, by name.

    The names of transformers' models are in a file of their own, which is seldom needed.
    """
    result = {package: merged}
    if package == "transformers":
        models = {
            module: names
            for module, names in merged["names"].items()
            if not release.has_details(module)
        }
        rest = {module: names for module, names in merged["names"].items() if module not in models}
        result = {package: {**merged, "names": rest}, "transformers_models": models}
    return {f"{name}.json.gz": compressed(content) for name, content in result.items()}


def compressed(content: Any) -> bytes:
    """Return content as compressed JSON, the same bytes every time."""
    text = json.dumps(content, separators=(",", ":"), sort_keys=True)
    return gzip.compress(text.encode(), 9, mtime=0)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help="default: all")
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    parser.add_argument("--audit", action="store_true", help="compare with installed packages")
    parser.add_argument("--python", type=Path, metavar="EXE", help="with --audit")
    parser.add_argument("--cache", type=Path, metavar="DIR", default=CACHE)
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.packages) - OLDEST.keys():
        parser.error(f"not one of {', '.join(OLDEST)}: {', '.join(sorted(unknown))}")
    return chosen


def generate(packages: Iterable[str], cache: Path, check: bool) -> int:
    """Write the files, or only compare them; return the exit code."""
    changed = []
    for package in packages:
        merged = read(package, cache)
        for name, content in files(package, merged).items():
            path = DATA / name
            if not path.exists() or path.read_bytes() != content:
                changed.append(name)
                if not check:
                    path.write_bytes(content)
            print(f"{name}: {len(merged['releases'])} releases, {len(content) / 1000:.0f} kB")
    if check and changed:
        print(f"would change: {', '.join(changed)}")
    return int(check and bool(changed))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit code."""
    chosen = parse(arguments)
    chosen.cache.mkdir(parents=True, exist_ok=True)
    packages = chosen.packages or list(OLDEST)
    try:
        if chosen.audit:
            from api_reader import audit

            if chosen.python:
                return audit.run_installed(packages, chosen.python)
            return audit.run(packages)
        return generate(packages, chosen.cache, chosen.check)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
