"""Writes src/metalassay/mps/operators/ from the macOS wheels of torch. Run it as `nox -s oracle`.

    nox -s oracle                      all versions of torch_versions.toml, 1.4 GB of downloads
    nox -s oracle -- --missing         only those without a file
    nox -s oracle -- 2.15.0            only this one
    nox -s oracle -- --check           write nothing; exit code 1 when a file would change
    nox -s oracle -- --wheels DIR      keep the wheels there, and use those that are there

Wheels are fetched one at a time with pip, which runs no code of theirs, and deleted again unless
--wheels is given. A file is written only when both sources in the wheel agree; the table at the end
shows it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from wheel_reader import extract

from metalassay.errors import UserError
from metalassay.files import write_atomically

MPS = Path(__file__).parents[1] / "src" / "metalassay" / "mps"
VERSIONS = Path(__file__).with_name("torch_versions.toml")


def download(version: str, folder: Path) -> Path:
    """Return the wheel of a torch version in ``folder``, fetched there if it is not."""
    wanted = tomllib.loads(VERSIONS.read_text("utf-8"))
    tag = "cp" + wanted["python"].replace(".", "")
    pattern = f"torch-{version}-*{tag}-*-macosx_*_arm64.whl"
    if not any(folder.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary", ":all:", "--python-version", wanted["python"]]
        command += [f"--platform={platform}" for platform in wanted["platforms"]]
        # pip moves a file here only when it is whole and its hash is right.
        if subprocess.run([*command, "--dest", folder, f"torch=={version}"]).returncode:
            raise UserError(f"pip cannot download torch {version} for macOS", "see pip's message")
    found = sorted(folder.glob(pattern))
    if not found:
        raise UserError(f"pip left no {pattern} in {folder}", "see pip's message")
    return found[-1]


def audit_line(found: extract.Extract) -> str:
    """Return a row of the audit: the kernels by source, and what only one source has."""
    words = [
        found.torch,
        *(str(len(names)) for names in (found.from_yaml, found.from_library)),
        *(str(len(names)) for names in (found.sparse_from_yaml, found.sparse_from_library)),
        str(len(found.disagreement)),
    ]
    return "  ".join(word.rjust(12) for word in words)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("versions", nargs="*", metavar="VERSION")
    parser.add_argument("--missing", action="store_true", help="only those without a file")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="where to keep the wheels")
    return parser.parse_args(arguments)


def main(
    arguments: Sequence[str] | None = None, data: Path = MPS, versions: Path = VERSIONS
) -> int:
    """Read the wheels, write or compare the files, print the audit; return the exit code."""
    options = parse(arguments)
    known = tomllib.loads(versions.read_text("utf-8"))["versions"]
    unknown = set(options.versions) - set(known)
    if unknown:
        print(f"not in torch_versions.toml: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    heads = ("torch", "yaml", "library", "sparse yaml", "sparse lib", "differ")
    table, different = ["  ".join(head.rjust(12) for head in heads)], []
    for version in options.versions or known:
        target = data / "operators" / f"{version}.json"
        if options.missing and target.exists():
            continue
        with tempfile.TemporaryDirectory(prefix="metalassay-wheels-") as temporary:
            folder = options.wheels or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            print(f"{version}: fetching", file=sys.stderr, flush=True)
            wheel = download(version, folder)
            print(f"{version}: reading {wheel.name}", file=sys.stderr, flush=True)
            found = extract.extract(wheel)
        table.append(audit_line(found))
        for name in sorted(found.disagreement):
            print(f"{version}: only one source has {name}", file=sys.stderr)
        same = target.exists() and target.read_text("utf-8") == found.text
        if found.disagreement or (options.check and not same):
            different.append(version)
        elif not same:
            write_atomically(target, found.text)
        print(f"{version}: {'same' if same else 'differs' if version in different else 'written'}")
    print("\n".join(table))
    print(f"{len(table) - 1} read, {len(different)} differ: {' '.join(different) or 'none'}")
    return 1 if different else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"{error.message}\n  next: {error.next_step}")
