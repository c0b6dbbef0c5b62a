"""Write src/metalassay/mps/operators/*.json from the macOS wheels of torch; run by `nox -s oracle`.

    nox -s oracle                      all versions in tools/torch_versions.toml (1.4 GB of downloads)
    nox -s oracle -- --missing         only versions that have no file yet
    nox -s oracle -- 2.15.0            only this version
    nox -s oracle -- --check           write nothing; exit with code 1 if a file would change
    nox -s oracle -- --wheels DIR      keep the wheels in DIR, and use those already there

pip downloads one wheel at a time without installing it; the wheel is deleted again unless --wheels
is given. A file is written only if both sources in the wheel name the same kernels. The
table printed at the end shows the counts of each source.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wheel_reader import extract

from metalassay.errors import UserError
from metalassay.files import write_atomically

TOOLS = Path(__file__).parent
VERSIONS = TOOLS / "torch_versions.toml"
OPERATORS = TOOLS.parent / "src" / "metalassay" / "mps" / "operators"


def download(version: str, config: dict[str, Any], folder: Path) -> Path:
    """Return the path of a torch version's wheel in ``folder``; download it unless it is there.

    ``config`` is the content of torch_versions.toml. Raises ``UserError`` if pip fails.
    """
    tag = "cp" + config["python"].replace(".", "")
    pattern = f"torch-{version}-*{tag}-*-macosx_*_arm64.whl"
    if not any(folder.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary", ":all:", "--python-version", config["python"]]
        command += [f"--platform={platform}" for platform in config["platforms"]]
        # pip moves a file into the folder only once it is complete and its hash matches.
        if subprocess.run([*command, "--dest", folder, f"torch=={version}"]).returncode:
            raise UserError(
                f"pip cannot download torch {version} for macOS", "see pip's message above"
            )
    wheels = sorted(folder.glob(pattern))
    if not wheels:
        raise UserError(f"pip left no {pattern} in {folder}", "see pip's message above")
    return wheels[-1]


def audit_line(wheel: extract.Extract) -> str:
    """Return one row of the audit: the number of kernels by source, and of those in one source only."""
    cells = [
        wheel.torch,
        *(str(len(names)) for names in (wheel.from_yaml, wheel.from_library)),
        *(str(len(names)) for names in (wheel.sparse_from_yaml, wheel.sparse_from_library)),
        str(len(wheel.disagreement)),
    ]
    return "  ".join(cell.rjust(12) for cell in cells)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="default: all versions")
    parser.add_argument("--missing", action="store_true", help="only versions without a file")
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="keep the wheels in DIR")
    return parser.parse_args(arguments)


def main(
    arguments: Sequence[str] | None = None, versions: Path = VERSIONS, operators: Path = OPERATORS
) -> int:
    """Read the wheels, write or compare the files and print the audit; return the exit code.

    ``versions`` is torch_versions.toml, ``operators`` the folder that the files are written to.
    """
    options = parse(arguments)
    config = tomllib.loads(versions.read_text("utf-8"))
    unknown = set(options.versions) - set(config["versions"])
    if unknown:
        raise UserError(
            f"not in {versions.name}: {', '.join(sorted(unknown))}",
            f"add the version to {versions.name} and run the command again",
        )
    titles = ("torch", "yaml", "library", "sparse yaml", "sparse lib", "differ")
    table, different = ["  ".join(title.rjust(12) for title in titles)], []
    for version in options.versions or config["versions"]:
        target = operators / f"{version}.json"
        if options.missing and target.exists():
            continue
        with tempfile.TemporaryDirectory(prefix="metalassay-wheels-") as temporary:
            folder = options.wheels or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            print(f"{version}: downloading", file=sys.stderr, flush=True)
            path = download(version, config, folder)
            print(f"{version}: reading {path.name}", file=sys.stderr, flush=True)
            wheel = extract.extract(path)
        table.append(audit_line(wheel))
        for name in sorted(wheel.disagreement):
            print(f"{version}: only one source names {name}", file=sys.stderr)
        same = target.exists() and target.read_text("utf-8") == wheel.text
        if wheel.disagreement or (options.check and not same):
            different.append(version)
        elif not same:
            write_atomically(target, wheel.text)
        state = "unchanged" if same else "differs" if version in different else "written"
        print(f"{version}: {state}")
    print("\n".join(table))
    print(f"{len(table) - 1} read, {len(different)} differ: {' '.join(different) or 'none'}")
    return 1 if different else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"oracle: {error.message}\n  next: {error.next_step}", file=sys.stderr)
        sys.exit(error.exit_code)
