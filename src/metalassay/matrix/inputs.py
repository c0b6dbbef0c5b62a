"""The key of a row: a hash of everything that its verdicts depend on.

A row whose key has not changed need not run again. The key covers the lock, the interpreter and the
system, the row itself, the tests in compat/, the modules of src that they use, directly or through
others, and the data of the bugs. For a row that runs the smoke test, that is the program in its place:
what known bugs explain is decided whenever its file is read.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import platform
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from metalassay.machine import macos
from metalassay.matrix.environments import Interpreter, project
from metalassay.matrix.matrix_file import SMOKE, Row

_DOTTED = re.compile(r"metalassay(?:\.\w+)+")


def key(root: Path, row: Row, lock: Sequence[str], python: Interpreter) -> str:
    """Return the key of a row, 16 hexadecimal digits."""
    system = [platform.system(), platform.machine(), macos.version() or ""]
    if row.runs == SMOKE:
        smoke: list[object] = [list(lock), python.name, system, row.record(), smoke_code(root)]
        return hashlib.sha256(json.dumps(smoke, sort_keys=True).encode()).hexdigest()[:16]
    record = {**row.record(), "bugs": list(row.bugs)}
    inputs = [list(lock), python.name, system, record, project(root), code(root)]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


@functools.cache
def code(root: Path) -> str:
    """Return the hash of the suite and of the parts of src that it uses."""
    digest = hashlib.sha256()
    for path in files(root):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def smoke_code(root: Path) -> str:
    """Return the hash of the program that trains a few steps."""
    program = root / "src" / "metalassay" / "smoke" / "child.py"
    return hashlib.sha256(program.read_bytes()).hexdigest()


def files(root: Path) -> list[Path]:
    """Return the files of the suite, and those of src that its verdicts depend on, sorted.

    A module counts where it is imported or named in a string, as for ``python -m``; a package counts
    whole where its name is completed at run time. With a module come the data files of its folder and
    of the folder ``data`` in it.
    """
    suite = sorted(path for path in (root / "compat").rglob("*") if path.suffix == ".py")
    found: set[Path] = set()
    waiting = list(suite)
    while waiting:
        for path in _used(waiting.pop(), root / "src"):
            if path not in found:
                found.add(path)
                waiting.append(path)
    data = {file for path in found for file in _data_beside(path)}
    return sorted({*suite, *found, *data})


def _used(path: Path, src: Path) -> Iterator[Path]:
    """Yield the modules of ours that a file names."""
    text = path.read_text("utf-8")
    names = set(_DOTTED.findall(text))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("metalassay"):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.JoinedStr):
            yield from _completed_at_run_time(node, src)
    for name in names:
        yield from _modules(name, src)


def _completed_at_run_time(node: ast.JoinedStr, src: Path) -> Iterator[Path]:
    """Yield all modules of a package for an f-string such as ``f"metalassay.patches.{name}"``."""
    for part in node.values:
        text = part.value if isinstance(part, ast.Constant) else ""
        if isinstance(text, str) and _DOTTED.fullmatch(text.removesuffix(".")):
            yield from (src / text.removesuffix(".").replace(".", "/")).glob("*.py")


def _modules(name: str, src: Path) -> Iterator[Path]:
    """Yield the files behind a dotted name: the packages on the way, and the module itself."""
    path = src
    for part in name.split("."):
        path = path / part
        if path.is_dir():
            yield path / "__init__.py"
        elif path.with_suffix(".py").is_file():
            yield path.with_suffix(".py")
            return
        else:
            return  # a name inside the module before it


def _data_beside(path: Path) -> Iterator[Path]:
    """Yield the files other than Python in a module's folder, and in the folders of data in it."""
    if path.parent.name == "metalassay":
        return
    folders = (each for each in path.parent.iterdir() if each.is_dir())
    data = [each for each in folders if not any(each.glob("*.py")) and each.name != "__pycache__"]
    for folder in (path.parent, *data):
        yield from (
            file
            for file in folder.iterdir()
            if file.is_file() and file.suffix not in (".py", ".pyc", ".md")
        )


def commit(root: Path) -> str | None:
    """Return the commit of the checkout, with a "+" if files were changed since; None outside git."""
    try:
        words = [
            subprocess.run(  # noqa: S603  (git itself, no shell)
                ["git", *arguments],  # noqa: S607  (git is found on PATH)
                cwd=root,
                capture_output=True,
                text=True,
                check=True,
                timeout=30,
            ).stdout.strip()
            for arguments in (
                ["rev-parse", "--short=12", "HEAD"],
                ["status", "--porcelain", "--", "src", "compat", "matrix.toml", "pyproject.toml"],
            )
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return words[0] + ("+" if words[1] else "")
