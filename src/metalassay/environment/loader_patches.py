"""Patches of others to the loop of accelerate's loaders: in the sources of a project, or in the installed file.

Nothing is imported: a source is parsed, and an installed file is compared with the hash that its wheel gave.
"""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from metalassay import files
from metalassay.environment.interpreters import Install

METHOD = "__iter__"
INSTALLED = "accelerate/data_loader.py"
MOST_FILES, MOST_FOLDERS, MOST_BYTES = 2000, 1000, 512 * 1024
"""How much of a folder is looked at: a project's sources, and not a home folder's."""
_NOT_SOURCES = {"node_modules", "site-packages", "__pycache__", "venv", "env"}


@dataclass(frozen=True)
class Replacement:
    """A line that replaces a loader's loop: where, by which function, and whether that loses every batch."""

    path: str
    line: int
    method: str
    function: str
    loses: bool


def in_folder(folder: Path) -> list[Replacement]:
    """Return the replacements in the Python files below a folder, by path and line.

    Hidden folders, virtual environments and links are left out, and so is what cannot be read or parsed.
    """
    found = []
    for path in _sources(folder):
        try:
            content = files.content(path, MOST_BYTES)
            if METHOD.encode() not in content or b"DataLoader" not in content:
                continue
            with warnings.catch_warnings(action="ignore"):  # an invalid escape is not our affair
                tree = ast.parse(content)
        except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        shown = str(path.relative_to(folder))
        found += [Replacement(shown, *each) for each in _replacements(tree)]
    return sorted(found, key=lambda each: (each.path, each.line))


def edited(installs: Iterable[Install]) -> Path | None:
    """Return accelerate's installed file with that loop if it is not what its wheel had, else None."""
    first = next((each for each in installs if each.name == "accelerate" and each.metadata), None)
    if first is None:
        return None
    folder = Path(first.folder)
    try:
        record = files.content(folder / first.metadata / "RECORD").decode("utf-8")
        rows = {row[0]: row[1] for row in csv.reader(record.splitlines()) if len(row) > 1}
        algorithm, _, expected = rows.get(INSTALLED, "").partition("=")
        if algorithm != "sha256":
            return None
        digest = hashlib.sha256(files.content(folder / INSTALLED)).digest()
    except (OSError, ValueError, csv.Error):
        return None
    same = base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == expected
    return None if same else folder / INSTALLED


def _sources(folder: Path) -> Iterator[Path]:
    number = 0
    for count, (root, folders, names) in enumerate(os.walk(folder)):
        if count == MOST_FOLDERS:
            return
        folders[:] = sorted(
            each for each in folders if not each.startswith(".") and each not in _NOT_SOURCES
        )
        for name in sorted(names):
            if not name.endswith(".py"):
                continue
            number += 1
            if number > MOST_FILES:
                return
            yield Path(root, name)


def _replacements(tree: ast.Module) -> Iterator[tuple[int, str, str, bool]]:
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        for owner, value in _assigned(node):
            name = ast.unparse(value)
            function = functions.get(name)
            loses = function is not None and _loses(function)
            yield node.lineno, f"{owner}.{METHOD}", name, loses  # type: ignore[attr-defined]


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the loaders whose loop this statement or call replaces, each with what takes its place."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Attribute) and target.attr == METHOD:
                yield from ((owner, node.value) for owner in _loader(target.value))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 3:
        owner, name, value = node.args
        if node.func.id == "setattr" and isinstance(name, ast.Constant) and name.value == METHOD:
            yield from ((each, value) for each in _loader(owner))


def _loader(node: ast.expr) -> Iterator[str]:
    """Yield the name of the class if it is called like a loader of torch or accelerate."""
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    if name.startswith("DataLoader"):
        yield name


def _loses(function: ast.FunctionDef) -> bool:
    """Return whether the function is a generator that returns a value, which no loop sees."""
    own = list(_of(function))
    yields = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own)
    returned = [node.value for node in own if isinstance(node, ast.Return)]
    values = [each for each in returned if not (each is None or ast.unparse(each) == "None")]
    return yields and bool(values)


def _of(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is in a function, and not in a function inside it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        yield child
        yield from _of(child)
