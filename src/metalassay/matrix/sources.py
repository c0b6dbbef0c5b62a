"""The sources of a checkout as one archive: what a worker of a fleet needs to run a row.

The archive has the files as they are on the disk, known to git or not, so that a change need not be
committed before it is tested. Equal files give an equal archive on every machine.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from metalassay.errors import UserError

FOLDERS = ("src", "compat", "benchmarks")
FILES = ("LICENSE", "README.md", "conftest.py", "matrix.toml", "pyproject.toml")

LARGEST = 64 * 2**20
"""Bytes of all files together; the sources have 3 MB, and more than this is a mistake."""

_CACHES = ("__pycache__", "node_modules")


@dataclass(frozen=True)
class Archive:
    """A compressed tar file, and ``name``, a hash of its content before compression (16 digits)."""

    name: str
    content: bytes


def pack(root: Path) -> Archive:
    """Return the archive of a checkout. Caches and hidden files are left out.

    Raises ``UserError`` for a folder that is not a checkout, and for one that is far too large.
    """
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in files(root):
            content = path.read_bytes()
            # Owner, time and permissions differ between checkouts; a file must run or it must not.
            entry = tarfile.TarInfo(path.relative_to(root).as_posix())
            entry.size = len(content)
            entry.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            tar.addfile(entry, io.BytesIO(content))
            if stream.tell() > LARGEST:
                raise UserError(
                    f"{root}: src, compat and benchmarks have over {LARGEST >> 20} MiB",
                    "move what is no source out of them",
                )
    content = stream.getvalue()
    return Archive(_name(content), gzip.compress(content, 6, mtime=0))


def files(root: Path) -> list[Path]:
    """Return the files of a checkout that belong to the archive, sorted by name."""
    missing = [name for name in (*FOLDERS, *FILES) if not (root / name).exists()]
    if missing:
        raise UserError(
            f"{root.resolve()} has no {missing[0]}", "run this in a checkout of metalassay"
        )
    found = [root / name for name in FILES]
    for folder in FOLDERS:
        found += _below(root / folder)
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name in _CACHES or path.suffix == ".pyc":
            continue
        if path.is_dir():
            yield from _below(path)
        elif path.is_file():
            yield path


def unpack(content: bytes, name: str, folder: Path) -> Path:
    """Unpack an archive into ``folder``/``name``, unless it is there already, and return that path.

    The folder appears complete or not at all. Raises ``ValueError`` if the content has another name,
    and ``OSError`` as the file system does.
    """
    target = folder / name
    if target.is_dir():
        return target
    plain = gzip.decompress(content)
    if _name(plain) != name:
        raise ValueError(f"the sources that arrived are not {name}")
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder, prefix=f".{name}."))
    try:
        with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
            tar.extractall(partial, filter="data")
        try:
            partial.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster, with the same files
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
